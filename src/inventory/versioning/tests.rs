//! What becomes of a version as its file is seen and read: single judgements as tables, and stories of several contents of one path.

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
        exact_time: false,
        public_since: at(150),
        state,
    }
}

const LOOK: Fingerprint = Fingerprint { size: 10, mtime_ns: 100_000_000_000, ctime_ns: 150_000_000_000, inode: 1 };
use FileState::{Changing, Settled, Unconfirmed};

fn new(public_since: i64, mtime: i64, state: FileState) -> Verdict {
    Verdict::New { public_since: at(public_since), copies: Copies::from(ns(mtime)), state }
}

/// What is seen where nothing is remembered.
fn judge(known: Option<&FileRecord>, seen: &Observation) -> Verdict {
    super::judge(known, None, seen).0
}

fn judge_digest(known: &FileRecord, fingerprint: &Fingerprint, digest: &Sha256, now: Timestamp) -> DigestVerdict {
    super::judge_digest(known, None, fingerprint, digest, now).0
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
    let told = |since, mtime| Verdict::New {
        public_since: at(since),
        copies: Copies { time_ns: ns(mtime), exact: true },
        state: Settled,
    };
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
        ("written again, not hashed", None, look(10, 900, 900, 1), told(900, 900)),
        ("another inode, not hashed: copies of both would look alike", None, look(10, 100, 900, 2), told(900, 900)),
        ("an older time, not hashed", None, look(10, 30, 900, 1), told(900, 30)),
        ("a chmod or a new link, not hashed, doesn't make it young", None, look(10, 100, 900, 1), new(150, 100, Settled)),
    ];
    for (story, digest, look, verdict) in cases {
        assert_eq!(judge(Some(&known(digest, Settled)), &seen(look, Seen::Later)), verdict, "{story}");
        assert_eq!(judge(Some(&known(digest, Settled)), &seen(look, Seen::First)), verdict, "{story}, while first indexing");
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
    let new = |since, mtime| DigestVerdict::New { public_since: at(since), copies: Copies::from(ns(mtime)) };
    let told =
        |since, mtime| DigestVerdict::New { public_since: at(since), copies: Copies { time_ns: ns(mtime), exact: true } };
    let confirmed = DigestVerdict::Confirmed { copies: Copies::from(ns(100)) };
    for (story, digest, state, verdict) in [
        ("the first digest", None, Settled, confirmed),
        ("the same again", Some(DIGEST), Settled, DigestVerdict::Unchanged),
        ("rewritten with the same bytes", Some(DIGEST), Unconfirmed, confirmed),
        ("rewritten with other bytes in the same second", Some(OTHER), Unconfirmed, told(150, 150)),
        ("other bytes under the same look", Some(OTHER), Settled, DigestVerdict::Damaged),
        ("nothing to compare with", None, Unconfirmed, new(150, 100)),
        ("being written", Some(DIGEST), Changing, DigestVerdict::Outdated),
    ] {
        assert_eq!(judge_digest(&known(digest, state), &LOOK, &DIGEST, at(1000)), verdict, "{story}");
    }
    let moved_on = look(10, 100, 150, 2);
    assert_eq!(judge_digest(&known(None, Settled), &moved_on, &DIGEST, at(1000)), DigestVerdict::Outdated);
    let before = judge_digest(&known(Some(OTHER), Unconfirmed), &LOOK, &DIGEST, at(120));
    assert_eq!(before, told(120, 120), "no later than now");
}

#[test]
fn a_copy_of_the_content_before_never_passes_for_the_new_one_of_equal_size() {
    let told = |time| Copies { time_ns: ns(time), exact: true };
    for (story, mtime, ctime, expected) in [
        ("written just now", 900, 900, told(900)),
        ("made some time ago, but after the one before", 110, 900, told(110)),
        ("of the same time", 100, 900, told(900)),
        ("hardly later, as copies tell it", 102, 900, told(900)),
        ("hardly earlier", 98, 900, told(900)),
        ("a step back to an older content", 30, 900, told(30)),
        ("the clock was wrong when it was put there", 80, 60, Copies::from(ns(103))),
    ] {
        let fingerprint = look(10, mtime, ctime, 2);
        let (_, trail) = super::judge(Some(&known(Some(OTHER), Settled)), None, &seen(fingerprint, Seen::Later));
        let record = FileRecord { fingerprint, ..known(Some(OTHER), Unconfirmed) };
        let (verdict, _) = super::judge_digest(&record, trail, &fingerprint, &DIGEST, at(1000));
        let DigestVerdict::New { copies, .. } = verdict else { panic!("{story}") };
        assert_eq!(copies, expected, "{story}");
    }
}

