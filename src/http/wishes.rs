//! What a request wishes by its query: the mirrors of another country or network, without some of them, or to be told the
//! decision. Everything else in a query is for somebody else and goes unread; nothing of it reaches a mirror.

use std::net::IpAddr;

use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use crate::model::{Country, MirrorName, Place};
use crate::selection::IpVersion;

/// `[answers]`: what of a query is heeded, and what answers say besides.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Whether `?country=`, `?as=`, `?avoid=` and `?ip=` are heeded.
    pub arguments: bool,
    /// Who is told the whole decision by `?trace`.
    pub trace: Trace,
    /// Clients that may ask as somebody else, by `?ip=`.
    pub trusted: Vec<IpNet>,
    /// What becomes of mirrors that do not answer over the client's version of the Internet Protocol.
    pub ip_version: IpVersion,
    /// Whether redirects carry `X-MirrorBrain-Mirror` and `X-MirrorBrain-Realm`.
    pub mirrorbrain_headers: bool,
    /// A file with the key that stamps are made with; none: no stamps.
    pub stamp_key_file: Option<std::path::PathBuf>,
    /// The same in a variable of the environment.
    pub stamp_key_variable: Option<String>,
    /// How stamps are made.
    pub stamp: super::stamp::Method,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            arguments: true,
            trace: Trace::default(),
            trusted: vec!["127.0.0.0/8".parse().expect("a network"), "::1/128".parse().expect("a network")],
            ip_version: IpVersion::default(),
            mirrorbrain_headers: false,
            stamp_key_file: None,
            stamp_key_variable: None,
            stamp: super::stamp::Method::default(),
        }
    }
}

/// `answers.trace`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trace {
    /// Everybody.
    #[default]
    Open,
    /// Clients in `answers.trusted`.
    Trusted,
    /// Nobody.
    Deny,
}

/// What a request wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes<'a> {
    /// `?country=`: mirrors as for clients of this country.
    pub country: Option<Country>,
    /// `?as=`: mirrors as for clients of this autonomous system.
    pub asn: Option<u32>,
    /// `?ip=`: an answer as for this client.
    pub address: Option<IpAddr>,
    /// `?trace`: the decision instead of the answer.
    pub trace: bool,
    /// `?avoid=`: names of mirrors, as they were written.
    pub(super) avoid: Option<&'a str>,
}

/// Names in one `?avoid=`: who wants to avoid more mirrors wants a list of all.
const MAX_AVOIDED: usize = 32;

impl<'a> Wishes<'a> {
    /// Reads a query. The last of several of a kind counts.
    ///
    /// # Errors
    /// What is wrong with an argument of ours, as a sentence for the client.
    pub fn parse(query: &'a str) -> Result<Self, &'static str> {
        let mut wishes = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "country" => wishes.country = Some(value.parse().map_err(|_| "country: write two letters (ISO 3166-1).")?),
                "as" => wishes.asn = Some(autonomous_system(value).ok_or("as: write the number of an autonomous system.")?),
                "ip" => wishes.address = Some(address(value).ok_or("ip: write an IPv4 or IPv6 address.")?),
                "avoid" => wishes.avoid = Some(mirrors(value).ok_or("avoid: write names of mirrors, with commas between.")?),
                "trace" => wishes.trace = true,
                _ => {}
            }
        }
        Ok(wishes)
    }

    /// Whether a mirror is not wanted.
    #[must_use]
    pub fn avoids(&self, mirror: &MirrorName) -> bool {
        self.avoid.is_some_and(|list| names(list).any(|name| name == mirror.as_str()))
    }

    /// The place that a client wishes to be at. Another country has another continent, and the client's coordinates are not in it.
    #[must_use]
    pub fn place(&self, place: Place) -> Place {
        let asn = self.asn.or(place.asn);
        match self.country {
            Some(country) => Place { country: Some(country), continent: country.continent(), point: None, asn },
            None => Place { asn, ..place },
        }
    }
}

