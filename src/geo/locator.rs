//! The databases in use: asked for places without waiting, and exchanged when their files are replaced.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;

use super::database::Database;
use super::report::{DatabaseInfo, Finding, RecordFound};
use super::slot::{Change, Key, Problem, Slot};
use super::table::{Found, Table};
use super::{Credit, Error, Role, Settings, Source, address, builtin};
use crate::model::Place;

/// Tells where addresses are. Look-ups wait for nothing; [`Locator::refresh`] exchanges databases beneath them.
pub struct Locator {
    active: ArcSwap<Active>,
    /// Locked while files are read, so for whoever refreshes only.
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

    /// Has the memory on its way that [`Self::locate`] will read for this address.
    pub fn prefetch(&self, address: IpAddr) {
        if let (Ok(IpAddr::V4(address)), Some(Some(table))) = (address::public(address), self.active.load().table.get()) {
            table.prefetch(address);
        }
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
        // Nothing that panics is done with the lock held; if it were, the slots would still be in order.
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let changes: Vec<Change> = slots.iter_mut().filter_map(Slot::refresh).collect();
        if !changes.is_empty()
            && let Ok(active) = Active::new(&slots)
        {
            self.active.store(Arc::new(active));
        }
        changes
    }

    /// Makes look-ups of IPv4 addresses in the databases in use as fast as they get. Takes some seconds for five million networks, and
    /// is done once for the same databases; look-ups go on meanwhile.
    pub fn prepare(&self) {
        let active = self.active.load_full();
        active.table.get_or_init(|| active.table());
    }

    /// What the licence of a database in use wants pages to say. Waits for nothing.
    #[must_use]
    pub fn credit(&self) -> Option<Credit> {
        self.active.load().credit
    }

    /// The databases in use and those that were to be. Waits for nothing.
    #[must_use]
    pub fn describe(&self) -> Vec<DatabaseInfo> {
        let active = self.active.load();
        let mut all: Vec<DatabaseInfo> = active.slots.iter().map(Slot::describe).collect();
        for (role, databases) in [(Role::Location, &active.location), (Role::Asn, &active.asn)] {
            let built_in = databases.all().find(|database| database.source == Source::BuiltIn);
            all.extend(built_in.map(|database| DatabaseInfo::new(role, database)));
        }
        all
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
    /// The configured files, as they were found.
    slots: Vec<Slot>,
    /// What the licence of one of them wants to be said.
    credit: Option<Credit>,
    /// What all of them know about IPv4 addresses; `None` where it can't be made. Made when it is wanted: most commands ask once or
    /// never.
    table: OnceLock<Option<Table>>,
}

impl Active {
    fn new(slots: &[Slot]) -> Result<Self, Error> {
        Ok(Self {
            location: Chain::new(Role::Location, slots)?,
            asn: Chain::new(Role::Asn, slots)?,
            asn_is_configured: slots.iter().any(|slot| slot.key == Key::Asn && slot.database.is_some()),
            slots: slots.to_vec(),
            credit: slots.iter().find_map(|slot| slot.database.as_ref()?.credit()),
            table: OnceLock::new(),
        })
    }

    fn place(&self, address: IpAddr) -> Place {
        if let (IpAddr::V4(address), Some(Some(table))) = (address, self.table.get()) {
            match table.find(address) {
                Found::Place(place) => return place,
                Found::Nothing => return Place::default(),
                // Ask them, so that it is counted whose records are damaged.
                Found::Damaged => {}
            }
        }
        let location = self.location.for_address(address).iter().map(|database| database.look(address));
        self.combine(location, || self.asn.for_address(address).iter().map(|database| database.look(address)))
    }

    /// What is known about an address, of what the databases of both roles know about it.
    fn combine<A: Iterator<Item = Option<Place>>>(
        &self,
        location: impl Iterator<Item = Option<Place>>,
        asn: impl FnOnce() -> A,
    ) -> Place {
        let mut place = first(location, |place| place.country.is_some()).unwrap_or_default();
        if place.asn.is_none() || self.asn_is_configured {
            place.asn = first(asn(), |place| place.asn.is_some()).and_then(|found| found.asn).or(place.asn);
        }
        place
    }

    fn table(&self) -> Option<Table> {
        let databases = self.location.ipv4.iter().chain(&self.asn.ipv4);
        let tables = databases.map(|database| database.table()).collect::<Option<Vec<_>>>()?;
        Table::join(&tables, |found| {
            let (location, asn) = found.split_at(self.location.ipv4.len());
            match found {
                _ if found.contains(&Found::Damaged) => Found::Damaged,
                _ if found.iter().all(|found| *found == Found::Nothing) => Found::Nothing,
                _ => Found::Place(
                    self.combine(location.iter().map(|found| found.place()), || asn.iter().map(|found| found.place())),
                ),
            }
        })
    }
}

/// The first answer that suffices, else the first answer.
fn first(answers: impl Iterator<Item = Option<Place>>, suffices: impl Fn(&Place) -> bool) -> Option<Place> {
    let mut first = None;
    for found in answers.flatten() {
        if suffices(&found) {
            return Some(found);
        }
        first = first.or(Some(found));
    }
    first
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
}
