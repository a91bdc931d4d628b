//! Questions on demand: new files are known on mirrors within a minute, without a scan and without harm to anybody.

mod running;
mod servers;
mod until;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use redirector::clock::Clock;
use redirector::inventory::{Counts, Protocol};
use redirector::inventory::{Inventory, Observation, ScanRecord, Seen};
use redirector::model::{BaseUrl, Fingerprint, Mirror, MirrorName, Question, Scheme, TreePath};
use redirector::scan::{Clients, Demand, Nudge, Redirectable, Scanner, Scheduler, Settings, demand};
use running::{Running, Site, until};
use servers::{Folder, Odd, Server, respond};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use until::until_async;

/// When tests begin: the servers' clocks are right, and so must ours be.
static THEN: LazyLock<i64> = LazyLock::new(|| Clock::system().now().as_second());
const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

/// A tree as the inventory knows it, mirrors of it, and the task that asks them.
struct World {
    inventory: Inventory,
    clock: Clock,
    questions: mpsc::Sender<Question>,
    metrics: Arc<demand::Metrics>,
    stop: CancellationToken,
    /// One more mirror, which has nothing, and what it was asked for: by it, it is told how far the task is.
    _marker: Odd,
    /// How often it was used.
    marked: AtomicUsize,
    /// Wishes for scans, which nobody grants but which are counted by the scheduler's metrics.
    _nudge: Nudge,
}

impl World {
    async fn new(urls: &[&str]) -> Self {
        let clock = Clock::manual(Timestamp::from_second(*THEN).expect("valid"));
        let marker = Odd::start(|request, out| respond(request, out, "404 Not Found", &[], b"no"));
        let mut mirrors: Vec<_> = urls.iter().enumerate().map(|(number, url)| Arc::new(mirror(number, url))).collect();
        mirrors.push(Arc::new(Mirror { name: marker_name(), ..mirror(0, &marker.url()) }));
        let inventory = Inventory::temporary(mirrors, clock.clone()).await.expect("it opens");
        let settings = Settings::default();
        let clients = Clients::new(&settings, None).expect("clients");
        let scanner = Scanner::new(inventory.clone(), settings, clients.clone(), clock.clone());
        let (_, nudge) = Scheduler::new(scanner, clock.clone(), Arc::default());
        let (questions, asked) = mpsc::channel(2000);
        let redirectable = Redirectable { min_age: HALF_AN_HOUR, min_size: 10 };
        let metrics = Arc::new(demand::Metrics::default());
        let asking = (inventory.clone(), clients, clock.clone());
        let demand = Demand::new(asking, redirectable, Arc::clone(&metrics), nudge.clone(), asked);
        let stop = CancellationToken::new();
        tokio::spawn(demand.run(stop.clone()));
        Self { inventory, clock, questions, metrics, stop, _marker: marker, marked: AtomicUsize::new(0), _nudge: nudge }
    }

    /// Has a file put into the tree now.
    async fn put(&self, name: &str, size: u64) {
        let now = self.clock.now().as_second();
        let fingerprint = Fingerprint { size, mtime_ns: now * 1_000_000_000, ctime_ns: now * 1_000_000_000, inode: 1 };
        let observation = Observation { path: path(name), fingerprint, at: self.clock.now(), kind: Seen::Later };
        self.inventory.observe(vec![observation]).await.expect("written");
    }

    /// Lets the task look at everything twice: what was due has begun when something else that came later was asked for, and has
    /// had its answer when, after that, yet another thing was.
    async fn some_rounds(&self) {
        for _ in 0..2 {
            let number = self.marked.fetch_add(1, Ordering::SeqCst);
            let name = format!("marker-{number}");
            let fingerprint = Fingerprint { size: 1000, mtime_ns: 0, ctime_ns: 0, inode: 1 };
            let observation = Observation { path: path(&name), fingerprint, at: self.clock.now(), kind: Seen::First };
            self.inventory.observe(vec![observation]).await.expect("written");
            // The pause after the last question to it.
            self.clock.set(self.clock.now() + SignedDuration::from_millis(250));
            self.ask(Question::DoesHold(path(&name), marker_name())).await;
            until_async("the marker was asked for", async || self.counted_of("absent", true) > number as u64).await;
        }
    }

    fn pass(&self, seconds: i64) {
        self.clock.set(self.clock.now() + SignedDuration::from_secs(seconds));
    }

    fn holds(&self, number: usize, name: &str) -> bool {
        let entry = self.inventory.snapshot().file(&path(name)).expect("a file");
        self.inventory.snapshot().mirrors().members[number].holds(entry.version)
    }

    /// Lets a mirror be known to hold files, as a scan does.
    async fn let_hold(&self, number: usize, names: &[&str]) {
        let version = |name: &&str| self.inventory.snapshot().file(&path(name)).expect("a file").version.0;
        let now = self.clock.now();
        let record = ScanRecord {
            mirror: mirror_name(number),
            began: now,
            ended: now,
            protocol: Protocol::Http,
            notes: String::new(),
            outcome: Ok(Counts::default()),
            complete: true,
            holdings: Some(names.iter().map(version).collect()),
            before: None,
            share: None,
            gaps: None,
            listed: None,
            unseen: None,
        };
        self.inventory.record_scan(record).await.expect("written");
    }

