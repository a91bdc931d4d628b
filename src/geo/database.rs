//! One open database: checked when it is opened, asked for places, described.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use ipnet::IpNet;
use jiff::Timestamp;
use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use serde_json::Value;

use super::mapped::Bytes;
use super::record::{Coordinates, Record};
use super::table::{Builder, Table};
use super::{Credit, Error, IpVersions, Role, Source};
use crate::model::Place;

/// An open database.
pub(super) struct Database {
    pub(super) source: Source,
    reader: Reader<Bytes>,
    found: Sample,
    coordinates: Coordinates,
    /// How many look-ups met a record that can't be read.
    damaged: AtomicU64,
}

impl Database {
    /// Opens it and reads a sample of its records, spread over all addresses.
    ///
    /// # Errors
    /// The bytes are no database, some of them are damaged, or it doesn't hold what the role needs.
    pub(super) fn open(bytes: Bytes, source: Source, role: Role) -> Result<Self, Error> {
        let reader = Reader::from_source(bytes).map_err(|error| Error::NoDatabase { of: source.clone(), source: error })?;
        let found = Sample::take(&reader).map_err(|error| Error::Damaged { of: source.clone(), source: error })?;
        let fits = match role {
            Role::Location => found.countries || found.points,
            Role::Asn => found.asns,
        };
        if !fits {
            return Err(Error::Lacks { of: source, role });
        }
        let coordinates = coordinates(&found, &reader.metadata().database_type);
        Ok(Self { source, reader, found, coordinates, damaged: AtomicU64::new(0) })
    }

