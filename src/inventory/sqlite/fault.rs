//! What goes wrong inside a transaction, and the error that it becomes once the file's name is known.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::inventory::error::Error;
use crate::inventory::store::MAX_HOLDS;

/// Why a transaction failed.
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    /// A value in the database is none that we write.
    Damaged(String),
    VersionsUsedUp,
    TooManyHolds,
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::FromSqlConversionFailure(column, kind, _) => {
                Self::Damaged(format!("a value of type {kind} in column {column}"))
            }
            rusqlite::Error::InvalidColumnType(_, name, kind) => {
                Self::Damaged(format!("a value of type {kind} in column {name}"))
            }
            rusqlite::Error::IntegralValueOutOfRange(column, value) => {
                Self::Damaged(format!("the value {value} in column {column}"))
            }
            // Our own statements are right for our schema, so the schema is not what its number says.
            rusqlite::Error::SqlInputError { msg, .. } => Self::Damaged(msg),
            rusqlite::Error::SqliteFailure(code, Some(text)) if code.extended_code == rusqlite::ffi::SQLITE_ERROR => {
                Self::Damaged(text)
            }
            error => Self::Sqlite(error),
        }
    }
}

impl Fault {
    /// The error, with the file that it is about.
    pub(super) fn at(self, path: &Path) -> Error {
        let path = path.to_owned();
        match self {
            Self::Damaged(what) => Error::Damaged { path, what },
            Self::VersionsUsedUp => Error::VersionsUsedUp { path },
            Self::TooManyHolds => Error::TooManyHolds(MAX_HOLDS),
            Self::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt) => Error::Damaged { path, what: error.to_string() },
                Some(ErrorCode::NotADatabase) => Error::NotADatabase { path },
                Some(ErrorCode::DiskFull) => Error::Full { path },
                // The index of its log, which lies beside it, can't be made larger.
                _ if extended_code(&error) == Some(rusqlite::ffi::SQLITE_IOERR_SHMSIZE) => Error::Full { path },
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
                    Error::Busy { path }
                }
                Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Error::ReadOnly { path },
                Some(ErrorCode::CannotOpen) => Error::Open { path, source: error.into() },
                _ => Error::Database { path, source: error.into() },
            },
        }
    }
}

fn extended_code(error: &rusqlite::Error) -> Option<i32> {
    match error {
        rusqlite::Error::SqliteFailure(code, _) => Some(code.extended_code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_room_for_the_logs_index_is_told_as_a_full_disk() {
        let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_SHMSIZE), None);
        let told = Fault::from(error).at(Path::new("db.sqlite")).to_string();
        assert_eq!(told, "no space left for the database db.sqlite");
    }

    #[test]
    fn what_the_database_says_is_told_once() {
        for (text, told) in [(Some("disk I/O error"), "disk I/O error (code 266)"), (None, "Error code 266: disk I/O error")] {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_READ);
            let error = rusqlite::Error::SqliteFailure(code, text.map(str::to_owned));
            let all = crate::cause::chain(&Fault::from(error).at(Path::new("db.sqlite")));
            assert_eq!(all, format!("the database db.sqlite failed: {told}"));
        }
    }
}
