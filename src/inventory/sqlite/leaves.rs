//! All files, from the pages of their table in the order in which these lie on the disk. A statement would walk from page to page in the
//! order of paths, wherever they lie, and take each column of each row for itself: with ten million files a start takes half as much CPU
//! time again.
//!
//! The pages come through SQLite, by its table of pages (<https://www.sqlite.org/dbpage.html>), so they are those of the transaction.

use rusqlite::types::ValueRef;
use rusqlite::{Statement, Transaction};

use super::btree::{Cell, Layout, Odd, Page, Record, Value};
use super::files::{Facts, state};
use crate::inventory::trail::Copies;
use crate::model::{Fingerprint, Sha256, VersionNumber};

/// Why the files have to be read row by row.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// What the pages have is not what is expected of them.
    #[error("their pages are not as expected")]
    Odd,
    /// SQLite was built without its table of pages, or fails.
    #[error("their pages are not told")]
    Sqlite(#[from] rusqlite::Error),
}

impl From<Odd> for Unread {
    fn from(Odd: Odd) -> Self {
        Self::Odd
    }
}

/// What takes a file: the bytes of its path, and what is known of it.
pub(super) type Give<'g> = dyn FnMut(&[u8], Facts, Option<Sha256>) + 'g;

/// The columns of the table `file` in the order in which its records have them: the key first, and then as they were added.
const COLUMNS: [&str; 13] = [
    "path",
    "version",
    "size",
    "mtime_ns",
    "ctime_ns",
    "inode",
    "sha256",
    "version_mtime_ns",
    "public_since_ns",
    "state",
    "recorded_ms",
    "described",
    "exact",
];

/// Gives each file to `give`. Version numbers are below `next`.
///
/// # Errors
/// When something is odd, and SQLite should be asked for rows in the same transaction. What was given by then is in these too.
pub(super) fn each(transaction: &Transaction<'_>, next: i64, give: &mut Give<'_>) -> Result<(), Unread> {
    if !has_columns(transaction)? {
        return Err(Unread::Odd);
    }
    let mut walk = Walk::of(transaction)?;
    let mut level = vec![root(transaction)?];
    let mut below = Vec::new();
    while !level.is_empty() {
        // As they lie on the disk: what the kernel reads ahead is what is read next.
        level.sort_unstable();
        let mut after = u32::MAX;
        for number in level.drain(..) {
            if number.saturating_sub(after) <= NEAR {
                (after..number).for_each(|between| walk.pass(between));
            }
            after = number.saturating_add(1);
            walk.page(number, &mut below, &mut |record| {
                let (path, facts, sha256) = file(record, next)?;
                give(path, facts, sha256);
                Ok(())
            })?;
        }
        std::mem::swap(&mut level, &mut below);
    }
    Ok(())
}

/// So many pages of others between two of ours are read, too: the kernel reads ahead only for who leaves nothing out, and a read from
/// a disk takes longer than these from the kernel's memory.
const NEAR: u32 = 12;

fn has_columns(transaction: &Transaction<'_>) -> Result<bool, Unread> {
    let mut statement = transaction.prepare("SELECT name, pk, hidden FROM pragma_table_xinfo('file') ORDER BY cid")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let found: Vec<(String, u32, u32)> = rows.collect::<Result<_, _>>()?;
    let is_as_expected = |(at, (name, key, hidden)): (usize, &(String, u32, u32))| {
        Some(&name.as_str()) == COLUMNS.get(at) && *key == u32::from(at == 0) && *hidden == 0
    };
    Ok(found.len() == COLUMNS.len() && found.iter().enumerate().all(is_as_expected))
}

fn root(transaction: &Transaction<'_>) -> Result<u32, Unread> {
    Ok(transaction
        .query_row("SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = 'file'", [], |row| row.get(0))?)
}

/// What pages are read with.
struct Walk<'t> {
    layout: Layout,
    pages: Statement<'t>,
    overflow: Statement<'t>,
    /// So many pages there are besides those that were read. In a tree that leads back to itself they would run out.
    left: u32,
    /// A record that is longer than its page has room for.
    long: Vec<u8>,
}

