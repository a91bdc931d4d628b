//! The network that a client belongs to: what its choice of mirror hangs on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A client's /24 (IPv4) or /64 (IPv6). All clients of one network get the same order of mirrors.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClientNetwork(IpAddr);

impl ClientNetwork {
    /// The network of an address. IPv4-mapped addresses (RFC 4291 section 2.5.5.2) count as IPv4.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & 0xffff_ff00)),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !0xffff_ffff_ffff_ffff)),
        })
    }

    /// The network as a number, to be mixed with a mirror's in a hash.
    #[must_use]
    pub const fn key(self) -> u64 {
        match self.0 {
            IpAddr::V4(v4) => v4.to_bits() as u64,
            // The upper half of an IPv6 address; never below 2^32 for what is routed.
            IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_network() {
        let network = |text: &str| ClientNetwork::of(text.parse().expect("valid"));
        assert_eq!(network("192.0.2.1"), network("192.0.2.254"));
        assert_ne!(network("192.0.2.1"), network("192.0.3.1"));
        assert_eq!(network("::ffff:192.0.2.9"), network("192.0.2.1"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:0:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
    }
}
