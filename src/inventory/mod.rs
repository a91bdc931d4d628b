//! The inventory: which versions there are and which mirrors hold them. A snapshot in memory answers requests; a store
//! on disk keeps it; one owner thread writes both.

pub mod snapshot;

use std::path::PathBuf;

use serde::Deserialize;

pub use snapshot::{FileEntry, MirrorSet, MirrorState, Snapshot};

/// `[inventory]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// The database: a file.
    pub database: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self { database: PathBuf::from("redirector.sqlite") }
    }
}