impl<'t> Walk<'t> {
    fn of(transaction: &'t Transaction<'_>) -> Result<Self, Unread> {
        const SQL: &str = "SELECT data FROM sqlite_dbpage WHERE pgno = ?";
        let mut pages = transaction.prepare(SQL)?;
        let layout = read(&mut pages, 1, |first| Ok(Layout::of(first)?))?;
        let left = transaction.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        Ok(Self { layout, pages, overflow: transaction.prepare(SQL)?, left, long: Vec::new() })
    }

    /// Reads a page that is none of ours.
    fn pass(&mut self, number: u32) {
        drop(read(&mut self.pages, number, |_| Ok(())));
    }

    /// Gives each record of a page to `each`, and adds the page's children to `below`.
    fn page(
        &mut self,
        number: u32,
        below: &mut Vec<u32>,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Odd>,
    ) -> Result<(), Unread> {
        let Self { layout, pages, overflow, left, long } = self;
        *left = left.checked_sub(1).ok_or(Odd)?;
        read(pages, number, |bytes| {
            let page = Page::of(bytes, *layout)?;
            for cell in page.cells() {
                let Cell { before, local, rest } = cell?;
                below.extend(before);
                match rest {
                    None => each(local)?,
                    Some((missing, first)) => {
                        long.clear();
                        long.extend_from_slice(local);
                        complete(long, missing, first, |page, long| {
                            read(overflow, page, |bytes| {
                                let (next, part) = layout.overflow(bytes)?;
                                long.extend_from_slice(part);
                                Ok(next)
                            })
                        })?;
                        each(long)?;
                    }
                }
            }
            below.extend(page.last);
            if below.len() > *left as usize { Err(Unread::Odd) } else { Ok(()) }
        })
    }
}

/// Adds to a record what is missing, from the overflow pages that begin with `page`.
fn complete(
    record: &mut Vec<u8>,
    missing: usize,
    mut page: u32,
    mut add: impl FnMut(u32, &mut Vec<u8>) -> Result<u32, Unread>,
) -> Result<(), Unread> {
    let whole = record.len() + missing;
    while record.len() < whole {
        page = add(page, record)?;
    }
    record.truncate(whole);
    Ok(())
}

/// Reads a page.
fn read<T>(statement: &mut Statement<'_>, number: u32, with: impl FnOnce(&[u8]) -> Result<T, Unread>) -> Result<T, Unread> {
    let mut rows = statement.query([number])?;
    match rows.next()?.map(|row| row.get_ref(0)).transpose()? {
        Some(ValueRef::Blob(bytes)) => with(bytes),
        _ => Err(Unread::Odd),
    }
}

/// A file from its record.
fn file(record: &[u8], next: i64) -> Result<(&[u8], Facts, Option<Sha256>), Odd> {
    let mut record = Record::of(record)?;
    let Some(Value::Blob(path)) = record.take()? else { return Err(Odd) };
    let version = number(&mut record)?;
    let version = u32::try_from(version).ok().filter(|_| version < next).map(VersionNumber).ok_or(Odd)?;
    let fingerprint = Fingerprint {
        size: number(&mut record)?.cast_unsigned(),
        mtime_ns: number(&mut record)?,
        ctime_ns: number(&mut record)?,
        inode: number(&mut record)?.cast_unsigned(),
    };
    let sha256 = match record.take()? {
        Some(Value::Null) => None,
        Some(Value::Blob(bytes)) => Some(Sha256(bytes.try_into().map_err(|_| Odd)?)),
        _ => return Err(Odd),
    };
    let time_ns = time(&mut record, fingerprint.mtime_ns)?;
    let public_since_ns = time(&mut record, fingerprint.mtime_ns)?;
    let state = state(number(&mut record)?).ok_or(Odd)?;
    let [_recorded_ms, _described] = [record.take()?, record.take()?];
    let exact = match record.take()? {
        None => false,
        Some(Value::Integer(exact)) => exact != 0,
        Some(_) => return Err(Odd),
    };
    let facts = Facts { version, fingerprint, copies: Copies { time_ns, exact }, public_since_ns, state };
    Ok((path, facts, sha256))
}

fn number(record: &mut Record<'_>) -> Result<i64, Odd> {
    match record.take()? {
        Some(Value::Integer(number)) => Ok(number),
        _ => Err(Odd),
    }
}

