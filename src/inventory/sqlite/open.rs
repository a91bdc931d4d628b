//! Opening a database: whose it is, which schema it has, and how it is set.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::Inspection;
use super::fault::Fault;
use crate::clock;
use crate::inventory::error::Error;

/// The file behind a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// That of no file.
    pub(super) const NONE: Self = Self { device: u64::MAX, inode: u64::MAX };

    /// The file that the path names now, if there is one.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// What to do where there is no file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Create,
    Refuse,
}

/// Opens a file, ready for use.
///
/// Of several that set the same new file to a write-ahead log at once, each may hold the lock that the others wait for. SQLite ends
/// that by telling all but one at once that the file is busy, without waiting; they let go and try again.
pub(super) fn file(path: &Path, missing: Missing) -> Result<(Connection, Identity), Error> {
    let began = clock::instant();
    loop {
        match try_file(path, missing) {
            Err(Error::Busy { .. }) if began.elapsed() < BUSY => std::thread::sleep(NEXT_TRY),
            done => return done,
        }
    }
}

fn try_file(path: &Path, missing: Missing) -> Result<(Connection, Identity), Error> {
    let gone = || Error::Gone { path: path.to_owned() };
    if missing == Missing::Refuse && Identity::of(path).is_none() {
        return Err(gone());
    }
    refuse_what_is_no_file(path)?;
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    if missing == Missing::Create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let open = || -> Result<Connection, Fault> {
        let connection = Connection::open_with_flags(path, flags)?;
        prepare(&connection)?;
        Ok(connection)
    };
    let mut connection = open().map_err(|fault| fault.at(path))?;
    match ownership(&connection).map_err(|fault| fault.at(path))? {
        Ownership::Foreign => return Err(Error::Foreign { path: path.to_owned() }),
        Ownership::Empty if missing == Missing::Refuse => return Err(gone()),
        Ownership::Ours | Ownership::Empty => {}
    }
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(|error| Fault::from(error).at(path))?;
    if mode != "wal" {
        return Err(Error::NoWriteAheadLog { path: path.to_owned() });
    }
    migrate(&mut connection, MIGRATIONS, path)?;
    look_often(&mut connection).map_err(|fault| fault.at(path))?;
    let identity = Identity::of(path).ok_or_else(gone)?;
    Ok((connection, identity))
}

fn refuse_what_is_no_file(path: &Path) -> Result<(), Error> {
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err(Error::NoFile { path: path.to_owned() }),
        _ => Ok(()),
    }
}

/// Opens a database of ours on a disk without any room, for reading. SQLite wants room for the index of its log there, which it
/// keeps in memory only for who has the database for itself; so no other process may have it open.
pub(super) fn without_room(path: &Path) -> Result<(Connection, Identity), Error> {
    let at = |fault: Fault| fault.at(path);
    let open = || -> Result<Connection, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let connection = Connection::open_with_flags(path, flags)?;
        // Before anything is read.
        connection.pragma_update(None, "locking_mode", "exclusive")?;
        prepare(&connection)?;
        Ok(connection)
    };
    let connection = open().map_err(at)?;
    let identity = Identity::of(path).ok_or_else(|| Error::Gone { path: path.to_owned() })?;
    match ownership(&connection).map_err(at)? {
        // What is to be made, or made newer, needs room.
        Ownership::Ours if known(path, schema(&connection).map_err(at)?, MIGRATIONS)? == MIGRATIONS.len() => {
            Ok((connection, identity))
        }
        Ownership::Ours | Ownership::Empty => Err(Error::Full { path: path.to_owned() }),
        Ownership::Foreign => Err(Error::Foreign { path: path.to_owned() }),
    }
}

/// Opens a database of ours for reading only.
pub(super) fn read_only(path: &Path) -> Result<Connection, Error> {
    let open = || -> Result<Connection, Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let connection = Connection::open_with_flags(path, flags)?;
        prepare(&connection)?;
        Ok(connection)
    };
    open().map_err(|fault| fault.at(path))
}

/// A database in memory, ready for use.
pub(super) fn memory() -> Result<Connection, Error> {
    let path = Path::new(":memory:");
    let open = || -> Result<Connection, Fault> {
        let connection = Connection::open_in_memory()?;
        prepare(&connection)?;
        Ok(connection)
    };
    let mut connection = open().map_err(|fault| fault.at(path))?;
    migrate(&mut connection, MIGRATIONS, path)?;
    Ok(connection)
}

