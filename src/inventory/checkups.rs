//! What mirrors can do for clients, as probes tell and read it.

use std::ops::RangeInclusive;

use jiff::Timestamp;

use super::{Error, Inventory};
use crate::model::{Checkup, FileRecord, MirrorName, TreePath, VersionNumber};

impl Inventory {
    /// Keeps what came of trying, since `began`, what a mirror can do.
    ///
    /// # Errors
    /// When the store fails; then what was known stays.
    pub async fn record_checkup(&self, mirror: MirrorName, began: Timestamp, checkup: Checkup) -> Result<(), Error> {
        self.ask(move |owner| owner.record_checkup(&mirror, began, &checkup)).await
    }

    /// What came of trying what a mirror can do, at the URLs that it has now.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn checkup(&self, mirror: MirrorName) -> Result<Option<Checkup>, Error> {
        self.ask(move |owner| owner.checkup(&mirror)).await
    }

    /// Some of the largest files: those of more than 2 GiB with `sizes`, largest first, at most so many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn large_files(&self, sizes: RangeInclusive<u64>, limit: usize) -> Result<Vec<FileRecord>, Error> {
        self.ask(move |owner| owner.store.large_files(&sizes, limit)).await
    }

    /// Versions of which a mirror was seen to have other bytes, with their paths, as far as the tree still has them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn wrong(&self, mirror: MirrorName) -> Result<Vec<(TreePath<'static>, VersionNumber)>, Error> {
        self.ask(move |owner| owner.store.wrong(&mirror)).await
    }
}
