//! Where an address is: GeoIP databases, built in or configured.

use std::path::PathBuf;

use serde::Deserialize;

/// `[geoip]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// A database with countries, and perhaps coordinates. None: the built-in one.
    pub location: Option<PathBuf>,
    /// A second one for the other IP version, where the first has only one.
    pub location_ipv6: Option<PathBuf>,
    /// A database of autonomous systems. None: the built-in one.
    pub asn: Option<PathBuf>,
}
