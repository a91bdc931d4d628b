//! What is known of the mirrors of a list, and whether it still says something about them: a mirror may have moved, and numbers of
//! versions are those of one database.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::error::Error;
use super::holdings::Holdings;
use super::owner::Owner;
use super::record::{HealthChange, ScanMemory};
use super::snapshot::{MirrorSet, MirrorState};
use super::store::StoredMirror;
use crate::model::{Abilities, BaseUrl, Checkup, Health, Mirror, MirrorName, Scheme};

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
        Self { mirror, holdings: Holdings::default(), unseen: None, health: Health::Unknown, abilities: Abilities::default() }
    }
}

/// Adds to mirrors what the store knows of them.
pub(super) fn known(mut members: Vec<MirrorState>, stored: Vec<StoredMirror>) -> Vec<MirrorState> {
    for StoredMirror { name, holdings, bases, health, tried } in stored {
        let Some(member) = members.iter_mut().find(|member| member.mirror.name == name) else { continue };
        member.health = health;
        // What was tried at other URLs says nothing about these.
        let tried = tried.filter(|tried| tried.bases == bases_of(&member.mirror, None));
        member.abilities = tried.map(|tried| tried.abilities).unwrap_or_default();
        (member.holdings, member.unseen) = match seen_at(&member.mirror, &bases) {
            Some(unseen) => (holdings, unseen),
            None => (Holdings::default(), None),
        };
    }
    members
}

/// The URLs of a mirror of the list to which clients are sent, joined by spaces, without that of the scheme `unseen`.
pub(super) fn bases_in(set: &MirrorSet, mirror: &MirrorName, unseen: Option<Scheme>) -> String {
    let member = set.members.iter().find(|member| member.mirror.name == *mirror);
    member.map_or_else(String::new, |member| bases_of(&member.mirror, unseen))
}

/// The URLs to which clients are sent, joined by spaces, without that of the scheme `unseen`.
fn bases_of(mirror: &Mirror, unseen: Option<Scheme>) -> String {
    let bases = [&mirror.http, &mirror.https].into_iter().flatten().filter(|base| unseen != Some(base.scheme()));
    bases.map(BaseUrl::as_str).collect::<Vec<_>>().join(" ")
}

pub(super) fn has_same_bases(one: &Mirror, other: &Mirror) -> bool {
    one.name == other.name && one.http == other.http && one.https == other.https
}

/// What holdings that were seen at `bases` say about the mirror as it is configured now: the scheme of the base URL at which they
/// were not seen, if there is one. `None` where they were seen at neither: one that has moved altogether may have other contents.
fn seen_at(mirror: &Mirror, bases: &str) -> Option<Option<Scheme>> {
    let is_seen = |base: &&BaseUrl| bases.split(' ').any(|seen| seen == base.as_str());
    let (seen, unseen): (Vec<_>, Vec<_>) = [&mirror.http, &mirror.https].into_iter().flatten().partition(is_seen);
    (!seen.is_empty()).then(|| unseen.first().map(|base| base.scheme()))
}

/// What others ask the owner to keep of mirrors, besides holdings.
impl Owner {
    pub(super) fn remember_scan(&mut self, mirror: &MirrorName, began: Timestamp, memory: &ScanMemory) -> Result<(), Error> {
        if !self.valid_from.admits(mirror, began) {
            return Ok(());
        }
        let written = self.store.remember_scan(mirror, memory);
        self.show(written, |_, ()| {})
    }

    pub(super) fn record_health(
        &mut self,
        mirror: &MirrorName,
        health: Health,
        at: Timestamp,
        reason: Option<String>,
    ) -> Result<(), Error> {
        let written = self.store.record_health(mirror, &HealthChange { health, at, reason });
        self.show(written, |owner, ()| owner.change_mirror(mirror, |member| member.health = health))
    }

    /// What was tried at URLs that the mirror no longer has is not kept.
    pub(super) fn record_checkup(&mut self, mirror: &MirrorName, began: Timestamp, checkup: &Checkup) -> Result<(), Error> {
        if !self.valid_from.admits(mirror, began) {
            return Ok(());
        }
        let bases = bases_in(&self.snapshot.mirrors(), mirror, None);
        let written = self.store.record_checkup(mirror, checkup, &bases);
        self.show(written, |owner, ()| owner.change_mirror(mirror, |member| member.abilities = checkup.abilities))
    }

    pub(super) fn checkup(&mut self, mirror: &MirrorName) -> Result<Option<Checkup>, Error> {
        let bases = bases_in(&self.snapshot.mirrors(), mirror, None);
        self.store.checkup(mirror, &bases)
    }
}
