//! The owner: one thread that alone uses the store, and alone writes the snapshot, after each commit.
//!
//! It serves one request after the other and, several times a second, looks for what other processes committed. Whatever
//! goes wrong with the database is told to who asked; the thread goes on, and requests go on with the last snapshot.

use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use roaring::RoaringBitmap;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::condition::Condition;
use super::descriptions::Desk;
use super::error::Error;
use super::filling::Gathered;
use super::holdings::Holdings;
use super::keeper::Keeper;
use super::members::{ValidFrom, bases_in, has_same_bases, known};
use super::newcomers::{Newcomers, Young};
use super::record::{Adjustment, Hashed, Hold, Observation, Recorded, ScanRecord};
use super::snapshot::{Detail, FileEntry, MirrorSet, MirrorState, Snapshot};
use super::store::{Changes, Leap, Page, Sequence, Store, StoredMirror, Swept, Update, Written};
use crate::clock::{self, Clock};
use crate::model::{FileRecord, Mirror, MirrorName, TreePath};

/// Something for the owner to do.
pub(super) type Work = Box<dyn FnOnce(&mut Owner) + Send>;

/// How often other processes' commits are looked for: orders given on the command line take effect within a second.
const WAKE: Duration = Duration::from_millis(250);

/// How much is loaded into the snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Extent {
    Whole,
    WithoutDigests,
    WithoutFiles,
}

/// The store, the snapshot, and how far the one has got into the other.
pub(super) struct Owner {
    pub(super) store: Box<dyn Store>,
    pub(super) snapshot: Arc<Snapshot>,
    extent: Extent,
    pub(super) clock: Clock,
    pub(super) keeper: Keeper,
    /// What the snapshot contains.
    pub(super) at: Sequence,
    /// From when on a scan must have begun to say something: versions had other numbers before, or mirrors other URLs.
    pub(super) valid_from: ValidFrom,
    /// The snapshot missed something: everything is loaded again as soon as that works.
    pub(super) behind: bool,
    condition: Arc<Condition>,
    pub(super) newcomers: Arc<Newcomers>,
    pub(super) desk: Arc<Desk>,
    closing: bool,
}

impl Owner {
    /// Loads the snapshot, from an image where there is a good one.
    pub(super) fn start(
        store: Box<dyn Store>,
        keeper: Keeper,
        mirrors: &[Arc<Mirror>],
        (clock, extent): (Clock, Extent),
    ) -> Result<Self, Error> {
        let random = RandomState::new();
        let detail = if extent == Extent::Whole { Detail::Full } else { Detail::WithoutDigests };
        let image = keeper.find();
        let key = image.as_ref().map_or_else(|| (random.hash_one(0), random.hash_one(1)), |image| image.head.key);
        let snapshot = Arc::new(Snapshot::new(key, detail));
        let members = mirrors.iter().map(|mirror| MirrorState::unknown(Arc::clone(mirror))).collect();
        snapshot.set_mirrors(MirrorSet { generation: 1, members });
        let at = Sequence::default();
        let mut owner = Self {
            store,
            snapshot,
            extent,
            clock,
            keeper,
            at,
            valid_from: ValidFrom::default(),
            condition: Arc::default(),
            newcomers: Arc::default(),
            desk: Arc::new(Desk::new()),
            behind: false,
            closing: false,
        };
        let restored = image.map_or(Ok(false), |image| owner.restore(&image))?;
        if !restored {
            owner.reload()?;
        }
        owner.condition.note_writing(owner.store.trouble().as_ref());
        Ok(owner)
    }

    /// What all handles share with it.
    pub(super) fn shared(&self) -> (Arc<Snapshot>, Arc<Condition>, Arc<Desk>, Arc<Newcomers>) {
        let Self { snapshot, condition, desk, newcomers, .. } = self;
        (Arc::clone(snapshot), Arc::clone(condition), Arc::clone(desk), Arc::clone(newcomers))
    }

