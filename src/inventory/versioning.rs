//! How a version is told: what an observation or a digest says about a file that is known, or not known yet.

use jiff::Timestamp;

use super::record::{Observation, Seen};
use crate::model::{FileRecord, FileState, Fingerprint, Sha256, VersionNumber};

/// What an observation means for what is known of the path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing new.
    Unchanged,
    /// The same version, looking or standing otherwise.
    Same {
        /// How the file looks now.
        fingerprint: Fingerprint,
        /// Whether the record can be relied on.
        state: FileState,
    },
    /// A version that needs a number of its own.
    New {
        /// When it became public.
        public_since: Timestamp,
        /// The time that a mirror's copy must have at least.
        version_mtime_ns: i64,
        /// Whether the record can be relied on.
        state: FileState,
    },
}

/// What a digest means for a file whose fingerprint it was made under.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DigestVerdict {
    /// It is known already.
    Unchanged,
    /// It is the version's: the record can be relied on.
    Confirmed,
    /// It is of another content: a version that needs a number of its own.
    New {
        /// When it became public.
        public_since: Timestamp,
        /// The time that a mirror's copy must have at least.
        version_mtime_ns: i64,
    },
    /// It says nothing: the file has been seen otherwise since, or is being written.
    Outdated,
}

/// Judges what was seen against what is known.
#[must_use]
pub fn judge(existing: Option<&FileRecord>, seen: &Observation) -> Verdict {
    match (existing, seen.kind) {
        (None, kind) => first_sight(seen, kind),
        (Some(known), Seen::Changing) if known.state == FileState::Changing => Verdict::Unchanged,
        (Some(known), Seen::Changing) => Verdict::Same { fingerprint: known.fingerprint, state: FileState::Changing },
        (Some(known), _) if known.fingerprint == seen.fingerprint => same_look(known),
        (Some(known), _) => other_look(known, seen),
    }
}

fn first_sight(seen: &Observation, kind: Seen) -> Verdict {
    let public_since = match kind {
        Seen::First => seen.fingerprint.mtime().min(seen.at),
        Seen::Later | Seen::Changing => noticed(&seen.fingerprint, seen.at),
    };
    let state = if kind == Seen::Changing { FileState::Changing } else { FileState::Settled };
    Verdict::New { public_since, version_mtime_ns: content_time(&seen.fingerprint, seen.at), state }
}

/// A file that looks as it is recorded. One that was being written in between may have been judged only by its size and
/// mtime before that, so where there is a digest, the digest decides.
fn same_look(known: &FileRecord) -> Verdict {
    let state = match (known.state, known.sha256) {
        (FileState::Changing, Some(_)) => FileState::Unconfirmed,
        (FileState::Changing, None) => FileState::Settled,
        _ => return Verdict::Unchanged,
    };
    Verdict::Same { fingerprint: known.fingerprint, state }
}

fn other_look(known: &FileRecord, seen: &Observation) -> Verdict {
    let (was, is) = (&known.fingerprint, &seen.fingerprint);
    if was.size == is.size && known.sha256.is_some() {
        return Verdict::Same { fingerprint: *is, state: FileState::Unconfirmed };
    }
    let only_inode_touched = was.size == is.size && was.mtime_ns == is.mtime_ns && was.inode == is.inode;
    let public_since = if only_inode_touched { known.public_since } else { noticed(is, seen.at) };
    Verdict::New { public_since, version_mtime_ns: content_time(is, seen.at), state: FileState::Settled }
}

/// Judges a digest that was made while the file looked like `fingerprint`.
#[must_use]
pub fn judge_digest(known: &FileRecord, fingerprint: &Fingerprint, digest: &Sha256, now: Timestamp) -> DigestVerdict {
    if known.fingerprint != *fingerprint || known.state == FileState::Changing {
        return DigestVerdict::Outdated;
    }
    match (known.state, known.sha256.as_ref()) {
        (FileState::Settled, Some(sha256)) if sha256 == digest => DigestVerdict::Unchanged,
        (FileState::Settled, None) => DigestVerdict::Confirmed,
        (_, Some(sha256)) if sha256 == digest => DigestVerdict::Confirmed,
        _ => DigestVerdict::New { public_since: noticed(fingerprint, now), version_mtime_ns: content_time(fingerprint, now) },
    }
}

impl Verdict {
    /// The record as it is afterwards; `number` gives a number that was never used.
    ///
    /// # Errors
    /// What `number` says when it has none.
    pub fn record<E>(
        self,
        existing: Option<FileRecord>,
        seen: &Observation,
        number: impl FnOnce() -> Result<VersionNumber, E>,
    ) -> Result<FileRecord, E> {
        match (self, existing) {
            (Self::Unchanged, Some(known)) => Ok(known),
            (Self::Same { fingerprint, state }, Some(known)) => Ok(FileRecord { fingerprint, state, ..known }),
            (Self::New { public_since, version_mtime_ns, state }, _) => Ok(FileRecord {
                path: seen.path.clone(),
                version: number()?,
                fingerprint: seen.fingerprint,
                sha256: None,
                version_mtime_ns,
                public_since,
                state,
            }),
            (Self::Unchanged | Self::Same { .. }, None) => judge(None, seen).record(None, seen, number),
        }
    }
}

/// When a version became public that was noticed at `at`, the tree having been indexed before. The mtime alone would let
/// `cp -p` make a new file old.
fn noticed(fingerprint: &Fingerprint, at: Timestamp) -> Timestamp {
    fingerprint.mtime().max(fingerprint.ctime()).min(at)
}

/// The time of a content: its mtime, but a time in the future counts as the moment at which it was noticed.
fn content_time(fingerprint: &Fingerprint, at: Timestamp) -> i64 {
    fingerprint.mtime_ns.min(nanoseconds(at))
}

/// Nanoseconds since 1970, at most as far away as an `i64` reaches (the years 1677 to 2262).
#[must_use]
pub fn nanoseconds(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(if at < Timestamp::UNIX_EPOCH { i64::MIN } else { i64::MAX })
}
