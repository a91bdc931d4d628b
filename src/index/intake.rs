//! From how files look now to what the inventory knows of them: what has not changed costs nothing, what is being written
//! waits, what is gone is forgotten, and what can't be told stays as it was.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use roaring::RoaringBitmap;

use super::freshness::{Freshness, Patience, Sight, judge};
use super::watcher::Counts;
use crate::clock::Clock;
use crate::hash::Orders;
use crate::inventory::{self, Inventory, Observation, Seen};
use crate::model::{FileRecord, FileState, Fingerprint, TreePath, VersionNumber};
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
    /// Whether this process has walked through all of it.
    pub(super) is_walked: bool,
    /// Until when times of files tell nothing about when they came: the clock was put on a short while ago.
    pub(super) is_leaping_until: Option<Timestamp>,
    /// Where is said what to hash.
    pub(super) orders: Orders,
    pub(super) counts: Counts,
    /// Files that are being written.
    pub(super) moving: HashMap<TreePath<'static>, Sight>,
    /// Whether a walk is under way: only then the two below are kept.
    is_walking: bool,
    /// Versions that were seen in their place, for the end of the walk.
    present: RoaringBitmap,
    /// Paths that were looked at since the walk began: what it says of them may be older.
    pub(super) looked_at: HashSet<TreePath<'static>>,
    /// Directories where file systems were seen mounted.
    pub(super) mounts: HashSet<TreePath<'static>>,
    /// Those among the moving whose content a client wants.
    requested: HashSet<TreePath<'static>>,
}

