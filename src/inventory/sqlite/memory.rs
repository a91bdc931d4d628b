//! What one scan leaves for the next.

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::changes::Change;
use super::fault::Fault;
use super::mirrors::{id, time};
use crate::inventory::record::{ScanMemory, SeenStamp};
use crate::model::MirrorName;

type Row = (u32, Option<String>, Option<i64>, Option<u32>, Option<u32>);

/// What the last scans of a mirror have left; nothing where there were none.
pub(super) fn read(transaction: &Transaction<'_>, mirror: &MirrorName) -> Result<ScanMemory, Fault> {
    let mut statement = transaction.prepare_cached(
        "SELECT turn, stamp, stamp_began_ms, stamp_scans, stamp_newest FROM scan_memory \
         WHERE mirror = (SELECT id FROM mirror WHERE name = ?)",
    )?;
    let columns = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
    let row: Option<Row> = statement.query_row([mirror.as_str()], columns).optional()?;
    let Some((turn, text, began, scans, newest)) = row else { return Ok(ScanMemory::default()) };
    let stamp = match (text, began, scans, newest) {
        (Some(text), Some(began), Some(scans), Some(newest)) => Some(SeenStamp { text, began: time(began)?, scans, newest }),
        _ => None,
    };
    Ok(ScanMemory { turn, stamp })
}

/// Keeps it. No snapshot shows it.
pub(super) fn keep(
    transaction: &Transaction<'_>,
    mirror: &MirrorName,
    memory: &ScanMemory,
) -> Result<((), Option<Change>), Fault> {
    let stamp = memory.stamp.as_ref();
    transaction
        .prepare_cached(
            "INSERT INTO scan_memory (mirror, turn, stamp, stamp_began_ms, stamp_scans, stamp_newest) VALUES (?, ?, ?, ?, ?, ?) \
             ON CONFLICT (mirror) DO UPDATE SET turn = excluded.turn, stamp = excluded.stamp, \
             stamp_began_ms = excluded.stamp_began_ms, stamp_scans = excluded.stamp_scans, stamp_newest = excluded.stamp_newest",
        )?
        .execute(params![
            id(transaction, mirror)?,
            memory.turn,
            stamp.map(|stamp| stamp.text.as_str()),
            stamp.map(|stamp| stamp.began.as_millisecond()),
            stamp.map(|stamp| stamp.scans),
            stamp.map(|stamp| stamp.newest),
        ])?;
    Ok(((), None))
}
