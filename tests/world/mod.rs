//! World: what a test needs around a server: trees in a temporary folder, what the inventory knows of them, mirrors,
//! places, a clock that stands still, and a server on a socket of its own.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

pub mod script;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use ipnet::IpNet;
use jiff::Timestamp;
use redirector::clock::Clock;
use redirector::config::FallbackSettings;
use redirector::decide::{self, Keep, Rules};
use redirector::format;
use redirector::geo::{self, Locator};
use redirector::http::signature::{Access, Key};
use redirector::http::{self, Counts, Fallbacks, Makings, Packages, Route, Router, Server, Site, Stamp, Start, Trust};
use redirector::inventory::{Inventory, MirrorSet, MirrorState, Snapshot};
use redirector::model::{
    BaseUrl, ByteSize, Digests, FileRecord, FileState, Health, Mirror, MirrorName, Pieces, Question, Scheme, Sha256, TreePath,
    VersionNumber, Zsync,
};
use redirector::repository::{self, Ledger, Repositories};
use redirector::selection::Fallback;
use redirector::tree::{self, ApplicationAccess, Trees};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// A world with one server and any number of instances.
pub struct World {
    folder: TempDir,
    pub clock: Clock,
    pub router: Arc<Router>,
    server: Server,
    /// Where requests go.
    pub address: SocketAddr,
    /// Where connections start with a PROXY header.
    pub proxied: SocketAddr,
    instances: Vec<Instance>,
    places: BTreeMap<String, String>,
    locator: Option<Arc<Locator>>,
}

/// One instance: its settings, its trees and what is known of them.
pub struct Instance {
    pub name: String,
    folder: PathBuf,
    pub settings: tree::Settings,
    pub server: http::Settings,
    pub describe: format::Settings,
    records: Arc<Records>,
    files: BTreeMap<TreePath<'static>, FileRecord>,
    next_version: u32,
    mirrors: Vec<MirrorState>,
    /// Grows with the list of mirrors, not with what they hold.
    generation: u64,
    holds: Vec<TreePath<'static>>,
    pub keep: decide::Settings,
    pub answers: http::AnswerSettings,
    pub stamp: Option<Stamp>,
    pub repositories: Vec<repository::Settings>,
    pub ledger: Arc<Ledger>,
    fallback_list: Vec<Fallback>,
    fallbacks: Option<Arc<Fallbacks>>,
    trees: Option<Trees>,
    /// What keeps the history of mirrors, for the pages on them.
    pub mirror_pages: Option<Inventory>,
    counts: Arc<Counts>,
    nudge: mpsc::Sender<TreePath<'static>>,
    nudged: mpsc::Receiver<TreePath<'static>>,
    doubts: Arc<http::Doubts>,
    questions: mpsc::Receiver<Question>,
}

/// What large files are filled with, again and again. 23 letters, so that no two pieces of a file look the same.
pub const PATTERN: &[u8] = b"abcdefghijklmnopqrstuvw";

/// What a file of the world is filled with.
pub enum Content {
    Text(String),
    Size(u64),
}

impl World {
    /// A world with a server that has no instances yet, at noon of 1 November 2026.
    pub async fn new() -> Self {
        Self::with_limits(&http::Settings::default()).await
    }

