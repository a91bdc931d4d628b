//! Reading what `rsync --list-only` prints: one line an entry, as `-rw-r--r--     12,345,678 2026/11/23 06:14:38 dir/name`.
//!
//! Sizes may have separators between thousands (rsync 3.1 and later) or none. Bytes of names that are not printable come as `\#ooo`,
//! and so does a backslash that would look like the beginning of that. Times are UTC, for the program was told so.

use std::borrow::Cow;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use memchr::memchr;

use super::super::entry::Kind;

/// What one line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'l> {
    /// What the entry is.
    pub kind: Kind,
    /// Its size in bytes; of a link, the length of what it names.
    pub size: u64,
    /// When it was last modified, in seconds since 1970; `None` for years that no calendar here has.
    pub modified: Option<i64>,
    /// Its path below what was listed, unescaped; `.` for the directory itself. Of a link, perhaps with ` -> ` and a target: see
    /// [`Line::without_target`].
    pub name: Cow<'l, [u8]>,
}

impl Line<'_> {
    /// A link's name, if ` -> TARGET` follows it. A name may have an arrow in itself, so the whole is tried first.
    #[must_use]
    pub fn without_target(&self) -> Option<&[u8]> {
        const ARROW: &[u8] = b" -> ";
        if self.kind != Kind::Link {
            return None;
        }
        let at = self.name.windows(ARROW.len()).position(|window| window == ARROW)?;
        Some(&self.name[..at])
    }
}

/// Reads a line, without its end. `None`: it is no entry but a banner, or nothing that is known.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Line<'_>> {
    let (permissions, rest) = word(line)?;
    let kind = kind(permissions)?;
    let (size, rest) = word(rest.trim_ascii_start())?;
    let size = number(size)?;
    let (date, rest) = word(rest.trim_ascii_start())?;
    // Exactly one blank: the name may begin with another.
    let (time, name) = word(rest.get(1..)?)?;
    let modified = time_of(date, time)?;
    let name = unescape(name.get(1..)?);
    (!name.is_empty()).then_some(Line { kind, size, modified, name })
}

/// Up to the first blank, and the rest with it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    // Words are short: to begin a search of many bytes at once takes longer.
    let end = text.iter().position(|&b| b == b' ')?;
    (end > 0).then(|| text.split_at(end))
}

/// The kind, from `drwxr-xr-x`; something may stand after the ten characters (`+`, `.`, `@`).
fn kind(permissions: &[u8]) -> Option<Kind> {
    let letters = permissions.get(1..10)?;
    if permissions.len() > 11 || !letters.iter().all(|b| matches!(b, b'r' | b'w' | b'x' | b's' | b'S' | b't' | b'T' | b'-')) {
        return None;
    }
    match permissions[0] {
        b'-' => Some(Kind::File),
        b'd' => Some(Kind::Directory),
        b'l' => Some(Kind::Link),
        b'p' | b's' | b'c' | b'b' | b'D' => Some(Kind::Other),
        _ => None,
    }
}

/// A number of bytes, perhaps with `,`, `.` or `'` between thousands.
fn number(text: &[u8]) -> Option<u64> {
    let mut number: u64 = 0;
    let mut since_separator = None;
    for &b in text {
        match (b, since_separator) {
            (b'0'..=b'9', _) => {
                number = number.checked_mul(10)?.checked_add(u64::from(b - b'0'))?;
                since_separator = since_separator.map(|count: u32| count + 1);
            }
            (b',' | b'.' | b'\'', None | Some(3)) => since_separator = Some(0),
            _ => return None,
        }
    }
    (matches!(since_separator, None | Some(3)) && text.first()?.is_ascii_digit()).then_some(number)
}

/// `2026/11/23` and `06:14:38`. The outer `None`: they are no date and time.
fn time_of(date: &[u8], time: &[u8]) -> Option<Option<i64>> {
    let [year, month, day] = fields(date, b'/')?;
    let [hour, minute, second] = fields(time, b':')?;
    let small = |number: u32| i8::try_from(number).ok();
    let known = || {
        // A second of its own that is skipped, or the sixtieth: the one before.
        let second = small(second.min(59))?;
        let at = DateTime::new(i16::try_from(year).ok()?, small(month)?, small(day)?, small(hour)?, small(minute)?, second, 0);
        Some(Offset::UTC.to_timestamp(at.ok()?).ok()?.as_second())
    };
    Some(known())
}

fn fields(text: &[u8], separator: u8) -> Option<[u32; 3]> {
    usual_fields(text, separator).or_else(|| any_fields(text, separator))
}

/// Of two digits each, and four in a year.
fn usual_fields(text: &[u8], separator: u8) -> Option<[u32; 3]> {
    let two = |pair: [u8; 2]| {
        let [tens, ones] = pair.map(|b| u32::from(b.wrapping_sub(b'0')));
        (tens < 10 && ones < 10).then_some(tens * 10 + ones)
    };
    match *text {
        [a, b, c, d, s, e, f, t, g, h] if s == separator && t == separator => {
            Some([two([a, b])? * 100 + two([c, d])?, two([e, f])?, two([g, h])?])
        }
        [a, b, s, c, d, t, e, f] if s == separator && t == separator => Some([two([a, b])?, two([c, d])?, two([e, f])?]),
        _ => None,
    }
}

