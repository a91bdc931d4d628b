//! The trees: folders on the local file system, opened once, below which files are looked at, opened and listed.

//!
//! Only what is reached from a folder's handle is opened, by the policy for links ([`resolve`](self)); the paths that
//! clients ask for are looked up, never resolved into others.

mod anchor;
mod hidden;
mod resolve;
mod root;
mod stat;
mod walk;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use crate::model::{ByteSize, Prefix, Span};

pub use anchor::Absence;
pub use hidden::{Error as PatternError, Hidden};
pub use resolve::MAX_DEPTH;
pub use root::{Glance, Item, Kind, Look, LookError, OpenFile, Root, Visit};
pub use walk::{Directory, Found, Outcome, Trouble, Visitor, walk};
pub use watch::{Event, Watch, WatchError};

/// The trees of one instance.
#[derive(Debug, Clone)]
pub struct Trees {
    /// What the mirrors carry.
    pub public: Root,
    /// The site's own working copy.
    pub application: Option<Root>,
    /// What nobody is shown, of either.
    pub hidden: Hidden,
}

/// Why trees can't be opened. A folder that is missing is no error: its [`Root`] is away until it comes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key of `hidden`.
    #[error("can't hide {pattern:?}: {why}")]
    Hidden {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: PatternError,
    },
}

impl Trees {
    /// Opens the trees as the configuration has them.
    ///
    /// # Errors
    /// When a setting makes no sense.
    pub fn open(settings: &Settings) -> Result<Self, Error> {
        let hidden = Hidden::parse(settings.hidden.iter().map(String::as_str))
            .map_err(|(pattern, why)| Error::Hidden { pattern: pattern.to_owned(), why })?;
        let paths = std::iter::once(&settings.public).chain(&settings.application).chain(&settings.link_roots);
        let anchors = anchor::Anchor::open_all(&paths.map(PathBuf::as_path).collect::<Vec<_>>());
        let public = Arc::clone(&anchors[0]);
        let application = settings.application.as_ref().map(|_| Arc::clone(&anchors[1]));
        let bounds = Arc::new(resolve::Bounds { symlinks: settings.symlinks, anchors });
        let root = |anchor| Root { anchor, bounds: Arc::clone(&bounds) };
        Ok(Self { public: root(public), application: application.map(root), hidden })
    }

    /// Looks again whether the folders are there, the link roots included. True if one of the two trees is not what it was.
    /// It asks the file system, which may take its time.
    pub fn refresh(&self) -> bool {
        let trees = [Some(&self.public), self.application.as_ref()];
        let is_tree = |anchor| trees.into_iter().flatten().any(|root| Arc::ptr_eq(&root.anchor, anchor));
        let mut is_other = false;
        for anchor in &self.public.bounds.anchors {
            is_other |= anchor.refresh() && is_tree(anchor);
        }
        is_other
    }

    /// Whether one of the trees lies on a file server.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        [Some(&self.public), self.application.as_ref()].into_iter().flatten().any(Root::is_remote)
    }

    /// Whether a folder that links may lead to had files and is away now: then links that lead nowhere prove nothing.
    #[must_use]
    pub fn is_part_lost(&self) -> bool {
        self.public.bounds.anchors.iter().any(|anchor| anchor.is_lost())
    }
}

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
    /// What nobody is shown: names (`.*`), or folders with a slash at the end (`temp/`); `*` and `?` match within a name. Names that
    /// are asked for count, not those that links lead to: `current -> .versions/7` is how a site publishes.
    #[serde(default = "default_hidden")]
    pub hidden: Vec<String>,
    /// Who gets files that only the application tree has.
    #[serde(default)]
    pub application_access: ApplicationAccess,
    /// The file with the key that links to them are signed with.
    pub application_key_file: Option<PathBuf>,
    /// Whether directories are listed.
    #[serde(default = "default_true")]
    pub index: bool,
    /// How often the whole public tree is walked, for what file events don't tell (NFS).
    #[serde(default = "default_walk_interval")]
    pub walk_interval: Span,
    /// How long a file must have stood still before its content counts.
    #[serde(default = "default_settle")]
    pub settle: Span,
    /// The same for a file that got smaller or empty: most likely it is being written anew.
    #[serde(default = "default_settle_shrunken")]
    pub settle_shrunken: Span,
}

impl Settings {
    /// A public tree, and every other key left out.
    #[must_use]
    pub fn of(public: impl Into<PathBuf>) -> Self {
        Self {
            prefix: Prefix::default(),
            public: public.into(),
            application: None,
            min_age: default_min_age(),
            min_size: ByteSize::default(),
            symlinks: Symlinks::default(),
            link_roots: Vec::new(),
            hidden: default_hidden(),
            application_access: ApplicationAccess::default(),
            application_key_file: None,
            index: default_true(),
            walk_interval: default_walk_interval(),
            settle: default_settle(),
            settle_shrunken: default_settle_shrunken(),
        }
    }
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
    /// Who comes by a signed link.
    Signed,
    /// Nobody.
    Deny,
}

fn default_min_age() -> Span {
    Span(std::time::Duration::from_secs(30 * 60))
}
fn default_walk_interval() -> Span {
    Span(std::time::Duration::from_secs(10 * 60))
}
fn default_settle() -> Span {
    Span(std::time::Duration::from_secs(2))
}
fn default_settle_shrunken() -> Span {
    Span(std::time::Duration::from_secs(30))
}
fn default_hidden() -> Vec<String> {
    vec![".*".to_owned()]
}
const fn default_true() -> bool {
    true
}
