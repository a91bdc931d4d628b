//! What listings looked like when they were last judged: a directory that shows the same, and of which we know the same, is not
//! judged again, and where the server says so it is not even sent. One without directories below it that holds all that it should is not
//! even asked for while the listing above shows it with the same time (`http`).
//!
//! It is kept in the inventory's store (`written`), in the transaction that records the scan. Validators and times can lie (Apache's
//! `TrackModified` does not see a file that is written in place), so each directory is read and judged anew every so many scans,
//! whatever it says.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::hashed::Hashed;
use super::listing::Family;
use super::plan::{Folder, Plan};
use super::validators::Validators;
use super::written;
use crate::inventory::Listed;
use crate::model::TreePath;

/// What is remembered of one mirror's listings, as one scan sees it.
#[derive(Debug)]
pub(super) struct Recollection {
    head: Head,
    directories: Hashed<Known>,
    /// Nothing was remembered, or nothing that is of any use.
    is_new: bool,
    /// Every directory is read anew after so many scans.
    reread: u64,
    /// Whether times of directories are believed.
    times: Times,
}

/// How a mirror was listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Where, and in which form.
    pub(super) place: String,
    /// What paths and pages are hashed with: random, so that nobody knows it who writes pages.
    pub(super) key: (u64, u64),
    /// Counts the scans.
    pub(super) round: u64,
    /// Before this one, times of directories are not believed.
    pub(super) doubted: u64,
}

/// Whether the times of directories are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// They are.
    Believed,
    /// Somebody wants to know what is there, or has seen that they say nothing.
    Doubted,
}

/// A directory whose listing was judged without a doubt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    /// What the server calls this state of the listing.
    pub(super) validators: Validators,
    /// A digest of the page.
    #[serde(with = "postcard::fixint::le")]
    pub(super) body: u64,
    /// A digest of what the tree had there, and of which of it the mirror held.
    #[serde(with = "postcard::fixint::le")]
    pub(super) mark: u64,
    /// Versions of which the listing shows other copies.
    pub(super) mismatched: Box<[u32]>,
    /// Directories of ours that the listing shows.
    pub(super) below: Box<[Below]>,
    /// How many entries it shows.
    pub(super) entries: u64,
    /// How many of ours it shows in their present version.
    pub(super) held: usize,
    /// Which family of servers wrote it.
    pub(super) family: Family,
    /// The time that the listing above showed of it, where that tells one state from the next.
    pub(super) shown: Option<i64>,
}

/// A directory in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Below {
    /// Its name.
    pub(super) name: Box<[u8]>,
    /// Its time, in seconds as they stand there.
    pub(super) shown: Option<i64>,
}

/// What a scan learnt about a directory, to be remembered with what it found.
#[derive(Debug)]
struct Learnt {
    key: u64,
    /// Its key in the plan.
    folder: u64,
    known: Known,
}

/// All that one scan learnt.
#[derive(Debug, Default)]
pub(super) struct Lesson {
    learnt: Vec<Learnt>,
    /// A directory had changed that showed the same time.
    pub(super) times_lied: bool,
}

/// Directories that are remembered of one mirror: about 40 MB while it is scanned. Those beyond are read and judged each time.
const MAX_DIRECTORIES: usize = 200_000;
/// For how many scans times are not believed that were wrong once: with a scan an hour, for half a week.
const DOUBT: u64 = 96;
/// Directories that have left the tree are forgotten, with all others, when they are more than those that are there and so many.
const ENOUGH: usize = 1000;

impl Head {
    fn new(place: &str) -> Self {
        let random = RandomState::new();
        Self { place: place.to_owned(), key: (random.hash_one(0), random.hash_one(1)), round: 0, doubted: 0 }
    }
}

impl Known {
    /// Whether a listing that was judged by now says all that it said, whatever it was held against.
    pub(super) fn says_the_same_as(&self, other: &Self) -> bool {
        let Self { validators, body, mark: _, mismatched, below, entries, held, family, shown } = self;
        (validators, body, mismatched, below) == (&other.validators, &other.body, &other.mismatched, &other.below)
            && (entries, held, family, shown) == (&other.entries, &other.held, &other.family, &other.shown)
    }
}

impl Lesson {
    /// Learns about a directory, as far as there is room.
    pub(super) fn add(&mut self, directory: &TreePath<'_>, known: Known, (plan, recollection): (&Plan, &Recollection)) {
        if self.learnt.len() < MAX_DIRECTORIES {
            self.learnt.push(Learnt { key: recollection.key(directory), folder: plan.key(directory), known });
        }
    }

    /// Forgets what was learnt about directories.
    pub(super) fn forget(&mut self) {
        self.learnt.clear();
    }
}

impl Recollection {
    /// What is remembered of a mirror that is listed at this `place`. What can't be read, or is of another place, is thrown away.
    pub(super) fn of_stored(stored: Option<Listed>, place: &str, plan: &Plan, reread: u64, times: Times) -> Self {
        let is_bloated = |known: usize| known > 2 * plan.directories() + ENOUGH;
        let read = stored
            .and_then(|stored| written::read(&stored))
            .filter(|(head, directories)| head.place == place && !is_bloated(directories.len()));
        let is_new = read.is_none();
        let (head, directories) = read.unwrap_or_else(|| (Head::new(place), Hashed::default()));
        Self { head, directories, is_new, reread: reread.max(1), times }
    }

