//! What scans remember of mirrors' listings: bytes that are kept and given back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::fault::Fault;
use crate::inventory::record::Listed;
use crate::inventory::store::MAX_LISTED_BYTES;
use crate::model::MirrorName;

/// Memories of mirrors that were not scanned for so long give way to others: they have left the list, most likely.
const STALE_MS: i64 = 7 * 24 * 3600 * 1000;

/// What is remembered of a mirror; nothing where nothing is.
pub(super) fn read(transaction: &Transaction<'_>, mirror: &MirrorName) -> Result<Option<Listed>, Fault> {
    let mut statement =
        transaction.prepare_cached("SELECT mirror, head FROM listed WHERE mirror = (SELECT id FROM mirror WHERE name = ?)")?;
    let found = statement.query_row([mirror.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((id, head)): Option<(i64, Vec<u8>)> = found else { return Ok(None) };
    let mut statement = transaction.prepare_cached("SELECT part, data FROM listed_part WHERE mirror = ?")?;
    let mut rows = statement.query([id])?;
    let mut parts = BTreeMap::new();
    while let Some(row) = rows.next()? {
        parts.insert(row.get(0)?, row.get(1)?);
    }
    Ok(Some(Listed { head, parts }))
}

/// Keeps what a scan that ended at `ended` remembers: parts that it does not name stay, empty ones go. Where there is no room, the
/// mirror goes without.
pub(super) fn keep(transaction: &Transaction<'_>, id: i64, listed: &Listed, ended: Timestamp) -> Result<(), Fault> {
    let now = ended.as_millisecond();
    transaction
        .prepare_cached(
            "INSERT INTO listed (mirror, head, bytes, at_ms) VALUES (?, ?, 0, ?) \
             ON CONFLICT (mirror) DO UPDATE SET head = excluded.head, at_ms = excluded.at_ms",
        )?
        .execute(params![id, listed.head, now])?;
    if listed.parts.is_empty() {
        return Ok(());
    }
    for (part, data) in &listed.parts {
        if data.is_empty() {
            transaction.prepare_cached("DELETE FROM listed_part WHERE mirror = ? AND part = ?")?.execute(params![id, part])?;
        } else {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO listed_part (mirror, part, data) VALUES (?, ?, ?)")?
                .execute(params![id, part, data])?;
        }
    }
    transaction
        .prepare_cached(
            "UPDATE listed SET bytes = (SELECT coalesce(sum(length(data)), 0) FROM listed_part WHERE mirror = ?1) WHERE mirror = ?1",
        )?
        .execute([id])?;
    if bytes(transaction)? > MAX_LISTED_BYTES {
        drop_stale(transaction, now)?;
    }
    if bytes(transaction)? > MAX_LISTED_BYTES {
        transaction.prepare_cached("DELETE FROM listed_part WHERE mirror = ?")?.execute([id])?;
        transaction.prepare_cached("DELETE FROM listed WHERE mirror = ?")?.execute([id])?;
    }
    Ok(())
}

fn bytes(transaction: &Transaction<'_>) -> Result<u64, Fault> {
    let mut statement = transaction.prepare_cached("SELECT coalesce(sum(bytes), 0) FROM listed")?;
    Ok(statement.query_row([], |row| row.get::<_, i64>(0))?.cast_unsigned())
}

fn drop_stale(transaction: &Transaction<'_>, now: i64) -> Result<(), Fault> {
    let before = now - STALE_MS;
    transaction
        .prepare_cached("DELETE FROM listed_part WHERE mirror IN (SELECT mirror FROM listed WHERE at_ms < ?)")?
        .execute([before])?;
    transaction.prepare_cached("DELETE FROM listed WHERE at_ms < ?")?.execute([before])?;
    Ok(())
}
