//! Version numbers: each is given out once.

use rusqlite::{OptionalExtension, Transaction};

use super::fault::Fault;
use crate::model::VersionNumber;

/// The next version number that was never given out.
pub(super) fn next_version(transaction: &Transaction<'_>) -> Result<i64, Fault> {
    let next = transaction
        .prepare_cached("SELECT value FROM fact WHERE name = 'next_version'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    next.filter(|next| *next > 0).ok_or_else(|| Fault::Damaged("no next version number".to_owned()))
}

/// Numbers for new versions. What was taken is written down in the same transaction as its use.
pub(super) struct Numbers {
    first: i64,
    next: i64,
}

impl Numbers {
    pub(super) fn read(transaction: &Transaction<'_>) -> Result<Self, Fault> {
        let next = next_version(transaction)?;
        Ok(Self { first: next, next })
    }

    pub(super) fn take(&mut self) -> Result<VersionNumber, Fault> {
        let number = u32::try_from(self.next).map_err(|_| Fault::VersionsUsedUp)?;
        self.next += 1;
        Ok(VersionNumber(number))
    }

    pub(super) fn keep(self, transaction: &Transaction<'_>) -> Result<(), Fault> {
        if self.next != self.first {
            transaction.prepare_cached("UPDATE fact SET value = ? WHERE name = 'next_version'")?.execute([self.next])?;
        }
        Ok(())
    }
}
