//! What can go wrong with the inventory, in words for whoever has to mend it.

use std::path::PathBuf;

/// Why the inventory could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database can't be opened or created.
    #[error("can't open the database {}; is its folder there, and may this user read and write both?", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the database says.
        source: Said,
    },
    /// The file is no database at all.
    #[error("{} is not an SQLite database; name another file in inventory.database, or move this one away", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// There is a folder at its place, or a device, or a pipe.
    #[error("the database {} is no regular file; name another one in inventory.database", path.display())]
    NoFile {
        /// What is there.
        path: PathBuf,
    },
    /// The file is a database of some other program.
    #[error("{} is another program's database and was left alone; name another file in inventory.database", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The database was written by a newer redirector.
    #[error(
        "the database {} has schema {found}, and this redirector knows schemas up to {known}; \
         start the newer redirector that wrote it, or restore a backup from before the update",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema that is known here.
        known: i64,
    },
    /// The database is damaged.
    #[error(
        "the database {} is damaged ({what}); stop redirector, then restore a backup, or move the file away together with \
         its -wal and -shm files: index and scans fill a new one, but holds and history are lost",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The file was deleted or replaced under the running program, and there is no good one in its place.
    #[error("the database {} is gone; put it back, or restart redirector to begin a new one", path.display())]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// The file system has no room.
    #[error("no space left for the database {}", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Another process kept the database locked for too long.
    #[error("the database {} is kept locked by another process", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The file may not be written.
    #[error("the database {} or its folder may not be written", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The file system can't do what a write-ahead log needs.
    #[error(
        "the database {} lies on a file system without shared memory and locks, such as NFS; \
         name a file on a local disk in inventory.database",
        path.display()
    )]
    NoWriteAheadLog {
        /// The file.
        path: PathBuf,
    },
    /// Anything else that the database says.
    #[error("the database {} failed", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What it says.
        source: Said,
    },
    /// All numbers of versions were given out.
    #[error("all 4294967295 version numbers are used up; move the database {} away to begin a new one", path.display())]
    VersionsUsedUp {
        /// The file.
        path: PathBuf,
    },
    /// There are too many holds.
    #[error("there are {0} holds, and there may be no more; hold directories, or remove the files from the tree")]
    TooManyHolds(usize),
    /// The database does not answer soon enough for a request.
    #[error("the database does not answer within moments")]
    Slow,
    /// The inventory was closed, or its thread could not be started.
    #[error("the inventory is closed")]
    Closed,
    /// The owner thread met a fault of our own; it goes on with the state of the database.
    #[error("the inventory failed inside; this is a bug in redirector")]
    Internal,
    /// The owner thread could not be started.
    #[error("can't start the inventory's thread")]
    Thread(#[source] std::io::Error),
}

/// What SQLite says, once; its own errors say the same a second time as their cause.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Said(String);

impl From<rusqlite::Error> for Said {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(code, Some(text)) => Self(format!("{text} (code {})", code.extended_code)),
            other => Self(other.to_string()),
        }
    }
}

impl Error {
    /// Whether the database has to be mended, or something around it; not so where the caller asked for too much.
    pub(super) const fn is_about_the_database(&self) -> bool {
        !matches!(self, Self::TooManyHolds(_) | Self::Closed | Self::Internal | Self::Slow)
    }
}
