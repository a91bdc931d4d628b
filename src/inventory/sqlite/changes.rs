//! The log of changes: what tells one process what another one committed.

use rusqlite::{OptionalExtension, Transaction};

use super::fault::Fault;
use super::{files, holds, mirrors, numbers};
use crate::inventory::store::{Bookmark, Changes, Lag, Sequence, Update};
use crate::model::{MirrorName, TreePath};

/// What a transaction changed.
#[derive(Debug)]
pub(super) enum Change {
    Files(Vec<TreePath<'static>>),
    Mirror(MirrorName),
    Holds,
}

/// The largest list of paths that is written down, in bytes; beyond it a reader loads everything, which is quicker then.
const MAX_SUBJECT_BYTES: usize = 1 << 20;
/// How much of the log is kept, in bytes. A reader that is farther behind loads everything.
const MAX_LOG_BYTES: i64 = 16 << 20;
/// What a row counts for besides its subject, in bytes.
const ROW_BYTES: usize = 32;

/// Writes down a change, and returns its number.
pub(super) fn note(transaction: &Transaction<'_>, change: &Change) -> Result<i64, Fault> {
    let (kind, subject) = match change {
        Change::Files(paths) => ("files", joined(paths)),
        Change::Mirror(name) => ("mirror", Some(name.as_str().as_bytes().to_vec())),
        Change::Holds => ("holds", None),
    };
    let bytes = i64::try_from(ROW_BYTES + subject.as_ref().map_or(0, Vec::len)).unwrap_or(i64::MAX);
    let (number, total): (i64, i64) = transaction
        .prepare_cached("SELECT number, total FROM change ORDER BY number DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let damaged = || Fault::Damaged("a number in the log of changes that nothing can follow".to_owned());
    let number = number.checked_add(1).ok_or_else(damaged)?;
    let total = total.checked_add(bytes).ok_or_else(damaged)?;
    transaction
        .prepare_cached("INSERT INTO change (number, kind, subject, total, mark) VALUES (?, ?, ?, ?, random())")?
        .execute((number, kind, subject, total))?;
    trim(transaction, number, total - MAX_LOG_BYTES)?;
    Ok(number)
}

/// Takes away what lies wholly before `total`, but for the newest row.
fn trim(transaction: &Transaction<'_>, newest: i64, total: i64) -> Result<(), Fault> {
    let first: Option<i64> = transaction
        .prepare_cached("SELECT total FROM change ORDER BY number LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    if first.is_some_and(|first| first < total) {
        transaction
            .prepare_cached(
                "DELETE FROM change WHERE number < min(?1, (SELECT number FROM change WHERE total >= ?2 ORDER BY number LIMIT 1))",
            )?
            .execute((newest, total))?;
    }
    Ok(())
}

/// Paths have no control characters, so NUL can't be part of one.
fn joined(paths: &[TreePath<'static>]) -> Option<Vec<u8>> {
    let bytes: usize = paths.iter().map(|path| path.as_bytes().len() + 1).sum();
    (bytes <= MAX_SUBJECT_BYTES).then(|| paths.iter().map(TreePath::as_bytes).collect::<Vec<_>>().join(&0))
}

/// The number of the last commit.
pub(super) fn latest(transaction: &Transaction<'_>) -> Result<i64, Fault> {
    let latest = transaction.prepare_cached("SELECT max(number) FROM change")?.query_row([], |row| row.get(0))?;
    Ok(latest)
}

/// What a commit is known by.
pub(super) fn bookmark(transaction: &Transaction<'_>, number: i64) -> Result<Option<Bookmark>, Fault> {
    let mark = transaction
        .prepare_cached("SELECT mark FROM change WHERE number = ?")?
        .query_row([number], |row| row.get(0))
        .optional()?;
    Ok(mark.map(|mark| Bookmark { number, mark }))
}

/// How far a commit lies behind; none where it is not this database's, or what followed is not told.
pub(super) fn since(transaction: &Transaction<'_>, wanted: Bookmark, opened: u32) -> Result<Option<Lag>, Fault> {
    if bookmark(transaction, wanted.number)? != Some(wanted) {
        return Ok(None);
    }
    let (bytes, is_untold): (i64, bool) = transaction
        .prepare_cached(
            "SELECT max(total) - (SELECT total FROM change WHERE number = ?1), \
             total(number > ?1 AND kind = 'files' AND subject IS NULL) > 0 FROM change WHERE number >= ?1",
        )?
        .query_row([wanted.number], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let sequence = Sequence { opened, number: wanted.number };
    let lag = Lag { sequence, bytes: bytes.unsigned_abs(), next_version: numbers::next_version(transaction)? };
    Ok((!is_untold).then_some(lag))
}

/// What was committed after a sequence, as `read` reads it.
pub(super) fn after(
    transaction: &Transaction<'_>,
    after: Sequence,
    opened: u32,
    read: impl FnOnce(Touched, &Transaction<'_>, Sequence) -> Result<Update, Fault>,
) -> Result<Changes, Fault> {
    let latest = latest(transaction)?;
    if after.opened != opened || latest < after.number {
        return Ok(Changes::Lost);
    }
    if latest == after.number {
        return Ok(Changes::Nothing);
    }
    let mut statement =
        transaction.prepare_cached("SELECT number, kind, subject FROM change WHERE number > ? ORDER BY number")?;
    let mut rows = statement.query([after.number])?;
    let mut touched = Touched::default();
    let mut expected = after.number;
    while let Some(row) = rows.next()? {
        expected += 1;
        let kind: String = row.get(1)?;
        let subject: Option<Vec<u8>> = row.get(2)?;
        if row.get::<_, i64>(0)? != expected || !touched.add(&kind, subject) {
            return Ok(Changes::Lost);
        }
    }
    let update = read(touched, transaction, Sequence { opened, number: latest })?;
    Ok(Changes::These(Box::new(update)))
}

/// What rows of the log speak of.
#[derive(Default)]
pub(super) struct Touched {
    files: Vec<TreePath<'static>>,
    mirrors: Vec<MirrorName>,
    holds: bool,
}

impl Touched {
    /// Adds a row; false when it can't be followed.
    fn add(&mut self, kind: &str, subject: Option<Vec<u8>>) -> bool {
        match (kind, subject) {
            ("holds", _) => self.holds = true,
            ("mirror", Some(name)) => match std::str::from_utf8(&name).ok().and_then(|name| MirrorName::parse(name).ok()) {
                Some(name) => self.mirrors.push(name),
                None => return false,
            },
            ("files", Some(paths)) => {
                for path in paths.split(|&byte| byte == 0) {
                    let Ok(path) = TreePath::parse(path.to_vec()) else { return false };
                    self.files.push(path);
                }
            }
            _ => return false,
        }
        true
    }

    /// Reads what they speak of, as it is now.
    pub(super) fn read(mut self, transaction: &Transaction<'_>, sequence: Sequence) -> Result<Update, Fault> {
        let (mut names, holds) = (std::mem::take(&mut self.mirrors), self.holds);
        names.sort_unstable();
        names.dedup();
        let mut update = self.read_files(transaction, sequence)?;
        for name in &names {
            update.mirrors.extend(mirrors::one(transaction, name)?);
        }
        if holds {
            update.holds = Some(holds::all(transaction)?);
        }
        Ok(update)
    }

    /// Reads the files that they speak of.
    pub(super) fn read_files(mut self, transaction: &Transaction<'_>, sequence: Sequence) -> Result<Update, Fault> {
        self.files.sort_unstable();
        self.files.dedup();
        let mut update = Update { sequence, ..Update::default() };
        for path in self.files {
            let record = files::one(transaction, &path)?;
            update.files.push((path, record));
        }
        Ok(update)
    }
}
