//! A short walk through a tree, to see what would stand in the way of serving it.

use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::fs::{Access, AtFlags, accessat};

use crate::clock;
use crate::model::TreePath;
use crate::tree::{Directory, Found, Hidden, LookError, Root, Trouble, Visitor, walk};

/// How long a tree is looked at: the point is to find what is wrong everywhere, not to count.
pub(super) const TIME: Duration = Duration::from_secs(5);
/// More files than this are not looked at, for the same reason.
const FILES: u64 = 200_000;

/// What was seen.
#[derive(Default)]
pub(super) struct Survey {
    pub(super) directories: u64,
    pub(super) files: u64,
    /// Whether all of the tree was seen.
    pub(super) is_whole: bool,
    pub(super) unreadable: Seen,
    pub(super) forbidden: Seen,
    pub(super) bad_names: Seen,
    pub(super) future: Seen,
}

/// How many of something, and the first.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) count: u64,
    pub(super) first: String,
}

impl Seen {
    fn note(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.count == 1 {
            self.first = what();
        }
    }
}

/// Looks through a tree.
pub(super) fn of(root: &Root, hidden: &Hidden, now: Timestamp) -> Result<Survey, LookError> {
    let tomorrow = now.as_second().saturating_add(24 * 3600);
    let mut watcher = Watcher { survey: Survey::default(), until: clock::instant() + TIME, tomorrow, directory: None };
    let outcome = walk(root, &TreePath::root(), hidden, &mut watcher)?;
    let mut survey = watcher.survey;
    survey.is_whole = outcome == crate::tree::Outcome::Whole;
    Ok(survey)
}

struct Watcher {
    survey: Survey,
    until: Instant,
    /// Seconds since 1970.
    tomorrow: i64,
    /// The one whose files are told.
    directory: Option<OwnedFd>,
}

impl Watcher {
    fn go_on(&self) -> ControlFlow<()> {
        if self.survey.files >= FILES || clock::instant() > self.until {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl Watcher {
    /// Why this user may not read a file of the directory.
    fn objection(&self, name: &[u8]) -> Option<std::io::Error> {
        let directory = self.directory.as_ref()?;
        match accessat(directory, name, Access::READ_OK, AtFlags::EACCESS) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => None,
            Err(errno) => Some(errno.into()),
        }
    }
}

impl Visitor for Watcher {
    fn enter(&mut self, directory: &Directory<'_>) -> ControlFlow<()> {
        self.survey.directories += 1;
        self.directory = directory.handle.try_clone_to_owned().ok();
        self.go_on()
    }

    fn file(&mut self, found: &Found<'_>) -> ControlFlow<()> {
        self.survey.files += 1;
        if let Some(error) = self.objection(found.path.name()) {
            self.survey.unreadable.note(|| format!("{}: {error}", found.path));
        }
        if found.fingerprint.mtime().as_second() > self.tomorrow {
            self.survey.future.note(|| found.path.to_string());
        }
        self.go_on()
    }

    fn empty(&mut self, _: &Directory<'_>) -> ControlFlow<()> {
        self.go_on()
    }

    fn trouble(&mut self, path: &TreePath<'_>, trouble: Trouble) -> ControlFlow<()> {
        let survey = &mut self.survey;
        match trouble {
            Trouble::Unreadable(error) => survey.unreadable.note(|| format!("{path}: {error}")),
            Trouble::BadName(name) => survey.bad_names.note(|| format!("{name:?} in /{path}")),
            Trouble::Forbidden | Trouble::Circle | Trouble::TooDeep => survey.forbidden.note(|| path.to_string()),
        }
        self.go_on()
    }
}