    pub async fn with_limits(settings: &http::Settings) -> Self {
        let router = Arc::new(Router::default());
        let server = Server::new(http::Limits::new(settings), http::Workers::here());
        let open = || http::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let (socket, proxied) = (open(), open());
        let address = socket.local_addr().expect("bound");
        let proxied_address = proxied.local_addr().expect("bound");
        server.serve(socket, Start::Request, &router).expect("served");
        server.serve(proxied, Start::ProxyHeader, &router).expect("served");
        let now = "2026-11-01T12:00:00Z".parse().expect("a time");
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            clock: Clock::manual(now),
            router,
            server,
            address,
            proxied: proxied_address,
            instances: Vec::new(),
            places: BTreeMap::new(),
            locator: None,
        }
    }

    /// Ends the server as at SIGTERM.
    pub async fn stop(self) {
        self.server.stop().await;
    }

    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// Adds an instance, which the following calls of [`World::instance`] give.
    pub fn add_instance(&mut self, name: &str) -> &mut Instance {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(folder.join("public")).expect("a folder");
        std::fs::create_dir_all(folder.join("application")).expect("a folder");
        self.instances.push(Instance::new(name, &folder));
        self.instance()
    }

    /// The instance that was added last, or chosen by [`World::choose`]; the first call makes one.
    pub fn instance(&mut self) -> &mut Instance {
        if self.instances.is_empty() {
            self.add_instance("activities");
        }
        self.instances.last_mut().expect("at least one")
    }

    /// Makes an instance the one that [`World::instance`] gives.
    pub fn choose(&mut self, name: &str) {
        let at = self.instances.iter().position(|instance| instance.name == name).expect("an instance of that name");
        let chosen = self.instances.remove(at);
        self.instances.push(chosen);
    }

    /// Says in which country a network is.
    pub fn place(&mut self, network: &str, country: &str) {
        self.places.insert(network.to_owned(), country.to_ascii_uppercase());
        self.locator = None;
    }

    /// Lets the server answer from the world as it is now.
    pub fn publish(&mut self) {
        let locator = self.locator();
        let clock = &self.clock;
        let sites = self.instances.iter_mut().map(|instance| Arc::new(instance.site(clock, &locator))).collect();
        self.router.replace(sites);
    }

    /// Knows the places of this world and no others.
    fn locator(&mut self) -> Arc<Locator> {
        if let Some(locator) = &self.locator {
            return Arc::clone(locator);
        }
        let country = |code: &str| serde_json::json!({ "country": { "iso_code": code } });
        let mut countries = mmdb_writer::Writer::new("World-Country");
        countries.insert(network("240.0.0.0/4"), &country("AQ")).expect("a record");
        for (place, code) in &self.places {
            countries.insert(network(place), &country(code)).expect("a record");
        }
        let mut systems = mmdb_writer::Writer::new("World-ASN");
        systems.insert(network("240.0.0.0/4"), &serde_json::json!({ "autonomous_system_number": 64_496 })).expect("a record");
        let write = |name: &str, writer: &mmdb_writer::Writer| {
            let path = self.folder.path().join(name);
            redirector::durable::write(&path, &writer.to_bytes().expect("a database")).expect("written");
            Some(path)
        };
        let settings = geo::Settings {
            location: write("places.mmdb", &countries),
            asn: write("asn.mmdb", &systems),
            ..geo::Settings::default()
        };
        let (locator, problems) = Locator::open(&settings).expect("a locator");
        assert!(problems.is_empty(), "{problems:?}");
        Arc::clone(self.locator.insert(Arc::new(locator)))
    }
}

/// What was made of files by reading them.
#[derive(Debug, Default)]
struct Records {
    known: Mutex<BTreeMap<VersionNumber, Arc<Digests>>>,
    ordered: Mutex<Vec<String>>,
    is_silent: AtomicBool,
}

impl http::Records for Records {
    fn digests<'s>(
        &'s self,
        _: &'s TreePath<'_>,
        version: VersionNumber,
    ) -> BoxFuture<'s, Result<Option<Arc<Digests>>, http::Silent>> {
        let known = self.known.lock().expect("no test panics with it").get(&version).cloned();
        let answer = if self.is_silent.load(Ordering::SeqCst) { Err(http::Silent) } else { Ok(known) };
        Box::pin(std::future::ready(answer))
    }

    fn order(&self, path: TreePath<'static>) {
        self.ordered.lock().expect("no test panics with it").push(path.to_string());
    }
}

/// All digests of a content, in pieces of 256 KiB, without block sums.
pub fn digests(content: &[u8]) -> Digests {
    use sha2::Digest as _;
    let pieces = || content.chunks(PIECE_BYTES as usize);
    Digests {
        size: content.len() as u64,
        md5: md5::Md5::digest(content).into(),
        sha1: sha1::Sha1::digest(content).into(),
        sha256: Sha256(sha2::Sha256::digest(content).into()),
        sha512: sha2::Sha512::digest(content).into(),
        pieces: Pieces {
            length: PIECE_BYTES,
            sha1: pieces().flat_map(sha1::Sha1::digest).collect(),
            sha256: pieces().flat_map(sha2::Sha256::digest).collect(),
        },
        zsync: None,
    }
}

