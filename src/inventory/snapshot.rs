//! The snapshot: the immutable values that requests are answered from, swapped piece by piece.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::{ArcSwap, Guard};
use jiff::Timestamp;
use siphasher::sip::SipHasher13;

use super::filling::Filling;
use super::holdings::Holdings;
use super::slot::MAX_SIZE;
use super::table::Table;
use super::trail::Copies;
use super::versioning::nanoseconds;
use crate::model::{
    Abilities, BaseUrl, FileRecord, FileState, Fingerprint, Health, Mirror, Scheme, Sha256, TreePath, Trust, VersionNumber,
};

/// What requests are answered from. Reading takes no lock, no allocation, and waits for nobody; only the inventory's owner
/// thread writes.
///
/// Its pieces are swapped one by one, so two reads may see different states. That does no harm: a version's number is
/// never used for anything else, so old holdings and new files (or the other way round) never make a match.
#[derive(Debug)]
pub struct Snapshot {
    files: Table,
    mirrors: ArcSwap<MirrorSet>,
    holds: ArcSwap<HashSet<Box<[u8]>>>,
    /// Milliseconds since 1970.
    synced_at: AtomicI64,
}

/// What is kept in memory of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileEntry {
    /// Its version.
    pub version: VersionNumber,
    /// Bytes; at most 64 TiB.
    pub size: u64,
    /// The mtime of the version's first fingerprint, in seconds since 1970, rounded down.
    pub version_mtime: i64,
    /// Whether a mirror's copy must have just this time, or one since the version is public; else any younger one will do.
    pub exact_time: bool,
    /// When the version became public, in seconds since 1970, rounded up.
    pub public_since: i64,
    /// Whether the entry can be relied on.
    pub state: FileState,
    /// The digest of the version, where it is known, kept in memory, and can be relied on.
    pub sha256: Option<Sha256>,
    /// A hash of the fingerprint.
    pub(super) fingerprint: u64,
}

impl FileEntry {
    /// What is kept of a file.
    #[must_use]
    pub fn new(
        version: VersionNumber,
        fingerprint: &Fingerprint,
        copies: Copies,
        public_since_ns: i64,
        state: FileState,
        sha256: Option<Sha256>,
    ) -> Self {
        Self {
            version,
            size: fingerprint.size.min(MAX_SIZE),
            version_mtime: copies.time_ns.div_euclid(NANOSECONDS),
            exact_time: copies.exact,
            public_since: public_since_ns.div_euclid(NANOSECONDS) + i64::from(public_since_ns.rem_euclid(NANOSECONDS) != 0),
            state,
            sha256: sha256.filter(|_| state == FileState::Settled),
            fingerprint: digest(fingerprint),
        }
    }

    /// Whether the file that was just looked at is the one that the entry tells of.
    #[must_use]
    pub fn matches(&self, seen: &Fingerprint) -> bool {
        self.size == seen.size.min(MAX_SIZE) && self.fingerprint == digest(seen)
    }
}

impl From<&FileRecord> for FileEntry {
    fn from(record: &FileRecord) -> Self {
        let since = nanoseconds(record.public_since);
        Self::new(record.version, &record.fingerprint, record.copies(), since, record.state, record.sha256)
    }
}

/// How much of each file is kept in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Detail {
    Full,
    /// Without SHA-256.
    WithoutDigests,
}

const NANOSECONDS: i64 = 1_000_000_000;

/// 64 bits that tell one look of a file from another.
fn digest(fingerprint: &Fingerprint) -> u64 {
    let Fingerprint { size, mtime_ns, ctime_ns, inode } = *fingerprint;
    let mut bytes = [0; 32];
    for (part, value) in bytes.chunks_exact_mut(8).zip([size, mtime_ns.cast_unsigned(), ctime_ns.cast_unsigned(), inode]) {
        part.copy_from_slice(&value.to_le_bytes());
    }
    SipHasher13::new_with_keys(0x7265_6469, 0x7265_6374).hash(&bytes)
}

/// All mirrors of an instance, with what is known of each.
#[derive(Debug, Default)]
pub struct MirrorSet {
    /// Grows whenever the list of mirrors or a mirror's settings changed, and not when holdings or health did.
    pub generation: u64,
    /// In the order of the configuration; what ranks mirrors speaks of them by their index in here.
    pub members: Vec<MirrorState>,
}

/// One mirror, with what is known of it.
#[derive(Debug, Clone)]
pub struct MirrorState {
    /// The mirror.
    pub mirror: Arc<Mirror>,
    /// The numbers of the versions that it holds.
    pub holdings: Holdings,
    /// The one of its two base URLs that was not seen to have them, and which no client is sent to.
    pub unseen: Option<Scheme>,
    /// Whether it works.
    pub health: Health,
    /// What it can do for clients.
    pub abilities: Abilities,
}

