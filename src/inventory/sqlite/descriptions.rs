//! Descriptions of versions: rows to digests and back, by the owner or beside it; damage that was found.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::fault::Fault;
use super::files::{path_bytes, undescribed, unhashed};
use super::open::{self, Identity};
use crate::inventory::error::Error;
use crate::inventory::record::{Damage, Waiting};
use crate::inventory::store::{Descriptions, MAX_PAGE, PlanId};
use crate::model::{Digests, Pieces, Sha256, TreePath, VersionNumber, Zsync};

/// A second connection, for reading descriptions beside the owner.
#[derive(Debug)]
pub(super) struct Beside {
    path: PathBuf,
    identity: Identity,
    connection: Connection,
}

impl Beside {
    /// Opens the database that the owner has open; another one in its place is none of ours.
    pub(super) fn open(path: PathBuf, identity: Identity) -> Result<Self, Error> {
        check(&path, identity)?;
        let connection = open::read_only(&path)?;
        check(&path, identity)?;
        Ok(Self { path, identity, connection })
    }
}

/// Whether the file at a path still is the one that the owner has open.
fn check(path: &Path, identity: Identity) -> Result<(), Error> {
    match Identity::of(path) {
        Some(now) if now == identity => Ok(()),
        _ => Err(Error::Gone { path: path.to_owned() }),
    }
}

impl Descriptions for Beside {
    fn digests(&mut self, path: &TreePath<'_>, version: VersionNumber) -> Result<Option<Digests>, Error> {
        check(&self.path, self.identity)?;
        let begun = self.connection.transaction().map_err(Fault::from);
        let read = begun.and_then(|transaction| one(&transaction, path, version));
        read.map_err(|fault| fault.at(&self.path))
    }
}

pub(super) fn one(
    transaction: &Transaction<'_>,
    path: &TreePath<'_>,
    version: VersionNumber,
) -> Result<Option<Digests>, Fault> {
    // The SHA-256 stands with the file, and with the description only in databases that are older than that.
    let mut statement = transaction.prepare_cached(
        "SELECT d.size, md5, sha1, iif(d.sha256 = x'', file.sha256, d.sha256), sha512, piece_length, piece_sha1, piece_sha256, \
         zsync_block, zsync_lengths, zsync_sums FROM description d JOIN file ON file.version = d.version \
         WHERE d.version = ?1 AND file.path = ?2",
    )?;
    let mut rows = statement.query(params![version.0, path.as_bytes()])?;
    rows.next()?.map(digests).transpose()
}

fn digests(row: &Row<'_>) -> Result<Digests, Fault> {
    let blob = |column| -> Result<Box<[u8]>, Fault> { Ok(row.get::<_, Vec<u8>>(column)?.into_boxed_slice()) };
    let zsync = match (row.get::<_, Option<u32>>(8)?, row.get::<_, Option<[u8; 3]>>(9)?) {
        (Some(block_size), Some([sequence_matches, rsum_bytes, checksum_bytes])) => {
            Some(Zsync { block_size, sequence_matches, rsum_bytes, checksum_bytes, sums: blob(10)? })
        }
        _ => None,
    };
    let mut digests = Digests {
        size: row.get::<_, i64>(0)?.cast_unsigned(),
        md5: row.get(1)?,
        sha1: row.get(2)?,
        sha256: Sha256(row.get(3)?),
        sha512: row.get(4)?,
        pieces: Pieces { length: row.get(5)?, sha1: blob(6)?, sha256: blob(7)? },
        zsync,
    };
    if is_one_piece(&digests) && digests.pieces.sha1.is_empty() && digests.pieces.sha256.is_empty() {
        digests.pieces.sha1 = digests.sha1.into();
        digests.pieces.sha256 = digests.sha256.0.into();
    }
    if digests.is_sound() { Ok(digests) } else { Err(Fault::Damaged("a description that does not fit its size".to_owned())) }
}

/// Whether the digests of pieces are those of the file.
fn is_one_piece(digests: &Digests) -> bool {
    (1..=u64::from(digests.pieces.length)).contains(&digests.size)
}

/// Keeps a description, in the place of an older one. Its SHA-256 must be that of the file's row, which has it already.
pub(super) fn put(transaction: &Transaction<'_>, version: VersionNumber, digests: &Digests) -> Result<(), Fault> {
    let Digests { size, md5, sha1, sha256, sha512, pieces, zsync } = digests;
    let in_file: &[u8] = &[];
    let zsync = zsync.as_ref();
    let repeats = is_one_piece(digests) && *pieces.sha1 == *sha1 && *pieces.sha256 == sha256.0;
    let (piece_sha1, piece_sha256) = if repeats { Default::default() } else { (&*pieces.sha1, &*pieces.sha256) };
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO description (version, size, md5, sha1, sha256, sha512, piece_length, piece_sha1, \
             piece_sha256, zsync_block, zsync_lengths, zsync_sums) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
        )?
        .execute(params![
            version.0,
            size.cast_signed(),
            md5,
            sha1,
            in_file,
            sha512,
            pieces.length,
            piece_sha1,
            piece_sha256,
            zsync.map(|zsync| zsync.block_size),
            zsync.map(|zsync| [zsync.sequence_matches, zsync.rsum_bytes, zsync.checksum_bytes]),
            zsync.map(|zsync| &zsync.sums),
        ])?;
    Ok(())
}

