//! Numbers and times as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Abilities, ByteSize, Checkup, Ranges, Reached, Trust};

/// How long ago something was, in one unit: `3 days ago`.
#[must_use]
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(at.as_second());
    let (count, unit) = match seconds.abs() {
        0..60 => (seconds.abs(), "second"),
        60..3600 => (seconds.abs() / 60, "minute"),
        3600..86_400 => (seconds.abs() / 3600, "hour"),
        other => (other / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    if seconds < 0 { format!("in {count} {unit}{plural}") } else { format!("{count} {unit}{plural} ago") }
}

/// A number with separators: `676,401`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A part, from 0 to 1, as a percentage: `100 %` and `0 %` only where that is exact.
#[must_use]
pub fn percent(part: f64) -> String {
    match part {
        1.0 => "100 %".to_owned(),
        0.0 => "0 %".to_owned(),
        _ => format!("{:.2} %", (part * 100.0).clamp(0.01, 99.99)),
    }
}

/// A URL's user name and password, which may stand in a message, are nobody's business: leaves them out.
#[must_use]
pub fn without_credentials(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(after.len());
        let host = after[..end].rfind('@').map_or(0, |at| at + 1);
        out.push_str(&after[host..end]);
        rest = &after[end..];
    }
    out + rest
}

/// What a mirror can do, as lines for people: what about, and how that is. What was not tried is left out.
#[must_use]
pub fn can_do(checkup: &Checkup, now: Timestamp) -> Vec<(&'static str, String)> {
    let Abilities { ranges, largest, certificate, ipv4, ipv6 } = checkup.abilities;
    let mut lines = Vec::new();
    match ranges {
        Ranges::Kept => lines.push(("Ranges", "parts of files are sent where parts are asked for (206)".to_owned())),
        Ranges::Ignored => {
            let text = "whole files, or other parts, are sent where parts are asked for: such requests go to other mirrors";
            lines.push(("Ranges", text.to_owned()));
        }
        Ranges::Unknown => {}
    }
    if let Some(largest) = largest {
        lines.push((
            "Large files",
            format!("more than {} does not come right: larger files go to other mirrors", ByteSize(largest)),
        ));
    }
    let until = checkup.certificate_until.map(|until| until.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d").to_string());
    match (certificate, until, checkup.days_left(now)) {
        (Trust::Refused, ..) => lines.push(("Certificate", "refused: no client is sent to the https URL".to_owned())),
        (Trust::Trusted, Some(until), Some(days)) => {
            let soon = if checkup.ends_soon(now).is_some() { ": soon" } else { "" };
            lines.push(("Certificate", format!("good until {until} ({days} days{soon})")));
        }
        (Trust::Trusted, ..) => lines.push(("Certificate", "good".to_owned())),
        (Trust::Unknown, ..) => {}
    }
    for (what, reached) in [("IPv4", ipv4), ("IPv6", ipv6)] {
        match reached {
            Reached::Yes => lines.push((what, "answers".to_owned())),
            Reached::No => lines.push((what, "no answer".to_owned())),
            Reached::Unknown => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ages_read_well() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        let now = Timestamp::from_second(1_000_000).expect("valid");
        let at = |seconds: i64| Timestamp::from_second(1_000_000 - seconds).expect("valid");
        assert_eq!(
            [1, 59, 3600, 200_000, -120].map(|s| ago(at(s), now)),
            ["1 second ago", "59 seconds ago", "1 hour ago", "2 days ago", "in 2 minutes"]
        );
    }

    #[test]
    fn nearly_all_is_not_all() {
        for (part, text) in
            [(0.0, "0 %"), (1.0 / 3.0, "33.33 %"), (0.999_999, "99.99 %"), (0.000_001, "0.01 %"), (1.0, "100 %")]
        {
            assert_eq!(percent(part), text);
        }
    }

    #[test]
    fn passwords_in_messages_are_not_shown() {
        for (text, shown) in [
            ("ftp://joe:s3cr@t@mirror.example/pub: refused", "ftp://mirror.example/pub: refused"),
            ("rsync://joe@mirror.example; https://b.example/a@b/", "rsync://mirror.example; https://b.example/a@b/"),
            ("no URL at all: a@b, ://", "no URL at all: a@b, ://"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }
}
