//! The hash queue: gives every version all its digests, in the background, several files at a time. Files that a client waits
//! for come first, then new ones and those of which only a digest can tell whether they changed, then all others.
//!
//! A file that was hashed is written down within moments, small ones many at a time, and never hashed again after a restart; who is
//! killed reads again what was not written down yet. A pass that is cut off begins anew, however large the file is: no state is
//! kept between the two. One file that can't be read stops nothing.
//!
//! One pass over a file makes all digests. It costs the processor as much as all of them one after the other, 6 to 8 seconds
//! for a gigabyte on a core with SHA instructions; where threads are idle they share the pass, and with four cores it takes as
//! long as the slowest digest (SHA-512, then MD5).

mod backlog;
mod counts;
mod crew;
pub mod digest;
mod once;
mod pass;
mod pieces;
mod plan;
mod pool;
mod written;
mod zsync;

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Clock};
use crate::inventory::{self, Hashed, Inventory, Recorded};
use crate::model::{FileRecord, FileState, Fingerprint, TreePath};
use crate::tree::{LookError, Trees};
use backlog::Backlog;
use pool::{Made, Pool, Priority, Reading, Want};
use written::Unwritten;

pub use counts::{Counts, Families};
pub use crew::{Crew, Help};
pub use once::{Amount, Error, Once, Outcome, Task};
pub use plan::{MAX_PIECE_BYTES, MIN_PIECE_BYTES, Plan, Settings};
pub use zsync::Shape;

/// Hashes one instance's public tree.
#[derive(Debug)]
pub struct Hasher {
    trees: Arc<Trees>,
    inventory: Inventory,
    settings: Settings,
    clock: Clock,
    requested: mpsc::Receiver<TreePath<'static>>,
    changed: mpsc::Receiver<TreePath<'static>>,
    more: Arc<Notify>,
    backlog: Backlog,
    /// Files that could not be read as they are known to look, and when to try again.
    failed: HashMap<TreePath<'static>, (Fingerprint, Timestamp)>,
    /// Files that are being read.
    running: FuturesUnordered<Run>,
    /// Those that are being read or wait to be written down.
    taken: HashSet<TreePath<'static>>,
    unwritten: Unwritten,
    counts: Counts,
    /// When files that wait were last counted.
    counted: Option<Instant>,
    /// Whether those that follow another plan were marked.
    is_plan_required: bool,
    is_failing: bool,
}

/// A file that is being read, and how it was.
type Run = Pin<Box<dyn Future<Output = (FileRecord, Reading)> + Send>>;

/// Where others say what is to be hashed soon. Nothing waits: what finds no room is found later.
#[derive(Debug, Clone)]
pub struct Orders {
    requested: mpsc::Sender<TreePath<'static>>,
    changed: mpsc::Sender<TreePath<'static>>,
    more: Arc<Notify>,
}