    /// What is remembered of a directory, if that still stands: the tree has the same there, and the mirror is known to hold the
    /// same of it.
    pub(super) fn of(&self, directory: &TreePath<'_>, folder: &Folder, before: &RoaringBitmap) -> Option<&Known> {
        self.directories.get(&self.key(directory)).filter(|known| known.mark == self.mark(folder, before))
    }

    /// Whether it is a directory's turn to be read anew.
    pub(super) fn is_turn(&self, directory: &TreePath<'_>) -> bool {
        self.key(directory).wrapping_add(self.head.round).is_multiple_of(self.reread)
    }

    /// Whether times of directories are believed.
    pub(super) const fn believes_times(&self) -> bool {
        matches!(self.times, Times::Believed) && self.head.round >= self.head.doubted
    }

    /// A digest of a page.
    pub(super) fn digest(&self, body: &[u8]) -> u64 {
        self.hasher().hash(body)
    }

    /// What is to be written down after a scan by the `plan`, after which the mirror holds `holdings`.
    pub(super) fn after(mut self, lesson: Lesson, plan: &Plan, holdings: &RoaringBitmap) -> Listed {
        let mut touched = Vec::new();
        for Learnt { key, folder, mut known } in lesson.learnt {
            let Some(folder) = plan.folder_of(folder) else { continue };
            known.mark = self.mark(folder, holdings);
            if self.directories.len() < MAX_DIRECTORIES || self.directories.contains_key(&key) {
                touched.push(key);
                self.directories.insert(key, known);
            }
        }
        if lesson.times_lied {
            self.head.doubted = self.head.round + DOUBT;
        }
        // Those outside of the scope had no turn.
        self.head.round += u64::from(plan.scope().is_root());
        written::write(&self.head, &self.directories, (!self.is_new).then_some(&touched))
    }

    fn key(&self, directory: &TreePath<'_>) -> u64 {
        self.hasher().hash(directory.as_bytes())
    }

    fn mark(&self, folder: &Folder, held: &RoaringBitmap) -> u64 {
        let mut hasher = self.hasher();
        for version in &folder.versions {
            hasher.write_u32(*version);
            hasher.write_u8(u8::from(held.contains(*version)));
        }
        hasher.write_u64(folder.below);
        hasher.finish()
    }

