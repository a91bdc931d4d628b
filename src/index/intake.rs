//! From how files look now to what the inventory knows of them: what has not changed costs nothing, what is being written
//! waits, what is gone is forgotten, and what can't be told stays as it was.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use roaring::RoaringBitmap;
use tokio::sync::mpsc;

use super::freshness::{Freshness, Patience, Sight, judge};
use super::status::Counts;
use crate::clock::Clock;
use crate::inventory::{self, Inventory, Observation, Seen};
use crate::model::{FileRecord, FileState, Fingerprint, TreePath};
use crate::tree::{Kind, LookError, Trees};

/// Files on their way into the inventory.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) trees: Arc<Trees>,
    pub(super) inventory: Inventory,
    pub(super) clock: Clock,
    pub(super) patience: Patience,
    /// On what occasion new files are seen: the first walk of a tree, or later.
    pub(super) occasion: Seen,
    /// Who hashes.
    pub(super) orders: Orders,
    pub(super) counts: Counts,
    /// Files that are being written.
    pub(super) moving: HashMap<TreePath<'static>, Sight>,
    /// Versions that were seen in their place; kept while a walk is under way, for its end.
    pub(super) present: RoaringBitmap,
    /// Paths that were looked at while a walk is under way: what the walk says of them may be older.
    pub(super) looked_at: HashSet<TreePath<'static>>,
    /// Directories where file systems were seen mounted.
    pub(super) mounts: HashSet<TreePath<'static>>,
    /// Those among the moving whose content a client wants.
    requested: HashSet<TreePath<'static>>,
}

/// Where paths go whose content must be read.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    /// Files that a client asked for.
    pub requested: Option<mpsc::Sender<TreePath<'static>>>,
    /// Files whose version only a digest can tell.
    pub changed: Option<mpsc::Sender<TreePath<'static>>>,
}

/// Why a path is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Why {
    /// Something happened there, or is to be waited for.
    Event,
    /// A client asked for it and met something else than is known.
    Request,
}

/// What a path turned out to be.
#[derive(Debug)]
enum Now {
    File(Fingerprint),
    Directory,
    Gone,
    /// It can't be told.
    Unknown,
}

/// Files that are remembered while they are being written. More than are ever written at once; the rest waits for a walk.
const MAX_MOVING: usize = 100_000;

impl Intake {
    pub(super) fn new(trees: Arc<Trees>, inventory: Inventory, clock: Clock, patience: Patience, occasion: Seen) -> Self {
        Self {
            trees,
            inventory,
            clock,
            patience,
            occasion,
            orders: Orders::default(),
            counts: Counts::default(),
            moving: HashMap::new(),
            present: RoaringBitmap::new(),
            looked_at: HashSet::new(),
            mounts: HashSet::new(),
            requested: HashSet::new(),
        }
    }

    /// Whether this tree was walked whole before decides how old new files are.
    pub(super) async fn find_out_occasion(&mut self) -> Result<(), inventory::Error> {
        self.occasion = if self.inventory.is_indexed().await? { Seen::Later } else { Seen::First };
        Ok(())
    }

    /// From now on, what is new has just been put there.
    pub(super) async fn first_walk_is_done(&mut self) -> Result<(), inventory::Error> {
        if self.occasion == Seen::First {
            self.inventory.set_indexed().await?;
            self.occasion = Seen::Later;
        }
        Ok(())
    }

