//! Versions of files: one content of one path.

use jiff::Timestamp;

use super::digest::Sha256;
use super::path::TreePath;

/// The number of a version. Never used again, so that a mirror that held an old version can't be taken for a holder of
/// the new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub struct VersionNumber(pub u32);

/// What the file system says about a file's content without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fingerprint {
    /// Bytes.
    pub size: u64,
    /// When the content was last written, in nanoseconds since 1970; anyone can set it to anything.
    pub mtime_ns: i64,
    /// When the inode was last changed, in nanoseconds since 1970; only the kernel sets it.
    pub ctime_ns: i64,
    /// The inode's number.
    pub inode: u64,
}

impl Fingerprint {
    /// The time of the content.
    #[must_use]
    pub fn mtime(&self) -> Timestamp {
        timestamp(self.mtime_ns)
    }

    /// The time of the inode.
    #[must_use]
    pub fn ctime(&self) -> Timestamp {
        timestamp(self.ctime_ns)
    }
}

fn timestamp(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).expect("every i64 of nanoseconds lies within the years 1677 to 2262")
}

/// What the inventory knows about a file of the public tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileRecord {
    /// Where it is.
    pub path: TreePath<'static>,
    /// Which content it has.
    pub version: VersionNumber,
    /// The file as it was last seen.
    pub fingerprint: Fingerprint,
    /// The digest of the version, once it is known.
    pub sha256: Option<Sha256>,
    /// The time of the version, which a mirror's copy may not be older than: the mtime of its first fingerprint, or when it was put
    /// there, where that mtime does not tell it from the version before.
    pub version_mtime_ns: i64,
    /// Whether a mirror's copy must have just this time, or one since the version is public, as there were other contents of its size.
    pub exact_time: bool,
    /// When this version became public.
    pub public_since: Timestamp,
    /// Whether the record can be relied on.
    pub state: FileState,
}

impl FileRecord {
    /// The time of the version: no mirror's copy may be older.
    #[must_use]
    pub fn version_time(&self) -> Timestamp {
        timestamp(self.version_mtime_ns)
    }
}

/// Whether what is known about a file still holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FileState {
    /// The file is as the record says.
    Settled,
    /// The fingerprint moved and the size did not: only a digest can tell whether the content did. Not redirected.
    Unconfirmed,
    /// It is being written. Not redirected, not hashed.
    Changing,
}
