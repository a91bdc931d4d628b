//! What goes wrong although every value is right by itself: between the parts of an instance, and between instances. Pure:
//! whoever calls it says where paths really lead; what only a look at the machine can tell is `redirector check`'s business.

mod mirrors;
mod rules;
mod server;
mod trees;

use std::fmt;
use std::path::{Path, PathBuf};

use super::Config;
use super::source::Position;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It can't work, or does harm.
    Error,
    /// It works, but hardly as it is meant to, or not now.
    Warning,
    /// It works; there is a better way.
    Hint,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Hint => "hint",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something that an administrator should know.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The instance's name.
    pub instance: String,
    /// Its file.
    pub file: PathBuf,
    /// The key that it is about: `tree.public`, `mirror.https`.
    pub key: String,
    /// Where that key stands, or its section where it was left out.
    pub position: Option<Position>,
    /// What is wrong.
    pub text: String,
    /// What to do, or why it matters.
    pub advice: String,
}

impl fmt::Display for Finding {
    /// In a line: where it is, what is wrong, what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}: {}: {}", self.severity, self.key, self.text)?;
        if self.advice.is_empty() { Ok(()) } else { write!(f, "; {}", self.advice) }
    }
}

impl Finding {
    /// Something about a key: `tree.public`, or `mirror[2].https` for the third mirror.
    #[must_use]
    pub fn new(severity: Severity, config: &Config, key: &str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        let (section, rest) = key.split_once('.').unwrap_or((key, ""));
        let section = section.split('[').next().unwrap_or(section);
        Self {
            severity,
            instance: config.name.clone(),
            file: config.path.clone(),
            key: if rest.is_empty() { section.to_owned() } else { format!("{section}.{rest}") },
            position: config.source.position(key),
            text: text.into(),
            advice: advice.into(),
        }
    }
}

/// All that can be told from the configurations alone, the worst first. `resolve` says where a path really leads: a symbolic
/// link is not seen in its name.
#[must_use]
pub fn all(configs: &[Config], resolve: &dyn Fn(&Path) -> PathBuf) -> Vec<Finding> {
    let mut findings = Vec::new();
    for config in configs {
        server::alone(config, &mut findings);
        trees::alone(config, &mut findings);
        mirrors::alone(config, &mut findings);
        rules::alone(config, &mut findings);
    }
    server::together(configs, &mut findings);
    trees::together(configs, resolve, &mut findings);
    mirrors::together(configs, &mut findings);
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// What keeps instances from being served side by side at all, whatever the machine looks like.
#[must_use]
pub fn conflicts(configs: &[Config]) -> Vec<Finding> {
    let mut findings = Vec::new();
    server::together(configs, &mut findings);
    trees::shared_databases(configs, &|path| path.to_owned(), &mut findings);
    findings.retain(|finding| finding.severity == Severity::Error);
    findings
}

/// All pairs of different entries, each once.
fn pairs<T>(list: &[T]) -> impl Iterator<Item = (&T, &T)> {
    list.iter().enumerate().flat_map(|(index, a)| list[index + 1..].iter().map(move |b| (a, b)))
}

#[cfg(test)]
mod tests;
