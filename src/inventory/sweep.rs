//! The end of a walk through the tree: what was not there is forgotten, page by page.

use std::sync::Arc;

use jiff::Timestamp;
use roaring::RoaringBitmap;

use super::Inventory;
use super::error::Error;
use super::store::{MAX_PAGE, Page};
use crate::model::TreePath;

/// What the end of a walk did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Finished {
    /// How many files were forgotten.
    pub forgotten: u64,
    /// When what is known was written down last, of all files that the walk was for.
    pub newest: Option<Timestamp>,
}

impl Inventory {
    /// After a complete walk below `below`: forgets every file there whose version is not in `seen` and that was recorded
    /// before `began`.
    ///
    /// # Errors
    /// When the store fails; then some may be forgotten already, and the rest at the next walk.
    pub async fn finish_walk(
        &self,
        below: TreePath<'static>,
        seen: RoaringBitmap,
        began: Timestamp,
    ) -> Result<Finished, Error> {
        let seen = Arc::new(seen);
        let mut page = Page { within: below, after: None, limit: MAX_PAGE };
        let mut finished = Finished::default();
        loop {
            let (this, seen) = (page.clone(), Arc::clone(&seen));
            let swept = self.ask(move |owner| owner.sweep(&this, &seen, began)).await?;
            finished.forgotten += swept.forgotten.len() as u64;
            finished.newest = finished.newest.max(swept.newest);
            match swept.last {
                Some(last) => page.after = Some(last),
                None => return Ok(finished),
            }
        }
    }
}
