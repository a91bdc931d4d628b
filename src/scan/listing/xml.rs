//! Listings as XML: nginx's here, S3's in its own file.
//!
//! Read with the tokenizer for HTML: nginx writes names as the bytes that they are, which a strict XML reader refuses.

use super::collect::Collector;
use super::html::{Tag, Token, Tokens, unescape};
use super::s3;
use super::size::{self, Rounding};
use super::time;
use super::{Family, Kind};

/// How many tokens at the start may come before the root element.
const PROLOGUE_TOKENS: usize = 8;

/// Whose XML it is, if it is a listing.
pub(super) fn recognise(page: &[u8]) -> Option<Family> {
    let root = Tokens::new(page).take(PROLOGUE_TOKENS).find_map(|token| match token {
        Token::Open(tag) => Some(tag),
        _ => None,
    })?;
    if root.is(b"ListBucketResult") {
        return Some(Family::S3);
    }
    (root.is(b"list") && page.starts_with(b"<?xml")).then_some(Family::NginxXml)
}

/// Reads the page.
pub(super) fn read(page: &[u8], family: Family, collector: &mut Collector<'_>) -> Family {
    match family {
        Family::S3 => s3::read(page, collector),
        _ => read_nginx(page, collector),
    }
    family
}

/// `<file mtime="..." size="...">name</file>`, `<directory mtime="...">name</directory>`, `<other ...>`.
fn read_nginx(page: &[u8], collector: &mut Collector<'_>) {
    let mut open: Option<Tag<'_>> = None;
    let mut text: &[u8] = b"";
    for token in Tokens::new(page) {
        match token {
            Token::Open(tag) if tag.is(b"list") => {}
            Token::Open(tag) => (open, text) = (Some(tag), b""),
            Token::Text(found) => text = found,
            Token::Close(b"list") => return collector.complete(),
            Token::Close(_) => {
                let Some(tag) = open.take() else { continue };
                let Some(name) = collector.name(&unescape(text)) else { continue };
                let plain = match () {
                    () if tag.is(b"directory") => Kind::Directory,
                    () if tag.is(b"file") => Kind::File,
                    () => Kind::Unknown,
                };
                let size = tag.raw(b"size").and_then(|text| size::parse(text, Rounding::Nearest));
                collector.push(name, plain, size, tag.raw(b"mtime").and_then(time::parse));
            }
        }
        if collector.is_full() {
            return;
        }
    }
}
