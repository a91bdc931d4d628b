//! Probing all mirrors again and again, and writing down when the health of one changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::ask::{Finding, ask_politely};
use super::bytes::Comparison;
use super::checkup::{Certificate, Patient, tell};
use super::health::{Tally, Thresholds};
use super::metrics::Metrics;
use super::target::Cursor;
use crate::cause::chain;
use crate::clock::Clock;
use crate::inventory::{self, Holdings, Inventory, MirrorState};
use crate::model::{Abilities, Checkup, FileRecord, Mirror, MirrorName, Ranges, Scheme};
use crate::scan::schedule::{lot, signed};
use crate::scan::{Clients, Nudge};
use crate::tree::Root;

/// Keeps the health of all mirrors current.
pub struct Prober {
    inventory: Inventory,
    settings: Settings,
    clients: Clients,
    clock: Clock,
    metrics: Arc<Metrics>,
    nudge: Option<Nudge>,
    /// The public tree, where bytes are compared with it.
    root: Option<Root>,
    rows: BTreeMap<MirrorName, Row>,
}

struct Row {
    due: Timestamp,
    tally: Tally,
    cursor: Cursor,
    round: u64,
    running: bool,
    /// Most of what was compared last was wrong.
    is_wrong: bool,
}

/// A mirror that is due, as a probe needs it.
struct Due {
    mirror: Arc<Mirror>,
    holdings: Holdings,
    abilities: Abilities,
    /// The one of its base URLs that was not seen to have that.
    unseen: Option<Scheme>,
    /// Most of what was compared last was wrong.
    is_wrong: bool,
}

/// What a probe brings back.
struct Probed {
    cursor: Cursor,
    finding: Option<Finding>,
    /// What it can do, if that was tried: before and now.
    checkup: Option<(Option<Checkup>, Checkup)>,
    /// Whether most of what was compared was wrong.
    is_wrong: bool,
    /// Whether a scan would find more than is known.
    is_righted: bool,
}

/// How often it is looked whether a mirror is due.
const TICK: Duration = Duration::from_millis(250);
/// Probes under way at once: each waits for one small answer.
const PARALLEL: usize = 32;
/// Probes of a mirror follow each other after so many intervals, so that mirrors that began together drift apart.
const EARLIEST: f64 = 0.9;
const LATEST: f64 = 1.1;
/// After so many intervals, it is tried again what a mirror can do: a server's ways change seldom.
const INTERVALS_A_CHECKUP: u32 = 60;
/// First probes after a start are spread over this long, or the interval if that is shorter.
const FIRST: Duration = Duration::from_secs(5);

impl Prober {
    /// A prober. By `nudge` it asks for a scan of a mirror that lacks what it should hold.
    #[must_use]
    pub fn new(
        inventory: Inventory,
        settings: Settings,
        clients: Clients,
        clock: Clock,
        metrics: Arc<Metrics>,
        nudge: Option<Nudge>,
    ) -> Self {
        Self { inventory, settings, clients, clock, metrics, nudge, root: None, rows: BTreeMap::new() }
    }

    /// Compares some bytes of what mirrors hold with those of the tree as well, unless the settings say otherwise.
    #[must_use]
    pub fn comparing(self, root: Root) -> Self {
        Self { root: self.settings.compare_bytes.then_some(root), ..self }
    }

