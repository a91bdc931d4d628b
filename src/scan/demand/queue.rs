//! Which versions mirrors are to be asked for, and when: each version once, a bounded number, oftener while they are young.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use crate::model::{TreePath, VersionNumber};

/// Versions that wait to be asked for.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: HashMap<VersionNumber, Entry>,
}

#[derive(Debug)]
struct Entry {
    path: TreePath<'static>,
    /// From when on it may be redirected.
    ready: Timestamp,
    /// When it is asked for next.
    due: Timestamp,
    /// When it is no longer asked for, unless somebody wants it.
    until: Timestamp,
}

/// A version, and how long it could have been redirected by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) path: TreePath<'static>,
    pub(super) version: VersionNumber,
    pub(super) age: SignedDuration,
}

/// Versions that wait at once. A site has more new files than this only when scans are the better way to find them.
pub(super) const CAPACITY: usize = 4096;
/// The first question comes so long before a version may be redirected: the answer is known in time.
const LEAD: SignedDuration = SignedDuration::from_secs(20);
/// The least time between two questions for a version: within a minute a mirror's new file is known, with time to spare for the
/// answer.
const SHORTEST: SignedDuration = SignedDuration::from_secs(25);
/// The longest: as often as scans usually come.
const LONGEST: SignedDuration = SignedDuration::from_secs(3600);
/// The time between two questions grows with the age of a version: one minute after an hour, one hour after sixty.
const SHARE_OF_AGE: i32 = 60;
/// How long a version is asked for that nobody wants (any more).
const STAY: SignedDuration = SignedDuration::from_secs(3600);

impl Queue {
    /// Has a version asked for, from when it is `ready` to be redirected; one that waits already stays longer. False when there is no
    /// room.
    pub(super) fn want(&mut self, path: TreePath<'static>, version: VersionNumber, ready: Timestamp, now: Timestamp) -> bool {
        let until = now.max(ready) + STAY;
        if let Some(entry) = self.entries.get_mut(&version) {
            entry.until = entry.until.max(until);
            return true;
        }
        if self.entries.len() >= CAPACITY {
            return false;
        }
        self.entries.insert(version, Entry { path, ready, due: (ready - LEAD).max(now), until });
        true
    }

    /// The versions whose time has come, youngest first; each is due again later. A clock that was set back puts none off.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<Due> {
        self.entries.retain(|_, entry| entry.until > now);
        let mut due = Vec::new();
        for (version, entry) in &mut self.entries {
            let age = now.duration_since(entry.ready).max(SignedDuration::ZERO);
            entry.due = entry.due.min(now.max(entry.ready) + pause(age));
            if entry.due <= now {
                entry.due = now + pause(age);
                due.push(Due { path: entry.path.clone(), version: *version, age });
            }
        }
        due.sort_unstable_by_key(|due| (due.age, due.version));
        due
    }

    /// Asks no more for a version: it is gone, or all mirrors hold it.
    pub(super) fn forget(&mut self, version: VersionNumber) {
        self.entries.remove(&version);
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// The time between two questions for a version of this age.
fn pause(age: SignedDuration) -> SignedDuration {
    (age / SHARE_OF_AGE).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath<'static> {
        TreePath::parse(text.as_bytes().to_vec()).expect("valid")
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("valid")
    }

    /// The seconds at which a version is asked for.
    fn asked(queue: &mut Queue, seconds: std::ops::Range<i64>) -> Vec<i64> {
        seconds.filter(|second| !queue.due(at(*second)).is_empty()).collect()
    }

    #[test]
    fn a_new_version_is_asked_for_just_before_it_may_be_redirected_and_again_within_a_minute() {
        let mut queue = Queue::default();
        assert!(queue.want(path("a"), VersionNumber(1), at(1800), at(0)));
        let asked = asked(&mut queue, 0..10_000);
        assert_eq!(asked[..4], [1780, 1805, 1830, 1855]);
        assert!(asked.windows(2).all(|pair| (25..=60).contains(&(pair[1] - pair[0]))), "{asked:?}");
        assert!((5340..5400).contains(asked.last().expect("some")), "nobody wanted it for an hour: {asked:?}");
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn an_old_version_is_asked_for_at_once_and_then_seldom_as_long_as_it_is_wanted() {
        let mut queue = Queue::default();
        let hours = |n: i64| n * 3600;
        let mut rounds = Vec::new();
        for second in hours(100)..hours(106) {
            assert!(queue.want(path("a"), VersionNumber(1), at(0), at(second)));
            rounds.extend(queue.due(at(second)).first().map(|_| second - hours(100)));
        }
        assert_eq!(rounds, [0, 3600, 7200, 10_800, 14_400, 18_000]);
    }

    #[test]
    fn a_thousand_wishes_for_one_version_are_one_question() {
        let mut queue = Queue::default();
        for _ in 0..1000 {
            assert!(queue.want(path("a"), VersionNumber(1), at(0), at(60)));
        }
        assert_eq!((queue.len(), queue.due(at(60)).len(), queue.due(at(60)).len()), (1, 1, 0));
    }

    #[test]
    fn there_is_room_for_so_many_and_the_youngest_come_first() {
        let mut queue = Queue::default();
        for number in 0..CAPACITY as u32 {
            assert!(queue.want(path("a"), VersionNumber(number), at(i64::from(number) - 5000), at(0)));
        }
        assert!(!queue.want(path("b"), VersionNumber(u32::MAX), at(0), at(0)));
        let due = queue.due(at(0));
        assert_eq!((due.len(), due[0].version.0), (CAPACITY, CAPACITY as u32 - 1));
        queue.forget(VersionNumber(7));
        assert!(queue.want(path("b"), VersionNumber(u32::MAX), at(0), at(0)));
    }

    #[test]
    fn a_clock_that_was_set_back_puts_nothing_off() {
        let mut queue = Queue::default();
        queue.want(path("a"), VersionNumber(1), at(0), at(100_000));
        assert_eq!(queue.due(at(100_000)).len(), 1);
        assert_eq!(asked(&mut queue, 50..90), [75], "25 s after the clock was set");
    }
}
