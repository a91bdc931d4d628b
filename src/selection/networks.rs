//! Which of the networks that mirrors name is the narrowest around an address?
//!
//! Networks are nested or apart, never half over each other: so the narrowest one that holds an address tells all that hold it,
//! and its number can stand for the address in a cache key.

use std::net::IpAddr;

use ipnet::IpNet;

/// All networks that any mirror names, for one binary search an address.
#[derive(Debug, Default)]
pub(super) struct Networks {
    networks: Vec<IpNet>,
    /// From each edge on, up to the next, this network is the narrowest. Sorted.
    edges: Vec<(Position, Option<u32>)>,
}

/// The number of a network in [`Networks`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct NetworkId(u32);

/// IPv4 before IPv6, then the address as a number.
type Position = (bool, u128);

impl Networks {
    pub(super) fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let mut networks: Vec<IpNet> = networks.into_iter().map(|network| canonical(&network)).collect();
        networks.sort_unstable_by_key(|network| (position(network.network()), network.prefix_len()));
        networks.dedup();
        networks.truncate(u32::MAX as usize);
        let mut edges = Vec::with_capacity(2 * networks.len());
        let mut open: Vec<u32> = Vec::new();
        for (id, network) in (0_u32..).zip(&networks) {
            while let Some(last) = open.pop_if(|last| !networks[*last as usize].contains(network)) {
                close(&mut edges, &networks[last as usize], open.last().copied());
            }
            edges.push((position(network.network()), Some(id)));
            open.push(id);
        }
        while let Some(last) = open.pop() {
            close(&mut edges, &networks[last as usize], open.last().copied());
        }
        Self { networks, edges }
    }

    /// The narrowest network around an address.
    pub(super) fn narrowest(&self, address: IpAddr) -> Option<NetworkId> {
        let position = position(address.to_canonical());
        // Several edges may lie at one place (a network that starts or ends where another does): the last one counts.
        let after = self.edges.partition_point(|(edge, _)| *edge <= position);
        self.edges[..after].last().and_then(|(_, id)| id.map(NetworkId))
    }

    pub(super) fn get(&self, id: NetworkId) -> Option<&IpNet> {
        self.networks.get(id.0 as usize)
    }
}

/// After the end of a network, the one around it is the narrowest again.
fn close(edges: &mut Vec<(Position, Option<u32>)>, network: &IpNet, around: Option<u32>) {
    let (is_v6, last) = position(network.broadcast());
    // The end of the whole address space has nothing behind it; for IPv4 the next number is no address, which does no harm.
    if let Some(next) = last.checked_add(1) {
        edges.push(((is_v6, next), around));
    }
}

fn position(address: IpAddr) -> Position {
    match address {
        IpAddr::V4(v4) => (false, u128::from(v4.to_bits())),
        IpAddr::V6(v6) => (true, v6.to_bits()),
    }
}

/// IPv4-mapped networks (`::ffff:192.0.2.0/120`) as IPv4, host bits off.
pub(super) fn canonical(network: &IpNet) -> IpNet {
    let mapped = match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => v6.addr().to_ipv4_mapped().map(|v4| (v4, v6.prefix_len() - 96)),
        _ => None,
    };
    mapped.and_then(|(v4, length)| ipnet::Ipv4Net::new(v4, length).ok()).map_or(*network, IpNet::V4).trunc()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        Networks::new(texts.iter().map(|text| text.parse().expect("a network")))
    }

    fn narrowest(networks: &Networks, address: &str) -> String {
        let id = networks.narrowest(address.parse().expect("an address"));
        id.and_then(|id| networks.get(id)).map_or_else(|| "none".to_owned(), ToString::to_string)
    }

    #[test]
    fn the_narrowest_network_is_found() {
        let all = networks(&[
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.255.0/24",
            "10.2.0.0/16",
            "2001:db8::/32",
            "::ffff:192.0.2.0/120",
            "10.1.0.0/16",
        ]);
        for (address, network) in [
            ("10.0.0.1", "10.0.0.0/8"),
            ("10.1.0.0", "10.1.0.0/16"),
            ("10.1.255.9", "10.1.255.0/24"),
            ("10.2.0.0", "10.2.0.0/16"),
            ("10.3.0.0", "10.0.0.0/8"),
            ("11.0.0.0", "none"),
            ("9.255.255.255", "none"),
            ("192.0.2.77", "192.0.2.0/24"),
            ("::ffff:10.1.2.3", "10.1.0.0/16"),
            ("2001:db8:ffff::1", "2001:db8::/32"),
            ("2001:db9::", "none"),
        ] {
            assert_eq!(narrowest(&all, address), network, "{address}");
        }
    }

    #[test]
    fn whole_address_spaces_are_networks_too() {
        let all = networks(&["0.0.0.0/0", "::/0", "255.255.255.255/32"]);
        assert_eq!(narrowest(&all, "192.0.2.1"), "0.0.0.0/0");
        assert_eq!(narrowest(&all, "255.255.255.255"), "255.255.255.255/32");
        assert_eq!(narrowest(&all, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "::/0");
        assert_eq!(narrowest(&networks(&["0.0.0.0/0"]), "2001:db8::1"), "none");
        assert_eq!(narrowest(&networks(&[]), "192.0.2.1"), "none");
    }
}
