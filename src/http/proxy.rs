//! The PROXY protocol header, version 1 and 2, with which a TCP proxy starts a connection to say whose it is.
//!
//! Format: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.

use std::net::IpAddr;

use ppp::{PartialResult, v1, v2};

use crate::model::Scheme;

/// What a header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Header {
    /// The connection is this client's.
    For(IpAddr, Scheme),
    /// The proxy speaks for itself (a health check), or does not know: the peer's own address counts.
    Own,
}

/// The longest header that is read. Version 1 has at most 107 bytes; version 2 up to 64 KiB, of which addresses and the
/// usual extras (TLS, host name, unique id) take a few hundred.
pub const MAX_HEADER_BYTES: usize = 2048;

/// Why some bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Neither version.
    #[error("no PROXY header")]
    Malformed,
    /// Longer than [`MAX_HEADER_BYTES`].
    #[error("PROXY header too long")]
    TooLong,
}

/// Reads a header from the start of a connection: what it says, and how many bytes it takes. `None`: more bytes are needed.
///
/// # Errors
/// When no further byte can make it a header.
pub fn parse(start: &[u8]) -> Result<Option<(Header, usize)>, Error> {
    let seen = &start[..start.len().min(MAX_HEADER_BYTES)];
    let parsed = if could_be_version_2(seen) { parse_v2(seen)? } else { parse_v1(seen)? };
    match parsed {
        None if start.len() >= MAX_HEADER_BYTES => Err(Error::TooLong),
        parsed => Ok(parsed),
    }
}

fn could_be_version_2(seen: &[u8]) -> bool {
    let signature = v2::PROTOCOL_PREFIX;
    let common = seen.len().min(signature.len());
    seen[..common] == signature[..common]
}

fn parse_v2(seen: &[u8]) -> Result<Option<(Header, usize)>, Error> {
    let header = match v2::Header::try_from(seen) {
        Ok(header) => header,
        Err(error) if error.is_incomplete() => return Ok(None),
        Err(_) => return Err(Error::Malformed),
    };
    let source = match header.addresses {
        _ if header.command == v2::Command::Local => None,
        v2::Addresses::IPv4(pair) => Some(IpAddr::V4(pair.source_address)),
        v2::Addresses::IPv6(pair) => Some(IpAddr::V6(pair.source_address).to_canonical()),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
    };
    let said = source.map_or(Header::Own, |address| Header::For(address, scheme(&header)));
    Ok(Some((said, header.len())))
}

/// Https when the proxy ended TLS for this client (`PP2_TYPE_SSL` with `PP2_CLIENT_SSL`).
fn scheme(header: &v2::Header<'_>) -> Scheme {
    let over_tls = header
        .tlvs()
        .map_while(Result::ok)
        .any(|extra| extra.kind == v2::Type::SSL as u8 && extra.value.first().is_some_and(|client| client & 1 != 0));
    if over_tls { Scheme::Https } else { Scheme::Http }
}

fn parse_v1(seen: &[u8]) -> Result<Option<(Header, usize)>, Error> {
    const START: &[u8] = b"PROXY ";
    let common = seen.len().min(START.len());
    if seen[..common] != START[..common] {
        return Err(Error::Malformed);
    }
    let Some(end) = seen.iter().position(|&byte| byte == b'\n') else {
        return if seen.len() >= MAX_V1_BYTES { Err(Error::Malformed) } else { Ok(None) };
    };
    let header = v1::Header::try_from(&seen[..=end]).map_err(|_| Error::Malformed)?;
    let said = match header.addresses {
        v1::Addresses::Tcp4(pair) => Header::For(IpAddr::V4(pair.source_address), Scheme::Http),
        v1::Addresses::Tcp6(pair) => Header::For(IpAddr::V6(pair.source_address).to_canonical(), Scheme::Http),
        v1::Addresses::Unknown => Header::Own,
    };
    Ok(Some((said, header.header.len())))
}

