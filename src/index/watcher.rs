//! What others may know about the index: how the last walk went, how changes are noticed, and what is wrong.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::metrics::{Counter, OfInstance};
use crate::model::TreePath;
use crate::tree::Absence;

/// What a walk found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Files that there are.
    pub files: u64,
    /// Files that are new or look otherwise than before.
    pub changed: u64,
    /// Files that are gone, and were forgotten.
    pub forgotten: u64,
    /// How far what is known is ahead of the clock, where that is more than clocks differ: one of the two is wrong.
    pub ahead: Option<SignedDuration>,
    /// Files that are being written, and were left for later.
    pub moving: u64,
    /// What could not be read, or was left out: path and reason, the first ones.
    pub troubles: Vec<(TreePath<'static>, String)>,
    /// How many such there were.
    pub trouble_count: u64,
    /// How many of them could not be read; what is known of them stays.
    pub unreadable: u64,
    /// Whether all was seen.
    pub ending: Ending,
}

/// How a walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// All was seen; what was not there was forgotten.
    Complete,
    /// The tree is not there. Nothing was forgotten.
    Away(Option<Absence>),
    /// The tree has no file, and so many were known. Nothing was forgotten.
    Empty(u64),
    /// It was stopped, or there was too much of something. Nothing was forgotten.
    Stopped,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::Away(None) => f.write_str("the public tree went away or was replaced meanwhile"),
            Self::Away(Some(absence)) => write!(f, "the public tree is not there: {absence}"),
            Self::Empty(known) => write!(
                f,
                "the public tree has no file where {known} were; nothing is taken for deleted (put any file there if it is meant to be empty)"
            ),
            Self::Stopped => f.write_str("stopped before its end"),
        }
    }
}

/// How changes are noticed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Watching {
    /// Not at all so far.
    #[default]
    Not,
    /// By events of so many directories.
    All(usize),
    /// For some directories, or all, only by walks; and why.
    Partly(String),
}

/// What is counted. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Whole walks that were ended.
    pub walks: Counter,
    /// Files that were new or looked otherwise.
    pub changed: Counter,
    /// Files that were gone.
    pub forgotten: Counter,
}

/// The counts of all instances, as they are printed.
#[derive(Clone, Debug, Default)]
pub struct Families {
    walks: Family<OfInstance, Counter>,
    changed: Family<OfInstance, Counter>,
    forgotten: Family<OfInstance, Counter>,
}

impl Families {
    /// Puts the counts where they are printed from.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("index_walks", "Whole walks of the public tree", self.walks.clone());
        registry.register("index_changed_files", "Files of the public tree that were new or changed", self.changed.clone());
        registry.register("index_forgotten_files", "Files of the public tree that were gone", self.forgotten.clone());
    }

    /// Those of one instance: the same ones for the same name.
    #[must_use]
    pub fn of(&self, instance: &str) -> Counts {
        let label = OfInstance { instance: instance.to_owned() };
        Counts {
            walks: self.walks.get_or_create_owned(&label),
            changed: self.changed.get_or_create_owned(&label),
            forgotten: self.forgotten.get_or_create_owned(&label),
        }
    }
}

/// Sees how the index stands. Clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Watcher(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    last: Option<Report>,
    watching: Watching,
    absence: Option<Absence>,
    store_error: Option<String>,
}

impl Watcher {
    /// The last whole walk.
    #[must_use]
    pub fn last_walk(&self) -> Option<Report> {
        self.with(|state| state.last.clone())
    }

    /// How changes are noticed.
    #[must_use]
    pub fn watching(&self) -> Watching {
        self.with(|state| state.watching.clone())
    }

    /// What is wrong, for people; nothing where all is well. That the tree is away, the tree itself tells.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.with(|state| {
            let walk = match &state.last {
                None => Some("the public tree was not walked yet".to_owned()),
                Some(report) if matches!(report.ending, Ending::Empty(_)) => Some(report.ending.to_string()),
                Some(report) if report.unreadable > 0 => {
                    Some(format!("{} files or directories of the public tree can't be read", report.unreadable))
                }
                Some(_) => None,
            };
            let events = match &state.watching {
                Watching::Partly(why) => Some(format!("changes are noticed late: {why}")),
                Watching::Not | Watching::All(_) => None,
            };
            let store = state.store_error.as_ref().map(|error| format!("changes can't be written down: {error}"));
            let problems: Vec<String> = walk.into_iter().chain(events).chain(store).collect();
            (!problems.is_empty()).then(|| problems.join("; "))
        })
    }

    pub(super) fn walked(&self, report: Report) {
        self.with(|state| state.last = Some(report));
    }

    /// True if that is news.
    pub(super) fn set_watching(&self, watching: Watching) -> bool {
        self.with(|state| std::mem::replace(&mut state.watching, watching.clone()) != watching)
    }

    /// True if that is news.
    pub(super) fn set_absence(&self, absence: Option<Absence>) -> bool {
        self.with(|state| std::mem::replace(&mut state.absence, absence) != absence)
    }

    /// True if that is news.
    pub(super) fn set_store_error(&self, error: Option<String>) -> bool {
        self.with(|state| std::mem::replace(&mut state.store_error, error.clone()) != error)
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
