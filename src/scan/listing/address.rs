//! From the address in a link to the name of an entry: RFC 3986 section 5.2 on bytes, since names need not be UTF-8.

use std::borrow::Cow;
use std::sync::OnceLock;

use memchr::{memchr, memchr2, memchr3};
use percent_encoding::percent_decode;

use super::Error;
use crate::model::path::MAX_SEGMENT_BYTES;

/// The address of the directory that was asked for.
#[derive(Debug, Clone)]
pub struct Base {
    scheme: &'static [u8],
    authority: Vec<u8>,
    /// What stands between the host and the query.
    path: Vec<u8>,
    /// The directory's segments, decoded: few pages have links that need them.
    segments: OnceLock<Vec<Vec<u8>>>,
}

/// What a link leads to, seen from the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// Something in the directory.
    Entry(Name),
    /// The directory itself (sorted otherwise, say) or one above it.
    Aside,
    /// Something in the directory that no tree path can hold.
    Impossible,
    /// Elsewhere.
    Foreign,
}

/// A decoded segment that a tree path can hold, and whether a slash came after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) bytes: Vec<u8>,
    pub(super) slash: bool,
}

/// The longest address that is looked at: a whole path of 4,096 bytes, every byte escaped, and a host.
const MAX_ADDRESS_BYTES: usize = 16 * 1024;

impl Base {
    /// Takes the absolute address of the page: what was asked for, after redirects.
    ///
    /// # Errors
    /// When it is no absolute URL of http or https.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let wrong = || Error::BadBase(url.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let known = [&b"http"[..], b"https"].into_iter().find(|known| known.eq_ignore_ascii_case(scheme.as_bytes()));
        let scheme = known.ok_or_else(wrong)?;
        let (authority, path) = split_at_any(rest.as_bytes(), b"/?#");
        let authority = normal_authority(scheme, authority);
        if authority.is_empty() {
            return Err(wrong());
        }
        let (path, _) = split_at_any(path, b"?#");
        Ok(Self { scheme, authority, path: path.to_vec(), segments: OnceLock::new() })
    }

    /// The directory's decoded segments.
    pub(super) fn segments(&self) -> &[Vec<u8>] {
        self.segments.get_or_init(|| {
            let mut segments = Vec::new();
            walk(&mut segments, self.path.strip_prefix(b"/").unwrap_or(&self.path));
            segments.pop(); // what follows the last slash: empty, or a document in the directory
            segments.into_iter().map(Cow::into_owned).collect()
        })
    }

    /// The directory that relative links of a page with `<base href>` start at; `None` when it is elsewhere.
    pub(super) fn moved(&self, href: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut segments = self.resolve(href, None)?;
        segments.pop();
        Some(segments.into_iter().map(Cow::into_owned).collect())
    }

    /// Where a link leads; `from` is where relative links start if that is not the directory.
    pub(super) fn target(&self, href: &[u8], from: Option<&[Vec<u8>]>) -> Target {
        let href = href.trim_ascii();
        if href.is_empty() || matches!(href[0], b'?' | b'#') {
            return Target::Aside;
        }
        if href.len() > MAX_ADDRESS_BYTES {
            return Target::Foreign;
        }
        if from.is_none()
            && let Some((segment, slash)) = single_segment(href)
        {
            return judge(&[decoded(segment)], slash);
        }
        let Some(mut segments) = self.resolve(href, from) else {
            return Target::Foreign;
        };
        let slash = segments.last().is_some_and(|last| last.is_empty());
        if slash {
            segments.pop();
        }
        let own = self.segments();
        let common = segments.iter().zip(own).take_while(|(a, b)| a.as_ref() == b.as_slice()).count();
        if common == segments.len() {
            return Target::Aside;
        }
        if common < own.len() { Target::Foreign } else { judge(&segments[common..], slash) }
    }

    /// The decoded segments of an address on the same host; the last is empty where it ends in a slash.
    fn resolve<'a>(&'a self, href: &'a [u8], from: Option<&'a [Vec<u8>]>) -> Option<Vec<Cow<'a, [u8]>>> {
        let (href, _) = split_at_any(href, b"?#");
        let rest = match scheme_length(href) {
            Some(length) if href[..length].eq_ignore_ascii_case(self.scheme) => {
                href[length + 1..].starts_with(b"//").then_some(&href[length + 1..])?
            }
            Some(_) => return None,
            None => href,
        };
        let mut segments = Vec::new();
        let path = if let Some(rest) = rest.strip_prefix(b"//") {
            let (authority, path) = split_at_any(rest, b"/");
            if normal_authority(self.scheme, authority) != self.authority {
                return None;
            }
            path.strip_prefix(b"/").unwrap_or(path)
        } else if let Some(path) = rest.strip_prefix(b"/") {
            path
        } else {
            segments.extend(from.unwrap_or_else(|| self.segments()).iter().map(|s| Cow::Borrowed(s.as_slice())));
            rest
        };
        walk(&mut segments, path);
        Some(segments)
    }
}

