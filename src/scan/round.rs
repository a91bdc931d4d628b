//! One mirror, one round: open a conversation, list, settle, record, report.

use std::time::Duration;

use jiff::Timestamp;
use roaring::RoaringBitmap;

use super::Settings;
use super::attempt::{Attempt, Outcome, ways};
use super::changes::Changes;
use super::client::Clients;
use super::gaps::survey;
use super::ground::Ground;
use super::memory::Memory;
use super::plan::Plan;
use super::progress::{Progress, Step};
use crate::cause::chain;
use crate::clock::{self, Clock};
use crate::inventory::{self, Counts, Inventory, Protocol, ScanRecord};
use crate::model::{Mirror, MirrorName, Scheme, TreePath};

/// Scans mirrors, one at a time per call; cheap to clone.
#[derive(Clone)]
pub struct Scanner {
    pub(super) inventory: Inventory,
    pub(super) settings: Settings,
    pub(super) clients: Clients,
    pub(super) clock: Clock,
    pub(super) memory: Memory,
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
        Self { inventory, settings, clients, clock, memory: Memory::default() }
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
        let result = self.try_ways(mirror, plan, &before, progress).await;
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
        let (mut found, mut unseen, mut lesson) = (None, None, None);
        match result {
            Ok(outcome) => {
                report.protocol = outcome.protocol;
                report.outcome = Ok(outcome.counts);
                report.complete = outcome.complete;
                report.notes = outcome.notes;
                lesson = (outcome.complete && mode == Mode::Record).then(|| (outcome.lesson, outcome.holdings.clone()));
                found = Some((outcome.holdings, outcome.stale));
                unseen = outcome.unseen;
            }
            Err(Failed { protocol, reason }) => {
                report.protocol = protocol;
                report.outcome = Err(reason);
            }
        }
        if let Err(error) = self.finish(&mut report, mode, plan, &before, (found, unseen)).await {
            report.outcome = Err(format!("the inventory refuses: {}", chain(&error)));
        } else if let Some((lesson, holdings)) = lesson {
            self.memory.keep(&mirror.name, lesson, &holdings);
        }
        progress.step(&mirror.name, Step::Ended);
        report
    }

    fn holdings(&self, mirror: &MirrorName) -> RoaringBitmap {
        let mirrors = self.inventory.snapshot().mirrors();
        let state = mirrors.members.iter().find(|state| state.mirror.name == *mirror);
        state.map(|state| (*state.holdings).clone()).unwrap_or_default()
    }

    /// Writes down what was found, or in a dry run tells it.
    async fn finish(
        &self,
        report: &mut Report,
        mode: Mode,
        plan: &Plan,
        before: &RoaringBitmap,
        (found, unseen): (Option<(RoaringBitmap, RoaringBitmap)>, Option<Scheme>),
    ) -> Result<(), inventory::Error> {
        if mode == Mode::DryRun {
            if let Some((after, _)) = &found {
                let limit = self.settings.limits.told;
                report.changes = Some(Changes::between(before, after, plan.scope(), &self.inventory, limit).await?);
            }
            return Ok(());
        }
        let survey = match &found {
            Some((after, stale)) => survey(&report.mirror, plan, (after, stale), &self.inventory).await?,
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
            holdings: found.map(|(after, _)| after),
            before: Some(before.clone()),
            unseen,
            share,
            gaps,
        };
        self.inventory.record_scan(record).await
    }

    /// Tries the mirror's ways in order; the first that works counts.
    async fn try_ways(
        &self,
        mirror: &Mirror,
        plan: &Plan,
        before: &RoaringBitmap,
        progress: &dyn Progress,
    ) -> Result<Outcome, Failed> {
        if plan.files() == 0 {
            let reason = "the inventory has no file there to look for".to_owned();
            return Err(Failed { protocol: Protocol::Http, reason });
        }
        let ground = Ground { mirror: &mirror.name, plan, snapshot: self.inventory.snapshot(), before, progress };
        let mut reasons = Vec::new();
        let mut last = Protocol::Http;
        for way in ways(mirror) {
            last = way.protocol();
            let deadline = clock::instant() + self.settings.limits.duration;
            let attempt = Attempt { scanner: self, mirror, ground: &ground, deadline };
            match attempt.by(&way).await {
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
