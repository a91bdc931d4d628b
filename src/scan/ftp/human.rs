//! Reading the answer to LIST, which is made for people: the lines of `ls -l`, or those of Windows.
//!
//! `ls -l` shows the time of day for what is not old, without the year, and the year for what is, without the time of day; the zone is
//! the server's own, whatever that is. So a time has its precision and its doubt, and the year comes from the present time.

use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan as _};

use super::super::matching::Time;
use super::machine::number;
use super::{Kind, Line};

/// Reads a line, without its end, which was made at about the time `now`. `None`: it is no entry.
#[must_use]
pub fn parse(line: &[u8], now: Timestamp) -> Option<Line> {
    let entry = match line.first()? {
        b'0'..=b'9' => windows(line)?,
        _ => unix(line, now)?,
    };
    (!matches!(entry.name.as_slice(), b"" | b"." | b"..")).then_some(entry)
}

/// The words of a line with where they end.
fn words(line: &[u8]) -> Vec<(&[u8], usize)> {
    /// The last of what may stand before the name: permissions, links, owner, group (which may have blanks on some servers), size,
    /// month, day, time.
    const MOST: usize = 14;
    let mut words = Vec::with_capacity(MOST);
    let mut at = 0;
    while words.len() < MOST {
        let Some(begin) = line[at..].iter().position(|&b| b != b' ').map(|skipped| at + skipped) else { break };
        let end = line[begin..].iter().position(|&b| b == b' ').map_or(line.len(), |length| begin + length);
        words.push((&line[begin..end], end));
        at = end;
    }
    words
}

/// `-rw-r--r--   1 owner group   12345 Nov 23 06:14 name`, perhaps without the group, or with an ISO date.
fn unix(line: &[u8], now: Timestamp) -> Option<Line> {
    let words = words(line);
    let (permissions, _) = words.first()?;
    let kind = match permissions.first()? {
        _ if !(10..=11).contains(&permissions.len()) => return None,
        b'-' => Kind::File,
        b'd' => Kind::Directory,
        b'l' => Kind::Link,
        b'b' | b'c' | b'p' | b's' | b'D' => Kind::Other,
        _ => return None,
    };
    // The size stands before the date, wherever that is; names may look like dates, so the first that fits counts.
    let (size, time, end) = (2..words.len()).find_map(|at| {
        let (time, last) = date(&words[at..], now)?;
        let size = number(words[at - 1].0);
        // Devices have two numbers with a comma in the place of the size.
        (size.is_some() || kind == Kind::Other).then(|| (size, time, words[at + last].1))
    })?;
    let mut name = line.get(end + 1..)?.to_vec();
    if kind == Kind::Link
        && let Some(arrow) = name.windows(4).position(|window| window == b" -> ")
    {
        name.truncate(arrow);
    }
    Some(Line { kind, size: size.filter(|_| kind == Kind::File), time, name })
}

/// A date at the beginning of some words, and the place of its last word. The time within is `None` where it can't be said.
fn date(words: &[(&[u8], usize)], now: Timestamp) -> Option<(Option<Time>, usize)> {
    let (first, _) = words.first()?;
    let (second, _) = words.get(1)?;
    if let Some(day) = iso(first) {
        let minutes = clock(second)?;
        return Some((time(day, minutes, 60), 1));
    }
    // `Nov 23`, or `23 Nov` as some servers have it.
    let (month, day) = match (month(first), month(second)) {
        (Some(month), _) => (month, number(second)?),
        (None, Some(month)) => (month, number(first)?),
        (None, None) => return None,
    };
    let day = i8::try_from(day).ok().filter(|day| (1..=31).contains(day))?;
    let (third, _) = words.get(2)?;
    if let Some(minutes) = clock(third) {
        return Some((recent(month, day, minutes, now), 2));
    }
    let year = i16::try_from(number(third).filter(|_| third.len() == 4)?).ok()?;
    let time = Date::new(year, month, day).ok().and_then(|date| time(date, 0, 24 * 3600));
    Some((time, 2))
}

/// A day and time of day without a year: the last one that is not in the future. A server's clock and zone may be ahead of ours.
fn recent(month: i8, day: i8, minutes: i64, now: Timestamp) -> Option<Time> {
    let today = Offset::UTC.to_datetime(now).date();
    let tomorrow = today.checked_add(2.days()).ok()?;
    // February 29 is a day in one of eight years at the most.
    let years = (0..9).map(|back| tomorrow.year() - back);
    let date = years.filter_map(|year| Date::new(year, month, day).ok()).find(|date| *date <= tomorrow)?;
    time(date, minutes, 60)
}

