//! HTML as bytes: tags, text, attributes and character references, as much as listings need.
//!
//! Pages come in any encoding and with any fault, so nothing here looks at characters. Every byte is looked at a bounded number of
//! times, whatever the page holds. Tags and quotes are told apart as the HTML standard does (section 13.2.5).

use std::borrow::Cow;

use memchr::{memchr, memchr3, memmem};

/// A piece of a page.
#[derive(Debug, Clone, Copy)]
pub(super) enum Token<'a> {
    /// Text between tags, not unescaped; never empty.
    Text(&'a [u8]),
    /// `<name ...>`.
    Open(Tag<'a>),
    /// `</name>`.
    Close(&'a [u8]),
}

/// An opening tag.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tag<'a> {
    name: &'a [u8],
    attributes: &'a [u8],
}

/// Walks over a page. Comments, declarations and the inside of scripts and style sheets are passed over.
#[derive(Debug, Clone)]
pub(super) struct Tokens<'a> {
    page: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(page: &'a [u8]) -> Self {
        Self { page, at: 0 }
    }

    /// Where the next token starts.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// Goes back (or on) to what [`Self::offset`] said.
    pub(super) fn seek(&mut self, offset: usize) {
        self.at = offset;
    }

    /// The bytes of the page from one offset to another.
    pub(super) fn between(&self, from: usize, to: usize) -> &'a [u8] {
        self.page.get(from..to).unwrap_or_default()
    }

    /// Whether nothing follows: a text that ends here may have been cut.
    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.page.len()
    }

    fn starts_markup(&self, at: usize) -> bool {
        let after = self.page.get(at + 1).copied().unwrap_or(0);
        self.page[at] == b'<' && (after.is_ascii_alphabetic() || matches!(after, b'/' | b'!' | b'?'))
    }

    /// Takes what starts with `<`; none if it is to be passed over.
    fn markup(&mut self) -> Option<Token<'a>> {
        let rest = &self.page[self.at..];
        match rest.get(1).copied().unwrap_or(0) {
            b'!' if rest.starts_with(b"<!--") => self.pass(find(rest, 4, b"-->").map(|n| n + 3)),
            b'!' | b'?' => self.pass(find(rest, 2, b">").map(|n| n + 1)),
            b'/' => {
                let Some(end) = position_of(rest, 2, b'>') else {
                    return self.pass(None);
                };
                let stop = position(&rest[..end], 2, |b| b.is_ascii_whitespace()).unwrap_or(end);
                self.at += end + 1;
                Some(Token::Close(&rest[2..stop]))
            }
            _ => self.open(rest),
        }
    }

    fn pass(&mut self, length: Option<usize>) -> Option<Token<'a>> {
        self.at = length.map_or(self.page.len(), |n| self.at + n);
        None
    }

    fn open(&mut self, rest: &'a [u8]) -> Option<Token<'a>> {
        let Some(end) = tag_end(rest) else {
            return self.pass(None);
        };
        let stop = position(&rest[..end], 1, |b| b.is_ascii_whitespace() || b == b'/').unwrap_or(end);
        let tag = Tag { name: &rest[1..stop], attributes: &rest[stop..end] };
        self.at += end + 1;
        for raw in [b"script".as_slice(), b"style"] {
            if tag.is(raw) {
                self.at = closing(self.page, self.at, raw);
            }
        }
        Some(Token::Open(tag))
    }
}

/// Where the `>` of an opening tag is: the first one that is not inside of a quoted value.
fn tag_end(rest: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr3(b'>', b'"', b'\'', rest.get(at..)?)?;
        let quote = rest[at];
        if quote == b'>' {
            return Some(at);
        }
        at += 1;
        if rest[..at - 1].trim_ascii_end().ends_with(b"=") {
            at = position_of(rest, at, quote)? + 1;
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        while self.at < self.page.len() {
            if self.starts_markup(self.at) {
                match self.markup() {
                    Some(token) => return Some(token),
                    None => continue,
                }
            }
            let start = self.at;
            let mut end = start + 1;
            loop {
                end = position_of(self.page, end, b'<').unwrap_or(self.page.len());
                if end >= self.page.len() || self.starts_markup(end) {
                    break;
                }
                end += 1;
            }
            self.at = end;
            return Some(Token::Text(&self.page[start..end]));
        }
        None
    }
}

