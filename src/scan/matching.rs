//! The holding rule: whether what a mirror says about a copy makes it a copy of the version that the tree has.
//!
//! A size must match: exactly where the mirror says it exactly, else within its rounding. A time must not be older than the
//! version's, beyond the precision and the time zone that the mirror leaves open. Equal size and a newer time is a match:
//! many mirrors don't keep times. But where other contents of this size were there before, it must be that very time, or younger than
//! the moment at which the version came. What a listing leaves open is settled by asking for the file itself.

use std::ops::RangeInclusive;

use super::answer::Copy;
use crate::inventory::FileEntry;

/// What a listing says about one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Listed {
    /// The least and the most bytes that it may have; equal where the listing is exact.
    pub size: Option<(u64, u64)>,
    /// Its time.
    pub time: Option<Time>,
}

/// A time as a listing shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// Seconds since 1970, read as if it were UTC.
    pub seconds: i64,
    /// For how many seconds the same text stands: 60 where only minutes are shown.
    pub precision: i64,
    /// How many seconds the mirror's clock on the wall is ahead of UTC, where that is known.
    pub offset: Option<i64>,
    /// By how many seconds that offset may be wrong, either way.
    pub doubt: i64,
}

/// The version that a copy is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Bytes.
    pub size: u64,
    /// The time of the version, in seconds since 1970: a copy may not be older.
    pub mtime: i64,
    /// Where there were other contents of this size: since when it is public. A younger copy must be younger than that, then.
    pub since: Option<i64>,
    /// What an earlier scan found.
    pub before: Before,
}

/// What was known of a version on this mirror before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// The mirror was seen with it.
    Confirmed,
    /// It was not.
    Unknown,
}

/// What a description of a copy shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The mirror holds the version.
    Holds,
    /// It has something else there.
    Mismatched,
    /// Not enough is said; the file itself must be asked for.
    Doubtful,
}

/// Clocks on walls are at most so many seconds behind UTC (UTC-12) and ahead of it (UTC+14).
const OFFSETS: RangeInclusive<i64> = -12 * 3600..=14 * 3600;
/// How many seconds older a copy may look: FAT and zip keep times in steps of two seconds, and some servers round them.
const TOLERANCE: i64 = 2;

/// Judges a copy by a listing.
#[must_use]
pub fn judge_listed(wanted: &Wanted, listed: &Listed) -> Verdict {
    let Some((least, most)) = listed.size else {
        return judge_unsized(wanted, listed);
    };
    if !(least..=most).contains(&wanted.size) {
        return Verdict::Mismatched;
    }
    let age = wanted.age(listed);
    let exact = least == most;
    match age {
        Age::Older => Verdict::Mismatched,
        _ if wanted.before == Before::Confirmed => Verdict::Holds,
        Age::Same => Verdict::Holds,
        Age::Newer if exact => Verdict::Holds,
        Age::Newer | Age::Unknown => Verdict::Doubtful,
    }
}

/// A listing without sizes: a confirmed copy stays unless it is older.
fn judge_unsized(wanted: &Wanted, listed: &Listed) -> Verdict {
    match wanted.age(listed) {
        Age::Older => Verdict::Mismatched,
        _ if wanted.before == Before::Confirmed => Verdict::Holds,
        _ => Verdict::Doubtful,
    }
}

/// Judges a copy by what the server says about the file itself.
#[must_use]
pub fn judge_copy(wanted: &Wanted, copy: &Copy) -> Verdict {
    let sound = copy.size == Some(wanted.size);
    let modified = copy.modified.map(|modified| modified.as_second());
    let older = modified.is_some_and(|modified| modified + wanted.tolerance() < wanted.mtime);
    let between = modified
        .zip(wanted.since)
        .is_some_and(|(modified, since)| (wanted.mtime + wanted.tolerance() + 1..since).contains(&modified));
    match copy.size {
        None => Verdict::Doubtful,
        Some(_) if sound && modified.is_none() && wanted.since.is_some() => Verdict::Doubtful,
        Some(_) if sound && !older && !between => Verdict::Holds,
        // An encoded form has another length, and a page that one is redirected to is another page.
        Some(_) if copy.indirect => Verdict::Doubtful,
        Some(_) => Verdict::Mismatched,
    }
}

impl Wanted {
    /// A file of ours.
    #[must_use]
    pub fn of(entry: &FileEntry, before: Before) -> Self {
        let since = entry.exact_time.then_some(entry.public_since);
        Self { size: entry.size, mtime: entry.version_mtime, since, before }
    }

    /// How many seconds older, or younger where that matters, a copy may look. Where the version came just when it was made, one of what
    /// was there before could look so, too.
    fn tolerance(&self) -> i64 {
        let came = self.since.is_some_and(|since| since - self.mtime <= TOLERANCE + 1);
        if came { 0 } else { TOLERANCE }
    }

