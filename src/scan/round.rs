//! One mirror, one round: open a conversation, list, settle, record, report.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use roaring::RoaringBitmap;

use super::Settings;
use super::attempt::{Attempt, Known, Outcome, ways};
use super::changes::Changes;
use super::client::Clients;
use super::gaps::{Excuses, survey};
use super::ground::Ground;
use super::head::Turn;
use super::memory::{Recollection, Times};
use super::plan::Plan;
use super::progress::{Progress, Step};
use super::stamp::{self, Circumstances, Stamp};
use crate::cause::chain;
use crate::clock::{self, Clock};
use crate::inventory::{self, Counts, HealthChange, Inventory, Listed, Protocol, ScanMemory, ScanRecord};
use crate::model::{Health, Mirror, MirrorName, Scheme, TreePath};

/// Scans mirrors, one at a time per call; cheap to clone.
#[derive(Clone)]
pub struct Scanner {
    pub(super) inventory: Inventory,
    pub(super) settings: Settings,
    pub(super) clients: Clients,
    pub(super) clock: Clock,
    /// No client is sent to a mirror for what became public less than this before.
    min_age: Duration,
    /// Mirrors whose stamps, and times of directories, are not believed now.
    distrusted: Arc<Mutex<HashSet<MirrorName>>>,
}

/// Whether what a scan finds is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is.
    Record,
    /// It is only told, path by path.
    DryRun,
}

/// What one scan of one mirror came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// The mirror.
    pub mirror: MirrorName,
    /// By which way it was asked.
    pub protocol: Protocol,
    /// What was found, or why nothing was.
    pub outcome: Result<Counts, String>,
    /// Whether everything was seen.
    pub complete: bool,
    /// What a person should know: what was odd, what could not be read.
    pub notes: Vec<String>,
    /// When it began.
    pub began: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// The paths that change; only in a dry run.
    pub changes: Option<Changes>,
}

/// One scan under way.
struct Round<'a> {
    plan: &'a Plan,
    before: &'a RoaringBitmap,
    /// What earlier scans have left.
    memory: &'a ScanMemory,
    /// The mirror's stamp, read before anything else.
    stamp: Option<Stamp>,
    /// Whether some files rested until their turn comes.
    rested: bool,
}

/// Why no way worked.
struct Failed {
    /// The last that was tried.
    protocol: Protocol,
    reason: String,
}

impl Scanner {
    /// A scanner for an instance's mirrors.
    #[must_use]
    pub fn new(inventory: Inventory, settings: Settings, clients: Clients, clock: Clock) -> Self {
        Self { inventory, settings, clients, clock, min_age: Duration::ZERO, distrusted: Arc::default() }
    }

    /// The same, of a tree whose files leave it at this age at the earliest: what is younger, no mirror is said to lack.
    #[must_use]
    pub fn of_age(self, min_age: Duration) -> Self {
        Self { min_age, ..self }
    }

    /// How it scans.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The inventory that it fills.
    #[must_use]
    pub const fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Finds out what there is to find below `scope`, for the scans of any number of mirrors.
    ///
    /// # Errors
    /// When the inventory can't be read.
    pub async fn plan(&self, scope: TreePath<'static>) -> Result<Plan, inventory::Error> {
        Plan::make(&self.inventory, scope, self.settings.limits.unlisted).await
    }

    /// Scans one mirror. Dropping the future ends the scan without a trace.
    pub async fn scan(&self, mirror: &Mirror, plan: &Plan, mode: Mode, progress: &dyn Progress) -> Report {
        progress.step(&mirror.name, Step::Began { files: plan.files() });
        let (began, start) = (self.clock.now(), clock::instant());
        let before = self.holdings(&mirror.name);
        let memory = self.memory(&mirror.name).await;
        let mut round = Round { plan, before: &before, memory: &memory, stamp: None, rested: false };
        let result = self.try_ways(mirror, &mut round, progress).await;
        let took = start.elapsed();
        let mut report = Report {
            mirror: mirror.name.clone(),
            protocol: Protocol::Http,
            outcome: Err(String::new()),
            complete: false,
            notes: Vec::new(),
            began,
            took,
            changes: None,
        };
        let (mut found, mut unseen, mut listed) = (None, None, None);
        match result {
            Ok(outcome) => {
                report.protocol = outcome.protocol;
                report.outcome = Ok(outcome.counts);
                report.complete = outcome.complete;
                report.notes = outcome.notes;
                round.rested = outcome.rested;
                let is_listed = outcome.protocol != Protocol::Stamp;
                listed = outcome.listed;
                found = is_listed.then_some((outcome.holdings, outcome.stale));
                unseen = outcome.unseen;
            }
            Err(Failed { protocol, reason }) => {
                report.protocol = protocol;
                report.outcome = Err(reason);
            }
        }
        if let Some((holdings, stale)) = &mut found {
            self.leave_out_wrong(&mut report, plan, (holdings, stale)).await;
        }
        let excuses = Excuses::new(mirror, began, self.min_age);
        if let Err(error) = self.finish(&mut report, mode, round, excuses, (found, unseen, listed)).await {
            report.outcome = Err(format!("the inventory refuses: {}", chain(&error)));
        }
        progress.step(&mirror.name, Step::Ended);
        report
    }

