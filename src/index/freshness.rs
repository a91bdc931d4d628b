//! Whether a file's content can be relied on, or is still being written: told from how it looks and for how long.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::Fingerprint;

/// How long a file must have stood still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// In general.
    pub settle: Duration,
    /// When it got smaller than it was, or is empty: most likely someone writes it anew.
    pub settle_shrunken: Duration,
}

/// A look of a file, and since when it has had it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sight {
    /// How it looks.
    pub fingerprint: Fingerprint,
    /// When it was first seen to look so.
    pub since: Timestamp,
}

/// The answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Freshness {
    /// It has stood still for long enough.
    Settled,
    /// It may be being written; this look must last as long as said from the sight on.
    Moving(Sight),
}

/// Judges a file that looks otherwise than is known. `known_size` is the size that is known of it, if it is known;
/// `before` is what an earlier judgement gave.
///
/// A file that is being written has a fresh mtime: so one whose mtime is old enough is done (moved here, or written by a
/// program that sets the time at the end, like `cp -p` and rsync). Where a size says that something is under way, the
/// ctime must be old as well. Times in the future say nothing; then it counts since when we have seen it so.
#[must_use]
pub fn judge(
    known_size: Option<u64>,
    before: Option<&Sight>,
    seen: &Fingerprint,
    now: Timestamp,
    patience: &Patience,
) -> Freshness {
    let sight = match before {
        Some(sight) if sight.fingerprint == *seen && sight.since <= now => *sight,
        _ => Sight { fingerprint: *seen, since: now },
    };
    let is_shrunken = if seen.size == 0 { known_size != Some(0) } else { known_size.is_some_and(|known| seen.size < known) };
    let (written, patience) =
        if is_shrunken { (seen.mtime().max(seen.ctime()), patience.settle_shrunken) } else { (seen.mtime(), patience.settle) };
    let still_since = if written <= now { sight.since.min(written) } else { sight.since };
    let stood_still = Duration::try_from(now.duration_since(still_since)).unwrap_or(Duration::ZERO);
    if stood_still >= patience { Freshness::Settled } else { Freshness::Moving(sight) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { settle: Duration::from_secs(2), settle_shrunken: Duration::from_secs(30) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("within range")
    }

    fn file(size: u64, mtime: i64, ctime: i64) -> Fingerprint {
        Fingerprint { size, mtime_ns: mtime * 1_000_000_000, ctime_ns: ctime * 1_000_000_000, inode: 1 }
    }

    fn is_settled(known: Option<u64>, before: Option<Sight>, seen: Fingerprint, now: i64) -> bool {
        judge(known, before.as_ref(), &seen, at(now), &PATIENCE) == Freshness::Settled
    }

    #[test]
    fn a_file_settles_when_its_last_write_is_long_enough_ago() {
        for (known, size, mtime, ctime, settled) in [
            (None, 10, 998, 998, true),
            (None, 10, 999, 999, false),
            (Some(10), 10, 999, 999, false),
            (Some(10), 20, 900, 999, true), // moved or copied with its time: done
            (Some(10), 5, 900, 999, false), // got smaller: the ctime counts
            (Some(10), 5, 900, 970, true),
            (Some(10), 5, 980, 980, false),
            (Some(10), 0, 980, 980, false),
            (Some(10), 0, 970, 970, true),
            (None, 0, 980, 980, false),
            (None, 0, 970, 970, true),
            (Some(0), 0, 990, 999, true), // empty as before
            (None, 10, 2000, 2000, false),
            (None, 10, i64::MAX / 1_000_000_000, 0, false),
        ] {
            assert_eq!(is_settled(known, None, file(size, mtime, ctime), 1000), settled, "{known:?} {size} {mtime} {ctime}");
        }
    }

    #[test]
    fn a_time_in_the_future_is_waited_out_by_watching() {
        let seen = file(10, 5000, 5000);
        let Freshness::Moving(sight) = judge(None, None, &seen, at(1000), &PATIENCE) else { panic!("just seen") };
        assert_eq!(sight, Sight { fingerprint: seen, since: at(1000) });
        assert!(!is_settled(None, Some(sight), seen, 1001));
        assert!(is_settled(None, Some(sight), seen, 1002));
    }

    #[test]
    fn every_change_starts_the_wait_anew() {
        let (first, second) = (file(10, 5000, 5000), file(20, 5001, 5001));
        let before = Sight { fingerprint: first, since: at(1000) };
        assert!(!is_settled(None, Some(before), second, 1002));
        let Freshness::Moving(sight) = judge(None, Some(&before), &second, at(1002), &PATIENCE) else { panic!("it changed") };
        assert_eq!(sight.since, at(1002));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_settle_a_file() {
        let seen = file(10, 5000, 5000);
        let before = Sight { fingerprint: seen, since: at(1000) };
        assert!(!is_settled(None, Some(before), seen, 900));
    }
}
