//! What a scan changes, by path: for people who want to know before it does.

use roaring::RoaringBitmap;

use super::plan::Pages;
use crate::inventory::{self, Inventory};
use crate::model::TreePath;

/// The paths that a scan changes, in order, up to a limit.
#[derive(Debug, Default, Clone)]
pub struct Changes {
    /// The mirror was not known to have them.
    pub gained: Vec<TreePath<'static>>,
    /// It has them no longer.
    pub lost: Vec<TreePath<'static>>,
    /// How many more there are of both.
    pub untold: u64,
}

impl Changes {
    /// Finds the paths between what was held and what is held now, at most `limit` of each kind.
    ///
    /// # Errors
    /// When the inventory can't be read.
    pub(super) async fn between(
        before: &RoaringBitmap,
        after: &RoaringBitmap,
        scope: &TreePath<'static>,
        inventory: &Inventory,
        limit: usize,
    ) -> Result<Self, inventory::Error> {
        let (gained, lost) = (after - before, before - after);
        let mut changes = Self::default();
        let mut pages = Pages::new(scope.clone());
        let mut met = 0;
        while met < gained.len() + lost.len()
            && let Some(page) = pages.next(inventory).await?
        {
            for (path, version, _) in page.files() {
                let list = match version.0 {
                    number if lost.contains(number) => &mut changes.lost,
                    number if gained.contains(number) => &mut changes.gained,
                    _ => continue,
                };
                met += 1;
                if list.len() < limit {
                    list.push(path.into_owned());
                }
            }
        }
        changes.untold = met - (changes.gained.len() + changes.lost.len()) as u64;
        Ok(changes)
    }
}
