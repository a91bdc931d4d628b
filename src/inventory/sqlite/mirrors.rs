//! What is known of mirrors: holdings, health, and the history of both.

use jiff::Timestamp;
use roaring::RoaringBitmap;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::abilities;
use super::changes::Change;
use super::fault::Fault;
use super::listed;
use super::numbers::next_version;
use super::wrong;
use crate::inventory::Holdings;
use crate::inventory::record::{Adjustment, Counts, HealthChange, Protocol, ScanRecord, ScanSummary, carried_over};
use crate::inventory::share::{Gaps, Share};
use crate::inventory::store::{MAX_HEALTH_CHANGES, MAX_REASON_BYTES, MAX_SCANS, StoredMirror, Tried, shares_a_base};
use crate::model::{Health, MirrorName};

/// What [`stored`] reads.
const ROWS: &str = "SELECT name, holdings, mirror.bases, health, ability.bases, ranges, largest, certificate, ipv4, ipv6 \
                    FROM mirror LEFT JOIN ability ON ability.mirror = mirror.id";

/// All mirrors of which something is known.
pub(super) fn all(transaction: &Transaction<'_>) -> Result<Vec<StoredMirror>, Fault> {
    let next = next_version(transaction)?;
    let mut statement = transaction.prepare_cached(&format!("{ROWS} ORDER BY mirror.id"))?;
    let mut rows = statement.query([])?;
    let mut mirrors = Vec::new();
    while let Some(row) = rows.next()? {
        mirrors.push(stored(row, next)?);
    }
    Ok(mirrors)
}

/// What is known of a mirror, if something is.
pub(super) fn one(transaction: &Transaction<'_>, name: &MirrorName) -> Result<Option<StoredMirror>, Fault> {
    let next = next_version(transaction)?;
    let mut statement = transaction.prepare_cached(&format!("{ROWS} WHERE name = ?"))?;
    let mut rows = statement.query([name.as_str()])?;
    rows.next()?.map(|row| stored(row, next)).transpose()
}

fn stored(row: &Row<'_>, next: i64) -> Result<StoredMirror, Fault> {
    let name: String = row.get(0)?;
    let bytes = row.get_ref(1)?.as_blob().map_err(|_| Fault::Damaged(format!("holdings of {name:?} that are no blob")))?;
    Ok(StoredMirror {
        holdings: holdings(bytes, next)
            .as_ref()
            .map(Holdings::from)
            .map_err(|error| Fault::Damaged(format!("holdings of {name:?}: {error}")))?,
        name: MirrorName::parse(&name).map_err(|error| Fault::Damaged(error.to_string()))?,
        bases: row.get(2)?,
        health: health(row.get_ref(3)?.as_str().unwrap_or_default())?,
        tried: match row.get(4)? {
            Some(bases) => Some(Tried { bases, abilities: abilities::of(row, 5)? }),
            None => None,
        },
    })
}

fn holdings(bytes: &[u8], next: i64) -> std::io::Result<RoaringBitmap> {
    if bytes.is_empty() {
        return Ok(RoaringBitmap::new());
    }
    let mut holdings = RoaringBitmap::deserialize_from(bytes)?;
    given_out_only(&mut holdings, next);
    Ok(holdings)
}

/// A number that was not given out yet can be no holding: it will be some other content's.
fn given_out_only(holdings: &mut RoaringBitmap, next: i64) {
    if let Ok(next) = u32::try_from(next) {
        holdings.remove_range(next..);
    }
}

fn health(word: &str) -> Result<Health, Fault> {
    [Health::Unknown, Health::Up, Health::Failing, Health::Down]
        .into_iter()
        .find(|health| health.as_str() == word)
        .ok_or_else(|| Fault::Damaged(format!("the health {word:?} of a mirror")))
}

/// The row of a mirror, made where there is none.
pub(super) fn id(transaction: &Transaction<'_>, name: &MirrorName) -> Result<i64, Fault> {
    let known = find(transaction, name)?;
    if let Some(id) = known {
        return Ok(id);
    }
    transaction.prepare_cached("INSERT INTO mirror (name) VALUES (?)")?.execute([name.as_str()])?;
    Ok(transaction.last_insert_rowid())
}

fn find(transaction: &Transaction<'_>, name: &MirrorName) -> Result<Option<i64>, Fault> {
    let mut statement = transaction.prepare_cached("SELECT id FROM mirror WHERE name = ?")?;
    Ok(statement.query_row([name.as_str()], |row| row.get(0)).optional()?)
}

