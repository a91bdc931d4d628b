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

    /// What a tier is sorted by first. Continent and world are one stage: with a distance known, it says more than the continent
    /// (the mirrors nearest to Egypt are in Europe, not in South Africa), see [`FOREIGN_CONTINENT`].
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
    pub(super) fn distance(self, mirror: &Mirror, class: Class) -> Distance {
        let (from, unit_km) = match self {
            Self::Nowhere => return Distance { km: None, rung: 0 },
            Self::Country { country, .. } if mirror.country == Some(country) => return Distance { km: None, rung: 0 },
            Self::Country { point, radius_km, .. } => (point, UNIT_KM + COUNTRY_SOFTENING * radius_km),
            Self::Client(point) => (point, UNIT_KM),
        };
        let Some(to) = mirror.point.or_else(|| mirror.country.and_then(Country::point)) else {
            return Distance { km: None, rung: u16::MAX };
        };
        let km = from.distance_km(to);
        let factor = if class == Class::World { FOREIGN_CONTINENT } else { 1.0 };
        Distance { km: Some(km), rung: rung(km * factor, unit_km) }
    }
}

/// The ladder: rung 0 ends at `unit * (RATIO - 1)` kilometres; from each end to the next, distance plus unit grows by [`RATIO`].
/// Near the client rungs are some tens of kilometres wide, far away they are a share of the distance.
fn rung(km: f64, unit_km: f64) -> u16 {
    let rung = ((km / unit_km).ln_1p() / RATIO.ln()).floor();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and a few dozen: km is at most half round the Earth"
    )]
    let rung = rung as u16;
    rung
}

/// How much farther than the nearest a mirror may be to share its clients. By `scripts/simulate`: a larger one spreads the load
/// over more mirrors, a smaller one sends clients to nearer ones.
const RATIO: f64 = 1.5;

/// The scale below which distances matter less: about the error of a city database (half of it is off by more than 15 km, a
/// tenth by more than 400 km), and less than a network takes for its detours.
const UNIT_KM: f64 = 100.0;

/// How much of its country's radius is added to the unit for a client that is somewhere in the country.
const COUNTRY_SOFTENING: f64 = 1.0;

/// A mirror on a foreign continent counts as this many times as far. Infinity would put every mirror of the client's continent
/// first: that triples no distance within Europe, but sends North Africa to Johannesburg.
const FOREIGN_CONTINENT: f64 = 1.5;