/// Takes away all that is known of a version that is gone.
pub(super) fn drop_version(transaction: &Transaction<'_>, version: VersionNumber) -> Result<(), Fault> {
    transaction.prepare_cached("DELETE FROM description WHERE version = ?")?.execute([version.0])?;
    clear_damage(transaction, version)
}

/// Writes down that a version's file has other bytes. When it was first noticed stays.
pub(super) fn note_damage(
    transaction: &Transaction<'_>,
    version: VersionNumber,
    found: Sha256,
    at: Timestamp,
) -> Result<(), Fault> {
    transaction
        .prepare_cached(
            "INSERT INTO damage (version, sha256, at_ms) VALUES (?, ?, ?) \
             ON CONFLICT (version) DO UPDATE SET sha256 = excluded.sha256",
        )?
        .execute(params![version.0, found.0, at.as_millisecond()])?;
    Ok(())
}

pub(super) fn clear_damage(transaction: &Transaction<'_>, version: VersionNumber) -> Result<(), Fault> {
    transaction.prepare_cached("DELETE FROM damage WHERE version = ?")?.execute([version.0])?;
    Ok(())
}

pub(super) fn damage(transaction: &Transaction<'_>, version: VersionNumber) -> Result<Option<Damage>, Fault> {
    let row = transaction
        .prepare_cached("SELECT sha256, at_ms FROM damage WHERE version = ?")?
        .query_row([version.0], |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    row.map(|(found, at)| {
        let at = Timestamp::from_millisecond(at).map_err(|error| Fault::Damaged(format!("a time that is none: {error}")))?;
        Ok(Damage { found: Sha256(found), at })
    })
    .transpose()
}

/// Marks, among the next files of the tree, those that another plan describes as to be described again.
pub(super) fn require(
    transaction: &Transaction<'_>,
    plan: PlanId,
    after: Option<&TreePath<'static>>,
) -> Result<Option<TreePath<'static>>, Fault> {
    let known: i64 =
        transaction.query_row("SELECT value FROM fact WHERE name = 'plan'", [], |row| row.get(0)).optional()?.unwrap_or(0);
    if known == i64::from(plan.0) {
        return Ok(None);
    }
    let after = after.map_or(&[][..], TreePath::as_bytes);
    let last = last_of_page(transaction, after)?;
    match &last {
        Some(last) => {
            transaction
                .prepare_cached(
                    "UPDATE file SET described = 0 WHERE path > ?1 AND path <= ?2 AND described <> 0 AND described <> ?3",
                )?
                .execute(params![after, last.as_bytes(), plan.0])?;
        }
        None => {
            transaction.prepare_cached("INSERT OR REPLACE INTO fact (name, value) VALUES ('plan', ?)")?.execute([plan.0])?;
        }
    }
    Ok(last)
}

fn last_of_page(transaction: &Transaction<'_>, after: &[u8]) -> Result<Option<TreePath<'static>>, Fault> {
    let mut statement =
        transaction.prepare_cached("SELECT max(path) FROM (SELECT path FROM file WHERE path > ? ORDER BY path LIMIT ?)")?;
    let mut rows = statement.query(params![after, i64::try_from(MAX_PAGE).unwrap_or(i64::MAX)])?;
    match rows.next()? {
        Some(row) if row.get_ref(0)?.as_blob().is_ok() => {
            let parsed = TreePath::parse(path_bytes(row)?.to_vec());
            Ok(Some(parsed.map_err(|error| Fault::Damaged(format!("a path that is none: {error}")))?))
        }
        _ => Ok(None),
    }
}

/// How many files need a digest or a description, counted up to `limit` each.
pub(super) fn waiting(transaction: &Transaction<'_>, limit: u32) -> Result<Waiting, Fault> {
    let count = |sql: &str| -> Result<u64, Fault> {
        Ok(transaction.prepare_cached(sql)?.query_row([limit], |row| row.get::<_, u32>(0))?.into())
    };
    Ok(Waiting {
        unhashed: count(concat!("SELECT count(*) FROM (SELECT 1 FROM file WHERE ", unhashed!(), " LIMIT ?)"))?,
        undescribed: count(concat!("SELECT count(*) FROM (SELECT 1 FROM file WHERE ", undescribed!(), " LIMIT ?)"))?,
    })
}
