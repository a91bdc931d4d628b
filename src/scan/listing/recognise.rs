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
    /// Who wrote the page, how its entries are written and where they begin; none where no family is recognised.
    pub(super) start: Option<(Family, Shape, usize)>,
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
    /// Most servers.
    IndexOf,
    /// Python, Twisted; Tomcat with a bracket.
    DirectoryListingFor,
    /// Jetty.
    Directory,
    /// `serve`.
    FilesWithin,
    /// `serve-index`.
    ListingDirectory,
    #[default]
    Other,
}

const TITLES: [(&[u8], Title); 5] = [
    (b"index of", Title::IndexOf),
    (b"directory listing for", Title::DirectoryListingFor),
    (b"directory:", Title::Directory),
    (b"files within", Title::FilesWithin),
    (b"listing directory", Title::ListingDirectory),
];

/// How far into a table or `<pre>` its heading may go.
const HEADING_TOKENS: usize = 24;
/// How much of one text in a heading is looked at: its words are far shorter.
const HEADING_BYTES: usize = 256;
/// How far from its end a page may say who made it.
const FOOTER_BYTES: usize = 512;

/// Walks over the page until a family shows.
pub(super) fn recognise(page: &[u8]) -> Found<'_> {
    let mut walk = Walk {
        tokens: Tokens::new(page),
        title: Title::Other,
        row: None,
        cut: false,
        footer: &page[page.len().saturating_sub(FOOTER_BYTES)..],
    };
    let mut found = Found::default();
    loop {
        let before = walk.tokens.offset();
        match walk.tokens.next() {
            None => return found,
            Some(Token::Open(tag)) if tag.is(b"base") => found.base = found.base.or(tag.raw(b"href")),
            Some(Token::Open(tag)) => found.start = walk.judge(tag, before),
            Some(_) => {}
        }
        if found.start.is_some() {
            return found;
        }
    }
}

/// What was seen on the way.
struct Walk<'a> {
    tokens: Tokens<'a>,
    title: Title,
    /// Where the present row begins.
    row: Option<usize>,
    /// No whole row comes any more.
    cut: bool,
    /// Its last bytes.
    footer: &'a [u8],
}

impl Walk<'_> {
    /// Looks at a tag and what follows it. Here or at the row's beginning the entries begin.
    fn judge(&mut self, tag: Tag<'_>, before: usize) -> Option<(Family, Shape, usize)> {
        let here = self.tokens.offset();
        let at = |offset| move |(family, shape)| (family, shape, offset);
        if tag.is(b"title") {
            self.title = read_title(self.tokens.clone()).unwrap_or(self.title);
        } else if tag.is(b"tr") {
            self.row = Some(before);
        } else if tag.is(b"table") {
            return by_table(tag, self.tokens.clone(), self.title).map(at(here));
        } else if tag.is(b"th") && !self.cut {
            let start = self.row.take().unwrap_or(before);
            return self.by_heading(start);
        } else if tag.is(b"td") && tag.has_class(b"perms") && self.title == Title::IndexOf {
            let shape = classes(b"file-size", b"last-modified", Rounding::Nearest);
            return Some((Family::HttpServer, shape, self.row.unwrap_or(before)));
        } else if tag.is(b"ul") {
            return by_list(tag, self.tokens.clone(), self.title).map(at(here));
        } else if tag.is(b"pre") {
            return by_pre(self.tokens.clone(), self.title, self.footer).map(at(here));
        }
        None
    }

    /// Tables whose heading says what they are. Goes on behind the heading.
    fn by_heading(&mut self, start: usize) -> Option<(Family, Shape, usize)> {
        let resume = self.tokens.offset();
        self.tokens.seek(start);
        let mut row = Row::default();
        if next_row(&mut self.tokens, &mut row) != Step::Row {
            self.tokens.seek(resume);
            self.cut = true;
            return None;
        }
        let (family, shape) = by_labels(&row, self.title)?;
        Some((family, shape, self.tokens.offset()))
    }
}

fn read_title(mut tokens: Tokens<'_>) -> Option<Title> {
    let Some(Token::Text(text)) = tokens.next() else {
        return None;
    };
    let text = text[..text.len().min(HEADING_BYTES)].trim_ascii_start().to_ascii_lowercase();
    TITLES.iter().find(|(start, _)| text.starts_with(start)).map(|(_, title)| *title)
}

