//! The databases in use: asked for places without waiting, and exchanged when their files are replaced.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::database::Database;
use super::file::{self, Identity};
use super::{Credit, Error, IpVersions, Role, Settings, Source, address, builtin};
use crate::model::Place;

/// Tells where addresses are. Look-ups wait for nothing; [`Locator::refresh`] exchanges databases beneath them.
pub struct Locator {
    active: ArcSwap<Active>,
    slots: Mutex<Vec<Slot>>,
}

impl Locator {
    /// Opens the configured databases. One that can't be used is a problem, not an error: the built-in one serves
    /// until the file is there.
    ///
    /// # Errors
    /// [`Error::BuiltIn`], if the program is damaged.
    pub fn open(settings: &Settings) -> Result<(Self, Vec<Problem>), Error> {
        let configured = [
            // For IPv6 addresses, of which it has records first of all.
            (Key::LocationIpv6, &settings.location_ipv6),
            (Key::Location, &settings.location),
            (Key::Asn, &settings.asn),
        ];
        let mut slots: Vec<Slot> =
            configured.into_iter().filter_map(|(key, path)| Some(Slot::new(key, path.clone()?))).collect();
        for slot in &mut slots {
            slot.refresh();
        }
        let problems = slots.iter().filter_map(Slot::problem).collect();
        Ok((Self { active: ArcSwap::from_pointee(Active::new(&slots)?), slots: Mutex::new(slots) }, problems))
    }

    /// Where an address is, as far as the databases know. Allocates nothing, waits for nothing.
    #[must_use]
    pub fn locate(&self, address: IpAddr) -> Place {
        address::public(address).map_or_else(|_| Place::default(), |address| self.active.load().place(address))
    }

    /// Everything that is known about an address, and from where, for a person to read.
    #[must_use]
    pub fn look_up(&self, address: IpAddr) -> Finding {
        let looked_up = address::public(address);
        let mut records = Vec::new();
        if let Ok(address) = looked_up {
            let active = self.active.load();
            for (role, databases) in [(Role::Location, &active.location), (Role::Asn, &active.asn)] {
                let found = databases.for_address(address).iter().find_map(|database| {
                    let (network, record) = database.record(address)?;
                    Some(RecordFound { role, source: database.source.clone(), network, record })
                });
                records.extend(found);
            }
        }
        let place = self.locate(address);
        Finding { address, looked_up: looked_up.ok(), special: looked_up.err(), place, records }
    }

    /// Looks whether configured files were replaced, mended or broken, and exchanges the databases that were. A new one
    /// that can't be used is told, and the old one stays in use. Reads files: not for a thread that others wait for.
    pub fn refresh(&self) -> Vec<Change> {
        let mut slots = self.lock();
        let changes: Vec<Change> = slots.iter_mut().filter_map(Slot::refresh).collect();
        if changes.iter().any(|change| matches!(change, Change::Replaced { .. }))
            && let Ok(active) = Active::new(&slots)
        {
            self.active.store(Arc::new(active));
        }
        changes
    }

    /// What is wrong with configured files at present.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        self.lock().iter().filter_map(Slot::problem).collect()
    }

    /// The databases in use and those that were to be.
    #[must_use]
    pub fn describe(&self) -> Vec<DatabaseInfo> {
        let slots = self.lock();
        let active = self.active.load();
        let mut all: Vec<DatabaseInfo> = slots.iter().map(Slot::describe).collect();
        for (role, databases) in [(Role::Location, &active.location), (Role::Asn, &active.asn)] {
            let built_in = databases.all().find(|database| database.source == Source::BuiltIn);
            all.extend(built_in.map(|database| DatabaseInfo::new(role, database)));
        }
        all
    }

    /// Nothing that panics is done with the lock held; if it were, the slots would still be in order.
    fn lock(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.describe().iter().map(|info| &info.source)).finish()
    }
}

/// The databases to ask, in order.
struct Active {
    location: Chain,
    asn: Chain,
    /// Whether a database of AS numbers is configured; if not, a location database's own word comes before the built-in one.
    asn_is_configured: bool,
}

impl Active {
    fn new(slots: &[Slot]) -> Result<Self, Error> {
        let asn_is_configured = slots.iter().any(|slot| slot.key == Key::Asn && slot.database.is_some());
        Ok(Self { location: Chain::new(Role::Location, slots)?, asn: Chain::new(Role::Asn, slots)?, asn_is_configured })
    }

    fn place(&self, address: IpAddr) -> Place {
        let mut place = self.location.find(address, |place| place.country.is_some()).unwrap_or_default();
        if place.asn.is_none() || self.asn_is_configured {
            let found = self.asn.find(address, |place| place.asn.is_some());
            place.asn = found.and_then(|found| found.asn).or(place.asn);
        }
        place
    }
}

/// The databases for one role: the configured ones, and the built-in one for the IP versions that none of them knows.
struct Chain {
    ipv4: Vec<Arc<Database>>,
    ipv6: Vec<Arc<Database>>,
}

