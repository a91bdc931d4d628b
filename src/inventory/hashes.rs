//! The inventory's verbs for whoever hashes files, and for whoever describes them.

use std::sync::Arc;

use super::store::{Page, Which};
use super::{Damage, Error, Hashed, Inventory, PlanId, Recorded, Waiting};
use crate::model::{Digests, FileRecord, Fingerprint, Sha256, TreePath, VersionNumber};

impl Inventory {
    /// Keeps the digest of a file that was read while it looked like `fingerprint`, and tells what became of it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn record_digest(
        &self,
        path: TreePath<'static>,
        fingerprint: Fingerprint,
        digest: Sha256,
    ) -> Result<Recorded, Error> {
        self.record_one(Hashed { path, fingerprint, sha256: digest, description: None }).await
    }

    /// As [`Self::record_digest`], with all digests, made by `plan`: the version is described from then on.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn record_digests(
        &self,
        path: TreePath<'static>,
        fingerprint: Fingerprint,
        digests: Digests,
        plan: PlanId,
    ) -> Result<Recorded, Error> {
        let sha256 = digests.sha256;
        self.record_one(Hashed { path, fingerprint, sha256, description: Some((Box::new(digests), plan)) }).await
    }

    async fn record_one(&self, hashed: Hashed) -> Result<Recorded, Error> {
        self.record_hashed(vec![hashed]).await?.pop().ok_or(Error::Internal)
    }

    /// As [`Self::record_digest`] and [`Self::record_digests`], of several files in one transaction; what became of each, in the
    /// same order.
    ///
    /// # Errors
    /// When the store fails; then none is kept.
    pub async fn record_hashed(&self, batch: Vec<Hashed>) -> Result<Vec<Recorded>, Error> {
        self.ask(move |owner| owner.record_hashed(&batch)).await
    }

    /// All digests of a path's version, once they are known. For requests: does not wait for the owner of the database, and never
    /// long.
    ///
    /// # Errors
    /// When the database fails, or doesn't answer soon.
    pub async fn digests(&self, path: &TreePath<'_>, version: VersionNumber) -> Result<Option<Arc<Digests>>, Error> {
        let path = path.clone().into_owned();
        let wanted = path.clone();
        let by_owner = self.ask(move |owner| owner.store.digests(&wanted, version));
        self.desk.digests(path, version, by_owner).await
    }

    /// Files that need a digest, in path order after `after`: those that have none, and those that are unconfirmed.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn unhashed(&self, after: Option<TreePath<'static>>, limit: usize) -> Result<Vec<FileRecord>, Error> {
        self.files_of(Which::Unhashed, TreePath::root(), after, limit).await
    }

    /// Files that have a digest and are to be described, in path order after `after`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn undescribed(&self, after: Option<TreePath<'static>>, limit: usize) -> Result<Vec<FileRecord>, Error> {
        self.files_of(Which::Undescribed, TreePath::root(), after, limit).await
    }

    /// Those of the files below a directory (or this one file), in the order of their paths' bytes after `after`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn files_of(
        &self,
        which: Which,
        within: TreePath<'static>,
        after: Option<TreePath<'static>>,
        limit: usize,
    ) -> Result<Vec<FileRecord>, Error> {
        let page = Page { within, after, limit };
        self.ask(move |owner| owner.store.files(&page, which)).await
    }

    /// Has files that were described by another plan described again. In pages, so that others come in between.
    ///
    /// # Errors
    /// When the store fails; it can be asked for again.
    pub async fn require_plan(&self, plan: PlanId) -> Result<(), Error> {
        let mut after = None;
        loop {
            let from = after.take();
            after = self.ask(move |owner| owner.store.require_plan(plan, from.as_ref())).await?;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// How many files wait to be hashed or described, counted up to `limit` each.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn waiting(&self, limit: u32) -> Result<Waiting, Error> {
        self.ask(move |owner| owner.store.waiting(limit)).await
    }

    /// The damage of a version's file, if some was found.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn damage(&self, version: VersionNumber) -> Result<Option<Damage>, Error> {
        self.ask(move |owner| owner.store.damage(version)).await
    }
}