const PIECE_BYTES: u32 = 256 * 1024;

fn network(text: &str) -> IpNet {
    text.parse().expect("a network")
}

impl Instance {
    fn new(name: &str, folder: &Path) -> Self {
        let settings = format!(
            "prefix = \"/{name}\"\npublic = {:?}\napplication = {:?}\n",
            folder.join("public"),
            folder.join("application")
        );
        let (nudge, nudged) = mpsc::channel(64);
        let (question, questions) = mpsc::channel(64);
        Self {
            name: name.to_owned(),
            folder: folder.to_owned(),
            settings: toml::from_str(&settings).expect("settings"),
            server: http::Settings::default(),
            describe: format::Settings::default(),
            records: Arc::default(),
            files: BTreeMap::new(),
            next_version: 1,
            mirrors: Vec::new(),
            generation: 1,
            holds: Vec::new(),
            keep: decide::Settings::default(),
            answers: http::AnswerSettings::default(),
            stamp: None,
            repositories: Vec::new(),
            ledger: Arc::default(),
            fallback_list: Vec::new(),
            fallbacks: None,
            trees: None,
            counts: Arc::default(),
            mirror_pages: None,
            nudge,
            nudged,
            doubts: Arc::new(http::Doubts::new(question)),
            questions,
        }
    }

    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// The folder `public` or `application`.
    pub fn tree(&self, which: &str) -> PathBuf {
        self.folder.join(which)
    }

    /// Opens the trees; called again after a setting changed.
    pub fn open_trees(&mut self) {
        self.trees = Some(Trees::open(&self.settings).expect("trees"));
    }

    fn trees(&mut self) -> &Trees {
        if self.trees.is_none() {
            self.open_trees();
        }
        self.trees.as_ref().expect("opened")
    }

    /// Writes a file that was last modified then.
    pub fn write(&self, which: &str, path: &str, content: &Content, modified: Timestamp) {
        let file = self.tree(which).join(path);
        std::fs::create_dir_all(file.parent().expect("below a tree")).expect("a folder");
        let bytes = match content {
            Content::Text(text) => text.clone().into_bytes(),
            Content::Size(size) => {
                let size = usize::try_from(*size).expect("a size that fits");
                let mut bytes = PATTERN.repeat(size / PATTERN.len() + 1);
                bytes.truncate(size);
                bytes
            }
        };
        let written = std::fs::File::create(&file).and_then(|mut file| {
            std::io::Write::write_all(&mut file, &bytes)?;
            file.set_modified(modified.into())
        });
        written.expect("written");
    }

    /// Lets the inventory know a file of the public tree, as a new version that is public since `since`.
    pub fn index(&mut self, path: &str, since: Timestamp) {
        let tree_path = tree_path(path);
        let fingerprint = self.trees().public.look(&tree_path).expect("a file of the public tree").fingerprint;
        let version = VersionNumber(self.next_version);
        self.next_version += 1;
        let record = FileRecord {
            path: tree_path.clone(),
            version,
            fingerprint,
            sha256: None,
            version_mtime_ns: fingerprint.mtime_ns,
            exact_time: false,
            public_since: since,
            state: FileState::Settled,
        };
        self.files.insert(tree_path, record);
    }

    /// Lets the inventory know all digests of a file as it is now.
    pub fn hash(&mut self, path: &str) {
        let content = std::fs::read(self.tree("public").join(path)).expect("a file of the public tree");
        let record = self.files.get_mut(&tree_path(path)).expect("an indexed file");
        let digests = digests(&content);
        record.sha256 = Some(digests.sha256);
        self.records.known.lock().expect("no test panics with it").insert(record.version, Arc::new(digests));
    }

    /// Has block sums for zsync of a file that is hashed.
    pub fn sum_blocks(&mut self, path: &str) {
        let version = self.files.get(&tree_path(path)).expect("an indexed file").version;
        let mut known = self.records.known.lock().expect("no test panics with it");
        let digests = known.get_mut(&version).expect("a hashed file");
        let zsync = Zsync { block_size: 2048, sequence_matches: 1, rsum_bytes: 2, checksum_bytes: 3, sums: vec![7; 5].into() };
        *digests = Arc::new(Digests { zsync: Some(zsync), ..(**digests).clone() });
    }

