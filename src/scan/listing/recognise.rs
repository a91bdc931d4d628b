//! Who wrote a page? Told by what only that family writes, at the place where its entries begin; what a site put above them
//! (welcome texts, tables, links) is passed over.

use super::before::Order;
use super::html::{Tag, Token, Tokens, contains, contains_ignoring_case, first_text};
use super::lines;
use super::lists::Marks;
use super::size::Rounding;
use super::table::{self, Column, Row, Step, next_row};
use super::{Family, Kind};

/// What recognising found.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    /// The page's `<base href>`, if one comes before the entries.
    pub(super) base: Option<&'a [u8]>,
    /// Where the entries begin and how they are written; none where no family is recognised.
    pub(super) start: Option<Start>,
}

/// Where to read, and how.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) family: Family,
    pub(super) shape: Shape,
    pub(super) offset: usize,
}

/// How entries are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Table(table::Columns),
    Lines(lines::Columns),
    List(Marks),
    Before(Order),
    Caddy,
}

/// What the page's title begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Title {
    /// `Index of`.
    IndexOf,
    /// `Directory listing for` (Python, Twisted; Tomcat with a bracket), `Directory listing of` (rclone).
    DirectoryListing,
    #[default]
    Other,
}

/// How far from its end a page may say who made it.
const FOOTER_BYTES: usize = 512;

/// How far into a `<pre>` its heading may go.
const HEADING_TOKENS: usize = 24;

/// Walks over the page until a family shows.
pub(super) fn recognise(page: &[u8]) -> Found<'_> {
    let mut found = Found::default();
    let mut tokens = Tokens::new(page);
    let mut title = Title::Other;
    let mut row = None;
    loop {
        let before = tokens.offset();
        let Some(token) = tokens.next() else {
            return found;
        };
        let Token::Open(tag) = token else { continue };
        if tag.is(b"title") {
            title = read_title(&tokens).unwrap_or(title);
        } else if tag.is(b"base") {
            found.base = found.base.or(tag.raw(b"href"));
        } else if tag.is(b"tr") {
            row = Some(before);
        }
        let here = tokens.offset();
        let start = match () {
            () if tag.is(b"table") => by_table(tag).map(|(family, shape)| Start { family, shape, offset: here }),
            () if tag.is(b"th") => by_heading(&mut tokens, row.take().unwrap_or(before), title),
            () if tag.is(b"td") && tag.has_class(b"perms") => http_server(row.take().unwrap_or(before)),
            () if tag.is(b"ul") => {
                by_list(tag, tokens.clone(), title).map(|(family, shape)| Start { family, shape, offset: here })
            }
            () if tag.is(b"pre") => {
                by_pre(tokens.clone(), title, page).map(|(family, shape)| Start { family, shape, offset: here })
            }
            () => None,
        };
        if start.is_some() {
            return Found { start, ..found };
        }
    }
}

fn read_title(tokens: &Tokens<'_>) -> Option<Title> {
    let Some(Token::Text(text)) = tokens.clone().next() else {
        return None;
    };
    let text = text.trim_ascii().to_ascii_lowercase();
    let known = [(&b"index of"[..], Title::IndexOf), (b"directory listing ", Title::DirectoryListing)];
    known.iter().find(|(start, _)| text.starts_with(start)).map(|(_, title)| *title)
}

const fn classes(size: &'static [u8], time: &'static [u8], rounding: Rounding, plain: Kind) -> Shape {
    Shape::Table(table::Columns { size: Column::Class(size), time: Column::Class(time), rounding, plain })
}

const fn cells(size: usize, time: Column, rounding: Rounding) -> Shape {
    Shape::Table(table::Columns { size: Column::At(size), time, rounding, plain: Kind::File })
}

