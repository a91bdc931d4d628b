//! From the address in a link to the name of an entry: RFC 3986 section 5.2 on bytes, since names need not be UTF-8.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::Error;
use crate::model::path::MAX_SEGMENT_BYTES;

/// The address of the directory that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    scheme: Vec<u8>,
    authority: Vec<u8>,
    /// The directory's segments, decoded.
    segments: Vec<Vec<u8>>,
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
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(wrong());
        }
        let scheme = scheme.to_ascii_lowercase().into_bytes();
        let (authority, path) = split_at_any(rest.as_bytes(), b"/?#");
        let authority = normal_authority(&scheme, authority);
        if authority.is_empty() {
            return Err(wrong());
        }
        let (path, _) = split_at_any(path, b"?#");
        let mut segments = Vec::new();
        walk(&mut segments, path.strip_prefix(b"/").unwrap_or(path));
        segments.pop(); // what follows the last slash: empty, or a document in the directory
        Ok(Self { scheme, authority, segments: segments.into_iter().map(Cow::into_owned).collect() })
    }

    /// The directory's decoded segments.
    pub(super) fn segments(&self) -> &[Vec<u8>] {
        &self.segments
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
            && let Some(segment) = single_segment(href)
        {
            return judge(&[percent_decode(segment).into()], segment.len() < href.len() && has_slash_after(href, segment));
        }
        let Some(mut segments) = self.resolve(href, from) else {
            return Target::Foreign;
        };
        let slash = segments.last().is_some_and(|last| last.is_empty());
        if slash {
            segments.pop();
        }
        let common = segments.iter().zip(&self.segments).take_while(|(a, b)| a.as_ref() == b.as_slice()).count();
        if common == segments.len() {
            return Target::Aside;
        }
        if common < self.segments.len() { Target::Foreign } else { judge(&segments[common..], slash) }
    }

    /// The decoded segments of an address on the same host; the last is empty where it ends in a slash.
    fn resolve<'a>(&'a self, href: &'a [u8], from: Option<&'a [Vec<u8>]>) -> Option<Vec<Cow<'a, [u8]>>> {
        let (href, _) = split_at_any(href, b"?#");
        let rest = match scheme_length(href) {
            Some(length) if href[..length].eq_ignore_ascii_case(&self.scheme) => {
                href[length + 1..].starts_with(b"//").then_some(&href[length + 1..])?
            }
            Some(_) => return None,
            None => href,
        };
        let mut segments = Vec::new();
        let path = if let Some(rest) = rest.strip_prefix(b"//") {
            let (authority, path) = split_at_any(rest, b"/");
            if normal_authority(&self.scheme, authority) != self.authority {
                return None;
            }
            path.strip_prefix(b"/").unwrap_or(path)
        } else if let Some(path) = rest.strip_prefix(b"/") {
            path
        } else {
            segments.extend(from.unwrap_or(&self.segments).iter().map(|s| Cow::Borrowed(s.as_slice())));
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
        let decoded: Cow<'a, [u8]> = percent_decode(segment).into();
        dots = matches!(decoded.as_ref(), b"." | b"..");
        if decoded.as_ref() == b".." {
            segments.pop();
        } else if !dots {
            segments.push(decoded);
        }
    }
    if dots {
        segments.push(Cow::Borrowed(&[]));
    }
}

/// The usual case: `name`, `name/` or `./name`, perhaps with a query, and no scheme. Gives the segment, still escaped.
fn single_segment(href: &[u8]) -> Option<&[u8]> {
    let start = href.strip_prefix(b"./").unwrap_or(href);
    let (path, _) = split_at_any(start, b"?#");
    let segment = path.strip_suffix(b"/").unwrap_or(path);
    let plain = !segment.is_empty() && !segment.contains(&b'/');
    (plain && (start.len() < href.len() || scheme_length(href).is_none())).then_some(segment)
}

fn has_slash_after(href: &[u8], segment: &[u8]) -> bool {
    let start = href.strip_prefix(b"./").unwrap_or(href);
    start.get(segment.len()) == Some(&b'/')
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
    let host = authority.rsplit(|&b| b == b'@').next().unwrap_or_default().to_ascii_lowercase();
    let port: &[u8] = if scheme == b"https" { b":443" } else { b":80" };
    host.strip_suffix(port).or(host.strip_suffix(b":")).unwrap_or(&host).to_vec()
}

fn split_at_any<'a>(text: &'a [u8], stops: &[u8]) -> (&'a [u8], &'a [u8]) {
    text.split_at(text.iter().position(|b| stops.contains(b)).unwrap_or(text.len()))
}
