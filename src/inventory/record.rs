//! What goes into the inventory and comes out of it, besides files and mirrors: observations, scans, health, holds.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use roaring::RoaringBitmap;
use serde::{Serialize, Serializer};

use super::share::{Gaps, Share};
use super::store::PlanId;
pub use crate::model::Protocol;
use crate::model::{Digests, FileRecord, Fingerprint, Health, MirrorName, Scheme, Sha256, TreePath, VersionNumber};

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
    /// Where it was not before, as in a folder that was moved or mounted there: what is new has become public right now, however old all
    /// its times are.
    Arrived,
    /// While it is being written.
    Changing,
}

/// What became of a digest that was made of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Recorded {
    /// It says nothing: the file has been seen otherwise since, is being written, or is gone.
    Outdated,
    /// The file's record, with this digest.
    Kept(FileRecord),
    /// The file looks as before and has other bytes: bit rot. The record is as it was, and the damage is written down.
    Damaged(FileRecord),
}

impl Recorded {
    /// The file's record, where the digest is its.
    #[must_use]
    pub fn kept(self) -> Option<FileRecord> {
        match self {
            Self::Kept(record) => Some(record),
            Self::Outdated | Self::Damaged(_) => None,
        }
    }
}

/// What was made of a file that was read while it looked like `fingerprint`.
#[derive(Clone, PartialEq, Debug)]
pub struct Hashed {
    /// The file.
    pub path: TreePath<'static>,
    /// How it looked, before and after.
    pub fingerprint: Fingerprint,
    /// Its digest.
    pub sha256: Sha256,
    /// All its digests, where they were made, and the plan that they follow.
    pub description: Option<(Box<Digests>, PlanId)>,
}

impl Hashed {
    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.description.as_ref().map_or(0, |(digests, _)| digests.memory_bytes())
    }
}

/// A file whose bytes changed while its size and times did not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Damage {
    /// The digest that was found instead of the version's.
    pub found: Sha256,
    /// When it was first noticed.
    pub at: Timestamp,
}

/// How many files wait to be hashed, counted up to some limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Waiting {
    /// Without a digest, or to be confirmed by one.
    pub unhashed: u64,
    /// With a digest, to be described in full.
    pub undescribed: u64,
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
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HoldEvent {
    /// What was held.
    #[serde(serialize_with = "as_text")]
    pub path: TreePath<'static>,
    /// Set or lifted.
    pub action: HoldAction,
    /// Why.
    pub because: String,
    /// When.
    pub at: Timestamp,
}

/// What was done about a path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldAction {
    /// It was put on hold.
    Held,
    /// The hold was lifted.
    Released,
}

impl HoldAction {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Released => "released",
        }
    }
}

impl fmt::Display for HoldAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a scan found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize)]
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
    /// What a person should know: which ways did not work, what was odd. Empty: nothing.
    pub notes: String,
    /// The numbers of all versions that the mirror now is known to hold. `None`: what was known stays.
    pub holdings: Option<RoaringBitmap>,
    /// What the mirror was known to hold when the scan began: what others found out since then is neither undone nor forgotten.
    /// `None`: the holdings take the place of all that was known.
    pub before: Option<RoaringBitmap>,
    /// The one of the mirror's two base URLs that was not seen to have them, if there is one.
    pub unseen: Option<Scheme>,
    /// How much of the tree that is, where the whole tree was scanned.
    pub share: Option<Share>,
    /// What the mirror lacks. `None`: what was known stays.
    pub gaps: Option<Gaps>,
    /// What is to be remembered of its listings: the parts that are others now. `None`: what was remembered stays.
    pub listed: Option<Listed>,
}

/// What scans remember of a mirror's listings, in the scanner's own form.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listed {
    /// Where it was listed, and how often.
    pub head: Vec<u8>,
    /// What is remembered of its directories, in parts. To be written, an empty one takes away what is there.
    pub parts: BTreeMap<u16, Vec<u8>>,
}

/// What one scan of a mirror leaves for the next.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ScanMemory {
    /// How many scans asked for a part of the confirmed files: it tells whose turn it is.
    pub turn: u32,
    /// The mirror's stamp, if it has one.
    pub stamp: Option<SeenStamp>,
}

