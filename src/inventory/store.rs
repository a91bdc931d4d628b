//! The store: the durable copy of the inventory, as verbs of the domain. Blocking; only the owner thread calls it.
//!
//! Every verb that writes is one transaction that reads again what it changes, and may be repeated without harm:
//! several processes may use one store at a time. `tests/store.rs` holds the suite that every store must pass.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use roaring::RoaringBitmap;

pub(super) use super::contents::shares_a_base;
pub use super::contents::{
    Bookmark, Changes, Contents, Lag, Page, Sequence, StoredMirror, Swept, Tried, Update, Which, Written,
};
use super::error::Error;
pub use super::leap::{Leap, Redated};
use super::outline::Outline;
use super::record::{
    Adjustment, Damage, Hashed, HealthChange, Hold, HoldEvent, Listed, Observation, Recorded, ScanMemory, ScanRecord,
    ScanSummary, Waiting,
};
use super::share::Gaps;
use super::snapshot::FileEntry;
use crate::model::{Checkup, Digests, FileRecord, Fingerprint, MirrorName, Sha256, TreePath, VersionNumber};

/// What keeps the inventory.
pub trait Store: Send {
    /// Reads everything that a snapshot needs, in one consistent view. Each file is given to `files`, in any order, and may be given
    /// twice; without that, no files are read.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    fn load(&mut self, files: Option<&mut dyn Sink>) -> Result<Contents, Error>;

    /// What was committed after `after`, by whomever.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    fn changes(&mut self, after: Sequence) -> Result<Changes, Error>;

    /// As [`Self::changes`], but of files only.
    ///
    /// # Errors
    /// When the store fails or is damaged.
    fn changed_files(&mut self, after: Sequence) -> Result<Changes, Error>;

    /// What tells the commit at this place from all others, of other databases too; `None` when the log has it no more.
    ///
    /// # Errors
    /// When the store fails.
    fn bookmark(&mut self, at: Sequence) -> Result<Option<Bookmark>, Error>;

    /// How far a commit lies behind, where the log still has it and all that followed.
    ///
    /// # Errors
    /// When the store fails.
    fn since(&mut self, bookmark: Bookmark) -> Result<Option<Lag>, Error>;

    /// Why nothing can be written for now, if that is known beforehand.
    fn trouble(&self) -> Option<Error> {
        None
    }

    /// Judges observations (see [`super::versioning`]) and keeps what they say.
    ///
    /// # Errors
    /// When the store fails; then nothing of the batch is kept.
    fn observe(&mut self, batch: &[Observation]) -> Result<Written<Vec<FileRecord>>, Error>;

    /// Keeps digests that were made while the files looked as told (see [`super::versioning`]), and descriptions beside them. Where
    /// a settled file has another digest, the damage is written down and nothing else changes.
    ///
    /// # Errors
    /// When the store fails; then none is kept.
    fn record_hashed(&mut self, batch: &[Hashed], now: Timestamp) -> Result<Written<Vec<Recorded>>, Error>;

    /// As [`Self::record_hashed`], of one file that is not described.
    ///
    /// # Errors
    /// When the store fails.
    fn record_digest(
        &mut self,
        path: &TreePath<'static>,
        fingerprint: &Fingerprint,
        digest: Sha256,
        now: Timestamp,
    ) -> Result<Written<Recorded>, Error> {
        let (path, fingerprint) = (path.clone(), *fingerprint);
        only(self.record_hashed(&[Hashed { path, fingerprint, sha256: digest, description: None }], now)?)
    }

    /// As [`Self::record_digest`], with all digests, made by `plan`: the version's description is kept beside them.
    ///
    /// # Errors
    /// When the store fails.
    fn record_digests(
        &mut self,
        path: &TreePath<'static>,
        fingerprint: &Fingerprint,
        digests: &Digests,
        plan: PlanId,
        now: Timestamp,
    ) -> Result<Written<Recorded>, Error> {
        let (path, fingerprint) = (path.clone(), *fingerprint);
        let description = Some((Box::new(digests.clone()), plan));
        only(self.record_hashed(&[Hashed { path, fingerprint, sha256: digests.sha256, description }], now)?)
    }

