//! Countries and continents.

use std::fmt;
use std::str::FromStr;

/// A country: two lower-case letters (ISO 3166-1 alpha-2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// The code, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("two ASCII letters are UTF-8")
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
