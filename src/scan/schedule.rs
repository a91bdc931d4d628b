//! Scanning again and again: each enabled mirror by its interval, a few at once, the failing ones less and less often.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use super::plan::Plan;
use super::progress::Quiet;
use super::round::{Mode, Report, Scanner};
use crate::cause::chain;
use crate::clock::Clock;
use crate::inventory;
use crate::model::{Mirror, MirrorName, TreePath};

/// Keeps the holdings of all mirrors current.
pub struct Scheduler {
    scanner: Scanner,
    clock: Clock,
    metrics: Arc<Metrics>,
    wishes: mpsc::Receiver<MirrorName>,
    timetable: Timetable,
    plan: Option<(Arc<Plan>, Timestamp)>,
    /// When a plan was last wanted in vain, because the inventory failed.
    refused: Option<Timestamp>,
    parallel: usize,
}

/// Asks the scheduler to scan a mirror soon.
#[derive(Clone, Debug)]
pub struct Nudge(mpsc::Sender<MirrorName>);

impl Nudge {
    /// Wishes for a scan. When too many wishes wait, this one is dropped: the next probe will repeat it.
    pub fn scan_soon(&self, mirror: &MirrorName) {
        self.0.try_send(mirror.clone()).ok();
    }
}

/// Wishes that wait: every mirror once, on a large site.
const WISHES: usize = 512;
/// How often it is looked whether a mirror is due, or the list of mirrors changed.
const TICK: Duration = Duration::from_millis(250);
/// How old a plan may be: mirrors that are due together share one, and new files are looked for soon.
const PLAN_AGE: SignedDuration = SignedDuration::from_secs(30);

impl Scheduler {
    /// A scheduler and the handle by which others ask it for a scan.
    #[must_use]
    pub fn new(scanner: Scanner, clock: Clock, metrics: Arc<Metrics>) -> (Self, Nudge) {
        let (sender, wishes) = mpsc::channel(WISHES);
        let settings = scanner.settings();
        let timetable = Timetable { interval: settings.interval.0, rows: BTreeMap::new() };
        let parallel = settings.parallel.max(1);
        (Self { scanner, clock, metrics, wishes, timetable, plan: None, refused: None, parallel }, Nudge(sender))
    }