    /// Works until it is closed or nobody is left who could ask for anything.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        let mut next_look = clock::instant() + WAKE;
        while !self.closing {
            match queue.try_recv() {
                Ok(work) => self.guarded(work),
                Err(TryRecvError::Empty) => wait_until(next_look),
                Err(TryRecvError::Disconnected) => break,
            }
            if clock::instant() >= next_look {
                self.guarded(Self::look);
                self.guarded(Self::tend_image);
                next_look = clock::instant() + WAKE;
            }
        }
        self.keeper.stop();
        if let Err(error) = self.store.close() {
            tracing::warn!(error = &error as &dyn std::error::Error, "the database could not be closed in good order");
        }
    }

    /// Ends the thread after the present piece of work.
    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    /// Runs something; a fault of our own in it doesn't end the thread.
    fn guarded(&mut self, work: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            tracing::error!("a request to the inventory failed inside; the snapshot is loaded again");
            self.behind = true;
        }
    }

    /// Looks for other processes' commits.
    fn look(&mut self) {
        let result = self.catch_up();
        self.condition.note_reading(result.as_ref().err());
    }

    /// Brings the snapshot to what the store has.
    fn catch_up(&mut self) -> Result<(), Error> {
        if self.behind {
            return self.reload();
        }
        match self.store.changes(self.at)? {
            Changes::Nothing => {}
            Changes::These(update) => self.apply(*update),
            Changes::Lost => self.reload()?,
        }
        self.snapshot.set_synced(self.clock.now());
        Ok(())
    }

    pub(super) fn apply(&mut self, update: Update) {
        update.files.iter().filter_map(|(_, record)| record.as_ref()).for_each(|record| self.desk.forget(record.version));
        self.put_in(update.files.iter().map(|(path, record)| (path, record.as_ref())));
        if !update.mirrors.is_empty() {
            self.learn(update.mirrors);
        }
        if let Some(holds) = update.holds {
            self.snapshot.set_holds(holds.into_iter().map(|hold| hold.path));
        }
        self.at = update.sequence;
    }

    fn reload(&mut self) -> Result<(), Error> {
        self.behind = true;
        let (contents, shards) = match self.extent {
            Extent::Whole | Extent::WithoutDigests => {
                let now = self.clock.now();
                let mut files = Gathered::new(self.snapshot.filling(), Young::new(now));
                let contents = self.store.load(Some(&mut files))?;
                files.young.found.iter().for_each(|(path, entry)| self.newcomers.add(path, entry, now));
                (contents, Some(files.shards))
            }
            Extent::WithoutFiles => (self.store.load(None)?, None),
        };
        let (generation, members) = self.members();
        let unknown = |member: &MirrorState| MirrorState::unknown(Arc::clone(&member.mirror));
        let unknown: Vec<MirrorState> = members.iter().map(unknown).collect();
        if contents.sequence.opened != self.at.opened {
            // Another database, with its own numbers: old holdings and new files must not meet.
            self.snapshot.set_mirrors(MirrorSet { generation, members: unknown.clone() });
            self.valid_from.all = (self.at != Sequence::default()).then(|| self.clock.now());
        }
        if shards.is_some_and(|shards| !self.snapshot.table().replace(shards)) {
            return Err(Error::Internal);
        }
        self.snapshot.set_mirrors(MirrorSet { generation, members: known(unknown, contents.mirrors) });
        self.snapshot.set_holds(contents.holds.into_iter().map(|hold| hold.path));
        self.at = contents.sequence;
        self.desk.serve(&*self.store, self.at.opened);
        self.behind = false;
        self.condition.note_writing(self.store.trouble().as_ref());
        self.snapshot.set_synced(self.clock.now());
        Ok(())
    }

    /// Shows files as they are now, and tells of versions that are new.
    fn put_in<'a>(&mut self, files: impl Iterator<Item = (&'a TreePath<'static>, Option<&'a FileRecord>)> + Clone) {
        self.keeper.changed += files.clone().count() as u64;
        self.newcomers.notice(files.clone(), &self.snapshot, self.clock.now());
        self.snapshot.update_files(files.map(|(path, record)| (path.borrowed(), record.map(FileEntry::from))));
    }

    /// After a try to write: shows what was committed in the snapshot, with what others committed just before it.
    pub(super) fn show<T>(
        &mut self,
        written: Result<Written<T>, Error>,
        change: impl FnOnce(&mut Self, &T),
    ) -> Result<T, Error> {
        self.condition.note_writing(written.as_ref().err().filter(|error| error.is_about_the_database()));
        let written = written?;
        match written.sequence {
            None => {}
            Some(sequence) if sequence.follows(self.at) && !self.behind => {
                change(self, &written.value);
                self.at = sequence;
            }
            Some(_) => self.look(),
        }
        Ok(written.value)
    }

    pub(super) fn members(&self) -> (u64, Vec<MirrorState>) {
        let set = self.snapshot.mirrors();
        (set.generation, set.members.clone())
    }

    pub(super) fn change_mirror(&self, name: &MirrorName, change: impl FnOnce(&mut MirrorState)) {
        let (generation, mut members) = self.members();
        if let Some(member) = members.iter_mut().find(|member| member.mirror.name == *name) {
            change(member);
            self.snapshot.set_mirrors(MirrorSet { generation, members });
        }
    }

    fn learn(&self, stored: Vec<StoredMirror>) {
        let (generation, members) = self.members();
        self.snapshot.set_mirrors(MirrorSet { generation, members: known(members, stored) });
    }
}

fn kept(recorded: &[Recorded]) -> impl Iterator<Item = &FileRecord> + Clone {
    recorded.iter().filter_map(|recorded| match recorded {
        Recorded::Kept(record) => Some(record),
        Recorded::Outdated | Recorded::Damaged(_) => None,
    })
}