    /// Takes what a scan found and probes have seen to be other bytes for what it is: another copy.
    async fn leave_out_wrong(
        &self,
        report: &mut Report,
        plan: &Plan,
        (holdings, stale): (&mut RoaringBitmap, &mut RoaringBitmap),
    ) {
        let wrong = match self.inventory.wrong(report.mirror.clone()).await {
            Ok(wrong) => wrong,
            // The store leaves them out in any case.
            Err(error) => {
                return tracing::warn!(mirror = %report.mirror, error = %chain(&error), "can't read what a mirror has wrong");
            }
        };
        let numbers: RoaringBitmap = wrong.iter().map(|(_, version)| version.0).collect();
        let found = &numbers & &*holdings & plan.versions();
        let Some((path, _)) = wrong.iter().find(|(_, version)| found.contains(version.0)) else { return };
        let count = found.len();
        report.notes.push(format!(
            "{count} of the files have the right size and time, and other bytes than they should, like /{path}; they do not count"
        ));
        if let Ok(counts) = &mut report.outcome {
            counts.found = counts.found.saturating_sub(count);
            counts.mismatched += count;
        }
        *holdings -= &found;
        *stale |= found;
    }

    fn holdings(&self, mirror: &MirrorName) -> RoaringBitmap {
        let mirrors = self.inventory.snapshot().mirrors();
        let state = mirrors.members.iter().find(|state| state.mirror.name == *mirror);
        state.map(|state| state.holdings.to_bitmap()).unwrap_or_default()
    }

    /// Writes down what was found, or in a dry run tells it.
    async fn finish(
        &self,
        report: &mut Report,
        mode: Mode,
        round: Round<'_>,
        excuses: Excuses,
        (found, unseen, listed): (Option<(RoaringBitmap, RoaringBitmap)>, Option<Scheme>, Option<Listed>),
    ) -> Result<(), inventory::Error> {
        let Round { plan, before, .. } = round;
        if mode == Mode::DryRun {
            if let Some((after, _)) = &found {
                let limit = self.settings.limits.told;
                report.changes = Some(Changes::between(before, after, plan.scope(), &self.inventory, limit).await?);
            }
            return Ok(());
        }
        let survey = match &found {
            Some((after, stale)) => survey(&report.mirror, plan, (after, stale), excuses, &self.inventory).await?,
            None => None,
        };
        let (share, gaps) = survey.map_or((None, None), |survey| (Some(survey.share), survey.gaps));
        let record = ScanRecord {
            mirror: report.mirror.clone(),
            began: report.began,
            ended: self.clock.now(),
            protocol: report.protocol,
            outcome: report.outcome.clone(),
            complete: report.complete,
            notes: report.notes.join("; "),
            holdings: found.map(|(after, _)| after),
            before: Some(before.clone()),
            unseen,
            share,
            gaps,
            listed,
        };
        self.inventory.record_scan(record).await?;
        self.remember(report, round).await
    }

    /// What earlier scans have left. Without it, this one asks for more than it had to.
    async fn memory(&self, mirror: &MirrorName) -> ScanMemory {
        self.inventory.scan_memory(mirror.clone()).await.unwrap_or_else(|error| {
            tracing::warn!(%mirror, error = %chain(&error), "can't read what earlier scans of a mirror have left");
            ScanMemory::default()
        })
    }

    /// What is remembered of a mirror's listings at a `place`.
    pub(super) async fn recollection(&self, mirror: &MirrorName, place: &str, plan: &Plan) -> Recollection {
        let stored = self.inventory.listed(mirror.clone()).await.unwrap_or_else(|error| {
            tracing::warn!(%mirror, error = %chain(&error), "can't read what is remembered of a mirror's listings");
            None
        });
        // A part of the tree is looked at because somebody wants to know.
        let is_doubted = !plan.scope().is_root() || self.lock_distrusted().contains(mirror);
        let times = if is_doubted { Times::Doubted } else { Times::Believed };
        Recollection::of_stored(stored, place, plan, self.settings.limits.reread, times)
    }

