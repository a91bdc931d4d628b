//! The hash queue: gives every version its SHA-256, in the background. Files that a client waits for come first, then those
//! of which only a digest can tell whether they changed, then all others.
//!
//! What was not written down is hashed again after a restart; nothing else is remembered. One file that can't be read
//! stops nothing.

pub mod digest;
mod reader;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::inventory::{self, Inventory};
use crate::metrics::{Counter, OfInstance};
use crate::model::{FileRecord, FileState, Fingerprint, TreePath};
use crate::tree::{LookError, Trees};
use reader::{Reader, Reading};

/// Hashes one instance's public tree.
#[derive(Debug)]
pub struct Hasher {
    trees: Arc<Trees>,
    inventory: Inventory,
    clock: Clock,
    requested: mpsc::Receiver<TreePath<'static>>,
    changed: mpsc::Receiver<TreePath<'static>>,
    more: Arc<Notify>,
    backlog: Backlog,
    /// Files that could not be read as they are known to look, and when to try again.
    failed: HashMap<TreePath<'static>, (Fingerprint, Timestamp)>,
    counts: Counts,
    is_failing: bool,
}

/// Where others say what is to be hashed soon. Nothing waits: what finds no room is found later.
#[derive(Debug, Clone)]
pub struct Orders {
    requested: mpsc::Sender<TreePath<'static>>,
    changed: mpsc::Sender<TreePath<'static>>,
    more: Arc<Notify>,
}

/// What is counted. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Files that were hashed.
    pub files: Counter,
    /// Their bytes.
    pub bytes: Counter,
    /// Files that could not be read, or changed while they were.
    pub failures: Counter,
}

/// The counts of all instances, as they are printed.
#[derive(Debug, Clone, Default)]
pub struct Families {
    files: Family<OfInstance, Counter>,
    bytes: Family<OfInstance, Counter>,
    failures: Family<OfInstance, Counter>,
}

impl Families {
    /// Puts the counts where they are printed from.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("hashed_files", "Files of the public tree that were hashed", self.files.clone());
        registry.register("hashed_bytes", "Bytes of the public tree that were hashed", self.bytes.clone());
        registry.register("hash_failures", "Files that could not be hashed in one try", self.failures.clone());
    }

    /// Those of one instance: the same ones for the same name.
    #[must_use]
    pub fn of(&self, instance: &str) -> Counts {
        let label = OfInstance { instance: instance.to_owned() };
        Counts {
            files: self.files.get_or_create_owned(&label),
            bytes: self.bytes.get_or_create_owned(&label),
            failures: self.failures.get_or_create_owned(&label),
        }
    }
}

/// Orders of one kind that wait: as many files as change at once in a large upload.
const MAX_ORDERS: usize = 4096;
/// Records that are read from the inventory at once.
const PAGE: usize = 500;
/// How often the queue looks for itself whether there is something to do.
const IDLE: Duration = Duration::from_secs(60);
/// How long the queue rests when the inventory fails.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// How long the queue rests when the tree is away.
const AWAY: Duration = Duration::from_secs(1);
/// How long a file that could not be read is left alone.
const TRY_AGAIN: SignedDuration = SignedDuration::from_mins(10);
/// Files that are remembered to be unreadable.
const MAX_FAILED: usize = 10_000;

impl Orders {
    /// Orders that nobody carries out.
    #[must_use]
    pub fn for_nobody() -> Self {
        Self { requested: mpsc::channel(1).0, changed: mpsc::channel(1).0, more: Arc::default() }
    }

    /// A client waits for this file.
    pub fn request(&self, path: TreePath<'static>) {
        self.requested.try_send(path).ok();
    }

    /// Only a digest can tell whether this file is another version.
    pub fn confirm(&self, path: TreePath<'static>) {
        self.changed.try_send(path).ok();
    }

    /// There are files without a digest.
    pub fn wake(&self) {
        self.more.notify_one();
    }
}

impl Hasher {
    /// A hash queue, and where to order.
    #[must_use]
    pub fn new(trees: Trees, inventory: Inventory, clock: Clock) -> (Self, Orders) {
        let (requested_to, requested) = mpsc::channel(MAX_ORDERS);
        let (changed_to, changed) = mpsc::channel(MAX_ORDERS);
        let more = Arc::new(Notify::new());
        let orders = Orders { requested: requested_to, changed: changed_to, more: Arc::clone(&more) };
        let hasher = Self {
            trees: Arc::new(trees),
            inventory,
            clock,
            requested,
            changed,
            more,
            backlog: Backlog::default(),
            failed: HashMap::new(),
            counts: Counts::default(),
            is_failing: false,
        };
        (hasher, orders)
    }

    /// The same queue, counting on from what was counted before.
    #[must_use]
    pub fn counting(self, counts: Counts) -> Self {
        Self { counts, ..self }
    }

