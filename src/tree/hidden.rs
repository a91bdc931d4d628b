//! What nobody is shown: names of files and directories, at any depth.

use crate::model::{Glob, TreePath};

/// Patterns of hidden names, read once.
///
/// A pattern is one name, in which `*` stands for any characters and `?` for one; it hides files and directories of that
/// name, and everything below these. One that ends in a slash hides directories only.
#[derive(Debug, Clone, Default)]
pub struct Hidden {
    /// Hide whatever has the name.
    names: Vec<Glob>,
    /// Hide only directories.
    directories: Vec<Glob>,
    /// The first bytes of names that could be hidden: most names are told to be none by theirs.
    starts: Starts,
}

/// A set of bytes.
#[derive(Debug, Clone)]
struct Starts([bool; 256]);

impl Default for Starts {
    fn default() -> Self {
        Self([false; 256])
    }
}

impl Starts {
    fn add(&mut self, pattern: &Glob) {
        match pattern.start() {
            [first, ..] => self.0[usize::from(*first)] = true,
            [] => self.0.fill(true),
        }
    }

    fn may_be_of(&self, name: &[u8]) -> bool {
        name.first().is_some_and(|first| self.0[usize::from(*first)])
    }
}

/// Why a pattern is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing, or only a slash.
    #[error("it is empty")]
    Empty,
    /// A slash that is not at the end.
    #[error("it has a slash that is not at its end; a pattern is one name, which is hidden at any depth")]
    Slash,
}

impl Hidden {
    /// Reads patterns.
    ///
    /// # Errors
    /// The first pattern that is none, and why.
    pub fn parse<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Result<Self, (&'p str, Error)> {
        let mut hidden = Self::default();
        for pattern in patterns {
            let (list, name) = match pattern.strip_suffix('/') {
                Some(name) => (&mut hidden.directories, name),
                None => (&mut hidden.names, pattern),
            };
            let glob = parse(name).map_err(|error| (pattern, error))?;
            hidden.starts.add(&glob);
            list.push(glob);
        }
        Ok(hidden)
    }

    /// Whether a file is hidden, by its own name or by that of a directory above it.
    #[must_use]
    pub fn matches(&self, path: &TreePath<'_>) -> bool {
        self.is_name_hidden(path.name()) || self.is_within_hidden(path)
    }

    /// Whether a directory is hidden, by its own name or by that of a directory above it.
    #[must_use]
    pub fn matches_directory(&self, path: &TreePath<'_>) -> bool {
        let bytes = path.as_bytes();
        let mut start = 0;
        memchr::memchr_iter(b'/', bytes).chain([bytes.len()]).any(|end| {
            let segment = &bytes[start..end];
            start = end + 1;
            self.is_directory_name_hidden(segment)
        })
    }

    /// Whether a file of this name is hidden, wherever it is.
    pub(super) fn is_name_hidden(&self, name: &[u8]) -> bool {
        self.starts.may_be_of(name) && self.names.iter().any(|pattern| pattern.matches(name))
    }

    /// Whether a directory of this name is hidden, wherever it is.
    pub(super) fn is_directory_name_hidden(&self, name: &[u8]) -> bool {
        let mut all = self.names.iter().chain(&self.directories);
        self.starts.may_be_of(name) && all.any(|pattern| pattern.matches(name))
    }

    fn is_within_hidden(&self, path: &TreePath<'_>) -> bool {
        path.parent().is_some_and(|parent| self.matches_directory(&parent))
    }
}

fn parse(pattern: &str) -> Result<Glob, Error> {
    match () {
        () if pattern.is_empty() => Err(Error::Empty),
        () if pattern.contains('/') => Err(Error::Slash),
        () => Ok(Glob::new(pattern)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath<'_> {
        TreePath::parse(text.as_bytes()).expect("valid")
    }

    #[test]
    fn names_are_hidden_at_any_depth_with_all_below_them() {
        let hidden = Hidden::parse(["temp/", "extracted/", ".*"]).expect("valid");
        for (text, is_hidden) in [
            ("", false),
            ("4078/labyrinth-7.xo", false),
            (".htaccess", true),
            ("4078/.htaccess", true),
            (".git/config", true),
            ("temp/x.xo", true),
            ("4078/temp/x.xo", true),
            ("4078/temp/deep/x.xo", true),
            ("temp", false),
            ("4078/temp.xo", false),
            ("mytemp/x.xo", false),
            ("Temp/x.xo", false),
            ("extracted/a", true),
            ("a.b", false),
        ] {
            assert_eq!(hidden.matches(&path(text)), is_hidden, "{text}");
        }
        assert!(hidden.matches_directory(&path("4078/temp")) && hidden.matches_directory(&path(".git")));
        assert!(!hidden.matches_directory(&path("4078")) && !hidden.matches_directory(&path("")));
    }

    #[test]
    fn stars_and_question_marks_match_within_a_name() {
        for (pattern, name, is_hidden) in [
            ("*.tmp", "a.tmp", true),
            ("*.tmp", "a.tmpx", false),
            ("a*", "abc", true),
            ("a*c?e", "abbbcde", true),
            ("a*c?e", "abbbcdde", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxa", false),
            ("?", "a", true),
            ("?", "ab", false),
            ("*", "anything", true),
            ("a**", "a", true),
            ("*aab", "aaaaab", true),
        ] {
            let hidden = Hidden::parse([pattern]).expect("valid");
            assert_eq!(hidden.matches(&path(name)), is_hidden, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_is_one_name() {
        assert_eq!(Hidden::parse(["a", ""]).expect_err("empty"), ("", Error::Empty));
        assert_eq!(Hidden::parse(["/"]).expect_err("empty"), ("/", Error::Empty));
        assert_eq!(Hidden::parse(["a/b"]).expect_err("two"), ("a/b", Error::Slash));
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let hidden = Hidden::parse(["*a*a*a*a*a*a*a*a*a*a*b"]).expect("valid");
        assert!(!hidden.matches(&path(&"a".repeat(255))));
    }
}
