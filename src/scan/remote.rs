//! Where a mirror is asked that is no web server: the parts of an rsync or FTP URL, and the addresses behind its host.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use percent_encoding::percent_decode_str;

use super::{Settings, reach};

/// An `rsync://`, `ftp://` or `ftps://` URL in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    /// Who asks, where the URL says so; decoded.
    pub(super) user: Option<String>,
    /// A name, or an address without brackets.
    pub(super) host: String,
    /// The port, where the URL names one.
    pub(super) port: Option<u16>,
    /// What is below the host, decoded, without a slash at either end.
    pub(super) path: Vec<u8>,
}

/// Why a remote can't be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreachable {
    /// The URL is none.
    #[error("{0:?} is no URL")]
    NoUrl(String),
    /// The name is not known.
    #[error("can't find {0}: {1}")]
    Unknown(String, std::io::Error),
    /// It leads into our own network.
    #[error("{0} has only private addresses (scan.allow-private-addresses is off)")]
    Private(String),
}

/// Whether a name may lead into our own network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Addresses {
    /// It may.
    Any,
    /// It may not.
    Public,
}

impl Addresses {
    /// What the settings allow.
    pub(super) const fn by(settings: &Settings) -> Self {
        if settings.allow_private_addresses { Self::Any } else { Self::Public }
    }
}

/// Addresses of one host that are tried: IPv6 and IPv4, and a second of each.
const MAX_ADDRESSES: usize = 4;

impl Remote {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// When it has no scheme or host, or a port that is none.
    pub(super) fn parse(url: &str) -> Result<Self, Unreachable> {
        let wrong = || Unreachable::NoUrl(url.to_owned());
        let (_, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, place) = authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
        let (host, port) = match place.strip_prefix('[') {
            Some(inner) => {
                let (address, after) = inner.split_once(']').ok_or_else(wrong)?;
                (address, after.strip_prefix(':'))
            }
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(str::parse).transpose().map_err(|_| wrong())?;
        if host.is_empty() {
            return Err(wrong());
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned);
        let path: Vec<u8> = percent_decode_str(path.trim_matches('/')).collect();
        if path.iter().any(u8::is_ascii_control) {
            return Err(wrong());
        }
        Ok(Self { user: user.map(decoded).transpose().map_err(|_| wrong())?, host: host.to_owned(), port, path })
    }

    /// The addresses to connect to, in the resolver's order. An address that stands in the URL itself, and `localhost`, were meant
    /// by who wrote it.
    ///
    /// # Errors
    /// When there are none.
    pub(super) async fn addresses(&self, usual_port: u16, which: Addresses) -> Result<Vec<SocketAddr>, Unreachable> {
        let port = self.port.unwrap_or(usual_port);
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let found = tokio::net::lookup_host((self.host.as_str(), port)).await;
        let found = found.map_err(|error| Unreachable::Unknown(self.host.clone(), error))?;
        let may_be_ours = which == Addresses::Any || reach::is_localhost(&self.host);
        let good = found.filter(|address| may_be_ours || reach::is_public(address.ip()));
        let addresses: Vec<SocketAddr> = good.take(MAX_ADDRESSES).collect();
        if addresses.is_empty() { Err(Unreachable::Private(self.host.clone())) } else { Ok(addresses) }
    }
}

impl fmt::Display for Remote {
    /// The host, with the port where the URL names one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (url, user, host, port, path) in [
            ("rsync://a.example/module/sub/", None, "a.example", None, "module/sub"),
            ("rsync://me%40home@a.example:8873/m/", Some("me@home"), "a.example", Some(8873), "m"),
            ("ftp://[2001:db8::1]:2121/pub%20lic/", None, "2001:db8::1", Some(2121), "pub lic"),
            ("ftps://[::1]/", None, "::1", None, ""),
        ] {
            let expected =
                Remote { user: user.map(str::to_owned), host: host.to_owned(), port, path: path.as_bytes().to_vec() };
            assert_eq!(Remote::parse(url).expect("a URL"), expected, "{url}");
        }
        for url in
            ["a.example/x", "rsync:///m/", "rsync://[::1/m/", "rsync://a:b/m/", "rsync://a:99999/m/", "ftp://a/%0d%0aDELE/"]
        {
            assert!(Remote::parse(url).is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_of_our_own_network_is_not_asked() {
        let remote = |url: &str| Remote::parse(url).expect("a URL");
        assert_eq!(remote("ftp://10.0.0.1/").addresses(21, Addresses::Public).await.expect("written down").len(), 1);
        let local = remote("ftp://localhost:2121/").addresses(21, Addresses::Public).await.expect("meant");
        assert!(local.iter().all(|address| address.ip().is_loopback() && address.port() == 2121), "{local:?}");
        let error = remote("rsync://no-such-name.invalid/m/").addresses(873, Addresses::Any).await.expect_err("no such name");
        assert!(matches!(error, Unreachable::Unknown(..)), "{error}");
    }
}
