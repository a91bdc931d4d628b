//! How a version is told: what an observation or a digest says about a file that is known, or not known yet.

use jiff::Timestamp;

use super::record::{Observation, Seen};
use super::trail::{Copies, Trail, is_same_file, is_unread};
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
        /// The times that a mirror's copy may have.
        copies: Copies,
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
    Confirmed {
        /// The times that a mirror's copy may have from now on.
        copies: Copies,
    },
    /// It is of another content: a version that needs a number of its own.
    New {
        /// When it became public.
        public_since: Timestamp,
        /// The times that a mirror's copy may have.
        copies: Copies,
    },
    /// The file looks as it did when it was hashed, and has other bytes: bit rot, and never a new version.
    Damaged,
    /// It says nothing: the file has been seen otherwise since, or is being written.
    Outdated,
}

/// Judges what was seen against what is known, `trail` being that of the size that was seen. Also gives what that trail becomes.
#[must_use]
pub fn judge(existing: Option<&FileRecord>, trail: Option<Trail>, seen: &Observation) -> (Verdict, Option<Trail>) {
    match (existing, seen.kind) {
        (None, kind) => (first_sight(trail, seen, kind), trail),
        (Some(known), Seen::Changing) if known.state == FileState::Changing => (Verdict::Unchanged, trail),
        (Some(known), Seen::Changing) => (Verdict::Same { fingerprint: known.fingerprint, state: FileState::Changing }, trail),
        (Some(known), _) if known.fingerprint == seen.fingerprint => (same_look(known), trail),
        (Some(known), _) if known.fingerprint.size != seen.fingerprint.size => {
            let state = FileState::Settled;
            let public_since = public_since(seen);
            (
                Verdict::New { public_since, copies: copies_of_new(&seen.fingerprint, trail, public_since, seen.at), state },
                trail,
            )
        }
        (Some(known), _) => {
            let after = Trail::passed_by(known, trail, &seen.fingerprint);
            (other_look(known, (trail, after), seen), after)
        }
    }
}

fn first_sight(trail: Option<Trail>, seen: &Observation, kind: Seen) -> Verdict {
    let noticed = public_since(seen);
    let is_first = kind == Seen::First && trail.is_none();
    let public_since = if is_first { seen.fingerprint.mtime().min(seen.at) } else { noticed };
    let state = if kind == Seen::Changing { FileState::Changing } else { FileState::Settled };
    let moved_back = trail.and_then(|trail| trail.moved_back(&seen.fingerprint, noticed));
    let new = || copies_of_new(&seen.fingerprint, trail, noticed, seen.at);
    Verdict::New { public_since, copies: moved_back.unwrap_or_else(new), state }
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

/// A file of the same size that looks otherwise. Where it was read before, a digest decides whether its content is the same; but mirrors
/// may have a content that stood there in between, and that nobody has read: then it has to be a new version.
fn other_look(known: &FileRecord, (before, trail): (Option<Trail>, Option<Trail>), seen: &Observation) -> Verdict {
    let is_same_file = is_same_file(&known.fingerprint, &seen.fingerprint);
    if known.sha256.is_some() && (is_same_file || !is_unread(known, before.as_ref())) {
        return Verdict::Same { fingerprint: seen.fingerprint, state: FileState::Unconfirmed };
    }
    let state = FileState::Settled;
    if is_same_file {
        return Verdict::New { public_since: known.public_since, copies: known.copies(), state };
    }
    let public_since = public_since(seen);
    Verdict::New { public_since, copies: copies_of_new(&seen.fingerprint, trail, public_since, seen.at), state }
}

fn copies_of_new(seen: &Fingerprint, trail: Option<Trail>, noticed: Timestamp, at: Timestamp) -> Copies {
    Copies::of_new(content_time(seen, at), trail.map(|trail| trail.all()), noticed)
}

/// Judges a digest that was made while the file looked like `fingerprint`, `trail` being that of its size. Also gives what that trail
/// becomes.
///
/// A new content that has the size of the one before and is not younger by its mtime (`cp -p`, a step back to an older one) may look
/// on a mirror as the old content does: see [`Copies`].
#[must_use]
pub fn judge_digest(
    known: &FileRecord,
    trail: Option<Trail>,
    fingerprint: &Fingerprint,
    digest: &Sha256,
    now: Timestamp,
) -> (DigestVerdict, Option<Trail>) {
    if known.fingerprint != *fingerprint || known.state == FileState::Changing {
        return (DigestVerdict::Outdated, trail);
    }
    let (time, public_since) = (content_time(fingerprint, now), noticed(fingerprint, now));
    let noticed = if known.sha256.is_none() && known.state == FileState::Settled { known.public_since } else { public_since };
    let read = |trail, copies| Trail::read(trail, (fingerprint, *digest), copies);
    let come_back = || trail.and_then(|trail| trail.come_back(fingerprint, digest, noticed));
    match (known.state, known.sha256.as_ref()) {
        (FileState::Settled, Some(sha256)) if sha256 == digest => (DigestVerdict::Unchanged, trail),
        (FileState::Settled, Some(_)) => (DigestVerdict::Damaged, trail),
        (FileState::Settled, None) => {
            let copies = come_back().unwrap_or_else(|| known.copies());
            (DigestVerdict::Confirmed { copies }, read(trail, copies))
        }
        (_, Some(sha256)) if sha256 == digest => {
            let copies = known.copies().of_rewritten(time, trail.and_then(|trail| trail.others), known.public_since);
            (DigestVerdict::Confirmed { copies }, read(trail, copies))
        }
        (_, known_digest) => {
            // Copies of the content before may have every time that it had.
            let trail = if known_digest.is_some() { Some(trail.unwrap_or_else(|| Trail::left_by(known, None))) } else { trail };
            let new = || copies_of_new(fingerprint, trail, public_since, now);
            let copies = come_back().unwrap_or_else(new);
            (DigestVerdict::New { public_since, copies }, read(trail, copies))
        }
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
            (Self::New { public_since, copies, state }, _) => Ok(FileRecord {
                path: seen.path.clone(),
                version: number()?,
                fingerprint: seen.fingerprint,
                sha256: None,
                version_mtime_ns: copies.time_ns,
                exact_time: copies.exact,
                public_since,
                state,
            }),
            (Self::Unchanged | Self::Same { .. }, None) => judge(None, None, seen).0.record(None, seen, number),
        }
    }
}

/// When a version became public that is new, the tree having been indexed before.
fn public_since(seen: &Observation) -> Timestamp {
    if seen.kind == Seen::Arrived { seen.at } else { noticed(&seen.fingerprint, seen.at) }
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

#[cfg(test)]
mod tests;
