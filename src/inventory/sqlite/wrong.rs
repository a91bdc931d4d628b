//! Versions of which a mirror has other bytes than the tree.

use roaring::RoaringBitmap;
use rusqlite::{Transaction, params};

use super::fault::Fault;
use super::files::path;
use crate::inventory::record::Adjustment;
use crate::model::{MirrorName, TreePath, VersionNumber};

/// So many are kept of one mirror: one that has more is not fit for use, and its health says so.
const MOST: i64 = 1000;

/// All of them, as far as the tree still has these versions, with their paths.
pub(super) fn all(
    transaction: &Transaction<'_>,
    mirror: &MirrorName,
) -> Result<Vec<(TreePath<'static>, VersionNumber)>, Fault> {
    let mut statement = transaction.prepare_cached(
        "SELECT wrong.path, wrong.version FROM wrong JOIN file ON file.path = wrong.path AND file.version = wrong.version \
         WHERE mirror = (SELECT id FROM mirror WHERE name = ?)",
    )?;
    let mut rows = statement.query([mirror.as_str()])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push((path(row)?.into_owned(), VersionNumber(row.get(1)?)));
    }
    Ok(all)
}

/// Their numbers.
pub(super) fn numbers(transaction: &Transaction<'_>, mirror: i64) -> Result<RoaringBitmap, Fault> {
    let mut statement = transaction.prepare_cached("SELECT version FROM wrong WHERE mirror = ?")?;
    let numbers = statement.query_map([mirror], |row| row.get::<_, u32>(0))?;
    Ok(numbers.collect::<Result<_, _>>()?)
}

/// Keeps what was found out, and forgets versions that the tree has no longer.
pub(super) fn keep(transaction: &Transaction<'_>, mirror: i64, adjustment: &Adjustment) -> Result<(), Fault> {
    for version in &adjustment.right {
        transaction.prepare_cached("DELETE FROM wrong WHERE mirror = ? AND version = ?")?.execute(params![mirror, version])?;
    }
    if adjustment.wrong.is_empty() {
        return Ok(());
    }
    transaction
        .prepare_cached(
            "DELETE FROM wrong WHERE mirror = ? AND NOT EXISTS \
             (SELECT 1 FROM file WHERE file.path = wrong.path AND file.version = wrong.version)",
        )?
        .execute([mirror])?;
    for (path, version) in &adjustment.wrong {
        transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO wrong (mirror, version, path) SELECT ?1, ?2, ?3 \
                 WHERE (SELECT count(*) FROM wrong WHERE mirror = ?1) < ?4",
            )?
            .execute(params![mirror, version.0, path.as_bytes(), MOST])?;
    }
    Ok(())
}

/// Forgets all of a mirror that is somewhere else now.
pub(super) fn forget(transaction: &Transaction<'_>, mirror: i64) -> Result<(), Fault> {
    transaction.prepare_cached("DELETE FROM wrong WHERE mirror = ?")?.execute([mirror])?;
    Ok(())
}