fn time(date: Date, minutes: i64, precision: i64) -> Option<Time> {
    let midnight = DateTime::from_parts(date, jiff::civil::Time::midnight());
    let seconds = Offset::UTC.to_timestamp(midnight).ok()?.as_second() + minutes * 60;
    Some(Time { seconds, precision, offset: None, doubt: 0 })
}

/// `11-23-26  06:14AM       <DIR>          name`, or with four digits for the year, or 24 hours.
fn windows(line: &[u8]) -> Option<Line> {
    let words = words(line);
    let [(date, _), (clock_text, _), (size, end), ..] = words.as_slice() else { return None };
    let date = american(date).or_else(|| iso(date))?;
    let minutes = clock(clock_text)?;
    let (kind, size) = match size.to_ascii_uppercase().as_slice() {
        b"<DIR>" => (Kind::Directory, None),
        b"<JUNCTION>" | b"<SYMLINK>" | b"<SYMLINKD>" => (Kind::Link, None),
        digits => (Kind::File, Some(number(&digits.iter().copied().filter(|&b| b != b',').collect::<Vec<_>>())?)),
    };
    // After a directory's mark, blanks make up for the size; after a size there is one.
    let rest = line.get(*end..)?;
    let name = if kind == Kind::File { rest.get(1..)? } else { rest.trim_ascii_start() };
    Some(Line { kind, size, time: time(date, minutes, 60), name: name.to_vec() })
}

