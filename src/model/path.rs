//! Where a file lies below a tree: decoded bytes, which are the key of everything: index, holdings, holds, mirrors.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// The path of a file or directory below a tree's root: segments joined by `/`, without one at either end.
///
/// Invariant: at most [`MAX_PATH_BYTES`] bytes; no segment is empty, `.`, `..` or longer than [`MAX_SEGMENT_BYTES`];
/// no control character and no backslash. It need not be UTF-8. The root itself is the empty path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TreePath<'a>(Cow<'a, [u8]>);

/// The longest path that is looked up, in bytes: Linux's `PATH_MAX`.
pub const MAX_PATH_BYTES: usize = 4096;
/// The longest name that a file has, in bytes: Linux's `NAME_MAX`.
const MAX_NAME_BYTES: usize = 255;
/// What may be added to a file's name to ask for a description of it.
pub const MAX_SUFFIX_BYTES: usize = 16;
/// The longest segment, in bytes: a name with such a suffix. No file has a name of more than 255 bytes, so none is found there.
pub const MAX_SEGMENT_BYTES: usize = MAX_NAME_BYTES + MAX_SUFFIX_BYTES;

/// Why some bytes are no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A `%` that two hexadecimal digits do not follow.
    #[error("bad percent-escape")]
    BadEscape,
    /// `%2F`: a slash that is no separator.
    #[error("encoded slash")]
    EncodedSlash,
    /// A segment `.` or `..`.
    #[error("dot segment")]
    DotSegment,
    /// A byte below 0x20, or 0x7F.
    #[error("control character")]
    ControlCharacter,
    /// A backslash: a separator to some servers, a letter to others.
    #[error("backslash")]
    Backslash,
    /// An empty segment, in a path that is not from a request.
    #[error("empty segment")]
    EmptySegment,
    /// Longer than [`MAX_PATH_BYTES`], or a segment longer than [`MAX_SEGMENT_BYTES`].
    #[error("path too long")]
    TooLong,
    /// It does not start with a slash.
    #[error("no slash at the start")]
    NotAbsolute,
}

impl<'a> TreePath<'a> {
    /// Takes bytes that are already decoded: a name from the file system, a listing or the store.
    ///
    /// # Errors
    /// When the bytes break the type's invariant.
    pub fn parse(bytes: impl Into<Cow<'a, [u8]>>) -> Result<Self, Error> {
        let bytes = bytes.into();
        check(&bytes)?;
        Ok(Self(bytes))
    }

    /// Takes bytes of which [`check`] has nothing to say.
    pub(super) const fn checked(bytes: Cow<'a, [u8]>) -> Self {
        Self(bytes)
    }

    /// The root of the tree.
    #[must_use]
    pub const fn root() -> Self {
        Self(Cow::Borrowed(&[]))
    }

    /// The bytes, decoded.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The same path, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> TreePath<'_> {
        TreePath(Cow::Borrowed(&self.0))
    }

    /// The same path, owned.
    #[must_use]
    pub fn into_owned(self) -> TreePath<'static> {
        TreePath(Cow::Owned(self.0.into_owned()))
    }

    /// The last segment; empty for the root.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        memchr::memrchr(b'/', &self.0).map_or(&*self.0, |slash| &self.0[slash + 1..])
    }

    /// The directory that holds it; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<TreePath<'_>> {
        if self.0.is_empty() {
            return None;
        }
        let cut = memchr::memrchr(b'/', &self.0).unwrap_or(0);
        Some(TreePath(Cow::Borrowed(&self.0[..cut])))
    }

    /// The entry `name` of this directory.
    ///
    /// # Errors
    /// When the name is no single segment, or the whole gets too long.
    pub fn join(&self, name: &[u8]) -> Result<TreePath<'static>, Error> {
        check_segment(name)?;
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        if !self.0.is_empty() {
            bytes.extend_from_slice(&self.0);
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        if name.contains(&b'/') || bytes.len() > MAX_PATH_BYTES {
            return Err(if name.contains(&b'/') { Error::EncodedSlash } else { Error::TooLong });
        }
        Ok(TreePath(Cow::Owned(bytes)))
    }

    /// The segments from the top.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/').filter(|s| !s.is_empty())
    }

    /// Whether it is `directory` or lies below it.
    #[must_use]
    pub fn is_within(&self, directory: &TreePath<'_>) -> bool {
        directory.is_root() || self.0.strip_prefix(directory.as_bytes()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }

    /// The part below `directory`; `None` where it does not lie below it.
    #[must_use]
    pub fn below(&self, directory: &TreePath<'_>) -> Option<TreePath<'_>> {
        let rest = self.0.strip_prefix(directory.as_bytes())?;
        match rest {
            [] => None,
            _ if directory.is_root() => Some(TreePath(Cow::Borrowed(rest))),
            [b'/', below @ ..] => Some(TreePath(Cow::Borrowed(below))),
            _ => None,
        }
    }

    /// Appends the path, percent-encoded for use in a URL (RFC 3986 section 3.3), to `out`.
    ///
    /// What a path segment may hold stays as it is (`+` is a plus, `!` an exclamation mark), but for `'`, `;` and `,`,
    /// which HTML attributes, servlet containers and readers of `Link` headers take for something else.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        // Most paths have nothing to escape.
        if self.0.iter().fold(true, |plain, &byte| plain & PLAIN[usize::from(byte)]) {
            return out.extend_from_slice(&self.0);
        }
        for part in percent_encode(&self.0, ENCODED) {
            out.extend_from_slice(part.as_bytes());
        }
    }

    /// The path, percent-encoded.
    #[must_use]
    pub fn encoded(&self) -> String {
        Cow::from(percent_encode(&self.0, ENCODED)).into_owned()
    }
}

