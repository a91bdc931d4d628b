//! The store on SQLite: one file, a write-ahead log, every commit synced to the disk.

mod abilities;
mod btree;
mod changes;
mod descriptions;
mod fault;
mod files;
mod holds;
mod leaves;
mod left;
mod listed;
mod load;
mod memory;
mod mirrors;
mod numbers;
mod open;
mod pages;
mod trails;
mod turn;
mod wrong;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use roaring::RoaringBitmap;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use self::changes::{Change, Touched};
use self::descriptions::Beside;
use self::fault::Fault;
use self::left::Log;
use self::open::Identity;
use self::turn::Turn;
use super::error::Error;
use super::outline::Outline;
use super::record::{
    Adjustment, Damage, Hashed, HealthChange, Hold, HoldEvent, Listed, Observation, Recorded, ScanMemory, ScanRecord,
    ScanSummary, Waiting,
};
use super::share::Gaps;
use super::store::{
    Bookmark, Changes, Contents, Descriptions, Lag, Leap, OpenBeside, Page, PlanId, Redated, Sequence, Sink, Store,
    StoredMirror, Swept, Which, Written,
};
use crate::clock;
use crate::model::{Checkup, Digests, FileRecord, MirrorName, TreePath, VersionNumber};

/// A store in an SQLite database.
#[derive(Debug)]
pub struct Sqlite {
    place: Place,
    connection: Connection,
    turn: Turn,
    /// How often a database was opened so far.
    opened: u32,
    /// While there is no room to have it open as usual: when it is next tried. Until then it can only be read.
    room_at: Option<Instant>,
}

/// How often it is tried whether a disk that was full has room again.
const NEXT_ROOM: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
enum Place {
    File { path: PathBuf, identity: Identity, log: Option<Log> },
    Memory,
}

impl Sqlite {
    /// Opens the database, and creates it or brings it to the newest schema where that is needed.
    ///
    /// # Errors
    /// When it can't be opened, is none of ours, is damaged, or was written by a newer redirector.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let (opened, room_at) = match open::file(path, open::Missing::Create) {
            Err(full @ Error::Full { .. }) => {
                let opened = open::without_room(path).map_err(|_| full)?;
                tracing::error!(path = %path.display(), "no space is left for the database: it is only read until there is");
                (opened, Some(clock::instant() + NEXT_ROOM))
            }
            opened => (opened?, None),
        };
        let (connection, identity) = opened;
        let place = Place::File { path: path.to_owned(), identity, log: Log::of(path) };
        Ok(Self { place, connection, turn: Turn::of(path), opened: 1, room_at })
    }

    /// A database in memory, which ends with the value.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn in_memory() -> Result<Self, Error> {
        Ok(Self { place: Place::Memory, connection: open::memory()?, turn: Turn::default(), opened: 1, room_at: None })
    }

    /// Looks whether `path` could be opened, without creating or changing anything.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn inspect(path: &Path) -> Result<Inspection, Error> {
        open::inspect(path)
    }

    /// Lets the database behave as on a disk that has room for so many pages of 4 KiB.
    #[cfg(test)]
    pub(super) fn fill_the_disk_after(&self, pages: u32) {
        self.connection.pragma_update(None, "max_page_count", pages).expect("is set");
    }

    fn path(&self) -> &Path {
        match &self.place {
            Place::File { path, .. } => path,
            Place::Memory => Path::new(":memory:"),
        }
    }

    /// Opens the file again if it was replaced: what is written to a deleted file is lost.
    fn stay_with_the_file(&mut self) -> Result<(), Error> {
        self.look_for_room()?;
        let Place::File { path, identity, log } = &mut self.place else { return Ok(()) };
        if Identity::of(path).is_some_and(|now| now == *identity) {
            return Ok(());
        }
        // Others that have the same open find out as well.
        let turn = self.turn.take();
        if let Some(left) = log.as_ref().filter(|log| log.is_left()) {
            drop(std::mem::replace(&mut self.connection, open::memory()?));
            *identity = Identity::NONE;
            if let Err(error) = left.put_aside() {
                tracing::warn!(%error, "the log of the database that was replaced stays beside the new one");
            }
        }
        drop(turn);
        let (connection, now) = open::file(path, open::Missing::Refuse)?;
        tracing::warn!(path = %path.display(), "the database was replaced by another file, which is used from now on");
        self.connection = connection;
        *identity = now;
        *log = Log::of(path);
        self.opened += 1;
        Ok(())
    }

    /// Opens the file as usual once there is room for that. What is known of it is read again then.
    fn look_for_room(&mut self) -> Result<(), Error> {
        let now = clock::instant();
        let Place::File { path, identity, log } = &mut self.place else { return Ok(()) };
        if self.room_at.is_none_or(|at| now < at) {
            return Ok(());
        }
        // Nobody else gets it while this one is open. Until there is another one, this is tried each time.
        self.connection = open::memory()?;
        match open::file(path, open::Missing::Refuse) {
            Ok(opened) => {
                (self.connection, *identity) = opened;
                (self.room_at, self.opened) = (None, self.opened + 1);
                tracing::info!(path = %path.display(), "there is room for the database again");
            }
            Err(_) => {
                (self.connection, *identity) = open::without_room(path)?;
                self.room_at = Some(now + NEXT_ROOM);
            }
        }
        *log = Log::of(path);
        Ok(())
    }

    /// Runs a transaction that only reads.
    fn read<T>(&mut self, work: impl FnOnce(&Transaction<'_>, u32) -> Result<T, Fault>) -> Result<T, Error> {
        self.stay_with_the_file()?;
        let opened = self.opened;
        let result = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Deferred)
            .map_err(Fault::from)
            .and_then(|transaction| work(&transaction, opened));
        result.map_err(|fault| fault.at(self.path()))
    }

    /// Runs a transaction that writes. It holds the database's one lock for writers from its beginning, so what it reads
    /// stays true until it commits.
    fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<(T, Option<Change>), Fault>,
    ) -> Result<Written<T>, Error> {
        self.stay_with_the_file()?;
        if let Some(full) = self.trouble() {
            return Err(full);
        }
        let opened = self.opened;
        let turn = self.turn.take();
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(Fault::from);
        drop(turn);
        let result = begun.and_then(|transaction| {
            let (value, change) = work(&transaction)?;
            let number = change.map(|change| changes::note(&transaction, &change)).transpose()?;
            transaction.commit()?;
            Ok(Written { value, sequence: number.map(|number| Sequence { opened, number }) })
        });
        result.map_err(|fault| fault.at(self.path()))
    }
}

