//! Reading the answer to MLSD (RFC 3659 section 7): one line an entry, as `type=file;size=1024;modify=20261123061438; name`.

use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::super::matching::Time;
use super::{Kind, Line};

/// Reads a line, without its end. `None`: it is no entry, or stands for the directory itself or the one above.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Line> {
    let blank = line.iter().position(|&b| b == b' ')?;
    let (facts, name) = (&line[..blank], &line[blank + 1..]);
    // Every fact ends with a semicolon; without one this is something else.
    let facts = facts.strip_suffix(b";").unwrap_or(facts);
    let (mut found, mut size, mut time) = (None, None, None);
    for fact in facts.split(|&b| b == b';').filter(|fact| !fact.is_empty()) {
        let equals = fact.iter().position(|&b| b == b'=')?;
        let (key, value) = (fact[..equals].to_ascii_lowercase(), &fact[equals + 1..]);
        match key.as_slice() {
            b"type" => found = Some(kind(value)?),
            b"size" => size = number(value),
            b"modify" => time = modified(value),
            _ => {}
        }
    }
    (!name.is_empty()).then_some(Line { kind: found?, size, time, name: name.to_vec() })
}

/// `None` for the directory itself and the one above.
fn kind(value: &[u8]) -> Option<Kind> {
    let value = value.to_ascii_lowercase();
    match value.as_slice() {
        b"file" => Some(Kind::File),
        b"dir" => Some(Kind::Directory),
        b"cdir" | b"pdir" => None,
        // `OS.unix=slink:/target`, `OS.unix=symlink`: not in the RFC, and what servers say.
        _ if value.starts_with(b"os.unix=slink") || value.starts_with(b"os.unix=symlink") => Some(Kind::Link),
        _ => Some(Kind::Other),
    }
}

pub(super) fn number(text: &[u8]) -> Option<u64> {
    let good = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    good.then(|| std::str::from_utf8(text).ok()?.parse().ok())?
}

/// `YYYYMMDDHHMMSS`, perhaps with a fraction, in UTC (RFC 3659 section 2.3).
fn modified(value: &[u8]) -> Option<Time> {
    let whole = value.split(|&b| b == b'.').next()?;
    // `19100` for the year 2000: programs of the last century.
    if whole.len() != 14 || number(whole).is_none() {
        return None;
    }
    let field = |from: usize, to: usize| number(&whole[from..to]).and_then(|number| i16::try_from(number).ok());
    let small = |from: usize| field(from, from + 2).and_then(|number| i8::try_from(number).ok());
    let at = DateTime::new(field(0, 4)?, small(4)?, small(6)?, small(8)?, small(10)?, small(12)?.min(59), 0).ok()?;
    let seconds = Offset::UTC.to_timestamp(at).ok()?.as_second();
    Some(Time { seconds, precision: 1, offset: Some(0), doubt: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23 06:14:38 UTC.
    const THEN: i64 = 1_795_414_478;

    #[test]
    fn facts_are_read_in_any_order_and_spelling() {
        let time = |seconds| Some(Time { seconds, precision: 1, offset: Some(0), doubt: 0 });
        for (line, kind, size, time, name) in [
            ("type=file;size=1024;modify=20261123061438; a b.xo", Kind::File, Some(1024), time(THEN), "a b.xo"),
            ("Size=0;Modify=20261123061438.250;Perm=r;Type=File; x", Kind::File, Some(0), time(THEN), "x"),
            (
                "modify=20261123061438;perm=flcdmpe;type=dir;unique=801U5;UNIX.mode=0755; sub",
                Kind::Directory,
                None,
                time(THEN),
                "sub",
            ),
            ("type=OS.unix=slink:/srv/a;size=4; link", Kind::Link, Some(4), None, "link"),
            ("type=OS.unix=symlink; link", Kind::Link, None, None, "link"),
            ("type=OS.unix=chr-13/29; tty", Kind::Other, None, None, "tty"),
            ("type=file;  lead", Kind::File, None, None, " lead"),
            ("type=file;size=-5;modify=yesterday; x", Kind::File, None, None, "x"),
            ("type=file;modify=191001123061438; x", Kind::File, None, None, "x"),
            ("type=file;modify=20261323061438; x", Kind::File, None, None, "x"),
        ] {
            let expected = Line { kind, size, time, name: name.as_bytes().to_vec() };
            assert_eq!(parse(line.as_bytes()), Some(expected), "{line}");
        }
    }

    #[test]
    fn what_is_no_entry_is_none() {
        for line in [
            "",
            "total 5",
            "type=cdir; .",
            "type=pdir; ..",
            "size=5; name",
            "type=file;",
            "type=file; ",
            "-rw-r--r-- 1 ftp ftp 5 Nov 23 06:14 x",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }
}