/// Tables that say by their own tag what they are.
fn by_table(tag: Tag<'_>) -> Option<(Family, Shape)> {
    if tag.has(b"id", b"list") {
        return Some((Family::Fancyindex, classes(b"size", b"date", Rounding::Nearest, Kind::File)));
    }
    if tag.has(b"summary", b"Directory Listing") {
        return Some((Family::Lighttpd, classes(b"s", b"m", Rounding::Hundreds, Kind::File)));
    }
    if tag.has(b"aria-describedby", b"summary") {
        return Some((Family::Caddy, Shape::Caddy));
    }
    tag.has_class(b"listing").then(|| (Family::Jetty, classes(b"size", b"lastmodified", Rounding::Nearest, Kind::File)))
}

fn http_server(offset: usize) -> Option<Start> {
    let shape = classes(b"file-size", b"last-modified", Rounding::Nearest, Kind::File);
    Some(Start { family: Family::HttpServer, shape, offset })
}

/// Tables whose heading says what they are. Leaves the tokens behind the heading.
fn by_heading(tokens: &mut Tokens<'_>, row_start: usize, title: Title) -> Option<Start> {
    let mut row = Row::default();
    let resume = tokens.offset();
    tokens.seek(row_start);
    if next_row(tokens, &mut row) != Step::Row {
        tokens.seek(resume);
        return None;
    }
    let labels: Vec<Vec<u8>> = row.cells.iter().map(|cell| first_text(cell.inner).to_ascii_lowercase()).collect();
    let at = |label: &[u8]| labels.iter().position(|found| found == label);
    let sorted_by = row.link.and_then(|link| link.raw(b"href")).unwrap_or_default();
    let (family, shape) = match (at(b"name"), at(b"size")) {
        (Some(0), Some(size)) if title == Title::DirectoryListing => {
            (Family::Tomcat, cells(size, at(b"last modified").map_or(Column::Nowhere, Column::At), Rounding::HundredAndThrees))
        }
        (Some(_), Some(size)) if sorted_by == b"?N=D" || sorted_by == b"?N=A" => {
            (Family::Webrick, cells(size, at(b"last modified").map_or(Column::Nowhere, Column::At), Rounding::Nearest))
        }
        (Some(_), Some(size)) if sorted_by.starts_with(b"?n") => {
            (Family::Civetweb, cells(size, at(b"modified").map_or(Column::Nowhere, Column::At), Rounding::Nearest))
        }
        (Some(_), Some(size)) if title == Title::IndexOf && sorted_by.is_empty() && at(b"last modified") == Some(size + 1) => {
            (Family::Merecat, cells(size, Column::At(size + 1), Rounding::DecimalDown))
        }
        (Some(_), size) if sorted_by.starts_with(b"?C=") || title == Title::IndexOf && only_apache(&labels) => {
            let place = |column: Option<usize>| column.map_or(Column::Nowhere, Column::At);
            let (size, time, rounding) = (place(size), place(at(b"last modified")), Rounding::Nearest);
            (Family::Apache, Shape::Table(table::Columns { size, time, rounding, plain: Kind::File }))
        }
        (None, Some(size)) if at(b"filename").is_some() && at(b"content type").is_some() => {
            (Family::Twisted, cells(size, Column::Nowhere, Rounding::Down))
        }
        _ => return None,
    };
    Some(Start { family, shape, offset: tokens.offset() })
}

/// Whether a heading has Apache's columns and no other.
fn only_apache(labels: &[Vec<u8>]) -> bool {
    let known = |label: &Vec<u8>| matches!(label.as_slice(), b"" | b"name" | b"last modified" | b"size" | b"description");
    labels.len() > 1 && labels.iter().all(known)
}

