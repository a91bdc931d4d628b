//! Files by path, version and size only, packed: for who goes through all of them.

use super::Inventory;
use super::error::Error;
use super::store::Page;
use crate::model::{TreePath, VersionNumber};

/// Some files, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    /// All paths, one after the other.
    paths: Vec<u8>,
    rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    /// Where its path ends.
    end: usize,
    version: VersionNumber,
    size: u64,
}

impl Outline {
    /// Adds a file behind the others.
    pub fn push(&mut self, path: &TreePath<'_>, version: VersionNumber, size: u64) {
        self.paths.extend_from_slice(path.as_bytes());
        self.rows.push(Row { end: self.paths.len(), version, size });
    }

    /// The files with their bytes.
    pub fn files(&self) -> impl DoubleEndedIterator<Item = (TreePath<'_>, VersionNumber, u64)> {
        (0..self.rows.len()).filter_map(|at| {
            let begin = at.checked_sub(1).map_or(0, |before| self.rows[before].end);
            let Row { end, version, size } = self.rows[at];
            // Invariant: it was put in as a path.
            Some((TreePath::parse(&self.paths[begin..end]).ok()?, version, size))
        })
    }

    /// The last path.
    #[must_use]
    pub fn last(&self) -> Option<TreePath<'_>> {
        self.files().next_back().map(|(path, ..)| path)
    }
}

impl Inventory {
    /// As [`Self::files`], by path, version and size only.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn outline(
        &self,
        within: TreePath<'static>,
        after: Option<TreePath<'static>>,
        limit: usize,
    ) -> Result<Outline, Error> {
        let page = Page { within, after, limit };
        self.ask(move |owner| owner.store.outline(&page)).await
    }
}
