//! Repositories of packages within a tree: what describes them and stays home, and the lists that package managers choose their
//! mirrors from.
//!
//! `find` tells which list a request is for, `list` and `metalink` write them (pure), `ledger` remembers the versions of each
//! repository that clients were told of, so that they are accepted for a while after they were replaced.

mod find;
pub mod ledger;
pub mod list;
pub mod metalink;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use crate::model::{PathGlob, Span, TreePath, glob};

pub use find::{Asked, List, Repositories};
pub use ledger::Ledger;

/// `[[repository]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Where it is below the public tree; the tree itself is `/`.
    #[serde(deserialize_with = "directory")]
    pub path: TreePath<'static>,
    /// Who reads it.
    pub kind: Kind,
    /// Files that a mirror must hold in their present versions to be listed. For apt, from the repository's own directory; left
    /// out for the others: `repodata/repomd.xml` of the directory that is asked for.
    #[serde(default)]
    pub markers: Vec<String>,
    /// Patterns of the files that describe the repository and are served from here; left out: what the kind says.
    #[serde(default)]
    pub metadata: Option<Vec<String>>,
    /// How long a replaced version of `repomd.xml` is still accepted by clients of the metalink.
    #[serde(default = "default_accept_old")]
    pub accept_old: Span,
    /// Arguments of a query that, all of them together, ask for a list of this repository, each with the patterns of its values.
    #[serde(default)]
    pub arguments: BTreeMap<String, Vec<String>>,
    /// Which directory below `path` is meant then, with `$name` for an argument's value.
    #[serde(default)]
    pub directory: Option<String>,
}

/// The package managers whose repositories are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `dists/` and `pool/`.
    Apt,
    /// `repodata/repomd.xml`: dnf and yum.
    Dnf,
    /// The same as zypper reads it, with `media.1/`.
    Zypper,
}

/// What a mirror must hold of an rpm repository.
pub const REPOMD: &str = "repodata/repomd.xml";

/// Fedora gives its mirrors four days; three are enough for any that is worth listing.
fn default_accept_old() -> Span {
    Span(Duration::from_secs(3 * 86_400))
}

impl Kind {
    /// Whether it is an rpm repository.
    #[must_use]
    pub const fn is_rpm(self) -> bool {
        matches!(self, Self::Dnf | Self::Zypper)
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Dnf => "dnf",
            Self::Zypper => "zypper",
        }
    }

    const fn metadata(self) -> &'static [&'static str] {
        match self {
            Self::Apt => &["/dists/**"],
            Self::Dnf => &["**/repodata/**"],
            Self::Zypper => &["**/repodata/**", "**/media.1/**"],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Settings {
    /// The patterns of the files that describe the repository.
    ///
    /// # Errors
    /// The first that is none, and why.
    pub fn metadata(&self) -> Result<Vec<PathGlob>, (String, glob::Error)> {
        let parse = |text: &str| PathGlob::parse(text).map_err(|error| (text.to_owned(), error));
        match &self.metadata {
            Some(patterns) => patterns.iter().map(|text| parse(text)).collect(),
            None => self.kind.metadata().iter().map(|text| parse(text)).collect(),
        }
    }
}

/// A directory of the tree, written with or without slashes at its ends.
fn directory<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TreePath<'static>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let trimmed = text.strip_prefix('/').unwrap_or(&text);
    let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
    TreePath::parse(trimmed.as_bytes().to_vec())
        .map_err(|error| de::Error::custom(format!("{text:?} is no directory of the tree ({error}); write it like \"debian\"")))
}