impl<'a> Tag<'a> {
    pub(super) fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// An attribute's value as it stands; the first one wins, as in browsers.
    pub(super) fn raw(&self, name: &[u8]) -> Option<&'a [u8]> {
        Attributes { bytes: self.attributes, at: 0 }.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Whether this is an attribute's whole value.
    pub(super) fn has(&self, name: &[u8], value: &[u8]) -> bool {
        self.raw(name) == Some(value)
    }

    /// Whether a word is among the tag's classes.
    pub(super) fn has_class(&self, class: &[u8]) -> bool {
        self.raw(b"class").is_some_and(|value| value.split(u8::is_ascii_whitespace).any(|word| word == class))
    }
}

struct Attributes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.bytes;
        let start = position(bytes, self.at, |b| !(b.is_ascii_whitespace() || b == b'/'))?;
        let stop = position(bytes, start + 1, |b| b.is_ascii_whitespace() || matches!(b, b'/' | b'=')).unwrap_or(bytes.len());
        let name = &bytes[start..stop];
        self.at = position(bytes, stop, |b| !b.is_ascii_whitespace()).unwrap_or(bytes.len());
        if bytes.get(self.at) != Some(&b'=') {
            return Some((name, &[]));
        }
        let start = position(bytes, self.at + 1, |b| !b.is_ascii_whitespace()).unwrap_or(bytes.len());
        let (start, stop) = match bytes.get(start) {
            Some(&quote @ (b'"' | b'\'')) => (start + 1, position_of(bytes, start + 1, quote)),
            _ => (start, position(bytes, start, |b| b.is_ascii_whitespace())),
        };
        let stop = stop.unwrap_or(bytes.len());
        self.at = stop + usize::from(stop < bytes.len());
        Some((name, &bytes[start..stop]))
    }
}

/// The text of a piece of markup: the first run that is not blank, unescaped and trimmed.
pub(super) fn first_text(markup: &[u8]) -> Cow<'_, [u8]> {
    for token in Tokens::new(markup) {
        if let Token::Text(raw) = token {
            let text = unescape(raw);
            if !trim(&text).is_empty() {
                return match text {
                    Cow::Borrowed(text) => Cow::Borrowed(trim(text)),
                    Cow::Owned(text) => Cow::Owned(trim(&text).to_vec()),
                };
            }
        }
    }
    Cow::Borrowed(&[])
}

/// Without white space (and no-break spaces, in UTF-8) at both ends.
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii();
        if let Some(rest) = text.strip_prefix(b"\xc2\xa0") {
            text = rest;
        } else if let Some(rest) = text.strip_suffix(b"\xc2\xa0") {
            text = rest;
        } else {
            return text;
        }
    }
}

/// Replaces character references. Only complete ones (with their `;`) count: no server leaves it out, and some forget to escape `&`.
pub(super) fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'&', raw) else {
        return Cow::Borrowed(raw);
    };
    let mut out = raw[..first].to_vec();
    let mut rest = &raw[first..];
    while let Some((&byte, tail)) = rest.split_first() {
        let reference = if byte == b'&' { reference(tail) } else { None };
        if let Some((character, length)) = reference {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &tail[length..];
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    Cow::Owned(out)
}

/// What follows an `&`: the character and how many bytes named it.
fn reference(tail: &[u8]) -> Option<(char, usize)> {
    const LONGEST: usize = 10;
    let end = memchr(b';', &tail[..tail.len().min(LONGEST)])?;
    let name = std::str::from_utf8(&tail[..end]).ok()?;
    let character = match name {
        "amp" | "AMP" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "mdash" => '\u{2014}',
        "sol" => '/',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    };
    Some((character, end + 1))
}

/// Whether `needle` (in lower case) is in `text`, whatever the case there.
pub(super) fn contains_ignoring_case(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
}

/// Whether `needle` is in `text`.
pub(super) fn contains(text: &[u8], needle: &[u8]) -> bool {
    find(text, 0, needle).is_some()
}

fn closing(page: &[u8], from: usize, name: &[u8]) -> usize {
    let mut at = from;
    while let Some(next) = find(page, at, b"</") {
        if page[next + 2..].get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return next;
        }
        at = next + 2;
    }
    page.len()
}

fn find(text: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    memmem::find(text.get(from..)?, needle).map(|n| from + n)
}

fn position_of(text: &[u8], from: usize, byte: u8) -> Option<usize> {
    memchr(byte, text.get(from..)?).map(|n| from + n)
}

fn position(text: &[u8], from: usize, stop: impl Fn(u8) -> bool) -> Option<usize> {
    text.get(from..)?.iter().position(|&b| stop(b)).map(|n| from + n)
}
