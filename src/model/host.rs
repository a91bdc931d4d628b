//! What is a host: in URLs that a configuration has, and in requests (RFC 9110 section 7.2), where it chooses the instance and stands in links to
//! ourselves. What could end a link, or be read as another host by somebody else, is none.

use std::net::Ipv6Addr;

/// Whether this is a host name or an address, an IPv6 one in brackets, with or without a port. Names are of letters, digits, `-`, `.` and
/// `_`: what else RFC 3986 would allow is in no name that resolves.
#[must_use]
pub fn is_host(text: &str) -> bool {
    let end = text.bytes().position(|byte| !IN_NAMES[usize::from(byte)]).unwrap_or(text.len());
    match text.split_at(end) {
        ("", address) => address
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
            .is_some_and(|(address, port)| address.parse::<Ipv6Addr>().is_ok() && is_port(port)),
        (name, port) => name.len() <= MAX_NAME_BYTES && is_port(port),
    }
}

/// Nothing, or a colon with a port; RFC 3986 section 3.2.3 lets the port be empty.
fn is_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        None => text.is_empty(),
        Some("") => true,
        Some(port) => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0),
    }
}

/// The longest name of the DNS as text, with the dot at its end.
const MAX_NAME_BYTES: usize = 254;

const IN_NAMES: [bool; 256] = {
    let (mut is_in, mut byte) = ([false; 256], 0);
    while byte < is_in.len() {
        is_in[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'.' | b'_');
        byte += 1;
    }
    is_in
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        let long = "a".repeat(MAX_NAME_BYTES);
        for host in ["a", "A.example", "a.example.", "a_b:80", "a:", "127.0.0.1:65535", "[::1]", "[2001:db8::1]:1", &long] {
            assert!(is_host(host), "{host}");
        }
        let longer = "a".repeat(MAX_NAME_BYTES + 1);
        for text in [
            "",
            ":80",
            "[]",
            "[::1",
            "[::1]x",
            "[::1]:x",
            "[::g]",
            "[::1%eth0]",
            "::1",
            "u@a",
            "a/b",
            "a b",
            "a\"b",
            "a>b",
            "a,b",
            "a%41",
            "a:0",
            "a:65536",
            "a:+80",
            "a:80:80",
            "\u{fc}",
            "a\r\nb",
            "a\0",
            &longer,
        ] {
            assert!(!is_host(text), "{text:?}");
        }
    }
}