    /// Probes until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut probes = JoinSet::new();
        let mut running: HashMap<tokio::task::Id, MirrorName> = HashMap::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(TICK) => self.start_due(&mut probes, &mut running),
                Some(ended) = probes.join_next_with_id(), if !probes.is_empty() => {
                    let (id, probed) = match ended {
                        Ok((id, probed)) => (id, Some(probed)),
                        Err(died) => (died.id(), None),
                    };
                    if let Some(name) = running.remove(&id) {
                        self.take(&name, probed).await;
                    }
                }
            }
        }
        probes.shutdown().await;
    }

    /// Starts the probes that are due.
    fn start_due(&mut self, probes: &mut JoinSet<Probed>, running: &mut HashMap<tokio::task::Id, MirrorName>) {
        for due in self.due() {
            if probes.len() >= PARALLEL {
                return;
            }
            let Some(row) = self.rows.get_mut(&due.mirror.name) else { continue };
            row.running = true;
            let mut cursor = row.cursor.clone();
            let name = due.mirror.name.clone();
            let (inventory, clients, clock) = (self.inventory.clone(), self.clients.clone(), self.clock.clone());
            let (settings, root) = (self.settings.clone(), self.root.clone());
            let task = probes.spawn(async move {
                let is_wrong = due.is_wrong;
                let mut probed = Probed { cursor: cursor.clone(), finding: None, checkup: None, is_wrong, is_righted: false };
                let probe = Probe {
                    inventory: &inventory,
                    clients: &clients,
                    clock: &clock,
                    settings: &settings,
                    root: root.as_ref(),
                    due: &due,
                };
                if let Err(error) = probe.run(&mut cursor, &mut probed).await {
                    tracing::warn!(mirror = %due.mirror.name, error = %chain(&error), "can't choose what to ask a mirror for");
                }
                Probed { cursor, ..probed }
            });
            running.insert(task.id(), name);
        }
    }

    /// The mirrors that are due; those that are new are entered, those that left are struck.
    fn due(&mut self) -> Vec<Due> {
        let now = self.clock.now();
        let set = self.inventory.snapshot().mirrors();
        let members: Vec<&MirrorState> = set.members.iter().filter(|state| state.mirror.enabled).collect();
        self.rows.retain(|name, row| row.running || members.iter().any(|state| state.mirror.name == *name));
        let first = FIRST.min(self.settings.interval.0);
        let mut due = Vec::new();
        for state in members {
            let name = &state.mirror.name;
            let row = self.rows.entry(name.clone()).or_insert_with(|| Row {
                due: now + signed(first.mul_f64(lot(name, 0))),
                tally: Tally::new(state.health),
                cursor: Cursor::default(),
                round: 0,
                running: false,
                is_wrong: false,
            });
            // A clock that was set back puts no probe off.
            row.due = row.due.min(now + signed(self.settings.interval.0.mul_f64(LATEST)));
            if !row.running && row.due <= now {
                let (mirror, holdings) = (Arc::clone(&state.mirror), state.holdings.clone());
                let is_wrong = row.is_wrong;
                due.push(Due { mirror, holdings, abilities: state.abilities, unseen: state.unseen, is_wrong });
            }
        }
        due
    }

    /// Takes note of a probe that ended. `None`: it died of a bug.
    async fn take(&mut self, mirror: &MirrorName, probed: Option<Probed>) {
        let now = self.clock.now();
        let Some(row) = self.rows.get_mut(mirror) else { return };
        row.running = false;
        row.round += 1;
        row.due = now + signed(self.settings.interval.0.mul_f64(EARLIEST + (LATEST - EARLIEST) * lot(mirror, row.round)));
        let Some(probed) = probed else {
            tracing::error!(%mirror, "a probe died; this is a bug");
            return;
        };
        row.cursor = probed.cursor;
        row.is_wrong = probed.is_wrong;
        if probed.is_righted {
            self.nudge.iter().for_each(|nudge| nudge.scan_soon(mirror));
        }
        self.note_checkup(mirror, probed.checkup).await;
        let Some(row) = self.rows.get_mut(mirror) else { return };
        let Some(finding) = probed.finding else { return };
        let before = row.tally.health();
        let thresholds = Thresholds { failures: self.settings.failures, successes: self.settings.successes };
        row.tally = row.tally.after(finding.outcome, thresholds);
        let health = row.tally.health();
        self.metrics.note(mirror, finding.outcome, health);
        if finding.lacks {
            tracing::info!(%mirror, "a mirror lacks a file that it was seen with; it is scanned soon");
            self.nudge.iter().for_each(|nudge| nudge.scan_soon(mirror));
        }
        if health != before {
            let reason = finding.reason.clone();
            tracing::info!(%mirror, health = health.as_str(), before = before.as_str(), reason, "the health of a mirror changed");
            if let Err(error) = self.inventory.record_health(mirror.clone(), health, now, finding.reason).await {
                tracing::error!(%mirror, error = %chain(&error), "can't write down the health of a mirror");
                // What is not written down is not in the snapshot either: the next probe tries again.
                if let Some(row) = self.rows.get_mut(mirror) {
                    row.tally = Tally::new(before);
                }
            }
        }
    }
}

