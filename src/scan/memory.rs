//! What listings looked like when they were last judged: a directory that shows the same, and of which we know the same, is not
//! judged again, and where the server says so it is not even sent.
//!
//! Kept in memory only: the first scan after a start reads everything. Validators can lie (Apache's `TrackModified` does not see a file
//! that is written in place), so each directory is read and judged anew every so many scans, whatever it says.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use roaring::RoaringBitmap;

use super::listing::Family;
use super::validators::Validators;
use crate::model::{MirrorName, TreePath};

/// What is remembered of all mirrors; its clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    hasher: RandomState,
    mirrors: Arc<Mutex<HashMap<MirrorName, Shelf>>>,
}

/// What is remembered of one mirror.
#[derive(Debug, Clone, Default)]
struct Shelf {
    /// Where, and in which form, it was listed.
    place: String,
    /// Counts the scans.
    round: u64,
    directories: Arc<HashMap<Box<[u8]>, Arc<Known>>>,
}

/// What is remembered, as one scan sees it.
#[derive(Debug)]
pub(super) struct Recollection {
    hasher: RandomState,
    shelf: Shelf,
    reread: u64,
}

/// A directory whose listing was judged without a doubt.
#[derive(Debug, PartialEq)]
pub(super) struct Known {
    /// What the server calls this state of the listing.
    pub(super) validators: Validators,
    /// A digest of the page.
    pub(super) body: u64,
    /// A digest of the versions that the tree had there, and of which of them the mirror held.
    mark: u64,
    /// Versions of which the listing shows other copies.
    pub(super) mismatched: Box<[u32]>,
    /// Directories of ours that the listing shows.
    pub(super) below: Box<[TreePath<'static>]>,
    /// How many entries it shows.
    pub(super) entries: u64,
    /// Which family of servers wrote it.
    pub(super) family: Family,
}

/// What a scan learnt about a directory, to be remembered once what it found is written down.
#[derive(Debug)]
pub(super) struct Learnt {
    pub(super) directory: TreePath<'static>,
    pub(super) versions: Box<[u32]>,
    pub(super) known: Known,
}

/// All that one scan learnt.
#[derive(Debug, Default)]
pub(super) struct Lesson {
    /// Where, and in which form, the mirror was listed.
    pub(super) place: String,
    pub(super) learnt: Vec<Learnt>,
}

/// Directories that are remembered of all mirrors together: about 40 MB. Those beyond are read and judged each time.
const MAX_DIRECTORIES: usize = 200_000;

impl Memory {
    /// What is remembered of a mirror that is listed at this place; every directory is read anew after so many scans.
    pub(super) fn recall(&self, mirror: &MirrorName, place: &str, reread: u64) -> Recollection {
        let mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        let shelf = mirrors.get(mirror).filter(|shelf| shelf.place == place).cloned().unwrap_or_default();
        Recollection { hasher: self.hasher.clone(), shelf, reread: reread.max(1) }
    }

    /// Remembers what a scan learnt, after which the mirror holds `holdings`.
    pub(super) fn keep(&self, mirror: &MirrorName, lesson: Lesson, holdings: &RoaringBitmap) {
        let mut mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        let others: usize = mirrors.iter().filter(|(name, _)| *name != mirror).map(|(_, shelf)| shelf.directories.len()).sum();
        let shelf = mirrors.entry(mirror.clone()).or_default();
        if shelf.place != lesson.place {
            *shelf = Shelf { place: lesson.place, ..Shelf::default() };
        }
        shelf.round += 1;
        if lesson.learnt.is_empty() {
            return;
        }
        let directories = Arc::make_mut(&mut shelf.directories);
        for Learnt { directory, versions, mut known } in lesson.learnt {
            known.mark = mark(&self.hasher, &versions, holdings);
            let key = directory.as_bytes();
            if directories.len() + others < MAX_DIRECTORIES || directories.contains_key(key) {
                directories.insert(key.into(), Arc::new(known));
            }
        }
    }

    /// Forgets mirrors that are no longer in the list.
    pub(super) fn retain(&self, is_listed: impl Fn(&MirrorName) -> bool) {
        self.mirrors.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, _| is_listed(name));
    }
}

