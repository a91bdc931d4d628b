//! Times as listings print them: cut to a minute or a second, in a zone that is mostly not told.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

/// When an entry was last changed, as far as a listing says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedTime {
    /// The first moment that is printed like this; as if in UTC where the zone is not known.
    pub at: Timestamp,
    /// How long all that follows is printed the same: a minute, a second.
    pub precision: Duration,
    /// Whether the zone is known.
    pub zone: Zone,
}

/// Whether a printed time says which zone it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// It does, or the format promises UTC.
    Known,
    /// It is the server's local time, or UTC: off by up to [`MAX_OFFSET`].
    Unknown,
}

/// The farthest that a zone's time is from UTC (Kiribati; the other way it is 12 hours).
pub const MAX_OFFSET: SignedDuration = SignedDuration::from_hours(14);

impl ListedTime {
    /// The earliest moment that this may stand for.
    #[must_use]
    pub fn earliest(&self) -> Timestamp {
        match self.zone {
            Zone::Known => self.at,
            Zone::Unknown => self.at.checked_sub(MAX_OFFSET).unwrap_or(Timestamp::MIN),
        }
    }

    /// The latest moment that this may stand for.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        let precision = SignedDuration::try_from(self.precision).unwrap_or(SignedDuration::ZERO);
        let doubt = match self.zone {
            Zone::Known => precision,
            Zone::Unknown => precision.saturating_add(MAX_OFFSET),
        };
        let end = self.at.checked_add(doubt).unwrap_or(Timestamp::MAX);
        end.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(end)
    }

    /// Whether a file of this time may be printed like this.
    #[must_use]
    pub fn allows(&self, time: Timestamp) -> bool {
        self.earliest() <= time && time <= self.latest()
    }
}

/// Reads a time; nothing may follow it.
pub(super) fn parse(text: &[u8]) -> Option<ListedTime> {
    let (time, length) = parse_start(text)?;
    text[length..].trim_ascii().is_empty().then_some(time)
}

/// Reads a time at the start of a text, and says how long it is.
pub(super) fn parse_start(text: &[u8]) -> Option<(ListedTime, usize)> {
    let mut cursor = Cursor { text, at: 0 };
    cursor.spaces();
    let date = cursor.date()?;
    let clock = cursor.clock(date.american)?;
    let local = DateTime::new(date.year, date.month, date.day, clock.hour, clock.minute, clock.second, 0).ok()?;
    let at = Offset::UTC.to_timestamp(local).ok()?;
    let (at, zone) = match clock.offset {
        Some(offset) => (at.checked_sub(offset).ok()?, Zone::Known),
        None => (at, Zone::Unknown),
    };
    Some((ListedTime { at, precision: clock.precision, zone }, cursor.at))
}

struct Date {
    year: i16,
    month: i8,
    day: i8,
    /// Written with a slash, month first, as only the United States do; then the clock has to have AM or PM to prove it.
    american: bool,
}

struct Clock {
    hour: i8,
    minute: i8,
    second: i8,
    precision: Duration,
    offset: Option<SignedDuration>,
}