const fn classes(size: &'static [u8], time: &'static [u8], rounding: Rounding) -> Shape {
    Shape::Table(table::Columns { size: Column::Class(size), time: Column::Class(time), rounding, plain: Kind::File })
}

/// Tables that say by their own tag what they are.
fn by_table(tag: Tag<'_>, mut tokens: Tokens<'_>, title: Title) -> Option<(Family, Shape)> {
    let sorts =
        |token: Token<'_>| matches!(token, Token::Open(a) if a.raw(b"href").is_some_and(|href| href.starts_with(b"?C=")));
    if tag.has(b"id", b"list") && tokens.by_ref().take(HEADING_TOKENS).any(sorts) {
        return Some((Family::Fancyindex, classes(b"size", b"date", Rounding::Nearest)));
    }
    if tag.has(b"summary", b"Directory Listing") {
        return Some((Family::Lighttpd, classes(b"s", b"m", Rounding::Hundreds)));
    }
    if tag.has(b"aria-describedby", b"summary") {
        return Some((Family::Caddy, Shape::Caddy));
    }
    if title != Title::Directory {
        return None;
    }
    if tag.has_class(b"listing") {
        return Some((Family::Jetty, classes(b"size", b"lastmodified", Rounding::Nearest)));
    }
    // Before version 9.4.
    let (size, time) = (Column::At(1), Column::At(2));
    let old = Shape::Table(table::Columns { size, time, rounding: Rounding::Nearest, plain: Kind::File });
    tag.has(b"border", b"0").then_some((Family::Jetty, old))
}

fn by_labels(heading: &Row<'_>, title: Title) -> Option<(Family, Shape)> {
    let labels: Vec<Vec<u8>> = heading.cells.iter().map(|cell| first_text(cell.inner).to_ascii_lowercase()).collect();
    let at = |label: &[u8]| labels.iter().position(|found| found == label);
    let sorted_by = heading.link.and_then(|link| link.raw(b"href")).unwrap_or_default();
    let (name, size, time) = (at(b"name"), at(b"size"), at(b"last modified").or(at(b"modified")));
    let (family, rounding) = match (name, size) {
        (Some(0), Some(_)) if title == Title::DirectoryListingFor => (Family::Tomcat, Rounding::HundredAndThrees),
        (Some(_), Some(_)) if sorted_by.starts_with(b"?N=") => (Family::Webrick, Rounding::Nearest),
        (Some(_), Some(_)) if sorted_by.starts_with(b"?n") => (Family::Civetweb, Rounding::Nearest),
        (Some(_), _) if sorted_by.starts_with(b"?C=") => (Family::Apache, Rounding::Nearest),
        (Some(_), Some(size)) if title == Title::IndexOf && time == Some(size + 1) => (Family::Merecat, Rounding::DecimalDown),
        (Some(_), _) if title == Title::IndexOf && only_apache(&labels) => (Family::Apache, Rounding::Nearest),
        (None, Some(_)) if at(b"filename").is_some() && at(b"content encoding").is_some() => (Family::Twisted, Rounding::Down),
        _ => return None,
    };
    let place = |column: Option<usize>| column.map_or(Column::Nowhere, Column::At);
    let columns = table::Columns { size: place(size), time: place(time), rounding, plain: Kind::File };
    Some((family, Shape::Table(columns)))
}

/// Whether a heading has Apache's columns and no other.
fn only_apache(labels: &[Vec<u8>]) -> bool {
    let known = |label: &Vec<u8>| matches!(label.as_slice(), b"" | b"name" | b"last modified" | b"size" | b"description");
    labels.len() > 1 && labels.iter().all(known)
}

/// Lists of links: told by titles, ids and the first link.
fn by_list(tag: Tag<'_>, tokens: Tokens<'_>, title: Title) -> Option<(Family, Shape)> {
    let list = Marks { plain: Kind::File, directory: None, titled: false, spans: false };
    let files = tag.has(b"id", b"files");
    let (family, marks) = match title {
        Title::ListingDirectory if files => {
            (Family::ServeIndex, Marks { directory: Some(b"icon-directory"), spans: true, ..list })
        }
        Title::FilesWithin if files => (Family::Serve, Marks { plain: Kind::Unknown, titled: true, ..list }),
        Title::DirectoryListingFor => (Family::Python, list),
        Title::IndexOf => match by_first_link(tokens)? {
            Family::H2o => (Family::H2o, Marks { plain: Kind::Unknown, ..list }),
            family => (family, list),
        },
        _ => return None,
    };
    Some((family, Shape::List(marks)))
}

