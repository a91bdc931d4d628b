//! One suite over every store: what the inventory relies on, whichever database keeps it. And the inventory on top of it:
//! two processes on one database, migrations, damage.

mod until;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use redirector::clock::{self, Clock};
use redirector::inventory::sqlite::{Inspection, Sqlite};
use redirector::inventory::store::{
    Bookmark, Changes, Leap, MAX_HEALTH_CHANGES, MAX_HOLDS, MAX_LISTED_BYTES, MAX_SCANS, Page, PlanId, Sequence, Sink, Store,
    Update, Which, Written,
};
use redirector::inventory::{
    Adjustment, Counts, Damage, Error, FileEntry, Finished, Gap, Gaps, Hashed, HealthChange, Hold, HoldAction, Inventory,
    Listed, Observation, Protocol, Recorded, ScanMemory, ScanRecord, Seen, SeenStamp, Settings, Share,
};
use redirector::model::{
    Abilities, BaseUrl, Checkup, Digests, FileRecord, FileState, Fingerprint, Health, Mirror, MirrorName, Pieces, Ranges,
    Scheme, Sha256, TreePath, Trust, VersionNumber, Zsync,
};
use roaring::RoaringBitmap;
use until::until_async;

/// A store under test: how to open it, as often as one likes.
struct Kit {
    open: Box<dyn Fn() -> Box<dyn Store>>,
    _folder: tempfile::TempDir,
}

fn sqlite() -> Kit {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let file = folder.path().join("test.sqlite");
    Kit { open: Box::new(move || Box::new(Sqlite::open(&file).expect("opens"))), _folder: folder }
}

/// Runs every case on every store.
macro_rules! suite {
    ($($store:ident),* => $cases:tt) => { $( suite!(@one $store $cases); )* };
    (@one $store:ident [$($case:ident,)*]) => {
        mod $store {
            $( #[test] fn $case() { super::$case(&super::$store()); } )*
        }
    };
}

suite!(sqlite => [
    a_new_store_is_empty,
    an_observed_file_is_known,
    a_batch_may_have_one_path_twice,
    what_was_written_is_there_after_opening_again,
    a_version_number_is_never_used_again,
    a_digest_settles_what_is_unconfirmed,
    a_digest_for_another_look_is_refused,
    digests_of_many_files_are_one_commit,
    files_come_in_pages_in_the_order_of_their_bytes,
    only_unhashed_files_are_listed_as_such,
    a_description_is_kept_as_long_as_its_version,
    a_description_comes_back_the_same,
    another_plan_has_files_described_again,
    damage_is_written_down_and_changes_nothing_else,
    contents_that_were_there_before_are_remembered,
    what_is_young_stays_so_when_the_clock_is_put_on,
    descriptions_are_read_beside_the_owner,
    a_sweep_forgets_what_a_walk_did_not_see,
    holdings_are_replaced_whole_and_never_hold_the_future,
    a_failed_scan_keeps_the_holdings,
    what_was_found_during_a_scan_outlives_it,
    single_holdings_come_and_go,
    shares_and_gaps_stay_until_another_scan_tells_of_them,
    what_has_other_bytes_is_no_holding_until_it_was_seen_to_be_right,
    what_a_scan_leaves_for_the_next_is_kept,
    what_is_remembered_of_listings_is_kept_in_parts,
    what_a_mirror_can_do_is_kept_with_its_urls,
    large_files_are_found_largest_first,
    the_history_of_scans_is_bounded,
    health_changes_are_written_down_once,
    holds_are_set_renewed_and_lifted,
    there_is_a_limit_to_holds,
    many_files_are_all_loaded,
    awkward_paths_and_numbers_come_back_the_same,
    what_one_handle_writes_another_can_follow,
    a_reader_that_is_too_far_behind_is_told_so,
    writing_the_same_again_changes_nothing,
    the_tree_is_indexed_once,
    a_commit_is_known_again_by_its_mark,
]);

fn path(text: &str) -> TreePath<'static> {
    TreePath::parse(text.as_bytes().to_vec()).expect("a good path")
}

fn name(text: &str) -> MirrorName {
    MirrorName::parse(text).expect("a good name")
}

/// A moment, in seconds after some start.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_750_000_000 + seconds).expect("in range")
}

fn look(size: u64, seconds: i64) -> Fingerprint {
    let time = (1_750_000_000 + seconds) * 1_000_000_000;
    Fingerprint { size, mtime_ns: time, ctime_ns: time + 5, inode: 77 }
}

fn seen(text: &str, fingerprint: Fingerprint, seconds: i64) -> Observation {
    Observation { path: path(text), fingerprint, at: at(seconds), kind: Seen::Later }
}

fn observe(store: &mut dyn Store, text: &str, fingerprint: Fingerprint, seconds: i64) -> FileRecord {
    store.observe(&[seen(text, fingerprint, seconds)]).expect("is kept").value.remove(0)
}

fn root(limit: usize) -> Page {
    Page { within: TreePath::root(), after: None, limit }
}

fn all(store: &mut dyn Store) -> Vec<FileRecord> {
    store.files(&root(1000), Which::All).expect("is read")
}

fn bitmap(versions: impl IntoIterator<Item = VersionNumber>) -> RoaringBitmap {
    versions.into_iter().map(|version| version.0).collect()
}

fn scanned(mirror: &str, seconds: i64, holdings: Option<RoaringBitmap>) -> ScanRecord {
    let counts = Counts { found: holdings.as_ref().map_or(0, RoaringBitmap::len), gone: 1, ..Counts::default() };
    ScanRecord {
        mirror: name(mirror),
        began: at(seconds),
        ended: at(seconds + 1),
        protocol: Protocol::Http,
        outcome: Ok(counts),
        complete: true,
        notes: String::new(),
        holdings,
        before: None,
        unseen: None,
        share: None,
        gaps: None,
        listed: None,
    }
}

#[derive(Default)]
struct Loaded {
    files: BTreeMap<TreePath<'static>, FileEntry>,
    ended: bool,
}

impl Sink for Loaded {
    fn take(&mut self, path: &[u8], entry: &FileEntry) {
        assert!(!self.ended);
        self.files.insert(TreePath::parse(path.to_vec()).expect("a good path"), *entry);
    }

    fn end(&mut self) {
        self.ended = true;
    }
}

