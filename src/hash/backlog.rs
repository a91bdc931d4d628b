//! All files that wait, page by page: first those that only a digest can tell, then those without one, then those that are to
//! be described besides.

use std::collections::VecDeque;

use crate::inventory::{self, Inventory};
use crate::model::{FileRecord, FileState, TreePath};

/// Records that are read from the inventory at once.
pub(super) const PAGE: usize = 500;

/// How far the queue has got through all that waits.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Ordered while there was nothing to do.
    pub(super) first: Option<TreePath<'static>>,
    page: VecDeque<FileRecord>,
    after: Option<TreePath<'static>>,
    round: Round,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Round {
    #[default]
    Unconfirmed,
    Unhashed,
    Undescribed,
    Over,
}

impl Round {
    fn takes(self, record: &FileRecord) -> bool {
        match self {
            Self::Unconfirmed => record.state == FileState::Unconfirmed,
            Self::Unhashed => record.state == FileState::Settled,
            Self::Undescribed => true,
            Self::Over => false,
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Unconfirmed => Self::Unhashed,
            Self::Unhashed => Self::Undescribed,
            Self::Undescribed | Self::Over => Self::Over,
        }
    }
}

impl Backlog {
    pub(super) fn put_first(&mut self, path: TreePath<'static>) {
        self.first = Some(path);
    }

    /// The next file of all.
    pub(super) async fn next(&mut self, inventory: &Inventory) -> Result<Option<FileRecord>, inventory::Error> {
        loop {
            while let Some(record) = self.page.pop_front() {
                if self.round.takes(&record) {
                    return Ok(Some(record));
                }
            }
            let after = self.after.take();
            self.page = match self.round {
                Round::Over => return Ok(None),
                Round::Undescribed => inventory.undescribed(after, PAGE).await?.into(),
                Round::Unconfirmed | Round::Unhashed => inventory.unhashed(after, PAGE).await?.into(),
            };
            match self.page.back() {
                Some(last) => self.after = Some(last.path.clone()),
                None => self.round = self.round.next(),
            }
        }
    }
}
