//! Where the questions for one mirror may go: its own URLs, and no address of the site's own network.
//!
//! A mirror is never a way into the network that the scanner stands in: what its name resolves to and where it redirects
//! to is checked before a byte is sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

use crate::model::Mirror;

/// The URLs of one mirror: what is asked lies below one of them, redirects included.
#[derive(Debug, Clone)]
pub struct Reach {
    bases: Vec<Url>,
    elsewhere: Elsewhere,
}

/// Whether redirects may lead to other hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Elsewhere {
    /// They may not.
    Nowhere,
    /// To hosts of the public Internet (`may-redirect`).
    Public,
    /// To any (`may-redirect`, and `scan.allow-private-addresses`).
    Anywhere,
}

/// Why a URL is not asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another host, port or scheme, or not below the mirror's path.
    #[error("it leads away from the mirror, to {0}")]
    Away(String),
    /// An address that is none of the public Internet's.
    #[error("{0} is a private address (scan.allow-private-addresses is off)")]
    Private(String),
}

impl Reach {
    /// What a mirror's configuration allows.
    #[must_use]
    pub fn of(mirror: &Mirror, allow_private_addresses: bool) -> Self {
        let bases = [&mirror.https, &mirror.http].into_iter().flatten();
        let elsewhere = match (mirror.asking.may_redirect, allow_private_addresses) {
            (false, _) => Elsewhere::Nowhere,
            (true, false) => Elsewhere::Public,
            (true, true) => Elsewhere::Anywhere,
        };
        Self { bases: bases.filter_map(|base| Url::parse(base.as_str()).ok()).collect(), elsewhere }
    }

    /// Checks where a redirect leads.
    ///
    /// # Errors
    /// When the target is not below one of the mirror's own URLs, and the mirror may not redirect to where it is.
    pub fn check(&self, target: &Url) -> Result<(), Refusal> {
        let is_web = matches!(target.scheme(), "http" | "https") && target.username().is_empty() && target.password().is_none();
        match self.elsewhere {
            _ if self.bases.iter().any(|base| is_below(base, target)) => Ok(()),
            Elsewhere::Public if is_web && is_own_network(target) => Err(Refusal::Private(shown(target))),
            Elsewhere::Public | Elsewhere::Anywhere if is_web => Ok(()),
            _ => Err(Refusal::Away(shown(target))),
        }
    }
}

/// Whether `target` lies on the server of `base`, and below its path. From `http` to `https` on the usual ports is the same server.
fn is_below(base: &Url, target: &Url) -> bool {
    let usual = |url: &Url| url.port().is_none();
    let same_door = base.scheme() == target.scheme() && base.port_or_known_default() == target.port_or_known_default();
    let upgraded = base.scheme() == "http" && target.scheme() == "https" && usual(base) && usual(target);
    base.host() == target.host()
        && (same_door || upgraded)
        && target.username().is_empty()
        && target.password().is_none()
        && target.path().starts_with(base.path())
}

/// Whether a URL names an address of our own network, or this machine. What other names stand for is checked when they are looked up.
fn is_own_network(url: &Url) -> bool {
    // The parser writes all forms of an IPv4 address in the usual one, and IPv6 addresses in brackets.
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().map_or_else(|_| is_localhost(host), |address| !is_public(address))
}

