//! `[[mirror]]`: one mirror as the file has it, and what it becomes once GeoIP has filled what was left out.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de};

use crate::model::{
    Asking, BaseUrl, ByteSize, Continent, Country, Mirror, MirrorName, Only, Place, Point, Protocol, Scanning, Scheme,
    TreePath, way,
};

/// `[[mirror]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MirrorSettings {
    /// What it is called, here and in headers, metrics and logs.
    #[serde(deserialize_with = "name")]
    pub name: MirrorName,
    /// Where clients are sent over TLS.
    #[serde(default, deserialize_with = "https")]
    pub https: Option<BaseUrl>,
    /// Where clients are sent in the clear.
    #[serde(default, deserialize_with = "http")]
    pub http: Option<BaseUrl>,
    /// Where it is scanned over rsync.
    #[serde(default, deserialize_with = "rsync")]
    pub rsync: Option<String>,
    /// Where it is scanned over FTP.
    #[serde(default, deserialize_with = "ftp")]
    pub ftp: Option<String>,
    /// The ways to scan it, in this order; left out: all that it has, the cheapest first.
    #[serde(default, deserialize_with = "ways")]
    pub scan_by: Vec<Protocol>,
    /// The password of the user in `rsync`.
    #[serde(default)]
    pub rsync_password_file: Option<PathBuf>,
    /// The password of the user in `ftp`.
    #[serde(default)]
    pub ftp_password_file: Option<PathBuf>,
    /// A file below its URL that changes whenever the mirror does.
    #[serde(default, deserialize_with = "way::path_below")]
    pub stamp: Option<TreePath<'static>>,
    /// Its country; left out: GeoIP's word.
    #[serde(default)]
    pub country: Option<Country>,
    /// Its continent; left out: its country's.
    #[serde(default)]
    pub continent: Option<Continent>,
    /// Degrees north; with `longitude`.
    #[serde(default)]
    pub latitude: Option<f64>,
    /// Degrees east; with `latitude`.
    #[serde(default)]
    pub longitude: Option<f64>,
    /// Its autonomous system; left out: GeoIP's word.
    #[serde(default)]
    pub asn: Option<u32>,
    /// Client networks that it serves before all others.
    #[serde(default, deserialize_with = "networks")]
    pub networks: Vec<IpNet>,
    /// Its share, relative to the others'.
    #[serde(default = "default_score")]
    pub score: u32,
    /// Whom it serves at most.
    #[serde(default)]
    pub only: Option<Only>,
    /// Countries that it serves like its own.
    #[serde(default)]
    pub also_countries: Vec<Country>,
    /// Countries that it does not serve.
    #[serde(default)]
    pub exclude_countries: Vec<Country>,
    /// The largest file that it serves.
    #[serde(default)]
    pub max_file_size: Option<ByteSize>,
    /// Whether it is used, scanned and probed at all.
    #[serde(default = "default_enabled")]
    pub enabled: bool,
    /// Who runs it, for people.
    #[serde(default)]
    pub operator: Option<String>,
    /// How many questions a second it is asked at most; left out: `scan.requests-per-second`.
    #[serde(default)]
    pub requests_per_second: Option<u32>,
    /// Whether it may send clients on to other hosts.
    #[serde(default)]
    pub may_redirect: bool,
}

/// What a mirror's score is when the file says nothing.
const DEFAULT_SCORE: u32 = Mirror::USUAL_SCORE;

const fn default_score() -> u32 {
    DEFAULT_SCORE
}

const fn default_enabled() -> bool {
    true
}

impl MirrorSettings {
    /// The host that clients are sent to: a name or an address, without brackets and port.
    #[must_use]
    pub fn host(&self) -> &str {
        self.base().map_or("", |base| host(base.authority()))
    }

    /// The first of its base URLs.
    pub(super) fn base(&self) -> Option<&BaseUrl> {
        self.https.as_ref().or(self.http.as_ref())
    }

    fn scanning(&self) -> Scanning {
        Scanning {
            by: self.scan_by.clone(),
            rsync_password_file: self.rsync_password_file.clone(),
            ftp_password_file: self.ftp_password_file.clone(),
            stamp: self.stamp.clone(),
        }
    }

    /// The mirror, completed. `located` is what GeoIP says about the host.
    ///
    /// GeoIP fills only what the file leaves out, and coordinates only where it agrees with the file on the country: where
    /// an administrator has said that a mirror is elsewhere, the database's word on its town is worth nothing.
    #[must_use]
    pub fn complete(&self, located: Option<&Place>) -> Mirror {
        let place = located.copied().unwrap_or_default();
        let country = self.country.or(place.country);
        let agrees = self.country.is_none() || self.country == place.country;
        let written = self.latitude.zip(self.longitude).and_then(|(latitude, longitude)| Point::new(latitude, longitude));
        Mirror {
            name: self.name.clone(),
            http: self.http.clone(),
            https: self.https.clone(),
            rsync: self.rsync.clone(),
            ftp: self.ftp.clone(),
            scanning: self.scanning(),
            country,
            continent: self.continent.or_else(|| place.continent.filter(|_| agrees)),
            point: written.or_else(|| place.point.filter(|_| agrees)),
            asn: self.asn.or(place.asn),
            networks: self.networks.clone(),
            score: self.score,
            only: self.only,
            also_countries: self.also_countries.clone(),
            exclude_countries: self.exclude_countries.clone(),
            max_file_size: self.max_file_size.map(|size| size.0),
            enabled: self.enabled,
            operator: self.operator.clone(),
            asking: Asking { requests_per_second: self.requests_per_second, may_redirect: self.may_redirect },
        }
    }
}

/// The host of `host:port` or `[address]:port`.
pub(super) fn host(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    }
}

