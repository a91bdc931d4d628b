//! What goes into the inventory and comes out of it, besides files and mirrors: observations, scans, health, holds.

use jiff::Timestamp;
use roaring::RoaringBitmap;

use crate::model::{Fingerprint, Health, MirrorName, TreePath};

/// A file of the public tree, as it was just seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observation {
    /// Where it is.
    pub path: TreePath<'static>,
    /// How it looks.
    pub fingerprint: Fingerprint,
    /// When it was seen.
    pub at: Timestamp,
    /// On what occasion.
    pub kind: Seen,
}

/// On what occasion a file was seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Seen {
    /// At the first indexing of a tree: what is found was there before us, and is as old as its mtime says.
    First,
    /// Later: what is new has just been put there.
    Later,
    /// While it is being written.
    Changing,
}

/// An administrator's order not to hand out a path: a file, or a directory with everything below it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// What is held.
    pub path: TreePath<'static>,
    /// Why.
    pub because: String,
    /// Since when.
    pub at: Timestamp,
}

/// A hold that was set or lifted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HoldEvent {
    /// What was held.
    pub path: TreePath<'static>,
    /// Set or lifted.
    pub action: HoldAction,
    /// Why.
    pub because: String,
    /// When.
    pub at: Timestamp,
}

/// What was done about a path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldAction {
    /// It was put on hold.
    Held,
    /// The hold was lifted.
    Released,
}

/// How a mirror was scanned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// By its listings over HTTP.
    Http,
    /// By rsync.
    Rsync,
    /// By FTP.
    Ftp,
    /// File by file, by HEAD requests.
    Head,
}

impl Protocol {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Rsync => "rsync",
            Self::Ftp => "ftp",
            Self::Head => "head",
        }
    }
}

/// What a scan found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, serde::Serialize)]
pub struct Counts {
    /// Versions that the mirror holds.
    pub found: u64,
    /// Versions that it held before and doesn't any more.
    pub gone: u64,
    /// Copies of our paths that are not our versions.
    pub mismatched: u64,
    /// Copies that could not be told.
    pub doubtful: u64,
    /// Bytes that were read from the mirror.
    pub bytes: u64,
    /// Entries that the mirror listed.
    pub entries: u64,
}

/// A scan that ended, well or not.
#[derive(Clone, PartialEq, Debug)]
pub struct ScanRecord {
    /// Which mirror was scanned.
    pub mirror: MirrorName,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How it was done.
    pub protocol: Protocol,
    /// What was found, or why it failed.
    pub outcome: Result<Counts, String>,
    /// Whether the whole mirror was seen.
    pub complete: bool,
    /// The numbers of all versions that the mirror now is known to hold. `None`: what was known stays.
    pub holdings: Option<RoaringBitmap>,
}

/// A line in a mirror's history of scans.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScanSummary {
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How it was done.
    pub protocol: Protocol,
    /// What was found, or why it failed.
    pub outcome: Result<Counts, String>,
    /// Whether the whole mirror was seen.
    pub complete: bool,
}

/// A line in a mirror's history of health.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HealthChange {
    /// What it became.
    pub health: Health,
    /// When.
    pub at: Timestamp,
    /// Why, where there is something to say.
    pub reason: Option<String>,
}