fn loaded(store: &mut dyn Store) -> (Vec<(TreePath<'static>, FileEntry)>, redirector::inventory::store::Contents) {
    let mut loaded = Loaded::default();
    let contents = store.load(Some(&mut loaded)).expect("loads");
    assert!(loaded.ended);
    (loaded.files.into_iter().collect(), contents)
}

fn changes(store: &mut dyn Store, after: Sequence) -> Update {
    match store.changes(after).expect("is read") {
        Changes::These(update) => *update,
        other => panic!("expected changes, got {other:?}"),
    }
}

fn a_new_store_is_empty(kit: &Kit) {
    let mut store = (kit.open)();
    let (files, contents) = loaded(&mut *store);
    assert!(files.is_empty() && contents.mirrors.is_empty() && contents.holds.is_empty());
    assert_eq!(store.changes(contents.sequence).expect("is read"), Changes::Nothing);
    assert!(!store.is_indexed().expect("is read"));
    assert_eq!(store.file(&path("a")).expect("is read"), None);
}

fn an_observed_file_is_known(kit: &Kit) {
    let mut store = (kit.open)();
    let record = observe(&mut *store, "4078/labyrinth-7.xo", look(676_401, 0), 10);
    assert_eq!(record.state, FileState::Settled);
    assert_eq!(record.fingerprint, look(676_401, 0));
    assert_eq!(record.public_since, look(676_401, 0).ctime());
    assert_eq!(store.file(&record.path).expect("is read"), Some(record.clone()));
    let (files, _) = loaded(&mut *store);
    assert_eq!(files, [(record.path.clone(), FileEntry::from(&record))]);
    assert!(files[0].1.matches(&record.fingerprint) && !files[0].1.matches(&look(676_401, 1)));
}

fn a_batch_may_have_one_path_twice(kit: &Kit) {
    let mut store = (kit.open)();
    let batch = [seen("a", look(1, 0), 1), seen("b", look(1, 0), 1), seen("a", look(2, 0), 2)];
    let records = store.observe(&batch).expect("is kept").value;
    assert_eq!(records.iter().map(|r| r.fingerprint.size).collect::<Vec<_>>(), [1, 1, 2]);
    assert!(records[0].version != records[2].version);
    assert_eq!(all(&mut *store), [records[2].clone(), records[1].clone()]);
}

fn what_was_written_is_there_after_opening_again(kit: &Kit) {
    let mut store = (kit.open)();
    let record = observe(&mut *store, "a", look(1, 0), 1);
    store.record_scan(&scanned("m", 0, Some(bitmap([record.version]))), "http://m/").expect("is kept");
    store.record_health(&name("m"), &HealthChange { health: Health::Down, at: at(1), reason: None }).expect("is kept");
    store.hold(&Hold { path: path("b"), because: "bad".into(), at: at(2) }).expect("is kept");
    store.set_indexed().expect("is kept");
    let before = loaded(&mut *store);
    store.close().expect("closes");
    drop(store);
    let mut store = (kit.open)();
    assert_eq!(loaded(&mut *store), before);
    assert!(store.is_indexed().expect("is read"));
    let mirror = &before.1.mirrors[0];
    assert_eq!((mirror.bases.as_str(), mirror.health), ("http://m/", Health::Down));
    assert!(mirror.holdings.contains(record.version));
}

fn a_version_number_is_never_used_again(kit: &Kit) {
    let mut used = RoaringBitmap::new();
    for round in 0..5 {
        let mut store = (kit.open)();
        for file in ["a", "b", "c"] {
            let record = observe(&mut *store, file, look(1 + round, 0), 1);
            assert!(used.insert(record.version.0), "{} was used before", record.version.0);
        }
        store.forget(&[path("a"), path("c"), path("not there")]).expect("is kept");
        store.close().expect("closes");
    }
}

fn a_digest_settles_what_is_unconfirmed(kit: &Kit) {
    let mut store = (kit.open)();
    let digest = |store: &mut dyn Store, look, digest| {
        store
            .record_digest(&path("a"), &look, Sha256([digest; 32]), at(100))
            .expect("is kept")
            .value
            .kept()
            .expect("is current")
    };
    let first = observe(&mut *store, "a", look(5, 0), 10);
    assert_eq!(digest(&mut *store, look(5, 0), 1), FileRecord { sha256: Some(Sha256([1; 32])), ..first.clone() });

    let touched = observe(&mut *store, "a", look(5, 20), 30);
    assert_eq!((touched.version, touched.state), (first.version, FileState::Unconfirmed));
    let same = digest(&mut *store, look(5, 20), 1);
    assert_eq!((same.version, same.state, same.public_since), (first.version, FileState::Settled, first.public_since));
    assert_eq!((same.fingerprint, same.version_mtime_ns), (look(5, 20), first.version_mtime_ns));

    observe(&mut *store, "a", look(5, 40), 50);
    let other = digest(&mut *store, look(5, 40), 2);
    assert!(other.version > first.version);
    assert_eq!((other.sha256, other.state), (Some(Sha256([2; 32])), FileState::Settled));
    assert_eq!(other.public_since, look(5, 40).ctime());
    assert_eq!(store.file(&path("a")).expect("is read"), Some(other));
}

fn contents_that_were_there_before_are_remembered(kit: &Kit) {
    let digest = |store: &mut dyn Store, look, digest| {
        let recorded = store.record_digest(&path("a"), &look, Sha256([digest; 32]), at(9000)).expect("is kept").value;
        recorded.kept().expect("is current").copies()
    };
    let mut store = (kit.open)();
    let (old, new) = (look(5, 0), look(5, 1000));
    observe(&mut *store, "a", old, 10);
    digest(&mut *store, old, 1);
    observe(&mut *store, "a", new, 1010);
    let second = digest(&mut *store, new, 2);
    assert_eq!((second.time_ns, second.exact), (new.mtime_ns, true));

    // It is deleted, others come and go, and one with the time of the first: each finds what is left by those before.
    store.forget(&[path("a")]).expect("is kept");
    for seconds in [4000, 5000] {
        observe(&mut *store, "a", look(6, seconds), seconds + 10);
    }
    let again = Fingerprint { inode: 78, ..old };
    let third = observe(&mut *store, "a", Fingerprint { ctime_ns: look(5, 6000).mtime_ns, ..again }, 6010);
    assert_eq!(third.copies().time_ns, look(5, 6000).mtime_ns, "both times are taken");
    let third = digest(&mut *store, third.fingerprint, 3);
    assert_eq!(third.time_ns, look(5, 6000).mtime_ns);

    // One from before all of them.
    let oldest = look(5, -1000);
    observe(&mut *store, "a", Fingerprint { ctime_ns: look(5, 7000).mtime_ns, ..oldest }, 7010);
    let looked = store.file(&path("a")).expect("is read").expect("is known").fingerprint;
    let fourth = digest(&mut *store, looked, 4);
    assert_eq!((fourth.time_ns, fourth.exact), (oldest.mtime_ns, true));
    let known = store.file(&path("a")).expect("is read").expect("is known");
    assert_eq!(known.copies(), fourth, "it is kept");

    // A sweep is no other way to be deleted.
    let mut store = (kit.open)();
    let first = observe(&mut *store, "b", old, 10);
    store.sweep(&root(10), &RoaringBitmap::new(), at(8000)).expect("is kept");
    let back = observe(&mut *store, "b", Fingerprint { inode: 78, ctime_ns: look(5, 8010).mtime_ns, ..old }, 8010);
    assert!(back.version > first.version && back.copies().time_ns == look(5, 8010).mtime_ns);
}

fn what_is_young_stays_so_when_the_clock_is_put_on(kit: &Kit) {
    let mut store = (kit.open)();
    for (name, seconds) in [("a", 100), ("b", 900), ("c", 1000), ("d", 1500)] {
        observe(&mut *store, name, look(5, seconds), 2000);
    }
    let before = all(&mut *store);
    let leap = Leap { after: at(899), by: SignedDuration::from_secs(3600), now: at(5000) };
    let written = store.redate(&root(3), &leap).expect("is kept");
    assert_eq!((written.value.records.len(), written.value.last.as_ref()), (2, Some(&path("c"))));
    let page = Page { after: written.value.last, ..root(3) };
    assert_eq!(store.redate(&page, &leap).expect("is kept").value.records.len(), 1);
    let since = |record: &FileRecord| record.public_since.as_second() - at(0).as_second();
    let after = all(&mut *store);
    assert_eq!(after.iter().map(since).collect::<Vec<_>>(), [100, 4500, 4600, 5000], "no later than now");
    let (mut same, mut known) = (after.clone(), before);
    same.iter_mut().chain(&mut known).for_each(|record| record.public_since = at(0));
    assert_eq!(same, known, "all else is as it was");
}

fn a_digest_for_another_look_is_refused(kit: &Kit) {
    let mut store = (kit.open)();
    let before = observe(&mut *store, "a", look(5, 0), 10);
    let written = store.record_digest(&path("a"), &look(5, 1), Sha256([1; 32]), at(11)).expect("is read");
    assert_eq!(written, Written { value: Recorded::Outdated, sequence: None });
    let written = store.record_digest(&path("b"), &look(5, 0), Sha256([1; 32]), at(11)).expect("is read");
    assert_eq!(written, Written { value: Recorded::Outdated, sequence: None });
    assert_eq!(store.file(&path("a")).expect("is read"), Some(before));
}

fn digests_of_many_files_are_one_commit(kit: &Kit) {
    let mut store = (kit.open)();
    for file in ["a", "b", "rotten"] {
        observe(&mut *store, file, look(5, 0), 1);
    }
    store.record_digest(&path("rotten"), &look(5, 0), Sha256([1; 32]), at(2)).expect("is kept");
    let before = store.load(None).expect("is read").sequence;
    let hashed = |file: &str, seconds, digest| {
        let (path, fingerprint, sha256) = (path(file), look(5, seconds), Sha256([digest; 32]));
        Hashed { path, fingerprint, sha256, description: None }
    };
    let whole = Hashed { description: Some((Box::new(digests(3)), PlanId(1))), sha256: digests(3).sha256, ..hashed("b", 0, 3) };
    let batch = [hashed("a", 0, 4), whole, hashed("rotten", 0, 9), hashed("a", 7, 5), hashed("unknown", 0, 6)];
    let written = store.record_hashed(&batch, at(3)).expect("is kept");
    assert!(written.sequence.is_some_and(|sequence| sequence.follows(before)));
    let [Recorded::Kept(a), Recorded::Kept(b), Recorded::Damaged(_), Recorded::Outdated, Recorded::Outdated] = &*written.value
    else {
        panic!("{:?}", written.value)
    };
    assert_eq!((a.sha256, b.sha256), (Some(Sha256([4; 32])), Some(digests(3).sha256)));
    assert_eq!(store.digests(&b.path, b.version).expect("is read"), Some(digests(3)));
    assert_eq!(store.digests(&a.path, a.version).expect("is read"), None);
    let Changes::These(update) = store.changes(before).expect("is read") else { panic!("something changed") };
    assert_eq!(update.files.iter().map(|(path, _)| path.to_string()).collect::<Vec<_>>(), ["a", "b"]);
}

fn files_come_in_pages_in_the_order_of_their_bytes(kit: &Kit) {
    let mut store = (kit.open)();
    let paths = ["d", "d!x", "d-2/a", "d/a", "d/b/c", "d/é", "d0", "e"];
    let batch: Vec<Observation> = paths.iter().rev().map(|text| seen(text, look(1, 0), 1)).collect();
    store.observe(&batch).expect("is kept");
    let mut walk = |within: &str, limit| {
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let page = Page { within: path(within), after, limit };
            let files = store.files(&page, Which::All).expect("is read");
            assert!(files.len() <= limit);
            let Some(last) = files.last() else { return found };
            after = Some(last.path.clone());
            found.extend(files.into_iter().map(|record| record.path.to_string()));
        }
    };
    for limit in 1..5 {
        assert_eq!(walk("", limit), paths);
        assert_eq!(walk("d", limit), ["d", "d/a", "d/b/c", "d/é"]);
        assert_eq!(walk("d/b", limit), ["d/b/c"]);
        assert_eq!(walk("d/b/c", limit), ["d/b/c"]);
        assert!(walk("x", limit).is_empty());
    }
}

