//! The list of a directory: what of its entries is shown.

use std::sync::Arc;

use jiff::Timestamp;

use super::page::{Index, Row};
use crate::geo::Credit;
use crate::inventory::Snapshot;
use crate::model::{Prefix, TreePath};
use crate::tree::{Item, Kind, LookError, Trees};

/// What the list of a directory is made of. It is made where waiting harms nobody: a long one takes its time.
pub(super) struct Lister {
    pub(super) trees: Trees,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) prefix: Prefix,
    pub(super) credit: Option<Credit>,
}

impl Lister {
    pub(super) fn list(&self, directory: &TreePath<'_>) -> Result<Index, LookError> {
        let Trees { public, hidden, .. } = &self.trees;
        let is_shown = |path: &TreePath<'_>| !hidden.matches(path) && !self.snapshot.is_held(path);
        let mut items = public.list(directory, MAX_ENTRIES + 1, is_shown)?;
        let truncated = items.len() > MAX_ENTRIES;
        items.truncate(MAX_ENTRIES);
        let slash = if directory.is_root() { "" } else { "/" };
        Ok(Index {
            path: format!("{}/{directory}{slash}", self.prefix).replace("//", "/"),
            has_parent: !directory.is_root(),
            rows: items.iter().filter_map(|item| self.row(directory, item)).collect(),
            truncated,
            credit: self.credit,
        })
    }

    /// An entry of a directory; `None` for what nobody is shown.
    fn row(&self, directory: &TreePath<'_>, item: &Item) -> Option<Row> {
        let Self { trees, snapshot, .. } = self;
        let path = directory.join(&item.name).ok()?;
        let is_directory = item.kind == Kind::Directory;
        let hidden = if is_directory { trees.hidden.matches_directory(&path) } else { trees.hidden.matches(&path) };
        if hidden || snapshot.is_held(&path) {
            return None;
        }
        let name = TreePath::parse(&item.name[..]).ok()?;
        Some(Row {
            name: name.to_string(),
            href: name.encoded() + if is_directory { "/" } else { "" },
            is_directory,
            size: (!is_directory).then_some(item.size),
            modified: Timestamp::from_nanosecond(item.mtime_ns.into()).unwrap_or_default(),
        })
    }
}

/// The most entries of a directory that are listed.
const MAX_ENTRIES: usize = 10_000;
