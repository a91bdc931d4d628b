//! One mirror, one round: open a conversation, list, settle, record, report.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use roaring::RoaringBitmap;

use super::changes::Changes;
use super::client::Clients;
use super::findings::Findings;
use super::ground::{Ground, Sought};
use super::opening::{Opening, open};
use super::plan::Plan;
use super::progress::{Progress, Step};
use super::session::Session;
use super::settle::{Settlement, settle};
use super::{Settings, head, http};
use crate::cause::chain;
use crate::clock::{self, Clock};
use crate::inventory::{self, Counts, Inventory, Protocol, ScanRecord};
use crate::model::{BaseUrl, Mirror, MirrorName, TreePath};

/// Scans mirrors, one at a time per call; cheap to clone.
#[derive(Clone)]
pub struct Scanner {
    inventory: Inventory,
    settings: Settings,
    clients: Clients,
    clock: Clock,
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

/// What one way of asking came to.
struct Outcome {
    protocol: Protocol,
    counts: Counts,
    holdings: RoaringBitmap,
    notes: Vec<String>,
    complete: bool,
}

impl Scanner {
    /// A scanner for an instance's mirrors.
    #[must_use]
    pub fn new(inventory: Inventory, settings: Settings, clients: Clients, clock: Clock) -> Self {
        Self { inventory, settings, clients, clock }
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
        let mut holdings = None;
        match result {
            Ok(outcome) => {
                report.protocol = outcome.protocol;
                report.outcome = Ok(outcome.counts);
                report.complete = outcome.complete;
                report.notes = outcome.notes;
                holdings = Some(outcome.holdings);
            }
            Err(reason) => report.outcome = Err(reason),
        }
        if let Err(error) = self.finish(&mut report, mode, plan, &before, holdings).await {
            report.outcome = Err(format!("the inventory refuses: {}", chain(&error)));
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
        holdings: Option<RoaringBitmap>,
    ) -> Result<(), inventory::Error> {
        if mode == Mode::DryRun {
            if let Some(after) = &holdings {
                let limit = self.settings.limits.told;
                report.changes = Some(Changes::between(before, after, plan.scope(), &self.inventory, limit).await?);
            }
            return Ok(());
        }
        let record = ScanRecord {
            mirror: report.mirror.clone(),
            began: report.began,
            ended: self.clock.now(),
            protocol: report.protocol,
            outcome: report.outcome.clone(),
            complete: report.complete,
            holdings,
            before: Some(before.clone()),
        };
        self.inventory.record_scan(record).await
    }

    /// Tries the mirror's URLs in order; the first that works counts.
    async fn try_ways(
        &self,
        mirror: &Mirror,
        plan: &Plan,
        before: &RoaringBitmap,
        progress: &dyn Progress,
    ) -> Result<Outcome, String> {
        if plan.files() == 0 {
            return Err("the inventory has no file there to look for".to_owned());
        }
        let ground = Ground { mirror: &mirror.name, plan, snapshot: self.inventory.snapshot(), before, progress };
        let mut reasons = Vec::new();
        for base in [&mirror.https, &mirror.http].into_iter().flatten() {
            match self.try_way(mirror, base, &ground).await {
                Ok(mut outcome) => {
                    outcome.notes.splice(0..0, reasons);
                    return Ok(outcome);
                }
                Err(reason) => reasons.push(format!("{base}: {reason}")),
            }
        }
        Err(if reasons.is_empty() { "it has no URL to scan".to_owned() } else { reasons.join("; ") })
    }

    async fn try_way(&self, mirror: &Mirror, base: &BaseUrl, ground: &Ground<'_>) -> Result<Outcome, String> {
        let Settings { limits, connections, .. } = &self.settings;
        let deadline = clock::instant() + limits.duration;
        let session = Session::new(&self.clients, mirror, base, *connections, limits, &self.clock);
        let mut findings = Findings::default();
        let refused = |error: inventory::Error| format!("the inventory can't be read: {}", chain(&error));
        let (protocol, mut notes) = match open(ground, &session).await? {
            Opening::Listing(query) => {
                http::list(ground, &session, query, deadline, &mut findings).await;
                self.ask_unlisted(ground, &session, deadline, &mut findings).await;
                let notes = self.ask_blind(ground, &session, deadline, &mut findings).await.map_err(refused)?;
                (Protocol::Http, notes)
            }
            Opening::Heads(why) => {
                let scope = ground.plan.scope().clone();
                head::list(ground, &session, &self.inventory, scope, deadline, &mut findings).await.map_err(refused)?;
                (Protocol::Head, vec![format!("file by file: {why}")])
            }
        };
        notes.extend(findings.troubles.told());
        if findings.entries == 0 && !findings.troubles.is_empty() || session.is_given_up() && findings.seen.is_empty() {
            return Err(notes.join("; "));
        }
        let settlement = settle(ground, &session, &self.inventory, &findings).await.map_err(refused)?;
        notes.extend(settlement.objection.clone());
        let complete = findings.troubles.is_empty() && settlement.objection.is_none();
        Ok(Outcome {
            protocol,
            counts: counts(&session, &findings, &settlement),
            holdings: settlement.holdings,
            notes,
            complete,
        })
    }

    /// Asks for the files below directories that are not listed.
    async fn ask_blind(
        &self,
        ground: &Ground<'_>,
        session: &Session,
        deadline: Instant,
        findings: &mut Findings,
    ) -> Result<Vec<String>, inventory::Error> {
        let blind = std::mem::take(&mut findings.blind);
        let Some(first) = blind.first() else { return Ok(Vec::new()) };
        let note = format!("{} directories show no listing, like /{first}; their files were asked for one by one", blind.len());
        for directory in blind {
            head::list(ground, session, &self.inventory, directory, deadline, findings).await?;
        }
        Ok(vec![note])
    }

    /// Asks for the files that listings tend to leave out, if they were not listed after all.
    async fn ask_unlisted(&self, ground: &Ground<'_>, session: &Session, deadline: Instant, findings: &mut Findings) {
        let sought = |path: &TreePath<'static>| Some((path.clone(), ground.sought(path)?));
        let listed = &findings.seen | &findings.mismatched;
        let unseen = |(_, sought): &(TreePath<'_>, Sought)| !listed.contains(sought.version.0);
        let files: Vec<_> = ground.plan.unlisted().iter().filter_map(sought).filter(unseen).collect();
        // What there was no time for stays as it was.
        _ = head::ask_in_time(ground, session, files, deadline, findings).await;
    }
}

fn counts(session: &Session, findings: &Findings, settlement: &Settlement) -> Counts {
    Counts {
        found: findings.seen.len(),
        gone: (&settlement.lost - &findings.mismatched).len(),
        mismatched: findings.mismatched.len(),
        doubtful: (&findings.doubtful - &settlement.holdings).len() + settlement.kept,
        bytes: session.received(),
        entries: findings.entries,
    }
}