impl fmt::Display for TreePath<'_> {
    /// For people: UTF-8, with a replacement character for what is none, and for what would move a terminal's cursor or
    /// turn text around so that a name looks like another.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.0);
        if !text.contains(is_deceptive) {
            return f.write_str(&text);
        }
        f.write_str(&text.replace(is_deceptive, "\u{fffd}"))
    }
}

/// Control characters (C1 and line separators; others are in no path), and those that set the direction of text (UAX #9).
fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Debug for TreePath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// What a path within a URL may have beside letters and digits.
const MARKS: &[u8] = b"-._~!$&()*+=:@/";

/// What has to be escaped in a path within a URL.
const ENCODED: &AsciiSet = &{
    let (mut set, mut at) = (NON_ALPHANUMERIC.remove(MARKS[0]), 1);
    while at < MARKS.len() {
        set = set.remove(MARKS[at]);
        at += 1;
    }
    set
};

/// What need not be escaped, by byte.
const PLAIN: [bool; 256] = {
    let (mut plain, mut byte, mut at) = ([false; 256], 0, 0);
    while byte < plain.len() {
        plain[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    while at < MARKS.len() {
        plain[MARKS[at] as usize] = true;
        at += 1;
    }
    plain
};

/// Whether bytes are a path.
pub(super) fn check(path: &[u8]) -> Result<(), Error> {
    if path.len() > MAX_PATH_BYTES {
        return Err(Error::TooLong);
    }
    if !path.is_empty() && !has_short_plain_names(path) {
        path.split(|&byte| byte == b'/').try_for_each(check_name)?;
    }
    check_bytes(path)
}

/// Whether all is well with the segments of nearly every path: none can be too long, is empty or begins with a dot.
fn has_short_plain_names(path: &[u8]) -> bool {
    let is_odd = |byte: u8| (byte == b'/') | (byte == b'.');
    let (Some(first), Some(last)) = (path.first(), path.last()) else { return false };
    let begins_odd = path.iter().zip(&path[1..]).fold(false, |found, (byte, next)| found | (*byte == b'/') & is_odd(*next));
    path.len() <= MAX_SEGMENT_BYTES && !begins_odd && !is_odd(*first) && *last != b'/'
}

fn check_segment(segment: &[u8]) -> Result<(), Error> {
    check_name(segment)?;
    check_bytes(segment)
}

const fn check_name(segment: &[u8]) -> Result<(), Error> {
    match segment {
        b"" => Err(Error::EmptySegment),
        b"." | b".." => Err(Error::DotSegment),
        _ if segment.len() > MAX_SEGMENT_BYTES => Err(Error::TooLong),
        _ => Ok(()),
    }
}

fn check_bytes(bytes: &[u8]) -> Result<(), Error> {
    let is_control = |byte: u8| byte < 0x20 || byte == 0x7f;
    // Without a way out of the loop the compiler looks at many bytes at once.
    if !bytes.iter().fold(false, |found, &byte| found | is_control(byte) | (byte == b'\\')) {
        return Ok(());
    }
    Err(if bytes.iter().any(|&byte| is_control(byte)) { Error::ControlCharacter } else { Error::Backslash })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RequestPath;

    #[test]
    fn a_name_shown_to_people_steers_no_terminal_and_does_not_pose_as_another() {
        for (name, shown) in [
            (&b"c1\xc2\x9b31mred"[..], "c1\u{fffd}31mred"),
            (b"rtl\xe2\x80\xaegpj.exe", "rtl\u{fffd}gpj.exe"),
            (b"line\xe2\x80\xa8two", "line\u{fffd}two"),
            (b"bad\xff", "bad\u{fffd}"),
            ("\u{fc}\u{65e5}\u{5e9}".as_bytes(), "\u{fc}\u{65e5}\u{5e9}"),
        ] {
            let path = TreePath::parse(name).expect("valid");
            assert_eq!(path.to_string(), shown);
            assert_eq!(RequestPath::parse(&format!("/{}", path.encoded())).expect("valid").whole(), &path, "{shown}");
        }
    }

    #[test]
    fn a_path_is_encoded_so_that_it_comes_back_the_same() {
        for (path, encoded) in [
            ("a b", "a%20b"),
            ("100%", "100%25"),
            ("a#b?c", "a%23b%3Fc"),
            ("+ciudadano-2.xo", "+ciudadano-2.xo"),
            ("colors!-16.xo", "colors!-16.xo"),
            ("ü/\"<>'", "%C3%BC/%22%3C%3E%27"),
            ("a;b,c", "a%3Bb%2Cc"),
        ] {
            let tree_path = TreePath::parse(path.as_bytes()).expect("valid");
            assert_eq!(tree_path.encoded(), encoded);
            let raw = format!("/{encoded}");
            assert_eq!(RequestPath::parse(&raw).expect("valid").whole(), &tree_path);
        }
    }

    #[test]
    fn parents_names_and_joins_agree() {
        let path = TreePath::parse(&b"4078/labyrinth-7.xo"[..]).expect("valid");
        assert_eq!(path.name(), b"labyrinth-7.xo");
        let parent = path.parent().expect("not the root");
        assert_eq!(parent.as_bytes(), b"4078");
        assert_eq!(parent.join(path.name()), Ok(path.clone()));
        assert!(path.is_within(&parent) && path.is_within(&TreePath::root()) && path.is_within(&path));
        assert!(!path.is_within(&TreePath::parse(&b"407"[..]).expect("valid")));
        assert_eq!(parent.join(b"a/b"), Err(Error::EncodedSlash));
        assert_eq!(parent.parent(), Some(TreePath::root()));
        assert_eq!(TreePath::root().parent(), None);
    }
}