/// Looks at a file without changing it.
pub(super) fn inspect(path: &Path) -> Result<Inspection, Error> {
    if !path.exists() {
        return Ok(Inspection::Absent);
    }
    refuse_what_is_no_file(path)?;
    let look = || -> Result<(Ownership, i64), Fault> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        prepare(&connection)?;
        Ok((ownership(&connection)?, schema(&connection)?))
    };
    match look().map_err(|fault| fault.at(path))? {
        (Ownership::Foreign, _) => Err(Error::Foreign { path: path.to_owned() }),
        (Ownership::Empty, _) => Ok(Inspection::Absent),
        (Ownership::Ours, found) => {
            known(path, found, MIGRATIONS)?;
            Ok(Inspection::Schema(found))
        }
    }
}

/// How long a writer waits for another process's transaction. Ours are short; this is for slow disks.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// How often it looks whether that has ended.
const BUSY_TRY: Duration = Duration::from_millis(2);
/// Until a file that was busy is opened again: as long as it takes another to make the schema.
const NEXT_TRY: Duration = Duration::from_millis(20);
/// Memory for pages, in KiB: enough for the inner pages of an index of ten million paths.
const CACHE_KIB: i64 = 16 * 1024;
/// What a write-ahead log may keep on the disk after a checkpoint, in bytes.
const LOG_BYTES: i64 = 64 * 1024 * 1024;
/// Prepared statements that are kept: all that there are.
const STATEMENTS: usize = 64;

fn prepare(connection: &Connection) -> Result<(), Fault> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // The file may have been made by someone else: nothing in its schema is run, and bad cells are noticed.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    // A commit that was acknowledged stands after a power cut too: a sync for each.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    Ok(())
}

/// Has a writer see soon that the lock is free: SQLite itself would look less and less often, and have the next in the queue wait.
fn look_often(connection: &mut Connection) -> Result<(), Fault> {
    connection.busy_handler(Some(|tries: i32| {
        std::thread::sleep(BUSY_TRY);
        u128::from(tries.unsigned_abs()) < BUSY.as_millis() / BUSY_TRY.as_millis()
    }))?;
    Ok(())
}

/// "rdir", in the header of every database of ours.
pub(super) const APPLICATION_ID: i64 = 0x7264_6972;

enum Ownership {
    Ours,
    Empty,
    Foreign,
}

fn ownership(connection: &Connection) -> Result<Ownership, Fault> {
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    Ok(match (application, tables) {
        (APPLICATION_ID, _) => Ownership::Ours,
        (0, 0) if schema(connection)? == 0 => Ownership::Empty,
        _ => Ownership::Foreign,
    })
}

fn schema(connection: &Connection) -> Result<i64, Fault> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// What brings a database from one schema to the next: the first makes schema 1 from nothing. Never changed once released.
const MIGRATIONS: &[&str] = &[
    include_str!("../schema/0001-initial.sqlite.sql"),
    include_str!("../schema/0002-descriptions.sqlite.sql"),
    include_str!("../schema/0003-shares.sqlite.sql"),
    include_str!("../schema/0004-ways.sqlite.sql"),
    include_str!("../schema/0005-marks.sqlite.sql"),
    include_str!("../schema/0006-abilities.sqlite.sql"),
    include_str!("../schema/0007-listings.sqlite.sql"),
    include_str!("../schema/0008-once.sqlite.sql"),
    include_str!("../schema/0009-wrong.sqlite.sql"),
    include_str!("../schema/0010-trails.sqlite.sql"),
];

fn known(path: &Path, found: i64, migrations: &[&str]) -> Result<usize, Error> {
    match usize::try_from(found) {
        Ok(number) if number <= migrations.len() => Ok(number),
        _ => Err(Error::Newer { path: path.to_owned(), found, known: count(migrations) }),
    }
}

fn count(migrations: &[&str]) -> i64 {
    i64::try_from(migrations.len()).unwrap_or(i64::MAX)
}

