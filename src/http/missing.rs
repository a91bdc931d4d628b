//! Tells administrators of files that clients ask for and do not get: those that no tree has, for a site that links to them may
//! have failed to copy them, without a word; and those that are there and can't be read.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use jiff::Timestamp;

use crate::model::TreePath;
use crate::tree::LookError;

/// Lines about one instance in a minute: enough to see what is missing; who tries names must not fill the log.
const LINES_A_MINUTE: u32 = 20;

/// How much was told of late.
#[derive(Debug, Default)]
pub struct Missing {
    absent: Lines,
    unreadable: Lines,
}

#[derive(Debug, Default)]
struct Lines {
    minute: AtomicI64,
    told: AtomicU32,
}

/// What to do about one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Tell,
    /// The last one of this minute.
    TellThatThereAreMore,
    Skip,
}

impl Missing {
    /// Tells of a path at which an instance has nothing.
    pub fn tell(&self, instance: &str, path: &TreePath<'_>, now: Timestamp) {
        // Encoded, since anybody can ask for anything.
        match self.absent.next(now) {
            Line::Tell => tracing::info!(instance, path = path.encoded(), "a file was asked for that is in no tree"),
            Line::TellThatThereAreMore => {
                tracing::info!(instance, "more files were asked for that are in no tree; they are counted, not told");
            }
            Line::Skip => {}
        }
    }

    /// Tells of a path that can't be looked at or opened. That its tree is away is told elsewhere, once.
    pub fn tell_unreadable(&self, instance: &str, path: &TreePath<'_>, error: &LookError, now: Timestamp) {
        let LookError::Other(error) = error else { return };
        match self.unreadable.next(now) {
            Line::Tell => tracing::warn!(instance, path = path.encoded(), %error, "a file was asked for that can't be read"),
            Line::TellThatThereAreMore => tracing::warn!(instance, "more files were asked for that can't be read"),
            Line::Skip => {}
        }
    }
}

impl Lines {
    fn next(&self, now: Timestamp) -> Line {
        let minute = now.as_second().div_euclid(60);
        if self.minute.swap(minute, Ordering::Relaxed) != minute {
            self.told.store(0, Ordering::Relaxed);
        }
        match self.told.fetch_add(1, Ordering::Relaxed) {
            told if told < LINES_A_MINUTE => Line::Tell,
            LINES_A_MINUTE => Line::TellThatThereAreMore,
            _ => {
                self.told.store(LINES_A_MINUTE + 1, Ordering::Relaxed);
                Line::Skip
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ones_of_each_minute_are_told() {
        let missing = Lines::default();
        let at = |second| Timestamp::from_second(second).expect("in range");
        for round in [0, 60, 6000] {
            for _ in 0..LINES_A_MINUTE {
                assert_eq!(missing.next(at(round + 3)), Line::Tell);
            }
            assert_eq!(missing.next(at(round + 50)), Line::TellThatThereAreMore);
            for _ in 0..1000 {
                assert_eq!(missing.next(at(round + 59)), Line::Skip);
            }
        }
    }
}