fn any_fields(text: &[u8], separator: u8) -> Option<[u32; 3]> {
    let mut fields = [0u32; 3];
    let mut parts = text.split(|&b| b == separator);
    for field in &mut fields {
        let part = parts.next().filter(|part| !part.is_empty())?;
        for &b in part {
            *field = field.checked_mul(10)?.checked_add(u32::from(b.is_ascii_digit().then(|| b - b'0')?))?;
        }
    }
    parts.next().is_none().then_some(fields)
}

/// Undoes `\#ooo`.
fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\\', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        match rest {
            [b'\\', b'#', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                out.push(b'\\');
                rest = &rest[1..];
            }
        }
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23 06:14:38 UTC.
    const THEN: i64 = 1_795_414_478;

    #[test]
    fn an_entry_is_read_as_programs_of_every_age_print_it() {
        for (line, kind, size, modified, name) in [
            ("drwxr-xr-x          4,096 2026/11/23 06:14:38 .", Kind::Directory, 4096, Some(THEN), "."),
            ("-rw-r--r--     12,345,678 2026/11/23 06:14:38 d/big", Kind::File, 12_345_678, Some(THEN), "d/big"),
            ("-rw-r--r--    12345678 2026/11/23 06:14:38 d/big", Kind::File, 12_345_678, Some(THEN), "d/big"),
            ("-rw-r--r--     12.345.678 2026/11/23 06:14:38 d/big", Kind::File, 12_345_678, Some(THEN), "d/big"),
            ("-rw-r--r-- 1,234,567,890,123 2026/11/23 06:14:38 x", Kind::File, 1_234_567_890_123, Some(THEN), "x"),
            ("-rwsr-xr-t+             1 2026/11/23 06:14:38  lead", Kind::File, 1, Some(THEN), " lead"),
            ("-rw-r--r--              0 1969/12/31 23:58:20 old", Kind::File, 0, Some(-100), "old"),
            ("-rw-r--r--              0 12446/05/10 22:38:55 future", Kind::File, 0, None, "future"),
            ("-rw-r--r--              0 2026/11/23 06:14:60 leap", Kind::File, 0, Some(THEN + 21), "leap"),
            ("lrwxrwxrwx              7 2026/11/23 06:14:38 link -> d", Kind::Link, 7, Some(THEN), "link -> d"),
            ("prw-r--r--              0 2026/11/23 06:14:38 pipe", Kind::Other, 0, Some(THEN), "pipe"),
            ("-rw-r--r--   1 2026/11/23 06:14:38 two  blanks ", Kind::File, 1, Some(THEN), "two  blanks "),
        ] {
            let expected = Line { kind, size, modified, name: name.as_bytes().into() };
            assert_eq!(parse(line.as_bytes()), Some(expected), "{line}");
        }
    }

    #[test]
    fn the_usual_form_of_a_time_is_read_as_any_other() {
        for text in
            ["2026/11/23", "0000/00/00", "9999/99/99", "26/11/23", "12446/5/10", "2026/1/123", "2o26/11/23", "2026/11:23", ""]
        {
            let usual = usual_fields(text.as_bytes(), b'/');
            assert!(usual.is_none() || usual == any_fields(text.as_bytes(), b'/'), "{text}");
        }
        assert_eq!(
            (usual_fields(b"06:14:38", b':'), usual_fields(b"2026/11/23", b'/')),
            (Some([6, 14, 38]), Some([2026, 11, 23]))
        );
    }

    #[test]
    fn what_is_no_entry_is_none() {
        for line in [
            "",
            "Welcome -rw",
            "module          \tA comment",
            "-rw-r--r--",
            "-rw-r--r--  12 2026/11/23 06:14:38",
            "-rw-r--r--  12 2026/11/23 06:14:38 ",
            "-rw-r--r--  12 2026/11 06:14:38 x",
            "-rw-r--r--  12 2026/11/23 0x:14:38 x",
            "-rw-r--r--  1,23 2026/11/23 06:14:38 x",
            "-rw-r--r--  ,123 2026/11/23 06:14:38 x",
            "-rw-r--r--  1.2K 2026/11/23 06:14:38 x",
            "-rw-r--r--  99999999999999999999 2026/11/23 06:14:38 x",
            "xrw-r--r--  12 2026/11/23 06:14:38 x",
            "-rw-r--r!-  12 2026/11/23 06:14:38 x",
            "deleting x y z",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn escapes_are_undone_and_nothing_else_is_taken_for_one() {
        for (escaped, name) in [
            (r"\#303\#274", &b"\xc3\xbc"[..]),
            (r"\#134#123 x.txt", br"\#123 x.txt"),
            (r"\#12", br"\#12"),
            (r"\#400", br"\#400"),
            (r"\#18", br"\#18"),
            (r"a\b\#012c", b"a\\b\nc"),
            (r"\#", br"\#"),
            (r"\\#101", br"\A"),
            ("\u{fc}", "\u{fc}".as_bytes()),
        ] {
            assert_eq!(unescape(escaped.as_bytes()), name, "{escaped}");
        }
    }

    #[test]
    fn a_link_may_show_where_it_leads() {
        let name = |text: &str| {
            let line = format!("lrwxrwxrwx 7 2026/11/23 06:14:38 {text}");
            parse(line.as_bytes()).expect("an entry").without_target().map(<[u8]>::to_vec)
        };
        assert_eq!(name("a -> b -> c").as_deref(), Some(&b"a"[..]));
        assert_eq!(name("a"), None);
        let file = parse(b"-rw-r--r-- 7 2026/11/23 06:14:38 a -> b").expect("an entry");
        assert_eq!(file.without_target(), None, "only links have targets");
    }
}
