//! Sorts the mirrors into tiers for a place.

use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{Continent, Country, Mirror, Place, Point};

use super::draw::Contender;
use super::eligible::refusal_of_class;
use super::nearness::{Class, Origin, Spot};
use super::networks::{NetworkId, Networks, canonical};
use super::tiers::{Level, Tiers};

/// The mirrors of an instance, ready to be sorted by nearness. Built once for each list of mirrors.
#[derive(Debug)]
pub struct Selector {
    mirrors: Vec<Arc<Mirror>>,
    contenders: Arc<[Contender]>,
    spots: Box<[Spot]>,
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
    /// What the classes of mirrors hang on.
    pub kinship: KinshipKey,
    cell: Option<(i16, i16)>,
}

/// All that the classes of mirrors hang on: a place without its coordinates.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct KinshipKey {
    country: Option<Country>,
    continent: Option<Continent>,
    asn: Option<u32>,
    network: Option<NetworkId>,
}

/// The mirrors that may serve clients of a country, network and so on, each with its class: what is left of sorting them into tiers
/// are the distances. Many places share it.
#[derive(Debug)]
pub struct Kinship(Box<[Kin]>);

/// A mirror's part in it.
#[derive(Clone, Copy, Debug)]
struct Kin {
    index: u16,
    level: Level,
    /// Whether its place among others of its class hangs on the distance.
    is_measured: bool,
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
            spots: mirrors.iter().map(|mirror| Spot::of(mirror)).collect(),
            networks: Networks::new(mirrors.iter().flat_map(|mirror| mirror.networks.iter().copied())),
            mirrors,
            by_name,
            asns,
        }
    }

    /// The most mirrors of one instance: indices are 16 bits wide in the tiers of each cached place.
    pub const LIMIT: usize = u16::MAX as usize;

    /// The key of a client's tiers. Cheap; done for each request.
    #[must_use]
    pub fn key(&self, place: &Place, address: IpAddr) -> PlaceKey {
        PlaceKey {
            kinship: KinshipKey {
                country: place.country,
                continent: place.continent.or_else(|| place.country.and_then(Country::continent)),
                asn: place.asn.filter(|asn| self.asns.binary_search(asn).is_ok()),
                network: self.networks.narrowest(address),
            },
            cell: place.point.map(cell_of),
        }
    }

    /// The mirrors that may serve clients here, sorted into tiers. Costly where it is done for each request: see [`Selector::key`].
    #[must_use]
    pub fn tiers(&self, place: &Place, address: IpAddr) -> Tiers {
        self.tiers_by_key(&self.key(place, address))
    }

    /// The tiers of a key that this selector gave.
    #[must_use]
    pub fn tiers_by_key(&self, key: &PlaceKey) -> Tiers {
        self.tiers_among(&self.kinship(&key.kinship), key)
    }

    /// The mirrors that may serve clients of such places. The costly part, to be cached.
    #[must_use]
    pub fn kinship(&self, key: &KinshipKey) -> Kinship {
        let place = key.place();
        let kin = self.by_name.iter().copied().filter_map(|index| {
            let mirror = &self.mirrors[usize::from(index)];
            let class = self.class(mirror, key, &place);
            if refusal_of_class(mirror, place.country, class).is_some() {
                return None;
            }
            let rung = self.network_rung(mirror, key, class);
            let level = Level::new(mirror.score == 0, class, rung.unwrap_or(0));
            Some(Kin { index, level, is_measured: rung.is_none() })
        });
        Kinship(kin.collect())
    }

    /// The same mirrors, sorted by their distance as well.
    #[must_use]
    pub fn tiers_among(&self, kinship: &Kinship, key: &PlaceKey) -> Tiers {
        let ruler = Origin::of(&key.place()).ruler();
        let rung = |kin: &Kin| ruler.as_ref().map_or(0, |ruler| ruler.rung(&self.spots[usize::from(kin.index)]));
        let leveled = kinship.0.iter().map(|kin| {
            let level = if kin.is_measured { kin.level.on_rung(rung(kin)) } else { kin.level };
            (level, kin.index)
        });
        Tiers::new(Arc::clone(&self.contenders), leveled)
    }

    /// How this mirror is related to a client, also when it may not serve it.
    #[must_use]
    pub fn nearness(&self, key: &PlaceKey, index: usize) -> Option<Nearness> {
        let place = key.place();
        let mirror = self.mirrors.get(index)?;
        let class = self.class(mirror, &key.kinship, &place);
        Some(Nearness { class, distance_km: Origin::of(&place).km(mirror).map(f64::round) })
    }

    fn class(&self, mirror: &Mirror, key: &KinshipKey, place: &Place) -> Class {
        let client = key.network.and_then(|id| self.networks.get(id));
        Class::between(mirror, place, |network| client.is_some_and(|client| canonical(network).contains(client)))
    }

    /// Of mirrors that name the client's network, those that name it most narrowly come first, however far they are.
    fn network_rung(&self, mirror: &Mirror, key: &KinshipKey, class: Class) -> Option<u8> {
        let client = key.network.filter(|_| class == Class::Network).and_then(|id| self.networks.get(id))?;
        let around = mirror.networks.iter().map(canonical).filter(|network| network.contains(client));
        around.map(|network| network.max_prefix_len() - network.prefix_len()).min()
    }
}

impl KinshipKey {
    const fn place(&self) -> Place {
        Place { country: self.country, continent: self.continent, point: None, asn: self.asn }
    }
}

impl PlaceKey {
    /// The place that all clients of this key are taken to be at.
    fn place(&self) -> Place {
        let degrees = |tenths: i16| f64::from(tenths) / CELLS_PER_DEGREE;
        let point = self.cell.and_then(|(latitude, longitude)| Point::new(degrees(latitude), degrees(longitude)));
        Place { point, ..self.kinship.place() }
    }
}

/// Cells are as fine as city databases are at their best.
const CELLS_PER_DEGREE: f64 = 10.0;

#[expect(clippy::cast_possible_truncation, reason = "a point's degrees are between -180 and 180")]
fn cell_of(point: Point) -> (i16, i16) {
    let cell = |degrees: f64| (degrees * CELLS_PER_DEGREE).round() as i16;
    (cell(point.latitude), cell(point.longitude))
}