/// Brings the schema up to date in one transaction; what another process does at the same time is waited for.
fn migrate(connection: &mut Connection, migrations: &[&str], path: &Path) -> Result<(), Error> {
    let at = |error: rusqlite::Error| Fault::from(error).at(path);
    let found = schema(connection).map_err(|fault| fault.at(path))?;
    if known(path, found, migrations)? == migrations.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(at)?;
    let found = known(path, schema(&transaction).map_err(|fault| fault.at(path))?, migrations)?;
    for migration in &migrations[found..] {
        transaction.execute_batch(migration).map_err(at)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(at)?;
    transaction.pragma_update(None, "user_version", count(migrations)).map_err(at)?;
    transaction.commit().map_err(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(migrations: &[&str], folder: &Path) -> Result<Connection, Error> {
        let path = folder.join("test.sqlite");
        let mut connection = Connection::open(&path).expect("opens");
        migrate(&mut connection, migrations, &path)?;
        Ok(connection)
    }

    #[test]
    fn a_database_is_brought_from_nothing_and_from_each_schema_to_the_newest() {
        let later = "ALTER TABLE hold ADD COLUMN who TEXT NOT NULL DEFAULT 'nobody'";
        let all: Vec<&str> = MIGRATIONS.iter().copied().chain([later]).collect();
        let shape = |connection: &Connection| -> Vec<String> {
            let mut statement = connection.prepare("SELECT sql FROM sqlite_master ORDER BY name").expect("is right");
            let rows = statement.query_map([], |row| row.get::<_, Option<String>>(0)).expect("is read");
            rows.map(|sql| sql.expect("is read").unwrap_or_default()).collect()
        };
        let fresh = tempfile::tempdir().expect("a folder for tests");
        let fresh = shape(&opened(&all, fresh.path()).expect("is made"));
        for first in 1..all.len() {
            let folder = tempfile::tempdir().expect("a folder for tests");
            let old = opened(&all[..first], folder.path()).expect("is made");
            old.execute("INSERT INTO hold (path, because, at_ms) VALUES (x'61', 'bad', 5)", []).expect("is kept");
            drop(old);
            let new = opened(&all, folder.path()).expect("is brought up");
            assert_eq!((shape(&new), schema(&new).expect("is read")), (fresh.clone(), count(&all)), "from {first}");
            let held: String = new.query_row("SELECT because FROM hold", [], |row| row.get(0)).expect("is read");
            assert_eq!(held, "bad");
            drop(new);
            let refused = opened(&all[..first], folder.path()).expect_err("it is newer");
            assert!(matches!(refused, Error::Newer { found, .. } if found == count(&all)), "{refused}");
        }
    }

    #[test]
    fn a_migration_that_fails_leaves_the_old_schema() {
        let folder = tempfile::tempdir().expect("a folder for tests");
        drop(opened(MIGRATIONS, folder.path()).expect("is made"));
        let bad = "CREATE TABLE extra (id INTEGER); CREATE TABLE hold (id INTEGER)";
        let all: Vec<&str> = MIGRATIONS.iter().copied().chain([bad]).collect();
        opened(&all, folder.path()).expect_err("there is a table hold");
        let connection = opened(MIGRATIONS, folder.path()).expect("is as it was");
        connection.execute("CREATE TABLE extra (id INTEGER)", []).expect("nothing of it stayed");
    }

    #[test]
    fn what_needs_a_digest_is_found_without_reading_every_file() {
        let connection = memory().expect("opens");
        for (sql, index) in [
            ("path > x'' AND (state = 1 OR (state = 0 AND sha256 IS NULL)) ORDER BY path LIMIT 5", "file_unhashed"),
            ("path > x'' AND path < x'30' ORDER BY path LIMIT 5", "PRIMARY KEY"),
        ] {
            let sql = format!("EXPLAIN QUERY PLAN SELECT * FROM file WHERE {sql}");
            let plan: String = connection.query_row(&sql, [], |row| row.get(3)).expect("is planned");
            assert!(plan.starts_with("SEARCH file USING") && plan.contains(index), "{plan}");
        }
    }

    #[test]
    fn every_commit_is_synced_to_a_write_ahead_log() {
        let folder = tempfile::tempdir().expect("a folder for tests");
        let (connection, _) = file(&folder.path().join("test.sqlite"), Missing::Create).expect("opens");
        let text = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, String>(0)).expect("is read");
        let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).expect("is read");
        assert_eq!((text("journal_mode").as_str(), number("synchronous")), ("wal", 2));
    }
}
