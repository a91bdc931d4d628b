//! The files: rows to records and back, observations, digests, and what is gone.

use jiff::Timestamp;
use roaring::RoaringBitmap;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::changes::Change;
use super::descriptions;
use super::fault::Fault;
use super::numbers::Numbers;
use super::pages::visit;
use super::trails::Trails;
use crate::inventory::record::{Hashed, Observation, Recorded, Seen};
use crate::inventory::snapshot::FileEntry;
use crate::inventory::store::{Leap, Page, Redated, Swept};
use crate::inventory::trail::Copies;
use crate::inventory::versioning::{DigestVerdict, Verdict, judge, judge_digest, nanoseconds};
use crate::model::{FileRecord, FileState, Fingerprint, Sha256, TreePath, VersionNumber};

/// The columns of a record, in the order of [`record`].
macro_rules! columns {
    () => {
        concat!(fact_columns!(), ", sha256")
    };
}

/// The columns of a path and its [`Facts`].
macro_rules! fact_columns {
    () => {
        "path, version, size, mtime_ns, ctime_ns, inode, version_mtime_ns, public_since_ns, state, exact"
    };
}
pub(super) use columns;
pub(super) use fact_columns;

/// Which files need a digest, word for word as their index has it.
macro_rules! unhashed {
    () => {
        "(state = 1 OR (state = 0 AND sha256 IS NULL))"
    };
}
pub(super) use unhashed;

/// Which files have a digest and are to be described, word for word as their index has it.
macro_rules! undescribed {
    () => {
        "(state = 0 AND described = 0 AND sha256 IS NOT NULL)"
    };
}
pub(super) use undescribed;

/// A row, but for its path and digest.
pub(super) struct Facts {
    pub(super) version: VersionNumber,
    pub(super) fingerprint: Fingerprint,
    pub(super) copies: Copies,
    pub(super) public_since_ns: i64,
    pub(super) state: FileState,
}

impl Facts {
    pub(super) fn of(row: &Row<'_>) -> Result<Self, Fault> {
        let fingerprint = Fingerprint {
            size: row.get::<_, i64>(2)?.cast_unsigned(),
            mtime_ns: row.get(3)?,
            ctime_ns: row.get(4)?,
            inode: row.get::<_, i64>(5)?.cast_unsigned(),
        };
        Ok(Self {
            version: VersionNumber(row.get(1)?),
            fingerprint,
            copies: Copies {
                time_ns: row.get::<_, Option<i64>>(6)?.unwrap_or(fingerprint.mtime_ns),
                exact: row.get::<_, i64>(9)? != 0,
            },
            public_since_ns: row.get::<_, Option<i64>>(7)?.unwrap_or(fingerprint.mtime_ns),
            state: {
                let number = row.get(8)?;
                state(number).ok_or_else(|| Fault::Damaged(format!("the state {number} of a file")))?
            },
        })
    }

    pub(super) fn entry(&self, sha256: Option<Sha256>) -> FileEntry {
        FileEntry::new(self.version, &self.fingerprint, self.copies, self.public_since_ns, self.state, sha256)
    }
}

pub(super) const fn state(number: i64) -> Option<FileState> {
    match number {
        0 => Some(FileState::Settled),
        1 => Some(FileState::Unconfirmed),
        2 => Some(FileState::Changing),
        _ => None,
    }
}

/// The bytes of a row's path.
pub(super) fn path_bytes<'r>(row: &'r Row<'_>) -> Result<&'r [u8], Fault> {
    row.get_ref(0)?.as_blob().map_err(|_| Fault::Damaged("a path that is no blob".to_owned()))
}

pub(super) fn path<'r>(row: &'r Row<'_>) -> Result<TreePath<'r>, Fault> {
    TreePath::parse(path_bytes(row)?).map_err(|error| Fault::Damaged(format!("a path that is none: {error}")))
}

/// The digest of a row.
pub(super) fn sha256(row: &Row<'_>) -> Result<Option<Sha256>, Fault> {
    Ok(row.get::<_, Option<[u8; 32]>>(10)?.map(Sha256))
}

pub(super) fn record(row: &Row<'_>) -> Result<FileRecord, Fault> {
    let facts = Facts::of(row)?;
    let sha256 = sha256(row)?;
    let since = Timestamp::from_nanosecond(i128::from(facts.public_since_ns));
    Ok(FileRecord {
        path: path(row)?.into_owned(),
        version: facts.version,
        fingerprint: facts.fingerprint,
        sha256,
        version_mtime_ns: facts.copies.time_ns,
        exact_time: facts.copies.exact,
        public_since: since.map_err(|error| Fault::Damaged(format!("a time that is none: {error}")))?,
        state: facts.state,
    })
}

