//! A page that nobody recognised: names only, and only where the page itself says that it lists a directory.

use super::collect::Collector;
use super::html::{Token, Tokens, contains_ignoring_case};
use super::{Error, Family, Kind};

/// What pages say that list a directory, in lower case.
const SIGNS: [&[u8]; 5] = [b"index of", b"directory listing", b"listing of", b"parent directory", b"directory: "];

/// Takes every link that leads to something in the directory.
pub(super) fn read(page: &[u8], collector: &mut Collector<'_>) -> Result<Family, Error> {
    let mut sign = false;
    let (mut opened, mut closed) = (false, false);
    for token in Tokens::new(page) {
        match token {
            Token::Text(text) => sign |= SIGNS.iter().any(|sign| contains_ignoring_case(text, sign)),
            Token::Open(tag) if tag.is(b"html") => opened = true,
            Token::Close(name) if name.eq_ignore_ascii_case(b"html") => closed = true,
            Token::Open(tag) if tag.is(b"a") && !collector.is_full() => {
                if let Some(name) = tag.raw(b"href").and_then(|href| collector.link(href)) {
                    collector.push(name, Kind::Unknown, None, None);
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
    if closed || !opened {
        collector.complete();
    }
    Ok(Family::Generic)
}
