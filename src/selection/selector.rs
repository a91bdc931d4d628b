//! Sorts the mirrors into tiers for a place.

use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{Continent, Country, Mirror, Place, Point};

use super::draw::Contender;
use super::eligible::refusal_of_class;
use super::nearness::{Class, Distance, Origin};
use super::networks::{NetworkId, Networks, canonical};
use super::tiers::{Slot, Tiers, TiersBuilder};

/// The mirrors of an instance, ready to be sorted by nearness. Built once for each list of mirrors.
#[derive(Debug)]
pub struct Selector {
    mirrors: Vec<Arc<Mirror>>,
    contenders: Arc<[Contender]>,
    /// Indices into `mirrors` by name: the order in which equals stay.
    by_name: Vec<u16>,
    networks: Networks,
    /// The autonomous systems of mirrors, sorted: all others are alike to us.
    asns: Vec<u32>,
}

/// All that tiers hang on: equal keys give equal tiers.
///
/// Coordinates are rounded to a tenth of a degree (at most 8 km off), and whatever no mirror asks for is left out, so that
/// clients share keys and a cache of tiers stays small.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PlaceKey {
    country: Option<Country>,
    continent: Option<Continent>,
    cell: Option<(i16, i16)>,
    asn: Option<u32>,
    network: Option<NetworkId>,
}

/// How a mirror is related to a client, for people.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Nearness {
    /// Its class.
    pub class: Class,
    /// Kilometres from the client, or from the main point of its country where only that is known; `None` where neither
    /// is known, or where the client is somewhere in the mirror's own country.
    pub distance_km: Option<f64>,
}

impl Selector {
    /// Takes the mirrors; tiers and rankings speak of them by their index in this list. Mirrors beyond [`Selector::LIMIT`]
    /// are never chosen.
    #[must_use]
    pub fn new(mirrors: &[Arc<Mirror>]) -> Self {
        let mirrors: Vec<Arc<Mirror>> = mirrors.iter().take(Self::LIMIT).cloned().collect();
        let mut by_name: Vec<u16> = (0..=u16::MAX).take(mirrors.len()).collect();
        by_name.sort_by_key(|index| &mirrors[usize::from(*index)].name);
        let mut asns: Vec<u32> = mirrors.iter().filter_map(|mirror| mirror.asn).collect();
        asns.sort_unstable();
        asns.dedup();
        Self {
            contenders: mirrors.iter().map(|mirror| Contender::new(mirror)).collect(),
            networks: Networks::new(mirrors.iter().flat_map(|mirror| mirror.networks.iter().copied())),
            mirrors,
            by_name,
            asns,
        }
    }

    /// The most mirrors of one instance: indices are 16 bits wide in the tiers of each cached place.
    pub const LIMIT: usize = 1 << 16;

    /// The key of a client's tiers. Cheap; done for each request.
    #[must_use]
    pub fn key(&self, place: &Place, address: IpAddr) -> PlaceKey {
        PlaceKey {
            country: place.country,
            continent: place.continent.or_else(|| place.country.and_then(Country::continent)),
            cell: place.point.map(cell_of),
            asn: place.asn.filter(|asn| self.asns.binary_search(asn).is_ok()),
            network: self.networks.narrowest(address),
        }
    }

    /// The mirrors that may serve clients here, sorted into tiers. The costly part, to be cached by [`Selector::key`].
    #[must_use]
    pub fn tiers(&self, place: &Place, address: IpAddr) -> Tiers {
        self.tiers_by_key(&self.key(place, address))
    }

    /// The tiers of a key that this selector gave.
    #[must_use]
    pub fn tiers_by_key(&self, key: &PlaceKey) -> Tiers {
        let place = key.place();
        let origin = Origin::of(&place);
        let mut tiers = TiersBuilder::new(Arc::clone(&self.contenders));
        for index in self.by_name.iter().copied() {
            let mirror = &self.mirrors[usize::from(index)];
            let (class, distance) = self.nearness_by_key(mirror, key, &place, origin);
            if refusal_of_class(mirror, place.country, class).is_none() {
                let rung = self.network_rung(mirror, key, class).unwrap_or(distance.rung);
                tiers.add(class, rung, mirror.score == 0, Slot::new(index, distance.km));
            }
        }
        tiers.build()
    }

    /// How this mirror is related to a client, also when it may not serve it.
    #[must_use]
    pub fn nearness(&self, place: &Place, address: IpAddr, index: usize) -> Option<Nearness> {
        let key = self.key(place, address);
        let place = key.place();
        let mirror = self.mirrors.get(index)?;
        let (class, distance) = self.nearness_by_key(mirror, &key, &place, Origin::of(&place));
        Some(Nearness { class, distance_km: distance.km.map(f64::round) })
    }

    fn nearness_by_key(&self, mirror: &Mirror, key: &PlaceKey, place: &Place, origin: Origin) -> (Class, Distance) {
        let client = key.network.and_then(|id| self.networks.get(id));
        let class = Class::between(mirror, place, |network| client.is_some_and(|client| canonical(network).contains(client)));
        (class, origin.distance(mirror))
    }

    /// Of mirrors that name the client's network, those that name it most narrowly come first, however far they are.
    fn network_rung(&self, mirror: &Mirror, key: &PlaceKey, class: Class) -> Option<u16> {
        let client = key.network.filter(|_| class == Class::Network).and_then(|id| self.networks.get(id))?;
        let around = mirror.networks.iter().map(canonical).filter(|network| network.contains(client));
        around.map(|network| u16::from(network.max_prefix_len() - network.prefix_len())).min()
    }
}

impl PlaceKey {
    /// The place that all clients of this key are taken to be at.
    fn place(&self) -> Place {
        let degrees = |tenths: i16| f64::from(tenths) / CELLS_PER_DEGREE;
        Place {
            country: self.country,
            continent: self.continent,
            point: self.cell.and_then(|(latitude, longitude)| Point::new(degrees(latitude), degrees(longitude))),
            asn: self.asn,
        }
    }
}

/// Cells are as fine as city databases are at their best.
const CELLS_PER_DEGREE: f64 = 10.0;

#[expect(clippy::cast_possible_truncation, reason = "a point's degrees are between -180 and 180")]
fn cell_of(point: Point) -> (i16, i16) {
    let cell = |degrees: f64| (degrees * CELLS_PER_DEGREE).round() as i16;
    (cell(point.latitude), cell(point.longitude))
}