/// `64500` or `AS64500`. 0 is none (RFC 7607).
fn autonomous_system(value: &str) -> Option<u32> {
    let digits = if value.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("as")) { &value[2..] } else { value };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|&number| number != 0)
}

fn address(value: &str) -> Option<IpAddr> {
    let text = percent_decode_str(value).decode_utf8().ok()?;
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// The list, if each entry could be a mirror's name.
fn mirrors(value: &str) -> Option<&str> {
    let good =
        |name: &str| (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    (names(value).count() <= MAX_AVOIDED && names(value).all(good)).then_some(value)
}

/// Entries of a list; forms write a comma as `%2C`.
fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').flat_map(|part| part.split("%2C")).flat_map(|part| part.split("%2c"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_read_and_the_rest_is_not() {
        let none = Wishes::default();
        for (query, expected) in [
            ("", none),
            ("src=addondetail,confirmed=1", none),
            ("Country=de&countryside=x&=&&", none),
            ("country=DE", Wishes { country: "de".parse().ok(), ..none }),
            ("country=de&country=nl", Wishes { country: "nl".parse().ok(), ..none }),
            ("as=64500", Wishes { asn: Some(64500), ..none }),
            ("a=b&as=AS64500", Wishes { asn: Some(64500), ..none }),
            ("ip=192.0.2.1", Wishes { address: "192.0.2.1".parse().ok(), ..none }),
            ("ip=2001%3Adb8::1", Wishes { address: "2001:db8::1".parse().ok(), ..none }),
            ("ip=::ffff:192.0.2.1", Wishes { address: "192.0.2.1".parse().ok(), ..none }),
            ("trace", Wishes { trace: true, ..none }),
            ("trace=1", Wishes { trace: true, ..none }),
            ("avoid=a,b", Wishes { avoid: Some("a,b"), ..none }),
        ] {
            assert_eq!(Wishes::parse(query), Ok(expected), "{query}");
        }
    }

    #[test]
    fn what_is_ours_and_wrong_is_refused() {
        let many = "avoid=m".to_owned() + &",m".repeat(MAX_AVOIDED);
        for query in [
            "country=",
            "country=germany",
            "country=d%65",
            "country=12",
            "as=",
            "as=x",
            "as=0",
            "as=-1",
            "as=4294967296",
            "as=+1",
            "as=asx",
            "as=a\u{e4}",
            "ip=",
            "ip=1.2.3",
            "ip=1.2.3.4%00",
            "ip=localhost",
            "avoid=",
            "avoid=a,,b",
            "avoid=a%0d%0ab",
            &many,
        ] {
            assert!(Wishes::parse(query).is_err(), "{query}");
        }
    }

    #[test]
    fn mirrors_are_avoided_by_their_whole_names() {
        let wishes = Wishes::parse("avoid=leiden%2Cberlin-2,x%2cy").expect("good");
        for (name, avoided) in
            [("leiden", true), ("berlin-2", true), ("x", true), ("y", true), ("berlin", false), ("Leiden", false)]
        {
            assert_eq!(wishes.avoids(&MirrorName::parse(name).expect("a name")), avoided, "{name}");
        }
    }

    #[test]
    fn another_country_has_its_own_continent_and_none_of_the_clients_coordinates() {
        let home = Place {
            country: "de".parse().ok(),
            continent: "eu".parse().ok(),
            point: crate::model::Point::new(52.5, 13.4),
            asn: Some(680),
        };
        let place = |query: &str| Wishes::parse(query).expect("good").place(home);
        assert_eq!(place(""), home);
        assert_eq!(place("as=1"), Place { asn: Some(1), ..home });
        let japan = Place { country: "jp".parse().ok(), continent: "as".parse().ok(), point: None, asn: Some(680) };
        assert_eq!(place("country=jp"), japan);
    }
}