fn only_unhashed_files_are_listed_as_such(kit: &Kit) {
    let mut store = (kit.open)();
    for file in ["changing", "hashed", "new", "unconfirmed"] {
        observe(&mut *store, file, look(1, 0), 1);
    }
    for file in ["hashed", "unconfirmed"] {
        store.record_digest(&path(file), &look(1, 0), Sha256([1; 32]), at(2)).expect("is kept");
    }
    observe(&mut *store, "unconfirmed", look(1, 5), 6);
    store.observe(&[Observation { kind: Seen::Changing, ..seen("changing", look(9, 5), 6) }]).expect("is kept");
    let mut unhashed = |after| {
        let page = Page { after, ..root(10) };
        let files = store.files(&page, Which::Unhashed).expect("is read");
        files.into_iter().map(|record| record.path.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(unhashed(None), ["new", "unconfirmed"]);
    assert_eq!(unhashed(Some(path("new"))), ["unconfirmed"]);
}

/// Digests of a file of five bytes, with another SHA-256 for each `seed`.
fn digests(seed: u8) -> Digests {
    Digests {
        size: 5,
        md5: [seed; 16],
        sha1: [seed; 20],
        sha256: Sha256([seed; 32]),
        sha512: [seed; 64],
        pieces: Pieces { length: 4, sha1: vec![seed; 40].into(), sha256: vec![seed; 64].into() },
        zsync: None,
    }
}

fn describe(store: &mut dyn Store, text: &str, fingerprint: Fingerprint, seed: u8, seconds: i64) -> Recorded {
    store.record_digests(&path(text), &fingerprint, &digests(seed), PlanId(1), at(seconds)).expect("is kept").value
}

fn a_description_is_kept_as_long_as_its_version(kit: &Kit) {
    let mut store = (kit.open)();
    let first = observe(&mut *store, "a", look(5, 0), 10).version;
    assert_eq!(describe(&mut *store, "a", look(5, 1), 1, 11), Recorded::Outdated);
    assert_eq!(describe(&mut *store, "none", look(5, 0), 1, 11), Recorded::Outdated);
    assert_eq!(store.digests(&path("a"), first).expect("is read"), None);
    let kept = describe(&mut *store, "a", look(5, 0), 1, 12).kept().expect("is current");
    assert_eq!((kept.version, kept.sha256), (first, Some(Sha256([1; 32]))));
    assert_eq!(store.digests(&path("a"), first).expect("is read"), Some(digests(1)));

    observe(&mut *store, "a", look(5, 20), 30);
    assert_eq!(store.digests(&path("a"), first).expect("is read"), Some(digests(1)), "it may be the same still");
    let same = describe(&mut *store, "a", look(5, 20), 1, 31).kept().expect("is current");
    assert_eq!((same.version, same.state), (first, FileState::Settled));

    observe(&mut *store, "a", look(5, 40), 50);
    let second = describe(&mut *store, "a", look(5, 40), 2, 51).kept().expect("is current").version;
    assert!(second > first);
    assert_eq!(store.digests(&path("a"), first).expect("is read"), None, "replaced by other bytes");
    assert_eq!(store.digests(&path("a"), second).expect("is read"), Some(digests(2)));

    let third = observe(&mut *store, "a", look(6, 60), 70).version;
    assert_eq!(store.digests(&path("a"), second).expect("is read"), None, "replaced by another size");
    let fourth = observe(&mut *store, "a", look(5, 80), 90).version;
    describe(&mut *store, "a", look(5, 80), 4, 91).kept().expect("is current");
    assert_eq!(store.digests(&path("a"), third).expect("is read"), None);
    store.forget(&[path("a")]).expect("is kept");
    assert_eq!(store.digests(&path("a"), fourth).expect("is read"), None, "forgotten");
    let swept = observe(&mut *store, "b", look(5, 0), 1).version;
    describe(&mut *store, "b", look(5, 0), 5, 2).kept().expect("is current");
    store.sweep(&root(10), &RoaringBitmap::new(), at(1000)).expect("is kept");
    assert_eq!(store.digests(&path("b"), swept).expect("is read"), None, "swept");
}

fn a_description_comes_back_the_same(kit: &Kit) {
    let zsync = Zsync { block_size: 2048, sequence_matches: 2, rsum_bytes: 2, checksum_bytes: 4, sums: vec![7; 6].into() };
    let one_piece = |seed: u8| Pieces { length: 5, sha1: vec![seed; 20].into(), sha256: vec![seed; 32].into() };
    let no_piece = Pieces { length: 1 << 26, sha1: Box::default(), sha256: Box::default() };
    let all = [
        digests(1),
        Digests { zsync: Some(zsync), ..digests(2) },
        Digests { size: 0, pieces: no_piece, ..digests(3) },
        Digests { pieces: one_piece(4), ..digests(4) },
        Digests { pieces: one_piece(6), ..digests(5) },
    ];
    let versions = {
        let mut store = (kit.open)();
        let mut put = |(name, digests): (&str, &Digests)| {
            let look = look(digests.size, 0);
            let version = observe(&mut *store, name, look, 1).version;
            store.record_digests(&path(name), &look, digests, PlanId(9), at(2)).expect("is kept");
            version
        };
        let versions: Vec<VersionNumber> = ["a", "b", "c", "d", "e"].into_iter().zip(&all).map(&mut put).collect();
        store.close().expect("closes");
        versions
    };
    let mut store = (kit.open)();
    for ((name, version), digests) in ["a", "b", "c", "d", "e"].into_iter().zip(versions).zip(all) {
        assert_eq!(store.digests(&path(name), version).expect("is read"), Some(digests));
    }
}

fn another_plan_has_files_described_again(kit: &Kit) {
    let mut store = (kit.open)();
    let require = |store: &mut dyn Store, plan| {
        let mut after = None;
        loop {
            after = store.require_plan(PlanId(plan), after.as_ref()).expect("is kept");
            if after.is_none() {
                return;
            }
        }
    };
    let waiting = |store: &mut dyn Store| {
        let files = store.files(&root(10), Which::Undescribed).expect("is read");
        let count = store.waiting(2).expect("is read");
        (files.iter().map(|file| file.path.to_string()).collect::<Vec<_>>().join(" "), count.unhashed, count.undescribed)
    };
    for file in ["a", "b", "c", "d", "e"] {
        observe(&mut *store, file, look(5, 0), 1);
    }
    assert_eq!(waiting(&mut *store), (String::new(), 2, 0));
    store.record_digest(&path("a"), &look(5, 0), Sha256([1; 32]), at(2)).expect("is kept");
    assert_eq!(waiting(&mut *store), ("a".to_owned(), 2, 1), "it has one digest, and lacks the others");
    for file in ["a", "b", "c"] {
        describe(&mut *store, file, look(5, 0), 1, 3);
    }
    assert_eq!(waiting(&mut *store), (String::new(), 2, 0));
    require(&mut *store, 1);
    assert_eq!(waiting(&mut *store).0, "");
    require(&mut *store, 2);
    assert_eq!(waiting(&mut *store), ("a b c".to_owned(), 2, 2));
    let version = store.file(&path("a")).expect("is read").expect("is known").version;
    assert_eq!(store.digests(&path("a"), version).expect("is read"), Some(digests(1)), "the old one stays till then");
    store.record_digests(&path("b"), &look(5, 0), &digests(1), PlanId(2), at(4)).expect("is kept");
    require(&mut *store, 2);
    assert_eq!(waiting(&mut *store).0, "a c");
    observe(&mut *store, "c", look(5, 9), 10);
    assert_eq!(waiting(&mut *store).0, "a", "what is unconfirmed waits for its digest first");
}

fn damage_is_written_down_and_changes_nothing_else(kit: &Kit) {
    let mut store = (kit.open)();
    observe(&mut *store, "a", look(5, 0), 1);
    let known = describe(&mut *store, "a", look(5, 0), 1, 2).kept().expect("is current");
    let damage = |store: &mut dyn Store| store.damage(known.version).expect("is read");
    for (found, seconds) in [(7, 10), (8, 20)] {
        let written = store.record_digest(&path("a"), &look(5, 0), Sha256([found; 32]), at(seconds)).expect("is kept");
        assert_eq!(written, Written { value: Recorded::Damaged(known.clone()), sequence: None });
        assert_eq!(damage(&mut *store), Some(Damage { found: Sha256([found; 32]), at: at(10) }), "noticed first");
    }
    assert_eq!(describe(&mut *store, "a", look(5, 0), 9, 30), Recorded::Damaged(known.clone()));
    assert_eq!(store.file(&path("a")).expect("is read"), Some(known.clone()));
    assert_eq!(store.digests(&known.path, known.version).expect("is read"), Some(digests(1)));
    store.record_digest(&path("a"), &look(5, 0), Sha256([1; 32]), at(40)).expect("is kept");
    assert_eq!(damage(&mut *store), None, "it is right again");
    store.record_digest(&path("a"), &look(5, 0), Sha256([7; 32]), at(50)).expect("is kept");
    store.forget(&[path("a")]).expect("is kept");
    assert_eq!(damage(&mut *store), None);
}

fn descriptions_are_read_beside_the_owner(kit: &Kit) {
    let mut store = (kit.open)();
    let mut beside = store.beside().expect("this store can be read beside its owner")().expect("opens");
    let version = observe(&mut *store, "a", look(5, 0), 1).version;
    assert_eq!(beside.digests(&path("a"), version).expect("is read"), None);
    describe(&mut *store, "a", look(5, 0), 1, 2);
    assert_eq!(beside.digests(&path("a"), version).expect("is read"), Some(digests(1)));
    assert_eq!(beside.digests(&path("a"), VersionNumber(u32::MAX)).expect("is read"), None);
}

fn a_sweep_forgets_what_a_walk_did_not_see(kit: &Kit) {
    let mut store = (kit.open)();
    let kept = observe(&mut *store, "d/kept", look(1, 0), 1);
    observe(&mut *store, "d/gone", look(1, 0), 1);
    observe(&mut *store, "d/gone too", look(1, 0), 1);
    observe(&mut *store, "d/new", look(1, 0), 100);
    observe(&mut *store, "elsewhere", look(1, 0), 1);
    let mut page = Page { within: path("d"), after: None, limit: 2 };
    let (mut forgotten, mut newest) = (Vec::new(), Vec::new());
    loop {
        let swept = store.sweep(&page, &bitmap([kept.version]), at(50)).expect("is kept").value;
        forgotten.extend(swept.forgotten.iter().map(ToString::to_string));
        newest.push(swept.newest);
        match swept.last {
            Some(last) => page.after = Some(last),
            None => break,
        }
    }
    assert_eq!(newest, [Some(at(1)), Some(at(100)), None]);
    assert_eq!(forgotten, ["d/gone", "d/gone too"]);
    let left: Vec<String> = all(&mut *store).iter().map(|record| record.path.to_string()).collect();
    assert_eq!(left, ["d/kept", "d/new", "elsewhere"]);
}

fn holdings_are_replaced_whole_and_never_hold_the_future(kit: &Kit) {
    let mut store = (kit.open)();
    let a = observe(&mut *store, "a", look(1, 0), 1).version;
    let b = observe(&mut *store, "b", look(1, 0), 1).version;
    let future = VersionNumber(b.0 + 1);
    let written = store.record_scan(&scanned("m", 0, Some(bitmap([a, future, VersionNumber(u32::MAX)]))), "").expect("is kept");
    assert_eq!(written.value, Some(bitmap([a])));
    assert_eq!(observe(&mut *store, "c", look(1, 0), 1).version, future);
    assert_eq!(store.mirrors(&[name("m"), name("other")]).expect("is read")[0].holdings.to_bitmap(), bitmap([a]));
    store.record_scan(&scanned("m", 10, Some(bitmap([b]))), "").expect("is kept");
    let mirrors = store.mirrors(&[name("m"), name("other")]).expect("is read");
    assert_eq!((mirrors.len(), mirrors[0].holdings.to_bitmap()), (1, bitmap([b])));
}

fn a_failed_scan_keeps_the_holdings(kit: &Kit) {
    let mut store = (kit.open)();
    let a = observe(&mut *store, "a", look(1, 0), 1).version;
    store.record_scan(&scanned("m", 0, Some(bitmap([a]))), "x").expect("is kept");
    let failed = ScanRecord { outcome: Err("é".repeat(5000)), complete: false, ..scanned("m", 10, None) };
    let written = store.record_scan(&failed, "y").expect("is kept");
    assert_eq!(written, Written { value: None, sequence: None });
    let mirrors = store.mirrors(&[name("m")]).expect("is read");
    assert_eq!((mirrors[0].holdings.to_bitmap(), mirrors[0].bases.as_str()), (bitmap([a]), "x"));
    let scans = store.scans(&name("m"), 10).expect("is read");
    let reason = scans[0].outcome.as_ref().expect_err("it failed");
    assert!(reason.len() <= 1000 && reason.starts_with("éé") && !scans[0].complete);
    assert_eq!(scans[1].outcome, scanned("m", 0, Some(bitmap([a]))).outcome);
}

fn what_was_found_during_a_scan_outlives_it(kit: &Kit) {
    let mut store = (kit.open)();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| observe(&mut *store, name, look(1, 0), 0).version);
    store.record_scan(&scanned("m", 0, Some(bitmap([a, b]))), "http://m/").expect("is kept");
    // The scan began when a and b were known, and found c, and b no longer; meanwhile d was found, and a lost.
    store.adjust_holdings(&adjusted("m", [d], [a]), "http://m/").expect("is kept");
    let scan = ScanRecord { before: Some(bitmap([a, b])), ..scanned("m", 5, Some(bitmap([a, c]))) };
    let written = store.record_scan(&scan, "http://m/").expect("is kept");
    assert_eq!(written.value, Some(bitmap([c, d])));
    // At other URLs nothing is known yet.
    let scan = ScanRecord { before: Some(RoaringBitmap::new()), ..scanned("m", 9, Some(bitmap([a]))) };
    assert_eq!(store.record_scan(&scan, "http://elsewhere/").expect("is kept").value, Some(bitmap([a])));
}

fn adjusted<const N: usize, const M: usize>(mirror: &str, gained: [VersionNumber; N], lost: [VersionNumber; M]) -> Adjustment {
    Adjustment { gained: bitmap(gained), lost: bitmap(lost), ..Adjustment::of(name(mirror), at(0)) }
}

fn single_holdings_come_and_go(kit: &Kit) {
    let mut store = (kit.open)();
    let [a, b, c] = ["a", "b", "c"].map(|name| observe(&mut *store, name, look(1, 0), 0).version);
    let never = VersionNumber(c.0 + 1);
    let written = store.adjust_holdings(&adjusted("m", [a, b, never], []), "http://m/ https://m/").expect("is kept");
    assert_eq!(written.value, Some(bitmap([a, b])), "of a mirror that was never scanned; the future is not held");
    let again = store.adjust_holdings(&adjusted("m", [a], [c]), "http://m/ https://m/").expect("is kept");
    assert_eq!((again.value, again.sequence), (None, None), "nothing is new, and nothing is written");
    let written = store.adjust_holdings(&adjusted("m", [c], [a]), "http://m/").expect("is kept");
    assert_eq!(written.value, Some(bitmap([b, c])));
    assert_eq!(loaded(&mut *(kit.open)()).1.mirrors[0].holdings.to_bitmap(), bitmap([b, c]));
    let written = store.adjust_holdings(&adjusted("m", [a], []), "http://moved/").expect("is kept");
    assert_eq!(written.value, Some(bitmap([a])), "what was seen at other URLs does not count");
}

fn what_has_other_bytes_is_no_holding_until_it_was_seen_to_be_right(kit: &Kit) {
    let mut store = (kit.open)();
    let [a, b] = ["a", "b"].map(|name| observe(&mut *store, name, look(1, 0), 0).version);
    store.record_scan(&scanned("m", 0, Some(bitmap([a, b]))), "http://m/").expect("is kept");
    let wrong = |wrong: &[(&str, VersionNumber)], right: &[VersionNumber]| Adjustment {
        wrong: wrong.iter().map(|(name, version)| (path(name), *version)).collect(),
        right: right.iter().map(|version| version.0).collect(),
        ..Adjustment::of(name("m"), at(0))
    };
    let written = store.adjust_holdings(&wrong(&[("b", b)], &[]), "http://m/").expect("is kept");
    assert_eq!(written.value, Some(bitmap([a])));
    // Whatever else says that it is there.
    store.record_scan(&scanned("m", 5, Some(bitmap([a, b]))), "http://m/").expect("is kept");
    store.adjust_holdings(&adjusted("m", [b], []), "http://m/").expect("is kept");
    let mut store = (kit.open)();
    assert_eq!(store.mirrors(&[name("m")]).expect("is read")[0].holdings.to_bitmap(), bitmap([a]));
    assert_eq!(store.wrong(&name("m")).expect("is read"), [(path("b"), b)]);
    assert_eq!(store.wrong(&name("other")).expect("is read"), []);
    store.adjust_holdings(&wrong(&[], &[b]), "http://m/").expect("is kept");
    assert_eq!(store.wrong(&name("m")).expect("is read"), []);
    assert_eq!(store.adjust_holdings(&adjusted("m", [b], []), "http://m/").expect("is kept").value, Some(bitmap([a, b])));
    // A version that is no longer the tree's is of no interest, and a mirror that is somewhere else is another one.
    store.adjust_holdings(&wrong(&[("a", a), ("b", b)], &[]), "http://m/").expect("is kept");
    let newer = observe(&mut *store, "a", look(2, 9), 0).version;
    assert_eq!(store.wrong(&name("m")).expect("is read"), [(path("b"), b)]);
    let moved = store.record_scan(&scanned("m", 9, Some(bitmap([newer, b]))), "http://elsewhere/").expect("is kept");
    assert_eq!((moved.value, store.wrong(&name("m")).expect("is read").len()), (Some(bitmap([newer, b])), 0));
}

fn shares_and_gaps_stay_until_another_scan_tells_of_them(kit: &Kit) {
    let mut store = (kit.open)();
    assert_eq!(store.gaps(&name("m")).expect("is read"), None);
    let share = Share { files: 3, held: 1, bytes: u64::MAX >> 1, held_bytes: 7 };
    let gap = Gap { directory: "dir/\u{fc}".into(), whole: true, missing: 2, stale: 1, examples: vec!["dir/a\"b".into()] };
    let excused = Gaps { young: 3, young_bytes: 4, young_since: Some(-5), beyond: 6, beyond_bytes: 1 << 61, ..Gaps::default() };
    let gaps = Gaps {
        mark: u64::MAX,
        missing: 2,
        missing_bytes: 1 << 60,
        stale: 1,
        stale_bytes: 5,
        directories: vec![gap],
        more: 9,
        ..excused
    };
    let told = ScanRecord { share: Some(share), gaps: Some(gaps.clone()), ..scanned("m", 0, None) };
    store.record_scan(&told, "").expect("is kept");
    store.record_scan(&scanned("m", 10, None), "").expect("is kept");
    let shares: Vec<_> = store.scans(&name("m"), 10).expect("is read").iter().map(|scan| scan.share).collect();
    assert_eq!(shares, [None, Some(share)]);
    assert_eq!(store.gaps(&name("m")).expect("is read"), Some(gaps));
    let none = ScanRecord { gaps: Some(Gaps::default()), ..scanned("m", 20, None) };
    store.record_scan(&none, "").expect("is kept");
    assert_eq!(store.gaps(&name("m")).expect("is read"), Some(Gaps::default()));
}

fn what_a_scan_leaves_for_the_next_is_kept(kit: &Kit) {
    let mut store = (kit.open)();
    assert_eq!(store.scan_memory(&name("m")).expect("is read"), ScanMemory::default());
    let seen = SeenStamp { text: "monday".into(), began: at(5), scans: 2, newest: u32::MAX };
    for memory in [
        ScanMemory { turn: u32::MAX, stamp: Some(seen.clone()) },
        ScanMemory { turn: 0, stamp: Some(SeenStamp { text: String::new(), ..seen }) },
        ScanMemory { turn: 7, stamp: None },
    ] {
        let written = store.remember_scan(&name("m"), &memory).expect("is kept");
        assert_eq!(written.sequence, None, "no snapshot shows it");
        store.remember_scan(&name("m"), &memory).expect("may be repeated");
        assert_eq!((kit.open)().scan_memory(&name("m")).expect("is read"), memory);
        assert_eq!(store.scan_memory(&name("other")).expect("is read"), ScanMemory::default());
    }
    let noted = ScanRecord { notes: "rsync: \u{fc}ber".into(), ..scanned("m", 0, None) };
    store.record_scan(&noted, "").expect("is kept");
    assert_eq!(store.scans(&name("m"), 1).expect("is read")[0].notes, noted.notes);
    assert_eq!(store.scan_memory(&name("m")).expect("is read").turn, 7);
}

fn what_is_remembered_of_listings_is_kept_in_parts(kit: &Kit) {
    let mut store = (kit.open)();
    assert_eq!(store.listed(&name("m")).expect("is read"), None);
    let listed = |head: &str, parts: &[(u16, usize)]| {
        let parts = parts.iter().map(|(part, bytes)| (*part, vec![7; *bytes])).collect();
        Listed { head: head.into(), parts }
    };
    let mut record = |mirror: &str, seconds: i64, listed: Listed| {
        let record = ScanRecord { listed: Some(listed), ..scanned(mirror, seconds, None) };
        let written = store.record_scan(&record, "").expect("is kept");
        assert_eq!(written.sequence, None, "no snapshot shows it");
    };
    record("m", 0, listed("first", &[(0, 5), (7, 100_000), (u16::MAX, 1)]));
    record("m", 1, listed("second", &[]));
    let read = |mirror: &str| (kit.open)().listed(&name(mirror)).expect("is read");
    assert_eq!(read("m"), Some(listed("second", &[(0, 5), (7, 100_000), (u16::MAX, 1)])));
    record("m", 2, listed("third", &[(7, 0), (0, 6), (9, 0)]));
    assert_eq!(read("m"), Some(listed("third", &[(0, 6), (u16::MAX, 1)])));
    // There is room for so much; mirrors that are long gone make some.
    let most = usize::try_from(MAX_LISTED_BYTES).expect("is small");
    record("large", 10, listed("x", &[(1, most)]));
    assert_eq!((read("large"), read("m").is_some()), (None, true), "it goes without");
    record("large", 8 * 24 * 3600, listed("x", &[(1, most)]));
    assert_eq!((read("large").is_some(), read("m")), (true, None));
}

fn the_history_of_scans_is_bounded(kit: &Kit) {
    let mut store = (kit.open)();
    store.record_scan(&scanned("other", 7, None), "").expect("is kept");
    let rounds = i64::try_from(MAX_SCANS).expect("is small") + 5;
    for round in 0..rounds {
        store.record_scan(&scanned("m", round, None), "").expect("is kept");
    }
    let scans = store.scans(&name("m"), usize::MAX).expect("is read");
    assert_eq!(scans.len(), MAX_SCANS);
    assert_eq!(scans[0].began, at(rounds - 1));
    assert_eq!(store.scans(&name("other"), usize::MAX).expect("is read").len(), 1);
    assert_eq!(store.scans(&name("m"), 3).expect("is read").len(), 3);
}

fn what_a_mirror_can_do_is_kept_with_its_urls(kit: &Kit) {
    let (mut store, bases) = ((kit.open)(), "http://m.example/ https://m.example/");
    assert_eq!(store.checkup(&name("m"), bases).expect("is read"), None);
    let abilities =
        Abilities { ranges: Ranges::Kept, largest: Some(1 << 32), certificate: Trust::Trusted, ..Abilities::default() };
    let checkup = Checkup { at: at(1), abilities, certificate_until: Some(at(9)), notes: vec!["a".to_owned(), "b".to_owned()] };
    let written = store.record_checkup(&name("m"), &checkup, bases).expect("is kept");
    assert!(written.sequence.is_some(), "requests are held against it");
    assert_eq!((kit.open)().checkup(&name("m"), bases).expect("is read"), Some(checkup.clone()));
    assert_eq!(store.checkup(&name("m"), "http://elsewhere.example/").expect("is read"), None);
    let known = store.mirrors(&[name("m")]).expect("is read").remove(0).tried.expect("it was tried");
    assert_eq!((known.bases.as_str(), known.abilities), (bases, abilities));
    let again = Checkup { at: at(2), notes: Vec::new(), ..checkup };
    let written = store.record_checkup(&name("m"), &again, bases).expect("is kept");
    assert_eq!(written.sequence, None, "that it was tried again is no news for requests");
    assert_eq!(store.checkup(&name("m"), bases).expect("is read"), Some(again));
}

fn large_files_are_found_largest_first(kit: &Kit) {
    let mut store = (kit.open)();
    for (text, size) in [("a", 1 << 20), ("b", 3 << 30), ("c", 5 << 30), ("d", 6 << 30), ("e", 1 << 31)] {
        let record = observe(&mut *store, text, look(size, 0), 100);
        store.record_digest(&record.path, &record.fingerprint, Sha256([7; 32]), at(101)).expect("is kept");
    }
    let found = |store: &mut dyn Store, sizes: std::ops::RangeInclusive<u64>, limit| {
        let files = store.large_files(&sizes, limit).expect("is read");
        files.iter().map(|file| file.path.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(found(&mut *store, (1 << 31) + 1..=u64::MAX, 10), "d c b");
    assert_eq!(found(&mut *store, (1 << 31) + 1..=1 << 32, 10), "b");
    assert_eq!(found(&mut *store, 0..=u64::MAX, 1), "d");
}

fn health_changes_are_written_down_once(kit: &Kit) {
    let mut store = (kit.open)();
    let change = |health, seconds| HealthChange { health, at: at(seconds), reason: Some("timed out".into()) };
    assert!(store.record_health(&name("m"), &change(Health::Down, 1)).expect("is kept").sequence.is_some());
    assert!(store.record_health(&name("m"), &change(Health::Down, 2)).expect("is kept").sequence.is_none());
    assert!(store.record_health(&name("m"), &change(Health::Up, 3)).expect("is kept").sequence.is_some());
    let history = store.health_history(&name("m"), 10).expect("is read");
    assert_eq!(history, [change(Health::Up, 3), change(Health::Down, 1)]);
    for round in 0..MAX_HEALTH_CHANGES {
        let health = if round % 2 == 0 { Health::Down } else { Health::Up };
        store.record_health(&name("m"), &change(health, 10)).expect("is kept");
    }
    assert_eq!(store.health_history(&name("m"), usize::MAX).expect("is read").len(), MAX_HEALTH_CHANGES);
}

fn holds_are_set_renewed_and_lifted(kit: &Kit) {
    let mut store = (kit.open)();
    let hold = |text, because: &str, seconds| Hold { path: path(text), because: because.into(), at: at(seconds) };
    store.hold(&hold("b", "broken", 1)).expect("is kept");
    store.hold(&hold("a", "licence", 2)).expect("is kept");
    store.hold(&hold("b", "virus", 3)).expect("is kept");
    assert_eq!(store.holds().expect("is read"), [hold("a", "licence", 2), hold("b", "virus", 3)]);
    assert!(store.release(&path("b"), "cleaned", at(4)).expect("is kept").value);
    assert!(!store.release(&path("b"), "again", at(5)).expect("is kept").value);
    assert_eq!(store.holds().expect("is read"), [hold("a", "licence", 2)]);
    let history = store.hold_history(10).expect("is read");
    let lines: Vec<_> = history.iter().map(|event| (event.action, event.because.as_str(), event.at)).collect();
    assert_eq!(
        lines,
        [
            (HoldAction::Released, "cleaned", at(4)),
            (HoldAction::Held, "virus", at(3)),
            (HoldAction::Held, "licence", at(2)),
            (HoldAction::Held, "broken", at(1)),
        ]
    );
}

fn many_files_are_all_loaded(kit: &Kit) {
    let mut store = (kit.open)();
    let batch: Vec<Observation> = (0..30_000).map(|n| seen(&format!("{}/{n}", n % 7), look(n, 0), 1)).collect();
    let mut records = store.observe(&batch).expect("is kept").value;
    records.sort_by(|a, b| a.path.cmp(&b.path));
    let entries: Vec<_> = records.iter().map(|record| (record.path.clone(), FileEntry::from(record))).collect();
    assert!(loaded(&mut *store).0 == entries, "every file came, and came as it is");
}

fn there_is_a_limit_to_holds(kit: &Kit) {
    let mut store = (kit.open)();
    let hold = |number: usize| Hold { path: path(&number.to_string()), because: String::new(), at: at(0) };
    for number in 0..MAX_HOLDS {
        store.hold(&hold(number)).expect("is kept");
    }
    let refused = store.hold(&hold(MAX_HOLDS)).expect_err("one too many");
    assert!(matches!(refused, Error::TooManyHolds(MAX_HOLDS)), "{refused}");
    store.hold(&hold(0)).expect("one that stands may be renewed");
    assert_eq!(store.holds().expect("is read").len(), MAX_HOLDS);
}

fn awkward_paths_and_numbers_come_back_the_same(kit: &Kit) {
    let mut store = (kit.open)();
    let long = "x".repeat(255);
    let names: [&[u8]; 6] =
        [b"a b%20+", b"\xff\xfe/\xc3\xbc", b"';DROP TABLE file;--", long.as_bytes(), b"*?[%_", b"\xf0\x9f\x98\x80"];
    for (number, bytes) in names.into_iter().enumerate() {
        let fingerprint = Fingerprint {
            size: u64::MAX >> number,
            mtime_ns: if number % 2 == 0 { i64::MIN } else { i64::MAX },
            ctime_ns: -1,
            inode: u64::MAX - number as u64,
        };
        let path = TreePath::parse(bytes).expect("a good path").into_owned();
        let observation = Observation { path: path.clone(), fingerprint, at: at(0), kind: Seen::First };
        let record = store.observe(&[observation]).expect("is kept").value.remove(0);
        assert_eq!(record.fingerprint, fingerprint);
        assert_eq!(store.file(&path).expect("is read"), Some(record));
    }
    assert_eq!(all(&mut *store).len(), names.len());
}

fn what_one_handle_writes_another_can_follow(kit: &Kit) {
    let (mut writer, mut reader) = ((kit.open)(), (kit.open)());
    let start = loaded(&mut *reader).1.sequence;
    assert_eq!(reader.changes(start).expect("is read"), Changes::Nothing);

    let a = observe(&mut *writer, "a", look(1, 0), 1);
    let b = observe(&mut *writer, "b", look(1, 0), 1);
    writer.forget(&[path("a")]).expect("is kept");
    let update = changes(&mut *reader, start);
    assert_eq!(update.files, [(a.path, None), (b.path.clone(), Some(b.clone()))]);
    assert!(update.mirrors.is_empty() && update.holds.is_none());

    writer.record_scan(&scanned("m", 0, Some(bitmap([b.version]))), "x").expect("is kept");
    let after_scan = changes(&mut *reader, update.sequence);
    assert_eq!(after_scan.mirrors[0].holdings.to_bitmap(), bitmap([b.version]));
    assert!(after_scan.files.is_empty());

    writer.hold(&Hold { path: path("b"), because: "x".into(), at: at(0) }).expect("is kept");
    let after_hold = changes(&mut *reader, after_scan.sequence);
    assert_eq!(after_hold.holds.expect("holds changed")[0].path, path("b"));
    assert_eq!(reader.changes(after_hold.sequence).expect("is read"), Changes::Nothing);

    let own = reader.forget(&[path("b")]).expect("is kept").sequence.expect("it changed something");
    assert!(own.follows(after_hold.sequence) && !own.follows(after_scan.sequence));
}

fn a_reader_that_is_too_far_behind_is_told_so(kit: &Kit) {
    let (mut writer, mut reader) = ((kit.open)(), (kit.open)());
    let start = loaded(&mut *reader).1.sequence;
    let long = "directory/".repeat(200);
    for batch in 0..22_i64 {
        let batch: Vec<Observation> = (0..400).map(|file| seen(&format!("{long}{file}"), look(1, batch), batch)).collect();
        writer.observe(&batch).expect("is kept");
    }
    assert_eq!(reader.changes(start).expect("is read"), Changes::Lost);
    let now = loaded(&mut *reader).1.sequence;
    assert_eq!(reader.changes(now).expect("is read"), Changes::Nothing);
    let ahead = Sequence { number: now.number + 1, ..now };
    assert_eq!(reader.changes(ahead).expect("is read"), Changes::Lost);
}

fn writing_the_same_again_changes_nothing(kit: &Kit) {
    let mut store = (kit.open)();
    let a = observe(&mut *store, "a", look(1, 0), 1).version;
    assert_eq!(store.observe(&[seen("a", look(1, 0), 9)]).expect("is read").sequence, None);
    assert_eq!(store.forget(&[path("b")]).expect("is read").sequence, None);
    assert!(store.record_scan(&scanned("m", 0, Some(bitmap([a]))), "x").expect("is kept").sequence.is_some());
    assert_eq!(store.record_scan(&scanned("m", 9, Some(bitmap([a]))), "x").expect("is kept").sequence, None);
    assert!(store.record_scan(&scanned("m", 9, Some(bitmap([a]))), "y").expect("is kept").sequence.is_some());
}

fn the_tree_is_indexed_once(kit: &Kit) {
    let mut store = (kit.open)();
    assert!(!store.is_indexed().expect("is read"));
    store.set_indexed().expect("is kept");
    store.set_indexed().expect("is kept");
    assert!(store.is_indexed().expect("is read"));
}

// The inventory on top of a store.

fn mirror(text: &str, base: &str) -> Arc<Mirror> {
    Arc::new(Mirror { http: Some(BaseUrl::parse(base, Scheme::Http).expect("a good URL")), ..Mirror::new(name(text)) })
}

fn mirrors() -> Vec<Arc<Mirror>> {
    vec![mirror("m", "http://m.example/"), mirror("n", "http://n.example/")]
}

async fn opened(file: &Path) -> Inventory {
    let settings = Settings { database: file.to_owned(), ..Settings::default() };
    Inventory::open(&settings, mirrors(), Clock::manual(at(1000))).await.expect("opens")
}

#[tokio::test]
async fn what_is_written_is_in_the_snapshot_at_once() {
    let inventory = Inventory::temporary(mirrors(), Clock::manual(at(1000))).await.expect("opens");
    let snapshot = Arc::clone(inventory.snapshot());
    let records = inventory.observe(vec![seen("a/b", look(1, 0), 1), seen("c", look(1, 0), 1)]).await.expect("is kept");
    assert_eq!(snapshot.file(&path("a/b")), Some(FileEntry::from(&records[0])));
    assert_eq!((snapshot.file(&path("a")), snapshot.file_count()), (None, 2));

    inventory.record_scan(scanned("m", 0, Some(bitmap([records[0].version])))).await.expect("is kept");
    let held = |index: usize, version| snapshot.mirrors().members[index].holds(version);
    assert!(held(0, records[0].version) && !held(0, records[1].version) && !held(1, records[0].version));
    inventory.record_health(name("n"), Health::Down, at(2), None).await.expect("is kept");
    assert_eq!(snapshot.mirrors().members[1].health, Health::Down);

    inventory.hold(Hold { path: path("a"), because: "bad".into(), at: at(3) }).await.expect("is kept");
    assert!(snapshot.is_held(&path("a")) && snapshot.is_held(&path("a/b")));
    assert!(!snapshot.is_held(&path("ab")) && !snapshot.is_held(&TreePath::root()));
    assert!(inventory.release(path("a"), "good".into(), at(4)).await.expect("is kept"));
    assert!(!snapshot.is_held(&path("a/b")));
    inventory.hold(Hold { path: TreePath::root(), because: "all".into(), at: at(3) }).await.expect("is kept");
    assert!(snapshot.is_held(&path("c")));

    let seen = bitmap([records[1].version]);
    let finished = inventory.finish_walk(TreePath::root(), seen, at(500)).await.expect("is kept");
    assert_eq!(finished, Finished { forgotten: 1, newest: Some(at(1)) });
    assert_eq!((snapshot.file(&path("a/b")), snapshot.file_count()), (None, 1));
    inventory.close().await.expect("closes");
    assert_eq!(snapshot.file_count(), 1, "the snapshot outlives the inventory");
}

#[tokio::test]
async fn two_processes_see_each_others_changes() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let file = folder.path().join("shared.sqlite");
    let (one, two) = (opened(&file).await, opened(&file).await);
    for round in 0..3 {
        let a = one.observe(vec![seen("a", look(1 + round, 0), 1)]).await.expect("is kept").remove(0);
        let b = two.observe(vec![seen("b", look(1 + round, 0), 1)]).await.expect("is kept").remove(0);
        for (inventory, record) in [(&one, &b), (&two, &a)] {
            let snapshot = inventory.snapshot();
            until_async("the other's file", async || snapshot.file(&record.path) == Some(FileEntry::from(record))).await;
        }
        one.record_scan(scanned("m", round.cast_signed(), Some(bitmap([a.version, b.version])))).await.expect("is kept");
        until_async("the other's scan", async || two.snapshot().mirrors().members[0].holds(b.version)).await;
    }
    two.hold(Hold { path: path("a"), because: "bad".into(), at: at(2) }).await.expect("is kept");
    until_async("the other's hold", async || one.snapshot().is_held(&path("a"))).await;
    two.record_health(name("n"), Health::Failing, at(3), None).await.expect("is kept");
    until_async("the other's probe", async || one.snapshot().mirrors().members[1].health == Health::Failing).await;
    two.forget(vec![path("a")]).await.expect("is kept");
    until_async("the other's deletion", async || one.snapshot().file(&path("a")).is_none()).await;
    assert_eq!(one.snapshot().file_count(), 1);
}

#[tokio::test]
async fn a_reload_of_the_mirrors_keeps_what_is_known_by_name() {
    let inventory = Inventory::temporary(mirrors(), Clock::manual(at(1000))).await.expect("opens");
    let version = inventory.observe(vec![seen("a", look(1, 0), 1)]).await.expect("is kept")[0].version;
    for name_of in ["m", "n"] {
        inventory.record_scan(scanned(name_of, 0, Some(bitmap([version])))).await.expect("is kept");
        inventory.record_health(name(name_of), Health::Up, at(1), None).await.expect("is kept");
    }
    let before = inventory.snapshot().mirrors().generation;
    let moved =
        vec![mirror("new", "http://new.example/"), mirror("n", "http://elsewhere.example/"), mirror("m", "http://m.example/")];
    inventory.set_mirrors(moved).await.expect("is taken");
    let set = inventory.snapshot().mirrors();
    assert!(set.generation > before);
    let facts: Vec<_> = set.members.iter().map(|m| (m.mirror.name.as_str(), m.holds(version), m.health)).collect();
    assert_eq!(
        facts,
        [("new", false, Health::Unknown), ("n", false, Health::Up), ("m", true, Health::Up)],
        "n moved: what was seen at its old place says nothing about the new one"
    );
    inventory.record_scan(scanned("n", 900, Some(bitmap([version])))).await.expect("is kept");
    assert!(!inventory.snapshot().mirrors().members[1].holds(version), "that scan began when n was elsewhere");
    inventory.set_mirrors(mirrors()).await.expect("is taken");
    assert!(inventory.snapshot().mirrors().members[1].holds(version), "n is back where it was seen");
    let generation = inventory.snapshot().mirrors().generation;
    inventory.record_scan(scanned("m", 1000, Some(RoaringBitmap::new()))).await.expect("is kept");
    let set = inventory.snapshot().mirrors();
    assert_eq!((set.generation, set.members[0].holds(version)), (generation, false));
}

#[tokio::test]
async fn a_url_that_was_never_scanned_is_used_for_nobody() {
    let urls = |http: &str, https: &str| {
        let https = BaseUrl::parse(https, Scheme::Https).expect("a good URL");
        vec![Arc::new(Mirror { https: Some(https), ..(*mirror("m", http)).clone() })]
    };
    let (http, https) = ("http://m.example/", "https://m.example/");
    let inventory = Inventory::temporary(urls(http, https), Clock::manual(at(1000))).await.expect("opens");
    let version = inventory.observe(vec![seen("a", look(1, 0), 1)]).await.expect("is kept")[0].version;
    let used = || {
        let set = inventory.snapshot().mirrors();
        let state = &set.members[0];
        let base = |scheme| state.base(scheme).filter(|_| state.holds(version)).map(|base| base.as_str().to_owned());
        (base(Scheme::Http), base(Scheme::Https))
    };
    let text = |text: &str| Some(text.to_owned());
    inventory.record_scan(scanned("m", 1000, Some(bitmap([version])))).await.expect("is kept");
    assert_eq!(used(), (text(http), text(https)));
    inventory.set_mirrors(urls(http, "https://elsewhere.example/")).await.expect("is taken");
    assert_eq!(used(), (text(http), None), "the new https was never seen");
    inventory.set_mirrors(urls("http://elsewhere.example/", https)).await.expect("is taken");
    assert_eq!(used(), (text(https), text(https)), "the new http was never seen");
    inventory.set_mirrors(urls("http://elsewhere.example/", "https://elsewhere.example/")).await.expect("is taken");
    assert_eq!(used(), (None, None));
    inventory.set_mirrors(vec![mirror("m", http)]).await.expect("is taken");
    assert_eq!(used(), (text(http), None));

    inventory.set_mirrors(urls(http, https)).await.expect("is taken");
    let unlike = ScanRecord { unseen: Some(Scheme::Https), ..scanned("m", 1001, Some(bitmap([version]))) };
    inventory.record_scan(unlike).await.expect("is kept");
    assert_eq!(used(), (text(http), None), "the same files, but no longer over https");
    inventory.set_mirrors(urls(http, https)).await.expect("is taken");
    assert_eq!(used(), (text(http), None), "that is kept");
}

#[tokio::test]
async fn orders_need_no_files_in_memory() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let file = folder.path().join("test.sqlite");
    filled(&file).await;
    let running = opened(&file).await;
    let settings = Settings { database: file, ..Settings::default() };
    let inventory = Inventory::open_without_files(&settings, mirrors(), Clock::manual(at(1000))).await.expect("opens");
    assert_eq!(inventory.snapshot().file_count(), 0);
    assert!(inventory.file(path("dir/7")).await.expect("is read").is_some());
    inventory.hold(Hold { path: path("dir/7"), because: "bad".into(), at: at(1) }).await.expect("is kept");
    until_async("the running server holds it", async || running.snapshot().is_held(&path("dir/7"))).await;
    assert_eq!(inventory.snapshot().mirrors().members[0].holdings.len(), 5000);
}

#[tokio::test]
async fn a_closed_inventory_says_so() {
    let inventory = Inventory::temporary(mirrors(), Clock::manual(at(1000))).await.expect("opens");
    let other = inventory.clone();
    inventory.close().await.expect("closes");
    assert!(matches!(other.holds().await, Err(Error::Closed)));
    assert!(matches!(other.close().await, Err(Error::Closed)));
}

#[tokio::test]
async fn the_owner_ends_when_nobody_is_left() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let file = folder.path().join("test.sqlite");
    drop(opened(&file).await);
    let log = folder.path().join("test.sqlite-wal");
    until_async("the write-ahead log is folded in by the last to close", async || !log.exists()).await;
}

