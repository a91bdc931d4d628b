//! The snapshot: the immutable values that requests are answered from, swapped piece by piece.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use roaring::RoaringBitmap;

use crate::model::{FileState, Fingerprint, Health, Mirror, TreePath, VersionNumber};

/// What requests are answered from.
#[derive(Debug)]
pub struct Snapshot {
    mirrors: ArcSwap<MirrorSet>,
}

/// What is kept in memory of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileEntry {
    /// Its version.
    pub version: VersionNumber,
    /// Bytes.
    pub size: u64,
    /// The mtime of the version's first fingerprint, in seconds since 1970.
    pub version_mtime: i64,
    /// When the version became public, in seconds since 1970.
    pub public_since: i64,
    /// Whether the entry can be relied on.
    pub state: FileState,
    /// A hash of the fingerprint.
    pub(super) fingerprint: u64,
}

impl FileEntry {
    /// Whether the file that was just looked at is the one that the entry tells of.
    #[must_use]
    pub fn matches(&self, seen: &Fingerprint) -> bool {
        let _ = (seen, self.fingerprint);
        todo!()
    }
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
    pub holdings: Arc<RoaringBitmap>,
    /// Whether it works.
    pub health: Health,
}

impl MirrorState {
    /// Whether the mirror was seen with a copy of this version.
    #[must_use]
    pub fn holds(&self, version: VersionNumber) -> bool {
        self.holdings.contains(version.0)
    }
}

impl Snapshot {
    /// What is known of a path of the public tree.
    #[must_use]
    pub fn file(&self, path: &TreePath<'_>) -> Option<FileEntry> {
        let _ = path;
        todo!()
    }

    /// Whether a path, or a directory above it, is on hold.
    #[must_use]
    pub fn is_held(&self, path: &TreePath<'_>) -> bool {
        let _ = path;
        todo!()
    }

    /// The mirrors.
    #[must_use]
    pub fn mirrors(&self) -> Guard<Arc<MirrorSet>> {
        self.mirrors.load()
    }
}
