//! The trail of a path: the times of contents of one size that it had before, so that no copy of them passes for what is there now.
//!
//! A mirror tells a copy's size and time, and nothing else. A copy that keeps times has one of those that its content was seen with; one
//! that does not is as young as its transfer. So copies of a content are told from those of others that were there before it, of the same
//! size: by just its time, if none of the others had that, or because they were made after it was put there.

use jiff::Timestamp;

use super::versioning::nanoseconds;
use crate::model::{FileRecord, FileState, Fingerprint, Sha256};

/// Which times a copy may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Copies {
    /// In nanoseconds since 1970.
    pub time_ns: i64,
    /// Whether it must be this time, or one since the version is public, as there were other contents of its size; else every later time
    /// will do.
    pub exact: bool,
}

/// The times of one or several contents: from the first to the last, in nanoseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// The first.
    pub from_ns: i64,
    /// The last.
    pub until_ns: i64,
}

/// What is remembered of the contents of one size that one path had. Where the present content was read, the last one is that;
/// else it is the one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trail {
    /// The digest of the last one; none where it was not read.
    pub sha256: Option<Sha256>,
    /// Its times, or those of all in a row that were not read.
    pub times: Times,
    /// The inode that it was last seen in.
    pub inode: u64,
    /// The times of all others.
    pub others: Option<Times>,
}

/// Times of copies are judged with a tolerance of two seconds, and shown in whole ones.
const INDISTINCT_NS: i64 = 3_000_000_000;

impl Times {
    /// Those of one look of a file that may be counted from an earlier time.
    fn of(time_ns: i64, counted_from_ns: i64) -> Self {
        Self { from_ns: time_ns.min(counted_from_ns), until_ns: time_ns }
    }

    fn and(self, other: Option<Self>) -> Self {
        other.map_or(self, |other| Self {
            from_ns: self.from_ns.min(other.from_ns),
            until_ns: self.until_ns.max(other.until_ns),
        })
    }
}

impl FileRecord {
    /// Which times a copy of the version may have.
    #[must_use]
    pub const fn copies(&self) -> Copies {
        Copies { time_ns: self.version_mtime_ns, exact: self.exact_time }
    }
}

impl Copies {
    /// All from a time on.
    #[must_use]
    pub const fn from(time_ns: i64) -> Self {
        Self { time_ns, exact: false }
    }

    /// Those that a time tells from the copies of other contents.
    fn told_by(time_ns: i64, others: Option<Times>) -> Option<Self> {
        let Some(others) = others else { return Some(Self::from(time_ns)) };
        let is_told =
            time_ns > others.until_ns.saturating_add(INDISTINCT_NS) || time_ns < others.from_ns.saturating_sub(INDISTINCT_NS);
        is_told.then_some(Self { time_ns, exact: true })
    }

    /// Those of a content that is new, and public since it was `noticed`.
    #[must_use]
    pub fn of_new(time_ns: i64, others: Option<Times>, noticed: Timestamp) -> Self {
        let (noticed, until_ns) = (nanoseconds(noticed), others.map_or(i64::MIN, |others| others.until_ns));
        let after_all = until_ns.saturating_add(INDISTINCT_NS);
        if until_ns >= noticed {
            // A time from the future: copies that are younger than this content may be of the other one all the same.
            return Self::from(after_all.max(time_ns));
        }
        Self::told_by(time_ns, others).unwrap_or_else(|| Self { time_ns: next_second(noticed.max(after_all)), exact: true })
    }

    /// Those of a content that was there before with times from `from_ns` on, is there again, and public since it was `noticed`.
    fn of_old(from_ns: i64, time_ns: i64, others: Option<Times>, noticed: Timestamp) -> Self {
        if others.is_none() { Self::from(from_ns.min(time_ns)) } else { Self::of_new(time_ns, others, noticed) }
    }

    /// Those of a version whose bytes were found to be the same, while the file has another time than before.
    #[must_use]
    pub fn of_rewritten(self, time_ns: i64, others: Option<Times>, public_since: Timestamp) -> Self {
        match others {
            None => Self::from(self.time_ns.min(time_ns)),
            // Younger copies count anyhow.
            Some(_) if !self.exact || time_ns >= nanoseconds(public_since) => self,
            Some(_) => Self::told_by(time_ns, others).unwrap_or(self),
        }
    }
}

