//! The trees: folders on the local file system, opened once, below which files are looked at, opened and listed.

use std::path::PathBuf;

use serde::Deserialize;

use crate::model::{ByteSize, Prefix, Span};

/// `[tree]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The part of the URL space that the trees answer for.
    #[serde(default)]
    pub prefix: Prefix,
    /// What the mirrors carry.
    pub public: PathBuf,
    /// The site's own working copy.
    pub application: Option<PathBuf>,
    /// How long a version is served from here before mirrors are used.
    #[serde(default = "default_min_age")]
    pub min_age: Span,
    /// Smaller files are served from here.
    #[serde(default)]
    pub min_size: ByteSize,
    /// Which symbolic links are followed.
    #[serde(default)]
    pub symlinks: Symlinks,
    /// Folders outside the trees in which links may end.
    #[serde(default)]
    pub link_roots: Vec<PathBuf>,
    /// What nobody is shown: names (`.*`), or folders with a slash at the end (`temp/`); `*` and `?` match within a name.
    #[serde(default = "default_hidden")]
    pub hidden: Vec<String>,
    /// Who gets files that only the application tree has.
    #[serde(default)]
    pub application_access: ApplicationAccess,
    /// Whether directories are listed.
    #[serde(default = "default_true")]
    pub index: bool,
    /// How often the whole public tree is walked, for what file events don't tell (NFS).
    #[serde(default = "default_walk_interval")]
    pub walk_interval: Span,
}

/// `tree.symlinks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Symlinks {
    /// None.
    Deny,
    /// Those that end below the public tree, the application tree or a link root.
    #[default]
    Inside,
}

/// `tree.application-access`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApplicationAccess {
    /// Everyone.
    #[default]
    Open,
    /// Nobody.
    Deny,
}

fn default_min_age() -> Span {
    Span(std::time::Duration::from_secs(30 * 60))
}
fn default_walk_interval() -> Span {
    Span(std::time::Duration::from_secs(10 * 60))
}
fn default_hidden() -> Vec<String> {
    vec![".*".to_owned()]
}
const fn default_true() -> bool {
    true
}
