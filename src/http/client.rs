//! Whose request it is: the address that decides about mirrors, and the scheme that the client came by.
//!
//! The peer of the connection, or, where the peer is a trusted proxy, what that proxy says. A proxy's word is the part
//! of the headers that it added itself, at the right end; what stands left of it came from the client.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;
use http::header::{self, HeaderName};
use ipnet::IpNet;
use serde::Deserialize;

use crate::model::Scheme;

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Client {
    /// Where the client is; never an IPv4-mapped address.
    pub address: IpAddr,
    /// How the client reached the site: through a proxy that ends TLS it is https, although we see cleartext.
    pub scheme: Scheme,
}

/// `server.forwarded-by`: which headers of trusted proxies are read.
///
/// A proxy that writes the one usually passes on what a client sent in the other, so both are never mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedBy {
    /// `X-Forwarded-For` and `X-Forwarded-Proto` where there is one of them, else `Forwarded`.
    #[default]
    Auto,
    /// `X-Forwarded-For` and `X-Forwarded-Proto` only.
    XForwardedFor,
    /// `Forwarded` only (RFC 7239).
    Forwarded,
}

/// Whose word is believed, and in which headers.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Networks of proxies.
    pub proxies: Vec<IpNet>,
    /// The headers.
    pub by: ForwardedBy,
}

static FORWARDED: HeaderName = header::FORWARDED;
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How many hops are looked at, from the right. More proxies in a row than this is nobody's network.
const MAX_HOPS: usize = 32;

impl Trust {
    /// Whether `address` is a trusted proxy's.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(&address))
    }

    /// Who asks, when the connection came from `peer` by `scheme`.
    #[must_use]
    pub fn client(&self, peer: IpAddr, scheme: Scheme, headers: &(impl Lines + ?Sized)) -> Client {
        let peer = peer.to_canonical();
        let direct = Client { address: peer, scheme };
        if !self.trusts(peer) {
            return direct;
        }
        if self.by == ForwardedBy::Forwarded {
            return self.by_forwarded(direct, headers);
        }
        // Asked for once: to look for a name in headers costs as much as to read an address.
        let mut hops = headers.lines_backwards(&X_FORWARDED_FOR).peekable();
        let mut schemes = headers.lines_backwards(&X_FORWARDED_PROTO).peekable();
        if self.by == ForwardedBy::Auto && hops.peek().is_none() && schemes.peek().is_none() {
            return self.by_forwarded(direct, headers);
        }
        self.by_x_forwarded_for(direct, hops, schemes)
    }

    /// The right-most hop over all lines that no trusted proxy is; the right-most scheme, which is the peer's own word.
    fn by_x_forwarded_for<'h>(
        &self,
        direct: Client,
        hops: impl Iterator<Item = &'h [u8]>,
        schemes: impl Iterator<Item = &'h [u8]>,
    ) -> Client {
        let hops = elements(hops).map(|element| (node(element), None));
        let (address, _) = self.outermost(direct.address, hops);
        let scheme = elements(schemes).next().and_then(scheme);
        Client { address, scheme: scheme.unwrap_or(direct.scheme) }
    }

    /// As above; the scheme is that of the element that names the client, which is the word of the proxy it reached.
    fn by_forwarded(&self, direct: Client, headers: &(impl Lines + ?Sized)) -> Client {
        let hops = elements(headers.lines_backwards(&FORWARDED)).map(|element| {
            let pair = |name| parameter(element, name);
            (pair("for").and_then(node), pair("proto").and_then(scheme))
        });
        let (address, scheme) = self.outermost(direct.address, hops);
        Client { address, scheme: scheme.unwrap_or(direct.scheme) }
    }

    /// Walks from the peer outwards as long as hops are trusted. A hop that can't be read (`unknown`, a made-up name,
    /// garbage) ends the walk: what stands left of it is nobody's word, and the last known hop counts as the client.
    fn outermost(
        &self,
        peer: IpAddr,
        hops: impl Iterator<Item = (Option<IpAddr>, Option<Scheme>)>,
    ) -> (IpAddr, Option<Scheme>) {
        let (mut address, mut scheme) = (peer, None);
        for (hop, by) in hops.take(MAX_HOPS) {
            scheme = by.or(scheme);
            let Some(hop) = hop else { break };
            address = hop;
            if !self.trusts(hop) {
                break;
            }
        }
        (address, scheme)
    }
}

