//! A map from paths to file entries for ten million files: 40 bytes a file, and 32 for its SHA-256 where that is kept; no
//! lock and no allocation for readers, and a change copies one shard of some thousands.
//!
//! A path is known by a keyed 110-bit hash only (a part of a 128-bit SipHash), so no path is kept, and nobody outside can
//! make two paths meet. Each shard is an immutable sorted list; hashes being spread evenly, the place of one in the list
//! can be reckoned, and is off by the square root of the list's length at most or so.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use siphasher::sip128::SipHasher13;

use super::filling::Filling;
use super::slot::Slot;
use super::snapshot::{Detail, FileEntry};
use crate::model::{Sha256, TreePath};

/// The files of a snapshot.
#[derive(Debug)]
pub(super) struct Table {
    key: (u64, u64),
    hasher: SipHasher13,
    detail: Detail,
    shards: Box<[ArcSwap<Shard>]>,
    count: AtomicU64,
}

/// The number of shards, as a power of two. At ten million files a shard has 600 of them in 25 KB: a batch of thousand
/// changes copies 25 MB then, and an empty table takes 128 KB.
pub(super) const SHARD_BITS: u32 = 14;

impl Table {
    /// An empty table. The key should be random, so that nobody can tell which paths meet.
    pub(super) fn new(key: (u64, u64), detail: Detail) -> Self {
        let empty = Arc::new(Shard::default());
        let shards = (0..1 << SHARD_BITS).map(|_| ArcSwap::new(Arc::clone(&empty))).collect();
        Self { key, hasher: SipHasher13::new_with_keys(key.0, key.1), detail, shards, count: AtomicU64::new(0) }
    }

    pub(super) fn get(&self, path: &TreePath<'_>) -> Option<FileEntry> {
        let key = self.key(path);
        let shard = self.shards[key.shard()].load();
        shard.find(key).map(|at| shard.entry(at))
    }

    /// As [`Self::get`], for many paths. Each look-up waits for memory three times, one wait for the next; those of several are
    /// waited for together here.
    pub(super) fn get_each(&self, paths: &[TreePath<'_>]) -> Vec<Option<FileEntry>> {
        /// As many guards as a thread has without counting references; more waits at once than this a core hardly has.
        const TOGETHER: usize = 8;
        let mut found = Vec::with_capacity(paths.len());
        for group in paths.chunks(TOGETHER) {
            let keys: [Key; TOGETHER] =
                std::array::from_fn(|at| group.get(at).map_or(Key { top: 0, tag: 0 }, |path| self.key(path)));
            let shards = keys.map(|key| self.shards[key.shard()].load());
            // Without a branch on what is read, so that no wait is for another.
            let touched = (0..TOGETHER).fold(0, |sum, at| sum ^ shards[at].touch(keys[at].tag));
            std::hint::black_box(touched);
            let entry = |at: usize| shards[at].find(keys[at]).map(|place| shards[at].entry(place));
            found.extend((0..group.len()).map(entry));
        }
        found
    }

    pub(super) fn len(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// About how many bytes of memory the table takes.
    pub(super) fn bytes(&self) -> u64 {
        let fixed = self.shards.len() * size_of::<ArcSwap<Shard>>();
        let filled = self.shards.len().min(usize::try_from(self.len()).unwrap_or(usize::MAX));
        let overhead = filled * (size_of::<Shard>() + SHARD_OVERHEAD_BYTES);
        let digest = if self.detail == Detail::Full { size_of::<Digest>() } else { 0 };
        (fixed + overhead) as u64 + self.len() * (size_of::<u64>() + size_of::<Slot>() + digest) as u64
    }

    /// Puts in, replaces and takes out (`None`). Each shard that is touched is swapped once. One thread at a time.
    pub(super) fn apply<'p>(&self, changes: impl IntoIterator<Item = (TreePath<'p>, Option<FileEntry>)>) {
        let mut changes: Vec<(Key, Option<Row>)> = changes
            .into_iter()
            .map(|(path, entry)| {
                let key = self.key(&path);
                (key, entry.map(|entry| Row::new(key, &entry, self.detail)))
            })
            .collect();
        changes.sort_by_key(|(key, _)| *key); // stable: of several changes of one path the last stays the last
        for group in changes.chunk_by(|(a, _), (b, _)| a.shard() == b.shard()) {
            let place = &self.shards[group[0].0.shard()];
            let old = place.load();
            let new = old.merged(group);
            self.count.fetch_add(new.tags.len() as u64, Ordering::Relaxed);
            self.count.fetch_sub(old.tags.len() as u64, Ordering::Relaxed);
            place.store(Arc::new(new));
        }
    }

