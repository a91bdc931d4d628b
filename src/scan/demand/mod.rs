//! On demand: asking mirrors for single versions between scans.
//!
//! Three occasions. A version is about to be old enough to be redirected. A request wants one that no mirror near the client is
//! known to hold (no mirror at all, or none of the nearest class that has mirrors). A client comes back soon for what a mirror should
//! have sent it. The first two go through a `queue` to all mirrors that may have got the version; the third goes to that mirror at
//! once. Each mirror is asked in small rounds with pauses in between, under the limits that scans keep as well.

mod ask;
mod metrics;
mod queue;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::ask::{Asked, Asker, Item};
use self::queue::{Due, Queue};
use super::client::Clients;
use super::schedule::{Nudge, lot, signed};
use crate::clock::Clock;
use crate::inventory::{FileEntry, Inventory, MirrorState};
use crate::model::{FileState, MirrorName, Question, TreePath, VersionNumber};

pub use metrics::Metrics;

/// Which versions may be redirected: for others, no mirror needs to be asked.
#[derive(Debug, Clone, Copy)]
pub struct Redirectable {
    /// From what age on.
    pub min_age: Duration,
    /// From how many bytes on.
    pub min_size: u64,
}

/// Asks mirrors for single versions.
pub struct Demand {
    asker: Asker,
    redirectable: Redirectable,
    metrics: Arc<Metrics>,
    nudge: Nudge,
    questions: mpsc::Receiver<Question>,
    queue: Queue,
    /// The next newcomer of the inventory to read.
    next_newcomer: u64,
    rows: HashMap<MirrorName, Row>,
    /// When a mirror was last asked for something that it should hold.
    doubted: HashMap<(MirrorName, VersionNumber), Timestamp>,
}

/// One mirror.
#[derive(Debug, Default)]
struct Row {
    pending: Vec<Item>,
    running: bool,
    failures: u32,
    /// When it may be asked again.
    due: Timestamp,
    /// When a scan of it was last wished for because there was too much to ask for.
    wished: Timestamp,
}

/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_millis(250);
/// Mirrors that are asked at once.
const PARALLEL: usize = 16;
/// Versions that one mirror is asked for in one round. With more than this to ask for, a scan is the better way.
const ROUND: usize = 64;
/// A round of so many questions is followed by a pause of so many times this long: five questions a second.
const PACE: SignedDuration = SignedDuration::from_millis(200);
/// The pause after a round in which a mirror did not answer; it doubles each time, up to the second number.
const BACK_OFF: Duration = Duration::from_secs(30);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(3600);
/// A mirror is asked for the same version that it should hold at most once in this time.
const DOUBT: SignedDuration = SignedDuration::from_secs(300);
/// Doubts that are remembered; more at once say something about us, and not about mirrors.
const MAX_DOUBTS: usize = 4096;
/// Versions older than this are no news: when too many of them are wanted at once, that is no reason to scan a mirror.
const NEWS: SignedDuration = SignedDuration::from_secs(3600);
/// A scan of a mirror is wished for at most once in this time, when there is too much to ask for.
const WISH_GAP: SignedDuration = SignedDuration::from_secs(600);

impl Demand {
    /// Asks the inventory's mirrors. `questions` come from requests; by `nudge` it wishes for scans.
    #[must_use]
    pub fn new(
        (inventory, clients, clock): (Inventory, Clients, Clock),
        redirectable: Redirectable,
        metrics: Arc<Metrics>,
        nudge: Nudge,
        questions: mpsc::Receiver<Question>,
    ) -> Self {
        Self {
            asker: Asker { inventory, clients, clock },
            redirectable,
            metrics,
            nudge,
            questions,
            queue: Queue::default(),
            next_newcomer: 0,
            rows: HashMap::new(),
            doubted: HashMap::new(),
        }
    }

