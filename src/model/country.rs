//! Countries and continents, and what is known about each country (`geoip/countries.tsv`, built in).

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use super::place::Point;

/// A country: two lower-case letters (ISO 3166-1 alpha-2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// The code, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("two ASCII letters are UTF-8")
    }

    /// The two letters of the code, in lower case.
    #[must_use]
    pub const fn code(self) -> [u8; 2] {
        self.0
    }

    /// The continent that the GeoIP databases count it to; none for a code that is in no table.
    #[must_use]
    pub fn continent(self) -> Option<Continent> {
        TABLE.row(self).map(|row| row.continent)
    }

    /// Its short English name.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        TABLE.row(self).map(|row| row.name)
    }

    /// Where most of its people on the Internet are, as well as one point can say it: its biggest city as a rule.
    #[must_use]
    pub fn point(self) -> Option<Point> {
        TABLE.row(self).map(|row| row.point)
    }

    /// The radius of a disc with the country's area, in kilometres: how far off its main point may be, roughly.
    /// [`DEFAULT_RADIUS_KM`] for a code that is in no table.
    #[must_use]
    pub fn radius_km(self) -> f64 {
        TABLE.row(self).map_or(DEFAULT_RADIUS_KM, |row| row.radius_km)
    }

    /// All known countries, by code.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        TABLE.rows.iter().map(|row| row.country)
    }

    /// Its place in a table of all pairs of letters.
    const fn index(self) -> usize {
        (self.0[0] - b'a') as usize * LETTERS + (self.0[1] - b'a') as usize
    }
}

/// The radius of a country that nothing is known about: that of a country of middling size (126,000 km²).
pub const DEFAULT_RADIUS_KM: f64 = 200.0;

const LETTERS: usize = 26;

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::parse(include_str!("../../geoip/countries.tsv")));

/// What is known about the countries, and where each pair of letters stands in it.
struct Table {
    rows: Vec<Row>,
    /// One place for each pair of letters; the row's number, or one beyond the last.
    places: Vec<u8>,
}

struct Row {
    country: Country,
    continent: Continent,
    point: Point,
    radius_km: f64,
    name: &'static str,
}

impl Table {
    /// Reads the built-in table. It is part of the program: a mistake in it fails the tests, not an operator.
    fn parse(text: &'static str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let rows: Vec<Row> = lines.map(|line| Row::parse(line).expect("the built-in table has six good columns")).collect();
        let mut places = vec![u8::MAX; LETTERS * LETTERS];
        for (number, row) in rows.iter().enumerate() {
            places[row.country.index()] = u8::try_from(number).expect("there are less than 255 countries");
        }
        Self { rows, places }
    }

    fn row(&self, country: Country) -> Option<&Row> {
        self.rows.get(usize::from(self.places[country.index()]))
    }
}

impl Row {
    fn parse(line: &'static str) -> Option<Self> {
        let mut columns = line.split('\t');
        let country = columns.next()?.parse().ok()?;
        let continent = columns.next()?.parse().ok()?;
        let point = Point::new(columns.next()?.parse().ok()?, columns.next()?.parse().ok()?)?;
        let area_km2: f64 = columns.next()?.parse().ok()?;
        let radius_km = (area_km2 / std::f64::consts::PI).sqrt();
        Some(Self { country, continent, point, radius_km, name: columns.next()? })
    }
}

impl FromStr for Country {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match *text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Self([a.to_ascii_lowercase(), b.to_ascii_lowercase()]))
            }
            _ => Err(Error::Country(text.to_owned())),
        }
    }
}

/// A continent, by the two letters that GeoIP databases use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Continent {
    /// Africa.
    Af,
    /// Antarctica.
    An,
    /// Asia.
    As,
    /// Europe.
    Eu,
    /// North America, with Central America and the Caribbean.
    Na,
    /// Oceania.
    Oc,
    /// South America.
    Sa,
}

impl Continent {
    /// The code, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Af => "af",
            Self::An => "an",
            Self::As => "as",
            Self::Eu => "eu",
            Self::Na => "na",
            Self::Oc => "oc",
            Self::Sa => "sa",
        }
    }

    /// The name in English.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Af => "Africa",
            Self::An => "Antarctica",
            Self::As => "Asia",
            Self::Eu => "Europe",
            Self::Na => "North America",
            Self::Oc => "Oceania",
            Self::Sa => "South America",
        }
    }
}

impl FromStr for Continent {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::Af, Self::An, Self::As, Self::Eu, Self::Na, Self::Oc, Self::Sa]
            .into_iter()
            .find(|continent| continent.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| Error::Continent(text.to_owned()))
    }
}

/// Why a text names no country or continent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No country code.
    #[error("{0:?} is no country code; use the two letters of ISO 3166-1, like \"nl\"")]
    Country(String),
    /// No continent code.
    #[error("{0:?} is no continent; use one of af, an, as, eu, na, oc, sa")]
    Continent(String),
}

macro_rules! as_text {
    ($type:ty) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
as_text!(Country);
as_text!(Continent);

#[cfg(test)]
mod tests {
    use super::*;

    fn country(code: &str) -> Country {
        code.parse().expect("two letters")
    }

    #[test]
    fn every_country_has_a_continent_a_name_a_point_and_a_size() {
        assert_eq!(Country::all().len(), 250);
        for country in Country::all() {
            assert!(country.continent().is_some() && country.point().is_some(), "{country}");
            assert!(country.name().is_some_and(|name| name.len() > 2), "{country}");
            assert!((0.3..3_000.0).contains(&country.radius_km()), "{country}");
        }
        assert!(Country::all().is_sorted(), "by code, each once");
    }

    #[test]
    fn known_facts_are_told() {
        let cases = [
            ("nl", Continent::Eu, "Netherlands", 52.37, 4.9, 115.4),
            ("us", Continent::Na, "United States", 41.85, -87.65, 1741.2),
            ("ru", Continent::Eu, "Russia", 55.76, 37.62, 2333.0),
            ("tr", Continent::As, "Turkey", 41.02, 28.97, 499.4),
            ("py", Continent::Sa, "Paraguay", -25.27, -57.67, 359.8),
            ("nz", Continent::Oc, "New Zealand", -36.87, 174.77, 292.1),
            ("rw", Continent::Af, "Rwanda", -1.95, 30.07, 91.6),
            ("ci", Continent::Af, "Ivory Coast", 5.32, -4.03, 320.4),
            ("aq", Continent::An, "Antarctica", -77.83, 166.6, 2126.0),
            ("xk", Continent::Eu, "Kosovo", 42.67, 21.17, 58.9),
        ];
        for (code, continent, name, latitude, longitude, radius_km) in cases {
            let country = country(code);
            assert_eq!((country.continent(), country.name()), (Some(continent), Some(name)), "{code}");
            let point = country.point().expect("known");
            assert!((point.latitude - latitude).abs() < 0.01 && (point.longitude - longitude).abs() < 0.01, "{code}");
            assert!((country.radius_km() - radius_km).abs() < 0.2, "{code}: {}", country.radius_km());
        }
    }

    #[test]
    fn a_code_in_no_table_has_no_facts() {
        for code in ["zz", "aa", "XX", "eu"] {
            let country = country(code);
            assert_eq!((country.continent(), country.name(), country.point()), (None, None, None), "{code}");
            assert!((country.radius_km() - DEFAULT_RADIUS_KM).abs() < f64::EPSILON, "{code}");
        }
    }
}
