//! Hashing for the command line, beside a running server or without one: what has no digests yet, or what has, to see whether
//! it still is what it was.

use std::pin::Pin;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::counts::Counts;
use super::pool::{Made, Pool, Priority, Reading, Want};
use super::{Settings, keep, want};
use crate::inventory::{self, Inventory, Recorded};
use crate::metrics::Counter;
use crate::model::{FileRecord, FileState, Sha256, TreePath};
use crate::tree::Trees;

/// Why hashing ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The inventory failed.
    #[error(transparent)]
    Inventory(#[from] inventory::Error),
    /// No threads.
    #[error("files can't be hashed: no thread could be started")]
    Thread(#[source] std::io::Error),
}

/// Which files are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Those that lack digests.
    Missing,
    /// Those that have a digest: whether it is still theirs.
    Verify,
}

/// What there is to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What came of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It has its digests now.
    Hashed,
    /// It is what it was.
    Same,
    /// It looks as it did when it was hashed and has other bytes. That is written down.
    Damaged {
        /// What it should have.
        expected: Option<Sha256>,
        /// What was found; told by [`Task::Verify`].
        found: Sha256,
    },
    /// It is not as it was last seen: it was written meanwhile, or the index has not noticed it yet.
    Changed,
    /// It can't be read.
    Failed {
        /// Why.
        reason: String,
    },
}

/// One run over an instance's public tree.
#[derive(Debug)]
pub struct Once {
    trees: Trees,
    inventory: Inventory,
    settings: Settings,
    task: Task,
    bytes: Counter,
}

type Run = Pin<Box<dyn Future<Output = (FileRecord, Reading)> + Send>>;

/// Records that are read from the inventory at once.
const PAGE: usize = 1000;

impl Once {
    /// A run that has not begun.
    #[must_use]
    pub fn new(trees: Trees, inventory: Inventory, settings: Settings, task: Task) -> Self {
        Self { trees, inventory, settings, task, bytes: Counts::default().bytes }
    }

    /// Bytes that were read so far, for whoever shows how far it is.
    #[must_use]
    pub fn bytes(&self) -> Counter {
        self.bytes.clone()
    }

    /// How much there is to do below a path (or for this one file).
    ///
    /// # Errors
    /// When the inventory fails.
    pub async fn survey(&self, within: &TreePath<'static>) -> Result<Amount, Error> {
        let mut amount = Amount::default();
        let mut files = Files::new(self, within);
        while let Some(record) = files.next().await? {
            amount.files += 1;
            amount.bytes += record.fingerprint.size;
        }
        Ok(amount)
    }

    /// Hashes what is below a path, several files at a time, and tells of each what came of it, until it is stopped.
    ///
    /// # Errors
    /// When the inventory fails; what was told before is written down.
    pub async fn run(
        &self,
        within: &TreePath<'static>,
        stop: &CancellationToken,
        mut tell: impl FnMut(&FileRecord, Outcome),
    ) -> Result<(), Error> {
        let threads = self.settings.threads();
        let pool = Pool::start(threads, Priority::Normal, self.bytes.clone(), stop.clone()).map_err(Error::Thread)?;
        let result = self.hash(&pool, threads, within, stop, &mut tell).await;
        pool.stop().await;
        result
    }

    async fn hash(
        &self,
        pool: &Pool,
        threads: usize,
        within: &TreePath<'static>,
        stop: &CancellationToken,
        tell: &mut impl FnMut(&FileRecord, Outcome),
    ) -> Result<(), Error> {
        if self.task == Task::Missing {
            self.inventory.require_plan(self.settings.plan_id()).await?;
        }
        let mut files = Files::new(self, within);
        let mut running: FuturesUnordered<Run> = FuturesUnordered::new();
        loop {
            while running.len() < threads
                && !stop.is_cancelled()
                && let Some(record) = files.next().await?
            {
                let want = if self.task == Task::Verify { Want::Sha256 } else { want(&record, &self.settings) };
                let reading = pool.read(&self.trees.public, &record.path, record.fingerprint, want);
                running.push(Box::pin(async move { (record, reading.await) }));
            }
            let Some((record, reading)) = running.next().await else { return Ok(()) };
            if let Some(outcome) = self.judge(&record, reading).await? {
                tell(&record, outcome);
            }
        }
    }

    async fn judge(&self, record: &FileRecord, reading: Reading) -> Result<Option<Outcome>, Error> {
        Ok(Some(match reading {
            Reading::Stopped => return Ok(None),
            Reading::Changed => Outcome::Changed,
            Reading::Failed(error) => Outcome::Failed { reason: crate::cause::chain(&error) },
            Reading::Done(made) => {
                let found = match &made {
                    Made::Sha256(digest) => *digest,
                    Made::All(digests) => digests.sha256,
                };
                match keep(&self.inventory, &self.settings, record.path.clone(), record.fingerprint, made).await? {
                    Recorded::Outdated => Outcome::Changed,
                    Recorded::Damaged(known) => Outcome::Damaged { expected: known.sha256, found },
                    Recorded::Kept(_) if self.task == Task::Verify => Outcome::Same,
                    Recorded::Kept(_) => Outcome::Hashed,
                }
            }
        }))
    }
}

/// The files of a run, page by page.
struct Files<'a> {
    once: &'a Once,
    within: &'a TreePath<'static>,
    rounds: &'static [inventory::store::Which],
    page: std::vec::IntoIter<FileRecord>,
    after: Option<TreePath<'static>>,
}

impl<'a> Files<'a> {
    fn new(once: &'a Once, within: &'a TreePath<'static>) -> Self {
        use inventory::store::Which;
        let rounds: &[Which] = match once.task {
            Task::Missing => &[Which::Unhashed, Which::Undescribed],
            Task::Verify => &[Which::All],
        };
        Self { once, within, rounds, page: Vec::new().into_iter(), after: None }
    }

    async fn next(&mut self) -> Result<Option<FileRecord>, Error> {
        loop {
            let is_wanted = |record: &FileRecord| {
                self.once.task == Task::Missing || record.state == FileState::Settled && record.sha256.is_some()
            };
            if let Some(record) = self.page.find(is_wanted) {
                return Ok(Some(record));
            }
            let Some((which, rest)) = self.rounds.split_first() else { return Ok(None) };
            let page = self.once.inventory.files_of(*which, self.within.clone(), self.after.take(), PAGE).await?;
            match page.last() {
                Some(last) => self.after = Some(last.path.clone()),
                None => self.rounds = rest,
            }
            self.page = page.into_iter();
        }
    }
}