pub(super) fn record_scan(
    transaction: &Transaction<'_>,
    record: &ScanRecord,
    bases: &str,
) -> Result<(Option<RoaringBitmap>, Option<Change>), Fault> {
    let id = id(transaction, &record.mirror)?;
    let counts = record.outcome.as_ref().ok().copied().unwrap_or_default();
    let failure = record.outcome.as_ref().err().map(|reason| cut(reason));
    transaction
        .prepare_cached(
            "INSERT INTO scan (mirror, began_ms, ended_ms, protocol, complete, failure, found, gone, mismatched, doubtful, bytes, \
             entries, files, held, file_bytes, held_bytes, notes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            id,
            record.began.as_millisecond(),
            record.ended.as_millisecond(),
            record.protocol.as_str(),
            record.complete,
            failure,
            counts.found.cast_signed(),
            counts.gone.cast_signed(),
            counts.mismatched.cast_signed(),
            counts.doubtful.cast_signed(),
            counts.bytes.cast_signed(),
            counts.entries.cast_signed(),
            record.share.map(|share| share.files.cast_signed()),
            record.share.map(|share| share.held.cast_signed()),
            record.share.map(|share| share.bytes.cast_signed()),
            record.share.map(|share| share.held_bytes.cast_signed()),
            cut(&record.notes),
        ])?;
    if let Some(gaps) = &record.gaps {
        let text = serde_json::to_string(&(gaps.mark, gaps))
            .map_err(|error| Fault::Damaged(format!("gaps that can't be written: {error}")))?;
        transaction.prepare_cached("UPDATE mirror SET gaps = ? WHERE id = ?")?.execute(params![text, id])?;
    }
    trim(transaction, "scan", id, MAX_SCANS)?;
    if let Some(listed) = &record.listed {
        listed::keep(transaction, id, listed, record.ended)?;
    }
    let Some(found) = &record.holdings else { return Ok((None, None)) };
    let holdings = match &record.before {
        None => found.clone(),
        Some(before) => carried_over(before, found, standing(transaction, &record.mirror, bases)?),
    };
    keep_holdings(transaction, &record.mirror, id, holdings, bases)
}

pub(super) fn adjust_holdings(
    transaction: &Transaction<'_>,
    adjustment: &Adjustment,
    bases: &str,
) -> Result<(Option<RoaringBitmap>, Option<Change>), Fault> {
    let before = standing(transaction, &adjustment.mirror, bases)?;
    let mut after = (&before | &adjustment.gained) - &adjustment.lost;
    if !adjustment.wrong.is_empty() || !adjustment.right.is_empty() {
        wrong::keep(transaction, id(transaction, &adjustment.mirror)?, adjustment)?;
        after -= adjustment.wrong.iter().map(|(_, version)| version.0).collect::<RoaringBitmap>();
    }
    if after == before {
        return Ok((None, None));
    }
    // Where more was seen, a few questions say nothing new about the URLs.
    let known = one(transaction, &adjustment.mirror)?.filter(|_| !before.is_empty());
    let bases = known.map_or_else(|| bases.to_owned(), |known| known.bases);
    let id = id(transaction, &adjustment.mirror)?;
    keep_holdings(transaction, &adjustment.mirror, id, after, &bases)
}

/// What a mirror is known to hold, as far as it was seen at one of these URLs.
fn standing(transaction: &Transaction<'_>, name: &MirrorName, bases: &str) -> Result<RoaringBitmap, Fault> {
    let known = one(transaction, name)?.filter(|known| shares_a_base(&known.bases, bases));
    Ok(known.map(|known| known.holdings.to_bitmap()).unwrap_or_default())
}

/// Writes holdings if they, or the URLs where they were seen, are not those that stand there.
fn keep_holdings(
    transaction: &Transaction<'_>,
    name: &MirrorName,
    id: i64,
    mut holdings: RoaringBitmap,
    bases: &str,
) -> Result<(Option<RoaringBitmap>, Option<Change>), Fault> {
    given_out_only(&mut holdings, next_version(transaction)?);
    let known = one(transaction, name)?;
    if known.as_ref().is_some_and(|known| !shares_a_base(&known.bases, bases)) {
        wrong::forget(transaction, id)?;
    }
    holdings -= wrong::numbers(transaction, id)?;
    holdings.optimize();
    if known.is_some_and(|known| known.holdings.to_bitmap() == holdings && known.bases == bases) {
        return Ok((None, None));
    }
    let mut bytes = Vec::with_capacity(holdings.serialized_size());
    holdings.serialize_into(&mut bytes).map_err(|error| Fault::Damaged(format!("holdings that can't be written: {error}")))?;
    transaction.prepare_cached("UPDATE mirror SET holdings = ?, bases = ? WHERE id = ?")?.execute(params![bytes, bases, id])?;
    Ok((Some(holdings), Some(Change::Mirror(name.clone()))))
}

/// Takes away all but the newest `keep` lines of a mirror's history.
fn trim(transaction: &Transaction<'_>, table: &'static str, mirror: i64, keep: usize) -> Result<(), Fault> {
    transaction
        .prepare_cached(&format!(
            "DELETE FROM {table} WHERE mirror = ?1 AND id <= (SELECT id FROM {table} WHERE mirror = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)"
        ))?
        .execute(params![mirror, i64::try_from(keep).unwrap_or(i64::MAX)])?;
    Ok(())
}

