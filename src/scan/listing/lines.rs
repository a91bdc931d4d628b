//! Listings in a `<pre>`: one line an entry, the time and the size after the link.

use super::Kind;
use super::collect::Collector;
use super::html::{Token, Tokens};
use super::size::{self, Rounding};
use super::time::{self, ListedTime};

/// What a line has after its link, in this order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    pub(super) time: bool,
    pub(super) size: bool,
    pub(super) rounding: Rounding,
    /// What an entry is whose link has no slash.
    pub(super) plain: Kind,
}

/// Reads lines up to the end of the `<pre>`.
pub(super) fn read(tokens: &mut Tokens<'_>, columns: Columns, collector: &mut Collector<'_>) {
    let mut href = None;
    // One link a line: a description may have links of its own.
    let mut taken = false;
    while !collector.is_full() {
        match tokens.next() {
            Some(Token::Open(tag)) if tag.is(b"hr") => taken = false,
            Some(Token::Text(text)) if href.is_none() => taken &= !text.contains(&b'\n'),
            Some(Token::Open(tag)) if tag.is(b"a") && !taken => {
                // A name that was not escaped may have swallowed the end of its link.
                if let Some(unclosed) = std::mem::replace(&mut href, tag.raw(b"href")) {
                    add(unclosed, b"", columns, collector);
                }
            }
            Some(Token::Close(name)) if name.eq_ignore_ascii_case(b"a") => {
                let Some(href) = href.take() else { continue };
                let before = tokens.offset();
                let after = match tokens.next() {
                    Some(Token::Text(text)) => text,
                    Some(_) => {
                        tokens.seek(before);
                        b""
                    }
                    None => return,
                };
                if tokens.is_at_end() {
                    return; // a number may have lost digits
                }
                add(href, after, columns, collector);
                taken = !after.contains(&b'\n');
            }
            Some(Token::Close(name)) if name.eq_ignore_ascii_case(b"pre") => {
                if let Some(unclosed) = href {
                    add(unclosed, b"", columns, collector);
                }
                return collector.complete();
            }
            Some(_) => {}
            None => return,
        }
    }
}

fn add(href: &[u8], after: &[u8], columns: Columns, collector: &mut Collector<'_>) {
    let Some(name) = collector.link(href) else {
        return;
    };
    let (time, rest) = match time_after(after).filter(|_| columns.time) {
        Some((time, rest)) => (Some(time), rest),
        None => (None, line_of(after)),
    };
    let word = rest.trim_ascii_start().split(u8::is_ascii_whitespace).next().unwrap_or_default();
    // Without the time before it, a number may be part of a description.
    let printed = (columns.size && columns.time == time.is_some()).then_some(word);
    let size = printed.and_then(|word| size::parse(word, columns.rounding));
    let plain = if printed == Some(b"-") { Kind::Unknown } else { columns.plain };
    collector.push(name, plain, size, time);
}

/// The rest of the line after a link. darkhttpd writes the slash of a directory there.
fn line_of(after: &[u8]) -> &[u8] {
    let line = after.split(|b| matches!(b, b'\n' | b'\r')).next().unwrap_or_default();
    line.strip_prefix(b"/").unwrap_or(line)
}

/// The time at the start of what follows a link, and the rest of that line.
pub(super) fn time_after(after: &[u8]) -> Option<(ListedTime, &[u8])> {
    let line = line_of(after);
    time::parse_start(line).map(|(time, length)| (time, &line[length..]))
}
