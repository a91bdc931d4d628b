//! Listings like `ls -l`: the mode, the size and the time before the link (webfs, thttpd).

use super::collect::Collector;
use super::html::{Token, Tokens, unescape};
use super::size::{self, Rounding};
use super::{Kind, time};

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// `-rw-r--r--  root  root  Mar 29  2026  1447 kB  <a`
    TimeThenSize,
    /// `-rw-r--r--  1  1482211  Mar 29  2026  <a`
    SizeThenTime,
}

/// The most words before a link that are looked at.
const MAX_WORDS: usize = 16;

/// Reads lines up to the end of the `<pre>`.
pub(super) fn read(tokens: &mut Tokens<'_>, order: Order, collector: &mut Collector<'_>) {
    let mut before: &[u8] = b"";
    while !collector.is_full() {
        match tokens.next() {
            Some(Token::Text(text)) => before = text,
            Some(Token::Open(tag)) if tag.is(b"a") => {
                if let Some(href) = tag.raw(b"href") {
                    add(href, before, order, collector);
                }
                before = b"";
            }
            Some(Token::Close(name)) if name.eq_ignore_ascii_case(b"pre") => return collector.complete(),
            Some(_) => before = b"",
            None => return,
        }
    }
}

fn add(href: &[u8], before: &[u8], order: Order, collector: &mut Collector<'_>) {
    let Some(name) = collector.link(href) else {
        return;
    };
    let line = unescape(before.rsplit(|&b| b == b'\n').next().unwrap_or_default());
    let words: Vec<&[u8]> = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).take(MAX_WORDS).collect();
    let plain = match words.first().and_then(|mode| mode.first()) {
        Some(b'd') => Kind::Directory,
        Some(b'-') => Kind::File,
        _ => Kind::Unknown,
    };
    // thttpd shows a link's own size and time, and clients get what it leads to.
    if words.first().is_some_and(|mode| mode.starts_with(b"l")) {
        return collector.push(name, Kind::Unknown, None, None);
    }
    // Of the last half year only the day and the hour are shown; which year that is depends on when the page was made.
    let dated = words.windows(3).rposition(|w| is_month(w[0]) && w[1].len() <= 2 && w[1].iter().all(u8::is_ascii_digit));
    let time = dated.and_then(|at| time::parse(&words[at..at + 3].join(&b' ')));
    let size = dated.and_then(|at| match order {
        Order::SizeThenTime => size::parse(words.get(at.checked_sub(1)?)?, Rounding::Nearest),
        Order::TimeThenSize => size::parse(&words.get(at + 3..)?.join(&b' '), Rounding::Down),
    });
    collector.push(name, plain, size, time);
}

fn is_month(word: &[u8]) -> bool {
    matches!(word, b"Jan" | b"Feb" | b"Mar" | b"Apr" | b"May" | b"Jun" | b"Jul" | b"Aug" | b"Sep" | b"Oct" | b"Nov" | b"Dec")
}