/// Apache puts a space before each name, h2o always has a parent directory.
fn by_first_link(tokens: Tokens<'_>) -> Option<Family> {
    let mut seen = tokens.filter(|token| !matches!(token, Token::Text(text) if text.trim_ascii().is_empty()));
    match (seen.next()?, seen.next(), seen.next()) {
        (Token::Close(name), _, _) if name == b"ul" => Some(Family::Apache),
        (Token::Open(li), Some(Token::Open(a)), Some(Token::Text(text))) if li.is(b"li") && a.is(b"a") => {
            if a.has(b"href", b"..") && text == b"Parent Directory" {
                return Some(Family::H2o);
            }
            text.starts_with(b" ").then_some(Family::Apache)
        }
        _ => None,
    }
}

/// Listings in a `<pre>`: told by the first link, by what follows it, or by the heading.
fn by_pre(mut tokens: Tokens<'_>, title: Title, footer: &[u8]) -> Option<(Family, Shape)> {
    let lines = |time, size, plain| Shape::Lines(lines::Columns { time, size, rounding: Rounding::Nearest, plain });
    let mut heading = Vec::new();
    let (mut first, mut sorted) = (true, false);
    for _ in 0..HEADING_TOKENS {
        match tokens.next()? {
            Token::Open(tag) if tag.is(b"a") => {
                let href = tag.raw(b"href").unwrap_or_default();
                let has = |words: &[u8]| first && contains(&heading, words);
                if first && title == Title::IndexOf && href == b"../" {
                    return Some((Family::Nginx, lines(true, true, Kind::File)));
                }
                if first && contains(footer, b"Generated by darkhttpd") {
                    return Some((Family::Darkhttpd, lines(shows_times(tokens), true, Kind::File)));
                }
                if has(b"access      user      group     date             size  name") {
                    return Some((Family::Webfs, Shape::Before(Order::TimeThenSize)));
                }
                if has(b"bytes  last-changed  name") {
                    return Some((Family::Thttpd, Shape::Before(Order::SizeThenTime)));
                }
                sorted |= href.starts_with(b"?C=");
                first = false;
            }
            Token::Text(text) if !first && !sorted && title == Title::IndexOf && is_run_together(text) => {
                return Some((Family::MiniHttpd, lines(true, true, Kind::Unknown)));
            }
            Token::Text(text) => heading.extend_from_slice(&text[..text.len().min(HEADING_BYTES)]),
            Token::Open(tag) if tag.is(b"hr") && !contains(&heading, b"last-changed") => break,
            Token::Close(name) if name.eq_ignore_ascii_case(b"pre") => break,
            _ => {}
        }
    }
    if contains(&heading, b"Name                   Last modified         Size  Description") {
        let columns = lines::Columns { time: true, size: true, rounding: Rounding::Up, plain: Kind::File };
        return Some((Family::Inets, Shape::Lines(columns)));
    }
    let named = contains(&heading, b"Name") && (sorted || title == Title::IndexOf && contains(&heading, b"  "));
    let (time, size) = (contains_ignoring_case(&heading, b"last modified"), contains(&heading, b"Size"));
    (named && (sorted || time || size)).then(|| (Family::Apache, lines(time, size, Kind::File)))
}

/// Whether there are times after the links, as darkhttpd writes them since 1.17: the first link, to the directory above, has none.
fn shows_times(tokens: Tokens<'_>) -> bool {
    let is_time = |token| matches!(token, Token::Text(text) if lines::time_after(text).is_some());
    tokens.take(HEADING_TOKENS).any(is_time)
}

/// Whether a text starts with a date as only ACME's servers write it: `20Nov2026`.
fn is_run_together(text: &[u8]) -> bool {
    matches!(text.trim_ascii_start(), [d, e, m, ..] if d.is_ascii_digit() && e.is_ascii_digit() && m.is_ascii_uppercase())
}