    /// Scans until it is told to stop; then scans under way end without a trace.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut scans = JoinSet::new();
        let mut running: HashMap<tokio::task::Id, MirrorName> = HashMap::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(TICK) => {}
                Some(wish) = self.wishes.recv() => {
                    // Whoever wishes for a scan has seen something that the mirror's own word does not tell.
                    self.scanner.distrust(&wish);
                    self.timetable.wish(&wish, self.clock.now());
                }
                Some(ended) = scans.join_next_with_id(), if !scans.is_empty() => {
                    let (id, report) = match ended {
                        Ok((id, report)) => (id, Some(report)),
                        Err(died) => (died.id(), None),
                    };
                    if let Some(name) = running.remove(&id) {
                        self.take(&name, report.as_ref());
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.start_due(&mut scans, &mut running) => {}
            }
        }
        scans.shutdown().await;
    }

    /// Starts the scans that are due, as many as may run at once.
    async fn start_due(&mut self, scans: &mut JoinSet<Report>, running: &mut HashMap<tokio::task::Id, MirrorName>) {
        let mirrors: Vec<Arc<Mirror>> = {
            let set = self.scanner.inventory().snapshot().mirrors();
            set.members.iter().map(|state| Arc::clone(&state.mirror)).filter(|mirror| mirror.enabled).collect()
        };
        self.enter_new(&mirrors).await;
        let now = self.clock.now();
        for name in self.timetable.due(now) {
            if scans.len() >= self.parallel {
                return;
            }
            let Some(mirror) = mirrors.iter().find(|mirror| mirror.name == name) else { continue };
            let Some(plan) = self.plan().await else { return };
            self.timetable.begin(&name, now);
            let (scanner, mirror) = (self.scanner.clone(), Arc::clone(mirror));
            let task = scans.spawn(async move { scanner.scan(&mirror, &plan, Mode::Record, &Quiet).await });
            running.insert(task.id(), name);
        }
    }

    /// Enters mirrors that are new in the list, and strikes those that left it.
    async fn enter_new(&mut self, mirrors: &[Arc<Mirror>]) {
        self.timetable.rows.retain(|name, row| row.running || mirrors.iter().any(|mirror| mirror.name == *name));
        for mirror in mirrors {
            if self.timetable.rows.contains_key(&mirror.name) {
                continue;
            }
            let last = match self.scanner.inventory().scans(mirror.name.clone(), 1).await {
                Ok(scans) => {
                    scans.iter().for_each(|last| self.metrics.recall(&mirror.name, last));
                    scans.first().filter(|scan| scan.outcome.is_ok()).map(|scan| scan.ended)
                }
                Err(error) => {
                    tracing::warn!(mirror = %mirror.name, error = %chain(&error), "can't read when a mirror was last scanned");
                    None
                }
            };
            self.timetable.enter(&mirror.name, self.clock.now(), last);
        }
    }

    /// What there is to find, read anew when it is not fresh. `None` while the tree is not indexed, or can't be read.
    async fn plan(&mut self) -> Option<Arc<Plan>> {
        let now = self.clock.now();
        let is_recent = |at: Timestamp| now.duration_since(at).abs() < PLAN_AGE;
        if let Some((plan, made)) = &self.plan
            && is_recent(*made)
        {
            return Some(Arc::clone(plan));
        }
        // An inventory that fails is not asked, and that is not told, at every tick.
        if self.refused.is_some_and(is_recent) {
            return None;
        }
        (self.plan, self.refused) = match self.make_plan().await {
            Ok(plan) => (plan.map(|plan| (Arc::new(plan), now)), None),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "can't read what there is to find; scans wait");
                (None, Some(now))
            }
        };
        self.plan.as_ref().map(|(plan, _)| Arc::clone(plan))
    }

    async fn make_plan(&self) -> Result<Option<Plan>, inventory::Error> {
        if !self.scanner.inventory().is_indexed().await? {
            return Ok(None);
        }
        let plan = self.scanner.plan(TreePath::root()).await?;
        Ok((plan.files() > 0).then_some(plan))
    }

    /// Takes note of a scan that ended. `None`: it died of a bug.
    fn take(&mut self, mirror: &MirrorName, report: Option<&Report>) {
        let Some(report) = report else {
            tracing::error!(%mirror, "a scan died; this is a bug");
            self.timetable.end(mirror, self.clock.now(), Ended::Failed);
            return;
        };
        self.metrics.note(report, self.clock.now());
        let duration_ms = u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX);
        let notes = report.notes.join("; ");
        match &report.outcome {
            Ok(counts) if report.complete => {
                let (found, gone, mismatched, doubtful) = (counts.found, counts.gone, counts.mismatched, counts.doubtful);
                tracing::info!(%mirror, found, gone, mismatched, doubtful, duration_ms, notes, "scanned a mirror");
            }
            Ok(counts) => {
                let (found, gone, mismatched, doubtful) = (counts.found, counts.gone, counts.mismatched, counts.doubtful);
                tracing::warn!(%mirror, found, gone, mismatched, doubtful, duration_ms, notes, "scanned a mirror in part");
            }
            Err(reason) => tracing::warn!(%mirror, reason, duration_ms, "can't scan a mirror; what was known stays"),
        }
        let ended = if report.outcome.is_ok() { Ended::Done } else { Ended::Failed };
        self.timetable.end(mirror, self.clock.now(), ended);
    }
}

/// When each mirror is scanned next.
#[derive(Debug)]
struct Timetable {
    interval: Duration,
    rows: BTreeMap<MirrorName, Row>,
}

#[derive(Debug, Clone)]
struct Row {
    due: Timestamp,
    /// The pause after which it is due.
    pause: SignedDuration,
    began: Option<Timestamp>,
    running: bool,
    round: u64,
    failures: u32,
}

/// How a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Done,
    Failed,
}

