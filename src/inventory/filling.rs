//! A table's next content, while it is being read from the store: gathered in as little memory as the table will take, and by one
//! thread's allocations only, so that what is free again can be used again.

use siphasher::sip128::SipHasher13;

use super::newcomers::Young;
use super::slot::Slot;
use super::snapshot::{Detail, FileEntry};
use super::store::Sink;
use super::table::{Digest, Key, NO_DIGEST, Row, SHARD_BITS, Shard, key, unless_empty};

/// What was read so far.
///
/// Rows are gathered by groups of shards first and sorted then: to put each into its shard at once would miss the
/// processor's caches at every row.
pub(super) struct Filling {
    hasher: SipHasher13,
    detail: Detail,
    groups: Box<[Group]>,
}

/// The number of groups, as a power of two: few enough that the end of each stays in the cache, and enough that one fits
/// into it as a whole.
const GROUP_BITS: u32 = 7;
/// The number of groups.
pub(super) const GROUPS: usize = 1 << GROUP_BITS;
/// Shards of a group, as a power of two.
const IN_GROUP_BITS: u32 = SHARD_BITS - GROUP_BITS;
/// Shards of a group.
const IN_GROUP: usize = 1 << IN_GROUP_BITS;

impl Filling {
    pub(super) fn new(hasher: SipHasher13, detail: Detail) -> Self {
        Self { hasher, detail, groups: (0..GROUPS).map(|_| Group::default()).collect() }
    }

    /// Adds a file. One that is added again is the same.
    pub(super) fn add(&mut self, path: &[u8], entry: &FileEntry) {
        let key = key(&self.hasher, path);
        self.groups[key.shard() >> IN_GROUP_BITS].push(key, &Row::new(key, entry, self.detail), self.detail);
    }

    /// All shards of the table, empty ones too. Memory goes from this to them group by group.
    pub(super) fn into_shards(self) -> Vec<Shard> {
        self.groups.into_iter().flat_map(Group::into_shards).collect()
    }
}

/// All that is gathered while a store is loaded.
pub(super) struct Gathered {
    filling: Option<Filling>,
    pub(super) young: Young,
    /// The table's next content, once the last file has been met.
    pub(super) shards: Vec<Shard>,
}

impl Gathered {
    pub(super) const fn new(filling: Filling, young: Young) -> Self {
        Self { filling: Some(filling), young, shards: Vec::new() }
    }
}

impl Sink for Gathered {
    fn take(&mut self, path: &[u8], entry: &FileEntry) {
        if let Some(filling) = &mut self.filling {
            filling.add(self.young.met(path, entry), entry);
        }
    }

    fn end(&mut self) {
        if let Some(filling) = self.filling.take() {
            self.shards = filling.into_shards();
        }
    }
}

/// The rows of neighbouring shards, in chunks: a list that grows as a whole would need twice the room for a while.
#[derive(Default)]
struct Group {
    chunks: Vec<Chunk>,
    count: usize,
}

/// Rows as columns.
struct Chunk {
    room: usize,
    /// Which of the group's shards.
    shards: Vec<u8>,
    tags: Vec<u64>,
    slots: Vec<Slot>,
    /// As many as rows, or none.
    digests: Vec<Digest>,
}

/// Rows of the first chunk and of the largest. Chunks grow with the group, so that few files take little.
const CHUNK_ROWS: std::ops::RangeInclusive<usize> = 16..=4096;

impl Group {
    fn push(&mut self, key: Key, row: &Row, detail: Detail) {
        if self.chunks.last().is_none_or(|last| last.tags.len() == last.room) {
            self.chunks.push(Chunk::with_room(self.count.clamp(*CHUNK_ROWS.start(), *CHUNK_ROWS.end()), detail));
        }
        if let Some(last) = self.chunks.last_mut() {
            last.push(key, row, detail);
            self.count += 1;
        }
    }

    /// Its shards, empty ones too.
    fn into_shards(self) -> Vec<Shard> {
        let mut places = self.places();
        let mut rest = places.as_mut_slice();
        let mut shards = Vec::with_capacity(IN_GROUP);
        for count in self.counts() {
            let Some(own) = rest.split_off_mut(..count) else { break };
            own.sort_unstable_by_key(Place::order);
            shards.push(self.shard(own));
        }
        shards
    }

    /// How many rows each shard has.
    fn counts(&self) -> [usize; IN_GROUP] {
        let mut counts = [0; IN_GROUP];
        self.chunks.iter().flat_map(|chunk| &chunk.shards).for_each(|&shard| counts[usize::from(shard)] += 1);
        counts
    }

    /// Where all rows are, shard by shard.
    fn places(&self) -> Vec<Place> {
        let mut next = [0; IN_GROUP];
        for (shard, count) in self.counts()[..IN_GROUP - 1].iter().enumerate() {
            next[shard + 1] = next[shard] + count;
        }
        let mut places = vec![Place::default(); self.count];
        for (number, chunk) in self.chunks.iter().enumerate() {
            for (at, (&shard, (&tag, slot))) in chunk.shards.iter().zip(chunk.tags.iter().zip(&chunk.slots)).enumerate() {
                let next = &mut next[usize::from(shard)];
                places[*next] = Place { tag, rest: slot.rest(), chunk: number as u16, at: at as u16 };
                *next += 1;
            }
        }
        places
    }

    /// The shard of sorted rows.
    fn shard(&self, places: &[Place]) -> Shard {
        let once = || places.chunk_by(|one, other| one.order() == other.order()).filter_map(<[Place]>::first);
        let count = once().count();
        let (mut tags, mut slots, mut digests) =
            (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
        for place in once() {
            let (chunk, at) = (&self.chunks[place.chunk as usize], place.at as usize);
            tags.push(place.tag);
            slots.push(chunk.slots[at]);
            digests.push(chunk.digests.get(at).copied().unwrap_or(NO_DIGEST));
        }
        Shard { tags: tags.into_boxed_slice(), slots: slots.into_boxed_slice(), digests: unless_empty(digests) }
    }
}

/// Where a row is, and what it is sorted by within its shard.
#[derive(Clone, Copy, Default)]
struct Place {
    tag: u64,
    rest: u32,
    /// Which of the group's chunks: with a row for each of all version numbers it would have 8192.
    chunk: u16,
    /// Which row of it.
    at: u16,
}

impl Place {
    const fn order(&self) -> (u64, u32) {
        (self.tag, self.rest)
    }
}

impl Chunk {
    fn with_room(room: usize, detail: Detail) -> Self {
        let digests = if detail == Detail::Full { Vec::with_capacity(room) } else { Vec::new() };
        let (shards, tags, slots) = (Vec::with_capacity(room), Vec::with_capacity(room), Vec::with_capacity(room));
        Self { room, shards, tags, slots, digests }
    }

    fn push(&mut self, key: Key, row: &Row, detail: Detail) {
        self.shards.push((key.shard() & (IN_GROUP - 1)) as u8);
        self.tags.push(key.tag);
        self.slots.push(row.slot);
        if detail == Detail::Full {
            self.digests.push(row.digest);
        }
    }
}