/// Lists of links: told by ids, titles and the first link.
fn by_list(tag: Tag<'_>, tokens: Tokens<'_>, title: Title) -> Option<(Family, Shape)> {
    let plain = Marks { plain: Kind::File, directory: None, titled: false, spans: false };
    if tag.has(b"id", b"files") {
        if tag.has_class(b"view-details") || tag.has_class(b"view-tiles") {
            return Some((Family::ServeIndex, Shape::List(Marks { directory: Some(b"icon-directory"), spans: true, ..plain })));
        }
        return Some((Family::Serve, Shape::List(Marks { plain: Kind::Unknown, titled: true, ..plain })));
    }
    if title == Title::DirectoryListing {
        return Some((Family::Python, Shape::List(plain)));
    }
    if title != Title::IndexOf {
        return None;
    }
    let mut seen = tokens.filter(|token| !matches!(token, Token::Text(text) if text.trim_ascii().is_empty()));
    match (seen.next()?, seen.next(), seen.next()) {
        (Token::Close(name), _, _) if name == b"ul" => Some((Family::Apache, Shape::List(plain))),
        (Token::Open(li), Some(Token::Open(a)), Some(Token::Text(text))) if li.is(b"li") && a.is(b"a") => {
            if a.has(b"href", b"..") && text == b"Parent Directory" {
                return Some((Family::H2o, Shape::List(Marks { plain: Kind::Unknown, ..plain })));
            }
            text.starts_with(b" ").then_some((Family::Apache, Shape::List(plain)))
        }
        _ => None,
    }
}

/// Listings in a `<pre>`: told by the first link or by the heading.
fn by_pre(mut tokens: Tokens<'_>, title: Title, page: &[u8]) -> Option<(Family, Shape)> {
    let lines = |plain| lines::Columns { time: true, size: true, rounding: Rounding::Nearest, plain };
    let mut first = true;
    let mut heading = Vec::new();
    let mut sorted = false;
    for _ in 0..HEADING_TOKENS {
        match tokens.next()? {
            Token::Open(tag) if tag.is(b"a") => {
                let href = tag.raw(b"href").unwrap_or_default();
                if first && title == Title::IndexOf && href == b"../" {
                    return Some((Family::Nginx, Shape::Lines(lines(Kind::File))));
                }
                if first && contains(&page[page.len().saturating_sub(FOOTER_BYTES)..], b"Generated by darkhttpd") {
                    return Some((Family::Darkhttpd, Shape::Lines(lines::Columns { time: false, ..lines(Kind::File) })));
                }
                if first && contains(&heading, b"access      user      group     date             size  name") {
                    return Some((Family::Webfs, Shape::Before(Order::TimeThenSize)));
                }
                if first && contains(&heading, b"last-changed  name") && contains(&heading, b"bytes") {
                    return Some((Family::Thttpd, Shape::Before(Order::SizeThenTime)));
                }
                sorted |= href.starts_with(b"?C=");
                first = false;
            }
            Token::Text(text) if !first && !sorted && title == Title::IndexOf && is_run_together(text) => {
                return Some((Family::MiniHttpd, Shape::Lines(lines(Kind::Unknown))));
            }
            Token::Text(text) => heading.extend_from_slice(text),
            Token::Open(tag) if tag.is(b"hr") && contains(&heading, b"last-changed") => {}
            Token::Open(tag) if tag.is(b"hr") => break,
            Token::Close(name) if name.eq_ignore_ascii_case(b"pre") => break,
            _ => {}
        }
    }
    if contains(&heading, b"Name                   Last modified         Size  Description") {
        return Some((Family::Inets, Shape::Lines(lines::Columns { rounding: Rounding::Up, ..lines(Kind::File) })));
    }
    let named = contains(&heading, b"Name") && (sorted || title == Title::IndexOf && contains(&heading, b"  "));
    let (time, size) = (contains_ignoring_case(&heading, b"last modified"), contains(&heading, b"Size"));
    (named && (sorted || time || size))
        .then(|| (Family::Apache, Shape::Lines(lines::Columns { time, size, ..lines(Kind::File) })))
}

/// Whether a text starts with a date as only ACME's servers write it: `20Nov2026`.
fn is_run_together(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start(), [d, e, m, ..] if d.is_ascii_digit() && e.is_ascii_digit() && m.is_ascii_uppercase())
}