// Opening.

async fn refusal(file: &Path) -> String {
    let settings = Settings { database: file.to_owned(), ..Settings::default() };
    let error = Inventory::open(&settings, Vec::new(), Clock::system()).await.expect_err("is refused");
    let inspected = Sqlite::inspect(file).map_or_else(|error| error.to_string(), |found| format!("{found:?}"));
    assert_eq!(error.to_string(), inspected, "`check` says the same");
    error.to_string()
}

#[tokio::test]
async fn another_programs_database_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let file = folder.path().join("other.sqlite");
    let other = rusqlite::Connection::open(&file).expect("opens");
    other.execute_batch("CREATE TABLE song (title TEXT)").expect("is made");
    drop(other);
    let before = std::fs::read(&file).expect("is read");
    assert!(refusal(&file).await.contains("is another program's database and was left alone"));
    assert_eq!(std::fs::read(&file).expect("is read"), before);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let file = folder.path().join("mirrors.toml");
    redirector::durable::write(&file, "[server]\n".repeat(200).as_bytes()).expect("is written");
    assert!(refusal(&file).await.contains("mirrors.toml is not an SQLite database"));
    assert_eq!(std::fs::read(&file).expect("is read").len(), 1800);
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let file = folder.path().join("test.sqlite");
    opened(&file).await.close().await.expect("closes");
    let connection = rusqlite::Connection::open(&file).expect("opens");
    connection.pragma_update(None, "user_version", 4711).expect("is set");
    drop(connection);
    let text = refusal(&file).await;
    assert!(text.contains("has schema 4711") && text.contains("start the newer redirector"), "{text}");
}

