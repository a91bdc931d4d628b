//! The versions that became public a short while ago, for whoever asks mirrors for them before the next scan: a bounded list in
//! memory, made anew at each start from what is loaded.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::snapshot::{FileEntry, Snapshot};
use crate::model::{FileRecord, FileState, TreePath, VersionNumber};

/// A version that became public a short while ago.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// Where it is.
    pub path: TreePath<'static>,
    /// Its number.
    pub version: VersionNumber,
    /// Since when it is public, in seconds since 1970.
    pub public_since: i64,
}

/// The list. Readers follow it by the number of the next one that they have not seen.
#[derive(Debug, Default)]
pub(super) struct Newcomers(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    /// The number of the next one.
    next: u64,
    last: VecDeque<Newcomer>,
}

/// How long a version is a newcomer, in seconds: what became public a day ago has been found by scans, or is on no mirror.
const YOUNG_SECONDS: i64 = 24 * 3600;
/// How many are kept. When more come at once, scans are the better way to find them.
const MAX_NEWCOMERS: usize = 10_000;

impl Newcomers {
    /// Takes a version in, if it is young and settled.
    pub(super) fn add(&self, path: &TreePath<'_>, entry: &FileEntry, now: Timestamp) {
        if !is_young(entry, now) {
            return;
        }
        let path = path.clone().into_owned();
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.last.push_back(Newcomer { path, version: entry.version, public_since: entry.public_since });
        list.next += 1;
        if list.last.len() > MAX_NEWCOMERS {
            list.last.pop_front();
        }
    }

    /// Takes in those among changed files whose versions are new to the snapshot.
    pub(super) fn notice<'a>(
        &self,
        files: impl Iterator<Item = (&'a TreePath<'static>, Option<&'a FileRecord>)>,
        snapshot: &Snapshot,
        now: Timestamp,
    ) {
        for (path, record) in files {
            let Some(entry) = record.map(FileEntry::from) else { continue };
            let is_known = |known: FileEntry| known.version == entry.version && known.state == entry.state;
            if is_young(&entry, now) && !snapshot.file(path).is_some_and(is_known) {
                self.add(path, &entry, now);
            }
        }
    }

    /// Those from number `from` on that are still kept, and the number to ask for next.
    pub(super) fn since(&self, from: u64) -> (Vec<Newcomer>, u64) {
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = list.next - list.last.len() as u64;
        let skipped = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        (list.last.iter().skip(skipped).cloned().collect(), list.next)
    }
}

/// Whether an entry is that of a version that may be asked for and became public a short while ago.
fn is_young(entry: &FileEntry, now: Timestamp) -> bool {
    entry.state == FileState::Settled && now.as_second().saturating_sub(entry.public_since) < YOUNG_SECONDS
}

/// The newcomers that one reader meets while everything is loaded.
pub(super) struct Young {
    now: Timestamp,
    pub(super) found: Vec<(TreePath<'static>, FileEntry)>,
}

impl Young {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { now, found: Vec::new() }
    }

    /// Takes a file in if it is young, and gives its path back.
    pub(super) fn met<'p>(&mut self, path: &'p [u8], entry: &FileEntry) -> &'p [u8] {
        if is_young(entry, self.now)
            && self.found.len() < MAX_NEWCOMERS
            && let Ok(path) = TreePath::parse(path.to_vec())
        {
            self.found.push((path, *entry));
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::trail::Copies;
    use crate::model::Fingerprint;

    const NOON: i64 = 1_800_000_000;

    fn entry(number: u32, since: i64, state: FileState) -> FileEntry {
        let fingerprint = Fingerprint { size: 1, mtime_ns: 0, ctime_ns: 0, inode: 1 };
        FileEntry::new(VersionNumber(number), &fingerprint, Copies::from(0), since * 1_000_000_000, state, None)
    }

    #[test]
    fn the_young_are_told_once_to_each_reader_and_the_list_is_bounded() {
        let (list, now) = (Newcomers::default(), Timestamp::from_second(NOON).expect("valid"));
        let path = TreePath::parse(&b"a"[..]).expect("valid");
        let numbers = |newcomers: Vec<Newcomer>| newcomers.iter().map(|one| one.version.0).collect::<Vec<_>>();
        list.add(&path, &entry(1, NOON - 5, FileState::Settled), now);
        list.add(&path, &entry(2, NOON - YOUNG_SECONDS, FileState::Settled), now);
        list.add(&path, &entry(3, NOON, FileState::Changing), now);
        list.add(&path, &entry(4, NOON, FileState::Settled), now);
        let (seen, next) = list.since(0);
        assert_eq!((numbers(seen), next), (vec![1, 4], 2));
        list.add(&path, &entry(5, NOON, FileState::Settled), now);
        let (seen, next) = list.since(next);
        assert_eq!((numbers(seen), next), (vec![5], 3));
        for number in 0..MAX_NEWCOMERS as u32 {
            list.add(&path, &entry(100 + number, NOON, FileState::Settled), now);
        }
        let (seen, _) = list.since(next);
        assert_eq!(seen.len(), MAX_NEWCOMERS);
        assert_eq!(list.since(0).0.first().map(|one| one.version.0), Some(100), "the oldest are forgotten");
    }
}
