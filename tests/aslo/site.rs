//! A site: the trees and configurations of its instances, its mirrors, its clock, and the daemon that serves it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use redirector::clock::Clock;
use redirector::inventory::{Counts, Inventory};
use redirector::model::{FileRecord, FileState, MirrorName, TreePath};
use redirector::{config, daemon, durable};
use reqwest::Method;
use reqwest::redirect::Policy;
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::answer::Answer;
use super::mirror::Mirror;
use crate::servers::{Folder, free_address};
use crate::until::look_async;
pub use crate::until::until_async as until;

/// A site and, once it is started, its daemon.
pub struct Site {
    folder: Folder,
    pub clock: Clock,
    instances: BTreeMap<String, Instance>,
    client: reqwest::Client,
    daemon: Option<Daemon>,
}

/// One instance: its folder and what its configuration says.
pub struct Instance {
    folder: PathBuf,
    sections: BTreeMap<&'static str, String>,
    pub mirrors: Vec<Mirror>,
    /// Entries of mirrors that are no [`Mirror`].
    pub entries: String,
    eyes: Option<Inventory>,
}

struct Daemon {
    address: SocketAddr,
    admin: SocketAddr,
    run: Run,
}

/// Where the daemon runs.
enum Run {
    /// In this process, by the test's clock.
    Here { stop: CancellationToken, task: JoinHandle<Result<(), daemon::Error>> },
    /// As the program, by the machine's clock.
    Program(Child),
}

/// The instance of most stories.
pub const PRODUCTION: &str = "activities";
/// Clients' addresses, which the built-in databases place in these countries.
pub const NETHERLANDS: &str = "145.97.39.155";
pub const UNITED_STATES: &str = "129.21.1.40";
pub const AUSTRALIA: &str = "139.130.4.4";
pub const URUGUAY: &str = "164.73.32.2";
/// Sections that every configuration has. Mirrors are scanned every five minutes by the test's clock.
const SECTIONS: [(&str, &str); 4] = [
    ("tree", "public = \"public\"\napplication = \"application\"\n"),
    ("inventory", "database = \"inventory.sqlite\"\n"),
    ("scan", "interval = \"5m\"\ntimeout = \"20s\"\n"),
    ("probe", "interval = \"1m\"\ntimeout = \"2s\"\n"),
];
/// A bundle that is in every public tree from the beginning, and very old.
pub const BROWSE: &str = "4024/browse-129.xo";
const YEARS: SignedDuration = SignedDuration::from_hours(24 * 365 * 40);
/// Longer than any interval between scans with its jitter.
const SURELY_SCANNED: SignedDuration = SignedDuration::from_mins(6);
/// How long a file must stand still, and a bit.
const SETTLED: SignedDuration = SignedDuration::from_secs(3);
/// Nothing takes so long, not even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

impl Site {
    /// A site with the instance `activities`, whose trees are empty.
    pub fn new() -> Self {
        Self::of(&[PRODUCTION])
    }

    /// A site with several instances, each at the prefix of its name.
    pub fn of(names: &[&str]) -> Self {
        let folder = Folder::new();
        let instances = names.iter().map(|name| ((*name).to_owned(), Instance::new(name, &folder.path().join(name))));
        let instances = instances.collect();
        if std::env::var_os("RUST_LOG").is_some() {
            let filter = tracing_subscriber::EnvFilter::from_default_env();
            tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init().ok();
        }
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder().redirect(Policy::none()).no_proxy().timeout(PATIENCE);
        Self {
            folder,
            clock: Clock::manual(Timestamp::now()),
            instances,
            client: client.build().expect("a client"),
            daemon: None,
        }
    }

    pub fn instance(&mut self, name: &str) -> &mut Instance {
        self.instances.get_mut(name).expect("an instance of that name")
    }

    /// The instance of most stories.
    pub fn production(&mut self) -> &mut Instance {
        self.instance(PRODUCTION)
    }

    /// A folder for other things.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A mirror of the production instance.
    pub fn mirror(&mut self, name: &str) -> &mut Mirror {
        self.production().mirrors.iter_mut().find(|mirror| mirror.name == name).expect("a mirror of that name")
    }