/// Adds a path's segments, decoded, with the dot segments resolved.
fn walk<'a>(segments: &mut Vec<Cow<'a, [u8]>>, path: &'a [u8]) {
    let mut dots = false;
    for segment in path.split(|&b| b == b'/') {
        let segment = decoded(segment);
        dots = matches!(segment.as_ref(), b"." | b"..");
        if segment.as_ref() == b".." {
            segments.pop();
        } else if !dots {
            segments.push(segment);
        }
    }
    if dots {
        segments.push(Cow::Borrowed(&[]));
    }
}

/// The usual case: `name`, `name/` or `./name`, perhaps with a query, and no scheme. Gives the segment, still escaped, and whether a
/// slash came after it.
fn single_segment(href: &[u8]) -> Option<(&[u8], bool)> {
    let start = href.strip_prefix(b"./").unwrap_or(href);
    let (segment, after) = split_at_any(start, b"/?#");
    let slash = after.first() == Some(&b'/');
    let plain = !segment.is_empty() && (!slash || matches!(after.get(1), None | Some(b'?' | b'#')));
    // A scheme has its colon before any slash.
    let may_have_scheme = start.len() == href.len() && memchr(b':', segment).is_some();
    (plain && !(may_have_scheme && scheme_length(href).is_some())).then_some((segment, slash))
}

/// What stands for a segment in an address.
fn decoded(segment: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'%', segment).is_none() { Cow::Borrowed(segment) } else { percent_decode(segment).into() }
}

/// Judges what is left below the directory.
fn judge(below: &[Cow<'_, [u8]>], slash: bool) -> Target {
    match below {
        [name] if matches!(name.as_ref(), b"." | b"..") => Target::Aside,
        [name] if is_possible(name) => Target::Entry(Name { bytes: name.to_vec(), slash }),
        [_] => Target::Impossible,
        _ => Target::Foreign,
    }
}

/// Whether a tree path can have this segment (see `model::path`).
pub(super) fn is_possible(name: &[u8]) -> bool {
    let harmless = |&b: &u8| b >= 0x20 && b != 0x7f && b != b'/' && b != b'\\';
    !name.is_empty() && name.len() <= MAX_SEGMENT_BYTES && name.iter().all(harmless) && !matches!(name, b"." | b"..")
}

/// How long the scheme is, if there is one: `http:` but not `./http:` nor `1:2`.
fn scheme_length(href: &[u8]) -> Option<usize> {
    let end = href.iter().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')))?;
    (href[end] == b':' && href[0].is_ascii_alphabetic()).then_some(end)
}

/// In lower case, without user name and without the scheme's own port.
fn normal_authority(scheme: &[u8], authority: &[u8]) -> Vec<u8> {
    let host = authority.rsplit(|&b| b == b'@').next().unwrap_or_default();
    let port: &[u8] = if scheme == b"https" { b":443" } else { b":80" };
    host.strip_suffix(port).or(host.strip_suffix(b":")).unwrap_or(host).to_ascii_lowercase()
}

/// Up to the first of a few bytes, and the rest with it.
fn split_at_any<'a, const N: usize>(text: &'a [u8], stops: &[u8; N]) -> (&'a [u8], &'a [u8]) {
    let stop = match *stops.as_slice() {
        [a] => memchr(a, text),
        [a, b] => memchr2(a, b, text),
        [a, b, c] => memchr3(a, b, c, text),
        _ => text.iter().position(|b| stops.contains(b)),
    };
    text.split_at(stop.unwrap_or(text.len()))
}