impl Store for Sqlite {
    fn load(&mut self, files: Option<&mut dyn Sink>) -> Result<Contents, Error> {
        match files {
            None => self.read(contents),
            Some(sink) => load::beside(sink, |outbox| {
                self.read(|transaction, opened| {
                    load::files(transaction, outbox)?;
                    contents(transaction, opened)
                })
            }),
        }
    }

    fn changes(&mut self, after: Sequence) -> Result<Changes, Error> {
        self.read(|transaction, opened| changes::after(transaction, after, opened, Touched::read))
    }

    fn changed_files(&mut self, after: Sequence) -> Result<Changes, Error> {
        self.read(|transaction, opened| changes::after(transaction, after, opened, Touched::read_files))
    }

    fn bookmark(&mut self, at: Sequence) -> Result<Option<Bookmark>, Error> {
        self.read(|transaction, opened| if at.opened == opened { changes::bookmark(transaction, at.number) } else { Ok(None) })
    }

    fn since(&mut self, bookmark: Bookmark) -> Result<Option<Lag>, Error> {
        self.read(|transaction, opened| changes::since(transaction, bookmark, opened))
    }

    fn trouble(&self) -> Option<Error> {
        self.room_at.map(|_| Error::Full { path: self.path().to_owned() })
    }

    fn observe(&mut self, batch: &[Observation]) -> Result<Written<Vec<FileRecord>>, Error> {
        self.write(|transaction| files::observe(transaction, batch))
    }

    fn record_hashed(&mut self, batch: &[Hashed], now: Timestamp) -> Result<Written<Vec<Recorded>>, Error> {
        self.write(|transaction| files::record_hashed(transaction, batch, now))
    }

    fn digests(&mut self, path: &TreePath<'_>, version: VersionNumber) -> Result<Option<Digests>, Error> {
        self.read(|transaction, _| descriptions::one(transaction, path, version))
    }

    fn beside(&self) -> Option<Box<OpenBeside>> {
        let Place::File { path, identity, .. } = self.place.clone() else { return None };
        if self.room_at.is_some() {
            return None;
        }
        let open = move || Ok(Box::new(Beside::open(path.clone(), identity)?) as Box<dyn Descriptions>);
        Some(Box::new(open))
    }

