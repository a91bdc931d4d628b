//! Ranking mirrors for requests, with what can be remembered between them: the mirrors sorted for each place.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use quick_cache::sync::Cache;

use super::client::Client;
use super::metrics::{Counts, MirrorCounts};
use super::wishes::Wishes;
use crate::inventory::{MirrorSet, MirrorState, Snapshot};
use crate::model::{ClientNetwork, Mirror, Place};
use crate::selection::{self, IpVersion, Kinship, KinshipKey, PlaceKey, Ranking, Selector, Tiers};

/// Ranks the mirrors of one instance.
#[derive(Debug)]
pub struct Ranker {
    prepared: ArcSwap<Prepared>,
    /// Taken by who prepares, so that a new list of mirrors is prepared once.
    preparing: Mutex<()>,
    /// What becomes of mirrors that do not speak the client's.
    ip_version: IpVersion,
}

/// What is the same for all requests as long as the list of mirrors is.
pub struct Prepared {
    /// Of the list of mirrors.
    generation: u64,
    selector: Selector,
    kinships: Cache<KinshipKey, Arc<Kinship>>,
    tiers: Cache<PlaceKey, Arc<Tiers>>,
    counts: Vec<Arc<MirrorCounts>>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// A ranking, and the mirrors that it speaks of.
pub struct Ranked {
    /// Best first; not empty.
    pub ranking: Ranking,
    /// The mirrors.
    pub mirrors: Guard<Arc<MirrorSet>>,
    /// Whether there are mirrors nearer than the best, which can't serve this request.
    pub is_far: bool,
    prepared: Guard<Arc<Prepared>>,
    key: PlaceKey,
}

impl Ranked {
    /// The best mirror.
    #[must_use]
    pub fn best(&self) -> Option<(&selection::Ranked, &MirrorState)> {
        let best = self.ranking.first()?;
        Some((best, self.mirrors.members.get(best.index())?))
    }

    /// Kilometres from the client to one of the mirrors, where both places are known.
    #[must_use]
    pub fn distance_km(&self, ranked: &selection::Ranked) -> Option<f64> {
        self.prepared.selector.nearness(&self.key, ranked.index())?.distance_km
    }

    /// What is counted of the best mirror.
    #[must_use]
    pub fn counts_of_best(&self) -> Option<&MirrorCounts> {
        self.prepared.counts.get(self.ranking.first()?.index()).map(|counts| &**counts)
    }
}

/// How much of a file a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Portion {
    /// All of it.
    Whole,
    /// A part; mirrors that send the whole file instead are of no use.
    Part,
}

/// What a mirror must be able to do for a request, besides being well and being there for the client.
pub struct Needs<H> {
    /// Whether it holds what is needed.
    pub holds: H,
    /// Bytes of the file.
    pub size: u64,
    /// How much of the file is asked for.
    pub portion: Portion,
}

/// What the tiers of the places that are remembered may take, in bytes, about. A country database has 250 places; a city database has tens of
/// thousands of cells, and to sort 500 mirrors for one that was forgotten costs more than all the rest of a request.
const CACHED_BYTES: usize = 32 << 20;
/// What one place takes beside two bytes a mirror: key, heads of tiers, and what the cache and the allocator add.
const PLACE_BYTES: usize = 300;
/// Countries and networks whose kinship with the mirrors is remembered; it takes eight bytes a mirror.
const CACHED_KINSHIPS: usize = 1 << 10;
/// However few mirrors there are: as many cells as are of use.
const MAX_CACHED_PLACES: usize = 1 << 15;

/// Places whose tiers are remembered.
fn cached_places(mirrors: usize) -> usize {
    (CACHED_BYTES / (PLACE_BYTES + 2 * mirrors)).min(MAX_CACHED_PLACES)
}