/// The lines of a request's head, however they are kept.
pub trait Lines {
    /// The values of all lines of this name, the last one first.
    fn lines_backwards(&self, name: &'static HeaderName) -> impl Iterator<Item = &[u8]>;
}

impl Lines for HeaderMap {
    fn lines_backwards(&self, name: &'static HeaderName) -> impl Iterator<Item = &[u8]> {
        self.get_all(name).iter().rev().map(http::HeaderValue::as_bytes)
    }
}

/// As they came, each with its name.
impl Lines for [httparse::Header<'_>] {
    fn lines_backwards(&self, name: &'static HeaderName) -> impl Iterator<Item = &[u8]> {
        let name = name.as_str();
        self.iter().rev().filter(|line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value)
    }
}

/// The elements of a list header over all its lines, from the right.
fn elements<'a>(lines: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a str> {
    lines.flat_map(split_from_right)
}

/// Splits at commas outside quotes, from the right: a quote that a client left open can't swallow what a proxy added.
/// What is no text comes out as an element that nothing can read.
fn split_from_right(line: &[u8]) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let mut quoted = false;
        let comma = line.iter().rposition(|&byte| {
            quoted ^= byte == b'"';
            byte == b',' && !quoted
        });
        rest = comma.map(|at| &line[..at]);
        let element = comma.map_or(line, |at| &line[at + 1..]);
        Some(std::str::from_utf8(element).unwrap_or("?").trim())
    })
    .filter(|element| !element.is_empty())
}

/// The value of a parameter of one element of `Forwarded`, without its quotes; names are compared without case.
fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    element.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
        key.trim().eq_ignore_ascii_case(name).then_some(value)
    })
}

/// An address, with or without port and brackets (RFC 7239 section 6, and what proxies write besides).
fn node(text: &str) -> Option<IpAddr> {
    let text = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
    let bracketed = |text: &str| text.strip_prefix('[')?.split_once(']')?.0.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let address = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(|| bracketed(text))
        .or_else(|| text.split_once(':').and_then(|(host, _obfuscated_port)| host.parse::<IpAddr>().ok()))?;
    let address = address.to_canonical();
    (!address.is_unspecified()).then_some(address)
}