/// What is known of a path.
pub(super) fn one(transaction: &Transaction<'_>, path: &TreePath<'_>) -> Result<Option<FileRecord>, Fault> {
    let mut statement = transaction.prepare_cached(concat!("SELECT ", columns!(), " FROM file WHERE path = ?"))?;
    let mut rows = statement.query([path.as_bytes()])?;
    rows.next()?.map(record).transpose()
}

fn put(transaction: &Transaction<'_>, record: &FileRecord, recorded: Timestamp) -> Result<(), Fault> {
    let Fingerprint { size, mtime_ns, ctime_ns, inode } = record.fingerprint;
    let unless_mtime = |value: i64| (value != mtime_ns).then_some(value);
    let state = match record.state {
        FileState::Settled => 0,
        FileState::Unconfirmed => 1,
        FileState::Changing => 2,
    };
    transaction
        .prepare_cached(concat!(
            "INSERT INTO file (",
            columns!(),
            ", recorded_ms) VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (path) DO UPDATE SET \
             described = iif(version = excluded.version, described, 0), version = excluded.version, size = excluded.size, \
             mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns, inode = excluded.inode, \
             version_mtime_ns = excluded.version_mtime_ns, public_since_ns = excluded.public_since_ns, \
             state = excluded.state, exact = excluded.exact, sha256 = excluded.sha256, recorded_ms = excluded.recorded_ms",
        ))?
        .execute(params![
            record.path.as_bytes(),
            record.version.0,
            size.cast_signed(),
            mtime_ns,
            ctime_ns,
            inode.cast_signed(),
            unless_mtime(record.version_mtime_ns),
            unless_mtime(nanoseconds(record.public_since)),
            state,
            i64::from(record.exact_time),
            record.sha256.map(|Sha256(bytes)| bytes),
            recorded.as_millisecond(),
        ])?;
    Ok(())
}

type Changed<T> = (T, Option<Change>);

fn changed(paths: Vec<TreePath<'static>>) -> Option<Change> {
    (!paths.is_empty()).then_some(Change::Files(paths))
}

pub(super) fn observe(transaction: &Transaction<'_>, batch: &[Observation]) -> Result<Changed<Vec<FileRecord>>, Fault> {
    let mut numbers = Numbers::read(transaction)?;
    let mut trails = Trails::new(transaction)?;
    let mut records = Vec::with_capacity(batch.len());
    let mut touched = Vec::new();
    for seen in batch {
        let existing = one(transaction, &seen.path)?;
        let verdict = judged(&mut trails, existing.as_ref(), seen)?;
        let before = existing.as_ref().map(|known| known.version);
        let record = verdict.record(existing, seen, || numbers.take())?;
        if let Some(before) = before.filter(|before| *before != record.version) {
            descriptions::drop_version(transaction, before)?;
        }
        if verdict != Verdict::Unchanged {
            put(transaction, &record, seen.at)?;
            touched.push(seen.path.clone());
        }
        records.push(record);
    }
    numbers.keep(transaction)?;
    Ok((records, changed(touched)))
}

/// Judges an observation, and keeps what is to be remembered of the content before.
fn judged(trails: &mut Trails<'_>, known: Option<&FileRecord>, seen: &Observation) -> Result<Verdict, Fault> {
    let (path, size) = (&seen.path, seen.fingerprint.size);
    if known.is_some_and(|known| known.fingerprint == seen.fingerprint) || seen.kind == Seen::Changing {
        return Ok(judge(known, None, seen).0);
    }
    let trail = trails.of(path, size)?;
    let (verdict, after) = judge(known, trail, seen);
    if after != trail {
        trails.put(path, size, after)?;
    }
    if let Some(known) = known.filter(|known| known.fingerprint.size != size) {
        trails.leave(known)?;
    }
    Ok(verdict)
}

/// Keeps digests and, where there are some, the whole descriptions that they belong to.
pub(super) fn record_hashed(
    transaction: &Transaction<'_>,
    batch: &[Hashed],
    now: Timestamp,
) -> Result<Changed<Vec<Recorded>>, Fault> {
    let mut touched = Vec::new();
    let mut trails = Trails::new(transaction)?;
    let mut all = Vec::with_capacity(batch.len());
    for hashed in batch {
        let (recorded, is_new) = record_one(transaction, &mut trails, hashed, now)?;
        touched.extend(is_new.then(|| hashed.path.clone()));
        all.push(recorded);
    }
    Ok((all, changed(touched)))
}