    fn hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.head.key.0, self.head.key.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath<'static> {
        TreePath::parse(text.as_bytes().to_vec()).expect("valid")
    }

    fn plan(files: &[&str]) -> Plan {
        Plan::for_test(&files.iter().map(|file| path(file)).collect::<Vec<_>>())
    }

    fn known(entries: u64) -> Known {
        Known {
            validators: Validators::default(),
            body: 7,
            mark: 0,
            mismatched: Box::default(),
            below: [Below { name: b"x".as_slice().into(), shown: Some(-5) }].into(),
            entries,
            held: 1,
            family: Family::Nginx,
            shown: Some(1_750_000_000),
        }
    }

    /// What is to be written down after a scan that learnt about these directories.
    fn after(recollection: Recollection, directories: &[&str], plan: &Plan, held: &RoaringBitmap) -> Listed {
        let mut lesson = Lesson::default();
        directories.iter().for_each(|directory| lesson.add(&path(directory), known(1), (plan, &recollection)));
        recollection.after(lesson, plan, held)
    }

    fn recollection(stored: Option<&Listed>, place: &str, plan: &Plan, reread: u64) -> Recollection {
        Recollection::of_stored(stored.cloned(), place, plan, reread, Times::Believed)
    }

    /// As the store keeps it.
    fn kept(mut before: Listed, learnt: Listed) -> Listed {
        before.head = learnt.head;
        before.parts.extend(learnt.parts);
        before.parts.retain(|_, data| !data.is_empty());
        before
    }

    /// Versions count from 0, in the order of the files.
    const FILES: [&str; 4] = ["a/1", "a/2", "a/sub/3", "b/4"];

    #[test]
    fn a_directory_is_known_as_long_as_all_about_it_is_the_same() {
        let (plan, held) = (plan(&FILES), RoaringBitmap::from_iter([0, 1]));
        let stored = after(recollection(None, "http://m/", &plan, 12), &["a"], &plan, &held);
        let is_known = |place: &str, directory: &str, files: &[&str], held: &[u32]| {
            let plan = self::plan(files);
            let recollection = recollection(Some(&stored), place, &plan, 12);
            let known = plan.folder(&path(directory)).map(|folder| {
                recollection
                    .of(&path(directory), folder, &held.iter().copied().collect())
                    .map(|known| Known { mark: 0, ..known.clone() })
            });
            known.flatten() == Some(self::known(1))
        };
        assert!(is_known("http://m/", "a", &FILES, &[0, 1]));
        assert!(is_known("http://m/", "a", &FILES, &[0, 1, 3]), "what it holds elsewhere does not matter");
        assert!(!is_known("http://m/", "a", &FILES, &[0]), "a question took one away");
        assert!(!is_known("http://m/", "a", &FILES, &[]), "another database");
        assert!(!is_known("http://m/", "a", &["a/1", "a/2", "a/3", "a/sub/3"], &[0, 1]), "a new file");
        assert!(!is_known("http://m/", "a", &["a/1", "a/2", "a/new/3"], &[0, 1]), "a new directory");
        assert!(!is_known("http://m/", "b", &FILES, &[0, 1]));
        assert!(!is_known("http://elsewhere/", "a", &FILES, &[0, 1]), "it moved");
    }

    #[test]
    fn each_directory_is_read_anew_every_so_many_scans() {
        let names: Vec<String> = (0..100).map(|number| format!("{number}/x")).collect();
        let plan = plan(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let mut turns = vec![0; names.len()];
        let mut stored = None;
        for _ in 0..12 {
            let recollection = recollection(stored.as_ref(), "", &plan, 12);
            let anew: Vec<usize> = (0..100).filter(|number| recollection.is_turn(&path(&number.to_string()))).collect();
            assert!(anew.len() < 30, "{} of 100 at once", anew.len());
            anew.iter().for_each(|number| turns[*number] += 1);
            let learnt = recollection.after(Lesson::default(), &plan, &RoaringBitmap::new());
            stored = Some(kept(stored.unwrap_or_default(), learnt));
        }
        assert_eq!(turns, vec![1; 100]);
    }

    #[test]
    fn a_memory_that_is_broken_or_another_mirrors_is_thrown_away() {
        let (plan, held) = (plan(&FILES), RoaringBitmap::from_iter([0]));
        let learnt = || kept(Listed::default(), after(recollection(None, "m", &plan, 12), &["a", "b"], &plan, &held));
        let (own, other) = (learnt(), learnt());
        let known = |stored: &Listed| recollection(Some(stored), "m", &plan, 12).directories.len();
        assert_eq!((known(&own), own.parts.len()), (2, 2));
        for at in 0..own.head.len() {
            let mut broken = own.clone();
            broken.head[at] ^= 1;
            assert_eq!(known(&broken), 0, "byte {at} of the head");
        }
        for (part, data) in &own.parts {
            for at in 0..data.len() {
                let mut broken = own.clone();
                broken.parts.get_mut(part).expect("it is there")[at] ^= 1;
                assert_eq!(known(&broken), 1, "byte {at} of a part");
            }
            for length in 0..data.len() {
                let mut broken = own.clone();
                broken.parts.get_mut(part).expect("it is there").truncate(length);
                assert_eq!(known(&broken), 1, "cut at {length}");
            }
        }
        assert_eq!(known(&Listed { head: own.head.clone(), parts: other.parts.clone() }), 0, "another's directories");
        let moved = own.parts.iter().map(|(part, data)| (part ^ 1, data.clone())).collect();
        assert_eq!(known(&Listed { head: own.head.clone(), parts: moved }), 0, "parts at wrong places");
    }

    #[test]
    fn only_what_changed_is_written_and_what_is_of_no_use_goes() {
        let (plan, held) = (plan(&FILES), RoaringBitmap::from_iter([0]));
        let first = after(recollection(None, "m", &plan, 12), &["a", "b"], &plan, &held);
        assert_eq!(first.parts.len(), 256, "what was remembered of another place goes");
        let stored = kept(Listed::default(), first);
        let second = recollection(Some(&stored), "m", &plan, 12).after(Lesson::default(), &plan, &held);
        assert!(second.parts.is_empty() && second.head.len() < 100, "{second:?}");
        let third = after(recollection(Some(&stored), "m", &plan, 12), &["b"], &plan, &held);
        assert_eq!(third.parts.len(), 1);
        let gone: Vec<String> = (0..1100).map(|number| number.to_string()).collect();
        let large = self::plan(
            &gone.iter().map(|name| format!("{name}/x")).collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>(),
        );
        let learnt: Vec<&str> = gone.iter().map(String::as_str).collect();
        let bloated = after(recollection(None, "m", &large, 12), &learnt, &large, &held);
        assert_eq!(recollection(Some(&bloated), "m", &large, 12).directories.len(), 1100);
        assert!(recollection(Some(&bloated), "m", &plan, 12).directories.is_empty(), "the tree has four of them left");
    }

    #[test]
    fn times_that_lied_are_not_believed_for_a_while() {
        let (plan, held) = (plan(&FILES), RoaringBitmap::new());
        let mut stored =
            recollection(None, "m", &plan, 12).after(Lesson { times_lied: true, ..Lesson::default() }, &plan, &held);
        let mut doubted = 0;
        while !recollection(Some(&stored), "m", &plan, 12).believes_times() {
            stored = recollection(Some(&stored), "m", &plan, 12).after(Lesson::default(), &plan, &held);
            doubted += 1;
        }
        assert_eq!(doubted, DOUBT - 1, "after the scan that found out");
        assert!(!Recollection::of_stored(Some(stored), "m", &plan, 12, Times::Doubted).believes_times());
    }
}