    /// Looks at paths and takes in what is there. Returns those that must be walked: directories, and what was one.
    pub(super) async fn look(&mut self, paths: Vec<TreePath<'static>>, why: Why) -> Result<Vec<TreePath<'static>>, inventory::Error> {
        let (mut files, mut gone, mut walks) = (Vec::new(), Vec::new(), Vec::new());
        for (path, now) in self.see(paths).await {
            match now {
                Now::File(fingerprint) => {
                    if why == Why::Request {
                        self.requested.insert(path.clone());
                    }
                    files.push((path, fingerprint));
                }
                Now::Directory if why == Why::Event || self.is_known(&path) => walks.push(path),
                Now::Gone => gone.push(path),
                Now::Directory | Now::Unknown => {}
            }
        }
        self.take(files).await?;
        walks.extend(self.forget(gone, why).await?);
        Ok(walks)
    }

    /// Takes in files that look as given.
    pub(super) async fn take(&mut self, files: Vec<(TreePath<'static>, Fingerprint)>) -> Result<(), inventory::Error> {
        let batch: Vec<Observation> = files.into_iter().filter_map(|(path, fingerprint)| self.consider(path, fingerprint)).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let records = self.inventory.observe(batch).await?;
        for record in records {
            self.present.insert(record.version.0);
            self.order(&record);
        }
        Ok(())
    }

    /// Looks again at the files that are being written.
    pub(super) async fn look_at_moving(&mut self) -> Result<Vec<TreePath<'static>>, inventory::Error> {
        let paths: Vec<TreePath<'static>> = self.moving.keys().cloned().collect();
        if paths.is_empty() { Ok(Vec::new()) } else { self.look(paths, Why::Event).await }
    }

    /// What the inventory must be told of a file that looks so, if anything.
    fn consider(&mut self, path: TreePath<'static>, fingerprint: Fingerprint) -> Option<Observation> {
        let now = self.clock.now();
        let known = self.inventory.snapshot().file(&path);
        if let Some(entry) = known {
            self.present.insert(entry.version.0);
            if entry.matches(&fingerprint) && entry.state != FileState::Changing {
                self.moving.remove(&path);
                self.tell_if_requested(&path);
                return None;
            }
        }
        let size = known.map(|entry| entry.size);
        match judge(size, self.moving.get(&path), &fingerprint, now, &self.patience) {
            Freshness::Settled => {
                self.moving.remove(&path);
                self.counts.changed.inc();
                Some(Observation { path, fingerprint, at: now, kind: self.occasion })
            }
            Freshness::Moving(sight) => {
                if self.moving.len() < MAX_MOVING || self.moving.contains_key(&path) {
                    self.moving.insert(path.clone(), sight);
                }
                let is_news = known.is_some_and(|entry| entry.state != FileState::Changing);
                is_news.then_some(Observation { path, fingerprint, at: now, kind: Seen::Changing })
            }
        }
    }

    /// Has the content of a file read, if that is needed soon. What finds no room is found later by the hash queue itself.
    fn order(&mut self, record: &FileRecord) {
        if record.state == FileState::Unconfirmed
            && let Some(changed) = &self.orders.changed
        {
            changed.try_send(record.path.clone()).ok();
        }
        if record.state != FileState::Changing {
            self.tell_if_requested(&record.path);
        }
    }

    fn tell_if_requested(&mut self, path: &TreePath<'static>) {
        if self.requested.remove(path)
            && let Some(requested) = &self.orders.requested
        {
            requested.try_send(path.clone()).ok();
        }
    }

    /// Forgets files that are gone, if that can be believed. Returns what may have been directories.
    async fn forget(&mut self, gone: Vec<TreePath<'static>>, why: Why) -> Result<Vec<TreePath<'static>>, inventory::Error> {
        let mut files = Vec::new();
        let mut directories = Vec::new();
        for path in gone {
            self.moving.remove(&path);
            self.requested.remove(&path);
            if !self.can_be_believed(&path).await {
                continue;
            }
            if self.is_known(&path) {
                files.push(path);
            } else if why == Why::Event && !self.inventory.files(path.clone(), None, 1).await?.is_empty() {
                directories.push(path);
            }
        }
        if !files.is_empty() {
            let forgotten = self.inventory.forget(files).await?;
            self.counts.forgotten.inc_by(forgotten);
        }
        Ok(directories)
    }

    fn is_known(&self, path: &TreePath<'_>) -> bool {
        self.inventory.snapshot().file(path).is_some()
    }

    /// Whether a path that seems to be gone is: not so while its tree, a folder that links lead to, or a file system that
    /// was mounted above it is missing.
    async fn can_be_believed(&self, path: &TreePath<'static>) -> bool {
        let mounts: Vec<TreePath<'static>> = self.mounts.iter().filter(|mount| path.is_within(mount)).cloned().collect();
        let trees = Arc::clone(&self.trees);
        let answer = tokio::task::spawn_blocking(move || {
            !trees.public.is_away() && !trees.is_part_lost() && mounts.iter().all(|mount| trees.public.is_mount_point(mount))
        });
        answer.await.unwrap_or(false)
    }

    /// Looks at paths, on a thread that may wait for the file system.
    async fn see(&mut self, paths: Vec<TreePath<'static>>) -> Vec<(TreePath<'static>, Now)> {
        self.looked_at.extend(paths.iter().cloned());
        let trees = Arc::clone(&self.trees);
        let seen = tokio::task::spawn_blocking(move || {
            let visible = paths.into_iter().filter(|path| !trees.hidden.matches(path));
            visible.map(|path| (see(&trees, &path), path)).map(|(now, path)| (path, now)).collect()
        });
        seen.await.unwrap_or_default()
    }
}

fn see(trees: &Trees, path: &TreePath<'_>) -> Now {
    match trees.public.look(path) {
        Ok(look) if look.kind == Kind::File => Now::File(look.fingerprint),
        Ok(_) if trees.hidden.matches_directory(path) => Now::Gone,
        Ok(_) => Now::Directory,
        Err(LookError::Absent | LookError::Forbidden) => Now::Gone,
        Err(LookError::Away) => Now::Unknown,
        Err(LookError::Other(error)) => {
            tracing::debug!(%path, %error, "a file can't be looked at");
            Now::Unknown
        }
    }
}