    /// What it counts.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Runs until it is cancelled; a file that is being read then is given up within moments.
    pub async fn run(mut self, stop: CancellationToken) {
        let reader = match Reader::start(stop.clone()) {
            Ok(reader) => reader,
            Err(error) => return tracing::error!(%error, "files can't be hashed: no thread"),
        };
        while let Some(step) = stop.run_until_cancelled(self.step(&reader)).await {
            match step {
                Ok(()) => self.is_failing = false,
                Err(error) => {
                    if !std::mem::replace(&mut self.is_failing, true) {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "the hash queue rests, since the inventory fails"
                        );
                    }
                    stop.run_until_cancelled(tokio::time::sleep(AFTER_ERROR)).await;
                }
            }
        }
        reader.stop().await;
    }

    /// Hashes the next file, or waits for one.
    async fn step(&mut self, reader: &Reader) -> Result<(), inventory::Error> {
        if let Some(record) = self.next().await? {
            return self.hash(record, reader).await;
        }
        tokio::select! {
            () = self.more.notified() => self.backlog = Backlog::default(),
            () = tokio::time::sleep(IDLE) => self.backlog = Backlog::default(),
            Some(path) = self.requested.recv() => self.backlog.put_first(path),
            Some(path) = self.changed.recv() => self.backlog.put_first(path),
        }
        Ok(())
    }

    /// The next file that needs a digest.
    async fn next(&mut self) -> Result<Option<FileRecord>, inventory::Error> {
        while let Some(path) = self.ordered() {
            if let Some(record) = self.inventory.file(path).await?
                && needs_digest(&record)
            {
                return Ok(Some(record));
            }
        }
        let now = self.clock.now();
        while let Some(record) = self.backlog.next(&self.inventory).await? {
            let is_left_alone =
                self.failed.get(&record.path).is_some_and(|(look, until)| *look == record.fingerprint && now < *until);
            if needs_digest(&record) && !is_left_alone {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn ordered(&mut self) -> Option<TreePath<'static>> {
        let requested = self.requested.try_recv().ok();
        requested.or_else(|| self.backlog.first.take()).or_else(|| self.changed.try_recv().ok())
    }

    async fn hash(&mut self, record: FileRecord, reader: &Reader) -> Result<(), inventory::Error> {
        let FileRecord { path, fingerprint, .. } = record;
        match reader.read(&self.trees.public, &path, fingerprint).await {
            Reading::Done(digest) => {
                self.failed.remove(&path);
                self.counts.files.inc();
                self.counts.bytes.inc_by(fingerprint.size);
                self.inventory.record_digest(path, fingerprint, digest).await?;
            }
            // Whoever noticed the change has it settle, and orders again.
            Reading::Changed => self.leave_alone(path, fingerprint),
            Reading::Failed(LookError::Away) => {
                self.backlog = Backlog::default();
                tokio::time::sleep(AWAY).await;
            }
            Reading::Failed(error) => {
                tracing::debug!(%path, error = &error as &dyn std::error::Error, "a file can't be hashed");
                self.leave_alone(path, fingerprint);
            }
            Reading::Stopped => {}
        }
        Ok(())
    }

    fn leave_alone(&mut self, path: TreePath<'static>, fingerprint: Fingerprint) {
        self.counts.failures.inc();
        let now = self.clock.now();
        if self.failed.len() >= MAX_FAILED {
            self.failed.retain(|_, (_, until)| now < *until);
        }
        if self.failed.len() < MAX_FAILED {
            self.failed.insert(path, (fingerprint, now.checked_add(TRY_AGAIN).unwrap_or(Timestamp::MAX)));
        }
    }
}

fn needs_digest(record: &FileRecord) -> bool {
    match record.state {
        FileState::Changing => false,
        FileState::Unconfirmed => true,
        FileState::Settled => record.sha256.is_none(),
    }
}

/// All files without a digest, page by page: first those that only a digest can tell, then the others.
#[derive(Debug, Default)]
struct Backlog {
    /// Ordered while there was nothing to do.
    first: Option<TreePath<'static>>,
    page: VecDeque<FileRecord>,
    after: Option<TreePath<'static>>,
    pass: Pass,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Pass {
    #[default]
    Unconfirmed,
    Others,
    Over,
}

impl Backlog {
    fn put_first(&mut self, path: TreePath<'static>) {
        self.first = Some(path);
    }

    async fn next(&mut self, inventory: &Inventory) -> Result<Option<FileRecord>, inventory::Error> {
        loop {
            while let Some(record) = self.page.pop_front() {
                let is_unconfirmed = record.state == FileState::Unconfirmed;
                if is_unconfirmed == (self.pass == Pass::Unconfirmed) {
                    return Ok(Some(record));
                }
            }
            if self.pass == Pass::Over {
                return Ok(None);
            }
            self.page = inventory.unhashed(self.after.take(), PAGE).await?.into();
            match self.page.back() {
                Some(last) => self.after = Some(last.path.clone()),
                None if self.pass == Pass::Unconfirmed => self.pass = Pass::Others,
                None => self.pass = Pass::Over,
            }
        }
    }
}

#[cfg(test)]
mod tests;
