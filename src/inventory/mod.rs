//! The inventory: which versions there are and which mirrors hold them. A snapshot in memory answers requests; a store
//! on disk keeps it; one owner thread writes both.

mod checkups;
mod condition;
mod contents;
mod descriptions;
pub mod error;
mod filling;
mod hashes;
pub mod holdings;
mod holds;
mod image;
mod keeper;
mod leap;
mod members;
mod newcomers;
pub mod outline;
mod owner;
pub mod record;
pub mod share;
mod slot;
pub mod snapshot;
pub mod sqlite;
pub mod store;
mod sweep;
mod table;
pub mod trail;
pub mod versioning;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{JoinHandle, Thread};

use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::model::{FileRecord, Health, Mirror, MirrorName, TreePath};
use condition::Condition;
use descriptions::Desk;
use keeper::Keeper;
use newcomers::Newcomers;
use owner::{Extent, Owner, Work};
use store::{Page, Store, Which};

pub use error::Error;
pub use holdings::Holdings;
pub use keeper::MIN_FILES as IMAGE_FROM_FILES;
pub use leap::Leap;
pub use newcomers::Newcomer;
pub use outline::Outline;
pub use record::{
    Adjustment, Counts, Damage, Hashed, HealthChange, Hold, HoldAction, HoldEvent, Listed, Observation, Protocol, Recorded,
    ScanMemory, ScanRecord, ScanSummary, Seen, SeenStamp, Waiting,
};
pub use share::{Gap, Gaps, Share};
pub use snapshot::{FileEntry, MirrorSet, MirrorState, Snapshot, Stats};
pub use store::PlanId;
pub use sweep::Finished;

/// `[inventory]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// The database: a file.
    pub database: PathBuf,
    /// Whether the SHA-256 of every file is kept in memory, for the `Digest` of redirects: 32 bytes a file.
    pub sha256_in_memory: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { database: PathBuf::from("redirector.sqlite"), sha256_in_memory: true }
    }
}

/// An instance's inventory. Cheap to clone; all clones speak to one owner thread.
///
/// The thread ends with [`Inventory::close`], or soon after the last clone is dropped. Every verb that writes returns once
/// what it wrote is on the disk and in the snapshot. A verb whose future is dropped may still be carried out.
#[derive(Clone, Debug)]
pub struct Inventory {
    snapshot: Arc<Snapshot>,
    condition: Arc<Condition>,
    newcomers: Arc<Newcomers>,
    desk: Arc<Desk>,
    queue: mpsc::Sender<Work>,
    thread: Arc<OwnerThread>,
}

#[derive(Debug)]
struct OwnerThread {
    thread: Thread,
    handle: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Drop for OwnerThread {
    /// Wakes the thread, so that it sees that nobody is left.
    fn drop(&mut self) {
        self.thread.unpark();
    }
}

/// How many requests may wait for the owner: enough that it never idles while others prepare the next, and few enough that
/// whoever writes too much is slowed down.
const QUEUE: usize = 64;

impl Inventory {
    /// Opens the store, loads the snapshot and starts the owner thread.
    ///
    /// # Errors
    /// When the database can't be opened, is none of ours, is damaged, or was written by a newer redirector.
    pub async fn open(settings: &Settings, mirrors: Vec<Arc<Mirror>>, clock: Clock) -> Result<Self, Error> {
        let path = settings.database.clone();
        let keeper = Keeper::new(Some(image::place(&path)));
        let open = move || Ok(Box::new(sqlite::Sqlite::open(&path)?) as Box<dyn Store>);
        let extent = if settings.sha256_in_memory { Extent::Whole } else { Extent::WithoutDigests };
        Self::start_with(open, keeper, mirrors, (clock, extent)).await
    }

    /// As [`Self::open`], but the snapshot has no files: for orders and questions on the command line, which should not wait
    /// for millions of files to be loaded. Every verb works.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_without_files(settings: &Settings, mirrors: Vec<Arc<Mirror>>, clock: Clock) -> Result<Self, Error> {
        let path = settings.database.clone();
        let open = move || Ok(Box::new(sqlite::Sqlite::open(&path)?) as Box<dyn Store>);
        Self::start_with(open, Keeper::default(), mirrors, (clock, Extent::WithoutFiles)).await
    }

    /// An inventory that is kept in memory only and ends with its last handle.
    ///
    /// # Errors
    /// When there is no memory.
    pub async fn temporary(mirrors: Vec<Arc<Mirror>>, clock: Clock) -> Result<Self, Error> {
        Self::start(|| Ok(Box::new(sqlite::Sqlite::in_memory()?) as Box<dyn Store>), mirrors, clock).await
    }

    /// An inventory on any store, which is opened by its owner thread.
    ///
    /// # Errors
    /// When the store can't be opened or read.
    pub async fn start(
        open: impl FnOnce() -> Result<Box<dyn Store>, Error> + Send + 'static,
        mirrors: Vec<Arc<Mirror>>,
        clock: Clock,
    ) -> Result<Self, Error> {
        Self::start_with(open, Keeper::default(), mirrors, (clock, Extent::Whole)).await
    }

