//! How near is a mirror to a client? Its class, then its rung on a ladder of distances.
//!
//! Both hang on the client's place and on this one mirror, never on the other mirrors: so when one leaves or joins, the order of
//! the rest stays, and only its own clients move (promise 8). A band that starts at the nearest mirror would break that.

use std::sync::LazyLock;

use ipnet::IpNet;

use crate::model::{Country, Direction, Mirror, Place, Point, chord_squared_of_km};

/// How a mirror is related to a client, nearest relation first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The client's address is in one of the mirror's `networks`.
    Network,
    /// The same autonomous system.
    As,
    /// The same country.
    Country,
    /// The client's country is among the mirror's `also-countries`.
    AlsoCountry,
    /// The same continent.
    Continent,
    /// Nothing in common that is known.
    World,
}

impl Class {
    /// The word for it in answers (`why=`), logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::As => "as",
            Self::Country => "country",
            Self::AlsoCountry => "also-country",
            Self::Continent => "continent",
            Self::World => "world",
        }
    }

    /// All classes, nearest first.
    pub const ALL: [Self; 6] = [Self::Network, Self::As, Self::Country, Self::AlsoCountry, Self::Continent, Self::World];

    /// The class of a mirror for a client, whose address `holds_client` looks for in a network.
    pub(super) fn between(mirror: &Mirror, place: &Place, mut holds_client: impl FnMut(&IpNet) -> bool) -> Self {
        let same_asn = place.asn.is_some() && mirror.asn == place.asn;
        let same_country = place.country.is_some() && mirror.country == place.country;
        let also_country = place.country.is_some_and(|country| mirror.also_countries.contains(&country));
        let continent = mirror.continent.or_else(|| mirror.country.and_then(Country::continent));
        let same_continent = continent.is_some() && continent == place.continent;
        if mirror.networks.iter().any(&mut holds_client) {
            Self::Network
        } else if same_asn {
            Self::As
        } else if same_country {
            Self::Country
        } else if also_country {
            Self::AlsoCountry
        } else if same_continent {
            Self::Continent
        } else {
            Self::World
        }
    }

    /// What tiers are sorted by first. Continent and world are one stage: where a distance is known it says more than the
    /// continent (Egypt's nearest mirrors are in Europe and Israel, not in South Africa), so the continent decides within a rung,
    /// and where no distance is known.
    pub(super) const fn stage(self) -> u8 {
        match self {
            Self::Network => 0,
            Self::As => 1,
            Self::Country => 2,
            Self::AlsoCountry => 3,
            Self::Continent | Self::World => 4,
        }
    }
}

/// Where distances are measured from, and how finely.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// The client's own coordinates, else the main point of its country; `None`: nothing is known to measure from.
    point: Option<Point>,
    /// The country that the client is somewhere in: how far it is from this country's mirrors, nobody knows.
    home: Option<Country>,
    unit_km: f64,
}

impl Origin {
    pub(super) fn of(place: &Place) -> Self {
        match (place.point, place.country) {
            (Some(point), _) => Self { point: Some(point), home: None, unit_km: UNIT_KM },
            (None, Some(country)) => {
                // The country as a disc of its area.
                let unit_km = UNIT_KM + COUNTRY_RADII * country.radius_km();
                Self { point: country.point(), home: Some(country), unit_km }
            }
            (None, None) => Self { point: None, home: None, unit_km: UNIT_KM },
        }
    }

    /// Kilometres to a mirror; `None` where one end is unknown, or the client is somewhere in the mirror's own country.
    pub(super) fn km(&self, mirror: &Mirror) -> Option<f64> {
        if self.home.is_some() && mirror.country == self.home {
            return None;
        }
        Some(self.point?.distance_km(point_of(mirror)?))
    }

    /// What tells the rungs of many mirrors.
    pub(super) fn ruler(&self) -> Option<Ruler> {
        let from = self.point?.into();
        let ends = if self.unit_km == UNIT_KM { *CLIENT_ENDS } else { ends(self.unit_km) };
        Some(Ruler { from, home: self.home, ends })
    }
}

/// Where a mirror is: its own coordinates, else the main point of its country.
fn point_of(mirror: &Mirror) -> Option<Point> {
    mirror.point.or_else(|| mirror.country.and_then(Country::point))
}

/// A mirror as a [`Ruler`] sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    country: Option<Country>,
    direction: Option<Direction>,
}

impl Spot {
    pub(super) fn of(mirror: &Mirror) -> Self {
        Self { country: mirror.country, direction: point_of(mirror).map(Direction::from) }
    }
}

/// Tells on which rung of the ladder of distances mirrors stand. Those on one rung are about as near.
///
/// Rung 0 ends at `unit_km * (RATIO - 1)`; with each further rung, distance plus unit grows by [`RATIO`]. With the
/// client's coordinates rungs end at 83, 194, 343, 540, 803, 1154, 1622 ... km: nearby they are about as wide as a region, far
/// away a quarter of the distance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ruler {
    from: Direction,
    home: Option<Country>,
    /// Where rungs end, as squares of chords.
    ends: [f32; RUNGS],
}

impl Ruler {
    pub(super) fn rung(&self, spot: &Spot) -> u8 {
        if self.home.is_some() && spot.country == self.home {
            return 0;
        }
        let Some(direction) = spot.direction else { return UNKNOWN_RUNG };
        let chord = self.from.chord_squared(direction);
        // All ends are looked at, several at a time: that is quicker than to find the right one.
        let mut rung = 0_i32;
        for end in &self.ends {
            rung += i32::from(*end <= chord);
        }
        rung as u8
    }
}

/// More than half round the Earth.
const RUNGS: usize = 16;

/// Behind all that is known.
const UNKNOWN_RUNG: u8 = RUNGS as u8 + 1;

static CLIENT_ENDS: LazyLock<[f32; RUNGS]> = LazyLock::new(|| ends(UNIT_KM));

fn ends(unit_km: f64) -> [f32; RUNGS] {
    let mut reach = unit_km;
    std::array::from_fn(|_| {
        reach *= RATIO;
        chord_squared_of_km(reach - unit_km)
    })
}

/// Wider rungs spread clients over more mirrors, narrower ones bring them to nearer ones. `scripts/simulate` shows what it costs:
/// 1.10 times the distance to the nearest mirror on average, of which 0.08 come from putting the client's country first.
const RATIO: f64 = 4.0 / 3.0;

/// Below some hundred kilometres distances say little: cables don't follow great circles, and a quarter of what city databases
/// say is off by more than 160 km.
const UNIT_KM: f64 = 250.0;

/// How many radii of its country are added to the unit for a client that is somewhere in that country: so two mirrors of which
/// one is nearer by less than the radius or so stand on one rung.
const COUNTRY_RADII: f64 = 2.0;