/// What others ask of it.
impl Owner {
    pub(super) fn set_mirrors(&mut self, mirrors: &[Arc<Mirror>]) -> Result<(), Error> {
        let names: Vec<MirrorName> = mirrors.iter().map(|mirror| mirror.name.clone()).collect();
        let stored = self.store.mirrors(&names)?;
        let (generation, before) = self.members();
        for moved in before.iter().filter(|member| !mirrors.iter().any(|mirror| has_same_bases(mirror, &member.mirror))) {
            self.valid_from.one.insert(moved.mirror.name.clone(), self.clock.now());
        }
        let (generation, members) =
            (generation + 1, mirrors.iter().map(|mirror| MirrorState::unknown(Arc::clone(mirror))).collect());
        self.snapshot.set_mirrors(MirrorSet { generation, members: known(members, stored) });
        Ok(())
    }

    pub(super) fn observe(&mut self, batch: &[Observation]) -> Result<Vec<FileRecord>, Error> {
        let written = self.store.observe(batch);
        self.show(written, |owner, records| {
            owner.put_in(records.iter().map(|record| (&record.path, Some(record))));
        })
    }

    pub(super) fn record_hashed(&mut self, batch: &[Hashed]) -> Result<Vec<Recorded>, Error> {
        let written = self.store.record_hashed(batch, self.clock.now());
        if let Ok(Written { value, .. }) = &written {
            kept(value).for_each(|record| self.desk.forget(record.version));
        }
        self.show(written, |owner, recorded| owner.put_in(kept(recorded).map(|record| (&record.path, Some(record)))))
    }

    pub(super) fn forget(&mut self, paths: &[TreePath<'static>]) -> Result<u64, Error> {
        let written = self.store.forget(paths);
        let forgotten = self.show(written, |owner, forgotten| owner.drop_files(forgotten))?;
        Ok(forgotten.len() as u64)
    }

    pub(super) fn sweep(&mut self, page: &Page, seen: &RoaringBitmap, began: Timestamp) -> Result<Swept, Error> {
        let written = self.store.sweep(page, seen, began);
        self.show(written, |owner, swept| owner.drop_files(&swept.forgotten))
    }

    pub(super) fn redate(&mut self, page: &Page, leap: &Leap) -> Result<Option<TreePath<'static>>, Error> {
        let written = self.store.redate(page, leap);
        let redated = self.show(written, |owner, redated| {
            owner.put_in(redated.records.iter().map(|record| (&record.path, Some(record))));
        })?;
        Ok(redated.last)
    }

    fn drop_files(&self, paths: &[TreePath<'static>]) {
        self.snapshot.update_files(paths.iter().map(|path| (path.borrowed(), None)));
    }

    pub(super) fn record_scan(&mut self, record: &ScanRecord) -> Result<(), Error> {
        let bases = bases_in(&self.snapshot.mirrors(), &record.mirror, record.unseen);
        let outdated = ScanRecord { holdings: None, share: None, gaps: None, listed: None, ..record.clone() };
        let record = if self.valid_from.admits(&record.mirror, record.began) { record } else { &outdated };
        let written = self.store.record_scan(record, &bases);
        self.show_holdings(&record.mirror, written, |member| member.unseen = record.unseen)?;
        Ok(())
    }

    pub(super) fn adjust_holdings(&mut self, adjustment: &Adjustment) -> Result<bool, Error> {
        if !self.valid_from.admits(&adjustment.mirror, adjustment.began) {
            return Ok(false);
        }
        let bases = bases_in(&self.snapshot.mirrors(), &adjustment.mirror, adjustment.unseen);
        let written = self.store.adjust_holdings(adjustment, &bases);
        let shown = self.show_holdings(&adjustment.mirror, written, |member| {
            if member.holdings.is_empty() {
                member.unseen = adjustment.unseen;
            }
        });
        Ok(shown?.is_some())
    }

    fn show_holdings(
        &mut self,
        mirror: &MirrorName,
        written: Result<Written<Option<RoaringBitmap>>, Error>,
        change: impl FnOnce(&mut MirrorState),
    ) -> Result<Option<RoaringBitmap>, Error> {
        self.show(written, |owner, holdings| {
            if let Some(holdings) = holdings {
                let holdings = Holdings::from(holdings);
                owner.change_mirror(mirror, |member| {
                    change(member);
                    member.holdings = holdings;
                });
            }
        })
    }

    pub(super) fn hold(&mut self, hold: &Hold) -> Result<(), Error> {
        let written = self.store.hold(hold);
        self.show_holds(written)
    }

    pub(super) fn release(&mut self, path: &TreePath<'static>, because: &str, at: Timestamp) -> Result<bool, Error> {
        let written = self.store.release(path, because, at);
        self.show_holds(written)
    }

    /// Holds are few: the whole list is read again.
    fn show_holds<T>(&mut self, written: Result<Written<T>, Error>) -> Result<T, Error> {
        let changed = written.as_ref().is_ok_and(|written| written.sequence.is_some());
        let value = self.show(written, |_, _| {})?;
        if changed {
            let holds = self.store.holds().inspect_err(|_| self.behind = true)?;
            self.snapshot.set_holds(holds.into_iter().map(|hold| hold.path));
        }
        Ok(value)
    }
}

fn wait_until(deadline: Instant) {
    std::thread::park_timeout(deadline.saturating_duration_since(clock::instant()));
}
