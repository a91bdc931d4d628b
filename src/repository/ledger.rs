//! Which versions of each repository's `repomd.xml` clients were told of: when one is replaced, those that wait on mirrors which
//! have not fetched the new one yet go on for a while, unless an administrator ends that.
//!
//! Two small files beside the database: the server writes the versions, `redirector repositories expire` the orders. Each is
//! replaced as a whole, so neither is ever seen half written, and neither writer disturbs the other.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::metalink::Version;
use crate::model::{TreePath, VersionNumber};
use crate::{durable, file};

/// Remembers what clients were told.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The database that the files lie beside; none: nothing is kept.
    database: Option<PathBuf>,
    /// By path, percent-encoded; `None` until it was read.
    told: Mutex<Option<Book>>,
}

type Book = BTreeMap<String, Entry>;

/// What clients were told of one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    current: Told,
    /// Newest first.
    replaced: Vec<Replaced>,
}

/// A version that clients were told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Its number, by which mirrors are known to hold it.
    pub number: u32,
    /// What clients check.
    #[serde(flatten)]
    pub version: Version,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Replaced {
    /// When its successor came. Seconds since 1970.
    at: i64,
    #[serde(flatten)]
    told: Told,
}

/// An administrator's order not to accept what was replaced until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Everything below this directory, percent-encoded.
    pub directory: String,
    /// When. Seconds since 1970.
    pub at: i64,
    /// Why.
    pub because: String,
}

/// The versions that are remembered of one file: more than anybody publishes in the days that old ones are accepted.
const MAX_REPLACED: usize = 16;
/// The files that are remembered: a site with ten distributions has some hundred.
const MAX_FILES: usize = 10_000;
/// The orders that are kept, newest first.
const MAX_ORDERS: usize = 100;
/// A file beside the database that is larger is none of ours.
const MAX_FILE_BYTES: u64 = 64 << 20;

impl Ledger {
    /// One that is kept beside a database.
    #[must_use]
    pub fn beside(database: &Path) -> Self {
        Self { database: Some(database.to_owned()), told: Mutex::default() }
    }

    /// Notes that clients are told of `current`, which is public since `since`, and returns the versions that are accepted
    /// besides, newest first. Reads and writes files.
    pub fn note(&self, path: &TreePath<'_>, current: Told, since: i64, (accept_old, now): (Duration, i64)) -> Vec<Told> {
        let path = path.encoded();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let book = told.get_or_insert_with(|| self.read_book());
        let changed = turn(book, &path, current, since.min(now));
        if changed && let Some(database) = &self.database {
            keep(database, book);
        }
        let oldest = now.saturating_sub(i64::try_from(accept_old.as_secs()).unwrap_or(i64::MAX));
        let replaced = book.get(&path).map_or(&[][..], |entry| &entry.replaced);
        let ended = if replaced.is_empty() { None } else { self.ended(&path) };
        let is_accepted = |replaced: &&Replaced| replaced.at >= oldest && ended.is_none_or(|ended| replaced.at > ended);
        replaced.iter().filter(is_accepted).map(|replaced| replaced.told.clone()).collect()
    }

    fn read_book(&self) -> Book {
        let Some(file) = self.database.as_deref().map(versions_file) else { return Book::new() };
        read(&file).unwrap_or_else(|error| {
            tracing::warn!(file = %file.display(), %error, "versions of repositories are forgotten; older ones are not accepted");
            None
        })
        .unwrap_or_default()
    }

    /// The time of the last order that is about this path. Orders that can't be read end everything: to accept what may have
    /// been ended is the greater harm.
    fn ended(&self, path: &str) -> Option<i64> {
        let file = orders_file(self.database.as_deref()?);
        match read::<Vec<Order>>(&file) {
            Ok(orders) => orders.unwrap_or_default().iter().filter(|order| order.is_about(path)).map(|order| order.at).max(),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "orders about repositories can't be read; older versions are not accepted");
                Some(i64::MAX)
            }
        }
    }
}