impl MirrorState {
    /// Whether the mirror was seen with a copy of this version.
    #[must_use]
    pub fn holds(&self, version: VersionNumber) -> bool {
        self.holdings.contains(version)
    }

    /// The base URL for a client, of those that were seen to have what the mirror holds: over TLS only where the request came
    /// so, else what the request had, else what there is. One whose certificate is refused is of no use to anybody.
    #[must_use]
    pub fn base(&self, requested: Scheme) -> Option<&BaseUrl> {
        let http = self.mirror.http.as_ref().filter(|_| self.unseen != Some(Scheme::Http));
        let https = self
            .mirror
            .https
            .as_ref()
            .filter(|_| self.unseen != Some(Scheme::Https) && self.abilities.certificate != Trust::Refused);
        match requested {
            Scheme::Https => https,
            Scheme::Http => http.or(https),
        }
    }
}

/// How large a snapshot is, and how fresh.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Stats {
    /// Files.
    pub files: u64,
    /// Mirrors.
    pub mirrors: u64,
    /// Holds.
    pub holds: u64,
    /// About how many bytes the files take.
    pub file_bytes: u64,
    /// About how many bytes all holdings take.
    pub holding_bytes: u64,
    /// When the store was last seen to say what the snapshot says; 1970 when that never was.
    pub synced_at: Timestamp,
}

impl Snapshot {
    /// An empty snapshot. The key of the paths' hashes should be random.
    pub(super) fn new(key: (u64, u64), detail: Detail) -> Self {
        Self {
            files: Table::new(key, detail),
            mirrors: ArcSwap::default(),
            holds: ArcSwap::default(),
            synced_at: AtomicI64::new(0),
        }
    }

    /// A snapshot of given values, for tests of what reads it.
    #[must_use]
    pub fn for_test(files: Vec<FileRecord>, mirrors: MirrorSet, holds: Vec<TreePath<'static>>) -> Self {
        let snapshot = Self::new((0, 0), Detail::Full);
        snapshot.update_files(files.iter().map(|record| (record.path.borrowed(), Some(record.into()))));
        snapshot.set_mirrors(mirrors);
        snapshot.set_holds(holds);
        snapshot
    }

    /// What is known of a path of the public tree.
    #[must_use]
    pub fn file(&self, path: &TreePath<'_>) -> Option<FileEntry> {
        self.files.get(path)
    }

    /// As [`Self::file`], for many paths: that takes less time than one after the other.
    #[must_use]
    pub fn files(&self, paths: &[TreePath<'_>]) -> Vec<Option<FileEntry>> {
        self.files.get_each(paths)
    }

    /// Whether a path, or a directory above it, is on hold.
    #[must_use]
    pub fn is_held(&self, path: &TreePath<'_>) -> bool {
        let holds = self.holds.load();
        if holds.is_empty() {
            return false;
        }
        let bytes = path.as_bytes();
        let parents = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &bytes[..at]);
        holds.contains(bytes) || holds.contains(&[][..]) || parents.into_iter().any(|parent| holds.contains(parent))
    }

    /// The mirrors.
    #[must_use]
    pub fn mirrors(&self) -> Guard<Arc<MirrorSet>> {
        self.mirrors.load()
    }

    /// How many files are known.
    #[must_use]
    pub fn file_count(&self) -> u64 {
        self.files.len()
    }

    /// How large it is, and how fresh. Looks at every mirror's holdings: for metrics, not for requests.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mirrors = self.mirrors();
        Stats {
            files: self.file_count(),
            mirrors: mirrors.members.len() as u64,
            holds: self.holds.load().len() as u64,
            file_bytes: self.files.bytes(),
            holding_bytes: mirrors.members.iter().map(|member| member.holdings.bytes()).sum(),
            synced_at: Timestamp::from_millisecond(self.synced_at.load(Ordering::Relaxed)).unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }

    /// Puts in, replaces and takes out (`None`) files.
    pub(super) fn update_files<'p>(&self, changes: impl IntoIterator<Item = (TreePath<'p>, Option<FileEntry>)>) {
        self.files.apply(changes);
    }

    pub(super) fn filling(&self) -> Filling {
        self.files.filling()
    }

    /// Its files, as an image has them.
    pub(super) const fn table(&self) -> &Table {
        &self.files
    }

    pub(super) fn set_mirrors(&self, mirrors: MirrorSet) {
        self.mirrors.store(Arc::new(mirrors));
    }

    pub(super) fn set_holds(&self, paths: impl IntoIterator<Item = TreePath<'static>>) {
        let holds: HashSet<Box<[u8]>> = paths.into_iter().map(|path| path.as_bytes().into()).collect();
        self.holds.store(Arc::new(holds));
    }

    pub(super) fn set_synced(&self, at: Timestamp) {
        self.synced_at.store(at.as_millisecond(), Ordering::Relaxed);
    }
}
