//! The index: keeps what the inventory knows of the public tree current. It walks through the tree at the start and now and
//! then, follows file events in between, and looks at what a request met otherwise than known.
//!
//! Nothing is taken for deleted that can't be seen to be: not while the tree is away, where it can't be read, or when all
//! files seem to be gone at once.

pub mod freshness;
mod intake;
mod leap;
mod once;
mod round;
pub mod watcher;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::cause::chain;
use crate::clock::Clock;
use crate::hash::Orders;
use crate::inventory::{self, Inventory, Leap};
use crate::model::TreePath;
use crate::tree::{Event, Settings, Trees, Visit, Watch};
use freshness::Patience;
use intake::{Intake, Why};
use round::{Batch, Round};

pub use once::walk_once;
pub use watcher::{Counts, Ending, Families, Report, Watcher, Watching};

/// Keeps one instance's inventory current.
#[derive(Debug)]
pub struct Index {
    intake: Intake,
    nudges: mpsc::Receiver<TreePath<'static>>,
    watcher: Watcher,
    walk_interval: SignedDuration,
    /// When the next whole walk is due.
    walk_at: Timestamp,
    /// Directories that are to be walked; the root stands for everything.
    to_walk: BTreeSet<TreePath<'static>>,
    round: Option<Round>,
    watch: Option<Arc<Watch>>,
    /// The public tree's folder when it was last looked after.
    visit: Option<Visit>,
    pulses: u32,
    /// See [`Clock::offset`].
    offset: SignedDuration,
    /// What putting the clock on means for young files, until that is written down.
    leap: Option<Leap>,
    min_age: SignedDuration,
}

/// How often file events are read, and what waits for time to pass is looked at. Writing one file makes many events, so
/// nothing is gained by reading each at once.
const PULSE: Duration = Duration::from_millis(100);
/// How often it is looked whether the folders are there and are the same: for so long a tree that another one took the place of, as by a
/// link that was switched, is served from as it was.
const REFRESH: Duration = Duration::from_millis(100);
/// The same where each look goes to a file server.
const REFRESH_REMOTE: Duration = Duration::from_secs(1);
/// How long the end waits for threads that look at the file system; on a dead file server they may never come back.
const PATIENCE_AT_THE_END: Duration = Duration::from_secs(1);
/// Paths that are gathered at most; the other events wait for the next pulse.
const MAX_GATHERED: usize = 50_000;
/// Files being written that a pulse looks at on average.
const MOVING_A_PULSE: usize = 1000;
/// Paths that are looked at and written down together.
const TOGETHER: usize = 1000;
/// Nudges that are looked at together.
const NUDGES: usize = 256;
/// Directories that wait for a walk of their own; with more, everything is walked.
const MAX_TO_WALK: usize = 1000;
/// How long after the inventory failed everything is walked again, since what should have been written is not.
const AFTER_ERROR: SignedDuration = SignedDuration::from_secs(30);

impl Index {
    /// An index of the public tree. `nudges` are paths where a request met something else than is known; `orders` is where
    /// the hash queue hears what is needed soon.
    #[must_use]
    pub fn new(
        trees: Trees,
        inventory: Inventory,
        settings: &Settings,
        clock: Clock,
        nudges: mpsc::Receiver<TreePath<'static>>,
        orders: Orders,
    ) -> Self {
        let (walk_at, offset) = (clock.now(), clock.offset());
        Self {
            intake: Intake::new(trees, inventory, clock, patience(settings), orders),
            nudges,
            watcher: Watcher::default(),
            walk_interval: settings.walk_interval.0.try_into().unwrap_or(SignedDuration::MAX),
            walk_at,
            to_walk: BTreeSet::new(),
            round: None,
            watch: None,
            visit: None,
            pulses: 0,
            offset,
            leap: None,
            min_age: settings.min_age.0.try_into().unwrap_or(SignedDuration::MAX),
        }
    }

    /// How it stands, for those who tell it; alive while the index runs.
    #[must_use]
    pub fn watcher(&self) -> Watcher {
        self.watcher.clone()
    }

    /// The same index, counting on from what was counted before.
    #[must_use]
    pub fn counting(mut self, counts: Counts) -> Self {
        self.intake.counts = counts;
        self
    }

