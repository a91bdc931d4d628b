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
    /// The file looks as it did when it was hashed, and has other bytes: bit rot, and never a new version.
    Damaged,
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
        Seen::Arrived => seen.at,
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
    let public_since = match seen.kind {
        _ if only_inode_touched => known.public_since,
        Seen::Arrived => seen.at,
        Seen::First | Seen::Later | Seen::Changing => noticed(is, seen.at),
    };
    Verdict::New { public_since, version_mtime_ns: content_time(is, seen.at), state: FileState::Settled }
}

/// Times of copies are judged with a tolerance of two seconds, and shown in whole ones.
const INDISTINCT_NS: i64 = 3_000_000_000;

/// Judges a digest that was made while the file looked like `fingerprint`.
///
/// A new content that has the size of the one before and is not younger by its mtime (`cp -p`, a step back to an older one) looks
/// on a mirror as the old content does. So only copies count that were made after it was put there.
#[must_use]
pub fn judge_digest(known: &FileRecord, fingerprint: &Fingerprint, digest: &Sha256, now: Timestamp) -> DigestVerdict {
    if known.fingerprint != *fingerprint || known.state == FileState::Changing {
        return DigestVerdict::Outdated;
    }
    match (known.state, known.sha256.as_ref()) {
        (FileState::Settled, Some(sha256)) if sha256 == digest => DigestVerdict::Unchanged,
        (FileState::Settled, None) => DigestVerdict::Confirmed,
        (FileState::Settled, Some(_)) => DigestVerdict::Damaged,
        (_, Some(sha256)) if sha256 == digest => DigestVerdict::Confirmed,
        (_, known_digest) => {
            let public_since = noticed(fingerprint, now);
            let time = content_time(fingerprint, now);
            // Copies of another content of this size may be as old as that one.
            let too_old = known_digest.map(|_| known.version_mtime_ns.saturating_add(INDISTINCT_NS));
            let is_told_apart = too_old.is_none_or(|too_old| time > too_old);
            let noticed = nanoseconds(public_since).max(too_old.unwrap_or(time));
            DigestVerdict::New { public_since, version_mtime_ns: if is_told_apart { time } else { noticed } }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TreePath;

    const DIGEST: Sha256 = Sha256([1; 32]);
    const OTHER: Sha256 = Sha256([2; 32]);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("in range")
    }

    fn ns(seconds: i64) -> i64 {
        seconds * 1_000_000_000
    }

    /// A look with times in seconds.
    fn look(size: u64, mtime: i64, ctime: i64, inode: u64) -> Fingerprint {
        Fingerprint { size, mtime_ns: ns(mtime), ctime_ns: ns(ctime), inode }
    }

    fn seen(fingerprint: Fingerprint, kind: Seen) -> Observation {
        Observation { path: TreePath::root(), fingerprint, at: at(1000), kind }
    }

    /// A file of ten bytes from second 100, public since second 150.
    fn known(sha256: Option<Sha256>, state: FileState) -> FileRecord {
        FileRecord {
            path: TreePath::root(),
            version: VersionNumber(7),
            fingerprint: LOOK,
            sha256,
            version_mtime_ns: ns(100),
            public_since: at(150),
            state,
        }
    }

    const LOOK: Fingerprint = Fingerprint { size: 10, mtime_ns: 100_000_000_000, ctime_ns: 150_000_000_000, inode: 1 };
    use FileState::{Changing, Settled, Unconfirmed};

    fn new(public_since: i64, mtime: i64, state: FileState) -> Verdict {
        Verdict::New { public_since: at(public_since), version_mtime_ns: ns(mtime), state }
    }

    #[test]
    fn at_the_first_indexing_a_file_is_as_old_as_its_mtime() {
        for (story, look, since, mtime) in [
            ("an old file that was linked lately", look(1, 100, 900, 1), 100, 100),
            ("a time in the future counts as the moment at which it was noticed", look(1, 5000, 900, 1), 1000, 1000),
        ] {
            assert_eq!(judge(None, &seen(look, Seen::First)), new(since, mtime, Settled), "{story}");
        }
    }

    #[test]
    fn later_a_new_file_is_as_old_as_the_later_of_mtime_and_ctime() {
        for (story, look, since, mtime) in [
            ("just written", look(1, 990, 990, 1), 990, 990),
            ("an old mtime doesn't make a new file old", look(1, 100, 990, 1), 990, 100),
            ("the mtime was set into the future", look(1, 5000, 990, 1), 1000, 1000),
            ("the clock was ahead when it was written", look(1, 100, 2000, 1), 1000, 100),
        ] {
            assert_eq!(judge(None, &seen(look, Seen::Later)), new(since, mtime, Settled), "{story}");
            assert_eq!(judge(None, &seen(look, Seen::Changing)), new(since, mtime, Changing), "{story}, being written");
        }
    }

    #[test]
    fn what_arrives_with_its_folder_is_new_however_old_its_times_are() {
        let old = look(12, 100, 150, 2);
        assert_eq!(judge(None, &seen(old, Seen::Arrived)), new(1000, 100, Settled));
        assert_eq!(judge(Some(&known(Some(DIGEST), Settled)), &seen(old, Seen::Arrived)), new(1000, 100, Settled));
        let touched = look(10, 100, 900, 1);
        assert_eq!(judge(Some(&known(None, Settled)), &seen(touched, Seen::Arrived)), new(150, 100, Settled));
        assert_eq!(judge(Some(&known(Some(DIGEST), Settled)), &seen(LOOK, Seen::Arrived)), Verdict::Unchanged);
    }

    #[test]
    fn a_known_file_is_judged_by_what_moved() {
        let unconfirmed = |fingerprint| Verdict::Same { fingerprint, state: Unconfirmed };
        let cases = [
            ("nothing moved", Some(DIGEST), LOOK, Verdict::Unchanged),
            ("nothing moved, not hashed", None, LOOK, Verdict::Unchanged),
            ("larger", Some(DIGEST), look(11, 100, 150, 1), new(150, 100, Settled)),
            ("larger, written lately", Some(DIGEST), look(11, 900, 900, 1), new(900, 900, Settled)),
            ("larger, with an old mtime", None, look(11, 50, 900, 2), new(900, 50, Settled)),
            ("written again", Some(DIGEST), look(10, 900, 900, 1), unconfirmed(look(10, 900, 900, 1))),
            ("a chmod or a new link", Some(DIGEST), look(10, 100, 900, 1), unconfirmed(look(10, 100, 900, 1))),
            ("another inode", Some(DIGEST), look(10, 100, 150, 2), unconfirmed(look(10, 100, 150, 2))),
            ("an older mtime", Some(DIGEST), look(10, 50, 900, 1), unconfirmed(look(10, 50, 900, 1))),
            ("written again, not hashed", None, look(10, 900, 900, 1), new(900, 900, Settled)),
            ("another inode, not hashed", None, look(10, 100, 900, 2), new(900, 100, Settled)),
            ("a chmod or a new link, not hashed, doesn't make it young", None, look(10, 100, 900, 1), new(150, 100, Settled)),
        ];
        for (story, digest, look, verdict) in cases {
            assert_eq!(judge(Some(&known(digest, Settled)), &seen(look, Seen::Later)), verdict, "{story}");
            assert_eq!(
                judge(Some(&known(digest, Settled)), &seen(look, Seen::First)),
                verdict,
                "{story}, while first indexing"
            );
        }
    }

    #[test]
    fn a_file_that_is_being_written_keeps_its_record_until_it_rests() {
        let record = known(Some(DIGEST), Settled);
        let changing = Verdict::Same { fingerprint: LOOK, state: Changing };
        assert_eq!(judge(Some(&record), &seen(look(3, 990, 990, 1), Seen::Changing)), changing);
        let record = known(Some(DIGEST), Changing);
        assert_eq!(judge(Some(&record), &seen(look(4, 995, 995, 1), Seen::Changing)), Verdict::Unchanged);
        assert_eq!(judge(Some(&record), &seen(look(9, 995, 995, 1), Seen::Later)), new(995, 995, Settled));
        let same_size = look(10, 995, 995, 1);
        let unconfirmed = |fingerprint| Verdict::Same { fingerprint, state: Unconfirmed };
        assert_eq!(judge(Some(&record), &seen(same_size, Seen::Later)), unconfirmed(same_size));
        assert_eq!(judge(Some(&record), &seen(LOOK, Seen::Later)), unconfirmed(LOOK), "it may have been unconfirmed before");
        let settled = Verdict::Same { fingerprint: LOOK, state: Settled };
        assert_eq!(judge(Some(&known(None, Changing)), &seen(LOOK, Seen::Later)), settled);
    }

    #[test]
    fn what_is_unconfirmed_stays_so_until_a_digest_comes() {
        let record = known(Some(DIGEST), Unconfirmed);
        assert_eq!(judge(Some(&record), &seen(LOOK, Seen::Later)), Verdict::Unchanged);
        let again = look(10, 800, 800, 1);
        assert_eq!(judge(Some(&record), &seen(again, Seen::Later)), Verdict::Same { fingerprint: again, state: Unconfirmed });
        assert_eq!(judge(Some(&record), &seen(look(11, 800, 800, 1), Seen::Later)), new(800, 800, Settled));
    }

    #[test]
    fn a_digest_decides_whether_it_is_the_same_version() {
        let new = |since, mtime| DigestVerdict::New { public_since: at(since), version_mtime_ns: ns(mtime) };
        for (story, digest, state, verdict) in [
            ("the first digest", None, Settled, DigestVerdict::Confirmed),
            ("the same again", Some(DIGEST), Settled, DigestVerdict::Unchanged),
            ("rewritten with the same bytes", Some(DIGEST), Unconfirmed, DigestVerdict::Confirmed),
            ("rewritten with other bytes in the same second", Some(OTHER), Unconfirmed, new(150, 150)),
            ("other bytes under the same look", Some(OTHER), Settled, DigestVerdict::Damaged),
            ("nothing to compare with", None, Unconfirmed, new(150, 100)),
            ("being written", Some(DIGEST), Changing, DigestVerdict::Outdated),
        ] {
            assert_eq!(judge_digest(&known(digest, state), &LOOK, &DIGEST, at(1000)), verdict, "{story}");
        }
        let moved_on = look(10, 100, 150, 2);
        assert_eq!(judge_digest(&known(None, Settled), &moved_on, &DIGEST, at(1000)), DigestVerdict::Outdated);
        let before = judge_digest(&known(Some(OTHER), Unconfirmed), &LOOK, &DIGEST, at(120));
        assert_eq!(before, new(120, 120), "no later than now");
    }

    #[test]
    fn a_copy_of_the_content_before_never_passes_for_the_new_one_of_equal_size() {
        for (story, mtime, ctime, copies_from) in [
            ("written just now", 900, 900, 900),
            ("made some time ago, but after the one before", 110, 900, 110),
            ("of the same time", 100, 900, 900),
            ("hardly later, as copies tell it", 102, 900, 900),
            ("a step back to an older content", 50, 900, 900),
            ("the clock was wrong when it was put there", 50, 60, 103),
        ] {
            let fingerprint = look(10, mtime, ctime, 2);
            let record = FileRecord { fingerprint, ..known(Some(OTHER), Unconfirmed) };
            let DigestVerdict::New { version_mtime_ns, .. } = judge_digest(&record, &fingerprint, &DIGEST, at(1000)) else {
                panic!("{story}");
            };
            assert_eq!(version_mtime_ns, ns(copies_from), "{story}");
        }
    }

    #[test]
    fn only_a_new_version_takes_a_number() {
        let number = || Ok::<_, std::convert::Infallible>(VersionNumber(8));
        let none = || -> Result<_, std::convert::Infallible> { panic!("no number is needed") };
        let record = known(Some(DIGEST), Settled);
        let look_again = look(10, 900, 900, 1);
        let Ok(same) = Verdict::Unchanged.record(Some(record.clone()), &seen(LOOK, Seen::Later), none);
        assert_eq!(same, record);
        let verdict = Verdict::Same { fingerprint: look_again, state: Unconfirmed };
        let Ok(same) = verdict.record(Some(record.clone()), &seen(look_again, Seen::Later), none);
        assert_eq!(same, FileRecord { fingerprint: look_again, state: Unconfirmed, ..record.clone() });
        let larger = look(11, 900, 900, 1);
        let Ok(next) = new(900, 900, Settled).record(Some(record), &seen(larger, Seen::Later), number);
        assert_eq!((next.version, next.sha256, next.fingerprint), (VersionNumber(8), None, larger));
    }

    #[test]
    fn nanoseconds_end_where_they_must() {
        assert_eq!(nanoseconds(at(5)), ns(5));
        assert_eq!(nanoseconds(Timestamp::MAX), i64::MAX);
        assert_eq!(nanoseconds(Timestamp::MIN), i64::MIN);
    }
}