#[tokio::test]
async fn many_may_open_a_new_database_at_once() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let file = folder.path().join("test.sqlite");
    let tries: Vec<_> = (0..8).map(|_| file.clone()).map(|file| std::thread::spawn(move || Sqlite::open(&file))).collect();
    for opened in tries {
        let opened = opened.join().expect("does not panic");
        assert!(opened.is_ok(), "{opened:?}");
    }
}

#[tokio::test]
async fn a_database_in_a_folder_that_is_not_there_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let settings = Settings { database: folder.path().join("none/test.sqlite"), ..Settings::default() };
    let error = Inventory::open(&settings, Vec::new(), Clock::system()).await.expect_err("is refused");
    assert!(error.to_string().contains("none/test.sqlite"), "{error}");
    assert_eq!(Sqlite::inspect(&settings.database).expect("nothing is there"), Inspection::Absent);
}

/// A database with some thousand files, closed.
async fn filled(file: &Path) {
    let inventory = opened(file).await;
    let batch = (0..5000).map(|number| seen(&format!("dir/{number}"), look(number, 0), 1)).collect();
    let records = inventory.observe(batch).await.expect("is kept");
    inventory.record_scan(scanned("m", 0, Some(bitmap(records.iter().map(|r| r.version))))).await.expect("is kept");
    inventory.close().await.expect("closes");
}

