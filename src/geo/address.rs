//! Which address to look up: the IPv4 address inside a translated IPv6 one, and none where no database could know a place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address to look up, or why there is none.
///
/// # Errors
/// What kind of address it is, if it is one that belongs to nobody in particular.
pub(super) fn public(address: IpAddr) -> Result<IpAddr, &'static str> {
    let address = untranslated(address);
    let special = match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    };
    special.map_or(Ok(address), Err)
}

/// The IPv4 address that an IPv6 address carries: IPv4-mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056), Teredo (RFC 4380).
fn untranslated(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else { return address.to_canonical() };
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => v4(high, low),
        [0x2001, 0, .., high, low] => v4(!high, !low),
        _ => address,
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        [0, ..] => Some("\"this network\" (RFC 1122)"),
        [127, ..] => Some("loopback (RFC 1122)"),
        _ if address.is_private() => Some("private network (RFC 1918)"),
        [100, second, ..] if second & 0xc0 == 64 => Some("shared behind a provider's NAT (RFC 6598)"),
        _ if address.is_link_local() => Some("link-local (RFC 3927)"),
        [224..=239, ..] => Some("multicast (RFC 1112)"),
        [240..=255, ..] => Some("reserved (RFC 1112)"),
        _ => None,
    }
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    match address {
        Ipv6Addr::UNSPECIFIED => Some("unspecified (RFC 4291)"),
        Ipv6Addr::LOCALHOST => Some("loopback (RFC 4291)"),
        _ if address.is_unique_local() => Some("private network (RFC 4193)"),
        _ if address.is_unicast_link_local() => Some("link-local (RFC 4291)"),
        _ if address.is_multicast() => Some("multicast (RFC 4291)"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translated_addresses_count_as_the_ipv4_address_inside() {
        let cases = [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("64:ff9b::192.0.2.1", "192.0.2.1"),
            ("2002:c000:0201::1", "192.0.2.1"),
            ("2002:c000:0201:ffff:1:2:3:4", "192.0.2.1"),
            ("2001:0:4136:e378:8000:63bf:3fff:fdfe", "192.0.2.1"),
            ("2001:1::1", "2001:1::1"),
            ("64:ff9b:0:1::192.0.2.1", "64:ff9b:0:1::c000:201"),
            ("2001:db8::1", "2001:db8::1"),
        ];
        for (address, expected) in cases {
            let looked_up = public(address.parse().expect("an address"));
            assert_eq!(looked_up, Ok(expected.parse().expect("an address")), "{address}");
        }
    }

    #[test]
    fn addresses_of_nobody_in_particular_have_no_place() {
        let nobody =
            "0.0.0.0 127.0.0.1 127.255.255.255 10.1.2.3 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 100.127.255.255
            169.254.1.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 :: ::1 fd00::1 fc00::1 fe80::1 ff02::1
            ::ffff:127.0.0.1 64:ff9b::10.0.0.1 2002:0a00:0001::1";
        for address in nobody.split_whitespace() {
            assert!(public(address.parse().expect("an address")).is_err(), "{address}");
        }
        for address in
            "1.1.1.1 9.255.255.255 172.32.0.1 100.128.0.1 192.169.0.1 223.255.255.255 2a00:1450::1".split_whitespace()
        {
            assert!(public(address.parse().expect("an address")).is_ok(), "{address}");
        }
    }
}