    /// Writes the configurations as they are now.
    pub fn configure(&self, listen: SocketAddr, admin: SocketAddr) -> Vec<PathBuf> {
        let write = |(name, instance): (&String, &Instance)| {
            let path = self.folder.path().join(format!("{name}.toml"));
            durable::write(&path, instance.configuration(listen, admin).as_bytes()).expect("written");
            path
        };
        self.instances.iter().map(write).collect()
    }

    /// Starts the daemon, in this process, and waits until it has walked through the trees and scanned the mirrors once.
    pub async fn start(&mut self) {
        for _ in 0..5 {
            let (address, admin) = (free_address(), free_address());
            let paths = self.configure(address, admin);
            let configs = config::read_all(&paths).unwrap_or_else(|problems| panic!("{problems}"));
            let stop = CancellationToken::new();
            let (clock, token) = (self.clock.clone(), stop.clone());
            let task = tokio::spawn(async move { daemon::serve(configs, &paths, clock, token).await });
            if self.is_up(Daemon { address, admin, run: Run::Here { stop, task } }).await {
                self.indexed().await;
                return self.scanned_first().await;
            }
        }
        panic!("the daemon does not start");
    }

    /// Starts the program, which goes by the machine's clock; `more` are variables of its environment. Waits until it has
    /// walked through the trees.
    pub async fn spawn(&mut self, more: &[(&str, &str)]) {
        for _ in 0..5 {
            self.spawn_at(free_address(), free_address(), more).await;
            if self.daemon.is_some() {
                return self.indexed().await;
            }
        }
        panic!("the program does not start: {}", self.log());
    }

    /// Starts the program again where it was before, with the configuration that it had, and waits until it listens.
    pub async fn spawn_again_at(&mut self, address: SocketAddr, admin: SocketAddr) {
        self.spawn_with(self.configurations(), (address, admin), &[]).await;
        assert!(self.daemon.is_some(), "the program does not start again: {}", self.log());
    }

    async fn spawn_at(&mut self, address: SocketAddr, admin: SocketAddr, more: &[(&str, &str)]) {
        let paths = self.configure(address, admin);
        self.spawn_with(paths, (address, admin), more).await;
    }

    async fn spawn_with(&mut self, paths: Vec<PathBuf>, (address, admin): (SocketAddr, SocketAddr), more: &[(&str, &str)]) {
        let log = fs::File::options().create(true).append(true).open(self.log_file()).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_redirector"));
        command.args(paths.iter().flat_map(|path| ["-c".as_ref(), path.as_os_str()]));
        command.arg("serve").env_remove("RUST_LOG").envs(more.iter().copied());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("it starts");
        self.is_up(Daemon { address, admin, run: Run::Program(child) }).await;
    }

    /// Takes a daemon as this site's once it listens; false when it can't.
    async fn is_up(&mut self, mut daemon: Daemon) -> bool {
        if !daemon.is_up().await {
            return false;
        }
        self.daemon = Some(daemon);
        for config in config::read_all(&self.configurations()).unwrap_or_else(|problems| panic!("{problems}")) {
            let mirrors = config.mirrors(&|_| None);
            let eyes = Inventory::open(&config.inventory, mirrors, self.clock.clone()).await.expect("it opens");
            self.instance(&config.name).eyes = Some(eyes);
        }
        true
    }

    fn configurations(&self) -> Vec<PathBuf> {
        self.instances.keys().map(|name| self.folder.path().join(format!("{name}.toml"))).collect()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What the program has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) {
        let Run::Program(child) = &self.daemon().run else { panic!("it is no program") };
        let pid = Pid::from_raw(child.id().try_into().expect("a number")).expect("a process");
        kill_process(pid, signal).expect("it lives");
    }

    /// Stops the daemon as SIGTERM does.
    pub async fn stop(&mut self) {
        if matches!(self.daemon().run, Run::Program(_)) {
            self.signal(Signal::TERM);
        }
        self.end().await;
    }

    /// Ends the daemon: a program that was sent a signal, or the one in this process.
    pub async fn end(&mut self) {
        match self.daemon.take().expect("started").run {
            Run::Here { stop, task } => {
                stop.cancel();
                task.await.expect("it does not panic").expect("it ends well");
            }
            Run::Program(mut child) => {
                until("the program ends", async || child.try_wait().expect("our child").is_some()).await;
            }
        }
        for instance in self.instances.values_mut() {
            if let Some(eyes) = instance.eyes.take() {
                eyes.close().await.expect("closed");
            }
        }
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("started")
    }