#[tokio::test]
async fn a_damaged_database_is_told_with_the_file_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let file = folder.path().join("test.sqlite");
    filled(&file).await;
    let whole = std::fs::read(&file).expect("is read");
    let pages: Vec<usize> = (1..whole.len() / 4096).step_by(9).collect();
    let mut refused = 0;
    for page in &pages {
        let mut damaged = whole.clone();
        damaged[page * 4096..][..4096].fill(0x5a);
        redirector::durable::write(&file, &damaged).expect("is written");
        let settings = Settings { database: file.clone(), ..Settings::default() };
        match Inventory::open(&settings, mirrors(), Clock::manual(at(1000))).await {
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("test.sqlite is damaged") && text.contains("restore a backup"), "{text}");
                refused += 1;
            }
            // A page that holds no file, like a history, is noticed when it is needed.
            Ok(inventory) => inventory.close().await.expect("closes"),
        }
    }
    assert!(refused > pages.len() / 2, "{refused} of {}", pages.len());
}

#[tokio::test]
async fn values_that_we_never_write_are_refused() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    for (number, (sql, what)) in [
        ("UPDATE file SET path = 'text'", "no blob"),
        ("UPDATE file SET state = 9", "the state 9"),
        ("UPDATE file SET version = -1", "the value -1"),
        ("UPDATE file SET version = 4711", "never given out"),
        ("UPDATE file SET size = 'large'", "type Text in column size"),
        ("UPDATE mirror SET holdings = x'ffffffffffffffff'", "holdings of \"m\""),
        ("UPDATE mirror SET health = 'fine'", "the health \"fine\""),
        ("UPDATE mirror SET name = 'a b'", "no mirror name"),
        ("DELETE FROM fact", "no next version number"),
        ("UPDATE fact SET value = -5", "no next version number"),
        ("DELETE FROM change", "type Null in column max(number)"),
        ("DROP TABLE hold", "no such table"),
    ]
    .into_iter()
    .enumerate()
    {
        let file = folder.path().join(format!("{number}.sqlite"));
        let inventory = opened(&file).await;
        let version = inventory.observe(vec![seen("a", look(1, 0), 1)]).await.expect("is kept")[0].version;
        inventory.record_scan(scanned("m", 0, Some(bitmap([version])))).await.expect("is kept");
        inventory.close().await.expect("closes");
        rusqlite::Connection::open(&file).and_then(|connection| connection.execute_batch(sql)).expect("is changed");
        let settings = Settings { database: file, ..Settings::default() };
        let error = Inventory::open(&settings, mirrors(), Clock::manual(at(1000))).await.expect_err(sql);
        assert!(matches!(error, Error::Damaged { .. }) && error.to_string().contains(what), "{sql}: {error}");
    }
}

