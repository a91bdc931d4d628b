//! A clock that is put on while the index runs, or that stands before what is known.

use jiff::{SignedDuration, Timestamp};

use super::Index;
use crate::inventory::{self, Leap};

/// By how much a clock is put on at least: by less it is set all the time.
const LEAP: SignedDuration = SignedDuration::from_secs(1);

/// How far what was written down may be ahead of the clock: those of two machines that take turns with a database, or one that is set a bit.
const AHEAD: SignedDuration = SignedDuration::from_mins(1);

/// How far the time at which something was written down is ahead of the present one, if that is too far. Either the clock was put back while
/// nobody looked, or it was ahead then. Nothing gets older by that: what is public since a time to come is young.
pub(super) fn ahead(newest: Option<Timestamp>, now: Timestamp) -> Option<SignedDuration> {
    newest.map(|newest| newest.duration_since(now)).filter(|ahead| *ahead > AHEAD)
}

impl Index {
    /// Has young files move with a clock that was put on.
    pub(super) async fn follow_clock(&mut self) -> Result<(), inventory::Error> {
        self.notice_leap();
        if let Some(leap) = self.leap {
            self.intake.inventory.redate(leap).await?;
            self.leap = None;
        }
        Ok(())
    }

    /// Notices that the clock was put on, as at a start without the right time: what is young by then would seem to be old. One that is
    /// put back makes files younger, which does no harm.
    fn notice_leap(&mut self) {
        let offset = self.intake.clock.offset();
        let by = offset - std::mem::replace(&mut self.offset, offset);
        if by < LEAP {
            return;
        }
        let now = self.intake.clock.now();
        let after = now.checked_sub(by).and_then(|before| before.checked_sub(self.min_age)).unwrap_or(Timestamp::MIN);
        tracing::warn!("the clock was put on by {by:#}: files that were young stay so");
        self.intake.is_leaping_until = Some(now.checked_add(self.min_age).unwrap_or(Timestamp::MAX));
        // One that is not written down yet goes before this one: what it would have moved is moved by both together.
        let earlier = self.leap.take();
        self.leap = Some(earlier.map_or(Leap { after, by, now }, |earlier| Leap {
            after: earlier.after.min(after),
            by: earlier.by + by,
            now,
        }));
    }
}