impl Timetable {
    /// The first scans after a start are spread over this long, or a tenth of the interval.
    const FIRST: Duration = Duration::from_secs(10);
    /// The first second try after a failure comes after this long, or the interval if that is shorter.
    const RETRY: Duration = Duration::from_secs(300);
    /// A mirror that always fails is tried every so many intervals.
    const RAREST: u32 = 8;
    /// Wishes are granted at most so often, so that one bad file does not make a mirror be scanned all the time.
    const WISH_GAP: Duration = Duration::from_secs(60);

    /// Enters a mirror: it is due soon, or an interval after its last scan.
    fn enter(&mut self, name: &MirrorName, now: Timestamp, last: Option<Timestamp>) {
        let soon = now + signed(Self::FIRST.min(self.interval / 10).mul_f64(lot(name, 0)));
        let by_interval = last.map(|last| last.min(now) + signed(self.interval));
        let due = by_interval.map_or(soon, |due| due.max(soon));
        let pause = due.duration_since(now);
        self.rows.insert(name.clone(), Row { due, pause, began: None, running: false, round: 1, failures: 0 });
    }

    /// The mirrors that are due, the longest due first. A clock that was set back puts no scan off.
    fn due(&mut self, now: Timestamp) -> Vec<MirrorName> {
        for row in self.rows.values_mut() {
            row.due = row.due.min(now + row.pause);
            row.began = row.began.map(|began| began.min(now));
        }
        let mut due: Vec<_> = self.rows.iter().filter(|(_, row)| !row.running && row.due <= now).collect();
        due.sort_by_key(|(_, row)| row.due);
        due.into_iter().map(|(name, _)| name.clone()).collect()
    }

    fn begin(&mut self, name: &MirrorName, now: Timestamp) {
        if let Some(row) = self.rows.get_mut(name) {
            row.running = true;
            row.began = Some(now);
        }
    }

    fn end(&mut self, name: &MirrorName, now: Timestamp, ended: Ended) {
        let interval = self.interval;
        let Some(row) = self.rows.get_mut(name) else { return };
        row.running = false;
        row.round += 1;
        row.failures = if ended == Ended::Done { 0 } else { row.failures.saturating_add(1) };
        let pause = match row.failures {
            0 => interval,
            n => Self::RETRY.min(interval).saturating_mul(1 << (n - 1).min(16)).min(interval.saturating_mul(Self::RAREST)),
        };
        // Nine to eleven tenths: mirrors that began together drift apart.
        row.pause = signed(pause.mul_f64(0.9 + 0.2 * lot(name, row.round)));
        row.due = now + row.pause;
    }

    /// Grants a wish for an early scan.
    fn wish(&mut self, name: &MirrorName, now: Timestamp) {
        if let Some(row) = self.rows.get_mut(name) {
            let earliest = row.began.map_or(now, |began| began + signed(Self::WISH_GAP.min(self.interval)));
            row.due = row.due.min(earliest.max(now));
        }
    }
}

/// A number from 0 to 1 that is the same for the same mirror and round, and else as if by chance.
pub(crate) fn lot(name: &MirrorName, round: u64) -> f64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = siphasher::sip::SipHasher13::new();
    name.as_str().hash(&mut hasher);
    round.hash(&mut hasher);
    (hasher.finish() >> 11) as f64 / (1u64 << 53) as f64
}

