//! A configuration file as text, and what is wrong with it, shown where it stands.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where in a file something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// The text of a file, with the place of each key that was found in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    text: String,
    /// By `section.key`, `mirror[2].key`, or the section alone.
    keys: BTreeMap<String, Range<usize>>,
}

impl Source {
    pub(super) fn new(text: String) -> Self {
        Self { text, keys: BTreeMap::new() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn note(&mut self, key: String, span: Range<usize>) {
        self.keys.entry(key).or_insert(span);
    }

    /// Where a key's value stands; for one that was left out, its section.
    #[must_use]
    pub fn position(&self, key: &str) -> Option<Position> {
        self.span(key).map(|span| position(&self.text, span.start))
    }

    /// Whether the file has this key, good or bad.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    pub(super) fn span(&self, key: &str) -> Option<Range<usize>> {
        let section = key.split('.').next().unwrap_or(key);
        self.keys.get(key).or_else(|| self.keys.get(section)).cloned()
    }
}

/// The line and column of a byte of `text`.
pub(super) fn position(text: &str, offset: usize) -> Position {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
    Position { line, column: String::from_utf8_lossy(&before[start..]).chars().count() + 1 }
}

/// One thing that keeps a configuration from being used.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// Where in it; `None` when that can't be said.
    pub position: Option<Position>,
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    pub advice: Option<String>,
    /// The line that it is about, and how many of its characters.
    #[serde(skip)]
    excerpt: Option<(String, usize)>,
}

impl Problem {
    /// A problem with a file as a whole.
    #[must_use]
    pub fn of_file(path: &Path, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), position: None, text: text.into(), advice: None, excerpt: None }
    }

    /// A problem with a part of a file's text.
    #[must_use]
    pub(super) fn at(path: &Path, source: &str, span: Range<usize>, text: impl Into<String>) -> Self {
        let position = position(source, span.start);
        let line = source.lines().nth(position.line - 1).unwrap_or("");
        let rest = line.chars().count().saturating_sub(position.column - 1);
        let length = source.get(span).map_or(1, |part| part.lines().next().unwrap_or("").chars().count());
        Self {
            path: path.to_owned(),
            position: Some(position),
            text: text.into(),
            advice: None,
            excerpt: Some((shorten(line, position.column), length.clamp(1, rest.clamp(1, SHOWN_COLUMNS)))),
        }
    }

    pub(super) fn advise(mut self, advice: Option<String>) -> Self {
        self.advice = advice;
        self
    }
}

/// No more of a line is shown: wider than any terminal in use, and not a page of a file that is no configuration.
const SHOWN_COLUMNS: usize = 160;

fn shorten(line: &str, column: usize) -> String {
    if column > SHOWN_COLUMNS {
        return String::new();
    }
    let shown: String = line.chars().take(SHOWN_COLUMNS).collect();
    // A tab is as wide as one caret, so that the caret stays below what it points at; control characters stay off terminals.
    shown.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.text)?;
        match (&self.excerpt, self.position) {
            (Some((line, length)), Some(position)) if !line.is_empty() => {
                let number = position.line.to_string();
                let margin = " ".repeat(number.len());
                let indent = " ".repeat(position.column - 1);
                write!(f, "\n {number} | {line}\n {margin} | {indent}{}", "^".repeat(*length))?;
                self.advice.iter().try_for_each(|advice| write!(f, " {advice}"))
            }
            _ => self.advice.iter().try_for_each(|advice| write!(f, " ({advice})")),
        }
    }
}

/// All that keeps one or several configurations from being used, in the order of the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_its_line_with_carets() {
        let source = "[tree]\nmin-agee = \"30m\"\n";
        let problem = Problem::at(Path::new("m.toml"), source, 7..15, "unknown key `min-agee` in [tree]")
            .advise(Some("did you mean `min-age`?".to_owned()));
        assert_eq!(
            problem.to_string(),
            "m.toml:2:1: unknown key `min-agee` in [tree]\n 2 | min-agee = \"30m\"\n   | ^^^^^^^^ did you mean `min-age`?"
        );
    }

    #[test]
    fn columns_count_characters_and_the_end_of_a_file_has_a_place() {
        assert_eq!(position("größe = 1", 10), Position { line: 1, column: 9 });
        assert_eq!(position("a\nb", 3), Position { line: 2, column: 2 });
        assert_eq!(position("", 9), Position { line: 1, column: 1 });
        let at_end = Problem::at(Path::new("m"), "a =", 3..3, "no value");
        assert_eq!(at_end.to_string(), "m:1:4: no value\n 1 | a =\n   |    ^");
    }

    #[test]
    fn an_endless_line_is_cut() {
        let line = "x".repeat(100_000);
        let problem = Problem::at(Path::new("m"), &line, 0..100_000, "no key");
        assert!(problem.to_string().len() < 500);
    }
}
