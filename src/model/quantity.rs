//! Quantities as people write them in a configuration: `"4KiB"`, `"30m"`.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes: `"0"`, `"512"`, `"4KiB"`, `"2 GiB"`, `"1.5MB"`. Binary and decimal units are told apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct ByteSize(pub u64);

/// A length of time: `"90s"`, `"30m"`, `"1h 30m"`, `"2d"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Span(pub Duration);

/// Why a text is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No size.
    #[error("{0:?} is no size; write it like \"512\", \"4KiB\" or \"2GB\"")]
    Size(String),
    /// No duration.
    #[error("{0:?} is no duration; write it like \"90s\", \"30m\" or \"1h 30m\"")]
    Span(String),
}

const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

impl FromStr for ByteSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let error = || Error::Size(text.to_owned());
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(trimmed.len());
        let (number, unit) = (&trimmed[..digits], trimmed[digits..].trim_start());
        let factor = match UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
            _ if unit.is_empty() => 1,
            Some((_, factor)) => *factor,
            None => return Err(error()),
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(factor).map(Self).ok_or_else(error);
        }
        let value = number.parse::<f64>().map_err(|_| error())? * factor as f64;
        if value.fract() != 0.0 && factor == 1 || !(0.0..=u64::MAX as f64 / 2.0).contains(&value) {
            return Err(error());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the range checked above")]
        Ok(Self(value as u64))
    }
}

impl fmt::Display for ByteSize {
    /// With a binary unit and one decimal: `676401` is `660.5 KiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS[..4].iter().rev().find(|(_, factor)| self.0 >= *factor);
        match unit {
            None => write!(f, "{} B", self.0),
            Some((name, factor)) => write!(f, "{:.1} {name}", self.0 as f64 / *factor as f64),
        }
    }
}

impl FromStr for Span {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let error = || Error::Span(text.to_owned());
        if text.trim() == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let span: jiff::SignedDuration = match text.trim().strip_suffix('d').map(|days| days.trim().parse::<i64>()) {
            Some(Ok(days)) => jiff::SignedDuration::from_hours(days.checked_mul(24).ok_or_else(error)?),
            _ => text.parse().map_err(|_| error())?,
        };
        Duration::try_from(span).map(Self).map_err(|_| error())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::SignedDuration::try_from(self.0) {
            Ok(span) => write!(f, "{span:#}"),
            Err(_) => write!(f, "{}s", self.0.as_secs()),
        }
    }
}

impl<'de> serde::Deserialize<'de> for ByteSize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text("a size in quotes, like \"4KiB\"", PhantomData))
    }
}

impl<'de> serde::Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text("a duration in quotes, like \"30m\"", PhantomData))
    }
}

/// Reads a text, and says what it should look like to whoever writes something else.
struct Text<T>(&'static str, PhantomData<T>);

impl<T: FromStr<Err = Error>> serde::de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_binary_and_decimal_units() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("4KiB", 4096), ("4 kib", 4096), ("2GiB", 2 << 30), ("1.5MB", 1_500_000), ("1kB", 1000)]
        {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "x", "-1", "1.5", "4 KiB extra", "99999999999999999999", "99999999TiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_for_people() {
        assert_eq!(ByteSize(676_401).to_string(), "660.5 KiB");
        assert_eq!(ByteSize(12).to_string(), "12 B");
    }

    #[test]
    fn spans_are_read_and_shown() {
        for (text, seconds) in [("30m", 1800), ("90s", 90), ("1h 30m", 5400), ("2d", 172_800), ("0", 0), ("0s", 0)] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_secs(seconds))), "{text}");
        }
        for text in ["", "30", "-5m", "5 parsecs"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        assert_eq!(Span(Duration::from_secs(1800)).to_string(), "30m");
    }
}
