//! Buckets: S3's ListObjectsV2 and the older ListObjects (AWS's API reference), as AWS, Ceph, MinIO and others speak it.
//!
//! Keys are whole paths within the bucket. Those of one directory are asked for with `prefix` and `delimiter=/`; keys of deeper ones,
//! which come when the delimiter was left out, are dropped, and the listing is not complete. Without a delimiter, all that is below a
//! prefix comes page by page: [`bucket`] reads that.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::collect::Collector;
use super::html::{Token, Tokens, unescape};
use super::size::{self, Rounding};
use super::time;
use super::{Error, Family, Kind, ListedTime, MAX_ENTRIES, Size, xml};

/// One page of what a bucket has below a prefix, whatever the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Below which prefix.
    pub prefix: Vec<u8>,
    /// The objects.
    pub objects: Vec<Object>,
    /// Where it goes on.
    pub next: Next,
}

/// An object of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its whole key.
    pub key: Vec<u8>,
    /// Its size.
    pub size: Option<Size>,
    /// When it was written.
    pub time: Option<ListedTime>,
}

/// Where a bucket's listing goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// That was all.
    End,
    /// With this continuation token (ListObjectsV2).
    Token(String),
    /// After this key (ListObjects).
    After(Vec<u8>),
    /// The page was cut, or doesn't say.
    Lost,
}

/// Reads a page that was asked for without a delimiter.
///
/// # Errors
/// [`Error::NotAListing`] when it is no bucket's.
pub fn bucket(page: &[u8]) -> Result<Bucket, Error> {
    let page = page.strip_prefix(b"\xef\xbb\xbf").unwrap_or(page).trim_ascii_start();
    if xml::recognise(page) != Some(Family::S3) {
        return Err(Error::NotAListing("it is not a bucket's"));
    }
    let page = Page::read(page);
    let objects: Vec<Object> = page.entries.iter().map(|entry| page.object(entry)).collect();
    let next = match (page.closed, page.truncated) {
        (false, _) => Next::Lost,
        (true, false) => Next::End,
        (true, true) => page.next(objects.last()),
    };
    Ok(Bucket { prefix: page.decode(&page.prefix).into_owned(), objects, next })
}

/// What a page says about itself, whatever the order that it says it in.
#[derive(Default)]
struct Page<'a> {
    prefix: Cow<'a, [u8]>,
    encoded: bool,
    truncated: bool,
    /// A token that means something to the server alone.
    token: Option<Cow<'a, [u8]>>,
    /// A key.
    marker: Option<Cow<'a, [u8]>>,
    closed: bool,
    entries: Vec<Raw<'a>>,
}

/// One of `<Contents>` (a file, or a key that ends in a slash) or `<CommonPrefixes>` (a directory).
#[derive(Default)]
struct Raw<'a> {
    key: Cow<'a, [u8]>,
    size: Cow<'a, [u8]>,
    modified: Cow<'a, [u8]>,
}

/// Reads a page as the listing of one directory.
pub(super) fn read(page: &[u8], collector: &mut Collector<'_>) {
    let page = Page::read(page);
    let next = page.token.as_ref().or(page.marker.as_ref());
    if page.closed && (!page.truncated || next.is_some()) {
        collector.complete();
    }
    if let Some(next) = next.filter(|_| page.truncated) {
        collector.continues(String::from_utf8_lossy(next).into_owned());
    }
    for entry in &page.entries {
        add(entry, &page, collector);
    }
}

impl<'a> Page<'a> {
    fn read(text: &'a [u8]) -> Self {
        let mut page = Self::default();
        let mut entry: Option<Raw<'_>> = None;
        let mut text_before = Cow::Borrowed(&b""[..]);
        for token in Tokens::new(text) {
            match token {
                Token::Open(tag) => {
                    text_before = Cow::Borrowed(b"");
                    if tag.is(b"Contents") || tag.is(b"CommonPrefixes") {
                        entry = Some(Raw::default());
                    }
                }
                Token::Text(found) => text_before = unescape(found),
                Token::Close(b"Contents" | b"CommonPrefixes") if page.entries.len() < MAX_ENTRIES => {
                    page.entries.extend(entry.take());
                }
                Token::Close(b"ListBucketResult") => page.closed = true,
                Token::Close(name) => {
                    let value = std::mem::take(&mut text_before);
                    match &mut entry {
                        Some(entry) => entry.note(name, value),
                        None => page.note(name, value),
                    }
                }
            }
        }
        page
    }

    fn note(&mut self, name: &[u8], value: Cow<'a, [u8]>) {
        match name {
            b"Prefix" => self.prefix = value,
            b"EncodingType" => self.encoded = value.as_ref() == b"url",
            b"IsTruncated" => self.truncated = value.trim_ascii() == b"true",
            b"NextContinuationToken" => self.token = Some(value),
            b"NextMarker" => self.marker = Some(value),
            _ => {}
        }
    }

    fn object(&self, entry: &Raw<'_>) -> Object {
        Object {
            key: self.decode(&entry.key).into_owned(),
            size: size::parse(&entry.size, Rounding::Nearest),
            time: time::parse(&entry.modified),
        }
    }

    /// Where a page goes on that says that it does. ListObjects tells it with a delimiter only: else it is after the last key.
    fn next(&self, last: Option<&Object>) -> Next {
        let told = |text: &Option<Cow<'a, [u8]>>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = told(&self.token) {
            return Next::Token(String::from_utf8_lossy(&token).into_owned());
        }
        let marker = told(&self.marker).map(|marker| self.decode(&marker).into_owned());
        let key = marker.or_else(|| last.map(|last| last.key.clone())).filter(|key| !key.is_empty());
        key.map_or(Next::Lost, Next::After)
    }

    fn decode<'b>(&self, key: &'b [u8]) -> Cow<'b, [u8]> {
        if !self.encoded {
            return Cow::Borrowed(key);
        }
        // `url` is the encoding of forms: a space is a plus.
        let spaced: Vec<u8> = key.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
        percent_decode(&spaced).collect::<Vec<u8>>().into()
    }
}

impl<'a> Raw<'a> {
    fn note(&mut self, name: &[u8], value: Cow<'a, [u8]>) {
        match name {
            b"Key" | b"Prefix" => self.key = value,
            b"Size" => self.size = value,
            b"LastModified" => self.modified = value,
            _ => {}
        }
    }
}

fn add(entry: &Raw<'_>, page: &Page<'_>, collector: &mut Collector<'_>) {
    let (key, prefix) = (page.decode(&entry.key), page.decode(&page.prefix));
    let Some(below) = key.strip_prefix(prefix.as_ref()).filter(|_| prefix.is_empty() || prefix.ends_with(b"/")) else {
        return collector.drop_stray();
    };
    if below.is_empty() || collector.is_full() {
        return; // the directory's own marker
    }
    if below.strip_suffix(b"/").unwrap_or(below).contains(&b'/') {
        return collector.drop_stray(); // asked without a delimiter: directories don't show
    }
    if let Some(name) = collector.name(below) {
        let size = size::parse(&entry.size, Rounding::Nearest);
        collector.push(name, Kind::File, size, time::parse(&entry.modified));
    }
}