/// What a mirror's stamp said before the last complete scan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeenStamp {
    /// Its content and age, in a form that can be compared.
    pub text: String,
    /// When that scan began.
    pub began: Timestamp,
    /// How many complete scans in a row saw it so.
    pub scans: u32,
    /// The largest version number that was looked for.
    pub newest: u32,
}

/// What single questions found out about a mirror, between scans.
#[derive(Clone, PartialEq, Debug)]
pub struct Adjustment {
    /// Which mirror was asked.
    pub mirror: MirrorName,
    /// When the asking began.
    pub began: Timestamp,
    /// The numbers of versions that it was seen with.
    pub gained: RoaringBitmap,
    /// The numbers of versions that it has no longer.
    pub lost: RoaringBitmap,
    /// Versions of which it has other bytes behind the right size and time: they are no holdings, whatever else says so, until they
    /// are seen to be right.
    pub wrong: Vec<(TreePath<'static>, VersionNumber)>,
    /// The numbers of such versions that were seen to be right.
    pub right: RoaringBitmap,
    /// The one of the mirror's two base URLs that was not seen to have anything, where nothing was known of the mirror before.
    pub unseen: Option<Scheme>,
}

impl Adjustment {
    /// Nothing was found out of a mirror since then.
    #[must_use]
    pub fn of(mirror: MirrorName, began: Timestamp) -> Self {
        let nothing = RoaringBitmap::new;
        Self { mirror, began, gained: nothing(), lost: nothing(), wrong: Vec::new(), right: nothing(), unseen: None }
    }
}

impl ScanRecord {
    /// A complete scan over HTTP between these times, after which the mirror holds this and nothing else.
    #[must_use]
    pub fn new(mirror: MirrorName, (began, ended): (Timestamp, Timestamp), holdings: RoaringBitmap) -> Self {
        Self {
            mirror,
            began,
            ended,
            protocol: Protocol::Http,
            outcome: Ok(Counts { found: holdings.len(), ..Counts::default() }),
            complete: true,
            notes: String::new(),
            holdings: Some(holdings),
            before: None,
            unseen: None,
            share: None,
            gaps: None,
            listed: None,
        }
    }
}

/// What a mirror holds after a scan that found `after` where it began with `before`, when `now` is what is known by then: another
/// scan, or single questions, may have found something meanwhile.
#[must_use]
pub(super) fn carried_over(before: &RoaringBitmap, after: &RoaringBitmap, mut now: RoaringBitmap) -> RoaringBitmap {
    now |= after - before;
    now -= before - after;
    now
}

/// A line in a mirror's history of scans.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ScanSummary {
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How it was done.
    pub protocol: Protocol,
    /// What was found, or why it failed.
    #[serde(flatten, serialize_with = "counts_or_failure")]
    pub outcome: Result<Counts, String>,
    /// Whether the whole mirror was seen.
    pub complete: bool,
    /// What a person should know. Empty: nothing.
    pub notes: String,
    /// How much of the tree the mirror held then, where the whole tree was scanned.
    pub share: Option<Share>,
}

/// A line in a mirror's history of health.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HealthChange {
    /// What it became.
    pub health: Health,
    /// When.
    pub at: Timestamp,
    /// Why, where there is something to say.
    pub reason: Option<String>,
}

fn as_text<S: Serializer>(path: &TreePath<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(path)
}

/// The counts, or the key `failure`.
fn counts_or_failure<S: Serializer>(outcome: &Result<Counts, String>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Shown<'a> {
        Counts(&'a Counts),
        Failure { failure: &'a str },
    }
    let shown = outcome.as_ref().map_or_else(|reason| Shown::Failure { failure: reason }, Shown::Counts);
    shown.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_is_shown_to_programs_as_its_counts_or_its_failure() {
        let scan = |outcome| ScanSummary {
            began: Timestamp::UNIX_EPOCH,
            ended: Timestamp::UNIX_EPOCH,
            protocol: Protocol::Head,
            outcome,
            complete: false,
            notes: String::new(),
            share: None,
        };
        let good = serde_json::to_value(scan(Ok(Counts { found: 3, ..Counts::default() }))).expect("is JSON");
        assert_eq!((&good["found"], &good["protocol"], good.get("failure")), (&3.into(), &"head".into(), None));
        let bad = serde_json::to_value(scan(Err("timed out".into()))).expect("is JSON");
        assert_eq!((&bad["failure"], bad.get("found")), (&"timed out".into(), None));
    }
}
