//! Files that are whole or not there: written beside their place, synced, renamed into it.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Writes a file so that whoever opens it finds the old content or the new one, after a crash too.
///
/// # Errors
/// What the file system says; the old file is then still there.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    write_as(path, content, |_| Ok(()))
}

/// The same, for all who may read or write another file, `like`, and for its owner: root gives orders to a server that is another user. Where there
/// is no such file yet, the new one is for its writer alone.
///
/// # Errors
/// As [`write()`].
pub fn write_like(path: &Path, content: &[u8], like: &Path) -> io::Result<()> {
    let Ok(like) = std::fs::metadata(like) else { return write(path, content) };
    write_as(path, content, |file| {
        file.set_permissions(like.permissions())?;
        match std::os::unix::fs::fchown(file, Some(like.uid()), Some(like.gid())) {
            // Who is not root leaves it as it is.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            done => done,
        }
    })
}

fn write_as(path: &Path, content: &[u8], prepare: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(content)?;
    prepare(temporary.as_file())?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}
