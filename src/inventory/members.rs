//! What is known of the mirrors of a list, and whether it still says something about them: a mirror may have moved, and numbers of
//! versions are those of one database.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use roaring::RoaringBitmap;

use super::snapshot::MirrorState;
use super::store::{StoredMirror, shares_a_base};
use crate::model::{Health, Mirror, MirrorName, Ranges};

/// From when on a scan must have begun.
#[derive(Default)]
pub(super) struct ValidFrom {
    /// When another database took the place of the first.
    pub(super) all: Option<Timestamp>,
    /// When a mirror moved.
    pub(super) one: HashMap<MirrorName, Timestamp>,
}

impl ValidFrom {
    pub(super) fn admits(&self, mirror: &MirrorName, began: Timestamp) -> bool {
        [self.all.as_ref(), self.one.get(mirror)].into_iter().flatten().all(|from| began >= *from)
    }
}

impl MirrorState {
    /// A mirror of which nothing is known.
    #[must_use]
    pub fn unknown(mirror: Arc<Mirror>) -> Self {
        Self { mirror, holdings: Arc::default(), health: Health::Unknown, ranges: Ranges::Unknown }
    }
}

/// Adds to mirrors what the store knows of them.
pub(super) fn known(mut members: Vec<MirrorState>, stored: Vec<StoredMirror>) -> Vec<MirrorState> {
    for StoredMirror { name, holdings, bases, health } in stored {
        let Some(member) = members.iter_mut().find(|member| member.mirror.name == name) else { continue };
        member.health = health;
        member.holdings = Arc::new(if is_seen_there(&member.mirror, &bases) { holdings } else { RoaringBitmap::new() });
    }
    members
}

/// The URLs to which clients are sent, joined by spaces.
pub(super) fn bases_of(mirror: &Mirror) -> String {
    let bases: Vec<&str> = [&mirror.http, &mirror.https].into_iter().flatten().map(|base| base.as_str()).collect();
    bases.join(" ")
}

pub(super) fn has_same_bases(one: &Mirror, other: &Mirror) -> bool {
    one.name == other.name && one.http == other.http && one.https == other.https
}

/// Whether holdings that were seen at `bases` say something about the mirror as it is configured now. One that has moved
/// altogether may have other contents, and is scanned anew.
fn is_seen_there(mirror: &Mirror, bases: &str) -> bool {
    shares_a_base(bases, &bases_of(mirror))
}
