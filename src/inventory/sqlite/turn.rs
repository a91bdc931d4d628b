//! Whose turn it is to write. SQLite gives its lock to whoever happens to ask in the right moment: one process that writes without a
//! pause, as in the first walk through a large tree, would leave others waiting for seconds. So who wants to write queues at a
//! second lock, holds that until it has the first, and is next then.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use super::open::BUSY;
use crate::{clock, file};

/// The place in the queue: an empty file beside the database. Without one all goes on as SQLite has it.
#[derive(Debug, Default)]
pub(super) struct Turn(Option<File>);

/// Holds the turn until it is dropped.
#[derive(Debug)]
pub(super) struct Taken<'t>(&'t File);

/// How often it is tried: a turn takes as long as SQLite's lock is waited for, or no time.
const TRY: Duration = Duration::from_millis(1);

impl Turn {
    pub(super) fn of(database: &Path) -> Self {
        let opened = file::open_for_locks(&file::beside(database, "-turn"));
        Self(opened.inspect_err(|error| tracing::debug!(%error, "writers of the database do not queue")).ok())
    }

    /// Waits for the turn, but no longer than for the database itself: whoever holds it then is stuck.
    pub(super) fn take(&self) -> Option<Taken<'_>> {
        let file = self.0.as_ref()?;
        let began = clock::instant();
        loop {
            match file.try_lock() {
                Ok(()) => return Some(Taken(file)),
                Err(TryLockError::WouldBlock) if began.elapsed() < BUSY => std::thread::sleep(TRY),
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // Closing the file would do it too, at the latest.
        self.0.unlock().ok();
    }
}