    /// What it counts.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.intake.counts.clone()
    }

    /// Runs until it is cancelled. Whatever fails is told and tried again.
    pub async fn run(mut self, stop: CancellationToken) {
        let trees = Arc::clone(&self.intake.trees);
        // Apart from what waits for the inventory: a tree that goes away is noticed although the database hangs.
        tokio::join!(self.work(&stop), look_after(trees, &stop));
    }

    async fn work(&mut self, stop: &CancellationToken) {
        let started = self.intake.start().await;
        self.note(started);
        let mut pulse = interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            let mut nudged = Vec::new();
            let happened = tokio::select! {
                () = stop.cancelled() => break,
                _ = pulse.tick() => Happened::Pulse,
                batch = next_batch(self.round.as_mut()) => Happened::Walked(batch),
                count = self.nudges.recv_many(&mut nudged, NUDGES), if !self.nudges.is_closed() => match count {
                    0 => continue,
                    _ => Happened::Nudges(nudged),
                },
            };
            let handled = tokio::select! {
                () = stop.cancelled() => break,
                handled = self.handle(happened, stop) => handled,
            };
            self.note(handled);
        }
        self.stop().await;
    }

    async fn stop(&mut self) {
        if let Some(round) = self.round.take() {
            round.abandon().await;
        }
    }

    async fn handle(&mut self, happened: Happened, stop: &CancellationToken) -> Result<(), inventory::Error> {
        match happened {
            Happened::Pulse => self.pulse(stop).await,
            Happened::Nudges(paths) => self.look(paths, Why::Request).await,
            Happened::Walked(Some(batch)) => match &mut self.round {
                Some(round) => round.take(&mut self.intake, batch).await,
                None => Ok(()),
            },
            Happened::Walked(None) => self.finish_round().await,
        }
    }

    async fn pulse(&mut self, stop: &CancellationToken) -> Result<(), inventory::Error> {
        self.follow_clock().await?;
        self.notice_folders();
        self.events().await?;
        // Many files that are written at once are looked at less often.
        let every = 1 + self.intake.moving.len() / MOVING_A_PULSE;
        if (self.pulses as usize).is_multiple_of(every) {
            let walks = self.intake.look_at_moving().await?;
            self.want_walks(walks);
        }
        self.begin_round(stop);
        Ok(())
    }

    /// Notices a tree that went away, came, or was replaced.
    fn notice_folders(&mut self) {
        self.pulses = self.pulses.wrapping_add(1);
        let public = &self.intake.trees.public;
        let visit = public.visit();
        if self.visit.as_ref() == Some(&visit) {
            return;
        }
        let absence = public.absence();
        if self.watcher.set_absence(absence) {
            match absence {
                Some(absence) => tracing::warn!(path = %public.path().display(), "the public tree is not there: {absence}"),
                None => tracing::info!(path = %public.path().display(), "the public tree is there again"),
            }
        }
        self.visit = Some(visit);
        self.watch = None;
        if absence.is_none() {
            self.watch = self.open_watch();
            self.walk_at = self.intake.clock.now();
        }
    }

    fn open_watch(&self) -> Option<Arc<Watch>> {
        Watch::new().map(Arc::new).map_err(|error| self.tell_watching(Watching::Partly(chain(&error)))).ok()
    }

    fn tell_watching(&self, watching: Watching) {
        if let Watching::Partly(why) = &watching
            && self.watcher.set_watching(watching.clone())
        {
            tracing::warn!("changes of the public tree are noticed late, by walks and requests: {why}");
        }
        self.watcher.set_watching(watching);
    }

    async fn events(&mut self) -> Result<(), inventory::Error> {
        let Some(watch) = &self.watch else { return Ok(()) };
        let (mut paths, mut walks) = (BTreeSet::new(), Vec::new());
        while paths.len() < MAX_GATHERED {
            let events = match watch.read() {
                Ok(events) => events,
                Err(error) => {
                    self.tell_watching(Watching::Partly(format!("events can't be read: {error}")));
                    self.watch = None;
                    break;
                }
            };
            if events.is_empty() {
                break;
            }
            for event in events {
                match event {
                    Event::File(path) => drop(paths.insert(path)),
                    Event::Directory(path) => walks.push(path),
                    Event::Lost => walks.push(TreePath::root()),
                    Event::Unmounted(path) => tracing::warn!(%path, "a file system in the public tree was unmounted"),
                }
            }
        }
        self.want_walks(walks);
        self.look(paths.into_iter().collect(), Why::Event).await
    }

    async fn look(&mut self, paths: Vec<TreePath<'static>>, why: Why) -> Result<(), inventory::Error> {
        for paths in paths.chunks(TOGETHER) {
            let walks = self.intake.look(paths.to_vec(), why).await?;
            self.want_walks(walks);
        }
        Ok(())
    }

    fn want_walks(&mut self, directories: Vec<TreePath<'static>>) {
        let hidden = &self.intake.trees.hidden;
        self.to_walk.extend(directories.into_iter().filter(|path| !hidden.matches_directory(path)));
        if self.to_walk.len() > MAX_TO_WALK {
            self.to_walk = BTreeSet::from([TreePath::root()]);
        }
    }

    /// Begins the next walk, if none is under way and one is due.
    fn begin_round(&mut self, stop: &CancellationToken) {
        if self.round.is_some() || self.intake.trees.public.is_away() {
            return;
        }
        let now = self.intake.clock.now();
        // A clock that was set back must not put the next walk off.
        self.walk_at = self.walk_at.min(now.checked_add(self.walk_interval).unwrap_or(Timestamp::MAX));
        let is_whole_due = now >= self.walk_at || self.to_walk.contains(&TreePath::root());
        let below = if is_whole_due {
            self.to_walk.clear();
            self.walk_at = now.checked_add(self.walk_interval).unwrap_or(Timestamp::MAX);
            TreePath::root()
        } else {
            let Some(below) = self.to_walk.pop_first() else { return };
            below
        };
        let watch = self.watch.clone();
        self.round = Some(Round::begin(&mut self.intake, below, watch, stop));
    }

    async fn finish_round(&mut self) -> Result<(), inventory::Error> {
        let Some(round) = self.round.take() else { return Ok(()) };
        let is_whole = round.is_whole();
        let (report, watch_error) = round.finish(&mut self.intake).await?;
        if let Some(error) = watch_error {
            self.tell_watching(Watching::Partly(chain(&error)));
        } else if is_whole && let Some(watch) = &self.watch {
            self.tell_watching(Watching::All(watch.len()));
        }
        if !is_whole {
            return Ok(());
        }
        self.intake.counts.walks.inc();
        tell(&report, self.watcher.last_walk().as_ref());
        let is_complete = report.ending == Ending::Complete;
        self.watcher.walked(report);
        if is_complete {
            self.intake.first_walk_is_done().await?;
            if self.watcher.set_store_error(None) {
                tracing::info!("what changes in the public tree is written down again");
            }
        }
        Ok(())
    }

    /// The inventory failed: what should be written is not, so everything is walked again soon.
    fn note(&mut self, handled: Result<(), inventory::Error>) {
        let Err(error) = handled else { return };
        let again = self.intake.clock.now().checked_add(AFTER_ERROR).unwrap_or(Timestamp::MAX);
        self.walk_at = self.walk_at.min(again);
        if let Some(round) = &mut self.round {
            round.break_off();
        }
        let text = chain(&error);
        if self.watcher.set_store_error(Some(text.clone())) {
            tracing::error!("what changes in the public tree can't be written down: {text}");
        }
    }
}