    /// How a listed time lies to that of the version. A copy that has neither just this time nor one since the version is public counts
    /// as older, where others were there before.
    fn age(&self, listed: &Listed) -> Age {
        let Some(time) = listed.time else { return Age::Unknown };
        let age_of_mtime = age(self.mtime, self.tolerance(), &time);
        let Some(since) = self.since else { return age_of_mtime };
        let is_precise = time.precision <= 1 && time.doubt == 0;
        match (age_of_mtime, age(since, 0, &time)) {
            (Age::Older, _) => Age::Older,
            (Age::Same, _) if is_precise => Age::Same,
            (_, Age::Newer) => Age::Newer,
            (_, Age::Same) if is_precise => Age::Newer,
            (Age::Newer, Age::Older) => Age::Older,
            _ => Age::Unknown,
        }
    }
}

/// How a listed time lies to a version's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    /// Older in every time zone that it may mean.
    Older,
    /// The same, as precisely as the listing says it, in a known time zone.
    Same,
    /// Certainly not older.
    Newer,
    /// It depends on the time zone, or on the season.
    Unknown,
}

fn age(mtime: i64, tolerance: i64, time: &Time) -> Age {
    let span = time.precision.max(1) - 1;
    // From local time to UTC: what is ahead of UTC is subtracted.
    let utc = time.offset.map(|offset| time.seconds - offset);
    let (earliest, latest) = match utc {
        Some(utc) => (utc - time.doubt, utc + time.doubt + span),
        None => (time.seconds - OFFSETS.end(), time.seconds - OFFSETS.start() + span),
    };
    if latest + tolerance < mtime {
        Age::Older
    } else if earliest > mtime {
        Age::Newer
    } else if utc.is_some_and(|utc| (utc..=utc + span + tolerance).contains(&mtime)) {
        Age::Same
    } else {
        Age::Unknown
    }
}

/// Learns how far a mirror's listings are ahead of UTC, from files whose exact time is known as well.
///
/// One mirror's listings are in one zone, but with daylight saving the same zone has two offsets: as soon as two were seen, no
/// offset is told, and every doubt is settled by a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ZoneLearner {
    seen: Option<(i64, u32)>,
    contradicted: bool,
}

impl ZoneLearner {
    /// Fewer samples could agree by chance, where a mirror stamps files with the time of the transfer.
    const ENOUGH: u32 = 3;
    /// All offsets in use are multiples of a quarter of an hour.
    const STEP: i64 = 900;
    /// With daylight saving, a file of the other half of the year is an hour off, and nothing was seen of that yet.
    const SEASON: i64 = 3600;

    /// Takes note of one file's listed and exact time.
    pub fn learn(&mut self, listed: &Time, exact: i64) {
        let offset = listed.seconds - exact.div_euclid(listed.precision.max(1)) * listed.precision.max(1);
        if offset % Self::STEP != 0 || !OFFSETS.contains(&offset) {
            self.contradicted = true;
        }
        self.seen = match self.seen {
            Some((known, count)) if known == offset => Some((known, count.saturating_add(1))),
            Some(_) => {
                self.contradicted = true;
                self.seen
            }
            None => Some((offset, 1)),
        };
    }

    /// The offset in seconds, once it is certain but for the season.
    #[must_use]
    pub fn offset(&self) -> Option<i64> {
        let (offset, count) = self.seen?;
        (!self.contradicted && count >= Self::ENOUGH).then_some(offset)
    }

