//! Which fallback mirror takes a client that no mirror can take: by country, else by continent, else one that takes everybody.

use std::net::IpAddr;

use crate::model::{BaseUrl, ClientNetwork, Continent, Country, Mirror, MirrorName, Place, Scheme};

use super::draw::{Lot, fnv1a, mix};

/// A server that an administrator vouches for: it has all public files, and is never asked which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// What it is called in headers, metrics and logs: the host of its URL.
    pub name: MirrorName,
    /// Where clients are sent that may come in the clear.
    pub http: Option<BaseUrl>,
    /// Where clients are sent over TLS.
    pub https: Option<BaseUrl>,
    /// Clients of these countries come here before all others.
    pub countries: Vec<Country>,
    /// Clients of these continents come next.
    pub continents: Vec<Continent>,
}

impl Fallback {
    /// The base URL for a client, by its scheme: who came over TLS is not sent away from it.
    #[must_use]
    pub fn base(&self, requested: Scheme) -> Option<&BaseUrl> {
        match requested {
            Scheme::Https => self.https.as_ref(),
            Scheme::Http => self.http.as_ref().or(self.https.as_ref()),
        }
    }

    /// The same as a mirror, to be asked whether it works.
    #[must_use]
    pub fn as_mirror(&self) -> Mirror {
        Mirror { http: self.http.clone(), https: self.https.clone(), score: 0, ..Mirror::new(self.name.clone()) }
    }

    /// How well it fits a place; `None`: not at all. The least is the best.
    fn fit(&self, place: &Place) -> Option<u8> {
        let continent = place.continent.or_else(|| place.country.and_then(Country::continent));
        match () {
            () if place.country.is_some_and(|country| self.countries.contains(&country)) => Some(0),
            () if continent.is_some_and(|continent| self.continents.contains(&continent)) => Some(1),
            () if self.countries.is_empty() && self.continents.is_empty() => Some(2),
            () => None,
        }
    }
}

/// The index of the fallback mirror for a client, out of those that are `usable` (by index). Of several that fit as well, each
/// client network gets always the same one.
#[must_use]
pub fn fall_back(
    fallbacks: &[Fallback],
    (place, address, scheme): (&Place, IpAddr, Scheme),
    usable: impl Fn(usize) -> bool,
) -> Option<usize> {
    let lot = Lot::new(ClientNetwork::of(address));
    let fitting = fallbacks.iter().enumerate().filter(|(index, fallback)| fallback.base(scheme).is_some() && usable(*index));
    let ranked = fitting.filter_map(|(index, fallback)| {
        let draw = mix(mix(fnv1a(fallback.name.as_str().as_bytes())) ^ lot.0);
        Some((fallback.fit(place)?, std::cmp::Reverse(draw), index))
    });
    ranked.min().map(|(_, _, index)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fallback(name: &str, scheme: Scheme, countries: &[&str], continents: &[&str]) -> Fallback {
        let url = |wanted: Scheme, word: &str| {
            (wanted == scheme).then(|| BaseUrl::parse(&format!("{word}://{name}/"), wanted).expect("a URL"))
        };
        Fallback {
            name: MirrorName::parse(name).expect("a name"),
            http: url(Scheme::Http, "http"),
            https: url(Scheme::Https, "https"),
            countries: countries.iter().map(|code| code.parse().expect("a country")).collect(),
            continents: continents.iter().map(|code| code.parse().expect("a continent")).collect(),
        }
    }

    fn place(country: &str) -> Place {
        Place { country: country.parse().ok(), ..Place::default() }
    }

    #[test]
    fn the_nearest_that_fits_is_taken() {
        let all = [
            fallback("world.example", Scheme::Https, &[], &[]),
            fallback("europe.example", Scheme::Http, &[], &["eu"]),
            fallback("germany.example", Scheme::Https, &["de"], &[]),
            fallback("asia.example", Scheme::Http, &["au"], &["as"]),
        ];
        let chosen = |country: &str, scheme, down: &str| {
            let usable = |index: usize| all[index].name.as_str() != down;
            let index = fall_back(&all, (&place(country), [192, 0, 2, 1].into(), scheme), usable);
            index.map(|index| all[index].name.as_str().split('.').next().unwrap_or(""))
        };
        for (country, scheme, down, expected) in [
            ("de", Scheme::Http, "", Some("germany")),
            ("de", Scheme::Https, "", Some("germany")),
            ("de", Scheme::Http, "germany.example", Some("europe")),
            ("de", Scheme::Https, "germany.example", Some("world")),
            ("fr", Scheme::Http, "", Some("europe")),
            ("fr", Scheme::Https, "", Some("world")),
            ("jp", Scheme::Http, "", Some("asia")),
            ("au", Scheme::Http, "", Some("asia")),
            ("br", Scheme::Http, "", Some("world")),
            ("", Scheme::Http, "", Some("world")),
            ("br", Scheme::Http, "world.example", None),
        ] {
            assert_eq!(chosen(country, scheme, down), expected, "{country} {scheme:?} without {down}");
        }
    }

    #[test]
    fn equals_share_the_clients_and_each_network_stays_with_one() {
        let all: Vec<Fallback> = (0..3).map(|n| fallback(&format!("f{n}.example"), Scheme::Http, &[], &[])).collect();
        let chosen = |third: u8, host: u8| {
            fall_back(&all, (&Place::default(), [198, 51, third, host].into(), Scheme::Http), |_| true).expect("one")
        };
        let mut counts = [0; 3];
        for third in 0..=255 {
            counts[chosen(third, 1)] += 1;
            assert_eq!(chosen(third, 1), chosen(third, 200));
        }
        assert!(counts.iter().all(|&count| count > 50), "{counts:?}");
    }
}