/// Looks again and again whether the folders are there.
async fn look_after(trees: Arc<Trees>, stop: &CancellationToken) {
    let rest = || if trees.is_remote() { REFRESH_REMOTE } else { REFRESH };
    while stop.run_until_cancelled(sleep(rest())).await.is_some() {
        let trees = Arc::clone(&trees);
        let mut refresh = tokio::task::spawn_blocking(move || trees.refresh());
        if stop.run_until_cancelled(&mut refresh).await.is_none() {
            timeout(PATIENCE_AT_THE_END, refresh).await.ok();
        }
    }
}

/// What the index wakes up for.
enum Happened {
    Pulse,
    Nudges(Vec<TreePath<'static>>),
    /// A batch of the walk under way, or its end.
    Walked(Option<Batch>),
}

/// Waits for the walk under way; for ever where there is none.
async fn next_batch(round: Option<&mut Round>) -> Option<Batch> {
    match round {
        Some(round) => round.next().await,
        None => std::future::pending().await,
    }
}

fn patience(settings: &Settings) -> Patience {
    Patience { settle: settings.settle.0, settle_shrunken: settings.settle_shrunken.0 }
}

/// Tells of a whole walk, and of what it left out if that is not what the one before left out.
fn tell(report: &Report, before: Option<&Report>) {
    let Report { files, changed, forgotten, moving, ending, .. } = report;
    match ending {
        Ending::Complete if before.is_none() || changed + forgotten > 0 => {
            tracing::info!(files, changed, forgotten, moving, "the public tree was walked");
        }
        Ending::Complete => tracing::debug!(files, moving, "the public tree was walked"),
        Ending::Stopped => tracing::warn!(files, "a walk through the public tree was broken off"),
        Ending::Away(_) | Ending::Empty(_) => tracing::warn!("{ending}"),
    }
    if let Some(ahead) = report.ahead.filter(|_| before.is_none()) {
        tracing::warn!(
            "the clock stands {ahead:#} before what the database has recorded: it is wrong now, or was then; what is public since a time to \
             come is young until then, and after that for min-age"
        );
    }
    if before.is_none_or(|before| before.troubles != report.troubles) {
        for (path, why) in report.troubles.iter().take(TOLD_TROUBLES) {
            tracing::warn!(%path, "left out of the index: {why}");
        }
        if report.trouble_count > TOLD_TROUBLES as u64 {
            tracing::warn!("left out of the index: {} in all", report.trouble_count);
        }
    }
}

/// Troubles that are worth a line each.
const TOLD_TROUBLES: usize = 10;

#[cfg(test)]
mod tests;