impl Trail {
    /// The times of all contents that there were.
    #[must_use]
    pub fn all(&self) -> Times {
        self.times.and(self.others)
    }

    /// The trail after a content is gone: replaced, or its file deleted. `before` is the trail so far.
    #[must_use]
    pub fn left_by(known: &FileRecord, before: Option<Self>) -> Self {
        let Fingerprint { mtime_ns, inode, .. } = known.fingerprint;
        let is_unread = is_unread(known, before.as_ref());
        let counted_from = if is_unread { mtime_ns } else { known.version_mtime_ns };
        let times = Times::of(mtime_ns, counted_from);
        match (known.sha256.filter(|_| !is_unread), before) {
            (Some(sha256), before) => {
                let own = before.filter(|before| before.sha256 == Some(sha256));
                let others = before.and_then(|before| before.others);
                Self { sha256: Some(sha256), times: times.and(own.map(|own| own.times)), inode, others }
            }
            (None, Some(before)) if before.sha256.is_some() => Self { others: Some(times.and(before.others)), ..before },
            (None, before) => Self {
                sha256: None,
                times: times.and(before.map(|before| before.times)),
                inode,
                others: before.and_then(|before| before.others),
            },
        }
    }

    /// The trail after a file of the same size looks otherwise.
    #[must_use]
    pub fn passed_by(known: &FileRecord, before: Option<Self>, seen: &Fingerprint) -> Option<Self> {
        if is_same_file(&known.fingerprint, seen) { before } else { Some(Self::left_by(known, before)) }
    }

    /// The trail after the file that is there now was read and found to have a digest, and copies that count as given; none where
    /// the file's record says all.
    #[must_use]
    pub fn read(before: Option<Self>, (seen, sha256): (&Fingerprint, Sha256), copies: Copies) -> Option<Self> {
        let before = before?;
        let times = Times::of(seen.mtime_ns, copies.time_ns);
        let is_same = before.sha256.map_or_else(|| before.has(seen), |last| last == sha256);
        let (times, others) =
            if is_same { (times.and(Some(before.times)), before.others) } else { (times, Some(before.all())) };
        let is_needed = others.is_some() || times.until_ns > seen.mtime_ns;
        is_needed.then_some(Self { sha256: Some(sha256), times, inode: seen.inode, others })
    }

    /// The copies of a content that is read for the first time since it is there, if it is the last one come back.
    #[must_use]
    pub fn come_back(&self, seen: &Fingerprint, sha256: &Sha256, noticed: Timestamp) -> Option<Copies> {
        let is_same = self.sha256.as_ref() == Some(sha256);
        is_same.then(|| Copies::of_old(self.times.from_ns, seen.mtime_ns, self.others, noticed))
    }

    /// The copies of a file that was away and is the same one, though nobody has read it.
    #[must_use]
    pub fn moved_back(&self, seen: &Fingerprint, noticed: Timestamp) -> Option<Copies> {
        let is_same = self.sha256.is_none() && self.has(seen);
        is_same.then(|| Copies::of_old(self.times.from_ns, seen.mtime_ns, self.others, noticed))
    }

    /// Whether the last content was seen to look so.
    fn has(&self, seen: &Fingerprint) -> bool {
        self.inode == seen.inode && [self.times.from_ns, self.times.until_ns].contains(&seen.mtime_ns)
    }
}

/// Times of copies have no parts of a second: one of this second may be from before this moment.
fn next_second(time_ns: i64) -> i64 {
    const SECOND: i64 = 1_000_000_000;
    time_ns.saturating_add(SECOND - 1).div_euclid(SECOND).saturating_mul(SECOND)
}

/// Whether a file that was read before has a look since then of which it is not known whether it had the same content.
#[must_use]
pub fn is_unread(known: &FileRecord, trail: Option<&Trail>) -> bool {
    known.sha256.is_some()
        && known.state != FileState::Settled
        && trail.is_some_and(|trail| trail.sha256 == known.sha256 && !trail.has(&known.fingerprint))
}

/// Whether it is most likely the same file, with other rights, owner or links: a content that is written gets another time.
#[must_use]
pub fn is_same_file(one: &Fingerprint, other: &Fingerprint) -> bool {
    one.size == other.size && one.mtime_ns == other.mtime_ns && one.inode == other.inode
}
