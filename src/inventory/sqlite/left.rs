//! What a database that was replaced leaves beside the new one: its write-ahead log. SQLite knows logs by their names alone, so it would
//! take that of the old database for the new one's, and the two would be mixed without a word.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::open::{APPLICATION_ID, Identity};
use crate::file::beside;

/// The log of the database that is open.
#[derive(Clone, Debug)]
pub(super) struct Log {
    database: PathBuf,
    identity: Identity,
}

impl Log {
    /// That of the database at `path`, which is open.
    pub(super) fn of(path: &Path) -> Option<Self> {
        // SQLite follows links, too.
        let database = path.canonicalize().ok()?;
        let identity = Identity::of(&beside(&database, "-wal"))?;
        Some(Self { database, identity })
    }

    /// Whether it lies beside another database of ours now.
    pub(super) fn is_left(&self) -> bool {
        Identity::of(&beside(&self.database, "-wal")) == Some(self.identity) && is_ours(&self.database)
    }

    /// Puts it aside, where SQLite does not look. Whoever had it open has let go of it.
    pub(super) fn put_aside(&self) -> std::io::Result<()> {
        let (from, to) = (beside(&self.database, "-wal"), beside(&self.database, "-wal-left"));
        std::fs::rename(&from, &to)?;
        tracing::warn!(path = %to.display(), "the log of the database that was replaced is kept there; it may be deleted");
        // It is made anew from the log.
        let removed = std::fs::remove_file(beside(&self.database, "-shm"));
        removed.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
    }
}

/// Whether a file says at its start that it is a database of ours, read without SQLite, which would read the log as well.
/// <https://www.sqlite.org/fileformat.html>, section 1.3.
fn is_ours(path: &Path) -> bool {
    let mut header = [0; 72];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    let application = header.last_chunk().map(|bytes| i64::from(u32::from_be_bytes(*bytes)));
    read.is_ok() && header.starts_with(b"SQLite format 3\0") && application == Some(APPLICATION_ID)
}