/// Also tells whether others should read it again.
fn record_one(
    transaction: &Transaction<'_>,
    trails: &mut Trails<'_>,
    hashed: &Hashed,
    now: Timestamp,
) -> Result<(Recorded, bool), Fault> {
    let Hashed { path, fingerprint, sha256, description } = hashed;
    let Some(known) = one(transaction, path)? else { return Ok((Recorded::Outdated, false)) };
    let trail = trails.of(path, fingerprint.size)?;
    let (verdict, after) = judge_digest(&known, trail, fingerprint, sha256, now);
    let confirmed = |copies: Copies| FileRecord {
        sha256: Some(*sha256),
        state: FileState::Settled,
        version_mtime_ns: copies.time_ns,
        exact_time: copies.exact,
        ..known.clone()
    };
    let record = match verdict {
        DigestVerdict::Outdated => return Ok((Recorded::Outdated, false)),
        DigestVerdict::Damaged => {
            descriptions::note_damage(transaction, known.version, *sha256, now)?;
            return Ok((Recorded::Damaged(known), false));
        }
        DigestVerdict::Unchanged => known.clone(),
        DigestVerdict::Confirmed { copies } => confirmed(copies),
        DigestVerdict::New { public_since, copies } => {
            descriptions::drop_version(transaction, known.version)?;
            let mut numbers = Numbers::read(transaction)?;
            let version = numbers.take()?;
            numbers.keep(transaction)?;
            FileRecord { version, public_since, ..confirmed(copies) }
        }
    };
    if after != trail {
        trails.put(path, fingerprint.size, after)?;
    }
    if verdict != DigestVerdict::Unchanged {
        put(transaction, &record, now)?;
    }
    descriptions::clear_damage(transaction, record.version)?;
    // The digest stands with the file only: a description of something else says nothing.
    let description = description.as_ref().filter(|(digests, _)| digests.sha256 == *sha256);
    if let Some((digests, plan)) = description {
        descriptions::put(transaction, record.version, digests)?;
        transaction
            .prepare_cached("UPDATE file SET described = ? WHERE path = ?")?
            .execute(params![plan.0, path.as_bytes()])?;
    }
    // Another process may have an older description in memory.
    let is_new = verdict != DigestVerdict::Unchanged || description.is_some();
    Ok((Recorded::Kept(record), is_new))
}

pub(super) fn forget(
    transaction: &Transaction<'_>,
    paths: &[TreePath<'static>],
) -> Result<Changed<Vec<TreePath<'static>>>, Fault> {
    let mut delete = transaction.prepare_cached("DELETE FROM file WHERE path = ?")?;
    let mut forgotten = Vec::new();
    for path in paths {
        if let Some(known) = one(transaction, path)? {
            delete.execute([path.as_bytes()])?;
            descriptions::drop_version(transaction, known.version)?;
            forgotten.push(known);
        }
    }
    // Only now: in a database that is full there is room again.
    let mut trails = Trails::new(transaction)?;
    forgotten.iter().try_for_each(|known| trails.leave(known))?;
    let paths: Vec<_> = forgotten.into_iter().map(|known| known.path).collect();
    Ok((paths.clone(), changed(paths)))
}

pub(super) fn sweep(
    transaction: &Transaction<'_>,
    page: &Page,
    seen: &RoaringBitmap,
    began: Timestamp,
) -> Result<Changed<Swept>, Fault> {
    let (mut last, mut newest) = (None, i64::MIN);
    let mut gone = Vec::new();
    visit(transaction, "path, version, recorded_ms", "", page, &mut |row| {
        let path = path(row)?.into_owned();
        let recorded = row.get(2)?;
        newest = newest.max(recorded);
        if !seen.contains(row.get(1)?) && recorded < began.as_millisecond() {
            gone.push(path.clone());
        }
        last = Some(path);
        Ok(())
    })?;
    let (forgotten, change) = forget(transaction, &gone)?;
    let newest = last.is_some().then(|| Timestamp::from_millisecond(newest).ok()).flatten();
    Ok((Swept { forgotten, last, newest }, change))
}

pub(super) fn redate(transaction: &Transaction<'_>, page: &Page, leap: &Leap) -> Result<Changed<Redated>, Fault> {
    let mut redated = Redated::default();
    visit(transaction, columns!(), "", page, &mut |row| {
        let since = Timestamp::from_nanosecond(i128::from(Facts::of(row)?.public_since_ns)).unwrap_or(Timestamp::MIN);
        if let Some(moved) = leap.moved(since) {
            redated.records.push(FileRecord { public_since: moved, ..record(row)? });
        }
        redated.last = Some(path(row)?.into_owned());
        Ok(())
    })?;
    // Only now: what is read does not change meanwhile.
    redated.records.iter().try_for_each(|record| put(transaction, record, leap.now))?;
    let paths = redated.records.iter().map(|record| record.path.clone()).collect();
    Ok((redated, changed(paths)))
}

pub(super) fn is_indexed(transaction: &Transaction<'_>) -> Result<bool, Fault> {
    let value: Option<i64> =
        transaction.query_row("SELECT value FROM fact WHERE name = 'indexed'", [], |row| row.get(0)).optional()?;
    Ok(value == Some(1))
}

pub(super) fn set_indexed(transaction: &Transaction<'_>) -> Result<(), Fault> {
    transaction.execute("UPDATE fact SET value = 1 WHERE name = 'indexed' AND value <> 1", [])?;
    Ok(())
}
