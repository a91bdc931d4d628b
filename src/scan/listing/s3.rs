//! Buckets: S3's ListObjectsV2 and the older ListObjects (AWS's API reference), as AWS, Ceph, MinIO and others speak it.
//!
//! Keys are whole paths within the bucket. Those of one directory are asked for with `prefix` and `delimiter=/`; keys of deeper ones,
//! which come when the delimiter was left out, are dropped, and the listing is not complete.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::Kind;
use super::collect::Collector;
use super::html::{Token, Tokens, unescape};
use super::size::{self, Rounding};
use super::time;

/// What a page says about itself, whatever the order that it says it in.
#[derive(Default)]
struct Bucket<'a> {
    prefix: Cow<'a, [u8]>,
    encoded: bool,
    truncated: bool,
    next: Option<Cow<'a, [u8]>>,
    objects: Vec<Object<'a>>,
}

/// One of `<Contents>` (a file, or a key that ends in a slash) or `<CommonPrefixes>` (a directory).
#[derive(Default)]
struct Object<'a> {
    key: Cow<'a, [u8]>,
    size: Cow<'a, [u8]>,
    modified: Cow<'a, [u8]>,
}

/// Reads a page.
pub(super) fn read(page: &[u8], collector: &mut Collector<'_>) {
    let mut bucket = Bucket::default();
    let mut object: Option<Object<'_>> = None;
    let mut text = Cow::Borrowed(&b""[..]);
    let mut closed = false;
    for token in Tokens::new(page) {
        match token {
            Token::Open(tag) => {
                text = Cow::Borrowed(b"");
                if tag.is(b"Contents") || tag.is(b"CommonPrefixes") {
                    object = Some(Object::default());
                }
            }
            Token::Text(found) => text = unescape(found),
            Token::Close(b"Contents" | b"CommonPrefixes") => bucket.objects.extend(object.take()),
            Token::Close(b"ListBucketResult") => closed = true,
            Token::Close(name) => {
                let value = std::mem::take(&mut text);
                match &mut object {
                    Some(object) => object.note(name, value),
                    None => bucket.note(name, value),
                }
            }
        }
    }
    let known = !bucket.truncated || bucket.next.is_some();
    if closed && known {
        collector.complete();
    }
    if let Some(next) = bucket.next.take().filter(|_| bucket.truncated) {
        collector.continues(String::from_utf8_lossy(&next).into_owned());
    }
    for object in &bucket.objects {
        add(object, &bucket, collector);
    }
}

impl<'a> Bucket<'a> {
    fn note(&mut self, name: &[u8], value: Cow<'a, [u8]>) {
        match name {
            b"Prefix" => self.prefix = value,
            b"EncodingType" => self.encoded = value.as_ref() == b"url",
            b"IsTruncated" => self.truncated = value.trim_ascii() == b"true",
            b"NextContinuationToken" | b"NextMarker" => self.next = Some(value),
            _ => {}
        }
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

impl<'a> Object<'a> {
    fn note(&mut self, name: &[u8], value: Cow<'a, [u8]>) {
        match name {
            b"Key" | b"Prefix" => self.key = value,
            b"Size" => self.size = value,
            b"LastModified" => self.modified = value,
            _ => {}
        }
    }
}

fn add(object: &Object<'_>, bucket: &Bucket<'_>, collector: &mut Collector<'_>) {
    let (key, prefix) = (bucket.decode(&object.key), bucket.decode(&bucket.prefix));
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
        let size = size::parse(&object.size, Rounding::Nearest);
        collector.push(name, Kind::File, size, time::parse(&object.modified));
    }
}
