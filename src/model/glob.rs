//! Patterns of names, paths and words, as configurations write them: `*` for any characters and `?` for one.

use super::path::TreePath;

/// A pattern for one text, sorted by how it can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Glob {
    /// Just this.
    Is(Box<[u8]>),
    /// Whatever starts with this.
    Starts(Box<[u8]>),
    /// Whatever ends with this.
    Ends(Box<[u8]>),
    /// Anything else, with its `*` and `?`.
    Pattern(Box<[u8]>),
}

impl Glob {
    /// Reads a pattern.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        let is_plain = |text: &str| !text.contains(['*', '?']);
        match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
            _ if is_plain(pattern) => Self::Is(pattern.as_bytes().into()),
            (Some(start), _) if is_plain(start) => Self::Starts(start.as_bytes().into()),
            (_, Some(end)) if is_plain(end) => Self::Ends(end.as_bytes().into()),
            _ => Self::Pattern(pattern.as_bytes().into()),
        }
    }

    /// What all texts start with that are as the pattern says.
    #[must_use]
    pub fn start(&self) -> &[u8] {
        match self {
            Self::Is(whole) => whole,
            Self::Starts(start) => start,
            Self::Ends(_) => &[],
            Self::Pattern(pattern) => pattern.split(|byte| matches!(byte, b'*' | b'?')).next().unwrap_or(&[]),
        }
    }

    /// Whether the whole text is as the pattern says.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        match self {
            Self::Is(whole) => text == &**whole,
            Self::Starts(start) => text.starts_with(start),
            Self::Ends(end) => text.ends_with(end),
            Self::Pattern(pattern) => stretch(pattern, text, |byte| *byte == b'*', |p, t| *p == b'?' || p == t),
        }
    }
}

/// A pattern for a text whose letters may be large or small: a media type, a user agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordGlob(Box<[u8]>);

impl WordGlob {
    /// Reads a pattern.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(pattern.to_ascii_lowercase().into_bytes().into())
    }

    /// Whether the whole text is as the pattern says.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        stretch(&self.0, text, |byte| *byte == b'*', |p, t| *p == b'?' || *p == t.to_ascii_lowercase())
    }
}

/// A pattern for paths below a directory.
///
/// Without a slash before its end it is the name of a file, or of a directory with all below it, at any depth. With one it is the
/// path from the top, in which `**` stands for any number of directories; `*` and `?` stay within a name. A slash at the end
/// means everything below a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathGlob {
    segments: Box<[Segment]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// `**`: any number of segments.
    Any,
    One(Glob),
}

/// Why a text is no pattern for paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing, or only slashes.
    #[error("it is empty")]
    Empty,
    /// Two slashes in a row, `.` or `..`: no path has them.
    #[error("no path has an empty part, `.` or `..`")]
    Segment,
    /// Longer than [`MAX_PATTERN_BYTES`].
    #[error("it is longer than any path")]
    TooLong,
}

/// A pattern is what somebody wrote; the time to compare grows with its length.
pub const MAX_PATTERN_BYTES: usize = 1024;

impl PathGlob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When no path could ever match.
    pub fn parse(pattern: &str) -> Result<Self, Error> {
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(Error::TooLong);
        }
        let is_below = pattern.ends_with('/');
        let trimmed = pattern.strip_suffix('/').unwrap_or(pattern);
        let is_anywhere = !trimmed.contains('/');
        let trimmed = trimmed.strip_prefix('/').unwrap_or(trimmed);
        if trimmed.is_empty() {
            return Err(Error::Empty);
        }
        let mut segments = Vec::new();
        if is_anywhere {
            segments.push(Segment::Any);
        }
        for segment in trimmed.split('/') {
            match segment {
                "" | "." | ".." => return Err(Error::Segment),
                "**" => segments.push(Segment::Any),
                _ => segments.push(Segment::One(Glob::new(segment))),
            }
        }
        if is_below {
            // Something below it: the directory itself is no file.
            segments.extend([Segment::One(Glob::new("*")), Segment::Any]);
        } else if is_anywhere {
            segments.push(Segment::Any);
        }
        Ok(Self { segments: segments.into() })
    }

    /// Whether a path below the directory that the pattern is for is as the pattern says.
    #[must_use]
    pub fn matches(&self, path: &TreePath<'_>) -> bool {
        let is_any = |segment: &Segment| *segment == Segment::Any;
        let fits = |segment: &Segment, name: &&[u8]| match segment {
            Segment::Any => true,
            Segment::One(glob) => glob.matches(name),
        };
        // The most usual pattern, `*.sig`, is told by the name alone, without a list of segments.
        if let [Segment::Any, Segment::One(glob), Segment::Any] = &*self.segments {
            return path.segments().any(|name| glob.matches(name));
        }
        let names: Vec<&[u8]> = path.segments().collect();
        stretch(&self.segments, &names, is_any, fits)
    }
}