impl Order {
    fn is_about(&self, path: &str) -> bool {
        self.directory.is_empty() || path.strip_prefix(&self.directory).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Makes `current` the current version. True if the book is another one now.
fn turn(book: &mut Book, path: &str, current: Told, since: i64) -> bool {
    let is_full = book.len() >= MAX_FILES;
    match book.get_mut(path) {
        // The same content under another number is the same to clients.
        Some(entry) if entry.current == current => return false,
        Some(entry) => {
            let last = std::mem::replace(&mut entry.current, current);
            if last.version.sha256 != entry.current.version.sha256 {
                entry.replaced.insert(0, Replaced { at: since, told: last });
            }
            let present = entry.current.version.sha256.clone();
            entry.replaced.retain(|replaced| replaced.told.version.sha256 != present);
            entry.replaced.truncate(MAX_REPLACED);
        }
        None if is_full => return false,
        None => drop(book.insert(path.to_owned(), Entry { current, replaced: Vec::new() })),
    }
    true
}

/// Orders that of all files below a directory only the present versions are accepted from now on.
///
/// # Errors
/// When the order can't be written down.
pub fn expire(database: &Path, directory: &TreePath<'_>, because: &str, now: i64) -> io::Result<()> {
    take_over(database);
    let file = orders_file(database);
    let mut orders = read::<Vec<Order>>(&file)?.unwrap_or_default();
    let directory = directory.encoded();
    orders.retain(|order| order.directory != directory);
    orders.insert(0, Order { directory, at: now, because: because.to_owned() });
    orders.truncate(MAX_ORDERS);
    let text = serde_json::to_string_pretty(&orders).map_err(io::Error::other)?;
    // The server reads it, which may be another user than who gives the order.
    durable::write_like(&file, text.as_bytes(), database)
}

/// Renames files whose names were made of the database's name without its ending: `a.sqlite` and `a.db` had theirs in common. Whoever comes first
/// takes them.
pub fn take_over(database: &Path) {
    let (versions, orders) = (versions_file(database), orders_file(database));
    for (new, ending) in [(versions, "repositories.json"), (orders, "expired.json")] {
        let old = database.with_extension(ending);
        if std::fs::symlink_metadata(&new).is_ok() {
            continue;
        }
        match std::fs::rename(&old, &new) {
            Ok(()) => {
                tracing::info!(file = %new.display(), before = %old.display(), "what is kept of repositories has another name")
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(file = %old.display(), %error, "what was kept of repositories can't be taken over"),
        }
    }
}

fn versions_file(database: &Path) -> PathBuf {
    file::beside(database, "-repositories.json")
}

fn orders_file(database: &Path) -> PathBuf {
    file::beside(database, "-expired.json")
}

fn keep(database: &Path, book: &Book) {
    let file = versions_file(database);
    let text = serde_json::to_string(book).map_err(io::Error::other);
    let written = text.and_then(|text| durable::write_like(&file, text.as_bytes(), database));
    if let Err(error) = written {
        tracing::warn!(file = %file.display(), %error, "versions of repositories can't be kept; a restart forgets them");
    }
}

/// A whole file of JSON; `None` where there is none.
fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let text = match file::read_start(path, MAX_FILE_BYTES) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    serde_json::from_slice(&text).map(Some).map_err(io::Error::other)
}

impl Told {
    /// The number as mirrors' holdings have it.
    #[must_use]
    pub const fn version_number(&self) -> VersionNumber {
        VersionNumber(self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;
    const THREE_DAYS: Duration = Duration::from_secs(3 * 86_400);

    fn told(number: u32, letter: &str) -> Told {
        let version = Version {
            timestamp: 1,
            size: 1,
            md5: letter.to_owned(),
            sha1: letter.to_owned(),
            sha256: letter.to_owned(),
            sha512: letter.to_owned(),
        };
        Told { number, version }
    }

    fn path(text: &str) -> TreePath<'_> {
        TreePath::parse(text.as_bytes()).expect("a path")
    }

    fn numbers(told: &[Told]) -> Vec<u32> {
        told.iter().map(|told| told.number).collect()
    }

    #[test]
    fn a_replaced_version_is_accepted_for_its_time() {
        let ledger = Ledger::default();
        let repomd = path("8/repodata/repomd.xml");
        let note = |told, since, now| numbers(&ledger.note(&repomd, told, since, (THREE_DAYS, now)));
        assert_eq!(note(told(1, "a"), 0, DAY), [0_u32; 0]);
        assert_eq!(note(told(2, "b"), 2 * DAY, 2 * DAY), [1]);
        assert_eq!(note(told(2, "b"), 2 * DAY, 3 * DAY), [1]);
        assert_eq!(note(told(3, "c"), 4 * DAY, 4 * DAY), [2, 1]);
        assert_eq!(note(told(3, "c"), 4 * DAY, 6 * DAY), [2]);
        assert_eq!(note(told(3, "c"), 4 * DAY, 8 * DAY), [0_u32; 0]);
        // The old content comes back, with a number of its own.
        assert_eq!(note(told(4, "b"), 8 * DAY, 8 * DAY), [3]);
        // The same bytes written anew.
        assert_eq!(note(told(5, "b"), 9 * DAY, 9 * DAY), [3]);
    }

    #[test]
    fn what_was_told_outlives_a_restart_and_an_order_ends_it_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("site.sqlite");
        let (eight, nine) = (path("8/repodata/repomd.xml"), path("9/repodata/repomd.xml"));
        let note =
            |path: &TreePath<'_>, told, now| numbers(&Ledger::beside(&database).note(path, told, now, (THREE_DAYS, now)));
        for (number, letter, now) in [(1, "a", 100), (2, "b", 200)] {
            note(&eight, told(number, letter), now);
            note(&nine, told(number, letter), now);
        }
        assert_eq!((note(&eight, told(2, "b"), 300), note(&nine, told(2, "b"), 300)), (vec![1], vec![1]));
        expire(&database, &path("8"), "a hole", 400).expect("written");
        assert_eq!((note(&eight, told(2, "b"), 500), note(&nine, told(2, "b"), 500)), (vec![], vec![1]));
        // What is replaced after the order is accepted again.
        assert_eq!(note(&eight, told(3, "c"), 600), [2]);
        expire(&database, &TreePath::root(), "all of it", 700).expect("written");
        assert_eq!((note(&eight, told(3, "c"), 800), note(&nine, told(2, "b"), 800)), (vec![], vec![]));
    }

    #[test]
    fn two_databases_of_one_name_but_for_its_ending_share_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let databases = ["a.sqlite", "a.db"].map(|name| folder.path().join(name));
        let repomd = path("repodata/repomd.xml");
        let note = |database: &Path, told, now| numbers(&Ledger::beside(database).note(&repomd, told, now, (THREE_DAYS, now)));
        for (database, number) in databases.iter().zip([1, 3]) {
            note(database, told(number, "a"), 100);
            note(database, told(number + 1, "b"), 200);
        }
        assert_eq!((note(&databases[0], told(2, "b"), 300), note(&databases[1], told(4, "b"), 300)), (vec![1], vec![3]));
        expire(&databases[1], &TreePath::root(), "a hole", 400).expect("written");
        assert_eq!((note(&databases[0], told(2, "b"), 500), note(&databases[1], told(4, "b"), 500)), (vec![1], vec![]));
    }

    #[test]
    fn what_was_kept_under_the_name_of_before_is_taken_over_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("a.sqlite");
        let old = |ending| database.with_extension(ending);
        let repomd = path("repodata/repomd.xml");
        let note = |told, now| numbers(&Ledger::beside(&database).note(&repomd, told, now, (THREE_DAYS, now)));
        note(told(1, "a"), 100);
        note(told(2, "b"), 200);
        expire(&database, &path("elsewhere"), "a hole", 300).expect("written");
        std::fs::rename(versions_file(&database), old("repositories.json")).expect("it is there");
        std::fs::rename(orders_file(&database), old("expired.json")).expect("it is there");
        // An order goes beside those of before.
        expire(&database, &path("somewhere"), "a hole", 400).expect("written");
        assert_eq!(read::<Vec<Order>>(&orders_file(&database)).expect("is read").expect("is there").len(), 2);
        assert_eq!(note(told(2, "b"), 500), [1]);
        assert!(!old("repositories.json").exists() && !old("expired.json").exists());
        // What is there under its own name is not replaced by what an older program leaves.
        durable::write(&old("expired.json"), b"[]").expect("written");
        take_over(&database);
        assert_eq!(read::<Vec<Order>>(&orders_file(&database)).expect("is read").expect("is there").len(), 2);
    }