    async fn start_with(
        open: impl FnOnce() -> Result<Box<dyn Store>, Error> + Send + 'static,
        keeper: Keeper,
        mirrors: Vec<Arc<Mirror>>,
        means: (Clock, Extent),
    ) -> Result<Self, Error> {
        let (queue, work) = mpsc::channel(QUEUE);
        let (ready, started) = oneshot::channel();
        let run = move || match open().and_then(|store| Owner::start(store, keeper, &mirrors, means)) {
            Ok(owner) => {
                if ready.send(Ok(owner.shared())).is_ok() {
                    owner.run(work);
                }
            }
            Err(error) => drop(ready.send(Err(error))),
        };
        let handle = std::thread::Builder::new().name("inventory".to_owned()).spawn(run).map_err(Error::Thread)?;
        let thread = Arc::new(OwnerThread { thread: handle.thread().clone(), handle: Some(handle).into() });
        let (snapshot, condition, desk, newcomers) = started.await.map_err(|_| Error::Internal)??;
        Ok(Self { snapshot, condition, newcomers, desk, queue, thread })
    }

    /// From `from_files` files on ([`IMAGE_FROM_FILES`] where nothing speaks for another number), an image of the snapshot is kept
    /// beside the database: the next start takes it, and what the database's log says since.
    ///
    /// # Errors
    /// When the owner thread has ended.
    pub async fn keep_image(&self, from_files: u64) -> Result<(), Error> {
        self.ask(move |owner| {
            owner.keep_image(from_files);
            Ok(())
        })
        .await
    }