    /// The URL of a path here.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.daemon().address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.daemon().address
    }

    /// Where administrators ask.
    pub fn admin(&self) -> SocketAddr {
        self.daemon().admin
    }

    /// Asks for a path.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[]).await
    }

    /// Asks with another method and more headers.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.fetch(method, &self.url(path), headers).await
    }

    /// Asks any server; redirects are not followed.
    pub async fn fetch(&self, method: &str, url: &str, headers: &[(&str, &str)]) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.client.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{url}: {error}"));
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Answer { status, headers, body: answer.bytes().await.expect("a whole body").to_vec() }
    }

    /// Asks for a path until the answer is as wished: for what the daemon takes note of in its own time.
    pub async fn expect(&self, path: &str, gist: &str) -> Answer {
        let mut last = None;
        let look = look_async(async || {
            let answer = self.get(path).await;
            last = Some(answer.gist());
            (answer.gist() == gist).then_some(answer)
        });
        let answer = look.await;
        answer.unwrap_or_else(|| panic!("{path}: {gist} was expected, and not {last:?}"))
    }

    /// Lets time pass.
    pub fn pass(&self, span: SignedDuration) {
        self.clock.set(self.clock.now() + span);
    }

    /// Lets minutes pass, at least six, in which all mirrors that work are scanned, and waits until they were.
    pub async fn minutes_later(&self, minutes: i64) {
        let span = SignedDuration::from_mins(minutes);
        assert!(span >= SURELY_SCANNED, "in less than six minutes not every mirror is scanned");
        self.pass(span);
        self.scanned().await;
    }

    /// Waits until all mirrors that work were scanned at the present time.
    pub async fn scanned(&self) {
        self.scanned_since(self.clock.now()).await;
    }

    async fn scanned_since(&self, since: Timestamp) {
        let mut waits_for = None;
        let look = look_async(async || {
            waits_for = self.unscanned_since(since).await;
            waits_for.is_none().then_some(())
        });
        let scanned = look.await;
        assert!(scanned.is_some(), "waited in vain for a scan of {waits_for:?}");
    }

    /// A mirror that works and was not scanned since.
    async fn unscanned_since(&self, since: Timestamp) -> Option<String> {
        for (name, instance) in self.instances.iter().filter(|(_, instance)| instance.public().exists()) {
            for mirror in instance.mirrors.iter().filter(|mirror| mirror.is_up()) {
                let labels = [("instance", name.as_str()), ("mirror", mirror.name.as_str())];
                let last = self.metric("redirector_scan_last_success_timestamp_seconds", &labels).await;
                if last.is_none_or(|last| last < since.as_second() as f64) {
                    return Some(mirror.name.clone());
                }
            }
        }
        None
    }

    /// Waits for the first scans. They come within ten seconds, by the test's clock, after the daemon has begun to look at
    /// it; so seconds pass until they do.
    async fn scanned_first(&self) {
        let since = self.clock.now();
        self.until("all mirrors are scanned", async || {
            let is_scanned = self.unscanned_since(since).await.is_none();
            if !is_scanned {
                self.pass(SignedDuration::from_secs(1));
            }
            is_scanned
        })
        .await;
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, is_so: impl AsyncFnMut() -> bool) {
        until(what, is_so).await;
    }

    /// What a metric says, summed over all series with these labels; nothing where there is none.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let page = self.fetch("GET", &format!("http://{}/metrics", self.admin()), &[]).await;
        let page = String::from_utf8(page.body).expect("text");
        let wanted: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let series = page.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        let values: Vec<f64> = series
            .filter(|line| wanted.iter().all(|label| line.contains(label)))
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// How many requests of an instance were answered so.
    pub async fn requests(&self, instance: &str, answer: &str, why: &str) -> u64 {
        let labels = [("instance", instance), ("answer", answer), ("why", why)];
        self.metric("redirector_requests_total", &labels).await.expect("it is counted") as u64
    }

    /// What `/readyz` says.
    pub async fn readyz(&self) -> Answer {
        self.fetch("GET", &format!("http://{}/readyz", self.admin()), &[]).await
    }

    /// Waits until every tree that is there was walked through once.
    async fn indexed(&self) {
        for (name, instance) in self.instances.iter().filter(|(_, instance)| instance.public().exists()) {
            let eyes = instance.eyes();
            self.until(&format!("{name} is indexed"), async || eyes.is_indexed().await.expect("readable")).await;
        }
    }

    /// Copies a file into the public tree as ASLO does: in place, with the time of the copy.
    pub fn copy(&self, instance: &str, path: &str, content: &[u8]) {
        let file = self.instances[instance].public().join(path);
        write(&file, content, self.clock.now());
    }

    /// Copies a file into the production tree, and lets seconds pass until the inventory knows it with its digest.
    pub async fn publish(&self, path: &str, content: &[u8]) {
        self.publish_in(PRODUCTION, path, content).await;
    }

    /// The same in another instance.
    pub async fn publish_in(&self, instance: &str, path: &str, content: &[u8]) {
        self.copy(instance, path, content);
        self.settle(instance, path).await;
    }

    /// Lets seconds pass until a file's present content is known.
    pub async fn settle(&self, instance: &str, path: &str) -> FileRecord {
        self.pass(SETTLED);
        let file = self.instances[instance].public().join(path);
        self.until(&format!("{path} is known"), async || {
            let record = self.record(instance, path).await;
            record.is_some_and(|record| {
                record.state == FileState::Settled && record.sha256.is_some() && record.fingerprint.ctime_ns == ctime_ns(&file)
            })
        })
        .await;
        let here = format!("/{instance}/{path}");
        self.until(&format!("{path} is served as known"), async || {
            !matches!(self.get(&here).await.why(), "not-indexed" | "changing" | "unconfirmed")
        })
        .await;
        self.record(instance, path).await.expect("it is known")
    }

    /// What the inventory knows of a file.
    pub async fn record(&self, instance: &str, path: &str) -> Option<FileRecord> {
        let path = TreePath::parse(path.as_bytes().to_vec()).expect("a path");
        self.instances[instance].eyes().file(path).await.expect("readable")
    }

    /// Whether a mirror of an instance is known to hold what a path has now.
    pub async fn holds(&self, instance: &str, mirror: &str, path: &str) -> bool {
        let Some(record) = self.record(instance, path).await else { return false };
        let mirrors = self.instances[instance].eyes().snapshot().mirrors();
        mirrors.members.iter().any(|state| state.mirror.name.as_str() == mirror && state.holds(record.version))
    }

    /// What the last scan of a mirror of the production instance found.
    pub async fn last_scan(&self, mirror: &str) -> Counts {
        let name = MirrorName::parse(mirror).expect("a name");
        let scans = self.instances[PRODUCTION].eyes().scans(name, 1).await.expect("readable");
        scans.into_iter().next().expect("it was scanned").outcome.expect("it did not fail")
    }

    /// Runs the program with these arguments on an instance, beside the daemon, and returns what it prints.
    pub fn command(&self, instance: &str, arguments: &[&str]) -> String {
        self.command_with(instance, arguments, &[])
    }

    /// The same with more variables in its environment.
    pub fn command_with(&self, instance: &str, arguments: &[&str], more: &[(&str, &str)]) -> String {
        let (is_success, told) = self.run(instance, arguments, more);
        assert!(is_success, "{arguments:?}: {told}");
        told
    }

    /// The same where it has to fail.
    pub fn fail(&self, instance: &str, arguments: &[&str]) -> String {
        let (is_success, told) = self.run(instance, arguments, &[]);
        assert!(!is_success, "{arguments:?}: {told}");
        told
    }

    fn run(&self, instance: &str, arguments: &[&str], more: &[(&str, &str)]) -> (bool, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_redirector"))
            .arg("-c")
            .arg(self.folder.path().join(format!("{instance}.toml")))
            .args(arguments)
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("it starts");
        let told = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&told).into_owned())
    }
}