/// Orders of one kind that wait: as many files as change at once in a large upload.
const MAX_ORDERS: usize = 4096;
/// How often the queue looks for itself whether there is something to do.
const IDLE: Duration = Duration::from_secs(60);
/// How long the queue rests when the inventory fails.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// How long the end waits until the last files are written down.
const AT_THE_END: Duration = Duration::from_secs(1);
/// How long the queue rests when the tree is away.
const AWAY: Duration = Duration::from_secs(1);
/// How long a file that could not be read is left alone.
const TRY_AGAIN: SignedDuration = SignedDuration::from_mins(10);
/// How long a file that is damaged is left alone: someone has to mend it.
const DAMAGED_AGAIN: SignedDuration = SignedDuration::from_hours(24);
/// How far files that wait are counted: more is only "many", and a count may not keep the inventory busy.
pub const MAX_COUNTED: u32 = 100_000;
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

    /// This file is new: it comes before all those that have waited long.
    pub fn hash_soon(&self, path: TreePath<'static>) {
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
    pub fn new(trees: Trees, inventory: Inventory, settings: Settings, clock: Clock) -> (Self, Orders) {
        let (requested_to, requested) = mpsc::channel(MAX_ORDERS);
        let (changed_to, changed) = mpsc::channel(MAX_ORDERS);
        let more = Arc::new(Notify::new());
        let orders = Orders { requested: requested_to, changed: changed_to, more: Arc::clone(&more) };
        let hasher = Self {
            trees: Arc::new(trees),
            inventory,
            settings,
            clock,
            requested,
            changed,
            more,
            backlog: Backlog::default(),
            failed: HashMap::new(),
            running: FuturesUnordered::new(),
            taken: HashSet::new(),
            unwritten: Unwritten::default(),
            counts: Counts::default(),
            counted: None,
            is_plan_required: false,
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

    /// Runs until it is cancelled; files that are being read then are given up within moments.
    pub async fn run(mut self, stop: CancellationToken) {
        let bytes = self.counts.bytes.clone();
        let pool = match Pool::start(self.settings.threads(), Priority::Low, bytes, stop.clone()) {
            Ok(pool) => pool,
            Err(error) => return tracing::error!(%error, "files can't be hashed: no thread"),
        };
        while let Some(step) = stop.run_until_cancelled(self.step(&pool)).await {
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
        pool.stop().await;
        if let Ok(Err(error)) = tokio::time::timeout(AT_THE_END, self.write_down()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the last files that were hashed will be hashed again");
        }
    }

    /// Begins with the next file, or waits until something is done or ordered.
    async fn step(&mut self, pool: &Pool) -> Result<(), inventory::Error> {
        self.keep_up().await?;
        if self.unwritten.is_due() {
            self.write_down().await?;
        }
        if let Some(record) = self.next().await? {
            self.begin(record, pool);
            return Ok(());
        }
        let takes_orders = self.takes_orders();
        let due = self.unwritten.due().filter(|_| !self.running.is_empty());
        if due.is_none() && self.unwritten.due().is_some() {
            return self.write_down().await; // nothing more comes soon
        }
        tokio::select! {
            Some((record, reading)) = self.running.next() => self.end(record, reading).await,
            () = at(due) => self.write_down().await?,
            () = self.more.notified() => self.backlog = Backlog::default(),
            () = tokio::time::sleep(IDLE) => self.backlog = Backlog::default(),
            Some(path) = self.requested.recv(), if takes_orders => self.backlog.put_first(path),
            Some(path) = self.changed.recv(), if takes_orders => self.backlog.put_first(path),
        }
        Ok(())
    }

    /// Has files that follow another plan wait too, once, and counts what waits, now and then.
    async fn keep_up(&mut self) -> Result<(), inventory::Error> {
        if !self.is_plan_required {
            self.inventory.require_plan(self.settings.plan_id()).await?;
            self.is_plan_required = true;
        }
        if self.counted.is_none_or(|at| at.elapsed() >= IDLE) {
            let waiting = self.inventory.waiting(MAX_COUNTED).await?;
            self.counts.unhashed.set(waiting.unhashed.cast_signed());
            self.counts.undescribed.set(waiting.undescribed.cast_signed());
            self.counted = Some(clock::instant());
        }
        Ok(())
    }

    /// Orders are taken although all threads are busy: one more is there for them.
    fn takes_orders(&self) -> bool {
        self.running.len() <= self.settings.threads()
    }

    /// The next file that needs a digest, if it can be begun with.
    async fn next(&mut self) -> Result<Option<FileRecord>, inventory::Error> {
        while self.takes_orders()
            && let Some(path) = self.ordered()
        {
            if let Some(record) = self.inventory.file(path).await?
                && (record.state != FileState::Settled || record.sha256.is_none())
                && self.may_begin(&record)
            {
                return Ok(Some(record));
            }
        }
        if self.running.len() >= self.settings.threads() {
            return Ok(None);
        }
        let now = self.clock.now();
        while let Some(record) = self.backlog.next(&self.inventory).await? {
            let is_left_alone =
                self.failed.get(&record.path).is_some_and(|(look, until)| *look == record.fingerprint && now < *until);
            if self.may_begin(&record) && !is_left_alone {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn may_begin(&self, record: &FileRecord) -> bool {
        record.state != FileState::Changing && !self.taken.contains(&record.path)
    }

    fn ordered(&mut self) -> Option<TreePath<'static>> {
        let requested = self.requested.try_recv().ok();
        requested.or_else(|| self.backlog.first.take()).or_else(|| self.changed.try_recv().ok())
    }

    fn begin(&mut self, record: FileRecord, pool: &Pool) {
        let want = want(&record, &self.settings);
        let reading = pool.read(&self.trees.public, &record.path, record.fingerprint, want);
        self.taken.insert(record.path.clone());
        self.running.push(Box::pin(async move { (record, reading.await) }));
    }

    async fn end(&mut self, record: FileRecord, reading: Reading) {
        let FileRecord { path, fingerprint, .. } = record;
        if let Reading::Done(made) = reading {
            self.counts.files.inc();
            return self.unwritten.add(hashed(&self.settings, path, fingerprint, made));
        }
        self.taken.remove(&path);
        match reading {
            // Whoever noticed the change has it settle, and orders again.
            Reading::Changed => self.fail(path, fingerprint),
            Reading::Failed(LookError::Away) => {
                self.backlog = Backlog::default();
                tokio::time::sleep(AWAY).await;
            }
            Reading::Failed(error) => {
                tracing::debug!(%path, error = &error as &dyn std::error::Error, "a file can't be hashed");
                self.fail(path, fingerprint);
            }
            Reading::Done(_) | Reading::Stopped => {}
        }
    }

    /// Has the inventory keep what was made since the last time.
    async fn write_down(&mut self) -> Result<(), inventory::Error> {
        let batch = self.unwritten.take();
        if batch.is_empty() {
            return Ok(());
        }
        if batch.iter().any(|hashed| hashed.description.is_none()) {
            self.more.notify_one(); // what is another version is to be described
        }
        let files: Vec<_> = batch.iter().map(|hashed| (hashed.path.clone(), hashed.fingerprint)).collect();
        for (path, _) in &files {
            self.taken.remove(path);
        }
        // Where it fails they are found to lack a digest again.
        let recorded = self.inventory.record_hashed(batch).await.inspect_err(|_| self.backlog = Backlog::default())?;
        for ((path, fingerprint), recorded) in files.into_iter().zip(recorded) {
            match recorded {
                Recorded::Damaged(_) => {
                    self.counts.damages.inc();
                    tracing::error!(%path, "a file has other bytes than when it was hashed, and looks the same: it is damaged");
                    self.leave_alone(path, fingerprint, DAMAGED_AGAIN);
                }
                Recorded::Kept(_) | Recorded::Outdated => drop(self.failed.remove(&path)),
            }
        }
        Ok(())
    }

    fn fail(&mut self, path: TreePath<'static>, fingerprint: Fingerprint) {
        self.counts.failures.inc();
        self.leave_alone(path, fingerprint, TRY_AGAIN);
    }

    fn leave_alone(&mut self, path: TreePath<'static>, fingerprint: Fingerprint, span: SignedDuration) {
        let now = self.clock.now();
        if self.failed.len() >= MAX_FAILED {
            self.failed.retain(|_, (_, until)| now < *until);
        }
        if self.failed.len() < MAX_FAILED {
            self.failed.insert(path, (fingerprint, now.checked_add(span).unwrap_or(Timestamp::MAX)));
        }
    }
}

/// What is made of a file. Whether it is still the same version is told by one digest; what is not the same after all is
/// described later.
fn want(record: &FileRecord, settings: &Settings) -> Want {
    match (record.state, record.sha256) {
        (FileState::Unconfirmed, Some(_)) => Want::Sha256,
        _ => Want::All(settings.plan(record.fingerprint.size)),
    }
}

/// Has the inventory keep what was made of a file.
async fn keep(
    inventory: &Inventory,
    settings: &Settings,
    path: TreePath<'static>,
    fingerprint: Fingerprint,
    made: Made,
) -> Result<Recorded, inventory::Error> {
    let batch = vec![hashed(settings, path, fingerprint, made)];
    inventory.record_hashed(batch).await?.pop().ok_or(inventory::Error::Internal)
}

fn hashed(settings: &Settings, path: TreePath<'static>, fingerprint: Fingerprint, made: Made) -> Hashed {
    let (sha256, description) = match made {
        Made::Sha256(digest) => (digest, None),
        Made::All(digests) => (digests.sha256, Some((digests, settings.plan_id()))),
    };
    Hashed { path, fingerprint, sha256, description }
}

/// Waits for a time; for ever where there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
