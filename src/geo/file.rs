//! Reading an operator's database file so that nothing that happens to the file later can hurt.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::Error;
use super::mapped::{self, Bytes, Nameless};

/// What tells one content of a file from another, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The largest database that is read: several times the largest on sale.
const SIZE_LIMIT: u64 = 8 << 30;

/// Databases up to this size are kept in memory; a mapped file buys nothing there. Larger than any with countries or AS
/// numbers only, smaller than any with cities.
const IN_MEMORY_LIMIT: u64 = 24 << 20;

/// What the file at this path is now.
///
/// # Errors
/// [`Error::Open`].
pub(super) fn identify(path: &Path) -> Result<Identity, Error> {
    std::fs::metadata(path)
        .map(|metadata| Identity::from(&metadata))
        .map_err(|source| Error::Open { path: path.into(), source })
}

/// The content of the file, as a copy of our own.
///
/// # Errors
/// It can't be read, is no regular file, is too large, or is being written at this moment.
pub(super) fn read(path: &Path) -> Result<(Bytes, Identity), Error> {
    let failed = |source| Error::Open { path: path.into(), source };
    let mut file = crate::file::open(path).map_err(failed)?;
    let before = file.metadata().map_err(failed)?;
    if before.len() > SIZE_LIMIT {
        return Err(Error::TooLarge { path: path.into(), limit: SIZE_LIMIT });
    }
    let bytes = copy(&mut file, before.len()).map_err(failed)?;
    let identity = Identity::from(&before);
    let after = file.metadata().map_err(failed)?;
    if identity != Identity::from(&after) || bytes.as_ref().len() as u64 != before.len() {
        return Err(Error::Changing { path: path.into() });
    }
    Ok((bytes, identity))
}

/// A copy of the file's first `size` bytes, or of all that there are: mapped, or in memory if it is small or if there is
/// no room for files.
fn copy(file: &mut File, size: u64) -> io::Result<Bytes> {
    if size > IN_MEMORY_LIMIT {
        for folder in [PathBuf::from("/var/tmp"), std::env::temp_dir()] {
            if let Ok(bytes) = copy_to(&folder, file, size) {
                return Ok(bytes);
            }
        }
    }
    copy_to_memory(file, size)
}

fn copy_to(folder: &Path, file: &mut File, size: u64) -> io::Result<Bytes> {
    let mut copy = tempfile::tempfile_in(folder)?;
    file.rewind()?;
    io::copy(&mut file.take(size), &mut copy)?;
    mapped::map(Nameless(copy))
}

fn copy_to_memory(file: &mut File, size: u64) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    let capacity = usize::try_from(size).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.try_reserve_exact(capacity).map_err(|_| io::ErrorKind::OutOfMemory)?;
    file.rewind()?;
    file.take(size).read_to_end(&mut bytes)?;
    Ok(Bytes::Owned(bytes))
}