    /// Lets the records of digests fall silent, as a database that can't be read.
    pub fn silence_records(&self) {
        self.records.is_silent.store(true, Ordering::SeqCst);
    }

    /// Which files were to be hashed soon since the last call.
    pub fn take_ordered(&self) -> Vec<String> {
        std::mem::take(&mut self.records.ordered.lock().expect("no test panics with it"))
    }

    /// Sets the state of a file in the inventory.
    pub fn set_state(&mut self, path: &str, state: FileState) {
        self.files.get_mut(&tree_path(path)).expect("an indexed file").state = state;
    }

    /// Takes a file out of the inventory.
    pub fn forget(&mut self, path: &str) {
        self.files.remove(&tree_path(path));
    }

    /// Adds a mirror; without URLs it has both at `NAME.example/sugar/`.
    pub fn add_mirror(&mut self, mirror: Mirror) {
        self.generation += 1;
        self.mirrors.push(MirrorState { health: Health::Up, ..MirrorState::unknown(Arc::new(mirror)) });
    }

    fn mirror(&mut self, name: &str) -> &mut MirrorState {
        self.mirrors.iter_mut().find(|state| state.mirror.name.as_str() == name).expect("a mirror of that name")
    }

    /// Lets a mirror hold the present versions of the paths; `*` is every indexed file.
    pub fn let_hold(&mut self, mirror: &str, paths: &str) {
        let versions: Vec<u32> = self.versions(paths);
        let holdings = &mut self.mirror(mirror).holdings;
        *holdings = (&(holdings.to_bitmap() | roaring::RoaringBitmap::from_iter(versions))).into();
    }

    /// Takes the present versions of the paths from a mirror.
    pub fn let_lose(&mut self, mirror: &str, paths: &str) {
        let versions = self.versions(paths);
        let holdings = &mut self.mirror(mirror).holdings;
        *holdings = (&(holdings.to_bitmap() - roaring::RoaringBitmap::from_iter(versions))).into();
    }

    fn versions(&self, paths: &str) -> Vec<u32> {
        if paths == "*" {
            return self.files.values().map(|record| record.version.0).collect();
        }
        paths.split(',').map(|path| self.files.get(&tree_path(path)).expect("an indexed file").version.0).collect()
    }

    pub fn set_health(&mut self, mirror: &str, health: Health) {
        match self.fallback_list.iter().position(|fallback| fallback.name.as_str() == mirror) {
            Some(index) => self.fallbacks.iter().for_each(|all| all.set_usable(index, health.is_usable())),
            None => self.mirror(mirror).health = health,
        }
    }

    /// Adds a fallback mirror as the configuration would have it.
    pub fn add_fallback(&mut self, settings: &FallbackSettings) {
        self.fallback_list.push(settings.complete());
        self.fallbacks = None;
    }

    pub fn hold(&mut self, path: &str) {
        self.holds.push(tree_path(path.trim_end_matches('/')));
    }

    pub fn release(&mut self, path: &str) {
        let path = tree_path(path.trim_end_matches('/'));
        self.holds.retain(|held| *held != path);
    }

    /// Takes a tree away as if it were unmounted.
    pub fn unmount(&mut self, which: &str) {
        self.trees();
        std::fs::rename(self.tree(which), self.folder.join(format!("{which}-unmounted"))).expect("renamed");
        self.trees().refresh();
    }

    pub fn mount(&mut self, which: &str) {
        std::fs::rename(self.folder.join(format!("{which}-unmounted")), self.tree(which)).expect("renamed");
        self.trees().refresh();
    }