/// Why a path is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Why {
    /// Something happened there.
    Event,
    /// A walk found it otherwise than known.
    Walk,
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
    pub(super) fn new(trees: Trees, inventory: Inventory, clock: Clock, patience: Patience, orders: Orders) -> Self {
        Self {
            trees: Arc::new(trees),
            inventory,
            clock,
            patience,
            occasion: Seen::Later,
            is_walked: false,
            is_leaping_until: None,
            orders,
            counts: Counts::default(),
            moving: HashMap::new(),
            is_walking: false,
            present: RoaringBitmap::new(),
            looked_at: HashSet::new(),
            mounts: HashSet::new(),
            requested: HashSet::new(),
        }
    }

    /// Finds out what is known from before.
    pub(super) async fn start(&mut self) -> Result<(), inventory::Error> {
        if self.inventory.snapshot().file_count() > 0 {
            // What is known is not gone because a folder is empty.
            let trees = Arc::clone(&self.trees);
            tokio::task::spawn_blocking(move || trees.public.expect_files()).await.ok();
        }
        self.occasion = if self.inventory.is_indexed().await? { Seen::Later } else { Seen::First };
        Ok(())
    }

    /// From now on, what is new has just been put there.
    pub(super) async fn first_walk_is_done(&mut self) -> Result<(), inventory::Error> {
        self.is_walked = true;
        if self.occasion == Seen::First {
            self.inventory.set_indexed().await?;
            self.occasion = Seen::Later;
        }
        Ok(())
    }

    /// Looks at paths and takes in what is there. Returns those that must be walked: directories, and what was one.
    pub(super) async fn look(
        &mut self,
        paths: Vec<TreePath<'static>>,
        why: Why,
    ) -> Result<Vec<TreePath<'static>>, inventory::Error> {
        let (mut files, mut gone, mut walks) = (Vec::new(), Vec::new(), Vec::new());
        for (path, now) in self.see(paths).await {
            match now {
                Now::File(fingerprint) => {
                    if why == Why::Request && self.requested.len() < MAX_MOVING {
                        self.requested.insert(path.clone());
                    }
                    files.push((path, fingerprint));
                }
                Now::Directory if why != Why::Request || self.is_known(&path) => walks.push(path),
                Now::Gone => gone.push(path),
                Now::Directory | Now::Unknown => {}
            }
        }
        // What is told by an event has just been put there; all else may have been there before us.
        let occasion = match (self.occasion, why) {
            (Seen::Later, _) if self.is_leaping_until.is_some_and(|until| self.clock.now() < until) => Seen::Arrived,
            (_, Why::Event) => Seen::Later,
            // A folder may have been moved or mounted there, with files that are old. They were not there at the walk before.
            (Seen::Later, Why::Walk | Why::Request) if self.is_walked => Seen::Arrived,
            (occasion, _) => occasion,
        };
        self.take(files, occasion).await?;
        walks.extend(self.forget(gone, why).await?);
        Ok(walks)
    }

    /// Takes in files that look as given.
    pub(super) async fn take(
        &mut self,
        files: Vec<(TreePath<'static>, Fingerprint)>,
        occasion: Seen,
    ) -> Result<(), inventory::Error> {
        let batch: Vec<Observation> =
            files.into_iter().filter_map(|(path, fingerprint)| self.consider(path, fingerprint, occasion)).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let records = self.inventory.observe(batch).await?;
        for record in records {
            self.note_present(record.version);
            self.order(&record);
        }
        Ok(())
    }

    /// From now on, what is seen is kept for the end of the walk.
    pub(super) fn begin_walk(&mut self) {
        self.end_walk();
        self.is_walking = true;
    }

    /// What was seen since the walk began.
    pub(super) fn end_walk(&mut self) -> RoaringBitmap {
        self.is_walking = false;
        self.looked_at = HashSet::new();
        std::mem::take(&mut self.present)
    }

    fn note_present(&mut self, version: VersionNumber) {
        if self.is_walking {
            self.present.insert(version.0);
        }
    }

    /// Looks again at the files that are being written.
    pub(super) async fn look_at_moving(&mut self) -> Result<Vec<TreePath<'static>>, inventory::Error> {
        let paths: Vec<TreePath<'static>> = self.moving.keys().cloned().collect();
        if paths.is_empty() { Ok(Vec::new()) } else { self.look(paths, Why::Event).await }
    }

    /// What the inventory must be told of a file that looks so, if anything.
    fn consider(&mut self, path: TreePath<'static>, fingerprint: Fingerprint, occasion: Seen) -> Option<Observation> {
        let now = self.clock.now();
        let known = self.inventory.snapshot().file(&path);
        if let Some(entry) = known {
            self.note_present(entry.version);
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
                Some(Observation { path, fingerprint, at: now, kind: occasion })
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

    /// Has the content of a file read, if that is needed soon.
    fn order(&mut self, record: &FileRecord) {
        match record.state {
            FileState::Changing => return,
            FileState::Unconfirmed => self.orders.confirm(record.path.clone()),
            FileState::Settled if record.sha256.is_none() && self.occasion == Seen::Later => {
                self.orders.hash_soon(record.path.clone());
            }
            FileState::Settled if record.sha256.is_none() => self.orders.wake(),
            FileState::Settled => {}
        }
        self.tell_if_requested(&record.path);
    }

    fn tell_if_requested(&mut self, path: &TreePath<'static>) {
        if let Some(path) = self.requested.take(path) {
            self.orders.request(path);
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
            } else if why != Why::Request && !self.inventory.files(path.clone(), None, 1).await?.is_empty() {
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
        if self.trees.public.is_away() || self.trees.is_part_lost() {
            return false;
        }
        let mounts: Vec<TreePath<'static>> = self.mounts.iter().filter(|mount| path.is_within(mount)).cloned().collect();
        if mounts.is_empty() {
            return true;
        }
        let root = self.trees.public.clone();
        let are_mounted = tokio::task::spawn_blocking(move || mounts.iter().all(|mount| root.is_mount_point(mount)));
        are_mounted.await.unwrap_or(false)
    }

    /// Looks at paths, on a thread that may wait for the file system.
    async fn see(&mut self, paths: Vec<TreePath<'static>>) -> Vec<(TreePath<'static>, Now)> {
        if self.is_walking {
            self.looked_at.extend(paths.iter().cloned());
        }
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
