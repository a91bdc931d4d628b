//! One server for each database: two that index different trees would take each other's files for gone, again and again.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Config;
use crate::model::Span;
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

/// What a server that was told to end may take beyond `server.drain-timeout`: its tasks and its database are waited for, too
/// (`tasks::PATIENCE`, `instance::CLOSING`), and the next one should be the more patient.
const MARGIN: Duration = Duration::from_secs(30);
/// How often it is tried.
const TRY: Duration = Duration::from_millis(100);

/// Whether two paths lead to the same database.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().ok().zip(other.canonicalize().ok()).is_some_and(|(one, other)| one == other)
}

/// How long another server's end is waited for: most often that is one with the same configurations, which lets the downloads of all its
/// instances end before it lets go of any database.
pub(super) fn patience(configs: &[Config]) -> Duration {
    configs.iter().map(|config| config.server.drain_timeout.0).max().unwrap_or_default() + MARGIN
}

impl Claim {
    /// Takes it, or waits until who has it ends.
    ///
    /// # Errors
    /// When that does not end.
    pub(super) async fn take(instance: &str, database: &Path, patience: Duration) -> Result<Self, Taken> {
        let began = clock::instant();
        let mut is_told = false;
        loop {
            if let Some(claim) = Self::try_take(database) {
                return Ok(claim);
            }
            if began.elapsed() >= patience {
                return Err(Taken(database.to_owned()));
            }
            if !std::mem::replace(&mut is_told, true) {
                let (database, patience) = (database.display(), Span(patience));
                let text = "another redirector serves from this database; waiting for its end";
                tracing::warn!(instance, %database, "{text}, but for no longer than {patience}");
            }
            tokio::time::sleep(TRY).await;
        }
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
    fn the_longest_drain_of_all_instances_is_waited_for_and_more() {
        let config = |drain: &str| {
            let text = format!("[server]\ndrain-timeout = '{drain}'\n[tree]\npublic = 'p'");
            Config::parse(Path::new("mirrors.toml"), text).expect("a configuration")
        };
        let minutes = |n: u64| Duration::from_secs(60 * n);
        assert_eq!(patience(&[config("5s"), config("10m"), config("0s")]), minutes(10) + MARGIN);
    }

    #[tokio::test]
    async fn who_waits_in_vain_is_told_by_whom_the_database_is_held() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("site.sqlite");
        let claim = Claim::take("one", &database, Duration::ZERO).await.expect("nobody has it");
        let told = Claim::take("two", &database, Duration::from_millis(1)).await.expect_err("it is taken").to_string();
        assert!(told.contains("another redirector serves from") && told.contains("inventory.database"), "{told}");
        drop(claim);
        Claim::take("two", &database, Duration::ZERO).await.expect("nobody has it any more");
    }

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