    #[test]
    fn who_may_read_the_database_may_read_the_orders() {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("site.sqlite");
        expire(&database, &TreePath::root(), "before there is one", 1).expect("written");
        durable::write(&database, b"").expect("written");
        std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
        // As root gives orders to a server that is another user; others can't.
        chown(&database, Some(65534), Some(65534)).ok();
        expire(&database, &TreePath::root(), "a test", 1).expect("written");
        let of = |path: &Path| std::fs::metadata(path).map(|data| (data.mode(), data.uid(), data.gid())).expect("it is there");
        assert_eq!(of(&orders_file(&database)), of(&database));
    }

    #[test]
    fn files_that_are_damaged_make_nothing_old_acceptable() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("site.sqlite");
        let repomd = path("repodata/repomd.xml");
        let ledger = Ledger::beside(&database);
        ledger.note(&repomd, told(1, "a"), 100, (THREE_DAYS, 100));
        assert_eq!(ledger.note(&repomd, told(2, "b"), 200, (THREE_DAYS, 200)).len(), 1);
        durable::write(&orders_file(&database), b"{").expect("written");
        assert_eq!(ledger.note(&repomd, told(2, "b"), 200, (THREE_DAYS, 300)).len(), 0);
        assert!(expire(&database, &TreePath::root(), "x", 1).is_err(), "an order is not lost in silence");
        durable::write(&versions_file(&database), b"[]").expect("written");
        assert_eq!(Ledger::beside(&database).note(&repomd, told(2, "b"), 200, (THREE_DAYS, 300)).len(), 0);
    }
}