/// The longest line of version 1, by its specification.
const MAX_V1_BYTES: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    fn for_client(address: &str, scheme: Scheme) -> Header {
        Header::For(address.parse().expect("an address"), scheme)
    }

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = v2::PROTOCOL_PREFIX.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend(u16::try_from(payload.len()).expect("short").to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 127, 0, 0, 1, 0x12, 0x34, 0, 80];

    #[test]
    fn version_1_is_read() {
        for (line, header) in [
            ("PROXY TCP4 192.0.2.1 127.0.0.1 4711 80\r\n", for_client("192.0.2.1", Scheme::Http)),
            ("PROXY TCP6 2001:db8::1 ::1 4711 80\r\n", for_client("2001:db8::1", Scheme::Http)),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::1 4711 80\r\n", for_client("192.0.2.1", Scheme::Http)),
            ("PROXY UNKNOWN\r\n", Header::Own),
            ("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", Header::Own),
        ] {
            let whole = format!("{line}GET / HTTP/1.1\r\n");
            assert_eq!(parse(whole.as_bytes()), Ok(Some((header, line.len()))), "{line}");
        }
    }

    #[test]
    fn version_2_is_read() {
        let mut v6 = [0; 36];
        v6[15] = 1;
        let tls = [&V4[..], &[0x20, 0, 5, 1, 0, 0, 0, 0]].concat();
        let no_tls = [&V4[..], &[0x20, 0, 5, 0, 0, 0, 0, 0]].concat();
        for (bytes, header) in [
            (v2(1, 0x11, &V4), for_client("192.0.2.1", Scheme::Http)),
            (v2(1, 0x21, &v6), for_client("::1", Scheme::Http)),
            (v2(1, 0x11, &tls), for_client("192.0.2.1", Scheme::Https)),
            (v2(1, 0x11, &no_tls), for_client("192.0.2.1", Scheme::Http)),
            (v2(0, 0x00, &[]), Header::Own),
            (v2(0, 0x11, &V4), Header::Own),
            (v2(1, 0x00, &[]), Header::Own),
            (v2(1, 0x31, &[7; 216]), Header::Own),
        ] {
            let length = bytes.len();
            let whole = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(parse(&whole), Ok(Some((header, length))), "{bytes:?}");
        }
    }

    #[test]
    fn a_header_may_come_in_pieces() {
        for whole in [b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 80\r\n".to_vec(), v2(1, 0x11, &V4)] {
            for end in 0..whole.len() {
                assert_eq!(parse(&whole[..end]), Ok(None), "{end} of {whole:?}");
            }
            assert!(matches!(parse(&whole), Ok(Some(_))));
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for bytes in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1\r\n".to_vec(),
            b"PROXY TCP4 999.0.2.1 127.0.0.1 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\n".to_vec(),
            b"PROXY TCP4 \xff\xfe 127.0.0.1 1 2\r\n".to_vec(),
            format!("PROXY {}", "x".repeat(200)).into_bytes(),
            v2(1, 0x11, &V4[..8]),
            v2(7, 0x11, &V4),
            v2(1, 0x71, &V4),
        ] {
            assert_eq!(parse(&bytes), Err(Error::Malformed), "{bytes:?}");
        }
        let long = v2(1, 0x11, &[&V4[..], &[0; 5000]].concat());
        assert_eq!(parse(&long), Err(Error::TooLong));
        assert_eq!(parse(&long[..100]), Ok(None));
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_a_header_is_never_longer_than_what_came(
            start in 0..3_usize,
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
        ) {
            let start: &[u8] = [b"PROXY TCP4 ", v2::PROTOCOL_PREFIX, b""][start];
            let whole = [start, &bytes].concat();
            if let Ok(Some((_, length))) = parse(&whole) {
                proptest::prop_assert!(length <= whole.len());
            }
        }
    }
}