impl Recollection {
    /// What is remembered of a directory, if that still stands: the tree has the same versions there, the mirror is known to hold the
    /// same of them, and it is not the directory's turn to be read anew.
    pub(super) fn of(&self, directory: &TreePath<'_>, versions: &[u32], before: &RoaringBitmap) -> Option<&Arc<Known>> {
        let known = self.shelf.directories.get(directory.as_bytes())?;
        let turn = self.hasher.hash_one(directory.as_bytes()).wrapping_add(self.shelf.round).is_multiple_of(self.reread);
        (!turn && known.mark == mark(&self.hasher, versions, before)).then_some(known)
    }

    /// A digest of a page.
    pub(super) fn digest(&self, body: &[u8]) -> u64 {
        self.hasher.hash_one(body)
    }
}

impl Known {
    /// What was seen; what the mirror holds of it is added when that is known.
    pub(super) fn new(
        (validators, body): (Validators, u64),
        mismatched: Box<[u32]>,
        below: Box<[TreePath<'static>]>,
        (entries, family): (u64, Family),
    ) -> Self {
        Self { validators, body, mark: 0, mismatched, below, entries, family }
    }
}

fn mark(hasher: &RandomState, versions: &[u32], held: &RoaringBitmap) -> u64 {
    let mut hasher = hasher.build_hasher();
    for version in versions {
        (version, held.contains(*version)).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath<'static> {
        TreePath::parse(text.as_bytes().to_vec()).expect("valid")
    }

    fn name(text: &str) -> MirrorName {
        MirrorName::parse(text).expect("valid")
    }

    fn lesson(place: &str, directory: &str, versions: &[u32]) -> Lesson {
        let known = Known::new((Validators::default(), 7), Box::default(), Box::default(), (1, Family::Nginx));
        let learnt = vec![Learnt { directory: path(directory), versions: versions.into(), known }];
        Lesson { place: place.to_owned(), learnt }
    }

    #[test]
    fn a_directory_is_known_as_long_as_all_about_it_is_the_same() {
        let (memory, held) = (Memory::default(), RoaringBitmap::from_iter([1, 2]));
        memory.keep(&name("m"), lesson("http://m/", "a", &[1, 2, 3]), &held);
        let known = |place: &str, directory: &str, versions: &[u32], held: &[u32]| {
            let recollection = memory.recall(&name("m"), place, u64::MAX);
            recollection.of(&path(directory), versions, &held.iter().copied().collect()).is_some()
        };
        assert!(known("http://m/", "a", &[1, 2, 3], &[1, 2]));
        assert!(known("http://m/", "a", &[1, 2, 3], &[1, 2, 99]), "what it holds elsewhere does not matter");
        assert!(!known("http://m/", "a", &[1, 2, 4], &[1, 2]), "a file was replaced");
        assert!(!known("http://m/", "a", &[1, 2, 3], &[1]), "a question took one away");
        assert!(!known("http://m/", "a", &[1, 2, 3], &[]), "another database");
        assert!(!known("http://m/", "b", &[1, 2, 3], &[1, 2]));
        assert!(!known("http://elsewhere/", "a", &[1, 2, 3], &[1, 2]), "it moved");
        memory.retain(|_| false);
        assert!(!known("http://m/", "a", &[1, 2, 3], &[1, 2]), "it left the list");
    }

    #[test]
    fn each_directory_is_read_anew_every_so_many_scans() {
        let (memory, held) = (Memory::default(), RoaringBitmap::new());
        let directories: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        for directory in &directories {
            memory.keep(&name("m"), lesson("", directory, &[1]), &held);
        }
        let mut turns = vec![0; directories.len()];
        for _ in 0..12 {
            let recollection = memory.recall(&name("m"), "", 12);
            let anew: Vec<usize> =
                (0..100).filter(|number| recollection.of(&path(&directories[*number]), &[1], &held).is_none()).collect();
            assert!(anew.len() < 30, "{} of 100 at once", anew.len());
            anew.iter().for_each(|number| turns[*number] += 1);
            memory.keep(&name("m"), Lesson::default(), &held);
        }
        assert_eq!(turns, vec![1; 100]);
    }
}
