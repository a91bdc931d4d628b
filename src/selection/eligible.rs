//! May this mirror be used for this request, whatever files it holds?

use std::fmt;
use std::net::IpAddr;

use crate::model::{ByteSize, Country, Health, Mirror, Only, Place, Scheme};

use super::nearness::Class;
use super::networks::canonical;

/// What a mirror's settings are held against.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// How the client came.
    pub scheme: Scheme,
    /// Bytes of the file.
    pub size: u64,
    /// Where the client is.
    pub place: &'a Place,
    /// The client's address.
    pub address: IpAddr,
}

/// Why a mirror is left out, whatever it holds. `Display` says it to an administrator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// `enabled = false`.
    Disabled,
    /// Probes failed too often.
    Down,
    /// The request came over TLS and the mirror has no `https`.
    Scheme,
    /// The client's country is among `exclude-countries`.
    Excluded(Country),
    /// The client is outside of what `only` allows.
    Only(Only),
    /// The file is larger than `max-file-size`, which is given in bytes.
    TooLarge(u64),
}

/// Why the mirror is left out of an answer to this request: the first reason that holds, the most lasting ones first.
#[must_use]
pub fn refusal(mirror: &Mirror, health: Health, request: &Request<'_>) -> Option<Refusal> {
    refusal_of_place(mirror, request.place, request.address)
        .or_else(|| refusal_of_request(mirror, health, request.scheme, request.size))
}

/// The reasons that hang on where the client is. [`Tiers`](super::Tiers) have been sifted by these already.
#[must_use]
pub fn refusal_of_place(mirror: &Mirror, place: &Place, address: IpAddr) -> Option<Refusal> {
    let class = Class::between(mirror, place, |network| canonical(network).contains(&address.to_canonical()));
    refusal_of_class(mirror, place.country, class)
}

/// The reasons that hang on the mirror's state and on the file.
fn refusal_of_request(mirror: &Mirror, health: Health, scheme: Scheme, size: u64) -> Option<Refusal> {
    if !health.is_usable() {
        return Some(Refusal::Down);
    }
    if !mirror.serves(scheme) {
        return Some(Refusal::Scheme);
    }
    mirror.max_file_size.filter(|limit| size > *limit).map(Refusal::TooLarge)
}

/// `only` bounds the class: a client that is nearer to the mirror than `only` asks for is served as well.
pub(super) fn refusal_of_class(mirror: &Mirror, country: Option<Country>, class: Class) -> Option<Refusal> {
    if !mirror.enabled {
        return Some(Refusal::Disabled);
    }
    if let Some(excluded) = country.filter(|country| mirror.exclude_countries.contains(country)) {
        return Some(Refusal::Excluded(excluded));
    }
    let only = mirror.only?;
    let widest = match only {
        Only::Network => Class::Network,
        Only::As => Class::As,
        Only::Country => Class::AlsoCountry,
        Only::Continent => Class::Continent,
    };
    (class > widest).then_some(Refusal::Only(only))
}

impl Refusal {
    /// One word for counters and machine-readable output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Down => "down",
            Self::Scheme => "scheme",
            Self::Excluded(_) => "exclude-countries",
            Self::Only(_) => "only",
            Self::TooLarge(_) => "max-file-size",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("disabled in the configuration"),
            Self::Down => f.write_str("down: it failed its last probes"),
            Self::Scheme => f.write_str("has no https URL, and the request came over https"),
            Self::Excluded(country) => write!(f, "exclude-countries has {country}, the client's country"),
            Self::Only(Only::Network) => f.write_str("serves clients of its own networks only"),
            Self::Only(Only::As) => f.write_str("serves clients of its own autonomous system only"),
            Self::Only(Only::Country) => f.write_str("serves clients of its own country and also-countries only"),
            Self::Only(Only::Continent) => f.write_str("serves clients of its own continent only"),
            Self::TooLarge(limit) => write!(f, "takes no files larger than {}", ByteSize(*limit)),
        }
    }
}
