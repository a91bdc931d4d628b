//! A page that nobody recognised: names only, and only where the page itself says that it lists a directory.

use super::collect::Collector;
use super::html::{Token, Tokens, contains_ignoring_case};
use super::{Error, Family, Kind};

/// What pages say that list a directory, in lower case.
const SIGNS: [&[u8]; 5] = [b"index of", b"directory listing", b"listing of", b"parent directory", b"directory: "];

/// What is closed after the last entry, if the page came whole.
const CONTAINERS: [&[u8]; 6] = [b"html", b"body", b"ul", b"ol", b"table", b"pre"];

/// How much of one text is searched for a sign.
const SIGN_BYTES: usize = 1024;

/// Takes every link that leads to something in the directory.
pub(super) fn read(page: &[u8], collector: &mut Collector<'_>) -> Result<Family, Error> {
    let mut sign = false;
    let mut closed = false;
    for token in Tokens::new(page) {
        match token {
            Token::Text(text) if !sign => sign = is_sign(text),
            Token::Close(name) => closed |= CONTAINERS.iter().any(|container| name.eq_ignore_ascii_case(container)),
            Token::Open(tag) if tag.is(b"a") && !collector.is_full() => {
                if let Some(name) = tag.raw(b"href").and_then(|href| collector.link(href)) {
                    collector.push(name, Kind::Unknown, None, None);
                    closed = false;
                }
            }
            _ => {}
        }
    }
    if !sign {
        return Err(Error::NotAListing("nothing in it says that it lists a directory"));
    }
    if collector.is_empty() {
        return Err(Error::NotAListing("it links to nothing in the directory"));
    }
    if closed {
        collector.complete();
    }
    Ok(Family::Generic)
}

fn is_sign(text: &[u8]) -> bool {
    let text = &text[..text.len().min(SIGN_BYTES)];
    SIGNS.iter().any(|sign| contains_ignoring_case(text, sign))
}