#[tokio::test]
async fn files_whose_pages_are_not_as_expected_are_read_row_by_row() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let file = folder.path().join("test.sqlite");
    filled(&file).await;
    let entries = |inventory: &Inventory| -> Vec<_> {
        (0..5000).map(|number| inventory.snapshot().file(&path(&format!("dir/{number}")))).collect()
    };
    let before = opened(&file).await;
    let known = entries(&before);
    before.close().await.expect("closes");
    let change = "ALTER TABLE file ADD COLUMN whatever INTEGER";
    rusqlite::Connection::open(&file).and_then(|connection| connection.execute_batch(change)).expect("is changed");
    let after = opened(&file).await;
    assert!(known.iter().all(Option::is_some) && entries(&after) == known);
    assert_eq!(after.snapshot().file_count(), 5000);
    after.close().await.expect("closes");
}

// Outages while it runs.

#[tokio::test]
async fn a_database_that_is_deleted_is_missed_and_welcomed_back() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let (file, aside) = (folder.path().join("test.sqlite"), folder.path().join("aside.sqlite"));
    filled(&file).await;
    let inventory = opened(&file).await;
    assert_eq!(inventory.problem(), None);
    std::fs::rename(&file, &aside).expect("is moved");
    until_async("it is missed", async || inventory.problem().is_some_and(|problem| problem.contains("test.sqlite is gone")))
        .await;
    assert!(matches!(inventory.holds().await, Err(Error::Gone { .. })));
    assert_eq!(inventory.snapshot().file_count(), 5000, "requests go on");
    std::fs::rename(&aside, &file).expect("is moved back");
    until_async("it is welcomed back", async || inventory.problem().is_none()).await;
    inventory.hold(Hold { path: path("dir/8"), because: "works".into(), at: at(0) }).await.expect("is kept");
}

#[tokio::test]
async fn a_database_that_is_replaced_by_a_backup_is_loaded_anew() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let (file, backup) = (folder.path().join("test.sqlite"), folder.path().join("backup.sqlite"));
    filled(&file).await;
    std::fs::copy(&file, &backup).expect("is copied");
    let inventory = opened(&file).await;
    inventory.observe(vec![seen("newer", look(1, 0), 1)]).await.expect("is kept");
    for suffix in ["-wal", "-shm"] {
        std::fs::remove_file(folder.path().join(format!("test.sqlite{suffix}"))).expect("is removed");
    }
    std::fs::rename(&backup, &file).expect("is put in place");
    until_async("the backup is in use", async || inventory.snapshot().file(&path("newer")).is_none()).await;
    let record = inventory.observe(vec![seen("again", look(1, 0), 1)]).await.expect("is kept").remove(0);
    inventory.record_scan(scanned("m", 999, Some(bitmap([record.version])))).await.expect("is kept");
    assert!(!inventory.snapshot().mirrors().members[0].holds(record.version), "that scan knew the other database's numbers");
    inventory.record_scan(scanned("m", 1000, Some(bitmap([record.version])))).await.expect("is kept");
    assert!(inventory.snapshot().mirrors().members[0].holds(record.version));
    assert_eq!(inventory.snapshot().file(&path("again")), Some(FileEntry::from(&record)));
    assert_eq!(inventory.problem(), None);
}

/// By the order of events: whoever has to write once comes next but one, however much others write.
#[test]
fn a_hold_comes_next_although_a_first_walk_writes_without_a_pause() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let file = folder.path().join("test.sqlite");
    let (mut walk, mut orders) = (Sqlite::open(&file).expect("opens"), Sqlite::open(&file).expect("opens"));
    let (batches, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let walking = std::thread::spawn({
        let (batches, stop) = (Arc::clone(&batches), Arc::clone(&stop));
        move || {
            while !stop.load(Ordering::SeqCst) {
                let number = batches.load(Ordering::SeqCst);
                let batch: Vec<_> = (0..512).map(|file| seen(&format!("{number}/{file}"), look(5, 0), 1)).collect();
                walk.observe(&batch).expect("is kept");
                batches.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let began = clock::instant();
    while batches.load(Ordering::SeqCst) < 2 {
        assert!(began.elapsed() < Duration::from_secs(20), "nothing is written");
        std::thread::yield_now();
    }
    let mut waited = Vec::new();
    for number in 0..20 {
        let before = batches.load(Ordering::SeqCst);
        let hold = Hold { path: path(&format!("{number}")), because: "bad".to_owned(), at: at(2) };
        orders.hold(&hold).expect("is kept");
        waited.push(batches.load(Ordering::SeqCst) - before);
    }
    stop.store(true, Ordering::SeqCst);
    walking.join().expect("it walked");
    // The one that was under way, and one that was just about to begin.
    assert!(waited.iter().all(|batches| *batches <= 3), "{waited:?}");
}

#[tokio::test]
async fn a_locked_database_delays_nobody_but_the_writer() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let file = folder.path().join("test.sqlite");
    filled(&file).await;
    let inventory = opened(&file).await;
    let other = rusqlite::Connection::open(&file).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("is locked");
    let error = inventory.forget(vec![path("dir/1")]).await.expect_err("is locked");
    assert!(error.to_string().contains("kept locked by another process"), "{error}");
    assert!(inventory.problem().is_some());
    assert!(inventory.snapshot().file(&path("dir/1")).is_some());
    assert!(inventory.file(path("dir/1")).await.expect("readers are not locked out").is_some());
    other.execute_batch("ROLLBACK").expect("is released");
    assert_eq!(inventory.forget(vec![path("dir/1")]).await.expect("is kept"), 1);
    assert_eq!(inventory.problem(), None);
}

#[test]
fn a_description_of_an_older_program_which_has_all_in_its_row_is_read() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let file = folder.path().join("test.sqlite");
    let mut store = Sqlite::open(&file).expect("opens");
    let version = observe(&mut store, "a", look(5, 0), 1).version;
    let pieces = Pieces { length: 5, sha1: vec![4; 20].into(), sha256: vec![4; 32].into() };
    let whole = Digests { pieces, ..digests(4) };
    store.record_digests(&path("a"), &look(5, 0), &whole, PlanId(1), at(2)).expect("is kept");
    let raw = rusqlite::Connection::open(&file).expect("opens");
    let kept = "SELECT length(sha256) + length(piece_sha1) + length(piece_sha256) FROM description";
    assert_eq!(raw.query_row(kept, [], |row| row.get(0)), Ok(0), "nothing is there twice");
    let older = "UPDATE description SET sha256 = ?1, piece_sha1 = ?2, piece_sha256 = ?1";
    raw.execute(older, rusqlite::params![[4_u8; 32], [4_u8; 20]]).expect("is written");
    assert_eq!(store.digests(&path("a"), version).expect("is read"), Some(whole));
    assert_eq!(store.digests(&path("b"), version).expect("is read"), None, "another path's version");
}

#[tokio::test]
async fn requests_know_the_digest_of_every_file_that_can_be_relied_on() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let file = folder.path().join("test.sqlite");
    let inventory = opened(&file).await;
    let sha256 = |inventory: &Inventory, name: &str| inventory.snapshot().file(&path(name)).expect("is known").sha256;
    inventory.observe(vec![seen("a", look(5, 0), 1), seen("b", look(5, 0), 1)]).await.expect("is kept");
    assert_eq!(sha256(&inventory, "a"), None);
    inventory.record_digests(path("a"), look(5, 0), digests(1), PlanId(1)).await.expect("is kept");
    inventory.record_digest(path("b"), look(5, 0), Sha256([2; 32])).await.expect("is kept");
    assert_eq!((sha256(&inventory, "a"), sha256(&inventory, "b")), (Some(Sha256([1; 32])), Some(Sha256([2; 32]))));
    inventory.observe(vec![seen("b", look(5, 9), 10)]).await.expect("is kept");
    assert_eq!(sha256(&inventory, "b"), None, "it may be another content");
    inventory.close().await.expect("closes");

    let again = opened(&file).await;
    assert_eq!((sha256(&again, "a"), sha256(&again, "b")), (Some(Sha256([1; 32])), None));
    again.close().await.expect("closes");
    let frugal = Settings { database: file, sha256_in_memory: false };
    let frugal = Inventory::open(&frugal, Vec::new(), Clock::manual(at(1000))).await.expect("opens");
    assert_eq!(sha256(&frugal, "a"), None);
    frugal.record_digests(path("b"), look(5, 9), digests(3), PlanId(1)).await.expect("is kept");
    assert_eq!(sha256(&frugal, "b"), None);
    frugal.close().await.expect("closes");
}

#[tokio::test]
async fn descriptions_wait_for_no_writer_and_a_lost_database_is_told() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let file = folder.path().join("test.sqlite");
    let inventory = opened(&file).await;
    let version = inventory.observe(vec![seen("a", look(5, 0), 1), seen("b", look(5, 0), 1)]).await.expect("is kept");
    let version: Vec<VersionNumber> = version.into_iter().map(|record| record.version).collect();
    for name in ["a", "b"] {
        inventory.record_digests(path(name), look(5, 0), digests(1), PlanId(1)).await.expect("is kept");
    }
    let other = rusqlite::Connection::open(&file).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("is locked");
    let busy = tokio::spawn({
        let inventory = inventory.clone();
        async move { inventory.forget(vec![path("none")]).await } // keeps the owner waiting
    });
    // A digest that waited for the owner would wait for longer than a request may.
    let found = inventory.digests(&path("a"), version[0]).await.expect("is read");
    assert_eq!(found.as_deref(), Some(&digests(1)));
    other.execute_batch("ROLLBACK").expect("is released");
    drop(other);
    drop(busy.await.expect("no panic"));

    std::fs::rename(&file, folder.path().join("elsewhere")).expect("is moved");
    assert!(inventory.digests(&path("a"), version[0]).await.expect("is in memory").is_some());
    let error = inventory.digests(&path("b"), version[1]).await.expect_err("it is gone");
    assert!(error.to_string().contains("is gone"), "{error}");
    std::fs::rename(folder.path().join("elsewhere"), &file).expect("is put back");
    assert_eq!(inventory.digests(&path("b"), version[1]).await.expect("is there again").as_deref(), Some(&digests(1)));
    inventory.close().await.expect("closes");
}