const MONTHS: [&[u8; 3]; 12] = [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn rest(&self) -> &[u8] {
        &self.text[self.at..]
    }

    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn spaces(&mut self) {
        loop {
            match self.rest() {
                [byte, ..] if byte.is_ascii_whitespace() => self.at += 1,
                [0xc2, 0xa0, ..] => self.at += 2, // a no-break space
                _ => return,
            }
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    fn separator(&mut self) -> u8 {
        let byte = self.peek();
        if matches!(byte, b'-' | b'/' | b'.' | b' ') {
            self.at += 1;
            return byte;
        }
        0
    }

    /// A number of so many digits, no more.
    fn number(&mut self, least: usize, most: usize) -> Option<i16> {
        let digits = self.rest().iter().take_while(|b| b.is_ascii_digit()).count();
        if digits < least || digits > most || digits > 4 {
            return None;
        }
        let value = self.rest()[..digits].iter().fold(0, |n, digit| n * 10 + i16::from(digit - b'0'));
        self.at += digits;
        Some(value)
    }

    fn small(&mut self, least: usize) -> Option<i8> {
        self.number(least, 2).and_then(|n| i8::try_from(n).ok())
    }

    fn month_name(&mut self) -> Option<i8> {
        let name = self.rest().get(..3)?;
        let index = MONTHS.iter().position(|month| name.eq_ignore_ascii_case(*month))?;
        self.at += 3;
        i8::try_from(index + 1).ok()
    }

    /// `2026-11-20`, `2026-Nov-20`, `20-Nov-2026`, `20Nov2026`, `20.11.2026`, `Fri, 20 Nov 2026`, `Nov 20, 2026`, `11/20/2026`.
    fn date(&mut self) -> Option<Date> {
        if self.peek().is_ascii_alphabetic() {
            if let Some(month) = self.month_name() {
                return self.month_first(month);
            }
            self.at += 3;
            if !self.take(b',') {
                return None;
            }
            self.spaces();
        }
        if self.rest().iter().take_while(|b| b.is_ascii_digit()).count() == 4 {
            let year = self.number(4, 4)?;
            let separator = self.separator();
            let month = if self.peek().is_ascii_digit() { self.small(1)? } else { self.month_name()? };
            if separator == 0 || !self.take(separator) {
                return None;
            }
            return Some(Date { year, month, day: self.small(1)?, american: false });
        }
        self.day_first()
    }

    fn month_first(&mut self, month: i8) -> Option<Date> {
        self.spaces();
        let day = self.small(1)?;
        self.take(b',');
        self.spaces();
        Some(Date { year: self.number(4, 4)?, month, day, american: false })
    }

    fn day_first(&mut self) -> Option<Date> {
        let first = self.small(1)?;
        let separator = self.separator();
        if !self.peek().is_ascii_digit() {
            let month = self.month_name()?;
            if separator != 0 && !self.take(separator) {
                return None;
            }
            return Some(Date { year: self.number(4, 4)?, month, day: first, american: false });
        }
        let second = self.small(1)?;
        if !self.take(separator) {
            return None;
        }
        let year = self.number(4, 4)?;
        match separator {
            b'.' => Some(Date { year, month: second, day: first, american: false }),
            b'/' => Some(Date { year, month: first, day: second, american: true }),
            _ => None,
        }
    }

    /// The time of day with its zone, or none at all: then the precision is a day.
    fn clock(&mut self, american: bool) -> Option<Clock> {
        let start = self.at;
        self.take(b',');
        if !self.take(b'T') {
            self.spaces();
        }
        let colon = self.rest().iter().position(|b| !b.is_ascii_digit()).is_some_and(|n| n > 0 && self.rest()[n] == b':');
        if !colon {
            self.at = start;
            let precision = Duration::from_secs(86_400);
            return (!american).then_some(Clock { hour: 0, minute: 0, second: 0, precision, offset: None });
        }
        let mut hour = self.small(1)?;
        self.take(b':');
        let minute = self.small(2)?;
        let (second, precision) = match self.take(b':') {
            true => (self.small(2)?, Duration::from_secs(1)),
            false => (0, Duration::from_secs(60)),
        };
        if self.take(b'.') {
            self.at += self.rest().iter().take_while(|b| b.is_ascii_digit()).count();
        }
        match self.half_of_day() {
            Some(late) if (1..=12).contains(&hour) => hour = hour % 12 + if late { 12 } else { 0 },
            None if !american => {}
            _ => return None,
        }
        Some(Clock { hour, minute, second, precision, offset: self.offset() })
    }

    /// Whether AM or PM follows, perhaps after a space, of whatever kind.
    fn half_of_day(&mut self) -> Option<bool> {
        let rest = self.rest();
        let gap =
            [b" ".as_slice(), b"\xc2\xa0", b"\xe2\x80\xaf"].iter().find(|gap| rest.starts_with(gap)).map_or(0, |gap| gap.len());
        let late = match rest.get(gap..gap + 2)? {
            b"AM" | b"am" => false,
            b"PM" | b"pm" => true,
            _ => return None,
        };
        self.at += gap + 2;
        Some(late)
    }

    fn offset(&mut self) -> Option<SignedDuration> {
        let start = self.at;
        self.take(b' ');
        for name in [b"GMT".as_slice(), b"UTC", b"Z"] {
            if self.rest().starts_with(name) && !self.rest().get(name.len()).is_some_and(u8::is_ascii_alphanumeric) {
                self.at += name.len();
                return Some(SignedDuration::ZERO);
            }
        }
        let offset = self.signed_offset();
        if offset.is_none() {
            self.at = start;
        }
        offset
    }

    fn signed_offset(&mut self) -> Option<SignedDuration> {
        let sign = match self.peek() {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.at += 1;
        let digits = |range: std::ops::Range<usize>| {
            let text = std::str::from_utf8(self.rest().get(range)?).ok()?;
            text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i64>().ok())?
        };
        let colon = usize::from(self.rest().get(2) == Some(&b':'));
        let (hours, minutes) = (digits(0..2)?, digits(2 + colon..4 + colon)?);
        self.at += 4 + colon;
        Some(SignedDuration::from_mins(sign * (hours * 60 + minutes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_servers_print_them() {
        let minute = Duration::from_secs(60);
        let second = Duration::from_secs(1);
        for (text, at, precision, zone) in [
            ("2026-11-20 14:03", "2026-11-20T14:03:00Z", minute, Zone::Unknown),
            ("20-Nov-2026 14:03", "2026-11-20T14:03:00Z", minute, Zone::Unknown),
            ("2026-Nov-20 14:03:27", "2026-11-20T14:03:27Z", second, Zone::Unknown),
            ("20Nov2026 14:03", "2026-11-20T14:03:00Z", minute, Zone::Unknown),
            ("20.11.2026 14:03:27", "2026-11-20T14:03:27Z", second, Zone::Unknown),
            ("Fri, 20 Nov 2026 14:03:27 GMT", "2026-11-20T14:03:27Z", second, Zone::Known),
            ("2026-11-20T14:03:27Z", "2026-11-20T14:03:27Z", second, Zone::Known),
            ("2026-11-20T14:03:27.5+02:00", "2026-11-20T12:03:27Z", second, Zone::Known),
            ("Nov 20, 2026 2:03:27 PM", "2026-11-20T14:03:27Z", second, Zone::Unknown),
            ("11/20/2026 2:03:27 PM", "2026-11-20T14:03:27Z", second, Zone::Unknown),
            ("1/2/1970 12:00:01 AM", "1970-01-02T00:00:01Z", second, Zone::Unknown),
            ("2026-11-20", "2026-11-20T00:00:00Z", Duration::from_secs(86_400), Zone::Unknown),
        ] {
            let at = at.parse().expect("a timestamp");
            assert_eq!(parse(text.as_bytes()), Some(ListedTime { at, precision, zone }), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_or_could_be_two_is_none() {
        for text in [
            "",
            "-",
            "soon",
            "11/20/2026 14:03",
            "20-11-2026 14:03",
            "2026-13-01 00:00",
            "2026-02-30 00:00",
            "26-Nov-20 14:03",
            "aN-Invalid Date-NaN aN:aN",
            "2026-11-20 25:00",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