    /// The description of a path's version, if there is one.
    ///
    /// # Errors
    /// When the store fails.
    fn digests(&mut self, path: &TreePath<'_>, version: VersionNumber) -> Result<Option<Digests>, Error>;

    /// What opens the same database once more for reading descriptions, as it is now; `None` for a store that only its
    /// owner can read.
    fn beside(&self) -> Option<Box<OpenBeside>>;

    /// Marks, among the next [`MAX_PAGE`] files after a path, those that another plan describes as to be described again.
    /// Returns the last path that was looked at; `None` when all files were, now or before.
    ///
    /// # Errors
    /// When the store fails.
    fn require_plan(&mut self, plan: PlanId, after: Option<&TreePath<'static>>) -> Result<Option<TreePath<'static>>, Error>;

    /// How many files wait to be hashed or described, counted up to `limit` each.
    ///
    /// # Errors
    /// When the store fails.
    fn waiting(&mut self, limit: u32) -> Result<Waiting, Error>;

    /// The damage of a version's file, if some was found.
    ///
    /// # Errors
    /// When the store fails.
    fn damage(&mut self, version: VersionNumber) -> Result<Option<Damage>, Error>;

    /// Forgets files, and returns those that were known.
    ///
    /// # Errors
    /// When the store fails; then none is forgotten.
    fn forget(&mut self, paths: &[TreePath<'static>]) -> Result<Written<Vec<TreePath<'static>>>, Error>;

    /// Forgets, among the next `limit` files of `below`, those whose version is not `seen` and that were recorded before
    /// `began`.
    ///
    /// # Errors
    /// When the store fails; then none is forgotten.
    fn sweep(&mut self, page: &Page, seen: &RoaringBitmap, began: Timestamp) -> Result<Written<Swept>, Error>;

    /// Moves the moments since when the files of a page are public, where they are young, after the clock was put on.
    ///
    /// # Errors
    /// When the store fails; then none of them is moved.
    fn redate(&mut self, page: &Page, leap: &Leap) -> Result<Written<Redated>, Error>;

    /// A page of the files below a directory, in the order of their paths' bytes.
    ///
    /// # Errors
    /// When the store fails.
    fn files(&mut self, page: &Page, which: Which) -> Result<Vec<FileRecord>, Error>;

    /// The same, by path, version and size only.
    ///
    /// # Errors
    /// When the store fails.
    fn outline(&mut self, page: &Page) -> Result<Outline, Error>;

    /// What is known of a file.
    ///
    /// # Errors
    /// When the store fails.
    fn file(&mut self, path: &TreePath<'_>) -> Result<Option<FileRecord>, Error>;

    /// Whether the tree was walked whole once.
    ///
    /// # Errors
    /// When the store fails.
    fn is_indexed(&mut self) -> Result<bool, Error>;

    /// Notes that the tree was walked whole.
    ///
    /// # Errors
    /// When the store fails.
    fn set_indexed(&mut self) -> Result<(), Error>;

    /// What is known of mirrors, by name; mirrors of which nothing is known are left out.
    ///
    /// # Errors
    /// When the store fails.
    fn mirrors(&mut self, names: &[MirrorName]) -> Result<Vec<StoredMirror>, Error>;

    /// Keeps a scan: its line in the history and, where it brings some, the mirror's holdings, seen at the URLs `bases`.
    /// The value is what the mirror's holdings became, if they changed.
    ///
    /// # Errors
    /// When the store fails; then what was known stays.
    fn record_scan(&mut self, record: &ScanRecord, bases: &str) -> Result<Written<Option<RoaringBitmap>>, Error>;

    /// What the last scans of a mirror have left for the next; nothing where there were none.
    ///
    /// # Errors
    /// When the store fails.
    fn scan_memory(&mut self, mirror: &MirrorName) -> Result<ScanMemory, Error>;

    /// What scans remember of a mirror's listings; nothing where nothing is.
    ///
    /// # Errors
    /// When the store fails.
    fn listed(&mut self, mirror: &MirrorName) -> Result<Option<Listed>, Error>;

    /// Keeps what the last scans of a mirror leave for the next.
    ///
    /// # Errors
    /// When the store fails; then the old one stays.
    fn remember_scan(&mut self, mirror: &MirrorName, memory: &ScanMemory) -> Result<Written<()>, Error>;

    /// Keeps what came of trying, at the URLs `bases`, what a mirror can do.
    ///
    /// # Errors
    /// When the store fails; then what was known stays.
    fn record_checkup(&mut self, mirror: &MirrorName, checkup: &Checkup, bases: &str) -> Result<Written<()>, Error>;

    /// What came of trying what a mirror can do, if that was at the URLs `bases`.
    ///
    /// # Errors
    /// When the store fails.
    fn checkup(&mut self, mirror: &MirrorName, bases: &str) -> Result<Option<Checkup>, Error>;

    /// The largest settled files of more than 2 GiB whose size is one of `sizes`, largest first, at most `limit`.
    ///
    /// # Errors
    /// When the store fails.
    fn large_files(&mut self, sizes: &RangeInclusive<u64>, limit: usize) -> Result<Vec<FileRecord>, Error>;

    /// Adds to a mirror's holdings, and takes away from them. What was seen at other URLs than `bases` altogether does not count
    /// any more. The value is what the holdings became, if they changed.
    ///
    /// # Errors
    /// When the store fails; then what was known stays.
    fn adjust_holdings(&mut self, adjustment: &Adjustment, bases: &str) -> Result<Written<Option<RoaringBitmap>>, Error>;

    /// The newest scans of a mirror, newest first.
    ///
    /// # Errors
    /// When the store fails.
    fn scans(&mut self, mirror: &MirrorName, limit: usize) -> Result<Vec<ScanSummary>, Error>;

    /// What a mirror lacks, as far as a scan has written it down.
    ///
    /// # Errors
    /// When the store fails.
    fn gaps(&mut self, mirror: &MirrorName) -> Result<Option<Gaps>, Error>;

    /// Versions of which a mirror was seen to have other bytes, with their paths, as far as the tree still has them.
    ///
    /// # Errors
    /// When the store fails.
    fn wrong(&mut self, mirror: &MirrorName) -> Result<Vec<(TreePath<'static>, VersionNumber)>, Error>;

    /// Keeps a mirror's health, and a line in its history if it changed.
    ///
    /// # Errors
    /// When the store fails.
    fn record_health(&mut self, mirror: &MirrorName, change: &HealthChange) -> Result<Written<()>, Error>;

    /// The newest changes of a mirror's health, newest first.
    ///
    /// # Errors
    /// When the store fails.
    fn health_history(&mut self, mirror: &MirrorName, limit: usize) -> Result<Vec<HealthChange>, Error>;

    /// Puts a path on hold; one that is on hold already gets the new reason.
    ///
    /// # Errors
    /// When the store fails, or there are [`MAX_HOLDS`].
    fn hold(&mut self, hold: &Hold) -> Result<Written<()>, Error>;

    /// Lifts the hold of exactly this path; false when there is none.
    ///
    /// # Errors
    /// When the store fails.
    fn release(&mut self, path: &TreePath<'static>, because: &str, at: Timestamp) -> Result<Written<bool>, Error>;

    /// All holds, in the order of their paths.
    ///
    /// # Errors
    /// When the store fails.
    fn holds(&mut self) -> Result<Vec<Hold>, Error>;

    /// The newest holds and releases, newest first.
    ///
    /// # Errors
    /// When the store fails.
    fn hold_history(&mut self, limit: usize) -> Result<Vec<HoldEvent>, Error>;

    /// Ends the store in good order. What was committed stands without it too.
    ///
    /// # Errors
    /// When the store fails.
    fn close(&mut self) -> Result<(), Error>;
}

fn only(written: Written<Vec<Recorded>>) -> Result<Written<Recorded>, Error> {
    let Written { mut value, sequence } = written;
    Ok(Written { value: value.pop().ok_or(Error::Internal)?, sequence })
}

/// Reads descriptions beside the owner thread, for requests.
pub trait Descriptions: Send {
    /// The description of a path's version, if there is one.
    ///
    /// # Errors
    /// When the store fails, or another database lies in its place.
    fn digests(&mut self, path: &TreePath<'_>, version: VersionNumber) -> Result<Option<Digests>, Error>;
}

/// Opens a store once more for reading descriptions.
pub type OpenBeside = dyn Fn() -> Result<Box<dyn Descriptions>, Error> + Send + Sync;

/// By which plan a version is described: a number of its settings; never 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlanId(pub u32);

/// What takes files while a store is loaded.
pub trait Sink {
    /// Takes one: the bytes of its path, as the store has them, and what is kept of it. A path that breaks the rules of
    /// [`TreePath`] is never asked for, so it isn't checked here, where there are millions.
    fn take(&mut self, path: &[u8], entry: &FileEntry);

    /// That was the last one, while there is more to read of other things.
    fn end(&mut self);
}

/// The most holds that may stand at a time: each request is compared with them, and an administrator who needs more wants
/// a directory.
pub const MAX_HOLDS: usize = 1000;
/// The most records in one page, so that no caller makes the owner thread busy for long.
pub const MAX_PAGE: usize = 20_000;
/// The newest lines that are kept of each mirror's scans: eight days of hourly scans.
pub const MAX_SCANS: usize = 200;
/// The newest lines that are kept of each mirror's health.
pub const MAX_HEALTH_CHANGES: usize = 200;
/// The newest holds and releases that are kept.
pub const MAX_HOLD_EVENTS: usize = 10_000;
/// How much of a reason is kept, in bytes: reasons may quote what a mirror sent, or be anything on the command line.
pub const MAX_REASON_BYTES: usize = 1000;
/// How many bytes are remembered of all mirrors' listings together: about 50 for a directory, so a million of them.
pub const MAX_LISTED_BYTES: u64 = 50 << 20;