    /// What paths are hashed with.
    pub(super) const fn hash_key(&self) -> (u64, u64) {
        self.key
    }

    pub(super) fn has_digests(&self) -> bool {
        self.detail == Detail::Full
    }

    /// All shards as they are now.
    pub(super) fn shards(&self) -> Vec<Arc<Shard>> {
        self.shards.iter().map(ArcSwap::load_full).collect()
    }

    /// Puts in all shards of a table with the same key in place of all that there are; false if they are none of such a table. One
    /// thread at a time.
    #[must_use]
    pub(super) fn replace(&self, shards: Vec<Shard>) -> bool {
        if shards.len() != self.shards.len() {
            return false;
        }
        for (place, new) in self.shards.iter().zip(shards) {
            if new.tags.is_empty() && place.load().tags.is_empty() {
                continue;
            }
            let added = new.tags.len() as u64;
            let old = place.swap(Arc::new(new));
            self.count.fetch_add(added, Ordering::Relaxed);
            self.count.fetch_sub(old.tags.len() as u64, Ordering::Relaxed);
        }
        true
    }

    /// Begins a replacement.
    pub(super) fn filling(&self) -> Filling {
        Filling::new(self.hasher, self.detail)
    }

    fn key(&self, path: &TreePath<'_>) -> Key {
        key(&self.hasher, path.as_bytes())
    }
}

/// What the allocator and two reference counts add to a shard, in bytes.
const SHARD_OVERHEAD_BYTES: usize = 64;

pub(super) fn key(hasher: &SipHasher13, path: &[u8]) -> Key {
    let hash = hasher.hash(path);
    Key { top: hash.h1, tag: hash.h2 }
}

/// A path's hash. Its highest bits tell the shard, its tag the place in it, and the lowest half of `top` is compared too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Key {
    pub(super) top: u64,
    pub(super) tag: u64,
}

impl Key {
    pub(super) const fn shard(self) -> usize {
        (self.top >> (u64::BITS - SHARD_BITS)) as usize
    }

    const fn rest(self) -> u32 {
        self.top as u32
    }

    /// The order within a shard.
    const fn order(self) -> (u64, u32) {
        (self.tag, self.rest())
    }
}

/// An immutable part of the table.
///
/// Invariant: `tags` and `slots` have the same length and are sorted by tag and then by the slot's rest, without doubles;
/// `digests` have that length too, or none if no file has one.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) tags: Box<[u64]>,
    pub(super) slots: Box<[Slot]>,
    pub(super) digests: Box<[Digest]>,
}

/// A SHA-256, or [`NO_DIGEST`].
pub(super) type Digest = [u8; 32];

/// Stands where no digest is known. A file that hashes to it would go without a digest in memory.
pub(super) const NO_DIGEST: Digest = [0; 32];

fn pack_digest(sha256: Option<Sha256>) -> Digest {
    sha256.map_or(NO_DIGEST, |sha256| sha256.0)
}

/// Before anything is hashed, digests take no memory.
pub(super) fn unless_empty(digests: Vec<Digest>) -> Box<[Digest]> {
    if digests.iter().all(|digest| *digest == NO_DIGEST) { Box::default() } else { digests.into_boxed_slice() }
}

/// What is kept of a file.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) slot: Slot,
    pub(super) digest: Digest,
}

impl Row {
    pub(super) fn new(key: Key, entry: &FileEntry, detail: Detail) -> Self {
        let digest = if detail == Detail::Full { pack_digest(entry.sha256) } else { NO_DIGEST };
        Self { slot: Slot::new(key.rest(), entry), digest }
    }
}

impl Shard {
    fn find(&self, key: Key) -> Option<usize> {
        let mut at = self.lower_bound(key.tag)?;
        while self.tags.get(at) == Some(&key.tag) {
            if self.slots[at].rest() == key.rest() {
                return Some(at);
            }
            at += 1;
        }
        None
    }