/// The beginning of a reason.
pub(super) fn cut(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

pub(super) fn scans(transaction: &Transaction<'_>, name: &MirrorName, limit: usize) -> Result<Vec<ScanSummary>, Fault> {
    let mut statement = transaction.prepare_cached(
        "SELECT began_ms, ended_ms, protocol, complete, failure, found, gone, mismatched, doubtful, bytes, entries, \
         files, held, file_bytes, held_bytes, notes \
         FROM scan WHERE mirror = (SELECT id FROM mirror WHERE name = ?) ORDER BY id DESC LIMIT ?",
    )?;
    let mut rows = statement.query(params![name.as_str(), i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut scans = Vec::new();
    while let Some(row) = rows.next()? {
        scans.push(summary(row)?);
    }
    Ok(scans)
}

fn summary(row: &Row<'_>) -> Result<ScanSummary, Fault> {
    let count = |column: usize| row.get::<_, i64>(column).map(i64::cast_unsigned);
    let counts = Counts {
        found: count(5)?,
        gone: count(6)?,
        mismatched: count(7)?,
        doubtful: count(8)?,
        bytes: count(9)?,
        entries: count(10)?,
    };
    let word: String = row.get(2)?;
    let protocol = Protocol::ALL
        .into_iter()
        .find(|protocol| protocol.as_str() == word)
        .ok_or_else(|| Fault::Damaged(format!("the protocol {word:?} of a scan")))?;
    Ok(ScanSummary {
        began: time(row.get(0)?)?,
        ended: time(row.get(1)?)?,
        protocol,
        outcome: row.get::<_, Option<String>>(4)?.map_or(Ok(counts), Err),
        complete: row.get(3)?,
        share: share(row)?,
        notes: row.get("notes")?,
    })
}

fn share(row: &Row<'_>) -> Result<Option<Share>, Fault> {
    let count = |column: usize| row.get::<_, Option<i64>>(column).map(|count| count.map(i64::cast_unsigned));
    let (files, held, bytes, held_bytes) = (count(11)?, count(12)?, count(13)?, count(14)?);
    let whole = files.zip(held).zip(bytes.zip(held_bytes));
    Ok(whole.map(|((files, held), (bytes, held_bytes))| Share { files, held, bytes, held_bytes }))
}

/// What a mirror lacks. Text that can't be read was written by another program, and is worth nothing.
pub(super) fn gaps(transaction: &Transaction<'_>, name: &MirrorName) -> Result<Option<Gaps>, Fault> {
    let mut statement = transaction.prepare_cached("SELECT gaps FROM mirror WHERE name = ?")?;
    let text: Option<Option<String>> = statement.query_row([name.as_str()], |row| row.get(0)).optional()?;
    let read: Option<(u64, Gaps)> = text.flatten().and_then(|text| serde_json::from_str(&text).ok());
    Ok(read.map(|(mark, gaps)| Gaps { mark, ..gaps }))
}

/// A time of which milliseconds are kept.
pub(super) fn time(milliseconds: i64) -> Result<Timestamp, Fault> {
    Timestamp::from_millisecond(milliseconds).map_err(|error| Fault::Damaged(format!("a time that is none: {error}")))
}

pub(super) fn record_health(
    transaction: &Transaction<'_>,
    name: &MirrorName,
    change: &HealthChange,
) -> Result<((), Option<Change>), Fault> {
    let id = id(transaction, name)?;
    let word = change.health.as_str();
    let updated = transaction
        .prepare_cached("UPDATE mirror SET health = ?1 WHERE id = ?2 AND health <> ?1")?
        .execute(params![word, id])?;
    if updated == 0 {
        return Ok(((), None));
    }
    transaction
        .prepare_cached("INSERT INTO health_change (mirror, at_ms, health, reason) VALUES (?, ?, ?, ?)")?
        .execute(params![id, change.at.as_millisecond(), word, change.reason.as_deref().map(cut)])?;
    trim(transaction, "health_change", id, MAX_HEALTH_CHANGES)?;
    Ok(((), Some(Change::Mirror(name.clone()))))
}

pub(super) fn health_history(
    transaction: &Transaction<'_>,
    name: &MirrorName,
    limit: usize,
) -> Result<Vec<HealthChange>, Fault> {
    let mut statement = transaction.prepare_cached(
        "SELECT at_ms, health, reason FROM health_change WHERE mirror = (SELECT id FROM mirror WHERE name = ?) \
         ORDER BY id DESC LIMIT ?",
    )?;
    let mut rows = statement.query(params![name.as_str(), i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        let word: String = row.get(1)?;
        changes.push(HealthChange { at: time(row.get(0)?)?, health: health(&word)?, reason: row.get(2)? });
    }
    Ok(changes)
}
