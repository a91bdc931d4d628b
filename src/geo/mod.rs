//! Where an address is: GeoIP databases, built in or configured, exchanged while they are in use.
//!
//! Any database in MaxMind's format with countries, coordinates or AS numbers does, in the layouts of MaxMind, DB-IP,
//! ip-location-db and IPinfo. Where no usable file is configured, the built-in databases serve.

mod address;
mod builtin;
mod database;
mod file;
mod locator;
mod mapped;
mod record;
mod report;
mod slot;
mod table;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use locator::Locator;
pub use report::{DatabaseInfo, Finding, RecordFound};
pub use slot::{Change, Problem};

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

/// What a database is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Countries and coordinates.
    Location,
    /// The numbers of autonomous systems.
    Asn,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Location => "location",
            Self::Asn => "asn",
        })
    }
}

/// Where a database comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// It is part of the program.
    BuiltIn,
    /// A configured file.
    File(PathBuf),
}

impl Source {
    /// The file, if it is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::BuiltIn => None,
            Self::File(path) => Some(path),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Addresses of which version a database knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct IpVersions {
    /// IPv4.
    pub ipv4: bool,
    /// IPv6.
    pub ipv6: bool,
}

/// What a database's licence asks to be shown, as a link, on pages with results from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Credit {
    /// The words.
    pub text: &'static str,
    /// Where they lead.
    pub url: &'static str,
}

/// Why a database can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be opened or read.
    #[error("can't read {}", path.display())]
    Open {
        /// The configured path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is too large to be one.
    #[error("{} is larger than {limit} bytes, too large for a GeoIP database", path.display())]
    TooLarge {
        /// The configured path.
        path: PathBuf,
        /// The largest size that is read.
        limit: u64,
    },
    /// It changed while it was read.
    #[error("{} is being written at this moment; put a new database beside it and rename it into its place", path.display())]
    Changing {
        /// The configured path.
        path: PathBuf,
    },
    /// It is not in MaxMind's format, or not whole.
    #[error("{of} is no GeoIP database (mmdb), or not all of one")]
    NoDatabase {
        /// Which one.
        of: Source,
        /// What the reader found.
        source: maxminddb::MaxMindDbError,
    },
    /// A part of it can't be read.
    #[error("the GeoIP database {of} is damaged")]
    Damaged {
        /// Which one.
        of: Source,
        /// What the reader found.
        source: maxminddb::MaxMindDbError,
    },
    /// It holds something else.
    #[error("the GeoIP database {of} {}", match role {
        Role::Location => "has neither countries nor coordinates, so it can't be geoip.location",
        Role::Asn => "has no AS numbers, so it can't be geoip.asn",
    })]
    Lacks {
        /// Which one.
        of: Source,
        /// What it was to be used for.
        role: Role,
    },
    /// A built-in database can't be used: the program is damaged.
    #[error("the built-in {role} database can't be used: {reason}")]
    BuiltIn {
        /// Which one.
        role: Role,
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    /// Whether the next try may go better although the file stays the same.
    const fn is_passing(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::Changing { .. })
    }
}
