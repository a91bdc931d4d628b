//! Whether the store works, as the owner thread last saw it. A change is logged once, not each time it is seen again.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::error::Error;
use crate::cause::chain;

/// What is wrong with the store, for whoever looks after the machine.
#[derive(Debug, Default)]
pub(super) struct Condition {
    reading: ArcSwapOption<String>,
    writing: ArcSwapOption<String>,
}

impl Condition {
    pub(super) fn problem(&self) -> Option<String> {
        let problem = self.reading.load_full().or_else(|| self.writing.load_full());
        problem.map(Arc::unwrap_or_clone)
    }

    pub(super) fn note_reading(&self, failure: Option<&Error>) {
        note(&self.reading, failure);
    }

    pub(super) fn note_writing(&self, failure: Option<&Error>) {
        note(&self.writing, failure);
    }
}

/// Notes a success or a failure, and tells when the one follows the other.
fn note(place: &ArcSwapOption<String>, failure: Option<&Error>) {
    let before = place.load().is_some();
    match failure {
        Some(error) if !before => tracing::error!(
            error = error as &dyn std::error::Error,
            "the inventory's database fails; requests are answered from the last snapshot"
        ),
        None if before => tracing::info!("the inventory's database works again"),
        _ => {}
    }
    if before || failure.is_some() {
        place.store(failure.map(|error| Arc::new(chain(error))));
    }
}
