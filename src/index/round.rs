//! One walk through the public tree or a part of it, on a thread of its own: unchanged files are only ticked off, the others
//! go to the intake.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use jiff::Timestamp;
use roaring::RoaringBitmap;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::intake::{Intake, Why};
use super::leap;
use super::watcher::{Ending, Report};
use crate::inventory::{self, Finished, Snapshot};
use crate::model::{FileState, Fingerprint, TreePath};
use crate::tree::{Absence, Directory, Found, LookError, Outcome, Trees, Trouble, Visit, Visitor, Watch, WatchError, walk};

/// Files that look otherwise than is known.
pub(super) type Batch = Vec<(TreePath<'static>, Fingerprint)>;

/// A walk under way.
#[derive(Debug)]
pub(super) struct Round {
    below: TreePath<'static>,
    began: Timestamp,
    /// The folder that is walked through.
    visit: Visit,
    batches: mpsc::Receiver<Batch>,
    walker: JoinHandle<Walked>,
    changed: u64,
    /// Whether something that was seen could not be taken in.
    is_broken: bool,
}

/// Files that are told at once, and how many such batches may wait: together a few megabytes.
const BATCH: usize = 512;
const BATCHES: usize = 8;
/// Files between two looks at whether the walk should stop.
const STOP_EVERY: u64 = 1024;
/// Troubles that are told in full.
const MAX_TROUBLES: usize = 100;
/// Files and directories that can't be read; with more, the walk counts as broken off.
const MAX_UNREADABLE: usize = 10_000;

impl Round {
    /// Begins a walk. Directories are watched on the way if there is a watch.
    pub(super) fn begin(
        intake: &mut Intake,
        below: TreePath<'static>,
        watch: Option<Arc<Watch>>,
        stop: &CancellationToken,
    ) -> Self {
        let began = intake.clock.now();
        intake.begin_walk();
        let (sender, batches) = mpsc::channel(BATCHES);
        let walker = Walker {
            snapshot: Arc::clone(intake.inventory.snapshot()),
            sender,
            watch,
            stop: stop.clone(),
            mounts: intake.mounts.clone(),
            batch: Vec::new(),
            walked: Walked::default(),
        };
        let (trees, path) = (Arc::clone(&intake.trees), below.clone());
        let visit = trees.public.visit();
        let walker = tokio::task::spawn_blocking(move || walker.walk(&trees, &path));
        Self { below, began, visit, batches, walker, changed: 0, is_broken: false }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.below.is_root()
    }

    /// The next files that look otherwise; none when the walk is at its end.
    pub(super) async fn next(&mut self) -> Option<Batch> {
        self.batches.recv().await
    }

    /// Takes a batch in. What was looked at since the walk began, or is not new altogether, is looked at once more: the
    /// walker may have been there first.
    pub(super) async fn take(&mut self, intake: &mut Intake, batch: Batch) -> Result<(), inventory::Error> {
        self.changed += batch.len() as u64;
        let is_first = intake.occasion == inventory::Seen::First;
        let (trusted, doubtful): (Batch, Batch) =
            batch.into_iter().partition(|(path, _)| is_first && !intake.looked_at.contains(path));
        intake.take(trusted, intake.occasion).await?;
        if !doubtful.is_empty() {
            let paths = doubtful.into_iter().map(|(path, _)| path).collect();
            intake.look(paths, Why::Walk).await?;
        }
        Ok(())
    }

    /// Nothing is to be forgotten at the end, since not all is known that was seen.
    pub(super) const fn break_off(&mut self) {
        self.is_broken = true;
    }

    /// Ends a walk before its end.
    pub(super) async fn abandon(self) {
        drop(self.batches);
        timeout(super::PATIENCE_AT_THE_END, self.walker).await.ok();
    }

    /// Ends a walk whose batches are all taken in: forgets what was not there, if that can be believed.
    pub(super) async fn finish(self, intake: &mut Intake) -> Result<(Report, Option<WatchError>), inventory::Error> {
        let walker = self.walker.await;
        let present = intake.end_walk();
        let Ok(mut walked) = walker else {
            let report = report_of(&self.below, self.began, self.changed, intake, Walked::default(), Ending::Stopped);
            return Ok((report, None));
        };
        let watch_error = walked.watch_error.take();
        let trees = Arc::clone(&intake.trees);
        let visit = self.visit.clone();
        let is_still = tokio::task::spawn_blocking(move || {
            trees.refresh();
            trees.public.is_still(&visit) && !trees.is_part_lost()
        });
        let is_still = is_still.await.unwrap_or(false);
        let ending = match ending(&walked, is_still, self.below.is_root(), intake) {
            Ending::Complete if self.is_broken => Ending::Stopped,
            other => other,
        };
        let mut finished = Finished::default();
        if ending == Ending::Complete {
            intake.mounts.retain(|mount| !mount.is_within(&self.below) || walked.lost_mounts.contains(mount));
            intake.mounts.extend(walked.mounts.drain());
            walked.seen |= &present;
            add_unreadable(intake, &mut walked).await?;
            finished = intake.inventory.finish_walk(self.below.clone(), std::mem::take(&mut walked.seen), self.began).await?;
            intake.counts.forgotten.inc_by(finished.forgotten);
        }
        let mut report = report_of(&self.below, self.began, self.changed, intake, walked, ending);
        (report.forgotten, report.ahead) = (finished.forgotten, leap::ahead(finished.newest, report.ended));
        Ok((report, watch_error))
    }
}

fn report_of(
    below: &TreePath<'static>,
    began: Timestamp,
    changed: u64,
    intake: &Intake,
    walked: Walked,
    ending: Ending,
) -> Report {
    Report {
        began,
        ended: intake.clock.now(),
        files: walked.files,
        changed,
        forgotten: 0,
        ahead: None,
        moving: intake.moving.keys().filter(|path| path.is_within(below)).count() as u64,
        unreadable: walked.unreadable.len() as u64,
        troubles: walked.troubles,
        trouble_count: walked.trouble_count,
        ending,
    }
}

fn ending(walked: &Walked, is_still: bool, is_whole: bool, intake: &Intake) -> Ending {
    let known = intake.inventory.snapshot().file_count();
    match walked.outcome {
        _ if !is_still => Ending::Away(intake.trees.public.absence()),
        Err(absence) => Ending::Away(absence),
        Ok(Outcome::Stopped) => Ending::Stopped,
        Ok(Outcome::Whole) if is_whole && walked.files == 0 && known > 0 => Ending::Empty(known),
        Ok(Outcome::Whole) => Ending::Complete,
    }
}

/// What lies below directories that can't be read counts as seen.
async fn add_unreadable(intake: &Intake, walked: &mut Walked) -> Result<(), inventory::Error> {
    for path in walked.unreadable.iter().chain(&walked.lost_mounts) {
        let mut after = None;
        loop {
            let page = intake.inventory.files(path.clone(), after, PAGE).await?;
            walked.seen.extend(page.iter().map(|record| record.version.0));
            match page.into_iter().last() {
                Some(last) => after = Some(last.path),
                None => break,
            }
        }
    }
    Ok(())
}

/// Records that are read at once.
const PAGE: usize = 1000;

/// What a walker brings back.
#[derive(Debug)]
struct Walked {
    outcome: Result<Outcome, Option<Absence>>,
    files: u64,
    /// The versions of the files that are as they are known to be.
    seen: RoaringBitmap,
    unreadable: HashSet<TreePath<'static>>,
    mounts: HashSet<TreePath<'static>>,
    /// Directories where a file system was mounted before, and that are empty now.
    lost_mounts: HashSet<TreePath<'static>>,
    troubles: Vec<(TreePath<'static>, String)>,
    trouble_count: u64,
    watch_error: Option<WatchError>,
}

impl Default for Walked {
    fn default() -> Self {
        Self {
            outcome: Ok(Outcome::Stopped),
            files: 0,
            seen: RoaringBitmap::new(),
            unreadable: HashSet::new(),
            mounts: HashSet::new(),
            lost_mounts: HashSet::new(),
            troubles: Vec::new(),
            trouble_count: 0,
            watch_error: None,
        }
    }
}

struct Walker {
    snapshot: Arc<Snapshot>,
    sender: mpsc::Sender<Batch>,
    watch: Option<Arc<Watch>>,
    stop: CancellationToken,
    mounts: HashSet<TreePath<'static>>,
    batch: Batch,
    walked: Walked,
}

impl Walker {
    fn walk(mut self, trees: &Trees, below: &TreePath<'_>) -> Walked {
        self.walked.outcome = match walk(&trees.public, below, &trees.hidden, &mut self) {
            Ok(Outcome::Whole) if self.flush().is_break() => Ok(Outcome::Stopped),
            Ok(outcome) => Ok(outcome),
            // There is nothing any more where the walk should start: all of it is gone.
            Err(LookError::Absent | LookError::Forbidden) if !below.is_root() => Ok(Outcome::Whole),
            Err(LookError::Other(error)) if !below.is_root() => match self.trouble(below, Trouble::Unreadable(error)) {
                ControlFlow::Continue(()) => Ok(Outcome::Whole),
                ControlFlow::Break(()) => Ok(Outcome::Stopped),
            },
            Err(LookError::Other(error)) => Err(Some(Absence::Unreadable(error.raw_os_error().unwrap_or_default()))),
            Err(_) => Err(trees.public.absence()),
        };
        self.walked
    }

    fn flush(&mut self) -> ControlFlow<()> {
        let mut batch = std::mem::take(&mut self.batch);
        // A database that is filled in the order of its keys has fuller pages, and each is written once.
        batch.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        if batch.is_empty() || self.sender.blocking_send(batch).is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }

    fn go_on(&self) -> ControlFlow<()> {
        if self.stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Visitor for Walker {
    fn enter(&mut self, directory: &Directory<'_>) -> ControlFlow<()> {
        if directory.is_mount_point {
            self.walked.mounts.insert(directory.path.clone().into_owned());
        }
        if let Some(watch) = &self.watch
            && let Err(error) = watch.add(directory.path, directory.handle)
        {
            self.walked.watch_error = Some(error);
            self.watch = None;
        }
        self.go_on()
    }

    fn file(&mut self, found: &Found<'_>) -> ControlFlow<()> {
        self.walked.files += 1;
        match self.snapshot.file(&found.path) {
            Some(entry) if entry.matches(&found.fingerprint) && entry.state != FileState::Changing => {
                self.walked.seen.insert(entry.version.0);
            }
            _ => self.batch.push((found.path.clone().into_owned(), found.fingerprint)),
        }
        if self.batch.len() >= BATCH {
            self.flush()?;
        }
        if self.walked.files.is_multiple_of(STOP_EVERY) { self.go_on() } else { ControlFlow::Continue(()) }
    }

    fn empty(&mut self, directory: &Directory<'_>) -> ControlFlow<()> {
        if !directory.is_mount_point && self.mounts.contains(directory.path) {
            tracing::warn!(path = %directory.path, "a file system that was mounted below the public tree is missing; nothing there is taken for deleted");
            self.walked.lost_mounts.insert(directory.path.clone().into_owned());
        }
        ControlFlow::Continue(())
    }

    fn trouble(&mut self, path: &TreePath<'_>, trouble: Trouble) -> ControlFlow<()> {
        self.walked.trouble_count += 1;
        let text = match &trouble {
            Trouble::Unreadable(error) => format!("{trouble}: {error}"),
            _ => trouble.to_string(),
        };
        if self.walked.troubles.len() < MAX_TROUBLES {
            self.walked.troubles.push((path.clone().into_owned(), text));
        }
        if matches!(trouble, Trouble::Unreadable(_)) {
            self.walked.unreadable.insert(path.clone().into_owned());
            if self.walked.unreadable.len() > MAX_UNREADABLE {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}
