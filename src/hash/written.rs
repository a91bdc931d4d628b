//! What was made of files and waits to be written down: many small files in one transaction, none for long.

use std::time::{Duration, Instant};

use crate::clock;
use crate::inventory::Hashed;

/// Files in one transaction: with more, a commit costs each no less.
const FILES: usize = 256;
/// Bytes in one transaction: the pieces of one large file take as much.
const BYTES: usize = 4 << 20;
/// How long the first of them waits, so that few have to be read again after a kill, and nobody misses them.
const WAIT: Duration = Duration::from_millis(250);

/// The files of the next transaction.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    files: Vec<Hashed>,
    bytes: usize,
    due: Option<Instant>,
}

impl Unwritten {
    pub(super) fn add(&mut self, hashed: Hashed) {
        self.bytes += hashed.memory_bytes();
        self.files.push(hashed);
        self.due.get_or_insert_with(|| clock::instant() + WAIT);
    }

    /// When they are to be written down at the latest; `None` where there are none.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_due(&self) -> bool {
        self.files.len() >= FILES || self.bytes >= BYTES || self.due.is_some_and(|due| clock::instant() >= due)
    }

    pub(super) fn take(&mut self) -> Vec<Hashed> {
        std::mem::take(self).files
    }
}