/// For adding to a time; a century stands for what is longer.
pub(crate) fn signed(duration: Duration) -> SignedDuration {
    const CENTURY: SignedDuration = SignedDuration::from_hours(24 * 36_525);
    SignedDuration::try_from(duration).unwrap_or(CENTURY).min(CENTURY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn name(text: &str) -> MirrorName {
        MirrorName::parse(text).expect("valid")
    }

    fn start() -> Timestamp {
        "2026-11-23T03:00:00Z".parse().expect("valid")
    }

    fn table() -> Timetable {
        Timetable { interval: HOUR, rows: BTreeMap::new() }
    }

    fn pause(table: &Timetable, mirror: &MirrorName, since: Timestamp) -> Duration {
        Duration::try_from(table.rows[mirror].due.duration_since(since)).expect("in the future")
    }

    #[test]
    fn first_scans_come_soon_and_not_all_at_once() {
        let mut table = table();
        let names: Vec<_> = (0..20).map(|n| name(&format!("m{n}"))).collect();
        for mirror in &names {
            table.enter(mirror, start(), None);
        }
        let pauses: std::collections::BTreeSet<_> = names.iter().map(|mirror| pause(&table, mirror, start())).collect();
        assert!(pauses.len() > 15 && pauses.iter().all(|pause| *pause <= Timetable::FIRST), "{pauses:?}");
        assert_eq!(table.due(start() + signed(HOUR)).len(), 20);
    }

    #[test]
    fn scans_that_end_together_are_not_due_together() {
        let mut table = table();
        let names: Vec<_> = (0..20).map(|n| name(&format!("m{n}"))).collect();
        for mirror in &names {
            table.enter(mirror, start(), None);
            table.begin(mirror, start());
            table.end(mirror, start(), Ended::Done);
        }
        let pauses: std::collections::BTreeSet<_> = names.iter().map(|mirror| pause(&table, mirror, start())).collect();
        assert!(pauses.len() > 15 && pauses.iter().all(|pause| (HOUR * 9 / 10..=HOUR * 11 / 10).contains(pause)), "{pauses:?}");
    }

    #[test]
    fn a_restart_does_not_scan_again_what_was_just_scanned() {
        let mut table = table();
        let (recent, old) = (name("recent"), name("old"));
        table.enter(&recent, start(), Some(start() - signed(HOUR / 4)));
        table.enter(&old, start(), Some(start() - signed(HOUR * 5)));
        assert_eq!(pause(&table, &recent, start()), HOUR * 3 / 4);
        assert!(pause(&table, &old, start()) <= Timetable::FIRST);
        let future = name("future");
        table.enter(&future, start(), Some(start() + signed(HOUR * 1000)));
        assert!(pause(&table, &future, start()) <= HOUR, "a clock that was set back");
    }

    #[test]
    fn a_failing_mirror_is_tried_less_and_less_often_and_is_forgiven_at_once() {
        let mut table = table();
        let mirror = name("m");
        table.enter(&mirror, start(), None);
        let mut after = |ended| {
            table.begin(&mirror, start());
            assert!(table.due(start() + signed(HOUR * 100)).is_empty(), "it is running");
            table.end(&mirror, start(), ended);
            pause(&table, &mirror, start()).as_secs_f64() / 60.0
        };
        for minutes in [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 480.0, 480.0] {
            let pause = after(Ended::Failed);
            assert!((0.9 * minutes..=1.1 * minutes).contains(&pause), "{pause} is not about {minutes}");
        }
        let pause = after(Ended::Done);
        assert!((54.0..=66.0).contains(&pause), "{pause}");
    }

    #[test]
    fn wishes_are_granted_but_not_every_second() {
        let mut table = table();
        let mirror = name("m");
        table.enter(&mirror, start(), None);
        table.begin(&mirror, start());
        table.end(&mirror, start(), Ended::Done);
        table.wish(&mirror, start() + signed(Duration::from_secs(5)));
        assert_eq!(pause(&table, &mirror, start()), Timetable::WISH_GAP);
        table.wish(&name("nobody"), start());
        let late = start() + signed(HOUR / 2);
        table.begin(&mirror, start());
        table.end(&mirror, start(), Ended::Done);
        table.wish(&mirror, late);
        assert_eq!(table.due(late), [mirror]);
    }

    #[test]
    fn a_clock_that_is_set_back_puts_no_scan_off() {
        let mut table = table();
        let mirror = name("m");
        let next_year = start() + signed(HOUR * 24 * 365);
        table.enter(&mirror, next_year, None);
        table.begin(&mirror, next_year);
        table.end(&mirror, next_year, Ended::Done);
        assert!(table.due(start()).is_empty());
        assert!(pause(&table, &mirror, start()) <= HOUR * 11 / 10);
        table.wish(&mirror, start());
        assert!(pause(&table, &mirror, start()) <= Timetable::WISH_GAP);
    }
}