impl Daemon {
    /// Waits until it listens; false when it can't.
    async fn is_up(&mut self) -> bool {
        let is_up = look_async(async || {
            let has_ended = match &mut self.run {
                Run::Here { task, .. } => task.is_finished(),
                Run::Program(child) => child.try_wait().expect("our child").is_some(),
            };
            let both = (tokio::net::TcpStream::connect(self.address), tokio::net::TcpStream::connect(self.admin));
            let answers = !has_ended && both.0.await.is_ok() && both.1.await.is_ok();
            (answers || has_ended).then_some(answers)
        });
        is_up.await == Some(true)
    }
}

impl Instance {
    fn new(name: &str, folder: &Path) -> Self {
        fs::create_dir_all(folder.join("application")).expect("a folder");
        // No tree of the library is ever empty: without a file there is nothing to scan mirrors for.
        write(&folder.join("public").join(BROWSE), &bundle(129, 1000), Timestamp::UNIX_EPOCH + YEARS);
        let mut sections: BTreeMap<_, _> = SECTIONS.into_iter().map(|(name, keys)| (name, keys.to_owned())).collect();
        for keys in sections.values_mut() {
            // Each instance has a folder of its own beside its configuration.
            for key in ["public", "application", "inventory.sqlite"] {
                *keys = keys.replace(&format!("= \"{key}\""), &format!("= \"{name}/{key}\""));
            }
        }
        sections.entry("tree").or_default().push_str(&format!("prefix = \"/{name}\"\n"));
        Self { folder: folder.to_owned(), sections, mirrors: Vec::new(), entries: String::new(), eyes: None }
    }

