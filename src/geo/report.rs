//! What there is to tell people and programs about databases and addresses.

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::database::Database;
use super::{Credit, IpVersions, Role, Source};
use crate::model::Place;

/// What there is to say about a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatabaseInfo {
    /// What it is used for.
    pub role: Role,
    /// Where it comes from.
    pub source: Source,
    /// What it calls itself: `GeoLite2-City`. Empty if it was never read.
    pub kind: String,
    /// When it was made, by its own word.
    pub built: Option<Timestamp>,
    /// Addresses of which version it knows.
    pub ip_versions: IpVersions,
    /// Whether it tells where in their country clients are.
    pub has_coordinates: bool,
    /// What its licence asks to be shown, as a link, on pages with results from it.
    pub credit: Option<Credit>,
    /// What is wrong with it, or with the file that is to take its place.
    pub problem: Option<String>,
}

impl DatabaseInfo {
    pub(super) fn new(role: Role, database: &Database) -> Self {
        let damaged = database.damaged();
        Self {
            role,
            source: database.source.clone(),
            kind: database.kind().to_owned(),
            built: database.built(),
            ip_versions: database.ip_versions(),
            has_coordinates: database.has_coordinates(),
            credit: database.credit(),
            problem: (damaged > 0).then(|| format!("damaged: {damaged} look-ups met records that can't be read")),
        }
    }

    pub(super) fn missing(role: Role, path: &Path) -> Self {
        Self {
            role,
            source: Source::File(path.into()),
            kind: String::new(),
            built: None,
            ip_versions: IpVersions { ipv4: false, ipv6: false },
            has_coordinates: false,
            credit: None,
            problem: None,
        }
    }
}

/// Everything that is known about an address.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The address that was asked for.
    pub address: IpAddr,
    /// The one that was looked up: the IPv4 address inside a translated one.
    pub looked_up: Option<IpAddr>,
    /// Why none was looked up: what kind of address it is.
    pub special: Option<&'static str>,
    /// What requests from there are answered by.
    pub place: Place,
    /// What the databases say.
    pub records: Vec<RecordFound>,
}

/// What one database says about an address.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordFound {
    /// What it is used for.
    pub role: Role,
    /// Which database.
    pub source: Source,
    /// The network that the record is for.
    pub network: Option<IpNet>,
    /// The record.
    pub record: Value,
}