    /// Leaves to the next scan what it needs to know.
    async fn remember(&self, report: &Report, round: Round<'_>) -> Result<(), inventory::Error> {
        let is_good = report.outcome.is_ok() && report.protocol != Protocol::Stamp;
        let mut memory = round.memory.clone();
        if is_good && round.rested {
            memory.turn = memory.turn.wrapping_add(1);
        }
        if is_good && report.complete && round.plan.scope().is_root() {
            self.lock_distrusted().remove(&report.mirror);
            let seen = memory.stamp.take();
            memory.stamp = round.stamp.map(|stamp| stamp.after_scan(seen.as_ref(), report.began, round.plan));
        }
        if memory == *round.memory {
            return Ok(());
        }
        self.inventory.remember_scan(report.mirror.clone(), report.began, memory).await
    }

    /// Takes note that something has contradicted a mirror: its stamp and the times of its directories are not
    /// believed until the next complete scan.
    pub fn distrust(&self, mirror: &MirrorName) {
        self.lock_distrusted().insert(mirror.clone());
    }

    fn lock_distrusted(&self) -> MutexGuard<'_, HashSet<MirrorName>> {
        self.distrusted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What counts besides a mirror's stamp.
    async fn circumstances(&self, mirror: &MirrorName, round: &Round<'_>) -> Result<Circumstances, inventory::Error> {
        /// A mirror that comes and goes changes its health twice each time.
        const CHANGES: usize = 10;
        let now = self.clock.now();
        let bad = |change: &HealthChange| !matches!(change.health, Health::Up | Health::Unknown);
        let by_probe =
            self.inventory.health_history(mirror.clone(), CHANGES).await?.into_iter().find(bad).map(|change| change.at);
        let contradicted = if self.lock_distrusted().contains(mirror) { Some(now) } else { by_probe };
        let versions = round.plan.versions();
        let lacking = (versions - round.before).len();
        Ok(Circumstances { now, contradicted, lacking, newest: versions.max().unwrap_or_default() })
    }

    /// Asks for the mirror's stamp, if it has one. What comes back says that nothing else needs to be asked.
    async fn try_stamp(&self, attempt: &Attempt<'_>, round: &mut Round<'_>, notes: &mut Vec<String>) -> Option<Outcome> {
        let path = stamp::path_of(attempt.mirror, self.settings.stamp.as_ref())?;
        // A part of the tree is looked at because somebody wants to know.
        if !round.plan.scope().is_root() {
            return None;
        }
        let circumstances = match self.circumstances(&attempt.mirror.name, round).await {
            Ok(circumstances) => circumstances,
            Err(error) => {
                notes.push(format!("the stamp is not asked for: {}", chain(&error)));
                return None;
            }
        };
        let known = Known { seen: round.memory.stamp.as_ref(), circumstances };
        match attempt.by_stamp(path, known).await {
            Ok((stamp, outcome)) => {
                round.stamp = Some(stamp);
                outcome
            }
            Err(reason) => {
                notes.push(reason);
                None
            }
        }
    }

    /// Tries the mirror's ways in order; the first that works counts.
    async fn try_ways(&self, mirror: &Mirror, round: &mut Round<'_>, progress: &dyn Progress) -> Result<Outcome, Failed> {
        let Round { plan, before, .. } = *round;
        if plan.files() == 0 {
            let reason = "the inventory has no file there to look for".to_owned();
            return Err(Failed { protocol: Protocol::Http, reason });
        }
        let ground = Ground { mirror: &mirror.name, plan, snapshot: self.inventory.snapshot(), before, progress };
        let turn = Turn(round.memory.turn);
        let attempt = |deadline| Attempt { scanner: self, mirror, ground: &ground, turn, deadline };
        let deadline = || clock::instant() + self.settings.limits.duration;
        let mut reasons = Vec::new();
        if let Some(outcome) = self.try_stamp(&attempt(deadline()), round, &mut reasons).await {
            return Ok(outcome);
        }
        let mut last = Protocol::Http;
        for way in ways(mirror) {
            last = way.protocol();
            match attempt(deadline()).by(&way).await {
                Ok(mut outcome) => {
                    outcome.notes.splice(0..0, reasons);
                    return Ok(outcome);
                }
                Err(reason) => reasons.push(format!("{}: {reason}", way.shown())),
            }
        }
        let reason = if reasons.is_empty() { "there is no way to scan it".to_owned() } else { reasons.join("; ") };
        Err(Failed { protocol: last, reason })
    }
}