/// One path: what happens to its file, what is read of it, and which copies count then.
struct Story {
    record: Option<FileRecord>,
    trails: std::collections::BTreeMap<u64, Trail>,
    next: u32,
}

impl Story {
    /// It begins with a content of ten bytes from second 1000 that was read.
    fn new() -> Self {
        let mut story = Self { record: None, trails: std::collections::BTreeMap::new(), next: 1 };
        story.looks(10, 1000, 1).reads(1);
        story
    }

    fn keep(&mut self, size: u64, trail: Option<Trail>) {
        match trail {
            Some(trail) => drop(self.trails.insert(size, trail)),
            None => drop(self.trails.remove(&size)),
        }
    }

    fn leave(&mut self) {
        let Some(known) = &self.record else { return };
        let size = known.fingerprint.size;
        let trail = Trail::left_by(known, self.trails.get(&size).copied());
        self.keep(size, Some(trail));
    }

    /// The file is seen with this size, mtime and inode; nothing happens at the same time.
    fn looks(&mut self, size: u64, mtime: i64, inode: u64) -> &mut Self {
        let now = 2_000_000 + i64::from(self.next) * 1000;
        self.next += 1;
        let fingerprint = look(size, mtime, now, inode);
        let seen = Observation { path: TreePath::root(), fingerprint, at: at(now), kind: Seen::Later };
        let (verdict, after) = super::judge(self.record.as_ref(), self.trails.get(&size).copied(), &seen);
        if self.record.as_ref().is_some_and(|known| known.fingerprint.size != size) {
            self.leave();
        }
        self.keep(size, after);
        let number = VersionNumber(self.next);
        let Ok(record) = verdict.record(self.record.take(), &seen, || Ok::<_, std::convert::Infallible>(number));
        self.record = Some(record);
        self
    }

    fn is_deleted(&mut self) -> &mut Self {
        self.leave();
        self.record = None;
        self
    }

    fn reads(&mut self, digest: u8) -> &mut Self {
        let known = self.record.clone().expect("a file");
        let (size, look) = (known.fingerprint.size, known.fingerprint);
        let now = at(2_000_900 + i64::from(self.next) * 1000);
        let trail = self.trails.get(&size).copied();
        let (verdict, after) = super::judge_digest(&known, trail, &look, &Sha256([digest; 32]), now);
        self.keep(size, after);
        let (DigestVerdict::Confirmed { copies } | DigestVerdict::New { copies, .. }) = verdict else { panic!("{verdict:?}") };
        let version = match verdict {
            DigestVerdict::New { .. } => {
                self.next += 1;
                VersionNumber(self.next)
            }
            _ => known.version,
        };
        self.record = Some(FileRecord {
            version,
            sha256: Some(Sha256([digest; 32])),
            version_mtime_ns: copies.time_ns,
            exact_time: copies.exact,
            state: Settled,
            ..known
        });
        self
    }

    fn version(&self) -> VersionNumber {
        self.record.as_ref().expect("a file").version
    }

    /// Whether a copy of ten bytes with this time counts.
    fn counts(&self, time: i64) -> bool {
        let record = self.record.as_ref().expect("a file");
        let Copies { time_ns, exact } = record.copies();
        let version = time_ns.div_euclid(1_000_000_000);
        if exact { (time - version).abs() <= 2 || time >= record.public_since.as_second() } else { time + 2 >= version }
    }
}

#[test]
fn a_content_with_a_time_that_the_one_before_was_rewritten_to_has_no_copies_yet() {
    let mut story = Story::new();
    let first = story.version();
    story.looks(10, 5000, 2).reads(1);
    assert_eq!(story.version(), first, "the same bytes");
    assert!(story.counts(1000) && story.counts(5000));
    story.looks(10, 5000, 3).reads(2);
    assert!(!story.counts(1000) && !story.counts(5000), "mirrors may have the old bytes with both times");
    story.looks(10, 9000, 3).reads(2);
    assert!(!story.counts(5000) && story.counts(9000), "touched, it is told from them");
}