    /// The time with what was learnt, if it says nothing about its zone itself.
    #[must_use]
    pub fn applied_to(&self, time: Time) -> Time {
        match (time.offset, self.offset()) {
            (None, Some(offset)) => Time { offset: Some(offset), doubt: Self::SEASON, ..time },
            _ => time,
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    const NOON: i64 = 1_700_000_000 - 1_700_000_000 % 86_400 + 43_200;

    fn wanted(before: Before) -> Wanted {
        Wanted { size: 1_234_567, mtime: NOON + 27, since: None, before }
    }

    fn listed(size: Option<(u64, u64)>, time: Option<Time>) -> Listed {
        Listed { size, time }
    }

    fn utc(seconds: i64, precision: i64) -> Option<Time> {
        Some(Time { seconds, precision, offset: Some(0), doubt: 0 })
    }

    fn somewhere(seconds: i64) -> Option<Time> {
        Some(Time { seconds, precision: 60, offset: None, doubt: 0 })
    }

    const EXACT: Option<(u64, u64)> = Some((1_234_567, 1_234_567));
    const ROUNDED: Option<(u64, u64)> = Some((1_200_000, 1_299_999));

    #[test]
    fn a_listing_is_judged_by_size_and_then_by_time() {
        use Verdict::{Doubtful, Holds, Mismatched};
        for (what, size, time, new, known) in [
            ("exact size, same minute", EXACT, utc(NOON, 60), Holds, Holds),
            ("exact size, same second", EXACT, utc(NOON + 27, 1), Holds, Holds),
            ("exact size, newer", EXACT, utc(NOON + 86_400, 60), Holds, Holds),
            ("exact size, the minute before", EXACT, utc(NOON - 60, 60), Mismatched, Mismatched),
            ("exact size, two seconds older", EXACT, utc(NOON + 25, 1), Holds, Holds),
            ("exact size, three seconds older", EXACT, utc(NOON + 24, 1), Mismatched, Mismatched),
            ("exact size, years older", EXACT, utc(NOON - 99_999_999, 1), Mismatched, Mismatched),
            ("exact size, no time", EXACT, None, Doubtful, Holds),
            ("exact size, some zone, same minute", EXACT, somewhere(NOON), Doubtful, Holds),
            ("exact size, some zone, 12 hours older", EXACT, somewhere(NOON - 12 * 3600), Doubtful, Holds),
            ("exact size, some zone, 13 hours older", EXACT, somewhere(NOON - 13 * 3600), Mismatched, Mismatched),
            ("exact size, some zone, 14 hours newer", EXACT, somewhere(NOON + 14 * 3600), Doubtful, Holds),
            ("exact size, some zone, 15 hours newer", EXACT, somewhere(NOON + 15 * 3600), Holds, Holds),
            ("other size, same minute", Some((1_234_568, 1_234_568)), utc(NOON, 60), Mismatched, Mismatched),
            ("other size, newer", Some((0, 0)), utc(NOON + 86_400, 60), Mismatched, Mismatched),
            ("other size, no time", Some((1, 1)), None, Mismatched, Mismatched),
            ("rounded size, same minute", ROUNDED, utc(NOON, 60), Holds, Holds),
            ("rounded size, newer", ROUNDED, utc(NOON + 86_400, 60), Doubtful, Holds),
            ("rounded size, older", ROUNDED, utc(NOON - 60, 60), Mismatched, Mismatched),
            ("rounded size, some zone", ROUNDED, somewhere(NOON), Doubtful, Holds),
            ("rounded size, no time", ROUNDED, None, Doubtful, Holds),
            ("rounded size of something else", Some((1_300_000, 1_400_000)), utc(NOON, 60), Mismatched, Mismatched),
            ("no size, same minute", None, utc(NOON, 60), Doubtful, Holds),
            ("no size, older", None, utc(NOON - 60, 60), Mismatched, Mismatched),
            ("nothing but the name", None, None, Doubtful, Holds),
        ] {
            assert_eq!(judge_listed(&wanted(Before::Unknown), &listed(size, time)), new, "{what}, not known before");
            assert_eq!(judge_listed(&wanted(Before::Confirmed), &listed(size, time)), known, "{what}, confirmed before");
        }
    }

    #[test]
    fn a_file_is_judged_by_its_length_and_its_time() {
        use Verdict::{Doubtful, Holds, Mismatched};
        let at = |seconds| Some(Timestamp::from_second(seconds).expect("valid"));
        for (what, size, modified, indirect, verdict) in [
            ("right length, same time", Some(1_234_567), at(NOON + 27), false, Holds),
            ("right length, newer", Some(1_234_567), at(NOON + 99), false, Holds),
            ("right length, two seconds older", Some(1_234_567), at(NOON + 25), false, Holds),
            ("right length, older", Some(1_234_567), at(NOON + 24), false, Mismatched),
            ("right length, no time", Some(1_234_567), None, false, Holds),
            ("wrong length", Some(1_234_566), at(NOON + 27), false, Mismatched),
            ("empty", Some(0), None, false, Mismatched),
            ("no length", None, at(NOON + 27), false, Doubtful),
            ("right length after a redirect", Some(1_234_567), at(NOON + 27), true, Holds),
            ("wrong length after a redirect", Some(99), at(NOON + 27), true, Doubtful),
        ] {
            let copy = Copy { size, modified, indirect };
            assert_eq!(judge_copy(&wanted(Before::Unknown), &copy), verdict, "{what}");
        }
    }

    #[test]
    fn where_others_were_there_before_a_copy_has_just_its_time_or_is_younger_than_they_can_be() {
        use Verdict::{Doubtful, Holds, Mismatched};
        let wanted = |before| Wanted { since: Some(NOON + 7200), ..wanted(before) };
        for (what, size, time, new, known) in [
            ("same second", EXACT, utc(NOON + 27, 1), Holds, Holds),
            ("same minute", EXACT, utc(NOON, 60), Doubtful, Holds),
            ("in between", EXACT, utc(NOON + 60, 60), Mismatched, Mismatched),
            ("in between, rounded size", ROUNDED, utc(NOON + 60, 60), Mismatched, Mismatched),
            ("the minute in which it came", EXACT, utc(NOON + 7200, 60), Doubtful, Holds),
            ("after that", EXACT, utc(NOON + 7260, 60), Holds, Holds),
            ("after that, rounded size", ROUNDED, utc(NOON + 7260, 60), Doubtful, Holds),
            ("older", EXACT, utc(NOON - 60, 60), Mismatched, Mismatched),
            ("some zone, 17 hours newer", EXACT, somewhere(NOON + 17 * 3600), Holds, Holds),
            ("some zone, same minute", EXACT, somewhere(NOON), Doubtful, Holds),
            ("no time", EXACT, None, Doubtful, Holds),
            ("no size, in between", None, utc(NOON + 60, 60), Mismatched, Mismatched),
        ] {
            assert_eq!(judge_listed(&wanted(Before::Unknown), &listed(size, time)), new, "{what}, not known before");
            assert_eq!(judge_listed(&wanted(Before::Confirmed), &listed(size, time)), known, "{what}, confirmed before");
        }
        let at = |seconds| Some(Timestamp::from_second(seconds).expect("valid"));
        for (what, modified, verdict) in [
            ("same time", at(NOON + 27), Holds),
            ("two seconds off", at(NOON + 29), Holds),
            ("in between", at(NOON + 30), Mismatched),
            ("just before it came", at(NOON + 7199), Mismatched),
            ("since it came", at(NOON + 7200), Holds),
            ("older", at(NOON + 24), Mismatched),
            ("no time", None, Doubtful),
        ] {
            let copy = Copy { size: Some(1_234_567), modified, indirect: false };
            assert_eq!(judge_copy(&wanted(Before::Confirmed), &copy), verdict, "{what}");
        }
        // It came just when it was made: one that is a second older was copied before that.
        let wanted = Wanted { since: Some(NOON + 29), ..wanted(Before::Unknown) };
        for (seconds, verdict) in [(26, Mismatched), (27, Holds), (28, Mismatched), (29, Holds)] {
            let copy = Copy { size: Some(1_234_567), modified: at(NOON + seconds), indirect: false };
            assert_eq!(judge_copy(&wanted, &copy), verdict, "{seconds}");
            assert_eq!(judge_listed(&wanted, &listed(EXACT, utc(NOON + seconds, 1))), verdict, "{seconds}");
        }
    }

    #[test]
    fn a_zone_that_was_learnt_in_winter_does_not_make_an_older_copy_of_summer_new() {
        let mut berlin = ZoneLearner::default();
        for day in 0..3 {
            berlin.learn(
                &Time { seconds: NOON + day * 86_400 + 3600, precision: 60, offset: None, doubt: 0 },
                NOON + day * 86_400,
            );
        }
        let judged = |listed_at| {
            let listed = Time { seconds: listed_at, precision: 60, offset: None, doubt: 0 };
            judge_listed(&wanted(Before::Unknown), &Listed { size: EXACT, time: Some(berlin.applied_to(listed)) })
        };
        // The copy that was there before the last build, half an hour older, on a clock that is two hours ahead in summer.
        assert_eq!(judged(NOON - 1800 + 7200), Verdict::Doubtful);
        assert_eq!(judged(NOON + 3600), Verdict::Holds, "the same minute, in winter");
        assert_eq!(judged(NOON - 1800 + 3600), Verdict::Doubtful, "older in winter, the same or newer in summer");
        assert_eq!(judged(NOON + 3600 + 3720), Verdict::Holds, "newer in winter and in summer");
        assert_eq!(judged(NOON + 3600 - 3720), Verdict::Mismatched, "older in winter and in summer");
    }

    #[test]
    fn a_zone_is_learnt_from_files_that_agree() {
        let minute = |seconds| Time { seconds, precision: 60, offset: None, doubt: 0 };
        let mut berlin = ZoneLearner::default();
        for day in 0..3 {
            assert_eq!(berlin.offset(), None);
            berlin.learn(&minute(NOON + day * 86_400 + 3600), NOON + day * 86_400 + 27);
        }
        assert_eq!(berlin.offset(), Some(3600));
        berlin.learn(&minute(NOON + 2 * 3600), NOON);
        assert_eq!(berlin.offset(), None, "summer time");
        let mut odd = ZoneLearner::default();
        for _ in 0..5 {
            odd.learn(&minute(NOON + 420), NOON);
        }
        assert_eq!(odd.offset(), None, "no zone is seven minutes off");
    }
}
