//! Telling how far a scan is, to whoever wants to show it.

use crate::model::MirrorName;

/// Someone who is told.
pub trait Progress: Send + Sync {
    /// Something was done on a mirror.
    fn step(&self, mirror: &MirrorName, step: Step);
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A scan began, which looks for so many files.
    Began {
        /// The files.
        files: u64,
    },
    /// A directory was read.
    Directory,
    /// So many files were judged.
    Files(u64),
    /// What seems to be gone is asked for.
    Verifying,
    /// The scan ended.
    Ended,
}

/// Nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn step(&self, _: &MirrorName, _: Step) {}
}