impl Ranker {
    /// A ranker for the mirrors as they are.
    #[must_use]
    pub fn new(snapshot: &Snapshot, counts: &Counts, ip_version: IpVersion) -> Self {
        let prepared = Prepared::new(&snapshot.mirrors(), counts);
        Self { prepared: ArcSwap::from_pointee(prepared), preparing: Mutex::new(()), ip_version }
    }

    /// The best `wanted` mirrors for what is needed; `None` where there is none.
    #[must_use]
    pub fn rank(
        &self,
        (snapshot, counts): (&Snapshot, &Counts),
        (client, place): (Client, &Place),
        needs: &Needs<impl Fn(&MirrorState) -> bool>,
        wishes: &Wishes<'_>,
        wanted: usize,
    ) -> Option<Ranked> {
        let (mirrors, prepared) = self.prepare(snapshot, counts);
        let key = prepared.selector.key(place, client.address);
        let tiers = prepared.tiers(&key);
        let usable = |index: usize| {
            mirrors.members.get(index).is_some_and(|state| {
                (needs.holds)(state)
                    && state.base(client.scheme).is_some()
                    && (needs.portion == Portion::Whole || state.abilities.ranges.are_usable())
                    && state.abilities.sends(needs.size)
                    && selection::refusal_of_request(&state.mirror, state.health, client.scheme, needs.size).is_none()
                    && !wishes.avoids(&state.mirror.name)
            })
        };
        let answers = |index: usize| mirrors.members.get(index).is_some_and(|state| state.abilities.answers(client.address));
        let network = ClientNetwork::of(client.address);
        let ranking = tiers.draw_reachable(network, self.ip_version, usable, answers, wanted);
        let is_far = tiers.iter().next().is_some_and(|tier| ranking.first().is_some_and(|best| best.class > tier.class));
        (!ranking.is_empty()).then_some(Ranked { ranking, mirrors, is_far, prepared, key })
    }

    /// The mirrors, and what is prepared for just this list of them.
    fn prepare(&self, snapshot: &Snapshot, counts: &Counts) -> (Guard<Arc<MirrorSet>>, Guard<Arc<Prepared>>) {
        let mirrors = snapshot.mirrors();
        let prepared = self.prepared.load();
        if prepared.generation == mirrors.generation {
            return (mirrors, prepared);
        }
        let _one_at_a_time = self.preparing.lock().unwrap_or_else(PoisonError::into_inner);
        // What another thread prepared meanwhile may be for this list, or already for the next one.
        let mirrors = snapshot.mirrors();
        let prepared = self.prepared.load();
        if prepared.generation == mirrors.generation {
            return (mirrors, prepared);
        }
        let fresh = Arc::new(Prepared::new(&mirrors, counts));
        self.prepared.store(Arc::clone(&fresh));
        (mirrors, Guard::from_inner(fresh))
    }
}

impl Prepared {
    fn new(set: &MirrorSet, counts: &Counts) -> Self {
        let mirrors: Vec<Arc<Mirror>> = set.members.iter().map(|state| Arc::clone(&state.mirror)).collect();
        Self {
            generation: set.generation,
            selector: Selector::new(&mirrors),
            kinships: Cache::new(CACHED_KINSHIPS),
            tiers: Cache::new(cached_places(mirrors.len())),
            counts: mirrors.iter().map(|mirror| counts.of_mirror(&mirror.name)).collect(),
        }
    }

    fn tiers(&self, key: &PlaceKey) -> Arc<Tiers> {
        self.tiers.get(key).unwrap_or_else(|| {
            let tiers = Arc::new(self.selector.tiers_among(&self.kinship(&key.kinship), key));
            self.tiers.insert(*key, Arc::clone(&tiers));
            tiers
        })
    }

    fn kinship(&self, key: &KinshipKey) -> Arc<Kinship> {
        self.kinships.get(key).unwrap_or_else(|| {
            let kinship = Arc::new(self.selector.kinship(key));
            self.kinships.insert(*key, Arc::clone(&kinship));
            kinship
        })
    }
}