/// Compares part by part; on a difference it goes back to the last part that stands for any number of parts and lets that take
/// one more. So the time is at most the product of both lengths, whatever the pattern.
fn stretch<P, T>(pattern: &[P], text: &[T], is_any: impl Fn(&P) -> bool, fits: impl Fn(&P, &T) -> bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(part) if is_any(part) => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(part) if fits(part, &text[t]) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after, taken)) = retry else { return false };
                retry = Some((after, taken + 1));
                (p, t) = (after, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(is_any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_pattern_means_names_anywhere_or_paths_from_the_top() {
        for (pattern, path, matches) in [
            ("*.sig", "a.sig", true),
            ("*.sig", "deep/er/a.sig", true),
            ("*.sig", "a.sig.iso", false),
            ("latest", "1/latest/a.iso", true),
            ("latest", "latest", true),
            ("latest", "latest.iso", false),
            ("/latest", "latest", true),
            ("/latest", "1/latest", false),
            ("/latest", "latest/a", false),
            ("latest/", "1/latest/a", true),
            ("/latest/", "1/latest/a", false),
            ("latest/", "latest/1/a", true),
            ("latest/", "latest", false),
            ("**/latest/", "1/2/latest/3/a", true),
            ("a/*/c", "a/b/c", true),
            ("a/*/c", "a/b/b/c", false),
            ("a/**/c", "a/c", true),
            ("a/**/c", "a/b/b/c", true),
            ("a/**", "a/b/c", true),
            ("a/**", "b/a", false),
            ("dists/**/by-hash/**", "dists/x/main/by-hash/SHA256/0", true),
            ("**/repodata/*", "repodata/repomd.xml", true),
            ("**/repodata/*", "8/x86_64/repodata/repomd.xml", true),
            ("a/v?.iso", "a/v1.iso", true),
            ("a/v?.iso", "a/v12.iso", false),
        ] {
            let glob = PathGlob::parse(pattern).expect("a pattern");
            let path = TreePath::parse(path.as_bytes()).expect("a path");
            assert_eq!(glob.matches(&path), matches, "{pattern} {path}");
        }
    }

    #[test]
    fn what_no_path_could_match_is_no_pattern() {
        for (pattern, error) in [
            ("", Error::Empty),
            ("/", Error::Empty),
            ("a//b", Error::Segment),
            ("../a", Error::Segment),
            ("a/./b", Error::Segment),
            (&"a".repeat(2000), Error::TooLong),
        ] {
            assert_eq!(PathGlob::parse(pattern), Err(error), "{pattern}");
        }
    }

    #[test]
    fn words_are_compared_without_case() {
        for (pattern, text, matches) in [
            ("*Googlebot*", "Mozilla/5.0 (compatible; googleBOT/2.1)", true),
            ("wget/*", "Wget/1.21", true),
            ("wget/*", "xWget/1.21", false),
            ("text/*", "TEXT/plain", true),
            ("text/*", "application/text", false),
            ("", "", true),
        ] {
            assert_eq!(WordGlob::new(pattern).matches(text.as_bytes()), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn a_hostile_text_takes_no_time() {
        assert!(!WordGlob::new("*a*a*a*a*a*a*a*a*a*a*b").matches(&[b'A'; 1000]));
        let glob = PathGlob::parse("**/a/**/a/**/a/**/a/**/b").expect("a pattern");
        assert!(!glob.matches(&TreePath::parse("a/".repeat(1000).as_bytes()[..1999].to_vec()).expect("a path")));
    }
}
