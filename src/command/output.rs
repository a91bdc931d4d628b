//! What commands print: tables that fit a terminal for people, JSON for programs.

use std::io::{self, Write as _};

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use jiff::Timestamp;
use jiff::tz::TimeZone;

pub(crate) use crate::model::people::{ago, grouped};

/// An empty table with these headings, without lines around cells.
pub(crate) fn table<const N: usize>(headings: [&str; N]) -> Table {
    let mut table = bare();
    table.set_header(headings);
    // Nothing follows the last one.
    for column in table.column_iter_mut().take(N.saturating_sub(1)) {
        column.set_padding((0, GAP));
    }
    if let Some(last) = table.column_iter_mut().last() {
        last.set_padding((0, 0));
    }
    table
}

/// Blanks between columns.
const GAP: u16 = 2;

/// Prints facts, a line each: what it is, and what it is for this one.
pub(crate) fn print_facts<'a>(facts: impl IntoIterator<Item = (&'a str, String)>) -> anyhow::Result<()> {
    let mut rows = bare();
    for (what, fact) in facts {
        rows.add_row([what, &fact]);
        if let Some(column) = rows.column_mut(0) {
            column.set_padding((0, 2));
        }
    }
    print_table(&rows)
}

fn bare() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// Prints a line, or whatever text, to standard output. A reader that went away (`| head`) is no error. What mirrors and
/// file names bring along can't steer the terminal.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let text = text.replace(is_steering, "\u{fffd}");
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") }) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Control characters, but for the ends of lines.
fn is_steering(character: char) -> bool {
    character.is_control() && character != '\n'
}

/// Prints a table without the blanks at the ends of its lines.
///
/// Where the terminal is too narrow, long columns are wrapped: a name or number that is cut in two is no use to anyone. Where that is
/// not enough, and it helps, one blank stands between columns.
pub(crate) fn print_table(table: &Table) -> anyhow::Result<()> {
    print(&fitted(table).lines().map(|line| line.trim_end().to_owned() + "\n").collect::<String>())
}

fn fitted(table: &Table) -> Table {
    /// Longer texts than this are sentences, paths and URLs, which can be wrapped.
    const WHOLE: u16 = 18;
    /// In no narrower column can a sentence be read; the terminal wraps its lines then.
    const LEAST: u16 = 14;
    let mut table = table.clone();
    let widths = table.column_max_content_widths();
    let (whole, long): (Vec<u16>, Vec<u16>) = widths.iter().partition(|width| **width <= WHOLE);
    let long = u16::try_from(long.len()).unwrap_or(u16::MAX);
    let room = table.width().unwrap_or(u16::MAX);
    let left = |gap: u16| {
        let gaps = u16::try_from(widths.len().saturating_sub(1)).unwrap_or(u16::MAX).saturating_mul(gap);
        room.checked_sub(whole.iter().fold(gaps, |sum, width| sum.saturating_add(*width)))
    };
    let is_enough = |left: &Option<u16>| left.is_some_and(|left| left >= long.saturating_mul(LEAST));
    let (is_narrow, left) = match (left(GAP), left(1)) {
        (wide, narrow) if !is_enough(&wide) && is_enough(&narrow) => (true, narrow),
        (wide, _) => (false, wide),
    };
    let share = left.unwrap_or(0) / long.max(1);
    let last = widths.len().saturating_sub(1);
    for (at, (column, width)) in table.column_iter_mut().zip(widths).enumerate() {
        if is_narrow && at < last {
            column.set_padding((0, 1));
        }
        column.set_constraint(match width {
            ..=WHOLE => ColumnConstraint::ContentWidth,
            _ => ColumnConstraint::LowerBoundary(Width::Fixed(share.clamp(LEAST, WHOLE))),
        });
    }
    table
}

/// Prints a value as JSON.
pub(crate) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&json(value)?)
}

/// JSON escapes control characters by itself, but for DEL and C1.
fn json(value: &impl serde::Serialize) -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(value)?;
    for code in (0x7f_u8..=0x9f).filter(|&code| text.contains(char::from(code))).collect::<Vec<_>>() {
        text = text.replace(char::from(code), &format!("\\u{code:04x}"));
    }
    Ok(text)
}

/// A time for people: local, to the second.
pub(crate) fn time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_read_steers_no_terminal_and_loses_nothing() {
        let evil = "\x1b[31m\u{9b}31m\x7f\nf\u{fc}r";
        let text = json(&evil).expect("JSON");
        assert!(!text.contains(char::is_control), "{text:?}");
        assert_eq!(serde_json::from_str::<String>(&text).expect("JSON"), evil);
        assert_eq!(evil.replace(is_steering, "?"), "?[31m?31m?\nf\u{fc}r");
    }

    #[test]
    fn a_narrow_terminal_cuts_no_names_and_numbers() {
        let mut narrow = table(["MIRROR", "KM", "", "WHY"]);
        narrow.add_row(["rochester", "16,193", "left out: it failed its last probes", "down"]);
        let lines: Vec<String> = fitted(narrow.set_width(24)).lines().collect();
        assert!(lines[1].starts_with("rochester  16,193  left out:"), "{lines:#?}");
        assert!(lines.len() < 6, "{lines:#?}");
        let mut scans = table(["MIRROR", "FOUND", "GONE", "MISMATCHED", "DOUBTFUL", "BYTES", "SECONDS", "BY", "RESULT"]);
        scans.add_row(["mirrors.example", "10,000", "0", "0", "0", "372.7 KiB", "0.2", "rsync", "complete"]);
        let widths = |width| fitted(scans.clone().set_width(width)).lines().map(|line| line.trim_end().len()).max();
        assert_eq!((widths(100), widths(80)), (Some(88), Some(80)), "two blanks between columns, or one");
    }

    #[test]
    fn a_usual_terminal_is_wide_enough() {
        let mut usual = table(["RANK", "MIRROR", "CLASS", "TIER", "KM", "SCORE", "HOLDS", "HEALTH", ""]);
        let why = "left out: is not known to hold this version";
        usual.add_row(["-", "frankfurt", "continent", "12", "16,193", "100", "no", "failing", why]);
        let mut places = table(["ADDRESS", "NETWORK", "COUNTRY", "CONTINENT", "PLACE", "AS"]);
        places.add_row([
            "2001:0:4136:e378:8000:63bf:3fff:fdfe = 192.0.2.1",
            "145.96.0.0/11",
            "-",
            "Europe",
            "",
            "AS1145 SURF B.V.",
        ]);
        places.add_row(["10.0.0.1", "-", "private network (RFC 1918)", "-", "", "AS1103 SURFNET-NL SURF B.V."]);
        for mut table in [usual, places] {
            let lines: Vec<String> = fitted(table.set_width(80)).lines().map(|line| line.trim_end().to_owned()).collect();
            assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
        }
    }
}
