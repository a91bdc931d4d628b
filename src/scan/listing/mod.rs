//! Reading a mirror's directory listing: bytes in, values out.
//!
//! [`parse`] recognises who wrote a page by its content, not by headers, and hands it to that family's parser. Names come from the
//! links' addresses alone, never from their texts, and none leaves the directory. Sizes and times are intervals that hold the truth,
//! however the server rounded them. Whatever can't be relied on says so: [`Listing::complete`], [`Family::Generic`], [`Kind::Unknown`].

mod address;
mod before;
mod caddy;
mod collect;
mod family;
mod generic;
mod html;
mod json;
mod lines;
mod lists;
mod recognise;
mod s3;
mod size;
mod table;
mod time;
mod xml;

pub use address::Base;
pub use family::Family;
pub use s3::{Bucket, Next, Object, bucket};
pub use size::Size;
pub use time::{ListedTime, MAX_OFFSET, Zone};

use collect::Collector;
use html::Tokens;
use recognise::Shape;

/// What a page says about a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The files and directories, in the page's order; no name twice (where a page contradicts itself, the entry says less).
    pub entries: Vec<Entry>,
    /// Who wrote the page.
    pub family: Family,
    /// Whether all of the directory is here: the page came whole, none follows it, and no link led astray. Where this is false, what is
    /// not in `entries` may be there all the same.
    pub complete: bool,
    /// How many entries were left out: names that no tree can hold, links that lead elsewhere.
    pub dropped: u64,
    /// What to ask for the next page with, where the directory has more entries than the page (S3's continuation token).
    pub next: Option<String>,
}

/// A file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// One decoded segment, which any tree path can hold; not always UTF-8.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Its size, for what may be a file.
    pub size: Option<Size>,
    /// When it was last changed.
    pub time: Option<ListedTime>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file (or a link to one, or to nothing).
    File,
    /// A directory.
    Directory,
    /// The page does not tell.
    Unknown,
}

/// Why a page gives no listing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is something else: a login page, an error page, a file, nothing.
    #[error("not a directory listing: {0}")]
    NotAListing(&'static str),
    /// The page's address can't be read.
    #[error("{0:?} is no absolute http or https URL")]
    BadBase(String),
}

/// The most entries that are taken from one page; the largest directories of public mirrors have some 100,000.
pub const MAX_ENTRIES: usize = 1_000_000;

/// Reads a page that a server gave for the directory `base`. Takes time in proportion to the page, whatever it holds.
///
/// # Errors
/// [`Error::NotAListing`] when nothing in the page shows that it is one.
pub fn parse(page: &[u8], content_type: Option<&str>, base: &Base) -> Result<Listing, Error> {
    if content_type.is_some_and(|given| !may_list(given)) {
        return Err(Error::NotAListing("its content type is none that a listing has"));
    }
    let page = page.strip_prefix(b"\xef\xbb\xbf").unwrap_or(page).trim_ascii_start();
    if page.is_empty() {
        return Err(Error::NotAListing("it is empty"));
    }
    if page[0] != b'<' && page[..page.len().min(HEAD_BYTES)].contains(&0) {
        return Err(Error::NotAListing("it is binary"));
    }
    let mut collector = Collector::new(base);
    let family = if page[0] != b'<' && json::is_likely(page) {
        json::read(page, &mut collector)?
    } else if let Some(family) = xml::recognise(page) {
        xml::read(page, family, &mut collector)
    } else {
        read_html(page, &mut collector)?
    };
    Ok(collector.finish(family))
}

/// How much of a page is looked at to see that it is no text.
const HEAD_BYTES: usize = 512;

fn read_html(page: &[u8], collector: &mut Collector<'_>) -> Result<Family, Error> {
    let found = recognise::recognise(page);
    if let Some(href) = found.base {
        collector.move_base(href);
    }
    let Some((family, shape, offset)) = found.start else {
        return generic::read(page, collector);
    };
    let mut tokens = Tokens::new(page);
    tokens.seek(offset);
    match shape {
        Shape::Table(columns) => table::read(&mut tokens, columns, collector),
        Shape::Lines(columns) => lines::read(&mut tokens, columns, collector),
        Shape::List(marks) => lists::read(&mut tokens, marks, collector),
        Shape::Before(order) => before::read(&mut tokens, order, collector),
        Shape::Caddy => caddy::read(&mut tokens, collector),
    }
    Ok(family)
}

fn may_list(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (major, minor) = essence.split_once('/').unwrap_or((&essence, ""));
    match major {
        "text" | "" => true,
        "application" => {
            ["json", "javascript", "x-javascript", "xml", "xhtml+xml"].contains(&minor) || minor.ends_with("+json")
        }
        _ => false,
    }
}