    fn require_plan(&mut self, plan: PlanId, after: Option<&TreePath<'static>>) -> Result<Option<TreePath<'static>>, Error> {
        self.write(|transaction| Ok((descriptions::require(transaction, plan, after)?, None))).map(|written| written.value)
    }

    fn waiting(&mut self, limit: u32) -> Result<Waiting, Error> {
        self.read(|transaction, _| descriptions::waiting(transaction, limit))
    }

    fn damage(&mut self, version: VersionNumber) -> Result<Option<Damage>, Error> {
        self.read(|transaction, _| descriptions::damage(transaction, version))
    }

    fn forget(&mut self, paths: &[TreePath<'static>]) -> Result<Written<Vec<TreePath<'static>>>, Error> {
        self.write(|transaction| files::forget(transaction, paths))
    }

    fn sweep(&mut self, page: &Page, seen: &RoaringBitmap, began: Timestamp) -> Result<Written<Swept>, Error> {
        self.write(|transaction| files::sweep(transaction, page, seen, began))
    }

    fn redate(&mut self, page: &Page, leap: &Leap) -> Result<Written<Redated>, Error> {
        self.write(|transaction| files::redate(transaction, page, leap))
    }

    fn files(&mut self, page: &Page, which: Which) -> Result<Vec<FileRecord>, Error> {
        self.read(|transaction, _| pages::page(transaction, page, which))
    }

    fn outline(&mut self, page: &Page) -> Result<Outline, Error> {
        self.read(|transaction, _| pages::outline(transaction, page))
    }

    fn file(&mut self, path: &TreePath<'_>) -> Result<Option<FileRecord>, Error> {
        self.read(|transaction, _| files::one(transaction, path))
    }

    fn is_indexed(&mut self) -> Result<bool, Error> {
        self.read(|transaction, _| files::is_indexed(transaction))
    }

    fn set_indexed(&mut self) -> Result<(), Error> {
        self.write(|transaction| Ok((files::set_indexed(transaction)?, None))).map(|written| written.value)
    }

    fn mirrors(&mut self, names: &[MirrorName]) -> Result<Vec<StoredMirror>, Error> {
        self.read(|transaction, _| names.iter().filter_map(|name| mirrors::one(transaction, name).transpose()).collect())
    }

    fn record_scan(&mut self, record: &ScanRecord, bases: &str) -> Result<Written<Option<RoaringBitmap>>, Error> {
        self.write(|transaction| mirrors::record_scan(transaction, record, bases))
    }

    fn adjust_holdings(&mut self, adjustment: &Adjustment, bases: &str) -> Result<Written<Option<RoaringBitmap>>, Error> {
        self.write(|transaction| mirrors::adjust_holdings(transaction, adjustment, bases))
    }

    fn scans(&mut self, mirror: &MirrorName, limit: usize) -> Result<Vec<ScanSummary>, Error> {
        self.read(|transaction, _| mirrors::scans(transaction, mirror, limit))
    }

    fn scan_memory(&mut self, mirror: &MirrorName) -> Result<ScanMemory, Error> {
        self.read(|transaction, _| memory::read(transaction, mirror))
    }

    fn listed(&mut self, mirror: &MirrorName) -> Result<Option<Listed>, Error> {
        self.read(|transaction, _| listed::read(transaction, mirror))
    }

    fn remember_scan(&mut self, mirror: &MirrorName, memory: &ScanMemory) -> Result<Written<()>, Error> {
        self.write(|transaction| memory::keep(transaction, mirror, memory))
    }

    fn record_checkup(&mut self, mirror: &MirrorName, checkup: &Checkup, bases: &str) -> Result<Written<()>, Error> {
        self.write(|transaction| abilities::keep(transaction, mirror, checkup, bases))
    }

    fn checkup(&mut self, mirror: &MirrorName, bases: &str) -> Result<Option<Checkup>, Error> {
        self.read(|transaction, _| abilities::read(transaction, mirror, bases))
    }

    fn large_files(&mut self, sizes: &RangeInclusive<u64>, limit: usize) -> Result<Vec<FileRecord>, Error> {
        self.read(|transaction, _| pages::large(transaction, sizes, limit))
    }

    fn gaps(&mut self, mirror: &MirrorName) -> Result<Option<Gaps>, Error> {
        self.read(|transaction, _| mirrors::gaps(transaction, mirror))
    }

    fn wrong(&mut self, mirror: &MirrorName) -> Result<Vec<(TreePath<'static>, VersionNumber)>, Error> {
        self.read(|transaction, _| wrong::all(transaction, mirror))
    }

    fn record_health(&mut self, mirror: &MirrorName, change: &HealthChange) -> Result<Written<()>, Error> {
        self.write(|transaction| mirrors::record_health(transaction, mirror, change))
    }

    fn health_history(&mut self, mirror: &MirrorName, limit: usize) -> Result<Vec<HealthChange>, Error> {
        self.read(|transaction, _| mirrors::health_history(transaction, mirror, limit))
    }

    fn hold(&mut self, hold: &Hold) -> Result<Written<()>, Error> {
        self.write(|transaction| holds::hold(transaction, hold))
    }

    fn release(&mut self, path: &TreePath<'static>, because: &str, at: Timestamp) -> Result<Written<bool>, Error> {
        self.write(|transaction| holds::release(transaction, path, because, at))
    }

    fn holds(&mut self) -> Result<Vec<Hold>, Error> {
        self.read(|transaction, _| holds::all(transaction))
    }

    fn hold_history(&mut self, limit: usize) -> Result<Vec<HoldEvent>, Error> {
        self.read(|transaction, _| holds::history(transaction, limit))
    }

    fn close(&mut self) -> Result<(), Error> {
        let closed = open::memory().map(|memory| std::mem::replace(&mut self.connection, memory))?;
        let path = self.path().to_owned();
        self.place = Place::Memory;
        closed.close().map_err(|(_, error)| Fault::from(error).at(&path))
    }
}

/// What there is besides files.
fn contents(transaction: &Transaction<'_>, opened: u32) -> Result<Contents, Fault> {
    Ok(Contents {
        mirrors: mirrors::all(transaction)?,
        holds: holds::all(transaction)?,
        sequence: Sequence { opened, number: changes::latest(transaction)? },
    })
}

/// What lies at a database's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inspection {
    /// Nothing yet; it will be created.
    Absent,
    /// One of ours, with this schema.
    Schema(i64),
}
