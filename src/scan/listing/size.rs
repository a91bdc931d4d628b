//! Sizes as listings print them: a number that was rounded, one way or another, stands for an interval.

use super::html::trim;

/// The sizes that a printed one may stand for, in bytes: `least` to `most`, both included. Exact where they are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The smallest.
    pub least: u64,
    /// The largest.
    pub most: u64,
}

impl Size {
    /// A size that was printed in full.
    #[must_use]
    pub const fn exactly(bytes: u64) -> Self {
        Self { least: bytes, most: bytes }
    }

    /// Whether a file of `bytes` may be printed like this.
    #[must_use]
    pub const fn allows(self, bytes: u64) -> bool {
        self.least <= bytes && bytes <= self.most
    }

    /// Whether only one size is possible.
    #[must_use]
    pub const fn is_exact(self) -> bool {
        self.least == self.most
    }
}

/// How a server shortens sizes. Units are powers of 1024, whatever they are called, but for one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounding {
    /// To the nearest last digit; some round twice or go by 1/1024 (Apache prints 1.0M for 996,352 to 1,100,000 or so).
    Nearest,
    /// Down to the last digit (Twisted).
    Down,
    /// Down to the last digit, in units of 1000 (merecat).
    DecimalDown,
    /// Up to the last digit, and one more where nothing was to be rounded (inets).
    Up,
    /// One decimal, which counts hundreds of 1/1024 (lighttpd): `.9` is 900/1024 and more; never 0 for a file that is not empty.
    Hundreds,
    /// One decimal, which counts 103s of 1/1024 (Tomcat), otherwise the same.
    HundredAndThrees,
}

/// Reads a size; the whole text must be one. `-` and the like are none.
pub(super) fn parse(text: &[u8], rounding: Rounding) -> Option<Size> {
    let number = Number::parse(trim(text))?;
    let Number { whole, tenths, decimals, unit } = number;
    if unit == 1 {
        return (decimals == 0).then_some(Size::exactly(whole));
    }
    if whole > MAX_WHOLE {
        return None;
    }
    let unit = if rounding == Rounding::DecimalDown { 1000_u64.pow(unit.ilog2() / 10) } else { unit };
    let (unit, kilo) = (i128::from(unit), i128::from(unit) / 1024);
    let digits = 10i128.pow(decimals);
    let value = (i128::from(whole) * digits + i128::from(tenths)) * unit / digits;
    let step = unit / digits;
    let start = i128::from(whole) * unit;
    let (least, most) = match rounding {
        Rounding::Nearest => (value - step * 9 / 16, value + step * 9 / 16),
        Rounding::Down | Rounding::DecimalDown => (value, value + step),
        Rounding::Up => (value - step, value),
        Rounding::Hundreds if decimals == 1 => {
            let first = if whole == 0 && tenths == 1 { 0 } else { i128::from(tenths) * 100 };
            let last = if tenths == 9 { 1023 } else { i128::from(tenths) * 100 + 99 };
            (start + first * kilo, start + (last + 1) * kilo - 1)
        }
        Rounding::HundredAndThrees if decimals == 1 => {
            let first = if whole == 0 && tenths == 1 { 0 } else { i128::from(tenths) * 103 };
            let last = i128::from(tenths) * 103 + 102;
            (start + first * kilo, start + (last + 1) * kilo - 1)
        }
        Rounding::Hundreds | Rounding::HundredAndThrees => (value - step, value + step),
    };
    let bytes = |n: i128| u64::try_from(n.max(0)).ok();
    Some(Size { least: bytes(least)?, most: bytes(most)? })
}

/// More of any unit than any server prints (Tomcat prints a tebibyte as 1073741824.0 KiB), and far from overflow.
const MAX_WHOLE: u64 = 1 << 40;

/// `1,234`, `1.2K`, `976.6 KiB`, `833 bytes`.
struct Number {
    whole: u64,
    tenths: u64,
    decimals: u32,
    unit: u64,
}

impl Number {
    fn parse(text: &[u8]) -> Option<Self> {
        let end = text.iter().position(|b| !(b.is_ascii_digit() || *b == b',')).unwrap_or(text.len());
        let (digits, rest) = text.split_at(end);
        let whole = whole(digits)?;
        let (fraction, rest) = match rest.strip_prefix(b".") {
            Some(rest) => rest.split_at(rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len())),
            None => (&[][..], rest),
        };
        if fraction.len() > 3 {
            return None;
        }
        let tenths = fraction.iter().fold(0, |n, digit| n * 10 + u64::from(digit - b'0'));
        Some(Self { whole, tenths, decimals: u32::try_from(fraction.len()).ok()?, unit: unit(trim(rest))? })
    }
}

fn whole(digits: &[u8]) -> Option<u64> {
    let mut groups = digits.split(|&b| b == b',');
    let first = groups.next()?;
    let grouped = groups.clone().next().is_some();
    if first.is_empty() || grouped && first.len() > 3 || groups.any(|group| group.len() != 3) {
        return None;
    }
    let add = |n: u64, digit: &u8| n.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    digits.iter().filter(|b| b.is_ascii_digit()).try_fold(0, add)
}

fn unit(text: &[u8]) -> Option<u64> {
    let word = text.to_ascii_lowercase();
    let (letter, rest) = match word.split_first() {
        None => return Some(1),
        Some((b'b', rest)) => return matches!(rest, b"" | b"yte" | b"ytes").then_some(1),
        Some((letter, rest)) => (*letter, rest),
    };
    let power = b"kmgtpe".iter().position(|&l| l == letter)?;
    matches!(rest, b"" | b"b" | b"ib").then_some(1 << (10 * (power + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_size_stands_for_all_that_the_server_prints_so() {
        for (text, rounding, least, most) in [
            ("77", Rounding::Nearest, 77, 77),
            ("5,000,000,000 bytes", Rounding::Nearest, 5_000_000_000, 5_000_000_000),
            ("1023 B", Rounding::Nearest, 1023, 1023),
            ("0.9K", Rounding::Hundreds, 900, 1023),
            ("976.5K", Rounding::Hundreds, 976 * 1024 + 500, 976 * 1024 + 599),
            ("0.1 KiB", Rounding::HundredAndThrees, 0, 205),
            ("976K", Rounding::Down, 976 * 1024, 977 * 1024),
            ("702M", Rounding::DecimalDown, 702_000_000, 703_000_000),
            ("977k", Rounding::Up, 976 * 1024, 977 * 1024),
        ] {
            assert_eq!(parse(text.as_bytes(), rounding), Some(Size { least, most }), "{text}");
        }
        let megabyte = parse(b"1.0M", Rounding::Nearest).expect("a size");
        assert!(megabyte.allows(1_000_000) && !megabyte.allows(980_000) && !megabyte.allows(1_200_000));
    }

    #[test]
    fn what_is_no_size_is_none() {
        for text in
            ["", "-", "  - ", "1.5", "12,34", "1,2345", "4,6G", "1.2345K", "K", "1 2", "99999999999999999999", "99999999999E"]
        {
            assert_eq!(parse(text.as_bytes(), Rounding::Nearest), None, "{text}");
        }
    }
}