    async fn ask(&self, question: Question) {
        self.questions.send(question).await.expect("it is taken");
    }

    /// What was counted, as a monitor reads it.
    fn counted(&self, outcome: &str) -> u64 {
        self.counted_of(outcome, false)
    }

    /// The same, of the marker or of all others.
    fn counted_of(&self, outcome: &str, of_marker: bool) -> u64 {
        let mut registry = prometheus_client::registry::Registry::default();
        self.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("it is printed");
        let lines = text
            .lines()
            .filter(|line| line.contains(&format!("outcome=\"{outcome}\"")) && line.contains("marker") == of_marker);
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn path(text: &str) -> TreePath<'static> {
    TreePath::parse(text.as_bytes().to_vec()).expect("valid")
}

fn mirror_name(number: usize) -> MirrorName {
    MirrorName::parse(&format!("m{number}")).expect("valid")
}

fn marker_name() -> MirrorName {
    MirrorName::parse("marker").expect("valid")
}

fn mirror(number: usize, url: &str) -> Mirror {
    Mirror { http: Some(BaseUrl::parse(url, Scheme::Http).expect("valid")), ..Mirror::new(mirror_name(number)) }
}

/// A server that has one file of this many bytes, as new as can be, and counts the questions about it.
fn with_file(name: &'static str, size: usize) -> (Odd, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = Odd::start(move |request, out| {
        if request.path == format!("/{name}") {
            count.fetch_add(1, Ordering::SeqCst);
            return respond(request, out, "200 OK", &[], &vec![b'x'; size]);
        }
        respond(request, out, "404 Not Found", &[], b"no")
    });
    (server, asked)
}

#[tokio::test]
async fn a_new_file_is_asked_for_when_it_is_about_to_be_redirected_without_any_request() {
    let folder = Folder::new();
    let (has, lacks) = (Server::nginx(folder.path(), "autoindex off;"), Server::nginx(folder.path(), "return 404;"));
    let world = World::new(&[&has.url(), &lacks.url()]).await;
    world.put("new.xo", 1000).await;
    folder.write("new.xo", 1000, *THEN);
    world.some_rounds().await;
    assert!(!world.holds(0, "new.xo"), "it is young: nobody is asked");
    world.pass(1790);
    until_async("the mirror is asked in time", async || world.holds(0, "new.xo")).await;
    until_async("the other one, too", async || world.counted("absent") == 1).await;
    assert!(!world.holds(1, "new.xo"));
}

#[tokio::test]
async fn a_mirror_that_gets_a_file_later_is_known_to_within_a_minute() {
    let folder = Folder::new();
    let server = Server::nginx(folder.path(), "autoindex off;");
    let world = World::new(&[&server.url()]).await;
    world.put("new.xo", 1000).await;
    world.pass(1795);
    until_async("it was asked in vain", async || world.counted("absent") == 1).await;
    folder.write("new.xo", 1000, *THEN);
    world.pass(59);
    until_async("it is asked again", async || world.holds(0, "new.xo")).await;
}

#[tokio::test]
async fn a_thousand_misses_for_one_file_are_one_round_of_questions() {
    let servers: Vec<_> = (0..3).map(|_| with_file("else.xo", 1000)).collect();
    let urls: Vec<String> = servers.iter().map(|(server, _)| server.url()).collect();
    let world = World::new(&urls.iter().map(String::as_str).collect::<Vec<_>>()).await;
    world.put("old.xo", 1000).await;
    world.pass(100 * 3600);
    for _ in 0..1000 {
        world.ask(Question::WhoHolds(path("old.xo"))).await;
    }
    until_async("all were asked", async || world.counted("absent") == 3).await;
    world.pass(60);
    world.some_rounds().await;
    assert_eq!(servers.iter().map(|(server, _)| server.requests()).sum::<usize>(), 3, "one question each");
}

