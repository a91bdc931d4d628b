//! A clock that was put on: what is young then would seem to be old.

use jiff::{SignedDuration, Timestamp};

use super::Inventory;
use super::error::Error;
use super::store::{MAX_PAGE, Page};
use crate::model::{FileRecord, TreePath};

/// What putting the clock on means for what became public a short while before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leap {
    /// Versions that are public since before this moment, by the clock as it was, are old enough.
    pub after: Timestamp,
    /// By how much it was put on.
    pub by: SignedDuration,
    /// What it shows now.
    pub now: Timestamp,
}

impl Leap {
    /// Since when a version is public by the clock as it is now; none where that need not change.
    #[must_use]
    pub fn moved(&self, public_since: Timestamp) -> Option<Timestamp> {
        let moved = public_since.checked_add(self.by).map_or(self.now, |moved| moved.min(self.now));
        (public_since > self.after && moved > public_since).then_some(moved)
    }
}

/// What was done about some files after the clock was put on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Redated {
    /// The files that have become public later than was thought.
    pub records: Vec<FileRecord>,
    /// The last path that was looked at; `None` when there are no more.
    pub last: Option<TreePath<'static>>,
}

impl Inventory {
    /// After the clock was put on: has what became public a short while before stay young for as long as it would have.
    ///
    /// # Errors
    /// When the store fails; then it can be asked for again with what is left of the leap, or as it was: nothing gets older by it.
    pub async fn redate(&self, leap: Leap) -> Result<(), Error> {
        let mut page = Page { within: TreePath::root(), after: None, limit: MAX_PAGE };
        loop {
            let this = page.clone();
            page.after = self.ask(move |owner| owner.redate(&this, &leap)).await?;
            if page.after.is_none() {
                return Ok(());
            }
        }
    }
}
