//! A table's next content, while it is being read from the store: gathered in as little memory as the table will take, and by one
//! thread's allocations only, so that what is free again can be used again.

use std::sync::mpsc::{Receiver, Sender, channel};

use siphasher::sip128::SipHasher13;

use super::slot::Slot;
use super::snapshot::{Detail, FileEntry};
use super::table::{Digest, Key, NO_DIGEST, Row, SHARD_BITS, Shard, key, unless_empty};

/// What was read so far.
///
/// Rows are gathered by groups of shards first and sorted then: to put each into its shard at once would miss the
/// processor's caches at every row.
pub(super) struct Filling {
    hasher: SipHasher13,
    detail: Detail,
    groups: Box<[Group]>,
    helpers: Option<Receiver<Rows>>,
}

/// Reads for a [`Filling`] on another thread.
pub(super) struct Helper {
    hasher: SipHasher13,
    detail: Detail,
    rows: Rows,
    to: Sender<Rows>,
}

type Rows = Vec<(Key, Row)>;

/// The number of groups, as a power of two: few enough that the end of each stays in the cache, and enough that one fits
/// into it as a whole.
const GROUP_BITS: u32 = 7;
/// The number of groups.
pub(super) const GROUPS: usize = 1 << GROUP_BITS;
/// Shards of a group, as a power of two.
const IN_GROUP_BITS: u32 = SHARD_BITS - GROUP_BITS;
/// Rows that a helper hands over at once.
const HANDED_OVER: usize = 512;

impl Filling {
    pub(super) fn new(hasher: SipHasher13, detail: Detail) -> Self {
        Self { hasher, detail, groups: (0..GROUPS).map(|_| Group::default()).collect(), helpers: None }
    }

    /// What reads for it on another thread. One at a time.
    pub(super) fn helper(&mut self) -> Helper {
        let (to, helpers) = channel();
        self.helpers = Some(helpers);
        Helper { hasher: self.hasher, detail: self.detail, rows: Vec::new(), to }
    }

    /// Adds a file.
    pub(super) fn add(&mut self, path: &[u8], entry: &FileEntry) {
        let key = key(&self.hasher, path);
        self.put(key, &Row::new(key, entry, self.detail));
        if let Some(rows) = self.helpers.as_ref().and_then(|helpers| helpers.try_recv().ok()) {
            self.put_all(&rows);
        }
    }

    fn put_all(&mut self, rows: &[(Key, Row)]) {
        rows.iter().for_each(|(key, row)| self.put(*key, row));
    }

    fn put(&mut self, key: Key, row: &Row) {
        self.groups[key.shard() >> IN_GROUP_BITS].push(key, row, self.detail);
    }

    /// All shards of the table, empty ones too. Memory goes from this to them group by group.
    pub(super) fn into_shards(mut self) -> impl Iterator<Item = Shard> {
        while let Some(rows) = self.helpers.as_ref().and_then(|helpers| helpers.recv().ok()) {
            self.put_all(&rows);
        }
        self.groups.into_iter().flat_map(Group::into_shards)
    }
}

impl Helper {
    /// Adds a file.
    pub(super) fn add(&mut self, path: &[u8], entry: &FileEntry) {
        let key = key(&self.hasher, path);
        self.rows.push((key, Row::new(key, entry, self.detail)));
        if self.rows.len() >= HANDED_OVER {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        // Nobody takes them where all is given up.
        self.to.send(std::mem::replace(&mut self.rows, Vec::with_capacity(HANDED_OVER))).ok();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.hand_over();
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
    fn into_shards(self) -> impl Iterator<Item = Shard> {
        let Chunk { shards, tags, slots, digests, .. } = self.joined();
        let mut order: Vec<u32> = (0..u32::try_from(tags.len()).unwrap_or(u32::MAX)).collect();
        let key = |at: u32| (shards[at as usize], tags[at as usize], slots[at as usize].rest());
        order.sort_unstable_by_key(|&at| key(at));
        order.dedup_by_key(|at| key(*at));
        let mut from = 0;
        (0..1_usize << IN_GROUP_BITS).map(move |number| {
            let count = order[from..].partition_point(|&at| usize::from(shards[at as usize]) == number);
            let own = &order[from..from + count];
            from += count;
            let digest = |&at: &u32| digests.get(at as usize).copied().unwrap_or(NO_DIGEST);
            Shard {
                tags: own.iter().map(|&at| tags[at as usize]).collect(),
                slots: own.iter().map(|&at| slots[at as usize]).collect(),
                digests: unless_empty(own.iter().map(digest).collect()),
            }
        })
    }

    fn joined(self) -> Chunk {
        let detail =
            if self.chunks.iter().all(|chunk| chunk.digests.is_empty()) { Detail::WithoutDigests } else { Detail::Full };
        let mut all = Chunk::with_room(self.count, detail);
        for Chunk { shards, tags, slots, digests, .. } in self.chunks {
            all.shards.extend(shards);
            all.tags.extend(tags);
            all.slots.extend(slots);
            all.digests.extend(digests);
        }
        all
    }
}

impl Chunk {
    fn with_room(room: usize, detail: Detail) -> Self {
        let digests = if detail == Detail::Full { Vec::with_capacity(room) } else { Vec::new() };
        let (shards, tags, slots) = (Vec::with_capacity(room), Vec::with_capacity(room), Vec::with_capacity(room));
        Self { room, shards, tags, slots, digests }
    }

    fn push(&mut self, key: Key, row: &Row, detail: Detail) {
        self.shards.push((key.shard() & ((1 << IN_GROUP_BITS) - 1)) as u8);
        self.tags.push(key.tag);
        self.slots.push(row.slot);
        if detail == Detail::Full {
            self.digests.push(row.digest);
        }
    }
}
