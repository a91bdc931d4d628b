//! What a record of any known layout says of a place: nested (MaxMind, DB-IP), flat (ip-location-db, IPinfo), AS numbers.
//! Reads only the fields that count, in one pass, borrowed from the database; fields of unexpected types count as absent.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::model::{Continent, Country, Place, Point};

/// The fields that count, of one record.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Record<'de> {
    country: Option<&'de str>,
    registered_country: Option<&'de str>,
    continent: Option<&'de str>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    accuracy_km: Option<f64>,
    /// Whether it names a city or a part of the country.
    names_a_part: bool,
    asn: Option<u32>,
}

/// When a database's coordinates say where in its country a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coordinates {
    /// Never: it has none, or only the countries' middles.
    Never,
    /// Where the record names a city or a part of the country; else they are the country's middle.
    WhereNamed,
    /// Wherever they are given: no record of this database names anything smaller than a country.
    WhereGiven,
}

/// An accuracy radius, in kilometres, from which on coordinates say nothing (MaxMind gives 1000 where it knows the
/// country only).
const VAGUE_KM: f64 = 1000.0;

impl Record<'_> {
    /// The place that it tells of.
    pub(super) fn place(&self, coordinates: Coordinates) -> Place {
        let continent = self.continent.and_then(|code| code.parse().ok());
        let country = self.country.and_then(known).or_else(|| self.registered(continent));
        let area = self.country.and_then(area);
        Place {
            country,
            continent: continent.or(area).or_else(|| country.and_then(Country::continent)),
            point: self.point().filter(|_| self.is_precise(coordinates)),
            asn: self.asn,
        }
    }

    /// Whether it gives coordinates at all.
    pub(super) fn has_point(&self) -> bool {
        self.point().is_some()
    }

    /// Whether it names a city or a part of the country.
    pub(super) const fn names_a_part(&self) -> bool {
        self.names_a_part
    }

    /// Where the address's holder is registered: a hint for addresses in use in many countries or in one that nobody
    /// knows. Not taken against the record's own word on the continent.
    fn registered(&self, continent: Option<Continent>) -> Option<Country> {
        let country = self.registered_country.and_then(known)?;
        (continent.is_none() || continent == country.continent()).then_some(country)
    }

    /// The coordinates. Zero north, zero east is the sea, and what databases write for want of anything better.
    fn point(&self) -> Option<Point> {
        let rounded = |degrees: f64| (degrees * POINTS_PER_DEGREE).round() / POINTS_PER_DEGREE;
        let point = Point::new(rounded(self.latitude?), rounded(self.longitude?))?;
        (point.latitude != 0.0 || point.longitude != 0.0).then_some(point)
    }

    fn is_precise(&self, coordinates: Coordinates) -> bool {
        let known = match coordinates {
            Coordinates::Never => false,
            Coordinates::WhereNamed => self.names_a_part,
            Coordinates::WhereGiven => true,
        };
        known && self.accuracy_km.is_none_or(|radius| radius < VAGUE_KM)
    }
}

/// To how much of a degree coordinates are kept: half a kilometre, finer than any database is right.
pub(super) const POINTS_PER_DEGREE: f64 = 100.0;

/// A country that exists: databases also write codes like ZZ, XX, T1 or nothing.
fn known(code: &str) -> Option<Country> {
    code.parse().ok().filter(|country: &Country| country.continent().is_some())
}

/// Codes that databases use for addresses of which no more than the continent is known.
fn area(code: &str) -> Option<Continent> {
    match code {
        "EU" => Some(Continent::Eu),
        "AP" => Some(Continent::As),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Record<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RecordVisitor)
    }
}

struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = Record<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of what is known about a network")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record<'de>, A::Error> {
        let mut record = Record::default();
        while let Some(key) = map.next_key::<&'de str>()? {
            match key {
                "country_code" => record.country = map.next_value::<Loose<'_>>()?.code().or(record.country),
                "country" => record.country = record.country.or(map.next_value::<Loose<'_>>()?.code()),
                "registered_country" => record.registered_country = map.next_value::<Loose<'_>>()?.code(),
                "continent_code" => record.continent = map.next_value::<Loose<'_>>()?.code().or(record.continent),
                "continent" => record.continent = record.continent.or(map.next_value::<Loose<'_>>()?.code()),
                "location" => {
                    if let Loose::Map(location) = map.next_value()? {
                        record.latitude = location.latitude.or(record.latitude);
                        record.longitude = location.longitude.or(record.longitude);
                        record.accuracy_km = location.accuracy_km;
                    }
                }
                "latitude" => record.latitude = map.next_value::<Loose<'_>>()?.number(),
                "longitude" => record.longitude = map.next_value::<Loose<'_>>()?.number(),
                "city" | "subdivisions" | "state1" | "region" => {
                    record.names_a_part |= map.next_value::<Loose<'_>>()?.is_something()
                }
                "autonomous_system_number" | "asn" => record.asn = map.next_value::<Loose<'_>>()?.as_number().or(record.asn),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(record)
    }
}

/// A value of any type, as far as it counts.
enum Loose<'de> {
    Text(&'de str),
    Number(f64),
    Map(Fields<'de>),
    /// A list that is not empty.
    Some,
    None,
}

/// The fields that count, of a map inside a record.
#[derive(Default)]
struct Fields<'de> {
    code: Option<&'de str>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    accuracy_km: Option<f64>,
    is_empty: bool,
}

impl<'de> Loose<'de> {
    /// A code of letters: the text itself, or the map's `iso_code` or `code`.
    fn code(&self) -> Option<&'de str> {
        let code = match self {
            Self::Text(text) => Some(*text),
            Self::Map(fields) => fields.code,
            _ => None,
        };
        code.filter(|code| !code.is_empty())
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// An AS number, also written as `AS3333`. Zero stands for none (RFC 7607).
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a whole number in range")]
    fn as_number(&self) -> Option<u32> {
        match self {
            Self::Number(number) if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number) => {
                Some(*number as u32)
            }
            Self::Text(text) => text.trim_start_matches(['A', 'S', 'a', 's']).parse().ok(),
            _ => None,
        }
        .filter(|number| *number != 0)
    }

    fn is_something(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Map(fields) => !fields.is_empty,
            Self::Number(_) | Self::Some => true,
            Self::None => false,
        }
    }
}

impl<'de> Deserialize<'de> for Loose<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Loose<'de>, E> {
        Ok(Loose::Text(text))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Loose<'de>, E> {
        Ok(Loose::Number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Loose<'de>, E> {
        Ok(i32::try_from(number).map_or(Loose::None, |number| Loose::Number(f64::from(number))))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Loose<'de>, E> {
        Ok(u32::try_from(number).map_or(Loose::None, |number| Loose::Number(f64::from(number))))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Loose<'de>, E> {
        Ok(Loose::None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Loose<'de>, E> {
        Ok(Loose::None)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Loose<'de>, E> {
        Ok(Loose::None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Loose<'de>, A::Error> {
        let mut found = Loose::None;
        while list.next_element::<IgnoredAny>()?.is_some() {
            found = Loose::Some;
        }
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loose<'de>, A::Error> {
        let mut fields = Fields { is_empty: true, ..Fields::default() };
        while let Some(key) = map.next_key::<&'de str>()? {
            fields.is_empty = false;
            match key {
                "iso_code" | "code" => fields.code = map.next_value::<Loose<'_>>()?.code(),
                "latitude" => fields.latitude = map.next_value::<Loose<'_>>()?.number(),
                "longitude" => fields.longitude = map.next_value::<Loose<'_>>()?.number(),
                "accuracy_radius" => fields.accuracy_km = map.next_value::<Loose<'_>>()?.number(),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Loose::Map(fields))
    }
}
