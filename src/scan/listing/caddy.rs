//! Caddy's page, and rclone's, which is made after it: a table whose times are machine-readable, and of whose directories only the link tells.

use super::Kind;
use super::collect::Collector;
use super::html::{Token, Tokens, first_text, unescape};
use super::size::{self, Rounding};
use super::table::{Cell, read_rows};
use super::time;

/// Reads rows up to the end of the table.
pub(super) fn read(tokens: &mut Tokens<'_>, collector: &mut Collector<'_>) {
    read_rows(tokens, collector, |row, name, collector| {
        let size = row.cells.iter().find_map(|cell| size_of(cell));
        let time = row.cells.iter().find_map(|cell| time_of(cell));
        collector.push(name, Kind::File, size, time);
    });
}

/// `<td data-order="1234">1.2 KiB</td>`: exact in the attribute, -1 for directories. Newer pages have more around the text.
fn size_of(cell: &Cell<'_>) -> Option<super::Size> {
    let order = cell.tag.raw(b"data-order").or_else(|| cell.tag.raw(b"data-size"))?;
    size::parse(order, Rounding::Nearest).or_else(|| size::parse(&first_text(cell.inner), Rounding::Nearest))
}

fn time_of(cell: &Cell<'_>) -> Option<super::ListedTime> {
    Tokens::new(cell.inner).find_map(|token| match token {
        Token::Open(tag) if tag.is(b"time") => time::parse_start(&unescape(tag.raw(b"datetime")?)).map(|(time, _)| time),
        _ => None,
    })
}