fn a_commit_is_known_again_by_its_mark(kit: &Kit) {
    let mut store = (kit.open)();
    let at_one = store.observe(&[seen("a", look(1, 1), 1)]).expect("is kept").sequence.expect("a commit");
    let mark = store.bookmark(at_one).expect("is read").expect("is there");
    let here = store.since(mark).expect("is read").expect("is there");
    assert_eq!((here.sequence, here.bytes, here.next_version), (at_one, 0, 2));
    store.observe(&[seen("b", look(1, 1), 1)]).expect("is kept");
    assert!(store.since(mark).expect("is read").is_some_and(|lag| lag.sequence == at_one && lag.bytes > 0));
    let other = Bookmark { mark: mark.mark ^ 1, ..mark };
    assert_eq!(store.since(other).expect("is read"), None, "another database's commit of this number");
    assert_eq!(store.since(Bookmark { number: mark.number + 9, ..mark }).expect("is read"), None, "not there yet");
    // More paths than the log writes down: what followed can't be told.
    let many = |n: u32| seen(&format!("{}/{n}", "long".repeat(50)), look(1, 1), 1);
    store.observe(&(0..6000).map(many).collect::<Vec<_>>()).expect("is kept");
    assert_eq!(store.since(mark).expect("is read"), None, "a gap");
}

/// A database with an image of three files, closed again.
async fn imaged(folder: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let (file, image) = (folder.join("test.sqlite"), folder.join("test.sqlite-image"));
    let inventory = opened(&file).await;
    let files = ["a", "b", "c"].map(|name| seen(name, look(10, 100), 990));
    inventory.observe(files.to_vec()).await.expect("is kept");
    inventory.keep_image(1).await.expect("is heard");
    until_async("an image", async || image.exists()).await;
    inventory.close().await.expect("closes");
    (file, image)
}

/// Takes a file's row away without telling the log, which no program of ours does: it shows whether files came from the image.
fn take_away_unseen(file: &Path, name: &str) {
    let database = rusqlite::Connection::open(file).expect("opens");
    assert_eq!(database.execute("DELETE FROM file WHERE path = CAST(? AS BLOB)", [name]).expect("is written"), 1);
}

#[tokio::test]
async fn a_start_takes_the_image_and_what_was_committed_since() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let (file, _) = imaged(folder.path()).await;
    {
        let mut store = Sqlite::open(&file).expect("opens");
        store.observe(&[seen("d", look(4, 200), 995), seen("b", look(11, 300), 995)]).expect("is kept");
        store.forget(&[path("c")]).expect("is kept");
        store.hold(&Hold { path: path("a"), because: "bad".to_owned(), at: at(996) }).expect("is kept");
    }
    take_away_unseen(&file, "a");
    let inventory = opened(&file).await;
    let snapshot = inventory.snapshot();
    let size = |name: &str| snapshot.file(&path(name)).map(|entry| entry.size);
    assert_eq!((size("a"), size("b"), size("c"), size("d")), (Some(10), Some(11), None, Some(4)));
    assert!(snapshot.is_held(&path("a")));
    let (newcomers, _) = inventory.newcomers(0);
    let mut young: Vec<String> = newcomers.iter().map(|one| one.path.to_string()).collect();
    young.sort();
    assert_eq!(young, ["a", "b", "b", "c", "d"], "of the image and since, as when it had never ended");
    inventory.observe(vec![seen("e", look(5, 400), 999)]).await.expect("is kept");
    assert_eq!(size("e"), Some(5));
}

#[tokio::test]
async fn an_image_that_is_broken_or_another_databases_is_not_used() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let (file, image) = imaged(folder.path()).await;
    take_away_unseen(&file, "a");
    let good = std::fs::read(&image).expect("is read");
    let count = async || {
        let inventory = opened(&file).await;
        let count = inventory.snapshot().file_count();
        inventory.close().await.expect("closes");
        count
    };
    assert_eq!(count().await, 3, "the image is used");
    let mut bad = good.clone();
    let last = bad.len() - 20;
    bad[last] ^= 1;
    redirector::durable::write(&image, &bad).expect("is written");
    assert_eq!(count().await, 2, "a wrong bit");
    redirector::durable::write(&image, &good[..good.len() / 2]).expect("is written");
    assert_eq!(count().await, 2, "cut short");
    redirector::durable::write(&image, &good).expect("is written");
    assert_eq!(count().await, 3, "it is good again");
    let other = tempfile::tempdir().expect("a folder for tests");
    let (_, others) = imaged(other.path()).await;
    std::fs::copy(&others, &image).expect("is copied");
    assert_eq!(count().await, 2, "another database's, with the same commits");
}

#[tokio::test]
async fn a_database_without_marks_is_brought_up_and_gets_an_image() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let file = folder.path().join("test.sqlite");
    filled(&file).await;
    let database = rusqlite::Connection::open(&file).expect("opens");
    let later = "ALTER TABLE change DROP COLUMN mark; DROP TABLE ability; DROP INDEX file_large; DROP TABLE listed_part; DROP TABLE listed; DROP TABLE wrong; DROP TABLE trail; ALTER TABLE file DROP COLUMN exact";
    database.execute_batch(&format!("{later}; PRAGMA user_version = 4")).expect("is as it was");
    drop(database);
    let inventory = opened(&file).await;
    let before = inventory.snapshot().file_count();
    assert!(before > 0);
    inventory.keep_image(1).await.expect("is heard");
    let image = folder.path().join("test.sqlite-image");
    until_async("an image", async || image.exists()).await;
    inventory.close().await.expect("closes");
    assert_eq!(opened(&file).await.snapshot().file_count(), before);
}

// Scale: `SCALE_FILES=10000000 SCALE_MIRRORS=500 cargo test --release --test store -- --nocapture inventory_costs`. That takes
// minutes and two gigabytes of disk; left out, it is small, and only shows that it works.

#[tokio::test]
async fn what_a_large_inventory_costs_can_be_seen() {
    let wished = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let (count, mirrors) = (wished("SCALE_FILES").unwrap_or(10_000), wished("SCALE_MIRRORS").unwrap_or(20));
    let folder = tempfile::tempdir().expect("a folder for tests");
    let file = folder.path().join("scale.sqlite");
    let names: Vec<Arc<Mirror>> = (0..mirrors).map(|n| mirror(&format!("m{n}"), "http://m.example/")).collect();
    let settings = Settings { database: file.clone(), ..Settings::default() };
    let open = || Inventory::open(&settings, names.clone(), Clock::manual(at(1000)));
    let mut watch = Watch::start();

    let inventory = open().await.expect("opens");
    let path_of = |n: u64| format!("pool/main/{:03}/package-{:05}/package-{n:08}_1.2.3-4_amd64.deb", n / 100_000, n / 100);
    let mut path_bytes = 0;
    for from in (0..count).step_by(2000) {
        let files: Vec<Observation> = (from..count.min(from + 2000))
            .map(|n| Observation {
                fingerprint: Fingerprint { inode: 5_000_000 + n, ..look(n * 37, n.cast_signed() % 80_000_000 - 100_000_000) },
                kind: Seen::First,
                ..seen(&path_of(n), look(0, 0), 100)
            })
            .collect();
        path_bytes += files.iter().map(|seen| seen.path.as_bytes().len() as u64).sum::<u64>();
        inventory.observe(files).await.expect("is kept");
    }
    println!("{}", watch.lap("first indexing"));
    let numbers = 1..=u32::try_from(count).expect("fits");
    let some =
        |n: u32| numbers.clone().filter(move |v| !n.is_multiple_of(4) || v.wrapping_mul(2_654_435_761) >> 24 > 200 - n % 200);
    for n in 0..names.len() as u32 {
        let holdings = if n % 20 == 0 { some(n).collect() } else { (1..numbers.end() - n).collect() };
        inventory.record_scan(scanned(&format!("m{n}"), 0, Some(holdings))).await.expect("is kept");
    }
    println!("{}", watch.lap(&format!("{mirrors} scans")));
    inventory.close().await.expect("closes");
    let database = rusqlite::Connection::open(&file).expect("opens");
    database.execute_batch("UPDATE file SET sha256 = randomblob(32), described = 1").expect("is written");
    drop(database);
    println!("{}", watch.lap("hashing"));
    let size = std::fs::metadata(&file).expect("is there").len();
    println!("database: {} MB, {:.1} bytes a file beyond its path", size >> 20, (size - path_bytes) as f64 / count as f64);

    let before = resident();
    println!("{}", watch.lap("closing"));
    let inventory = open().await.expect("opens");
    println!("{}", watch.lap("opening"));
    let snapshot = Arc::clone(inventory.snapshot());
    println!("resident: {} MB, before opening {} MB; {:?}", resident() >> 20, before >> 20, snapshot.stats());
    assert!(snapshot.file(&path(&path_of(0))).is_some_and(|file| file.sha256.is_some()));
    let wanted: Vec<TreePath<'static>> = (0..count.min(1_000_000)).map(|n| path(&path_of(n * 7919 % count))).collect();
    println!("{}", watch.lap("making paths"));
    let found = wanted.iter().filter(|path| snapshot.file(path).is_some()).count();
    println!("{}", watch.lap(&format!("looking up {found} files")));
    assert_eq!(found, wanted.len());

    inventory.record_scan(scanned("m7", 9, Some(numbers.collect()))).await.expect("is kept");
    println!("{}", watch.lap("a scan result"));
    let batch: Vec<Observation> = (0..1000).map(|n| seen(&path_of(n * 9973 % count), look(1, 500), 500)).collect();
    inventory.observe(batch).await.expect("is kept");
    println!("{}", watch.lap("1000 changed files"));
    inventory.observe(vec![seen(&path_of(5), look(2, 600), 600)]).await.expect("is kept");
    println!("{}", watch.lap("one changed file"));
    println!("resident: {} MB", resident() >> 20);
}

/// Tells how long things take, and how much of that was this process's own computing.
struct Watch {
    begun: std::time::Instant,
    computed: f64,
}

impl Watch {
    fn start() -> Self {
        Self { begun: clock::instant(), computed: computed() }
    }

    fn lap(&mut self, what: &str) -> String {
        let (now, computed) = (clock::instant(), computed());
        let wall = now.duration_since(self.begun).as_secs_f64();
        let line = format!("{what}: {wall:.3} s, computing {:.2} s", computed - self.computed);
        *self = Self { begun: now, computed };
        line
    }
}

/// The processor time of this process, in seconds (fields 14 and 15 of `/proc/self/stat`, in hundredths).
fn computed() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The memory of this process, in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
