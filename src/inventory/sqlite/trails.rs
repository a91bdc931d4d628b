//! The trails of paths: see [`crate::inventory::trail`].

use std::hash::Hasher as _;

use rusqlite::{OptionalExtension, Row, Transaction, params};
use siphasher::sip::SipHasher13;

use super::fault::Fault;
use crate::inventory::trail::{Times, Trail};
use crate::model::{FileRecord, Sha256, TreePath};

/// The trails that are kept: the newest, at about a hundred bytes each. What was replaced or deleted before the last million contents is
/// on no mirror that scans speak well of.
const MAX_TRAILS: i64 = 1_000_000;

/// The trails, for one transaction.
pub(super) struct Trails<'t> {
    transaction: &'t Transaction<'t>,
    /// At the first walk through a tree there are none, and nothing is looked for.
    are_any: bool,
}

impl<'t> Trails<'t> {
    pub(super) fn new(transaction: &'t Transaction<'t>) -> Result<Self, Fault> {
        let mut any = transaction.prepare_cached("SELECT EXISTS (SELECT 1 FROM trail)")?;
        Ok(Self { transaction, are_any: any.query_row([], |row| row.get(0))? })
    }

    /// The trail of a path for contents of a size.
    pub(super) fn of(&self, path: &TreePath<'_>, size: u64) -> Result<Option<Trail>, Fault> {
        if !self.are_any {
            return Ok(None);
        }
        let mut statement = self.transaction.prepare_cached(
            "SELECT sha256, from_ns, until_ns, inode, others_from_ns, others_until_ns FROM trail WHERE key = ?",
        )?;
        Ok(statement.query_row([key(path, size)], trail).optional()?)
    }

    /// Keeps a trail, or that there is none.
    pub(super) fn put(&mut self, path: &TreePath<'_>, size: u64, trail: Option<Trail>) -> Result<(), Fault> {
        let key = key(path, size);
        let Some(Trail { sha256, times, inode, others }) = trail else {
            self.transaction.prepare_cached("DELETE FROM trail WHERE key = ?")?.execute([key])?;
            return Ok(());
        };
        self.are_any = true;
        self.transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO trail (key, sha256, from_ns, until_ns, inode, others_from_ns, others_until_ns) \
                 VALUES (?,?,?,?,?,?,?)",
            )?
            .execute(params![
                key,
                sha256.map(|Sha256(bytes)| bytes),
                times.from_ns,
                times.until_ns,
                inode.cast_signed(),
                others.map(|others| others.from_ns),
                others.map(|others| others.until_ns),
            ])?;
        let outdated = self.transaction.last_insert_rowid() - MAX_TRAILS;
        self.transaction.prepare_cached("DELETE FROM trail WHERE id <= ?")?.execute([outdated])?;
        Ok(())
    }

    /// Remembers a content that is gone.
    pub(super) fn leave(&mut self, known: &FileRecord) -> Result<(), Fault> {
        let size = known.fingerprint.size;
        let before = self.of(&known.path, size)?;
        self.put(&known.path, size, Some(Trail::left_by(known, before)))
    }
}

fn trail(row: &Row<'_>) -> rusqlite::Result<Trail> {
    let others = |from_ns| Ok::<_, rusqlite::Error>(Times { from_ns, until_ns: row.get(5)? });
    Ok(Trail {
        sha256: row.get::<_, Option<[u8; 32]>>(0)?.map(Sha256),
        times: Times { from_ns: row.get(1)?, until_ns: row.get(2)? },
        inode: row.get::<_, i64>(3)?.cast_unsigned(),
        others: row.get::<_, Option<i64>>(4)?.map(others).transpose()?,
    })
}

/// Two that meet by chance cost one file a redirect at most.
fn key(path: &TreePath<'_>, size: u64) -> i64 {
    let mut hasher = SipHasher13::new_with_keys(0x7265_6469, 0x7472_6169);
    hasher.write(path.as_bytes());
    hasher.write_u64(size);
    hasher.finish().cast_signed()
}
