//! Listings as lists: links, and nothing about sizes and times but for `serve-index`.

use super::Kind;
use super::address::Name;
use super::collect::Collector;
use super::html::{Tag, Token, Tokens, first_text, trim, unescape};
use super::size::{self, Rounding};
use super::time;

/// How a list marks what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    /// What an entry is whose link has no slash.
    pub(super) plain: Kind,
    /// The class of a link to a directory.
    pub(super) directory: Option<&'static [u8]>,
    /// Whether addresses are not percent-encoded; then the `title` says so (see [`raw_name`]).
    pub(super) titled: bool,
    /// Whether `<span class="size">` and `<span class="date">` follow inside the link.
    pub(super) spans: bool,
}

/// Reads links up to the end of the list.
pub(super) fn read(tokens: &mut Tokens<'_>, marks: Marks, collector: &mut Collector<'_>) {
    while !collector.is_full() {
        match tokens.next() {
            Some(Token::Open(tag)) if tag.is(b"a") => {
                let inner = if marks.spans { inside(tokens) } else { Some(&b""[..]) };
                match (inner, tag.raw(b"href")) {
                    (Some(inner), Some(href)) => add(tag, href, inner, marks, collector),
                    (Some(_), None) => {}
                    (None, _) => return,
                }
            }
            Some(Token::Close(name)) if name.eq_ignore_ascii_case(b"ul") => return collector.complete(),
            Some(_) => {}
            None => return,
        }
    }
}

/// What is between a link's tags; none if the page ends before.
fn inside<'a>(tokens: &mut Tokens<'a>) -> Option<&'a [u8]> {
    let start = tokens.offset();
    loop {
        let before = tokens.offset();
        match tokens.next()? {
            Token::Close(name) if name.eq_ignore_ascii_case(b"a") => return Some(tokens.between(start, before)),
            Token::Open(tag) if tag.is(b"a") => {
                tokens.seek(before);
                return Some(tokens.between(start, before));
            }
            _ => {}
        }
    }
}

fn add(tag: Tag<'_>, href: &[u8], inner: &[u8], marks: Marks, collector: &mut Collector<'_>) {
    let raw = if marks.titled { raw_name(tag, href, collector) } else { None };
    let Some(mut name) = raw.or_else(|| collector.link(href)) else {
        return;
    };
    name.slash |= marks.directory.is_some_and(|class| tag.has_class(class));
    let (size, time) = if marks.spans { spans(inner) } else { (None, None) };
    collector.push(name, marks.plain, size, time);
}

fn spans(inner: &[u8]) -> (Option<super::Size>, Option<super::ListedTime>) {
    let mut tokens = Tokens::new(inner);
    let (mut size, mut time) = (None, None);
    while let Some(token) = tokens.next() {
        let Token::Open(tag) = token else { continue };
        let text = || first_text(tokens.between(tokens.offset(), inner.len()).split(|&b| b == b'<').next().unwrap_or_default());
        if tag.has(b"class", b"size") {
            size = size::parse(&text(), Rounding::Nearest);
        } else if tag.has(b"class", b"date") {
            time = time::parse(trim(&text()));
        }
    }
    (size, time)
}

/// `serve` writes the path into the address as it is, with `%`, `?` and `#`, and the same name into the title. Where the two agree
/// byte for byte, the title is the name.
fn raw_name(tag: Tag<'_>, href: &[u8], collector: &mut Collector<'_>) -> Option<Name> {
    let title = unescape(tag.raw(b"title")?);
    let address = unescape(href);
    let directory = address.strip_suffix(title.as_ref())?;
    let parent = directory.strip_suffix(b"/")?.strip_prefix(b"/").unwrap_or_default();
    let same = parent.split(|&b| b == b'/').filter(|s| !s.is_empty()).eq(collector.base().segments().iter().map(Vec::as_slice));
    if same { collector.name(&title) } else { None }
}
