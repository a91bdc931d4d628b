//! Files that are whole or not there: written beside their place, synced, renamed into it.

use std::io::{self, Write};
use std::path::Path;

/// Writes a file so that whoever opens it finds the old content or the new one, after a crash too.
///
/// # Errors
/// What the file system says; the old file is then still there.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(content)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}