    /// Its IPv4 part as a table; `None` where it can't be made. Takes a second for five million networks.
    pub(super) fn table(&self) -> Option<Table> {
        // A tree has as many leaves, but for one: if there are more, its branches meet again, and there could be billions.
        let most = self.reader.metadata().node_count as usize + 1;
        let mut builder = Builder::with_room(most);
        let networks = self.reader.within("0.0.0.0/0".parse().ok()?, WithinOptions::default()).ok()?;
        for (count, found) in networks.enumerate() {
            (count < most).then_some(())?;
            let found = found.ok()?;
            let network = found.network().ok()?;
            let IpNet::V4(network) = IpNet::new(network.ip(), network.prefix()).ok()? else { return None };
            let read = || Some(found.decode::<Record<'_>>().ok()??.place(self.coordinates));
            builder.add(network, found.offset()?, read).then_some(())?;
        }
        Some(builder.build())
    }

    /// What it knows about an address; `None` if nothing. A record that can't be read is counted, and nothing known.
    pub(super) fn look(&self, address: IpAddr) -> Option<Place> {
        if !self.is_for(address) {
            return None;
        }
        match self.reader.lookup(address).and_then(|found| found.decode::<Record<'_>>()) {
            Ok(record) => record.map(|record| record.place(self.coordinates)),
            Err(_) => {
                self.damaged.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// The network that the address is in and the whole record, as the database has it; `None` if it has none.
    pub(super) fn record(&self, address: IpAddr) -> Option<(Option<IpNet>, Value)> {
        let found = self.is_for(address).then(|| self.reader.lookup(address)).and_then(Result::ok)?;
        let record = found.decode::<Value>().ok().flatten()?;
        let network = found.network().ok().and_then(|network| IpNet::new(network.ip(), network.prefix()).ok());
        Some((network, record))
    }

    /// For which addresses it has records.
    pub(super) const fn ip_versions(&self) -> IpVersions {
        IpVersions { ipv4: self.found.ipv4, ipv6: self.found.ipv6 }
    }

    /// Whether it tells where in their country clients are.
    pub(super) fn has_coordinates(&self) -> bool {
        self.coordinates != Coordinates::Never
    }

    /// What it calls itself.
    pub(super) fn kind(&self) -> &str {
        &self.reader.metadata().database_type
    }

    /// When it was made.
    pub(super) fn built(&self) -> Option<Timestamp> {
        let seconds = i64::try_from(self.reader.metadata().build_epoch).ok()?;
        Timestamp::from_second(seconds).ok().filter(|_| seconds > 0)
    }

    /// How many look-ups met a record that can't be read.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// What its maker's licence asks to be said where its results are shown.
    pub(super) fn credit(&self) -> Option<Credit> {
        let metadata = self.reader.metadata();
        let words = metadata.description.values().chain([&metadata.database_type]);
        let words: Vec<String> = words.map(|word| word.to_lowercase().replace('-', "")).collect();
        CREDITS.iter().find(|(sign, _)| words.iter().any(|word| word.contains(sign))).map(|(_, credit)| *credit)
    }

    /// Asking an IPv4-only database for an IPv6 address would be an error.
    fn is_for(&self, address: IpAddr) -> bool {
        address.is_ipv4() || self.reader.metadata().ip_version == 6
    }
}

/// What makers ask for, by a part of the database's type or description (lower case, without hyphens).
const CREDITS: [(&str, Credit); 4] = [
    ("dbip", Credit { text: "IP Geolocation by DB-IP", url: "https://db-ip.com" }),
    ("geolite", Credit { text: "This product includes GeoLite Data created by MaxMind", url: "https://www.maxmind.com" }),
    ("ipinfo", Credit { text: "IP address data is powered by IPinfo", url: "https://ipinfo.io" }),
    ("ip2location", Credit { text: "This site uses IP2Location LITE data", url: "https://lite.ip2location.com" }),
];

/// When to believe coordinates: a database of countries can only have the middles of countries.
fn coordinates(found: &Sample, kind: &str) -> Coordinates {
    match found {
        Sample { points: false, .. } => Coordinates::Never,
        Sample { parts: true, .. } => Coordinates::WhereNamed,
        _ if kind.to_lowercase().contains("country") => Coordinates::Never,
        _ => Coordinates::WhereGiven,
    }
}

/// What a sample of a database's records has.
#[derive(Debug, Default)]
struct Sample {
    ipv4: bool,
    ipv6: bool,
    countries: bool,
    points: bool,
    /// Cities, or parts of countries.
    parts: bool,
    asns: bool,
}

/// How many networks of each block are read: enough to notice what a database has and whether a large part of it is
/// damaged, and few enough to open the largest in a fraction of a second.
const NETWORKS_OF_BLOCK: usize = 256;

impl Sample {
    /// Reads the first networks of each IPv4 /8 and of each /11 of the IPv6 addresses that are handed out (2000::/3).
    fn take(reader: &Reader<Bytes>) -> Result<Self, MaxMindDbError> {
        let mut sample = Self::default();
        let mut seen = HashSet::new();
        for block in 0..=u8::MAX {
            sample.ipv4 |= sample.read(reader, &mut seen, &format!("{block}.0.0.0/8"))?;
        }
        for block in (0..=u8::MAX).filter(|_| reader.metadata().ip_version == 6) {
            let start = 0x2000 + (u16::from(block) << 5);
            sample.ipv6 |= sample.read(reader, &mut seen, &format!("{start:x}::/11"))?;
        }
        Ok(sample)
    }

    /// Whether there was anything in the block.
    fn read(&mut self, reader: &Reader<Bytes>, seen: &mut HashSet<usize>, block: &str) -> Result<bool, MaxMindDbError> {
        let block = block.parse().map_err(MaxMindDbError::InvalidNetwork)?;
        let mut any = false;
        for found in reader.within(block, WithinOptions::default())?.take(NETWORKS_OF_BLOCK) {
            let found = found?;
            any = true;
            if !found.offset().is_some_and(|offset| seen.insert(offset)) {
                continue;
            }
            if let Some(record) = found.decode::<Record<'_>>()? {
                let place = record.place(Coordinates::WhereGiven);
                self.countries |= place.country.is_some();
                self.points |= record.has_point();
                self.parts |= record.names_a_part();
                self.asns |= place.asn.is_some();
            }
        }
        Ok(any)
    }
}