#[tokio::test]
async fn what_can_not_be_redirected_is_not_asked_for() {
    let (server, _) = with_file("small.xo", 9);
    let world = World::new(&[&server.url()]).await;
    world.put("small.xo", 9).await;
    world.pass(3600);
    world.ask(Question::WhoHolds(path("small.xo"))).await;
    world.ask(Question::WhoHolds(path("never-was.xo"))).await;
    world.put("held.xo", 1000).await;
    let hold = redirector::inventory::Hold { path: path("held.xo"), because: "bad".to_owned(), at: world.clock.now() };
    world.inventory.hold(hold).await.expect("held");
    world.pass(3600);
    world.ask(Question::WhoHolds(path("held.xo"))).await;
    world.some_rounds().await;
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn a_server_that_says_yes_to_everything_is_not_believed() {
    let server = Odd::start(|request, out| respond(request, out, "200 OK", &[], &[b'x'; 1000]));
    let world = World::new(&[&server.url()]).await;
    world.put("new.xo", 1000).await;
    world.put("other.xo", 2000).await;
    world.let_hold(0, &["other.xo"]).await;
    world.pass(1800);
    until_async("it is asked, and asked for what can't exist", async || server.requests() >= 2).await;
    world.some_rounds().await;
    assert!(!world.holds(0, "new.xo"), "yes says nothing");
    world.pass(7200);
    world.ask(Question::DoesHold(path("other.xo"), mirror_name(0))).await;
    until_async("it is asked again", async || server.requests() >= 4).await;
    world.some_rounds().await;
    assert!(world.holds(0, "other.xo"), "and another length says nothing either");
}

#[tokio::test]
async fn an_older_or_a_shorter_copy_is_no_new_file() {
    let folder = Folder::new();
    folder.write("new.xo", 999, *THEN);
    folder.write("same-size.xo", 1000, *THEN - 86_400);
    let server = Server::nginx(folder.path(), "");
    let world = World::new(&[&server.url()]).await;
    world.put("new.xo", 1000).await;
    world.put("same-size.xo", 1000).await;
    world.pass(1800);
    until_async("both were asked for", async || world.counted("absent") == 2).await;
    assert!(!world.holds(0, "new.xo") && !world.holds(0, "same-size.xo"));
}

#[tokio::test]
async fn a_client_that_comes_back_has_the_mirror_asked_at_once() {
    let (server, asked) = with_file("good.xo", 1000);
    let world = World::new(&[&server.url()]).await;
    for name in ["good.xo", "gone.xo"] {
        world.put(name, 1000).await;
    }
    world.let_hold(0, &["good.xo", "gone.xo"]).await;
    for _ in 0..100 {
        world.ask(Question::DoesHold(path("gone.xo"), mirror_name(0))).await;
        world.ask(Question::DoesHold(path("good.xo"), mirror_name(0))).await;
    }
    until_async("what is gone is gone", async || !world.holds(0, "gone.xo")).await;
    world.pass(1);
    until_async("what is there was asked for", async || asked.load(Ordering::SeqCst) == 1).await;
    world.some_rounds().await;
    assert!(world.holds(0, "good.xo"));
    assert!(server.requests() <= 4, "each file once, and what can't exist: {}", server.requests());
    assert_eq!(world.counted("gone"), 1);
}

#[tokio::test]
async fn a_mirror_that_fails_loses_nothing_and_is_asked_less_and_less() {
    let server = Odd::start(|request, out| respond(request, out, "500 Internal Server Error", &[], b"oh"));
    let world = World::new(&[&server.url()]).await;
    world.put("old.xo", 1000).await;
    world.put("new.xo", 1000).await;
    world.let_hold(0, &["old.xo"]).await;
    world.ask(Question::DoesHold(path("old.xo"), mirror_name(0))).await;
    until_async("it is asked", async || server.requests() == 1).await;
    world.pass(1800);
    until_async("it is asked again", async || server.requests() >= 2).await;
    world.some_rounds().await;
    assert!(world.holds(0, "old.xo"));
    let before = server.requests();
    for _ in 0..4 {
        world.pass(26);
        world.some_rounds().await;
    }
    assert!(server.requests() - before <= 2, "{} questions in 104 s", server.requests() - before);
}

#[tokio::test]
async fn a_mirror_that_asks_to_be_left_alone_is_left_alone_by_all() {
    let server =
        Odd::start(|request, out| respond(request, out, "429 Too Many Requests", &[("Retry-After", "3600")], b"slow down"));
    let world = World::new(&[&server.url()]).await;
    world.put("new.xo", 1000).await;
    world.pass(1800);
    until_async("it is asked once", async || server.requests() == 1).await;
    for _ in 0..4 {
        world.pass(120);
        world.some_rounds().await;
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_file_is_redirected_soon_after_its_min_age_and_soon_after_a_mirror_gets_it() {
    let (site, folder) = (Site::with_a_file("demand"), Folder::new());
    folder.write("old.xo", 100_000, running::OLD);
    let server = Server::nginx(folder.path(), "autoindex on;");
    let rest = running::mirror("late", &server.url());
    site.configure("", "min-age = \"2s\"\n", &rest);
    let text = std::fs::read_to_string(site.path()).expect("it is there").replace("interval = \"5s\"", "interval = \"1h\"");
    site.write(&text);
    let running = Running::start(&[&site]);
    until("the first scan", || site.get("/old.xo").mirror() == Some("late"));
    let now = Clock::system().now().as_second();
    site.folder.write("tree/new.xo", 5000, now);
    folder.write("new.xo", 5000, now);
    let began = redirector::clock::instant();
    until("the new file is redirected", || site.get("/new.xo").mirror() == Some("late"));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(site.metrics().contains("redirector_demand_questions_total"), "{}", site.metrics());
    running.assert_well();
}
