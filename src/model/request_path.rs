//! The path that a client asks for, and the part of it that tells which instance is meant.
//!
//! It is decoded once (RFC 3986 section 2.1) and normalised. What comes out is never looked up in the file system first.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

use super::path::{Error, MAX_PATH_BYTES, TreePath, check};

/// A request's whole path, decoded and normalised, before it is known which instance it is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestPath<'a> {
    path: TreePath<'a>,
    directory: bool,
}

impl<'a> RequestPath<'a> {
    /// Decodes the path of a request target: without query, with its leading slash.
    ///
    /// Repeated slashes count as one. Dot segments are refused and not resolved: clients resolve them before they
    /// ask (RFC 3986 section 5.2.4), so one that arrives is an attempt at something else.
    ///
    /// # Errors
    /// When it is no path; to be answered with 400.
    pub fn parse(raw: &'a str) -> Result<Self, Error> {
        let raw = raw.strip_prefix('/').ok_or(Error::NotAbsolute)?;
        if raw.len() > 3 * MAX_PATH_BYTES {
            return Err(Error::TooLong);
        }
        let directory = raw.is_empty() || raw.ends_with('/');
        let raw = raw.strip_suffix('/').unwrap_or(raw);
        let decoded: Cow<'a, [u8]> = if raw.as_bytes().contains(&b'%') {
            check_escapes(raw.as_bytes())?;
            percent_decode_str(raw).into()
        } else {
            Cow::Borrowed(raw.as_bytes())
        };
        let path = match check(&decoded) {
            Ok(()) => TreePath::checked(decoded),
            Err(Error::EmptySegment) => TreePath::parse(merge_slashes(&decoded))?,
            Err(error) => return Err(error),
        };
        Ok(Self { path, directory })
    }

    /// Whether the request ended with a slash, and so means a directory.
    #[must_use]
    pub const fn is_directory(&self) -> bool {
        self.directory
    }

    /// The whole path, as if it lay below a tree at `/`.
    #[must_use]
    pub const fn whole(&self) -> &TreePath<'a> {
        &self.path
    }

    /// The part below `prefix`, when this path is the prefix or lies below it.
    #[must_use]
    pub fn below(&self, prefix: &Prefix) -> Option<TreePath<'_>> {
        let is_prefix = || (self.path == prefix.0).then(TreePath::root);
        self.path.below(&prefix.0).or_else(is_prefix)
    }
}

fn check_escapes(raw: &[u8]) -> Result<(), Error> {
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|&b| b == b'%') {
        match rest.get(at + 1..at + 3) {
            Some([b'2', b'f' | b'F']) => return Err(Error::EncodedSlash),
            Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => rest = &rest[at + 3..],
            _ => return Err(Error::BadEscape),
        }
    }
    Ok(())
}

fn merge_slashes(path: &[u8]) -> Vec<u8> {
    path.split(|&b| b == b'/').filter(|s| !s.is_empty()).collect::<Vec<_>>().join(&b'/')
}

/// The part of the URL space that an instance answers for: `/` or `/activities`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Prefix(TreePath<'static>);

impl Prefix {
    /// Takes a prefix as the configuration has it: with a leading slash, decoded, with or without one at the end.
    ///
    /// # Errors
    /// When it is no absolute path.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let rest = text.strip_prefix('/').ok_or(Error::NotAbsolute)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        Ok(Self(TreePath::parse(rest.as_bytes().to_vec())?))
    }

    /// The path as a client writes it, up to and including the slash before what is below: `/` or `/activities/`.
    #[must_use]
    pub fn encoded(&self) -> String {
        if self.0.is_root() { "/".to_owned() } else { format!("/{}/", self.0.encoded()) }
    }

    /// The whole path of what lies below it, decoded, with a slash at its start.
    #[must_use]
    pub fn whole(&self, path: &TreePath<'_>) -> Vec<u8> {
        let parts = [self.0.as_bytes(), path.as_bytes()];
        parts.into_iter().filter(|part| !part.is_empty()).flat_map(|part| [b"/", part].concat()).collect()
    }

    /// How many bytes long it is: of several prefixes that match, the longest wins.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_bytes().len()
    }

    /// Whether it is `/`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_root()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self(TreePath::root())
    }
}

impl<'de> serde::Deserialize<'de> for Prefix {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| {
            serde::de::Error::custom(format!("{text:?} is no prefix ({error}); write it like \"/activities\""))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(raw: &str) -> Result<(String, bool), Error> {
        RequestPath::parse(raw).map(|p| (p.whole().to_string(), p.is_directory()))
    }

    #[test]
    fn a_request_path_is_decoded_once_and_normalised() {
        for (raw, path, directory) in [
            ("/4078/labyrinth-7.xo", "4078/labyrinth-7.xo", false),
            ("/", "", true),
            ("//", "", true),
            ("/4078/", "4078", true),
            ("//4078//labyrinth-7.xo", "4078/labyrinth-7.xo", false),
            ("/%2Bciudadano-2.xo", "+ciudadano-2.xo", false),
            ("/+ciudadano-2.xo", "+ciudadano-2.xo", false),
            ("/colors%21-16.xo", "colors!-16.xo", false),
            ("/a%20b", "a b", false),
            ("/100%25", "100%", false),
            ("/%2541", "%41", false),
            ("/%C3%BC", "ü", false),
        ] {
            assert_eq!(parsed(raw), Ok((path.to_owned(), directory)), "{raw}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for (raw, error) in [
            ("/..", Error::DotSegment),
            ("/a/../b", Error::DotSegment),
            ("/a/%2e%2e/b", Error::DotSegment),
            ("/./a", Error::DotSegment),
            ("/a%2fb", Error::EncodedSlash),
            ("/a%2Fb", Error::EncodedSlash),
            ("/a%00b", Error::ControlCharacter),
            ("/a%0d%0aX: y", Error::ControlCharacter),
            ("/a%7f", Error::ControlCharacter),
            ("/a%5cb", Error::Backslash),
            ("/a%", Error::BadEscape),
            ("/a%4", Error::BadEscape),
            ("/a%zz", Error::BadEscape),
            ("a", Error::NotAbsolute),
            ("", Error::NotAbsolute),
        ] {
            assert_eq!(parsed(raw), Err(error), "{raw}");
        }
        assert_eq!(parsed(&format!("/{}", "a".repeat(272))), Err(Error::TooLong));
        assert_eq!(parsed(&format!("/{}", "a/".repeat(3000))), Err(Error::TooLong));
    }

    #[test]
    fn a_prefix_ends_at_a_segment_boundary() {
        let prefix = Prefix::parse("/activities").expect("valid");
        let below = |raw| RequestPath::parse(raw).expect("valid").below(&prefix).map(|p| p.to_string());
        assert_eq!(below("/activities/4078/x.xo"), Some("4078/x.xo".to_owned()));
        assert_eq!(below("/activities"), Some(String::new()));
        assert_eq!(below("/activities/"), Some(String::new()));
        assert_eq!(below("/activities-devel/4078/x.xo"), None);
        assert_eq!(below("/activities%2ddevel/4078/x.xo"), None);
        assert_eq!(below("//activities//4078/x.xo"), Some("4078/x.xo".to_owned()));
        assert_eq!(below("/other"), None);
        assert_eq!(Prefix::parse("/").expect("valid").encoded(), "/");
        assert_eq!(prefix.encoded(), "/activities/");
    }
}