    /// Adds keys to a section; one that is there already is replaced.
    pub fn set(&mut self, section: &'static str, keys: &str) -> &mut Self {
        let name = |line: &str| line.split('=').next().unwrap_or("").trim().to_owned();
        let text = self.sections.entry(section).or_default();
        for line in keys.lines() {
            let kept: Vec<&str> = text.lines().filter(|old| name(old) != name(line)).chain([line]).collect();
            *text = kept.join("\n") + "\n";
        }
        self
    }

    /// Leaves a key out.
    pub fn unset(&mut self, section: &'static str, key: &str) -> &mut Self {
        let text = self.sections.entry(section).or_default();
        let kept: Vec<&str> = text.lines().filter(|line| line.split('=').next().unwrap_or("").trim() != key).collect();
        *text = kept.join("\n") + "\n";
        self
    }

    pub fn add(&mut self, mirror: Mirror) -> &mut Self {
        self.mirrors.push(mirror);
        self
    }

    /// The repo tree.
    pub fn public(&self) -> PathBuf {
        self.folder.join("public")
    }

    /// The sand box.
    pub fn application(&self) -> PathBuf {
        self.folder.join("application")
    }

    /// What the inventory knows, by a handle of our own.
    pub fn eyes(&self) -> &Inventory {
        self.eyes.as_ref().expect("started")
    }

    fn configuration(&self, listen: SocketAddr, admin: SocketAddr) -> String {
        let mut text = format!("[server]\nlisten = [\"{listen}\"]\nadmin-listen = \"{admin}\"\n");
        text += self.sections.get("server").map_or("", String::as_str);
        for (name, keys) in self.sections.iter().filter(|(name, _)| **name != "server") {
            write!(text, "\n[{name}]\n{keys}").expect("written");
        }
        self.mirrors.iter().for_each(|mirror| text += &mirror.entry());
        text + &self.entries
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        match self.daemon.take().map(|daemon| daemon.run) {
            Some(Run::Here { stop, .. }) => stop.cancel(),
            Some(Run::Program(mut child)) => {
                child.kill().ok();
                child.wait().ok();
            }
            None => {}
        }
    }
}

/// Writes a file in place, and the folders above it.
pub fn write(file: &Path, content: &[u8], modified: Timestamp) {
    fs::create_dir_all(file.parent().expect("below a tree")).expect("a folder");
    let mut out = fs::File::create(file).expect("a file");
    std::io::Write::write_all(&mut out, content).expect("there is room");
    out.set_modified(modified.into()).expect("the time can be set");
}

/// When a file's inode was last changed.
fn ctime_ns(file: &Path) -> i64 {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(file).map_or(0, |data| data.ctime() * 1_000_000_000 + data.ctime_nsec())
}

/// Bytes that look like a bundle's: none like the other, and the same for the same seed.
pub fn bundle(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        // xorshift64 (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// The SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}
