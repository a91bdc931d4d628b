//! Holds: orders not to hand something out, with their history.

use jiff::Timestamp;

use super::{Error, Hold, HoldEvent, Inventory};
use crate::model::TreePath;

impl Inventory {
    /// Puts a file, or a directory with everything below it, on hold; a hold that stands gets the new reason.
    ///
    /// # Errors
    /// When the store fails, or there are [`super::store::MAX_HOLDS`].
    pub async fn hold(&self, hold: Hold) -> Result<(), Error> {
        self.ask(move |owner| owner.hold(&hold)).await
    }

    /// Lifts the hold of exactly this path; false when there is none.
    ///
    /// # Errors
    /// When the store fails; then the hold stands.
    pub async fn release(&self, path: TreePath<'static>, because: String, at: Timestamp) -> Result<bool, Error> {
        self.ask(move |owner| owner.release(&path, &because, at)).await
    }

    /// All holds, in the order of their paths.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn holds(&self) -> Result<Vec<Hold>, Error> {
        self.ask(|owner| owner.store.holds()).await
    }

    /// The newest holds and releases, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn hold_history(&self, limit: usize) -> Result<Vec<HoldEvent>, Error> {
        self.ask(move |owner| owner.store.hold_history(limit)).await
    }
}