    /// Asks until it is told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut rounds = JoinSet::new();
        let mut running: HashMap<tokio::task::Id, MirrorName> = HashMap::new();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => self.look(),
                // One that is to be asked is asked with the next tick: to look for who is due looks at every mirror.
                Some(question) = self.questions.recv() => {
                    self.take_question(question);
                    continue;
                }
                Some(ended) = rounds.join_next_with_id(), if !rounds.is_empty() => {
                    let (id, asked) = match ended {
                        Ok((id, (_, asked))) => (id, Some(asked)),
                        Err(died) => (died.id(), None),
                    };
                    if let Some(mirror) = running.remove(&id) {
                        self.take(&mirror, asked);
                    }
                }
            }
            self.start_due(&mut rounds, &mut running);
        }
        rounds.shutdown().await;
    }

    /// Looks for what is new, and for what is due.
    fn look(&mut self) {
        let now = self.asker.clock.now();
        let (newcomers, next) = self.asker.inventory.newcomers(self.next_newcomer);
        self.next_newcomer = next;
        for newcomer in newcomers {
            let ready = self.ready(newcomer.public_since);
            // What could have been redirected for an hour was met by scans, or is asked for when somebody wants it.
            if now.duration_since(ready) < NEWS {
                self.want(newcomer.path, now);
            }
        }
        for due in self.queue.due(now) {
            self.spread(&due, now);
        }
        self.doubted.retain(|_, at| now.duration_since(*at).abs() < DOUBT);
        self.metrics.waiting(self.queue.len());
    }

    fn take_question(&mut self, question: Question) {
        let now = self.asker.clock.now();
        match question {
            Question::WhoHolds(path) => {
                self.want(path, now);
            }
            Question::DoesHold(path, mirror) => self.doubt(path, mirror, now),
        }
    }

    /// Has a version asked for, if it is one that may be redirected some time.
    fn want(&mut self, path: TreePath<'static>, now: Timestamp) {
        let Some(entry) = self.entry(&path) else { return };
        let ready = self.ready(entry.public_since);
        if !self.queue.want(path, entry.version, ready, now) {
            self.metrics.dropped();
        }
    }

    /// The file of a path, if mirrors are of use for it.
    fn entry(&self, path: &TreePath<'_>) -> Option<FileEntry> {
        let snapshot = self.asker.inventory.snapshot();
        let entry = snapshot.file(path)?;
        let is_fit = entry.state == FileState::Settled && entry.size >= self.redirectable.min_size;
        (is_fit && !snapshot.is_held(path)).then_some(entry)
    }

    /// From when on a version may be redirected.
    fn ready(&self, public_since: i64) -> Timestamp {
        let since = Timestamp::from_second(public_since).unwrap_or(Timestamp::UNIX_EPOCH);
        since.saturating_add(signed(self.redirectable.min_age)).unwrap_or(Timestamp::MAX)
    }

    /// Puts a version on the lists of all mirrors that may have got it.
    fn spread(&mut self, due: &Due, now: Timestamp) {
        let Some(entry) = self.entry(&due.path).filter(|entry| entry.version == due.version) else {
            return self.queue.forget(due.version);
        };
        let mirrors = self.asker.inventory.snapshot().mirrors();
        let lacking = mirrors.members.iter().filter(|state| !state.holds(entry.version) && takes(state, &entry));
        let names: Vec<MirrorName> = lacking.map(|state| state.mirror.name.clone()).collect();
        drop(mirrors);
        if names.is_empty() {
            self.queue.forget(due.version);
        }
        for mirror in names {
            self.put(&mirror, (due.path.clone(), due.version), due.age < NEWS, now);
        }
    }

    /// Has one mirror asked for what it should hold.
    fn doubt(&mut self, path: TreePath<'static>, mirror: MirrorName, now: Timestamp) {
        let Some(entry) = self.entry(&path) else { return };
        let key = (mirror, entry.version);
        if self.doubted.contains_key(&key) {
            return;
        }
        if self.doubted.len() >= MAX_DOUBTS {
            return self.metrics.dropped();
        }
        self.put(&key.0, (path, entry.version), false, now);
        self.doubted.insert(key, now);
    }

    /// Puts a version on a mirror's list. Where too many news wait there, it is scanned instead.
    fn put(&mut self, mirror: &MirrorName, item: Item, is_news: bool, now: Timestamp) {
        let row = self.rows.entry(mirror.clone()).or_default();
        if row.pending.iter().any(|(_, version)| *version == item.1) {
            return;
        }
        if row.pending.len() < ROUND {
            return row.pending.push(item);
        }
        self.metrics.dropped();
        if is_news && now.duration_since(row.wished).abs() >= WISH_GAP {
            row.wished = now;
            self.nudge.scan_soon(mirror);
        }
    }

    /// Starts the rounds that are due.
    fn start_due(&mut self, rounds: &mut JoinSet<(MirrorName, Asked)>, running: &mut HashMap<tokio::task::Id, MirrorName>) {
        let now = self.asker.clock.now();
        let mirrors = self.asker.inventory.snapshot().mirrors();
        // Some of them are of no mirror any more.
        if self.rows.len() > mirrors.members.len() {
            self.rows.retain(|name, row| row.running || mirrors.members.iter().any(|state| state.mirror.name == *name));
        }
        for state in mirrors.members.iter().filter(|state| state.mirror.enabled && state.health.is_usable()) {
            if rounds.len() >= PARALLEL {
                return;
            }
            let Some(row) = self.rows.get_mut(&state.mirror.name) else { continue };
            // A clock that was set back puts no round off for long.
            row.due = row.due.min(now + signed(LONGEST_BACK_OFF));
            if row.running || row.pending.is_empty() || row.due > now {
                continue;
            }
            row.running = true;
            let items = std::mem::take(&mut row.pending);
            let task = rounds.spawn(self.asker.clone().ask(state.clone(), items));
            running.insert(task.id(), state.mirror.name.clone());
        }
    }

    /// Takes note of a round that ended. `None`: it died of a bug.
    fn take(&mut self, mirror: &MirrorName, asked: Option<Asked>) {
        let now = self.asker.clock.now();
        let row = self.rows.entry(mirror.clone()).or_default();
        row.running = false;
        let Some(asked) = asked else {
            tracing::error!(%mirror, "a round of questions died; this is a bug");
            row.due = now + signed(LONGEST_BACK_OFF);
            return;
        };
        self.metrics.note(mirror, &asked);
        let Asked { questions, found, gone, .. } = asked;
        if let Some(reason) = asked.failure {
            row.failures = row.failures.saturating_add(1);
            let pause = BACK_OFF.saturating_mul(1 << (row.failures - 1).min(16)).min(LONGEST_BACK_OFF);
            row.due = now + signed(pause.mul_f64(0.9 + 0.2 * lot(mirror, u64::from(row.failures))));
            return tracing::debug!(%mirror, questions, reason, "a mirror gives no answers on demand");
        }
        row.failures = 0;
        row.due = now + PACE * i32::try_from(questions).unwrap_or(i32::MAX);
        if found > 0 {
            tracing::debug!(%mirror, questions, found, "a mirror has got new files");
        }
        if gone > 0 {
            tracing::info!(%mirror, questions, gone, "a mirror lacks what a client came back for; it is scanned soon");
            self.nudge.scan_soon(mirror);
        }
    }
}

/// Whether a mirror may be asked for a file at all.
fn takes(state: &MirrorState, entry: &FileEntry) -> bool {
    state.mirror.enabled && state.health.is_usable() && state.mirror.max_file_size.is_none_or(|limit| entry.size <= limit)
}