    /// What the index was asked to look at since the last call.
    pub fn take_nudged(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.nudged.try_recv().ok()).map(|path| path.to_string()).collect()
    }

    /// What mirrors would have been asked for since the last call.
    pub fn take_questions(&mut self) -> Vec<Question> {
        std::iter::from_fn(|| self.questions.try_recv().ok()).collect()
    }

    fn site(&mut self, clock: &Clock, locator: &Arc<Locator>) -> Site {
        let trees = self.trees().clone();
        let metadata = |settings: &repository::Settings| decide::Metadata {
            root: settings.path.clone(),
            files: settings.metadata().expect("patterns"),
        };
        let keep = Keep::new(&self.keep, self.repositories.iter().map(metadata).collect()).expect("rules");
        let repositories = Repositories::new(&self.repositories).expect("repositories");
        let fallbacks = self.fallback_list.clone();
        let mirrors = MirrorSet::new(self.generation, self.mirrors.clone());
        let snapshot = Snapshot::for_test(self.files.values().cloned().collect(), mirrors, self.holds.clone());
        Site::new(Makings {
            name: self.name.clone(),
            route: Route::new(&self.server.hosts, self.settings.prefix.clone()),
            trust: Trust { proxies: self.server.trusted_proxies.clone(), by: self.server.forwarded_by },
            trees,
            application_access: match self.settings.application_access {
                ApplicationAccess::Open => Access::Open,
                ApplicationAccess::Deny => Access::Deny,
                ApplicationAccess::Signed => Access::Signed(Key::new(b"0123456789abcdef")),
            },
            index: self.settings.index,
            rules: Rules { keep, ..Rules::new(self.settings.min_age, self.settings.min_size) },
            fallbacks: Arc::clone(self.fallbacks.get_or_insert_with(|| Arc::new(Fallbacks::new(fallbacks)))),
            answers: self.answers.clone(),
            stamp: self.stamp.clone(),
            public_url: self.server.public_url.clone(),
            packages: Packages { repositories: Arc::new(repositories), ledger: Arc::clone(&self.ledger) },
            mirror_pages: self.mirror_pages.clone(),
            describe: self.describe.clone(),
            records: Arc::clone(&self.records) as Arc<dyn http::Records>,
            snapshot: Arc::new(snapshot),
            locator: Arc::clone(locator),
            counts: Arc::clone(&self.counts),
            nudge: self.nudge.clone(),
            doubts: Arc::clone(&self.doubts),
            clock: clock.clone(),
        })
    }
}

/// A mirror as a script writes it: `NAME COUNTRY [key=value]...`; country `-` is none.
pub fn mirror(name: &str, country: &str, keys: &BTreeMap<&str, &str>) -> Mirror {
    let url = |key: &str, scheme| {
        let default = format!("{key}://{name}.example/sugar/");
        let given = keys.get(key).copied();
        let wanted = given.map_or_else(
            || (!keys.contains_key("http") && !keys.contains_key("https")).then_some(default),
            |url| Some(url.to_owned()),
        );
        wanted.map(|url| BaseUrl::parse(&url, scheme).expect("a base URL"))
    };
    let list = |key: &str| keys.get(key).map(|value| value.split(',')).into_iter().flatten();
    Mirror {
        http: url("http", Scheme::Http),
        https: url("https", Scheme::Https),
        country: country.parse().ok(),
        continent: country.parse::<redirector::model::Country>().ok().and_then(redirector::model::Country::continent),
        asn: keys.get("asn").map(|number| number.parse().expect("a number")),
        networks: list("networks").map(|network| network.parse().expect("a network")).collect(),
        score: keys.get("score").map_or(100, |score| score.parse().expect("a number")),
        only: keys.get("only").map(|only| serde_json::from_value(serde_json::json!(only)).expect("a kind of only")),
        also_countries: list("also-countries").map(|country| country.parse().expect("a country")).collect(),
        exclude_countries: list("exclude-countries").map(|country| country.parse().expect("a country")).collect(),
        max_file_size: keys.get("max-file-size").map(|size| size.parse::<ByteSize>().expect("a size").0),
        enabled: !keys.contains_key("disabled"),
        ..Mirror::new(MirrorName::parse(name).expect("a name"))
    }
}

pub fn tree_path(path: &str) -> TreePath<'static> {
    TreePath::parse(path.as_bytes().to_vec()).expect("a path")
}

/// Waits until something is so, for at most ten seconds.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let patience = tokio::time::timeout(Duration::from_secs(10), async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    });
    patience.await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}