/// A time that stands there only where it is another than the mtime.
fn time(record: &mut Record<'_>, mtime_ns: i64) -> Result<i64, Odd> {
    match record.take()? {
        Some(Value::Null) => Ok(mtime_ns),
        Some(Value::Integer(time)) => Ok(time),
        _ => Err(Odd),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rusqlite::{Connection, params};

    use super::super::{numbers::next_version, open};
    use super::*;
    use crate::inventory::snapshot::FileEntry;

    type Files = BTreeMap<Vec<u8>, FileEntry>;

    /// Values at the edges of all forms of numbers, paths of all lengths, and digests and times where they may be.
    fn fill(connection: &Connection, files: std::ops::Range<u32>) {
        connection.execute_batch("BEGIN").expect("begins");
        let mut insert = connection
            .prepare(
                "INSERT INTO file (path, version, size, mtime_ns, ctime_ns, inode, sha256, version_mtime_ns, public_since_ns, \
                 state, recorded_ms, exact) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .expect("is right");
        for number in files.clone() {
            let edge = 1_i64.checked_shl(number % 64).unwrap_or_default().wrapping_sub(i64::from(number % 3));
            let signed = if number.is_multiple_of(2) { edge } else { edge.wrapping_neg() };
            let length = if number.is_multiple_of(10) { number as usize % 5000 } else { number as usize % 90 };
            let path = [number.wrapping_mul(0x9e37_79b1).to_string().as_bytes(), &vec![b'x'; length]].concat();
            let digest = (!number.is_multiple_of(4)).then_some([number as u8; 32]);
            let time = |every: u32| number.is_multiple_of(every).then_some(signed);
            let row = params![
                path,
                number,
                edge,
                signed,
                signed,
                edge,
                digest,
                time(3),
                time(5),
                number % 3,
                signed,
                number.is_multiple_of(7)
            ];
            insert.execute(row).expect("is kept");
        }
        let next = "UPDATE fact SET value = ? WHERE name = 'next_version'";
        connection.execute(next, [files.end]).expect("is kept");
        connection.execute_batch("COMMIT").expect("is kept");
    }

    fn by_pages(transaction: &Transaction<'_>) -> Result<Files, Unread> {
        let (mut files, next) = (Files::new(), next_version(transaction).expect("is there"));
        each(transaction, next, &mut |path, facts, sha256| {
            let doubled = files.insert(path.to_vec(), facts.entry(sha256));
            assert!(doubled.is_none(), "once each");
        })?;
        Ok(files)
    }

    fn by_rows(transaction: &Transaction<'_>) -> Files {
        use super::super::files::{columns, fact_columns, path_bytes, sha256};
        let mut statement = transaction.prepare(concat!("SELECT ", columns!(), " FROM file")).expect("is right");
        let mut rows = statement.query([]).expect("is read");
        let mut files = Files::new();
        while let Some(row) = rows.next().expect("is read") {
            let entry = Facts::of(row).expect("is good").entry(sha256(row).expect("is good"));
            files.insert(path_bytes(row).expect("is one").to_vec(), entry);
        }
        files
    }

    #[test]
    fn pages_of_all_sizes_have_what_a_statement_finds() {
        for (page_bytes, count) in [(512, 0), (512, 1), (512, 3000), (1024, 3000), (4096, 20_000), (65_536, 20_000)] {
            let folder = tempfile::tempdir().expect("a folder for tests");
            let place = folder.path().join("test.sqlite");
            let new = Connection::open(&place).expect("opens");
            new.pragma_update(None, "page_size", page_bytes).expect("is set");
            new.execute_batch("VACUUM").expect("is made");
            drop(new);
            let (mut connection, _) = open::file(&place, open::Missing::Create).expect("opens");
            fill(&connection, 1..1 + count);
            let transaction = connection.transaction().expect("begins");
            let size: u32 = transaction.query_row("PRAGMA page_size", [], |row| row.get(0)).expect("is told");
            let files = by_pages(&transaction).expect("nothing is odd");
            assert_eq!((size, files.len()), (page_bytes, count as usize));
            assert!(files == by_rows(&transaction), "pages of {page_bytes}");
        }
    }

    #[test]
    fn pages_are_those_of_the_transaction_whatever_others_write() {
        let folder = tempfile::tempdir().expect("a folder for tests");
        let place = folder.path().join("test.sqlite");
        let (mut connection, _) = open::file(&place, open::Missing::Create).expect("opens");
        fill(&connection, 1..3000);
        let transaction = connection.transaction().expect("begins");
        let before = by_rows(&transaction);
        let (mut other, _) = open::file(&place, open::Missing::Refuse).expect("opens");
        other.execute("DELETE FROM file WHERE version % 2 = 0", []).expect("is written");
        fill(&other, 3000..6000);
        other.execute_batch("PRAGMA wal_checkpoint").expect("is done as far as it can be");
        assert!(by_pages(&transaction).expect("nothing is odd") == before);
        let after = other.transaction().expect("begins");
        let now = by_pages(&after).expect("nothing is odd");
        assert_eq!(now.len(), 1500 + 3000);
        assert!(now == by_rows(&after));
    }

    #[test]
    fn rows_from_before_a_column_was_added_have_its_default() {
        let mut connection = open::memory().expect("opens");
        connection.execute_batch("ALTER TABLE file DROP COLUMN exact").expect("is as it was");
        let old = "INSERT INTO file (path, version, size, mtime_ns, ctime_ns, inode, state, recorded_ms) VALUES (x'61', 1, 2, 3, 4, 5, 0, 6)";
        connection.execute(old, []).expect("is kept");
        connection
            .execute_batch("ALTER TABLE file ADD COLUMN exact INTEGER NOT NULL DEFAULT 0; UPDATE fact SET value = 2 WHERE name = 'next_version'")
            .expect("is added");
        let transaction = connection.transaction().expect("begins");
        assert_eq!(by_pages(&transaction).expect("nothing is odd"), by_rows(&transaction));
        assert_eq!(by_rows(&transaction).len(), 1);
    }

    #[test]
    fn what_is_no_file_of_ours_is_odd() {
        for damage in [
            "UPDATE file SET version = 9000 WHERE version = 7",
            "UPDATE file SET version = -1 WHERE version = 7",
            "UPDATE file SET size = 0.5 WHERE version = 7",
            "UPDATE file SET mtime_ns = 'soon' WHERE version = 7",
            "UPDATE file SET public_since_ns = x'00' WHERE version = 7",
            "UPDATE file SET sha256 = x'00' WHERE version = 7",
            "UPDATE file SET state = 3 WHERE version = 7",
            "UPDATE file SET path = 'text' WHERE version = 7",
            "ALTER TABLE file ADD COLUMN extra INTEGER",
            "ALTER TABLE file DROP COLUMN exact",
            "DROP TABLE file; CREATE TABLE file (version INTEGER, path BLOB PRIMARY KEY) WITHOUT ROWID",
            "DROP TABLE file",
        ] {
            let mut connection = open::memory().expect("opens");
            fill(&connection, 1..3000);
            connection.execute_batch(damage).expect("is done");
            let transaction = connection.transaction().expect("begins");
            let refused = by_pages(&transaction).map(|files| files.len());
            assert!(refused.is_err(), "{damage}");
        }
    }

    #[test]
    fn a_tree_that_leads_back_to_itself_ends() {
        let folder = tempfile::tempdir().expect("a folder for tests");
        let place = folder.path().join("test.sqlite");
        let (connection, _) = open::file(&place, open::Missing::Create).expect("opens");
        fill(&connection, 1..3000);
        let number = |sql| connection.query_row(sql, [], |row| row.get::<_, u32>(0)).expect("is told");
        let root = number("SELECT rootpage FROM sqlite_schema WHERE name = 'file'");
        let page_bytes = number("PRAGMA page_size");
        connection.close().expect("its log is written back");
        let mut bytes = std::fs::read(&place).expect("is read");
        let at = (root as usize - 1) * page_bytes as usize;
        assert_eq!(bytes[at], 2, "the root has children");
        bytes[at + 8..at + 12].copy_from_slice(&root.to_be_bytes());
        crate::durable::write(&place, &bytes).expect("is written");
        let (mut connection, _) = open::file(&place, open::Missing::Refuse).expect("opens");
        let transaction = connection.transaction().expect("begins");
        let next = next_version(&transaction).expect("is there");
        let read = each(&transaction, next, &mut |_, _, _| {});
        assert!(matches!(read, Err(Unread::Odd)), "{read:?}");
    }
}
