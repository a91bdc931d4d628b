//! Mirrors: servers that carry some of the public tree below a base URL.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use super::country::{Continent, Country};
use super::host::is_host;
use super::path::TreePath;
use super::place::Point;
use super::way::Scanning;

/// The name of a mirror: 1 to 64 letters, digits, `-`, `_` and `.`. It stands in headers, metrics, logs and the store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MirrorName(Arc<str>);

impl MirrorName {
    /// Takes a name.
    ///
    /// # Errors
    /// When it is empty, too long, or has other characters.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if (1..=64).contains(&text.len()) && text.bytes().all(good) {
            Ok(Self(text.into()))
        } else {
            Err(Error::Name(text.to_owned()))
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MirrorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for MirrorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl serde::Serialize for MirrorName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// How clients are sent to a mirror.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Cleartext.
    Http,
    /// Over TLS.
    Https,
}

/// The URL below which a mirror carries the public tree: absolute, with a slash at the end, without query or fragment,
/// and in ASCII, so that it can stand in a header as it is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    text: Arc<str>,
    scheme: Scheme,
}

impl BaseUrl {
    /// Takes a URL of the scheme that the key promises.
    ///
    /// # Errors
    /// When it is no such URL; the text says what is wrong with it.
    pub fn parse(text: &str, scheme: Scheme) -> Result<Self, Error> {
        let wrong = |why| Error::Url { url: text.to_owned(), why };
        let start = match scheme {
            Scheme::Http => "http://",
            Scheme::Https => "https://",
        };
        let Some(rest) = text.strip_prefix(start) else {
            return Err(wrong(if scheme == Scheme::Http {
                "it does not start with http://"
            } else {
                "it does not start with https://"
            }));
        };
        let Some((authority, _)) = rest.split_once('/') else {
            return Err(wrong("it does not end with a slash"));
        };
        if !text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'))
        {
            return Err(wrong("it has characters that must be percent-encoded"));
        }
        if text.contains(['?', '#']) {
            return Err(wrong("it has a query or a fragment"));
        }
        if authority.is_empty() || authority.contains('@') {
            return Err(wrong("it has no host name, or a user name before it"));
        }
        if !is_host(authority) || text.parse::<http::Uri>().is_err() {
            return Err(wrong("it is no URL, or its host or port can't be"));
        }
        if !text.ends_with('/') {
            return Err(wrong("it does not end with a slash"));
        }
        Ok(Self { text: text.into(), scheme })
    }

    /// The URL, with its slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host, with the port where it has one.
    #[must_use]
    pub fn authority(&self) -> &str {
        let rest = self.text.split_once("://").map_or("", |(_, rest)| rest);
        rest.split_once('/').map_or(rest, |(authority, _)| authority)
    }

    /// Appends the URL of a file on this mirror to `out`.
    pub fn url_into(&self, path: &TreePath<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(self.text.as_bytes());
        path.encode_into(out);
    }

    /// The URL of a file on this mirror.
    #[must_use]
    pub fn url(&self, path: &TreePath<'_>) -> String {
        format!("{}{}", self.text, path.encoded())
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// Whom a mirror serves at most: clients of its own network, AS, country or continent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Only {
    /// Its `networks`.
    Network,
    /// Its autonomous system.
    As,
    /// Its country (and `also-countries`).
    Country,
    /// Its continent.
    Continent,
}

/// A mirror as the configuration has it, completed from GeoIP.
#[derive(Clone, PartialEq, Debug)]
pub struct Mirror {
    /// What it is called.
    pub name: MirrorName,
    /// Where clients are sent that may come in the clear.
    pub http: Option<BaseUrl>,
    /// Where clients are sent over TLS.
    pub https: Option<BaseUrl>,
    /// Where it can be scanned over rsync: `rsync://host/module/path/`.
    pub rsync: Option<String>,
    /// Where it can be scanned over FTP.
    pub ftp: Option<String>,
    /// How it is scanned.
    pub scanning: Scanning,
    /// Its country.
    pub country: Option<Country>,
    /// Its continent.
    pub continent: Option<Continent>,
    /// Its coordinates; without them it is taken to be at its country's main point.
    pub point: Option<Point>,
    /// Its autonomous system.
    pub asn: Option<u32>,
    /// Client networks that it serves before all others.
    pub networks: Vec<IpNet>,
    /// Its share of the requests within a class of nearness, relative to the others'. 0: only where no other can.
    pub score: u32,
    /// Whom it serves at most.
    pub only: Option<Only>,
    /// Countries that it serves like its own when they have no better mirror.
    pub also_countries: Vec<Country>,
    /// Countries that it does not serve.
    pub exclude_countries: Vec<Country>,
    /// The largest file that it serves, in bytes.
    pub max_file_size: Option<u64>,
    /// Whether it is used at all. A disabled mirror is neither scanned nor probed.
    pub enabled: bool,
    /// Who runs it, for people.
    pub operator: Option<String>,
    /// How it is asked.
    pub asking: Asking,
}

/// How a mirror is asked what it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Asking {
    /// How many questions a second it is asked at most; `None`: as many as others.
    pub requests_per_second: Option<u32>,
    /// Whether it may send clients on to other hosts.
    pub may_redirect: bool,
}