fn parsed<'de, D: Deserializer<'de>, T, E: Display>(d: D, parse: impl Fn(&str) -> Result<T, E>) -> Result<T, D::Error> {
    parse(&String::deserialize(d)?).map_err(de::Error::custom)
}

fn name<'de, D: Deserializer<'de>>(d: D) -> Result<MirrorName, D::Error> {
    parsed(d, MirrorName::parse)
}

pub(super) fn https<'de, D: Deserializer<'de>>(d: D) -> Result<Option<BaseUrl>, D::Error> {
    parsed(d, |text| BaseUrl::parse(text, Scheme::Https)).map(Some)
}

pub(super) fn http<'de, D: Deserializer<'de>>(d: D) -> Result<Option<BaseUrl>, D::Error> {
    parsed(d, |text| BaseUrl::parse(text, Scheme::Http)).map(Some)
}

fn rsync<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    parsed(d, |text| scannable(text, &["rsync://"])).map(Some)
}

fn ftp<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    parsed(d, |text| scannable(text, &["ftp://", "ftps://"])).map(Some)
}

/// Ways to scan, each once: a second try by the same way in the same scan brings nothing.
fn ways<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Protocol>, D::Error> {
    let ways = Vec::<Protocol>::deserialize(d)?;
    match ways.iter().enumerate().find(|(at, way)| ways[..*at].contains(way)) {
        Some((_, twice)) => Err(de::Error::custom(format!("\"{twice}\" stands there twice"))),
        None => Ok(ways),
    }
}

/// A URL that only the scanner uses. It goes to a program or a socket, so it is as strict as a base URL.
fn scannable(text: &str, schemes: &[&str]) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("{text:?}: {why}"));
    let Some(rest) = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)) else {
        return wrong(&format!("it does not start with {}", schemes.join(" or ")));
    };
    let authority = rest.split('/').next().unwrap_or("");
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    match () {
        () if host.is_empty() || host.starts_with('-') => wrong("it has no host name"),
        () if user.contains(':') => wrong("it has a password; secrets do not belong into this file, but into one of their own"),
        () if user.starts_with('-') || user.is_empty() && authority.contains('@') => wrong("it has no user name before the @"),
        () if text.contains(['?', '#']) => wrong("it has a query or a fragment"),
        () if !text.bytes().all(|b| b.is_ascii_graphic()) => wrong("it has characters that must be percent-encoded"),
        () if !text.ends_with('/') => wrong("it does not end with a slash"),
        () => Ok(text.to_owned()),
    }
}

fn networks<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<IpNet>, D::Error> {
    Ok(Vec::<Network>::deserialize(d)?.into_iter().map(|network| network.0).collect())
}

/// A network, or an address that stands for itself alone.
struct Network(IpNet);

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        parsed(d, |text| {
            let network = IpNet::from_str(text).or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
            network
                .map(|network| Self(network.trunc()))
                .map_err(|_| format!("{text:?} is no network; write it like \"192.0.2.0/24\""))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(text: &str) -> MirrorSettings {
        toml::from_str(text).expect("valid")
    }

    fn berlin() -> Place {
        Place { country: "de".parse().ok(), continent: "eu".parse().ok(), point: Point::new(52.5, 13.4), asn: Some(680) }
    }

    #[test]
    fn geoip_fills_what_is_left_out() {
        let settings = mirror("name = 'a'\nhttps = 'https://a.example:8443/pub/'");
        assert_eq!(settings.host(), "a.example");
        let complete = settings.complete(Some(&berlin()));
        assert_eq!((complete.country, complete.point, complete.asn), (berlin().country, berlin().point, Some(680)));
        assert_eq!((complete.score, complete.enabled), (100, true));
        assert_eq!(settings.complete(None).country, None);
    }

    #[test]
    fn the_file_has_the_last_word() {
        let settings = mirror("name = 'a'\nhttp = 'http://[2001:db8::1]:80/'\ncountry = 'nl'\nasn = 1103");
        assert_eq!(settings.host(), "2001:db8::1");
        let complete = settings.complete(Some(&berlin()));
        assert_eq!((complete.country, complete.asn), ("nl".parse().ok(), Some(1103)));
        assert_eq!((complete.point, complete.continent), (None, None), "a town in another country is not believed");
        let placed = mirror("name = 'a'\nhttp = 'http://a/'\nlatitude = 1.5\nlongitude = -2");
        assert_eq!(placed.complete(Some(&berlin())).point, Point::new(1.5, -2.0));
    }

    #[test]
    fn urls_for_scanning_are_checked() {
        for (text, why) in [
            ("rsync://a.example/module/", None),
            ("rsync://a.example/module", Some("slash")),
            ("a.example::module/", Some("rsync://")),
            ("rsync:///module/", Some("no host")),
            ("rsync://-oProxy/module/", Some("no host")),
            ("rsync://u@a.example/module/", None),
            ("rsync://u:secret@a.example/module/", Some("password")),
            ("rsync://@a.example/module/", Some("user name")),
            ("rsync://a.example/module/?a/", Some("query")),
            ("rsync://a.example/a b/", Some("percent-encoded")),
        ] {
            match (scannable(text, &["rsync://"]), why) {
                (Ok(_), None) => {}
                (Err(error), Some(why)) => assert!(error.contains(why), "{text}: {error}"),
                (other, _) => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_address_is_a_network_of_its_own() {
        let settings = mirror("name = 'a'\nhttp = 'http://a/'\nnetworks = ['192.0.2.7', '10.1.2.3/8', '2001:db8::/32']");
        let shown: Vec<String> = settings.networks.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.7/32", "10.0.0.0/8", "2001:db8::/32"]);
    }
}