fn scheme(text: &str) -> Option<Scheme> {
    match text {
        _ if text.eq_ignore_ascii_case("https") => Some(Scheme::Https),
        _ if text.eq_ignore_ascii_case("http") => Some(Scheme::Http),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn trust(by: ForwardedBy) -> Trust {
        let networks = ["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"];
        Trust { proxies: networks.iter().map(|n| n.parse().expect("a network")).collect(), by }
    }

    fn client(by: ForwardedBy, peer: &str, lines: &[(&str, &str)]) -> (String, Scheme) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        let client = trust(by).client(peer.parse().expect("an address"), Scheme::Http, &headers);
        (client.address.to_string(), client.scheme)
    }

    fn address(peer: &str, lines: &[(&str, &str)]) -> String {
        client(ForwardedBy::Auto, peer, lines).0
    }

    const XFF: &str = "X-Forwarded-For";

    #[test]
    fn a_stranger_is_believed_nothing() {
        let lines = [(XFF, "192.0.2.1"), ("Forwarded", "for=192.0.2.1;proto=https"), ("X-Forwarded-Proto", "https")];
        assert_eq!(client(ForwardedBy::Auto, "198.51.100.7", &lines), ("198.51.100.7".to_owned(), Scheme::Http));
        assert_eq!(address("::ffff:198.51.100.7", &lines), "198.51.100.7");
    }

    #[test]
    fn the_right_most_untrusted_hop_is_the_client() {
        for (lines, expected) in [
            (&[(XFF, "192.0.2.1")][..], "192.0.2.1"),
            (&[(XFF, "203.0.113.66, 192.0.2.1")], "192.0.2.1"),
            (&[(XFF, "203.0.113.66, 192.0.2.1, 10.0.0.5")], "192.0.2.1"),
            // haproxy adds a second line after the client's.
            (&[(XFF, "203.0.113.66"), (XFF, "192.0.2.1")], "192.0.2.1"),
            (&[(XFF, "192.0.2.1,10.0.0.5"), (XFF, "10.0.0.6")], "192.0.2.1"),
            (&[(XFF, "10.0.0.1, 10.0.0.2")], "10.0.0.1"),
            (&[(XFF, "192.0.2.1:4711")], "192.0.2.1"),
            (&[(XFF, "[2001:db8::1]:4711")], "2001:db8::1"),
            (&[(XFF, "[2001:db8::1]")], "2001:db8::1"),
            (&[(XFF, "2001:db8::1")], "2001:db8::1"),
            (&[(XFF, "::ffff:192.0.2.1")], "192.0.2.1"),
            (&[(XFF, "::ffff:10.0.0.1")], "10.0.0.1"),
            (&[(XFF, " , 192.0.2.1 ,, ")], "192.0.2.1"),
            (&[(XFF, "\"192.0.2.1\"")], "192.0.2.1"),
        ] {
            assert_eq!(address("127.0.0.1", lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_stands_left_of_an_unreadable_hop_is_nobodys_word() {
        for lines in [
            &[(XFF, "")][..],
            &[(XFF, "unknown")],
            &[(XFF, "192.0.2.1, unknown")],
            &[(XFF, "192.0.2.1, _hidden")],
            &[(XFF, "192.0.2.1, \u{fc}")],
            &[(XFF, "192.0.2.1, 999.1.1.1")],
            &[(XFF, "192.0.2.1, 0.0.0.0")],
            &[(XFF, "192.0.2.1"), (XFF, "::1::2")],
            &[("Forwarded", "for=192.0.2.1, for=unknown")],
            &[("Forwarded", "for=192.0.2.1, proto=https")],
        ] {
            assert_eq!(address("127.0.0.9", lines), "127.0.0.9", "{lines:?}");
        }
        assert_eq!(address("127.0.0.9", &[(XFF, "192.0.2.1, unknown, 10.0.0.7")]), "10.0.0.7");
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_writes_it() {
        for (line, expected) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=203.0.113.66, for=198.51.100.17", "198.51.100.17"),
            ("for=192.0.2.43, for=\"[fd00::17]\"", "192.0.2.43"),
            ("for=\"192.0.2.1:_port\"", "192.0.2.1"),
            ("by=\"a,b\";for=192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(address("127.0.0.1", &[("Forwarded", line)]), expected, "{line}");
        }
    }

    #[test]
    fn the_scheme_is_the_word_of_the_proxy_that_the_client_reached() {
        let scheme = |lines: &[(&str, &str)]| client(ForwardedBy::Auto, "127.0.0.1", lines).1;
        assert_eq!(scheme(&[("X-Forwarded-Proto", "https")]), Scheme::Https);
        assert_eq!(scheme(&[("X-Forwarded-Proto", "HTTPS")]), Scheme::Https);
        assert_eq!(scheme(&[("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")]), Scheme::Http);
        assert_eq!(scheme(&[("X-Forwarded-Proto", "gopher")]), Scheme::Http);
        assert_eq!(scheme(&[("Forwarded", "for=192.0.2.1;proto=https")]), Scheme::Https);
        assert_eq!(scheme(&[("Forwarded", "for=192.0.2.1;proto=https, for=10.0.0.1;proto=http")]), Scheme::Https);
        assert_eq!(scheme(&[("Forwarded", "for=1.2.3.4;proto=https, for=192.0.2.1;proto=http")]), Scheme::Http);
    }

    #[test]
    fn the_two_kinds_of_headers_are_never_mixed() {
        let lines = [(XFF, "192.0.2.1"), ("Forwarded", "for=203.0.113.9;proto=https")];
        assert_eq!(client(ForwardedBy::Auto, "127.0.0.1", &lines), ("192.0.2.1".to_owned(), Scheme::Http));
        assert_eq!(client(ForwardedBy::XForwardedFor, "127.0.0.1", &lines), ("192.0.2.1".to_owned(), Scheme::Http));
        assert_eq!(client(ForwardedBy::Forwarded, "127.0.0.1", &lines), ("203.0.113.9".to_owned(), Scheme::Https));
    }

    proptest::proptest! {
        #[test]
        fn a_client_can_put_nothing_right_of_what_the_proxy_adds(theirs in "[ -~]{0,60}") {
            for (name, ours) in [("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=192.0.2.1")] {
                let lines = [(name, theirs.as_str()), (name, ours)];
                proptest::prop_assert_eq!(address("127.0.0.1", &lines), "192.0.2.1");
                let one_line = format!("{theirs}, {ours}");
                proptest::prop_assert_eq!(address("127.0.0.1", &[(name, &one_line)]), "192.0.2.1");
            }
        }
    }
}
