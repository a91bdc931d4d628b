//! One server for each database: two that index different trees would take each other's files for gone, again and again.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{clock, file};

/// The right to serve from a database, as long as it is kept. Commands work beside whoever has it.
#[derive(Debug)]
pub(super) struct Claim {
    /// None where no file can be made, as in a folder that may not be written: that stops no download.
    _file: Option<File>,
}

/// Another server has it.
#[derive(Debug, thiserror::Error)]
#[error("another redirector serves from {}; name another file in inventory.database, or end that one", .0.display())]
pub struct Taken(PathBuf);

/// One that was told to end lets downloads end first (server.drain-timeout).
const PATIENCE: Duration = Duration::from_secs(45);
/// How often it is tried.
const TRY: Duration = Duration::from_millis(100);

/// Whether two paths lead to the same database.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().ok().zip(other.canonicalize().ok()).is_some_and(|(one, other)| one == other)
}

impl Claim {
    /// Takes it, or waits until who has it ends.
    ///
    /// # Errors
    /// When that does not end.
    pub(super) async fn take(instance: &str, database: &Path) -> Result<Self, Taken> {
        let began = clock::instant();
        let mut is_told = false;
        while began.elapsed() < PATIENCE {
            if let Some(claim) = Self::try_take(database) {
                return Ok(claim);
            }
            if !std::mem::replace(&mut is_told, true) {
                let database = database.display();
                tracing::warn!(instance, %database, "another redirector serves from this database; waiting for its end");
            }
            tokio::time::sleep(TRY).await;
        }
        Err(Taken(database.to_owned()))
    }

    fn try_take(database: &Path) -> Option<Self> {
        let Ok(file) = file::open_for_locks(&file::beside(database, "-server")) else { return Some(Self { _file: None }) };
        match file.try_lock() {
            Ok(()) => Some(Self { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(_)) => Some(Self { _file: None }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_until_it_is_dropped_and_nobody_where_no_file_can_be() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("site.sqlite");
        let claim = Claim::try_take(&database).expect("nobody has it");
        assert!(Claim::try_take(&database).is_none());
        assert!(Claim::try_take(&folder.path().join("other.sqlite")).is_some());
        drop(claim);
        assert!(Claim::try_take(&database).is_some());
        let nowhere = folder.path().join("none/site.sqlite");
        let claims = [Claim::try_take(&nowhere), Claim::try_take(&nowhere)];
        assert!(claims.iter().all(Option::is_some));
    }
}