    /// Where an even spread would put a tag.
    fn likely_place(&self, tag: u64) -> usize {
        ((u128::from(tag) * self.tags.len() as u128) >> u64::BITS) as usize
    }

    /// Reads where a tag is likely to be, so that the processor has that at hand.
    fn touch(&self, tag: u64) -> u64 {
        let at = self.likely_place(tag);
        self.tags.get(at).copied().unwrap_or_default() ^ self.slots.get(at).map_or(0, |slot| slot.0[0])
    }

    /// The first place whose tag is not below `tag`, looked for from where an even spread would put it.
    fn lower_bound(&self, tag: u64) -> Option<usize> {
        let last = self.tags.len().checked_sub(1)?;
        let mut at = self.likely_place(tag);
        while at < last && self.tags[at] < tag {
            at += 1;
        }
        while at > 0 && self.tags[at - 1] >= tag {
            at -= 1;
        }
        Some(at)
    }

    fn entry(&self, at: usize) -> FileEntry {
        FileEntry { sha256: Some(self.digest(at)).filter(|digest| *digest != NO_DIGEST).map(Sha256), ..self.slots[at].entry() }
    }

    fn digest(&self, at: usize) -> Digest {
        self.digests.get(at).copied().unwrap_or(NO_DIGEST)
    }

    fn merged(&self, changes: &[(Key, Option<Row>)]) -> Self {
        let mut changes = changes.to_vec();
        changes.sort_by_key(|(key, _)| key.order());
        let mut next = Building::with_room(self.tags.len() + changes.len());
        let mut from = 0;
        for same in changes.chunk_by(|(a, _), (b, _)| a == b) {
            let Some((key, new)) = same.last() else { continue };
            let order = |at: usize| (self.tags[at], self.slots[at].rest());
            let start = from;
            while from < self.tags.len() && order(from) < key.order() {
                from += 1;
            }
            next.take(self, start..from);
            if from < self.tags.len() && order(from) == key.order() {
                from += 1;
            }
            if let Some(row) = new {
                next.push(key.tag, row);
            }
        }
        next.take(self, from..self.tags.len());
        next.finish()
    }
}

/// A shard that is being put together.
struct Building {
    tags: Vec<u64>,
    slots: Vec<Slot>,
    digests: Vec<Digest>,
}

impl Building {
    fn with_room(room: usize) -> Self {
        Self { tags: Vec::with_capacity(room), slots: Vec::with_capacity(room), digests: Vec::with_capacity(room) }
    }

    fn push(&mut self, tag: u64, row: &Row) {
        self.tags.push(tag);
        self.slots.push(row.slot);
        self.digests.push(row.digest);
    }

    fn take(&mut self, shard: &Shard, range: Range<usize>) {
        self.tags.extend_from_slice(&shard.tags[range.clone()]);
        self.slots.extend_from_slice(&shard.slots[range.clone()]);
        self.digests.extend(range.map(|at| shard.digest(at)));
    }

