//! One instance: its parts opened from its configuration, and the tasks that keep them current.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::claim::{Claim, Taken};
use super::making::{self, Hashed, access, demand, makings};
use super::metrics;
use super::places::Addresses;
use super::tasks::{Died, Tasks};
use super::ways::{self, Ways, watch_fallbacks};
use crate::clock::Clock;
use crate::config::Config;
use crate::geo::{self, Change, Locator};
use crate::hash::Hasher;
use crate::http::signature::{self, Access};
use crate::http::{Counts, Problem, Site, Stamp};
use crate::index::{self, Index};
use crate::inventory::{self, Inventory};
use crate::model::Mirror;
use crate::probe::Prober;
use crate::repository::ledger;
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
    /// The database is another server's.
    #[error(transparent)]
    Taken(#[from] Taken),
    /// A fault of our own.
    #[error("opening its parts failed inside; this is a bug in redirector")]
    Died,
    /// The key of signed links.
    #[error("links to files that are not public can't be checked")]
    Key(#[from] signature::Error),
    /// The client for scans and probes.
    #[error("mirrors can't be asked")]
    Clients(#[from] scan::client::Error),
    /// Rules by which files stay or go.
    #[error("the rules can't be followed")]
    Ways(#[from] ways::Error),
}

/// What an instance is made of, opened.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Its configuration.
    pub config: Config,
    /// Its trees.
    pub trees: Trees,
    /// Who gets what only the application tree has.
    pub access: Access,
    /// Where clients are.
    pub locator: Arc<Locator>,
    /// What it knows.
    pub inventory: Inventory,
    /// Where files go by rules.
    pub ways: Ways,
    /// What time it is.
    pub clock: Clock,
}

impl Parts {
    /// Opens the parts, with mirrors placed by DNS and GeoIP where the configuration leaves that out.
    ///
    /// # Errors
    /// When a part can't be used at all; what only works less well is logged.
    pub async fn open(config: &Config, clock: &Clock) -> Result<Self, Error> {
        let access = access(config)?;
        let locator = locator(config)?;
        let addresses = Addresses::default();
        addresses.look_up(config).await;
        let inventory = Inventory::open(&config.inventory, placed(config, &locator, &addresses), clock.clone()).await?;
        let trees = open_trees(config, &inventory).await?;
        let ways = Ways::open(config)?;
        Ok(Self { config: config.clone(), trees, access, locator, inventory, ways, clock: clock.clone() })
    }

    /// The mirrors, placed.
    #[must_use]
    pub fn mirrors(&self) -> Vec<Arc<Mirror>> {
        self.inventory.snapshot().mirrors().members.iter().map(|state| Arc::clone(&state.mirror)).collect()
    }
}

/// Opens the trees; on a thread that may wait, since a file system may not answer.
pub(super) async fn open_trees(config: &Config, inventory: &Inventory) -> Result<Trees, Error> {
    let settings = config.tree.clone();
    let is_known = inventory.snapshot().file_count() > 0;
    let open = move || {
        let trees = Trees::open(&settings)?;
        if is_known {
            trees.public.expect_files();
        }
        Ok(trees)
    };
    tokio::task::spawn_blocking(open).await.map_err(|_| Error::Died)?
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

/// An instance at work.
pub(super) struct Instance {
    pub(super) parts: Parts,
    site: Arc<Site>,
    pub(super) kept: Kept,
    pub(super) tasks: Tasks,
    pub(super) watched: Arc<ArcSwap<Watched>>,
}

/// What outlives a reload.
#[derive(Clone)]
pub(super) struct Kept {
    /// What is counted of requests.
    pub(super) counts: Arc<Counts>,
    /// What the other parts count.
    pub(super) metrics: metrics::Counts,
    /// Where mirrors' hosts are.
    pub(super) addresses: Arc<Addresses>,
    /// Nobody else serves from its database.
    pub(super) claim: Arc<Claim>,
    /// Mirrors are to be placed again: the GeoIP databases are others.
    pub(super) replaced: Arc<Notify>,
}

/// The parts that can tell what does not work as it should; a reload replaces them.
pub(super) struct Watched {
    name: String,
    index: index::Watcher,
    inventory: Inventory,
    locator: Arc<Locator>,
    died: Died,
}

/// Paths that requests found to have changed and that wait to be looked at; more are found by file events and walks.
const NUDGES: usize = 4096;
/// How often GeoIP files are looked at again.
const REFRESH: Duration = Duration::from_secs(3);
/// How often the places of mirrors are looked up again.
const PLACES: Duration = Duration::from_secs(6 * 3600);
/// The same while a name could not be looked up, or what was found could not be kept.
const PLACES_AGAIN: Duration = Duration::from_secs(60);
/// How long a database that does not answer is waited for at the end: what was committed stands without it.
const CLOSING: Duration = Duration::from_secs(10);

impl Instance {
    /// Opens the parts and starts the tasks. Names of mirrors are looked up later, so that the start waits for no DNS; the tree
    /// is walked later too, and until then requests are answered from what is known from before.
    pub(super) async fn start(
        config: &Config,
        clock: &Clock,
        metrics: metrics::Counts,
        patience: Duration,
    ) -> Result<Self, Error> {
        let claim = Arc::new(Claim::take(&config.name, &config.inventory.database, patience).await?);
        ledger::take_over(&config.inventory.database);
        let kept = Kept { counts: Arc::default(), metrics, addresses: Arc::default(), claim, replaced: Arc::default() };
        let clients = Clients::new(&config.scan, config.server.public_url.as_deref())?;
        let (access, ways) = (access(config)?, Ways::open(config)?);
        let locator = open_locator(config).await?;
        let mirrors = placed(config, &locator, &kept.addresses);
        let inventory = making::inventory(config, mirrors, clock).await?;
        let trees = open_trees(config, &inventory).await?;
        let parts = Parts { config: config.clone(), trees, access, locator, inventory, ways, clock: clock.clone() };
        Ok(Self::run(parts, clients, kept))
    }

    /// Starts the tasks.
    pub(super) fn run(parts: Parts, clients: Clients, kept: Kept) -> Self {
        let Parts { config, trees, inventory, clock, .. } = &parts;
        let Kept { counts, metrics, .. } = &kept;
        let scanner = Scanner::new(inventory.clone(), config.scan.clone(), clients.clone(), clock.clone());
        let scanner = scanner.of_age(config.tree.min_age.0);
        let (scheduler, wishes) = Scheduler::new(scanner, clock.clone(), Arc::clone(&metrics.scan));
        let (demand, doubts) = demand(&parts, clients.clone(), (Arc::clone(&metrics.demand), wishes.clone()));
        let (probing, probes) = (clients.clone(), Arc::clone(&metrics.probe));
        let prober = Prober::new(inventory.clone(), config.probe.clone(), clients, clock.clone(), probes, Some(wishes));
        let prober = prober.comparing(trees.public.clone());
        let (nudge, nudges) = mpsc::channel(NUDGES);
        let (hasher, orders) = Hasher::new(trees.clone(), inventory.clone(), config.hash.clone(), clock.clone());
        let index = Index::new(trees.clone(), inventory.clone(), &config.tree, clock.clone(), nudges, orders.clone());
        let index = index.counting(metrics.index.clone());
        let tasks = Tasks::new(&config.name);
        let watched = Arc::new(ArcSwap::from_pointee(Watched {
            name: config.name.clone(),
            index: index.watcher(),
            inventory: inventory.clone(),
            locator: Arc::clone(&parts.locator),
            died: tasks.died(),
        }));
        let records = Arc::new(Hashed { inventory: inventory.clone(), orders });
        let site = Arc::new(Site::new(makings(&parts, Arc::clone(counts), (nudge, doubts), records)));

        tasks.spawn("index", |stop| index.run(stop));
        tasks.spawn("hash", |stop| hasher.counting(metrics.hash.clone()).run(stop));
        tasks.spawn("scan", |stop| scheduler.run(stop));
        tasks.spawn("demand", |stop| demand.run(stop));
        tasks.spawn("probe", |stop| prober.run(stop));
        tasks.spawn("fallback", |stop| watch_fallbacks(parts.clone(), probing, stop));
        tasks.spawn("geoip", |stop| keep_current(parts.clone(), Arc::clone(&kept.replaced), stop));
        tasks.spawn("places", |stop| keep_placed(parts.clone(), kept.clone(), stop));
        Self { parts, site, kept, tasks, watched }
    }

    /// The configuration that it runs with.
    pub(super) const fn config(&self) -> &Config {
        &self.parts.config
    }

    /// The instance as requests see it.
    pub(super) const fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// Whether the files with its keys have others by now, or none. Their names in the configuration are the same then.
    pub(super) fn has_other_keys(&self) -> bool {
        let Parts { config, access: known, ways, .. } = &self.parts;
        let is_known = access(config).is_ok_and(|access| access == *known);
        !is_known || Stamp::of(&config.answers).ok().as_ref() != Some(&ways.stamp)
    }

    /// Looks at once whether GeoIP files were replaced.
    pub(super) async fn refresh(&self) {
        refresh(&self.parts, &self.kept.replaced).await;
    }

    /// What asks its parts, now and after reloads, what does not work as it should.
    pub(super) fn problems(&self) -> impl Fn() -> Vec<Problem> + Send + Sync + use<> {
        let watched = Arc::clone(&self.watched);
        move || watched.load().problems()
    }

    /// Stops the tasks, then the inventory.
    pub(super) async fn stop(self) {
        self.tasks.stop().await;
        close(&self.parts).await;
    }
}

impl Watched {
    fn problems(&self) -> Vec<Problem> {
        let problem = |what, detail| Problem { instance: Some(self.name.clone()), what, detail };
        let index = self.index.problem().map(|detail| problem("index", detail));
        let database = self.inventory.problem().map(|detail| problem("database", detail));
        let geoip = self.locator.describe().into_iter().filter_map(|database| database.problem);
        let geoip = geoip.map(|detail| problem("geoip", detail));
        let died = self.died.problem().map(|detail| problem("task", detail));
        index.into_iter().chain(database).chain(geoip).chain(died).collect()
    }
}

pub(super) async fn open_locator(config: &Config) -> Result<Arc<Locator>, Error> {
    let config = config.clone();
    let opened = tokio::task::spawn_blocking(move || locator(&config)).await;
    Ok(opened.map_err(|_| Error::Died)??)
}

/// The mirrors, placed as far as that needs no DNS.
pub(super) fn placed(config: &Config, locator: &Locator, addresses: &Addresses) -> Vec<Arc<Mirror>> {
    let places = addresses.places(config, locator);
    config.mirrors(&|host| places.get(host).copied())
}

/// True if the list is kept.
pub(super) async fn set_mirrors(parts: &Parts, mirrors: Vec<Arc<Mirror>>) -> bool {
    let set = parts.inventory.set_mirrors(mirrors).await;
    if let Err(error) = &set {
        tracing::warn!(instance = parts.config.name, error = error as &dyn std::error::Error, "placing the mirrors");
    }
    set.is_ok()
}

pub(super) async fn close(parts: &Parts) {
    let name = &parts.config.name;
    match tokio::time::timeout(CLOSING, parts.inventory.clone().close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(instance = name, error = &error as &dyn std::error::Error, "closing the inventory");
        }
        Err(_) => tracing::warn!(instance = name, "the database does not answer; it is left as it is"),
    }
}

async fn keep_current(parts: Parts, replaced: Arc<Notify>, stop: CancellationToken) {
    let mut told = None;
    loop {
        // The index tells the same of the public tree.
        if let Some(application) = &parts.trees.application
            && told.replace(application.absence()) != Some(application.absence())
        {
            let (instance, folder) = (&parts.config.name, application.path().display());
            match application.absence() {
                Some(absence) => tracing::warn!(instance, %folder, "the application tree is not there: {absence}"),
                None => tracing::info!(instance, %folder, "the application tree is there"),
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(REFRESH)).await.is_none() {
            return;
        }
        refresh(&parts, &replaced).await;
    }
}

/// Looks whether GeoIP files were replaced, and makes look-ups fast; on a thread that may wait for a file system, and work.
async fn refresh(parts: &Parts, replaced: &Notify) {
    let (instance, locator) = (&parts.config.name, Arc::clone(&parts.locator));
    let look = move || {
        let changes = locator.refresh();
        locator.prepare();
        changes
    };
    let Ok(changes) = tokio::task::spawn_blocking(look).await else {
        return tracing::error!(instance, "looking at GeoIP files failed inside; this is a bug");
    };
    for change in &changes {
        match change {
            Change::Replaced { .. } => tracing::info!(instance, "{change}"),
            Change::Refused(_) => tracing::warn!(instance, "{change}"),
        }
    }
    if !changes.is_empty() {
        replaced.notify_one();
    }
}

async fn keep_placed(parts: Parts, kept: Kept, stop: CancellationToken) {
    loop {
        let looked_up = stop.run_until_cancelled(kept.addresses.look_up(&parts.config)).await;
        let Some(mut is_complete) = looked_up else { return };
        let mirrors = placed(&parts.config, &parts.locator, &kept.addresses);
        if mirrors != parts.mirrors() {
            is_complete &= set_mirrors(&parts, mirrors).await;
        }
        let pause = tokio::time::sleep(if is_complete { PLACES } else { PLACES_AGAIN });
        tokio::select! {
            () = stop.cancelled() => return,
            () = kept.replaced.notified() => {}
            () = pause => {}
        }
    }
}
