//! What goes into a store's verbs and comes out of them: places in the order of commits, pages, and all that it has.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::holdings::Holdings;
use super::record::Hold;
use crate::model::{Abilities, FileRecord, Health, MirrorName, TreePath};

/// A place in the order of all commits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sequence {
    /// Which database it was: grows when the store had to open another one.
    pub opened: u32,
    /// The number of the commit.
    pub number: i64,
}

impl Sequence {
    /// Whether nothing was committed between the two.
    #[must_use]
    pub fn follows(self, earlier: Self) -> bool {
        self.opened == earlier.opened && Some(self.number) == earlier.number.checked_add(1)
    }
}

/// A commit, to be known again after a restart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bookmark {
    /// Its number.
    pub number: i64,
    /// A random number of its own.
    pub mark: i64,
}

/// How far a commit lies behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lag {
    /// Its place.
    pub sequence: Sequence,
    /// Bytes of the log after it.
    pub bytes: u64,
    /// The number that the next new version will get: there are none beyond it.
    pub next_version: i64,
}

/// The result of a verb that writes.
#[derive(Clone, PartialEq, Debug)]
pub struct Written<T> {
    /// What it returns.
    pub value: T,
    /// Its place in the order of commits; `None` when it changed nothing that a snapshot shows.
    pub sequence: Option<Sequence>,
}

/// A page of files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// A directory, or a single file.
    pub within: TreePath<'static>,
    /// The path before the first.
    pub after: Option<TreePath<'static>>,
    /// At most so many, and at most [`MAX_PAGE`](super::store::MAX_PAGE).
    pub limit: usize,
}

/// Which files of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// All.
    All,
    /// Those that need a digest: they have none, or are to be confirmed by one.
    Unhashed,
    /// Those that have a digest and are to be described.
    Undescribed,
}

/// What a sweep did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Swept {
    /// The files that were forgotten.
    pub forgotten: Vec<TreePath<'static>>,
    /// The last path that was looked at; `None` when there are no more.
    pub last: Option<TreePath<'static>>,
    /// When the one was written down that was so last, of all that were looked at.
    pub newest: Option<Timestamp>,
}

/// What a store has besides files.
#[derive(Clone, PartialEq, Debug)]
pub struct Contents {
    /// All mirrors of which something is known, configured or not.
    pub mirrors: Vec<StoredMirror>,
    /// All holds.
    pub holds: Vec<Hold>,
    /// The last commit that is contained.
    pub sequence: Sequence,
}

/// What a mirror can do, and at which URLs that was tried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tried {
    /// The URLs, joined by spaces.
    pub bases: String,
    /// What it can do.
    pub abilities: Abilities,
}

/// What is known of a mirror.
#[derive(Clone, PartialEq, Debug)]
pub struct StoredMirror {
    /// Its name.
    pub name: MirrorName,
    /// The numbers of the versions that it holds.
    pub holdings: Holdings,
    /// The URLs at which it was seen to hold them, as `record_scan` was told.
    pub bases: String,
    /// Whether it works.
    pub health: Health,
    /// What it can do, if that was tried.
    pub tried: Option<Tried>,
}

/// Whether what was seen at some URLs says something about a mirror at others, both joined by spaces: one of them is the same.
#[must_use]
pub(super) fn shares_a_base(seen: &str, now: &str) -> bool {
    seen.is_empty() || now.split(' ').any(|base| seen.split(' ').any(|other| other == base))
}

/// What was committed since.
#[derive(Clone, PartialEq, Debug)]
pub enum Changes {
    /// Nothing.
    Nothing,
    /// This much.
    These(Box<Update>),
    /// It can't be told any more: everything has to be loaded again.
    Lost,
}

/// What changed, as it is now.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Update {
    /// Files; `None`: gone.
    pub files: Vec<(TreePath<'static>, Option<FileRecord>)>,
    /// Mirrors.
    pub mirrors: Vec<StoredMirror>,
    /// All holds, if any hold changed.
    pub holds: Option<Vec<Hold>>,
    /// The last commit that is contained.
    pub sequence: Sequence,
}
