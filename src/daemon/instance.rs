//! One instance: its parts opened from its configuration, and the tasks that keep them current.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::places;
use crate::clock::Clock;
use crate::config::Config;
use crate::decide::Rules;
use crate::geo::{self, Credit, Locator};
use crate::hash::{self, Hasher};
use crate::http::{Counts, Makings, Problem, Route, Site, Trust};
use crate::index::{self, Index};
use crate::inventory::{self, Inventory};
use crate::model::{Mirror, TreePath};
use crate::probe::{self, Prober};
use crate::scan::{self, Clients, Scanner, Scheduler};
use crate::tree::{self, Trees};

/// Why an instance can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The trees' settings.
    #[error("the trees can't be used")]
    Tree(#[from] tree::Error),
    /// No GeoIP database, not even the built-in one.
    #[error("no GeoIP database can be used")]
    Geo(#[from] geo::Error),
    /// The database.
    #[error("the inventory can't be used")]
    Inventory(#[from] inventory::Error),
    /// The client for scans and probes.
    #[error("mirrors can't be asked")]
    Clients(#[from] scan::client::Error),
}

/// What an instance is made of, opened.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Its configuration.
    pub config: Config,
    /// Its trees.
    pub trees: Trees,
    /// Where clients are.
    pub locator: Arc<Locator>,
    /// What it knows.
    pub inventory: Inventory,
    /// What time it is.
    pub clock: Clock,
}

impl Parts {
    /// Opens the parts, with mirrors placed by DNS and GeoIP where the configuration leaves that out.
    ///
    /// # Errors
    /// When a part can't be used at all; what only works less well is logged.
    pub async fn open(config: &Config, clock: &Clock) -> Result<Self, Error> {
        let locator = locator(config)?;
        let places = places::of_mirrors(config, &locator).await;
        let mirrors = config.mirrors(&|host| places.get(host).copied());
        let inventory = Inventory::open(&config.inventory, mirrors, clock.clone()).await?;
        Self::with_inventory(config, locator, inventory, clock)
    }

    /// The mirrors, placed.
    #[must_use]
    pub fn mirrors(&self) -> Vec<Arc<Mirror>> {
        self.inventory.snapshot().mirrors().members.iter().map(|state| Arc::clone(&state.mirror)).collect()
    }

    fn with_inventory(config: &Config, locator: Arc<Locator>, inventory: Inventory, clock: &Clock) -> Result<Self, Error> {
        let trees = Trees::open(&config.tree)?;
        if inventory.snapshot().file_count() > 0 {
            trees.public.expect_files();
        }
        Ok(Self { config: config.clone(), trees, locator, inventory, clock: clock.clone() })
    }
}

/// Opens the GeoIP databases, and logs what is wrong with configured ones.
///
/// # Errors
/// When not even the built-in ones can be used.
pub fn locator(config: &Config) -> Result<Arc<Locator>, geo::Error> {
    let (locator, problems) = Locator::open(&config.geoip)?;
    for problem in problems {
        tracing::warn!(instance = config.name, "{problem}");
    }
    Ok(Arc::new(locator))
}

/// What the licences of the GeoIP databases want to be said where their results are shown.
#[must_use]
pub fn credit(locator: &Locator) -> Option<Credit> {
    locator.describe().into_iter().find_map(|database| database.credit)
}

/// The instance as requests see it; nothing looks at the paths that it finds to have changed.
#[must_use]
pub fn site(parts: &Parts) -> Site {
    Site::new(makings(parts, Arc::default(), mpsc::channel(1).0))
}

fn makings(parts: &Parts, counts: Arc<Counts>, nudge: mpsc::Sender<TreePath<'static>>) -> Makings {
    let Parts { config, trees, locator, inventory, clock } = parts;
    Makings {
        name: config.name.clone(),
        route: Route::new(&config.server.hosts, config.tree.prefix.clone()),
        trust: Trust { proxies: config.server.trusted_proxies.clone(), by: config.server.forwarded_by },
        trees: trees.clone(),
        application_access: config.tree.application_access,
        index: config.tree.index,
        rules: Rules::new(config.tree.min_age, config.tree.min_size),
        snapshot: Arc::clone(inventory.snapshot()),
        locator: Arc::clone(locator),
        credit: credit(locator),
        counts,
        nudge,
        clock: clock.clone(),
    }
}

/// An instance at work.
pub(super) struct Instance {
    parts: Parts,
    site: Arc<Site>,
    counts: Arc<Counts>,
    metrics: Metrics,
    tasks: Tasks,
    watched: Arc<ArcSwap<Watched>>,
}

/// The parts that can tell what does not work as it should; a reload replaces them.
struct Watched {
    name: String,
    index: index::Watcher,
    inventory: Inventory,
    locator: Arc<Locator>,
}

/// What the parts count. It outlives a reload.
#[derive(Clone, Default)]
struct Metrics {
    scan: Arc<scan::Metrics>,
    probe: Arc<probe::Metrics>,
    index: index::Counts,
    hash: hash::Counts,
}

/// The tasks of an instance, and how they are told to stop.
struct Tasks {
    stop: CancellationToken,
    tracker: TaskTracker,
}

/// Paths that requests found to have changed and that wait to be looked at; more are found by file events and walks.
const NUDGES: usize = 4096;
/// How often roots and GeoIP files are looked at again.
const REFRESH: Duration = Duration::from_secs(3);
/// How often the places of mirrors are looked up again.
const PLACES: Duration = Duration::from_secs(6 * 3600);

impl Instance {
    /// Opens the parts and starts the tasks. Names of mirrors are looked up later, so that the start waits for no DNS.
    pub(super) async fn start(config: &Config, clock: &Clock, registry: &mut Registry) -> Result<Self, Error> {
        let locator = locator(config)?;
        let inventory = Inventory::open(&config.inventory, placed_mirrors(config, &locator), clock.clone()).await?;
        let parts = Parts::with_inventory(config, locator, inventory, clock)?;
        let metrics = Metrics::default();
        let registry = registry.sub_registry_with_prefix("redirector");
        let registry = registry.sub_registry_with_label(("instance".into(), config.name.clone().into()));
        metrics.scan.register(registry);
        metrics.probe.register(registry);
        metrics.index.register(registry);
        metrics.hash.register(registry);
        Self::run(parts, Arc::default(), metrics)
    }

    /// Takes a new configuration: the parts are opened again, the inventory, counts and requests under way stay.
    pub(super) async fn reload(&mut self, config: &Config) -> Result<(), Error> {
        let clock = self.parts.clock.clone();
        let locator = locator(config)?;
        let mirrors = placed_mirrors(config, &locator);
        let same_database = config.inventory.database == self.parts.config.inventory.database;
        let inventory = if same_database {
            self.parts.inventory.clone()
        } else {
            Inventory::open(&config.inventory, mirrors.clone(), clock.clone()).await?
        };
        let parts = Parts::with_inventory(config, locator, inventory, &clock)?;
        self.tasks.stop().await;
        if same_database {
            parts.inventory.set_mirrors(mirrors).await?;
        }
        let mut next = Self::run(parts, Arc::clone(&self.counts), self.metrics.clone())?;
        self.watched.store(next.watched.load_full());
        next.watched = Arc::clone(&self.watched);
        let last = std::mem::replace(self, next);
        if !same_database {
            last.parts.inventory.close().await?;
        }
        Ok(())
    }

    fn run(parts: Parts, counts: Arc<Counts>, metrics: Metrics) -> Result<Self, Error> {
        let Parts { config, trees, inventory, clock, .. } = &parts;
        let clients = Clients::new(&config.scan, config.server.public_url.as_deref())?;
        let scanner = Scanner::new(inventory.clone(), config.scan.clone(), clients.clone(), clock.clone());
        let (scheduler, wishes) = Scheduler::new(scanner, clock.clone(), Arc::clone(&metrics.scan));
        let prober = Prober::new(
            inventory.clone(),
            config.probe.clone(),
            clients,
            clock.clone(),
            Arc::clone(&metrics.probe),
            Some(wishes),
        );
        let (nudge, nudges) = mpsc::channel(NUDGES);
        let (hasher, orders) = Hasher::new(trees.clone(), inventory.clone(), clock.clone());
        let hasher = hasher.counting(metrics.hash.clone());
        let index = Index::new(trees.clone(), inventory.clone(), &config.tree, clock.clone(), nudges, orders);
        let index = index.counting(metrics.index.clone());
        let watched = Arc::new(ArcSwap::from_pointee(Watched {
            name: config.name.clone(),
            index: index.watcher(),
            inventory: inventory.clone(),
            locator: Arc::clone(&parts.locator),
        }));
        let site = Arc::new(Site::new(makings(&parts, Arc::clone(&counts), nudge)));

        let tasks = Tasks { stop: CancellationToken::new(), tracker: TaskTracker::new() };
        tasks.spawn(|stop| index.run(stop));
        tasks.spawn(|stop| hasher.run(stop));
        tasks.spawn(|stop| scheduler.run(stop));
        tasks.spawn(|stop| prober.run(stop));
        tasks.spawn(|stop| keep_current(parts.clone(), stop));
        tasks.spawn(|stop| keep_placed(parts.clone(), stop));
        Ok(Self { parts, site, counts, metrics, tasks, watched })
    }

    /// The configuration that it runs with.
    pub(super) const fn config(&self) -> &Config {
        &self.parts.config
    }

    /// The instance as requests see it.
    pub(super) const fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// Looks again at roots and GeoIP files.
    pub(super) fn refresh(&self) {
        refresh(&self.parts);
    }

    /// What asks its parts, now and after reloads, what does not work as it should.
    pub(super) fn problems(&self) -> impl Fn() -> Vec<Problem> + Send + Sync + use<> {
        let watched = Arc::clone(&self.watched);
        move || watched.load().problems()
    }

    /// Stops the tasks, then the inventory.
    pub(super) async fn stop(self) {
        self.tasks.stop().await;
        if let Err(error) = self.parts.inventory.close().await {
            tracing::error!(
                instance = self.parts.config.name,
                error = &error as &dyn std::error::Error,
                "closing the inventory"
            );
        }
    }
}

impl Watched {
    fn problems(&self) -> Vec<Problem> {
        let problem = |what, detail| Problem { instance: Some(self.name.clone()), what, detail };
        let index = self.index.problem().map(|detail| problem("index", detail));
        let database = self.inventory.problem().map(|detail| problem("database", detail));
        let geoip = self.locator.describe().into_iter().filter_map(|database| database.problem);
        let geoip = geoip.map(|detail| problem("geoip", detail));
        index.into_iter().chain(database).chain(geoip).collect()
    }
}

impl Tasks {
    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: impl FnOnce(CancellationToken) -> F) {
        self.tracker.spawn(task(self.stop.clone()));
    }

    async fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// The mirrors, placed as far as that needs no DNS.
fn placed_mirrors(config: &Config, locator: &Locator) -> Vec<Arc<Mirror>> {
    let places = places::of_literals(config, locator);
    config.mirrors(&|host| places.get(host).copied())
}

async fn keep_current(parts: Parts, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(REFRESH)).await.is_some() {
        let parts = parts.clone();
        // A root on a file system that hangs must not hold up the others' tasks.
        if tokio::task::spawn_blocking(move || refresh(&parts)).await.is_err() {
            tracing::error!("looking at roots and GeoIP files failed");
        }
    }
}

fn refresh(parts: &Parts) {
    let name = &parts.config.name;
    if parts.trees.refresh() {
        for root in std::iter::once(&parts.trees.public).chain(&parts.trees.application) {
            match root.absence() {
                Some(absence) => {
                    tracing::error!(instance = name, folder = %root.path().display(), "the tree is not there: {absence}")
                }
                None => tracing::info!(instance = name, folder = %root.path().display(), "the tree is there"),
            }
        }
    }
    for change in parts.locator.refresh() {
        tracing::info!(instance = name, "{change}");
    }
}

async fn keep_placed(parts: Parts, stop: CancellationToken) {
    loop {
        let placed = stop.run_until_cancelled(places::of_mirrors(&parts.config, &parts.locator)).await;
        let Some(places) = placed else { return };
        let mirrors = parts.config.mirrors(&|host| places.get(host).copied());
        if mirrors != parts.mirrors()
            && let Err(error) = parts.inventory.set_mirrors(mirrors).await
        {
            tracing::warn!(instance = parts.config.name, error = &error as &dyn std::error::Error, "placing the mirrors");
        }
        if stop.run_until_cancelled(tokio::time::sleep(PLACES)).await.is_none() {
            return;
        }
    }
}