impl Mirror {
    /// A mirror of which nothing is said but its name: it has no URL yet, takes part like any other, and serves whomever it can.
    #[must_use]
    pub fn new(name: MirrorName) -> Self {
        Self {
            name,
            http: None,
            https: None,
            rsync: None,
            ftp: None,
            scanning: Scanning::default(),
            country: None,
            continent: None,
            point: None,
            asn: None,
            networks: Vec::new(),
            score: Self::USUAL_SCORE,
            only: None,
            also_countries: Vec::new(),
            exclude_countries: Vec::new(),
            max_file_size: None,
            enabled: true,
            operator: None,
            asking: Asking::default(),
        }
    }

    /// The score of a mirror of which the configuration says no other.
    pub const USUAL_SCORE: u32 = 100;

    /// Whether it has a base URL for requests that came so: those over TLS are sent nowhere else.
    #[must_use]
    pub const fn serves(&self, requested: Scheme) -> bool {
        match requested {
            Scheme::Https => self.https.is_some(),
            Scheme::Http => true,
        }
    }
}

/// Whether a mirror works right now, as far as probes tell.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Not probed yet; used.
    #[default]
    Unknown,
    /// It answers as it should.
    Up,
    /// It failed of late, but not often enough to be given up; used.
    Failing,
    /// It failed too often in a row, and is not used until it answered several times in a row.
    Down,
}

impl Health {
    /// Whether clients are sent there.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        !matches!(self, Self::Down)
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Failing => "failing",
            Self::Down => "down",
        }
    }
}

/// Why a mirror's settings make no mirror.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A bad name.
    #[error("{0:?} is no mirror name; use 1 to 64 letters, digits, '-', '_' and '.'")]
    Name(String),
    /// A bad URL.
    #[error("{url:?} can't be used: {why}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_can_stand_in_a_header() {
        for (url, why) in [
            ("http://mirror.example/sugar", "it does not end with a slash"),
            ("http://mirror.example", "it does not end with a slash"),
            ("https://mirror.example/", "it does not start with http://"),
            ("ftp://mirror.example/", "it does not start with http://"),
            ("http:///sugar/", "it has no host name, or a user name before it"),
            ("http://user@mirror.example/", "it has no host name, or a user name before it"),
            ("http://mirror.example/a b/", "it has characters that must be percent-encoded"),
            ("http://mirror.example/\r\nX: y/", "it has characters that must be percent-encoded"),
            ("http://mirror.example/?a=/", "it has a query or a fragment"),
        ] {
            assert_eq!(BaseUrl::parse(url, Scheme::Http), Err(Error::Url { url: url.to_owned(), why }), "{url}");
        }
        let base = BaseUrl::parse("https://[2001:db8::1]:8443/pub/", Scheme::Https).expect("valid");
        assert_eq!(base.authority(), "[2001:db8::1]:8443");
        assert_eq!(base.url(&TreePath::parse(&b"a b"[..]).expect("valid")), "https://[2001:db8::1]:8443/pub/a%20b");
    }

    #[test]
    fn a_mirror_name_can_stand_anywhere() {
        assert!(MirrorName::parse("ftp.nluug-nl_2").is_ok());
        for name in ["", "a b", "a;b", "ü", &"a".repeat(65)] {
            assert!(MirrorName::parse(name).is_err(), "{name}");
        }
    }
}
