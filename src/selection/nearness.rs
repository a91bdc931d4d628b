//! How near is a mirror to a client? Its class, then its rung on a ladder of distances.
//!
//! Both hang on the client's place and on this one mirror, never on the other mirrors: so when one leaves or joins, the order of
//! the rest stays, and only its own clients move (promise 8). A band that starts at the nearest mirror would break that.

use ipnet::IpNet;

use crate::model::{Country, Mirror, Place, Point};

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

/// Where distances are measured from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// The client's own coordinates.
    Client(Point),
    /// The main point of its country, which has the area of a disc of this radius.
    Country { country: Country, point: Point, radius_km: f64 },
    /// Nothing is known to measure from.
    Nowhere,
}

/// A distance and what it counts for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Distance {
    /// Kilometres from the origin; `None` where one end is unknown, or the client is somewhere in the mirror's own country.
    pub(super) km: Option<f64>,
    /// The rung on the ladder of distances. Mirrors on one rung are about as near.
    pub(super) rung: u16,
}

impl Origin {
    pub(super) fn of(place: &Place) -> Self {
        let of_country =
            |country: Country| country.point().map(|point| Self::Country { country, point, radius_km: country.radius_km() });
        match (place.point, place.country) {
            (Some(point), _) => Self::Client(point),
            (None, Some(country)) => of_country(country).unwrap_or(Self::Nowhere),
            (None, None) => Self::Nowhere,
        }
    }

    /// The distance of a mirror.
    pub(super) fn distance(self, mirror: &Mirror) -> Distance {
        let (from, unit_km) = match self {
            Self::Nowhere => return Distance { km: None, rung: 0 },
            Self::Country { country, .. } if mirror.country == Some(country) => return Distance { km: None, rung: 0 },
            Self::Country { point, radius_km, .. } => (point, UNIT_KM + COUNTRY_RADII * radius_km),
            Self::Client(point) => (point, UNIT_KM),
        };
        let Some(to) = mirror.point.or_else(|| mirror.country.and_then(Country::point)) else {
            return Distance { km: None, rung: u16::MAX };
        };
        let km = from.distance_km(to);
        Distance { km: Some(km), rung: rung(km, unit_km) }
    }
}

/// The ladder. Rung 0 ends at `unit_km * (RATIO - 1)`; with each further rung, distance plus unit grows by [`RATIO`]. With the
/// client's coordinates rungs end at 83, 194, 343, 540, 803, 1154, 1622 ... km: nearby they are about as wide as a region, far
/// away a quarter of the distance.
fn rung(km: f64, unit_km: f64) -> u16 {
    let rung = ((km / unit_km).ln_1p() / RATIO.ln()).floor();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a distance on Earth: between 0 and 20")]
    let rung = rung as u16;
    rung
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
