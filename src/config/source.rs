//! A configuration file as text, and what is wrong with it, shown where it stands.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use unicode_width::UnicodeWidthStr as _;

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
    /// The line that it is about.
    #[serde(skip)]
    excerpt: Option<Excerpt>,
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
        let shown = shorten(line, position.column);
        let (before, rest) = shown.split_at(shown.char_indices().nth(position.column - 1).map_or(shown.len(), |(at, _)| at));
        let length = source.get(span).map_or(1, |part| part.lines().next().unwrap_or("").chars().count());
        let marked: String = rest.chars().take(length).collect();
        let excerpt = Excerpt { indent: before.width(), width: marked.width().max(1), line: shown };
        Self { path: path.to_owned(), position: Some(position), text: text.into(), advice: None, excerpt: Some(excerpt) }
    }

    pub(super) fn advise(mut self, advice: Option<String>) -> Self {
        self.advice = advice;
        self
    }
}

/// Who has more to mend reads the first ones, and runs `check` again.
const SHOWN_PROBLEMS: usize = 50;

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

/// Text with parts of a file in it: control characters would steer a terminal.
fn plain(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", plain(&self.text))?;
        match (&self.excerpt, self.position) {
            (Some(Excerpt { line, indent, width }), Some(position)) if !line.is_empty() => {
                let number = position.line.to_string();
                let margin = " ".repeat(number.len());
                let (indent, carets) = (" ".repeat(*indent), "^".repeat(*width));
                write!(f, "\n {number} | {line}\n {margin} | {indent}{carets}")?;
                self.advice.iter().try_for_each(|advice| write!(f, " {}", plain(advice)))
            }
            _ => self.advice.iter().try_for_each(|advice| write!(f, " ({})", plain(advice))),
        }
    }
}

/// A line of a configuration, and what is wrong in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Excerpt {
    line: String,
    /// The columns of a terminal before it.
    indent: usize,
    /// As many as it is wide, at least one.
    width: usize,
}

/// All that keeps one or several configurations from being used, in the order of the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().take(SHOWN_PROBLEMS).enumerate() {
            if at > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{problem}")?;
        }
        match self.0.len().saturating_sub(SHOWN_PROBLEMS) {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more problems"),
        }
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
    fn carets_stand_below_what_they_point_at_whatever_its_width() {
        let source = "hosts = [\"語語\", \"a b\"]";
        let at = source.find("\"a b\"").expect("it is there");
        let problem = Problem::at(Path::new("m"), source, at..at + 5, "no host");
        assert_eq!(problem.to_string(), format!("m:1:16: no host\n 1 | {source}\n   | {}^^^^^", " ".repeat(17)));
        let wide = Problem::at(Path::new("m"), source, 9..17, "no host");
        assert!(wide.to_string().ends_with(&format!("| {}^^^^^^", " ".repeat(9))), "{wide}");
    }

    #[test]
    fn a_name_with_control_characters_steers_no_terminal() {
        let problem = Problem::at(Path::new("m"), "\"\u{1b}[2J\" = 1", 0..6, "unknown key `\u{1b}[2J`");
        assert_eq!(problem.to_string(), "m:1:1: unknown key `\\u{1b}[2J`\n 1 | \" [2J\" = 1\n   | ^^^^^^");
    }

    #[test]
    fn of_many_problems_the_first_are_shown() {
        let problem = |at| Problem::of_file(Path::new("m"), format!("problem {at}"));
        let told = Problems((0..3000).map(problem).collect()).to_string();
        assert!(told.ends_with("m: problem 49\n\nand 2950 more problems"), "{told}");
    }

    #[test]
    fn an_endless_line_is_cut() {
        let line = "x".repeat(100_000);
        let problem = Problem::at(Path::new("m"), &line, 0..100_000, "no key");
        assert!(problem.to_string().len() < 500);
    }
}