#[test]
fn times_that_are_set_back_are_believed_when_the_bytes_are_the_same() {
    // cp -r, and touch -r or rsync -a later: mirrors have kept the true time.
    let mut story = Story::new();
    let first = story.version();
    story.looks(10, 400, 1).reads(1);
    assert_eq!(story.version(), first);
    assert!(story.counts(400) && story.counts(1000));
    // But not among the times of another content.
    let mut story = Story::new();
    story.looks(10, 5000, 2).reads(2).looks(10, 1000, 2).reads(2);
    assert!(!story.counts(1000), "the other content had this time");
    story.looks(10, 400, 2).reads(2);
    assert!(story.counts(400) && !story.counts(1000), "before the other one's");
    story.looks(10, 6000, 2).reads(2);
    assert!(story.counts(6000) && !story.counts(1000), "after the other one's");
}

#[test]
fn a_step_back_to_an_older_content_counts_copies_of_just_its_time() {
    let mut story = Story::new();
    story.looks(10, 5000, 2).reads(2).looks(10, 1000, 3).reads(1);
    assert!(!story.counts(5000), "the newer content");
    let mut story = Story::new();
    story.looks(10, 400, 2).reads(2);
    assert!(story.counts(400) && !story.counts(1000) && !story.counts(1_999_000));
}

#[test]
fn a_content_that_nobody_has_read_before_it_was_replaced_leaves_its_times_all_the_same() {
    // A bad file is published, noticed, and replaced by the one before from a backup.
    let mut story = Story::new();
    let first = story.version();
    story.looks(10, 5000, 2).looks(10, 1000, 3);
    assert_ne!(story.version(), first, "scans may have found the bad one for it");
    story.reads(1);
    assert!(story.counts(1000) && !story.counts(5000));
    // chmod after a rewrite is no third content.
    let mut story = Story::new();
    story.looks(10, 5000, 2).looks(10, 5000, 2).reads(1);
    assert_eq!(story.version(), first);
    assert!(story.counts(1000) && story.counts(5000));
    // Nor is a rewrite after chmod.
    let mut story = Story::new();
    story.looks(10, 1000, 1).looks(10, 5000, 2).reads(1);
    assert_eq!(story.version(), first);
}

#[test]
fn what_was_deleted_is_remembered() {
    // mv a c; mv b a; mv c b, of files of equal size: each gets the other's time.
    for (mtime, counts_old) in [(5000, false), (1000, false), (400, false)] {
        let mut story = Story::new();
        story.is_deleted().looks(10, mtime, 2);
        assert_eq!(story.counts(1000), counts_old, "{mtime}, before it is read");
        story.reads(2);
        assert_eq!(story.counts(1000), counts_old, "{mtime}");
        assert_eq!(story.counts(mtime), mtime != 1000, "{mtime}");
    }
    // Moved away and back.
    let mut story = Story::new();
    story.is_deleted().looks(10, 1000, 1).reads(1);
    assert!(story.counts(1000));
    let mut story = Story::new();
    story.is_deleted();
    story.trails.clear();
    story.looks(10, 1000, 1).is_deleted().looks(10, 1000, 1);
    assert!(story.counts(1000), "never read, and the same file");
    story.reads(1);
    assert!(story.counts(1000));
}

#[test]
fn one_of_two_contents_of_other_sizes_that_comes_back_finds_its_copies_again() {
    // latest -> v1, latest -> v2, latest -> v1
    let mut story = Story::new();
    story.looks(11, 5000, 2).reads(2).looks(10, 1000, 1);
    assert!(!story.counts(1000), "it might be another one");
    story.reads(1);
    assert!(story.counts(1000));
    // Another one of its size and time is no such thing.
    let mut story = Story::new();
    story.looks(11, 5000, 2).reads(2).looks(10, 1000, 3).reads(3);
    assert!(!story.counts(1000));
    story.looks(11, 6000, 2).reads(2).looks(10, 1000, 1).reads(1);
    assert!(!story.counts(1000), "two contents have had it");
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
