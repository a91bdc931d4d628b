//! Listings as tables: one row an entry. Families differ in where the size and the time are and in how they are printed.

use super::Kind;
use super::address::Name;
use super::collect::Collector;
use super::html::{Tag, Token, Tokens, first_text};
use super::size::{self, Rounding};
use super::time;

/// Where a family has what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    pub(super) size: Column,
    pub(super) time: Column,
    pub(super) rounding: Rounding,
    /// What an entry is whose link has no slash.
    pub(super) plain: Kind,
}

/// Which cell of a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    /// No one.
    Nowhere,
    /// The one at this place, from 0.
    At(usize),
    /// The one with this class.
    Class(&'static [u8]),
}

/// A row: its first link and its cells.
#[derive(Debug, Default)]
pub(super) struct Row<'a> {
    pub(super) link: Option<Tag<'a>>,
    pub(super) cells: Vec<Cell<'a>>,
    /// Whether any cell is a heading.
    pub(super) heads: bool,
}

/// A cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell<'a> {
    pub(super) tag: Tag<'a>,
    pub(super) inner: &'a [u8],
}

/// What came when a row was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A row.
    Row,
    /// The end of the table.
    End,
    /// The end of the page: a row that was begun is no row, its last number may have lost digits.
    Cut,
}

/// The most cells of a row that are looked at.
const MAX_CELLS: usize = 16;

/// Reads rows up to the end of the table.
pub(super) fn read(tokens: &mut Tokens<'_>, columns: Columns, collector: &mut Collector<'_>) {
    read_rows(tokens, collector, |row, name, collector| add(row, columns, name, collector));
}

/// Gives `add` each row that leads to something, up to the end of the table.
pub(super) fn read_rows<'a, 'c>(
    tokens: &mut Tokens<'a>,
    collector: &mut Collector<'c>,
    mut add: impl FnMut(&Row<'a>, Name, &mut Collector<'c>),
) {
    let mut row = Row::default();
    while !collector.is_full() {
        match next_row(tokens, &mut row) {
            Step::Row => {
                let href = row.link.and_then(|link| link.raw(b"href")).filter(|_| !row.heads);
                if let Some(name) = href.and_then(|href| collector.link(href)) {
                    add(&row, name, collector);
                }
            }
            Step::End => return collector.complete(),
            Step::Cut => return,
        }
    }
}

fn add(row: &Row<'_>, columns: Columns, name: Name, collector: &mut Collector<'_>) {
    let printed = columns.size.find(row).map(|cell| first_text(cell.inner));
    let size = printed.as_deref().and_then(|text| size::parse(text, columns.rounding));
    let time = columns.time.find(row).and_then(|cell| time::parse(&first_text(cell.inner)));
    let plain = if printed.as_deref() == Some(b"-") { Kind::Unknown } else { columns.plain };
    collector.push(name, plain, size, time);
}

impl Column {
    fn find<'r, 'a>(self, row: &'r Row<'a>) -> Option<&'r Cell<'a>> {
        match self {
            Self::Nowhere => None,
            Self::At(index) => row.cells.get(index),
            Self::Class(class) => row.cells.iter().find(|cell| cell.tag.has_class(class)),
        }
    }
}

/// Takes the next row of the table that the tokens are in.
pub(super) fn next_row<'a>(tokens: &mut Tokens<'a>, row: &mut Row<'a>) -> Step {
    row.link = None;
    row.heads = false;
    row.cells.clear();
    let mut begun = false;
    let mut cell: Option<(Tag<'a>, usize)> = None;
    loop {
        let before = tokens.offset();
        let Some(token) = tokens.next() else {
            return Step::Cut;
        };
        let ends = match token {
            Token::Open(tag) => tag.is(b"tr") && begun,
            Token::Close(name) => name.eq_ignore_ascii_case(b"tr") || name.eq_ignore_ascii_case(b"table"),
            Token::Text(_) => false,
        };
        let (cell_begins, cell_ends) = match token {
            Token::Open(tag) if tag.is(b"td") || tag.is(b"th") => (Some(tag), true),
            Token::Close(name) => (None, name.eq_ignore_ascii_case(b"td") || name.eq_ignore_ascii_case(b"th")),
            _ => (None, false),
        };
        if let Some((tag, start)) = cell.filter(|_| ends || cell_ends) {
            if row.cells.len() < MAX_CELLS {
                row.cells.push(Cell { tag, inner: tokens.between(start, before) });
            }
            cell = None;
        }
        if ends {
            match token {
                Token::Close(name) if !begun => {
                    if name.eq_ignore_ascii_case(b"table") {
                        return Step::End;
                    }
                }
                Token::Close(name) if name.eq_ignore_ascii_case(b"tr") => return Step::Row,
                _ => {
                    tokens.seek(before);
                    return Step::Row;
                }
            }
        }
        match token {
            Token::Open(tag) if tag.is(b"tr") => begun = true,
            Token::Open(tag) if tag.is(b"a") && row.link.is_none() && tag.raw(b"href").is_some() => row.link = Some(tag),
            _ => {}
        }
        if let Some(tag) = cell_begins {
            begun = true;
            row.heads |= tag.is(b"th");
            cell = Some((tag, tokens.offset()));
        }
    }
}
