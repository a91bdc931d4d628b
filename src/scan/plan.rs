//! What there is to find: the directories of the public tree that have files of ours. One plan serves the scans of many
//! mirrors, and bounds what each of them costs: other directories of a mirror are not entered.

use std::hash::{BuildHasher, RandomState};

use roaring::RoaringBitmap;
use siphasher::sip::SipHasher13;

use super::hashed::Hashed;
use super::listing::Family;
use crate::inventory::{self, Inventory, Outline};
use crate::model::{TreePath, VersionNumber};

/// What a scan looks for.
#[derive(Debug)]
pub struct Plan {
    scope: TreePath<'static>,
    hasher: RandomState,
    /// By hashes of their paths: a collision costs one request for a directory that has nothing of ours.
    directories: Hashed<Folder>,
    versions: RoaringBitmap,
    bytes: u64,
    unlisted: Vec<TreePath<'static>>,
}

/// A directory that has files of ours, in it or somewhere below.
#[derive(Debug, Default)]
pub(super) struct Folder {
    /// The versions of the files that lie directly in it, in the order of their paths.
    pub(super) versions: Vec<u32>,
    /// A digest of the names of such directories directly in it, the same in every process.
    pub(super) below: u64,
}

impl Plan {
    /// Reads what the tree has below `scope`.
    ///
    /// # Errors
    /// When the inventory can't be read.
    pub async fn make(
        inventory: &Inventory,
        scope: TreePath<'static>,
        unlisted_limit: usize,
    ) -> Result<Self, inventory::Error> {
        let mut plan = Self::empty(scope);
        let mut pages = Pages::new(plan.scope.clone());
        while let Some(page) = pages.next(inventory).await? {
            let files: Vec<_> = page.files().collect();
            // Files of one directory mostly follow each other.
            files.chunk_by(|a, b| a.0.parent() == b.0.parent()).for_each(|run| plan.add(run, unlisted_limit));
        }
        Ok(plan)
    }

    fn empty(scope: TreePath<'static>) -> Self {
        Self {
            scope,
            hasher: RandomState::new(),
            directories: Hashed::default(),
            versions: RoaringBitmap::new(),
            bytes: 0,
            unlisted: Vec::new(),
        }
    }

    /// A plan of these files, whose versions count from 0.
    #[cfg(test)]
    pub(super) fn for_test(files: &[TreePath<'static>]) -> Self {
        let mut plan = Self::empty(TreePath::root());
        (0..).zip(files).for_each(|(number, file)| plan.add(&[(file.clone(), VersionNumber(number), 0)], 10));
        plan
    }

    /// Adds files of one directory.
    fn add(&mut self, files: &[(TreePath<'_>, VersionNumber, u64)], unlisted_limit: usize) {
        let mut directory = files.first().and_then(|(path, ..)| path.parent());
        let is_below_such = directory.as_ref().is_some_and(|directory| directory.segments().any(is_left_out));
        for (path, version, size) in files {
            self.versions.insert(version.0);
            self.bytes = self.bytes.saturating_add(*size);
            if (is_below_such || is_left_out(path.name())) && self.unlisted.len() < unlisted_limit {
                self.unlisted.push(path.clone().into_owned());
            }
        }
        let (mut own, mut below) = (Some(files.iter().map(|(_, version, _)| version.0)), None);
        while let Some(above) = directory {
            let key = self.hasher.hash_one(above.as_bytes());
            let is_known = self.directories.contains_key(&key);
            let folder = self.directories.entry(key).or_default();
            folder.versions.extend(own.take().into_iter().flatten());
            folder.below = folder.below.wrapping_add(below.unwrap_or_default());
            if is_known {
                break;
            }
            below = Some(SipHasher13::new().hash(above.name()));
            directory = above.parent().map(TreePath::into_owned);
        }
    }

    /// The directory below which is looked.
    #[must_use]
    pub const fn scope(&self) -> &TreePath<'static> {
        &self.scope
    }

    /// How many files there are to find.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.versions.len()
    }

    /// Their bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The numbers of their versions.
    #[must_use]
    pub const fn versions(&self) -> &RoaringBitmap {
        &self.versions
    }

    /// Whether a directory has files of ours, somewhere below.
    #[must_use]
    pub fn has_directory(&self, directory: &TreePath<'_>) -> bool {
        self.directories.contains_key(&self.hasher.hash_one(directory.as_bytes()))
    }

    /// How many directories have files of ours, in them or somewhere below.
    #[must_use]
    pub(super) fn directories(&self) -> usize {
        self.directories.len()
    }

    /// What lies directly in a directory.
    #[must_use]
    pub(super) fn folder(&self, directory: &TreePath<'_>) -> Option<&Folder> {
        self.folder_of(self.key(directory))
    }

    /// By what a directory is found again.
    pub(super) fn key(&self, directory: &TreePath<'_>) -> u64 {
        self.hasher.hash_one(directory.as_bytes())
    }

    /// What lies directly in the directory with this key.
    pub(super) fn folder_of(&self, key: u64) -> Option<&Folder> {
        self.directories.get(&key)
    }

    /// Files that listings tend to leave out, up to a limit.
    #[must_use]
    pub fn unlisted(&self) -> &[TreePath<'static>] {
        &self.unlisted
    }
}

/// Whether some server leaves a name out of its listings; Apache leaves out the most. That such a name is not listed proves nothing.
fn is_left_out(name: &[u8]) -> bool {
    Family::Apache.may_leave_out(name)
}

/// The files of the inventory, page by page.
#[derive(Debug)]
pub(super) struct Pages {
    within: TreePath<'static>,
    after: Option<TreePath<'static>>,
}

impl Pages {
    pub(super) const fn new(within: TreePath<'static>) -> Self {
        Self { within, after: None }
    }

    /// Files read at once: few enough to stay small, many enough to be quick.
    const SIZE: usize = 5_000;

    /// The next page; `None` at the end.
    pub(super) async fn next(&mut self, inventory: &Inventory) -> Result<Option<Outline>, inventory::Error> {
        let page = inventory.outline(self.within.clone(), self.after.take(), Self::SIZE).await?;
        self.after = page.last().map(TreePath::into_owned);
        Ok(self.after.is_some().then_some(page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath<'static> {
        TreePath::parse(text.as_bytes().to_vec()).expect("valid")
    }

    #[test]
    fn only_directories_with_files_of_ours_are_entered() {
        let plan = Plan::for_test(&["4078/labyrinth-7.xo", "4078/labyrinth-8.xo", "a/b/c/d.xo", "a/.hidden/e.xo"].map(path));
        for (directory, ours) in
            [("", true), ("4078", true), ("a", true), ("a/b", true), ("a/b/c", true), ("a/b/c/d.xo", false), ("b", false)]
        {
            assert_eq!(plan.has_directory(&path(directory)), ours, "{directory}");
        }
        assert_eq!(plan.files(), 4);
        assert_eq!(plan.unlisted(), [path("a/.hidden/e.xo")]);
    }
}
