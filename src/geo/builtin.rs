//! The databases that are part of the program: countries and AS numbers, both for IPv4 and IPv6, in the public domain
//! (`geoip/README.md`). Unpacked once, on first use, and shared by all instances.

use std::io::Read as _;
use std::sync::{Arc, OnceLock};

use super::database::Database;
use super::mapped::Bytes;
use super::{Error, Role, Source};

static COUNTRY: &[u8] = include_bytes!("../../geoip/country.mmdb.zst");
static ASN: &[u8] = include_bytes!("../../geoip/asn.mmdb.zst");

/// The most that a built-in database may unpack to; they are 8 and 11 MB now and grow slowly.
const UNPACKED_LIMIT: u64 = 64 << 20;

/// The built-in database for a role.
///
/// # Errors
/// The program itself is damaged.
pub(super) fn database(role: Role) -> Result<Arc<Database>, Error> {
    static OPENED: [OnceLock<Result<Arc<Database>, String>>; 2] = [const { OnceLock::new() }; 2];
    let (opened, packed) = match role {
        Role::Location => (&OPENED[0], COUNTRY),
        Role::Asn => (&OPENED[1], ASN),
    };
    let open = || match unpack(packed) {
        Ok(bytes) => Database::open(bytes, Source::BuiltIn, role).map(Arc::new).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    opened.get_or_init(open).clone().map_err(|reason| Error::BuiltIn { role, reason })
}

fn unpack(packed: &[u8]) -> std::io::Result<Bytes> {
    let mut bytes = Vec::new();
    zstd::stream::read::Decoder::new(packed)?.take(UNPACKED_LIMIT).read_to_end(&mut bytes)?;
    bytes.shrink_to_fit();
    Ok(Bytes::Owned(bytes))
}
