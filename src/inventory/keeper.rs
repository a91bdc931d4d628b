//! What the owner does for the image (see [`super::image`]): it starts from one, and has a thread write the next now and then.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::error::Error;
use super::image::{self, Head, Image};
use super::members::known;
use super::owner::Owner;
use super::snapshot::MirrorSet;
use super::store::{Bookmark, Changes};
use crate::cause::chain;
use crate::clock;
use crate::model::TreePath;

/// From so many files on an image is kept: fewer are read from the database within a second.
pub const MIN_FILES: u64 = 250_000;
/// How often it is looked whether an image is to be written.
const LOOK: Duration = Duration::from_secs(10);
/// With more changed files between two looks it is left for later: what changes while an image is written is in memory twice.
const CALM: u64 = 10_000;
/// So much of the log, in bytes, may follow an image: a quarter of what the log keeps, and read within a second.
const MAX_LAG_BYTES: u64 = 4 << 20;
/// The least time between two images, and after one that could not be written.
const REST: Duration = Duration::from_secs(600);

/// The image, as far as it is known, and the thread that writes the next.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    /// Where it lies; nowhere for a store that has no file.
    place: Option<PathBuf>,
    /// From how many files on one is kept; `None`: never.
    from_files: Option<u64>,
    /// The newest one that is known to lie there.
    last: Option<Bookmark>,
    /// Files that changed since the last look.
    pub(super) changed: u64,
    not_before: Option<Instant>,
    writing: Option<Writing>,
}

#[derive(Debug)]
struct Writing {
    bookmark: Bookmark,
    thread: JoinHandle<std::io::Result<()>>,
    stop: Arc<AtomicBool>,
}

impl Keeper {
    pub(super) fn new(place: Option<PathBuf>) -> Self {
        Self { place, ..Self::default() }
    }

    /// The image that lies there, if it can be read; what is wrong with it is told.
    pub(super) fn find(&self) -> Option<Image> {
        let place = self.place.as_ref()?;
        image::clean(place);
        Image::open(place).unwrap_or_else(|unusable| self.refuse(&chain(&unusable)))
    }

    fn refuse<T>(&self, why: &str) -> Option<T> {
        let path = self.place.as_deref().unwrap_or(std::path::Path::new("")).display();
        tracing::info!(%path, "the image can't be used, so all files are read from the database: {why}");
        None
    }

    /// Ends the thread that writes, if one does.
    pub(super) fn stop(&mut self) {
        if let Some(writing) = self.writing.take() {
            writing.stop.store(true, Ordering::Relaxed);
            drop(writing.thread.join());
        }
    }

    /// Takes in how the thread ended, if it has. True while it is at work.
    fn is_writing(&mut self, now: Instant) -> bool {
        let Some(writing) = self.writing.take_if(|writing| writing.thread.is_finished()) else { return self.writing.is_some() };
        match writing.thread.join() {
            Ok(Ok(())) => self.last = Some(writing.bookmark),
            Ok(Err(error)) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the image of the inventory can't be written; the next start takes longer"
            ),
            Err(_) => tracing::error!("writing the image of the inventory failed inside"),
        }
        self.not_before = Some(now + REST);
        false
    }
}

impl Owner {
    /// Starts from an image; false where it is no help, and nothing was changed that reading all files doesn't set right.
    pub(super) fn restore(&mut self, image: &Image) -> Result<bool, Error> {
        if image.head.has_digests != self.snapshot.table().has_digests() {
            return Ok(false);
        }
        let Some(lag) = self.store.since(image.head.bookmark)? else {
            return Ok(self.keeper.refuse("the database's log does not reach back to it").unwrap_or(false));
        };
        let shards = match image.read() {
            Ok((shards, newest)) if i64::from(newest.0) < lag.next_version => shards,
            Ok(_) => return Ok(self.keeper.refuse("it has versions that were never given out").unwrap_or(false)),
            Err(unusable) => return Ok(self.keeper.refuse(&chain(&unusable)).unwrap_or(false)),
        };
        if !self.snapshot.table().replace(shards) {
            return Ok(self.keeper.refuse("it has another number of lists").unwrap_or(false));
        }
        let now = self.clock.now();
        for (path, version) in &image.head.newcomers {
            let Ok(path) = TreePath::parse(path.as_slice()) else { continue };
            if let Some(entry) = self.snapshot.file(&path).filter(|entry| entry.version.0 == *version) {
                self.newcomers.add(&path, &entry, now);
            }
        }
        self.at = lag.sequence;
        match self.store.changed_files(self.at)? {
            Changes::Nothing => {}
            Changes::These(update) => self.apply(*update),
            Changes::Lost => return Ok(false),
        }
        // After the files, of which more may have changed meanwhile: that is caught up with. All mirrors are read once, since the
        // log speaks of most of them, and what they hold is large.
        let contents = self.store.load(None)?;
        let (generation, members) = self.members();
        self.snapshot.set_mirrors(MirrorSet { generation, members: known(members, contents.mirrors) });
        self.snapshot.set_holds(contents.holds.into_iter().map(|hold| hold.path));
        self.desk.serve(&*self.store, self.at.opened);
        self.keeper.last = Some(image.head.bookmark);
        self.behind = false;
        self.snapshot.set_synced(now);
        Ok(true)
    }

    /// From now on an image is kept, when there are so many files.
    pub(super) fn keep_image(&mut self, from_files: u64) {
        self.keeper.from_files = Some(from_files);
    }

    /// Has the next image written, if it is time.
    pub(super) fn tend_image(&mut self) {
        let now = clock::instant();
        let wished = self.keeper.from_files.is_some_and(|from| self.snapshot.file_count() >= from);
        if !wished || self.keeper.is_writing(now) || self.keeper.not_before.is_some_and(|time| now < time) {
            return;
        }
        self.keeper.not_before = Some(now + LOOK);
        let changed = std::mem::take(&mut self.keeper.changed);
        if self.behind || changed > CALM {
            return;
        }
        match self.next_image() {
            Ok(Some(bookmark)) => self.write_image(bookmark),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "no image while the database fails"),
        }
    }

    /// What the next image would go up to, if the last one is of no use or far behind.
    fn next_image(&mut self) -> Result<Option<Bookmark>, Error> {
        let lag = match self.keeper.last {
            Some(last) => self.store.since(last)?,
            None => None,
        };
        if lag.is_some_and(|lag| lag.bytes <= MAX_LAG_BYTES) {
            return Ok(None);
        }
        self.store.bookmark(self.at)
    }

    fn write_image(&mut self, bookmark: Bookmark) {
        let Some(place) = self.keeper.place.clone() else { return };
        let table = self.snapshot.table();
        let (shards, key, has_digests) = (table.shards(), table.hash_key(), table.has_digests());
        let (newcomers, _) = self.newcomers.since(0);
        let newcomers = newcomers.into_iter().map(|one| (one.path.as_bytes().to_vec(), one.version.0)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let write = move || {
            let head = Head::new(bookmark, key, has_digests, newcomers, &shards);
            image::write(&place, &head, &shards, &stopped)
        };
        match std::thread::Builder::new().name("image".to_owned()).spawn(write) {
            Ok(thread) => self.keeper.writing = Some(Writing { bookmark, thread, stop }),
            Err(error) => tracing::warn!(%error, "there is no thread to write an image with"),
        }
    }
}
