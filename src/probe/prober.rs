//! Probing all mirrors again and again, and writing down when the health of one changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use roaring::RoaringBitmap;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::ask::{Finding, ask_for_part, ask_politely};
use super::health::{Tally, Thresholds};
use super::metrics::Metrics;
use super::target::Cursor;
use crate::cause::chain;
use crate::clock::Clock;
use crate::inventory::{Inventory, MirrorState};
use crate::model::{Mirror, MirrorName, Ranges};
use crate::scan::schedule::{lot, signed};
use crate::scan::{Clients, Nudge};

/// Keeps the health of all mirrors current.
pub struct Prober {
    inventory: Inventory,
    settings: Settings,
    clients: Clients,
    clock: Clock,
    metrics: Arc<Metrics>,
    nudge: Option<Nudge>,
    rows: BTreeMap<MirrorName, Row>,
}

struct Row {
    due: Timestamp,
    tally: Tally,
    cursor: Cursor,
    round: u64,
    running: bool,
}

/// A mirror that is due, as a probe needs it.
struct Due {
    mirror: Arc<Mirror>,
    holdings: Arc<RoaringBitmap>,
    ranges: Ranges,
}

/// What a probe brings back.
struct Probed {
    cursor: Cursor,
    finding: Option<Finding>,
    ranges: Ranges,
}

/// How often it is looked whether a mirror is due.
const TICK: Duration = Duration::from_millis(250);
/// Probes under way at once: each waits for one small answer.
const PARALLEL: usize = 32;
/// Probes of a mirror follow each other after so many intervals, so that mirrors that began together drift apart.
const EARLIEST: f64 = 0.9;
const LATEST: f64 = 1.1;
/// Every so many probes, it is asked again whether a mirror sends parts of files: a server's ways change seldom.
const PROBES_A_RANGE: u64 = 60;
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
        Self { inventory, settings, clients, clock, metrics, nudge, rows: BTreeMap::new() }
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
            let timeout = self.settings.timeout.0;
            let asks_for_part = due.ranges == Ranges::Unknown || row.round.is_multiple_of(PROBES_A_RANGE);
            let task = probes.spawn(async move {
                let files = match cursor.choose(&inventory, &due.holdings).await {
                    Ok(files) => files,
                    Err(error) => {
                        tracing::warn!(mirror = %due.mirror.name, error = %chain(&error), "can't choose what to ask a mirror for");
                        return Probed { cursor, finding: None, ranges: Ranges::Unknown };
                    }
                };
                let Some(finding) = ask_politely(&clients, &due.mirror, &files, timeout, &clock).await else {
                    return Probed { cursor, finding: None, ranges: Ranges::Unknown };
                };
                let ranges = if asks_for_part && finding.is_good() {
                    ask_for_part(&clients, &due.mirror, &files, timeout, &clock).await
                } else {
                    Ranges::Unknown
                };
                Probed { cursor, finding: Some(finding), ranges }
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
            });
            // A clock that was set back puts no probe off.
            row.due = row.due.min(now + signed(self.settings.interval.0.mul_f64(LATEST)));
            if !row.running && row.due <= now {
                let (mirror, holdings) = (Arc::clone(&state.mirror), Arc::clone(&state.holdings));
                due.push(Due { mirror, holdings, ranges: state.ranges });
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
        self.note_ranges(mirror, probed.ranges).await;
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

impl Prober {
    /// Takes note of whether a mirror sends parts of files, where that is news.
    async fn note_ranges(&self, mirror: &MirrorName, ranges: Ranges) {
        let set = self.inventory.snapshot().mirrors();
        let known = set.members.iter().find(|state| state.mirror.name == *mirror).map(|state| state.ranges);
        drop(set);
        if ranges == Ranges::Unknown || known == Some(ranges) {
            return;
        }
        if ranges == Ranges::Ignored {
            tracing::info!(%mirror, "a mirror sends whole files where parts are asked for; who asks for parts is sent elsewhere");
        } else if known == Some(Ranges::Ignored) {
            tracing::info!(%mirror, "a mirror sends parts of files again");
        }
        if let Err(error) = self.inventory.note_ranges(mirror.clone(), ranges).await {
            tracing::warn!(%mirror, error = %chain(&error), "can't note whether a mirror sends parts of files");
        }
    }
}
