//! Ranking mirrors for requests, with what can be remembered between them: the mirrors sorted for each place.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use quick_cache::sync::Cache;

use super::client::Client;
use super::metrics::{Counts, MirrorCounts};
use super::wishes::Wishes;
use crate::inventory::{MirrorSet, MirrorState, Offer, Snapshot};
use crate::model::{ClientNetwork, Mirror, Place, Scheme, VersionNumber};
use crate::selection::{self, Eligible, IpVersion, Kinship, KinshipKey, PlaceKey, Ranking, Selector, Tiers};

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
    /// The version, or one of those, that `holds` asks for.
    pub version: Option<VersionNumber>,
    /// Bytes of the file.
    pub size: u64,
    /// How much of the file is asked for.
    pub portion: Portion,
}

impl Needs<()> {
    /// What is needed for a file of one version and so many bytes.
    pub fn of_version(version: VersionNumber, size: u64, portion: Portion) -> Needs<impl Fn(&Offer) -> bool> {
        Needs { holds: move |offer: &Offer| offer.holds(version), version: Some(version), size, portion }
    }
}

/// The mirrors that can do what is needed.
struct Able<'a, H> {
    mirrors: &'a MirrorSet,
    scheme: Scheme,
    needs: &'a Needs<H>,
    wishes: &'a Wishes<'a>,
}

impl<H: Fn(&Offer) -> bool> Eligible for Able<'_, H> {
    fn is_usable(&mut self, index: usize) -> bool {
        let Self { mirrors, scheme, needs, wishes } = *self;
        mirrors.offer(index).is_some_and(|offer| {
            (needs.holds)(offer)
                && offer.serves(scheme, needs.size)
                && (needs.portion == Portion::Whole || offer.sends_parts())
                && (wishes.avoid.is_none() || !wishes.avoids(&mirrors.members[index].mirror.name))
        })
    }

    fn touch(&self, index: usize) -> u64 {
        self.needs.version.zip(self.mirrors.offer(index)).map_or(0, |(version, offer)| offer.touch(version))
    }
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
        needs: &Needs<impl Fn(&Offer) -> bool>,
        wishes: &Wishes<'_>,
        wanted: usize,
    ) -> Option<Ranked> {
        let (mirrors, prepared) = self.prepare(snapshot, counts);
        let key = prepared.selector.key(place, client.address);
        let tiers = prepared.tiers(&key);
        let mut able = Able { mirrors: &mirrors, scheme: client.scheme, needs, wishes };
        let answers = |index: usize| mirrors.offer(index).is_some_and(|offer| offer.answers(client.address));
        let network = ClientNetwork::of(client.address);
        let ranking = tiers.draw_reachable(network, self.ip_version, &mut able, answers, wanted);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Abilities, BaseUrl, Health, MirrorName, Ranges, Trust};
    use crate::selection::Request;

    /// A mirror in each state that matters to requests.
    fn states() -> Vec<MirrorState> {
        let mut states = Vec::new();
        let base = |url: &str, scheme| BaseUrl::parse(url, scheme).expect("a URL");
        let (http, https) = (base("http://m.example/", Scheme::Http), base("https://m.example/", Scheme::Https));
        for bits in 0_u32..1 << 9 {
            let bit = |number: u32| bits >> number & 1 == 1;
            let mut mirror = Mirror::new(MirrorName::parse("m").expect("a name"));
            mirror.http = bit(0).then(|| http.clone());
            mirror.https = bit(1).then(|| https.clone());
            mirror.max_file_size = bit(2).then_some(100);
            let unseen = [None, Some(Scheme::Http), Some(Scheme::Https), None][(bits >> 3 & 3) as usize];
            let abilities = Abilities {
                ranges: if bit(5) { Ranges::Ignored } else { Ranges::Unknown },
                largest: bit(6).then_some(50),
                certificate: if bit(7) { Trust::Refused } else { Trust::Trusted },
                ..Abilities::default()
            };
            let health = if bit(8) { Health::Down } else { Health::Failing };
            states.push(MirrorState { unseen, health, abilities, ..MirrorState::unknown(Arc::new(mirror)) });
        }
        states
    }

    #[test]
    fn a_mirror_is_used_just_where_nothing_is_said_against_it() {
        let set = MirrorSet::new(1, states());
        let (place, wishes) = (Place::default(), Wishes::default());
        let mut used = 0;
        for scheme in [Scheme::Http, Scheme::Https] {
            for (size, portion) in [50, 51, 100, 101].into_iter().zip([Portion::Whole, Portion::Part].into_iter().cycle()) {
                let needs = Needs { holds: |_: &Offer| true, version: None, size, portion };
                let mut able = Able { mirrors: &set, scheme, needs: &needs, wishes: &wishes };
                let request = Request { scheme, size, place: &place, address: [192, 0, 2, 1].into() };
                for (index, state) in set.members.iter().enumerate() {
                    let said = selection::refusal(&state.mirror, state.health, &request).is_some()
                        || state.base(scheme).is_none()
                        || !state.abilities.sends(size)
                        || portion == Portion::Part && !state.abilities.ranges.are_usable();
                    assert_eq!(able.is_usable(index), !said, "{scheme:?}, {size} bytes, {portion:?}: {state:?}");
                    used += usize::from(!said);
                }
            }
        }
        assert!(used > 100, "{used}");
    }
}