/// One probe under way.
struct Probe<'a> {
    inventory: &'a Inventory,
    clients: &'a Clients,
    clock: &'a Clock,
    settings: &'a Settings,
    root: Option<&'a Root>,
    due: &'a Due,
}

impl Probe<'_> {
    /// Asks, and tries what the mirror can do where that is due or news.
    async fn run(&self, cursor: &mut Cursor, probed: &mut Probed) -> Result<(), inventory::Error> {
        let Due { mirror, holdings, abilities, .. } = self.due;
        let timeout = self.settings.timeout.0;
        let files = cursor.choose(self.inventory, holdings).await?;
        let Some(finding) = ask_politely(self.clients, mirror, &files, timeout, self.clock).await else { return Ok(()) };
        let certificate = finding.certificate.clone();
        let is_news = certificate.trust(abilities.certificate) != abilities.certificate;
        let is_good = finding.is_good();
        probed.finding = Some(finding);
        if !is_good && !is_news {
            return Ok(());
        }
        let before = self.inventory.checkup(mirror.name.clone()).await?;
        let now = self.clock.now();
        let rest = signed(self.settings.interval.0 * INTERVALS_A_CHECKUP);
        let is_recent = before.as_ref().is_some_and(|before| now.duration_since(before.at).abs() < rest);
        let is_open = abilities.ranges == Ranges::Unknown && files.iter().any(|file| file.fingerprint.size > 1);
        let is_due = !is_recent || is_news || is_open;
        let (clients, inventory, clock) = (self.clients, self.inventory, self.clock);
        let patient = Patient { clients, inventory, mirror, holdings, timeout, clock };
        if is_good && (!is_recent || self.due.is_wrong) {
            self.compare(&patient, &files, &certificate, probed).await?;
        }
        if !is_due {
            return Ok(());
        }
        let after = patient.check_up(&files, &certificate, before.as_ref()).await?;
        probed.checkup = Some((before, after));
        Ok(())
    }
}

impl Probe<'_> {
    /// Compares some of what the mirror holds with the tree. Where most of it is wrong, the mirror does not work.
    async fn compare(
        &self,
        patient: &Patient<'_>,
        files: &[FileRecord],
        certificate: &Certificate,
        probed: &mut Probed,
    ) -> Result<(), inventory::Error> {
        let Some(root) = self.root else { return Ok(()) };
        let bases = patient.bases(certificate.trust(self.due.abilities.certificate));
        let compared = Comparison::new(patient, root, bases).run(files, self.due.unseen).await?;
        let failure = compared.failure();
        probed.is_wrong = failure.is_some();
        probed.is_righted = compared.right.iter().any(|version| !self.due.holdings.contains(*version));
        if let Some(reason) = failure {
            probed.finding = Some(Finding { certificate: certificate.clone(), ..Finding::failure(reason) });
        }
        Ok(())
    }
}

impl Prober {
    /// Takes note of what a mirror can do.
    async fn note_checkup(&self, mirror: &MirrorName, checkup: Option<(Option<Checkup>, Checkup)>) {
        let Some((before, after)) = checkup else { return };
        tell(mirror, before.as_ref(), &after, self.clock.now());
        if let Err(error) = self.inventory.record_checkup(mirror.clone(), after.at, after).await {
            tracing::warn!(%mirror, error = %chain(&error), "can't write down what a mirror can do");
        }
    }
}