/// `11-23-26` or `11-23-2026`.
fn american(text: &[u8]) -> Option<Date> {
    let [month, day, year] = parts(text)?;
    let year = match year {
        0..70 => year + 2000,
        70..100 => year + 1900,
        _ => year,
    };
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

/// `2026-11-23`.
fn iso(text: &[u8]) -> Option<Date> {
    let [year, month, day] = parts(text)?;
    (year >= 1900).then(|| Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok())?
}

fn parts(text: &[u8]) -> Option<[i16; 3]> {
    let mut parts = text.split(|&b| b == b'-').map(|part| number(part).and_then(|number| i16::try_from(number).ok()));
    let found = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(found)
}

/// `06:14`, `6:14`, `06:14:38`, `06:14AM`: minutes since midnight.
fn clock(text: &[u8]) -> Option<i64> {
    let upper = text.to_ascii_uppercase();
    let (digits, half) = match (upper.strip_suffix(b"AM"), upper.strip_suffix(b"PM")) {
        (Some(digits), _) => (digits, Some(0)),
        (_, Some(digits)) => (digits, Some(12)),
        (None, None) => (upper.as_slice(), None),
    };
    let mut parts = digits.split(|&b| b == b':').map(|part| number(part).filter(|_| part.len() <= 2));
    let (hour, minute) = (parts.next()??, parts.next()??);
    let hour = match half {
        Some(_) if !(1..=12).contains(&hour) => return None,
        Some(half) => hour % 12 + half,
        None => hour,
    };
    (hour < 24 && minute < 60).then(|| i64::try_from(hour * 60 + minute).ok())?
}

fn month(text: &[u8]) -> Option<i8> {
    const MONTHS: [&[u8; 3]; 12] =
        [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];
    let lower = text.to_ascii_lowercase();
    let at = MONTHS.iter().position(|month| lower == month.as_slice())?;
    i8::try_from(at + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn read(line: &str) -> Option<Line> {
        parse(line.as_bytes(), at("2026-11-23T06:30:00Z"))
    }

    type Case = (&'static str, Kind, Option<u64>, Option<(&'static str, i64)>, &'static str);

    /// Lines, and what they say: kind, size, time with its precision, name.
    const CASES: &[Case] = &[
        (
            "-rw-r--r--   1 ftp      ftp          1024 Nov 23 06:14 a b.xo",
            Kind::File,
            Some(1024),
            Some(("2026-11-23T06:14:00Z", 60)),
            "a b.xo",
        ),
        (
            "-rw-r--r--    1 0        0             999 Dec 31 23:59 x",
            Kind::File,
            Some(999),
            Some(("2025-12-31T23:59:00Z", 60)),
            "x",
        ),
        (
            "-rw-r--r--    1 0        0             999 Nov 24 23:59 ahead",
            Kind::File,
            Some(999),
            Some(("2026-11-24T23:59:00Z", 60)),
            "ahead",
        ),
        (
            "-rw-r--r--    1 0        0             999 Feb 29 10:00 leap",
            Kind::File,
            Some(999),
            Some(("2024-02-29T10:00:00Z", 60)),
            "leap",
        ),
        ("-rw-r--r-- 1 ftp ftp 5 Jan  1  2000 old", Kind::File, Some(5), Some(("2000-01-01T00:00:00Z", 86_400)), "old"),
        (
            "-rw-r--r--+ 1 me domain users 5 Jan  1  2000  lead",
            Kind::File,
            Some(5),
            Some(("2000-01-01T00:00:00Z", 86_400)),
            " lead",
        ),
        (
            "-rw-r--r--   1 owner  5 Jan  1  2000 no group",
            Kind::File,
            Some(5),
            Some(("2000-01-01T00:00:00Z", 86_400)),
            "no group",
        ),
        ("-rw-r--r-- 1 ftp ftp 5 2026-11-23 06:14 iso", Kind::File, Some(5), Some(("2026-11-23T06:14:00Z", 60)), "iso"),
        ("-rw-r--r-- 1 ftp ftp 5 23 Nov 06:14 swapped", Kind::File, Some(5), Some(("2026-11-23T06:14:00Z", 60)), "swapped"),
        ("-rw-r--r-- 1 ftp ftp 5 Feb 31  2000 never", Kind::File, Some(5), None, "never"),
        (
            "-rw-r--r-- 1 ftp ftp 5 Nov 23 06:14 7 May 2000 x",
            Kind::File,
            Some(5),
            Some(("2026-11-23T06:14:00Z", 60)),
            "7 May 2000 x",
        ),
        ("drwxr-xr-x   2 ftp ftp 4096 Nov 23 06:14 sub", Kind::Directory, None, Some(("2026-11-23T06:14:00Z", 60)), "sub"),
        ("lrwxrwxrwx   1 ftp ftp 4 Nov 23 06:14 a -> b -> c", Kind::Link, None, Some(("2026-11-23T06:14:00Z", 60)), "a"),
        ("crw-rw-rw-   1 root root 1,   3 Nov 23 06:14 null", Kind::Other, None, Some(("2026-11-23T06:14:00Z", 60)), "null"),
        (
            "11-23-26  06:14AM       <DIR>          sub dir",
            Kind::Directory,
            None,
            Some(("2026-11-23T06:14:00Z", 60)),
            "sub dir",
        ),
        (
            "11-23-2026  12:14AM               12,345 a b.xo",
            Kind::File,
            Some(12_345),
            Some(("2026-11-23T00:14:00Z", 60)),
            "a b.xo",
        ),
        ("11-23-98  06:14PM                12345  lead", Kind::File, Some(12_345), Some(("1998-11-23T18:14:00Z", 60)), " lead"),
        ("2026-11-23  18:14                 5 x", Kind::File, Some(5), Some(("2026-11-23T18:14:00Z", 60)), "x"),
    ];

    #[test]
    fn lines_of_every_make_are_read() {
        for &(line, kind, size, time, name) in CASES {
            let time = time.map(|(text, precision)| Time { seconds: at(text).as_second(), precision, offset: None, doubt: 0 });
            let expected = Line { kind, size, time, name: name.as_bytes().to_vec() };
            assert_eq!(read(line), Some(expected), "{line}");
        }
    }

    #[test]
    fn what_is_no_entry_is_none() {
        for line in [
            "",
            "total 1024",
            "-rw-r--r--",
            "-rw-r--r-- 1 ftp ftp 5 Nov 23 06:14",
            "-rw-r--r-- 1 ftp ftp 5 Nov 23 06:14 ",
            "drwxr-xr-x 2 ftp ftp 4096 Nov 23 06:14 .",
            "drwxr-xr-x 2 ftp ftp 4096 Nov 23 06:14 ..",
            "-rw-r--r-- 1 ftp ftp five Nov 23 06:14 x",
            "-rw-r--r-- 1 ftp ftp 5 Nov 32 06:14 x",
            "-rw-r--r-- 1 ftp ftp 5 Nov 23 25:14 x",
            "13-23-26  06:14AM   5 x",
            "11-23-26  13:14AM   5 x",
            "11-23-26",
            "<html><title>login</title></html>",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