    /// What requests are answered from.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// What is wrong with the database, if something is: it could not be read, or not be written, when that was last tried.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.condition.problem()
    }

    /// Versions that became public a short while ago, from number `from` on in the order in which they were noticed, and the number
    /// to ask for next. The list is bounded, and begins anew at a start.
    #[must_use]
    pub fn newcomers(&self, from: u64) -> (Vec<Newcomer>, u64) {
        self.newcomers.since(from)
    }

    /// Takes another list of mirrors. Holdings and health stay by name, but for mirrors that moved to other URLs altogether.
    ///
    /// # Errors
    /// When the store fails; then the old list stays.
    pub async fn set_mirrors(&self, mirrors: Vec<Arc<Mirror>>) -> Result<(), Error> {
        self.ask(move |owner| owner.set_mirrors(&mirrors)).await
    }

    /// Keeps what was seen of files, and returns their records as they are afterwards, in the same order.
    ///
    /// # Errors
    /// When the store fails; then nothing of the batch is kept.
    pub async fn observe(&self, batch: Vec<Observation>) -> Result<Vec<FileRecord>, Error> {
        self.ask(move |owner| owner.observe(&batch)).await
    }

    /// Forgets files that are gone, and tells how many were known.
    ///
    /// # Errors
    /// When the store fails; then none is forgotten.
    pub async fn forget(&self, paths: Vec<TreePath<'static>>) -> Result<u64, Error> {
        self.ask(move |owner| owner.forget(&paths)).await
    }

    /// What is known of a file.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn file(&self, path: TreePath<'static>) -> Result<Option<FileRecord>, Error> {
        self.ask(move |owner| owner.store.file(&path)).await
    }

    /// The files below a directory (or one file), in the order of their paths' bytes after `after`; at most
    /// [`store::MAX_PAGE`] at a time.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn files(
        &self,
        within: TreePath<'static>,
        after: Option<TreePath<'static>>,
        limit: usize,
    ) -> Result<Vec<FileRecord>, Error> {
        let page = Page { within, after, limit };
        self.ask(move |owner| owner.store.files(&page, Which::All)).await
    }

    /// Whether the tree was walked whole once.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_indexed(&self) -> Result<bool, Error> {
        self.ask(|owner| owner.store.is_indexed()).await
    }

    /// Notes that the tree was walked whole.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_indexed(&self) -> Result<(), Error> {
        self.ask(|owner| owner.store.set_indexed()).await
    }

    /// Keeps a scan: a line in the mirror's history and, where it brings some, the mirror's holdings.
    ///
    /// # Errors
    /// When the store fails; then what was known stays.
    pub async fn record_scan(&self, record: ScanRecord) -> Result<(), Error> {
        self.ask(move |owner| owner.record_scan(&record)).await
    }

    /// What the last scans of a mirror have left for the next; nothing where there were none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn scan_memory(&self, mirror: MirrorName) -> Result<ScanMemory, Error> {
        self.ask(move |owner| owner.store.scan_memory(&mirror)).await
    }

    /// What scans remember of a mirror's listings; nothing where nothing is.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn listed(&self, mirror: MirrorName) -> Result<Option<Listed>, Error> {
        self.ask(move |owner| owner.store.listed(&mirror)).await
    }

    /// Keeps what a scan that began at `began` leaves for the next, unless the mirror has moved since.
    ///
    /// # Errors
    /// When the store fails; then the old one stays.
    pub async fn remember_scan(&self, mirror: MirrorName, began: Timestamp, memory: ScanMemory) -> Result<(), Error> {
        self.ask(move |owner| owner.remember_scan(&mirror, began, &memory)).await
    }

    /// Adds to a mirror's holdings, and takes away from them, what single questions found out; tells whether that changed them.
    ///
    /// # Errors
    /// When the store fails; then what was known stays.
    pub async fn adjust_holdings(&self, adjustment: Adjustment) -> Result<bool, Error> {
        self.ask(move |owner| owner.adjust_holdings(&adjustment)).await
    }

    /// The newest scans of a mirror, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn scans(&self, mirror: MirrorName, limit: usize) -> Result<Vec<ScanSummary>, Error> {
        self.ask(move |owner| owner.store.scans(&mirror, limit)).await
    }

    /// What a mirror lacks, as far as a scan of the whole tree has written it down.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn gaps(&self, mirror: MirrorName) -> Result<Option<Gaps>, Error> {
        self.ask(move |owner| owner.store.gaps(&mirror)).await
    }

    /// Keeps a mirror's health, and a line in its history if it changed.
    ///
    /// # Errors
    /// When the store fails; then the old one stays.
    pub async fn record_health(
        &self,
        mirror: MirrorName,
        health: Health,
        at: Timestamp,
        reason: Option<String>,
    ) -> Result<(), Error> {
        self.ask(move |owner| owner.record_health(&mirror, health, at, reason)).await
    }

    /// The newest changes of a mirror's health, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn health_history(&self, mirror: MirrorName, limit: usize) -> Result<Vec<HealthChange>, Error> {
        self.ask(move |owner| owner.store.health_history(&mirror, limit)).await
    }

    /// Ends the owner thread after what was asked before, for all clones. The snapshot can still be read.
    ///
    /// # Errors
    /// When it was closed already.
    pub async fn close(self) -> Result<(), Error> {
        self.ask(|owner| {
            owner.close();
            Ok(())
        })
        .await?;
        let handle = self.thread.handle.lock().ok().and_then(|mut handle| handle.take());
        let desk = Arc::clone(&self.desk);
        tokio::task::spawn_blocking(move || desk.close()).await.map_err(|_| Error::Internal)?;
        let Some(handle) = handle else { return Ok(()) };
        tokio::task::spawn_blocking(move || handle.join()).await.map_err(|_| Error::Internal)?.map_err(|_| Error::Internal)
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Owner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let work: Work = Box::new(move |owner| drop(reply.send(work(owner))));
        self.queue.send(work).await.map_err(|_| Error::Closed)?;
        self.thread.thread.unpark();
        answer.await.map_err(|_| if self.queue.is_closed() { Error::Closed } else { Error::Internal })?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Fingerprint;

    fn seen(number: u64) -> Observation {
        let fingerprint = Fingerprint { size: number, mtime_ns: 0, ctime_ns: 0, inode: number };
        let path = TreePath::parse(format!("dir/{number}").into_bytes()).expect("valid");
        Observation { path, fingerprint, at: Timestamp::UNIX_EPOCH, kind: Seen::Later }
    }

    #[tokio::test]
    async fn a_fault_of_our_own_does_not_end_the_owner() {
        let inventory = Inventory::temporary(Vec::new(), Clock::system()).await.expect("opens");
        inventory.observe(vec![seen(1)]).await.expect("is kept");
        let fault = inventory.ask(|_| -> Result<(), Error> { panic!("on purpose") }).await;
        assert!(matches!(fault, Err(Error::Internal)), "{fault:?}");
        inventory.observe(vec![seen(2)]).await.expect("is kept");
        assert_eq!(inventory.snapshot().file_count(), 2);
    }

    #[tokio::test]
    async fn a_full_disk_is_told_and_survived() {
        let folder = tempfile::tempdir().expect("a folder for tests");
        let file = folder.path().join("test.sqlite");
        let open = move || {
            let store = sqlite::Sqlite::open(&file)?;
            store.fill_the_disk_after(100);
            Ok(Box::new(store) as Box<dyn Store>)
        };
        let inventory = Inventory::start(open, Vec::new(), Clock::system()).await.expect("opens");
        let mut kept = 0;
        let error = loop {
            match inventory.observe((kept..kept + 500).map(seen).collect()).await {
                Ok(_) => kept += 500,
                Err(error) => break error,
            }
        };
        assert!(kept > 0 && error.to_string().contains("no space left for the database"), "{error}");
        assert!(inventory.problem().is_some_and(|problem| problem.contains("no space left")));
        assert_eq!(inventory.snapshot().file_count(), kept, "what was not committed is not shown");
        assert!(inventory.file(seen(1).path).await.expect("is read").is_some());
        inventory.forget((0..kept).map(|number| seen(number).path).collect()).await.expect("is kept");
        inventory.observe(vec![seen(1)]).await.expect("there is room again");
        assert_eq!((inventory.problem(), inventory.snapshot().file_count()), (None, 1));
    }
}