/// Whether a name means this machine by its form alone (RFC 6761 section 6.3).
pub(super) fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether an address is one of the public Internet, as far as the IANA registries of special-purpose addresses
/// (RFC 6890) tell; multicast and cloud machines' metadata services are not.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    // Azure's metadata service has a public address that leads nowhere else.
    const METADATA: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
    let octets = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_multicast()
        || address.is_documentation()
        || octets[0] == 0
        || octets[0] >= 240
        || (octets[0] == 100 && octets[1] & 0b1100_0000 == 64)
        || (octets[0] == 192 && octets[1] == 0 && octets[2] == 0)
        || (octets[0] == 192 && octets[1] == 88 && octets[2] == 99)
        || (octets[0] == 198 && octets[1] & 0b1111_1110 == 18);
    !special && address != METADATA
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    match segments {
        // NAT64 (RFC 6052), 6to4 (RFC 3056): what counts is the IPv4 address within.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => is_public_v4(embedded(high, low)),
        // Teredo (RFC 4380): the IPv4 addresses of a server, and of the host behind it with all bits turned over.
        [0x2001, 0, high, low, _, _, mapped_high, mapped_low] => {
            is_public_v4(embedded(high, low)) && is_public_v4(embedded(!mapped_high, !mapped_low))
        }
        // Documentation (RFC 3849, RFC 9637), benchmarking (RFC 5180), hashes instead of addresses (ORCHID, RFC 4843 and 7343), and
        // local-use NAT64 (RFC 8215).
        [0x2001, 0xdb8, ..]
        | [0x3fff, 0..=0xfff, ..]
        | [0x2001, 2, 0, ..]
        | [0x2001, 0x10..=0x2f, ..]
        | [0x64, 0xff9b, 1, ..] => false,
        // Global unicast is 2000::/3; everything else is local, multicast or unassigned.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// A URL for people: bounded, because a server chose it.
fn shown(url: &Url) -> String {
    /// Enough for a host and the start of a path.
    const MAX_SHOWN: usize = 120;
    let text = url.as_str();
    match text.char_indices().nth(MAX_SHOWN) {
        None => text.to_owned(),
        Some((cut, _)) => format!("{}...", &text[..cut]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("valid")
    }

    #[test]
    fn a_redirect_stays_on_the_mirror_and_below_its_path() {
        let elsewhere = Elsewhere::Nowhere;
        let reach = Reach { elsewhere, bases: vec![url("http://m.example/sugar/"), url("https://tls.m.example:8443/s/")] };
        for (target, allowed) in [
            ("http://m.example/sugar/a", true),
            ("http://m.example/sugar/", true),
            ("https://m.example/sugar/a", true),
            ("http://m.example:80/sugar/a", true),
            ("https://tls.m.example:8443/s/a", true),
            ("http://m.example/sugar", false),
            ("http://m.example/sugarcane/a", false),
            ("http://m.example/sugar/../other/", false),
            ("http://m.example:22/sugar/a", false),
            ("https://m.example:8443/sugar/a", false),
            ("http://tls.m.example:8443/s/a", false),
            ("http://other.example/sugar/a", false),
            ("http://user@m.example/sugar/a", false),
            ("ftp://m.example/sugar/a", false),
        ] {
            assert_eq!(reach.check(&url(target)).is_ok(), allowed, "{target}");
        }
    }

    #[test]
    fn a_mirror_that_may_redirect_leads_to_the_public_internet_and_not_into_our_network() {
        let reach = |elsewhere| Reach { elsewhere, bases: vec![url("http://m.example/sugar/")] };
        for (target, allowed) in [
            ("https://cdn.example/x", true),
            ("http://m.example/elsewhere/a", true),
            ("http://8.8.8.8/a", true),
            ("http://10.0.0.1/a", false),
            ("http://[::1]/a", false),
            ("http://localhost:8081/metrics", false),
            ("http://a.localhost./", false),
            ("ftp://cdn.example/x", false),
            ("https://user@cdn.example/x", false),
        ] {
            assert_eq!(reach(Elsewhere::Public).check(&url(target)).is_ok(), allowed, "{target}");
        }
        assert!(reach(Elsewhere::Anywhere).check(&url("http://127.0.0.1/a")).is_ok(), "if the administrator says so");
        assert!(reach(Elsewhere::Nowhere).check(&url("https://cdn.example/x")).is_err());
    }

    #[test]
    fn addresses_that_are_not_the_internets_are_told_apart() {
        for (address, public) in [
            ("8.8.8.8", true),
            ("2001:4860:4860::8888", true),
            ("64:ff9b::808:808", true),
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("172.32.0.1", true),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("168.63.129.16", false),
            ("100.64.0.1", false),
            ("100.100.100.200", false),
            ("100.128.0.1", true),
            ("198.18.0.1", false),
            ("192.0.0.1", false),
            ("0.0.0.0", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("fe80::1", false),
            ("fd00:ec2::254", false),
            ("ff02::1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b:1::1", false),
            ("2002:7f00:1::", false),
            ("2002:808:808::1", true),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", false), // RFC 4380's example: behind it is 192.0.2.45
            ("2001:0:4136:e378:8000:63bf:f7f7:f7f7", true),
            ("2001:0:4136:e378:8000:63bf:80ff:fffe", false),
            ("2001:0:a00:1:8000:63bf:f7f7:f7f7", false),
            ("2001:2::1", false),
            ("2001:10::1", false),
            ("2001:2f:ffff::1", false),
            ("2001:30::1", true),
            ("2001:200::1", true),
            ("2001:db8::1", false),
            ("3fff:fff::1", false),
            ("3fff:1000::1", true),
            ("192.0.2.1", false),
            ("198.51.100.1", false),
            ("203.0.113.1", false),
            ("192.88.99.1", false),
        ] {
            assert_eq!(is_public(address.parse().expect("an address")), public, "{address}");
        }
    }
}