impl Chain {
    fn new(role: Role, slots: &[Slot]) -> Result<Self, Error> {
        let databases = || slots.iter().filter(|slot| slot.key.role() == role).filter_map(|slot| slot.database.clone());
        let mut ipv4: Vec<_> = databases().filter(|database| database.ip_versions().ipv4).collect();
        let mut ipv6: Vec<_> = databases().filter(|database| database.ip_versions().ipv6).collect();
        // `location-ipv6` comes first for IPv6, last for IPv4.
        ipv4.reverse();
        for chain in [&mut ipv4, &mut ipv6] {
            if chain.is_empty() {
                chain.push(builtin::database(role)?);
            }
        }
        Ok(Self { ipv4, ipv6 })
    }

    fn for_address(&self, address: IpAddr) -> &[Arc<Database>] {
        if address.is_ipv4() { &self.ipv4 } else { &self.ipv6 }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Database>> {
        self.ipv4.iter().chain(&self.ipv6)
    }

    /// The first answer that suffices, else the first answer.
    fn find(&self, address: IpAddr, suffices: impl Fn(&Place) -> bool) -> Option<Place> {
        let mut first = None;
        for found in self.for_address(address).iter().filter_map(|database| database.look(address)) {
            if suffices(&found) {
                return Some(found);
            }
            first = first.or(Some(found));
        }
        first
    }
}

/// The key of the configuration that names a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Location,
    LocationIpv6,
    Asn,
}

impl Key {
    const fn role(self) -> Role {
        match self {
            Self::Location | Self::LocationIpv6 => Role::Location,
            Self::Asn => Role::Asn,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Location => "geoip.location",
            Self::LocationIpv6 => "geoip.location-ipv6",
            Self::Asn => "geoip.asn",
        }
    }
}

/// A configured file and the database that came from it last.
struct Slot {
    key: Key,
    path: PathBuf,
    /// What the file was when it was last tried; `None` to try again in any case.
    tried: Option<Identity>,
    database: Option<Arc<Database>>,
    problem: Option<String>,
}

impl Slot {
    const fn new(key: Key, path: PathBuf) -> Self {
        Self { key, path, tried: None, database: None, problem: None }
    }

    /// Opens the file if it isn't the one that was tried last. Tells each change once.
    fn refresh(&mut self) -> Option<Change> {
        let identity = file::identify(&self.path);
        if let (Ok(now), Some(tried)) = (&identity, &self.tried)
            && now == tried
        {
            return None;
        }
        match identity.and_then(|identity| self.load(identity)) {
            Ok(database) => {
                self.problem = None;
                let built = database.built();
                self.database = Some(database);
                Some(Change::Replaced { key: self.key.as_str(), path: self.path.clone(), built })
            }
            Err(error) => {
                if error.is_passing() {
                    self.tried = None;
                }
                let reason = error.chain();
                let is_news = self.problem.replace(reason) != self.problem;
                is_news.then(|| self.problem().map(Change::Refused)).flatten()
            }
        }
    }

    fn load(&mut self, identity: Identity) -> Result<Arc<Database>, Error> {
        self.tried = Some(identity);
        let opened = file::read(&self.path).and_then(|(bytes, read)| {
            self.tried = Some(read);
            Database::open(bytes, Source::File(self.path.clone()), self.key.role())
        });
        opened.map(Arc::new)
    }

    fn problem(&self) -> Option<Problem> {
        let reason = self.problem.clone()?;
        Some(Problem { key: self.key.as_str(), path: self.path.clone(), reason, is_old_kept: self.database.is_some() })
    }

    fn describe(&self) -> DatabaseInfo {
        let known = self.database.as_ref().map(|database| DatabaseInfo::new(self.key.role(), database));
        let mut info = known.unwrap_or_else(|| DatabaseInfo::missing(self.key.role(), &self.path));
        info.problem = self.problem.clone().or(info.problem);
        info
    }
}

/// Why a configured database is not in use, or not the file that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key of the configuration: `geoip.location`.
    pub key: &'static str,
    /// The configured path.
    pub path: PathBuf,
    /// What is wrong with the file.
    pub reason: String,
    /// Whether the database that was read from the file before stays in use; else the built-in one serves.
    pub is_old_kept: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instead = if self.is_old_kept { "the one read before stays in use" } else { "the built-in database is used" };
        write!(f, "{}: {}; {instead}", self.key, self.reason)
    }
}

/// What [`Locator::refresh`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A database is now in use that was not before.
    Replaced {
        /// The key of the configuration: `geoip.location`.
        key: &'static str,
        /// The configured path.
        path: PathBuf,
        /// When it was made.
        built: Option<Timestamp>,
    },
    /// A file became unusable.
    Refused(Problem),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replaced { key, path, built } => {
                write!(f, "{key}: {} is now in use", path.display())?;
                built.map_or(Ok(()), |built| write!(f, ", made {}", built.strftime("%Y-%m-%d")))
            }
            Self::Refused(problem) => problem.fmt(f),
        }
    }
}

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
    fn new(role: Role, database: &Database) -> Self {
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

    fn missing(role: Role, path: &Path) -> Self {
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