    fn finish(self) -> Shard {
        let Self { tags, slots, digests } = self;
        Shard { tags: tags.into_boxed_slice(), slots: slots.into_boxed_slice(), digests: unless_empty(digests) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::slot::{MAX_SIZE, MAX_TIME};
    use super::*;
    use crate::model::{FileState, VersionNumber};

    fn entry(version: u32) -> FileEntry {
        FileEntry {
            version: VersionNumber(version),
            size: u64::from(version) * 1000,
            version_mtime: 1_700_000_000 + i64::from(version),
            exact_time: version.is_multiple_of(2),
            public_since: 1_700_000_100 + i64::from(version),
            state: FileState::Settled,
            sha256: (!version.is_multiple_of(3)).then(|| Sha256([version.to_le_bytes()[0] | 1; 32])),
            fingerprint: u64::from(version).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        }
    }

    fn path(number: u32) -> TreePath<'static> {
        TreePath::parse(format!("dir/{number}").into_bytes()).expect("valid")
    }

    #[test]
    fn a_packed_entry_comes_back_the_same() {
        for (size, time, state) in [
            (0, 0, FileState::Settled),
            (MAX_SIZE, MAX_TIME, FileState::Changing),
            (1, -1, FileState::Unconfirmed),
            (676_401, -9_223_372_036, FileState::Settled),
            (12_345_678_901_234, 9_223_372_036, FileState::Unconfirmed),
        ] {
            for (version_mtime, public_since) in [(time, 5), (7, time), (time, time)] {
                let entry = FileEntry {
                    version: VersionNumber(u32::MAX),
                    size,
                    version_mtime,
                    exact_time: version_mtime == 7,
                    public_since,
                    state,
                    sha256: None,
                    fingerprint: !1,
                };
                let key = Key { top: 0xdead_beef_1234_5678, tag: 9 };
                assert_eq!(Slot::new(key.rest(), &entry).entry(), entry);
                assert_eq!(Slot::new(key.rest(), &entry).rest(), 0x1234_5678);
            }
        }
    }

    #[test]
    fn many_files_are_found_and_others_are_not() {
        let table = Table::new((1, 2), Detail::Full);
        let mut filling = table.filling();
        (0..60_000).for_each(|n| filling.add(path(n).as_bytes(), &entry(n)));
        (50_000..100_000).for_each(|n| filling.add(path(n).as_bytes(), &entry(n)));
        assert!(table.replace(filling.into_shards()));
        assert_eq!(table.len(), 100_000);
        for n in 0..100_000 {
            assert_eq!(table.get(&path(n)), Some(entry(n)));
        }
        assert_eq!((100_000..200_000).find(|&n| table.get(&path(n)).is_some()), None);
        assert!(table.replace(table.filling().into_shards()));
        assert_eq!((table.len(), table.get(&path(1))), (0, None));
    }

    #[test]
    fn a_full_shard_finds_what_it_has_at_both_ends() {
        let tags = [0, 1, 2, u64::MAX - 1, u64::MAX];
        let rows = tags.map(|tag| (Key { top: 7, tag }, Some(Row::new(Key { top: 7, tag }, &entry(1), Detail::Full))));
        let shard = Shard::default().merged(&rows);
        for (tag, found) in
            [(0, Some(0)), (2, Some(2)), (3, None), (u64::MAX, Some(4)), (u64::MAX - 1, Some(3)), (1 << 63, None)]
        {
            assert_eq!(shard.find(Key { top: 7, tag }), found, "{tag}");
            assert_eq!(shard.find(Key { top: 8, tag }), None, "{tag}");
        }
        assert_eq!(Shard::default().find(Key { top: 7, tag: 0 }), None);
    }

    #[test]
    fn batches_put_in_replace_and_take_out() {
        let table = Table::new((3, 4), Detail::Full);
        let mut map = BTreeMap::new();
        for batch in 0..10_u32 {
            let changes: Vec<(u32, Option<u32>)> =
                (0..5000).map(|n| (n * (batch + 1) % 20_000, (n % 7 > 0).then_some(batch * 5000 + n))).collect();
            table.apply(changes.iter().map(|&(n, version)| (path(n), version.map(entry))));
            for (n, version) in changes {
                match version {
                    Some(version) => map.insert(n, version),
                    None => map.remove(&n),
                };
            }
            assert_eq!(table.len(), map.len() as u64);
        }
        assert!((0..20_000).all(|n| table.get(&path(n)) == map.get(&n).copied().map(entry)));
    }

    proptest! {
        #[test]
        fn a_shard_is_a_map(
            batches in prop::collection::vec(prop::collection::vec((0_u64..40, 0_u64..2, prop::option::of(0_u32..1000)), 0..40), 0..8)
        ) {
            let mut shard = Shard::default();
            let mut map = BTreeMap::new();
            for batch in batches {
                let key = |tag: u64, rest: u64| Key { top: rest, tag: tag * (u64::MAX / 39) };
                let changes: Vec<_> = batch
                    .iter()
                    .map(|&(tag, rest, version)| (key(tag, rest), version.map(|version| Row::new(key(tag, rest), &entry(version), Detail::Full))))
                    .collect();
                shard = shard.merged(&changes);
                for (tag, rest, version) in batch {
                    match version {
                        Some(version) => map.insert((tag, rest), version),
                        None => map.remove(&(tag, rest)),
                    };
                }
                for (tag, rest) in (0..40).flat_map(|tag| [(tag, 0), (tag, 1)]) {
                    let found = shard.find(key(tag, rest)).map(|at| shard.entry(at));
                    prop_assert_eq!(found, map.get(&(tag, rest)).copied().map(entry));
                }
                prop_assert_eq!(shard.tags.len(), map.len());
            }
        }
    }
}
