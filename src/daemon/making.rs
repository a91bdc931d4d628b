//! From an instance's opened parts to the instance as requests see it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::instance::Parts;
use crate::clock::Clock;
use crate::config::Config;
use crate::hash::Orders;
use crate::http::signature::{self, Access, Key};
use crate::http::{Counts, Doubts, Makings, NoRecords, Packages, Records, Route, Silent, Site, Trust};
use crate::inventory::{self, Inventory};
use crate::model::{Digests, Mirror, TreePath, VersionNumber};
use crate::repository::Repositories;
use crate::scan::{self, Clients, Demand, Nudge, Redirectable};
use crate::tree::ApplicationAccess;

/// The instance as requests see it; nothing looks at the paths that it finds to have changed.
#[must_use]
pub fn site(parts: &Parts) -> Site {
    let doubts = Arc::new(Doubts::new(mpsc::channel(1).0));
    Site::new(makings(parts, Arc::default(), (mpsc::channel(1).0, doubts), Arc::new(NoRecords)))
}

/// Who gets what only the application tree has, with the key where there is one.
///
/// # Errors
/// When the key can't be used.
pub(super) fn access(config: &Config) -> Result<Access, signature::Error> {
    Ok(match (config.tree.application_access, &config.tree.application_key_file) {
        (ApplicationAccess::Open, _) => Access::Open,
        (ApplicationAccess::Signed, Some(path)) => Access::Signed(Key::read(path)?),
        (ApplicationAccess::Deny, _) | (ApplicationAccess::Signed, None) => Access::Deny,
    })
}

pub(super) fn makings(
    parts: &Parts,
    counts: Arc<Counts>,
    (nudge, doubts): (mpsc::Sender<TreePath<'static>>, Arc<Doubts>),
    records: Arc<dyn Records>,
) -> Makings {
    let Parts { config, trees, access, locator, inventory, ways, clock } = parts;
    Makings {
        name: config.name.clone(),
        route: Route::new(&config.server.hosts, config.tree.prefix.clone()),
        trust: Trust { proxies: config.server.trusted_proxies.clone(), by: config.server.forwarded_by },
        trees: trees.clone(),
        application_access: access.clone(),
        index: config.tree.index,
        rules: ways.rules.clone(),
        fallbacks: Arc::clone(&ways.fallbacks),
        answers: config.answers.clone(),
        stamp: ways.stamp.clone(),
        public_url: config.server.public_url.clone(),
        packages: Packages {
            // The configuration was checked when it was read.
            repositories: Arc::new(Repositories::new(&config.repositories).unwrap_or_default()),
            ledger: Arc::clone(&ways.ledger),
        },
        mirror_pages: config.server.mirror_pages.then(|| inventory.clone()),
        describe: config.describe.clone(),
        records,
        snapshot: Arc::clone(inventory.snapshot()),
        locator: Arc::clone(locator),
        counts,
        nudge,
        doubts,
        clock: clock.clone(),
    }
}

/// The inventory of a server: with an image, so that the next start takes seconds too where there are millions of files.
pub(super) async fn inventory(
    config: &Config,
    mirrors: Vec<Arc<Mirror>>,
    clock: &Clock,
) -> Result<Inventory, inventory::Error> {
    let inventory = Inventory::open(&config.inventory, mirrors, clock.clone()).await?;
    inventory.keep_image(inventory::IMAGE_FROM_FILES).await?;
    Ok(inventory)
}

/// What the hasher made of files, for who describes them.
#[derive(Debug)]
pub(super) struct Hashed {
    pub(super) inventory: Inventory,
    pub(super) orders: Orders,
}

impl Records for Hashed {
    fn digests<'s>(
        &'s self,
        path: &'s TreePath<'_>,
        version: VersionNumber,
    ) -> BoxFuture<'s, Result<Option<Arc<Digests>>, Silent>> {
        Box::pin(async move {
            self.inventory.digests(path, version).await.map_err(|error| {
                tracing::warn!(error = &error as &dyn std::error::Error, "what describes a file can't be read");
                Silent
            })
        })
    }

    fn order(&self, path: TreePath<'static>) {
        self.orders.request(path);
    }
}

/// Questions of requests that wait to be taken up. They are few: the same is not told twice within seconds.
const QUESTIONS: usize = 1024;

/// What asks mirrors for single versions, and what requests tell it.
pub(super) fn demand(
    parts: &Parts,
    clients: Clients,
    (metrics, nudge): (Arc<scan::demand::Metrics>, Nudge),
) -> (Demand, Arc<Doubts>) {
    let (question, questions) = mpsc::channel(QUESTIONS);
    let Parts { config, inventory, clock, .. } = parts;
    let redirectable = Redirectable { min_age: config.tree.min_age.0, min_size: config.tree.min_size.0 };
    let demand = Demand::new((inventory.clone(), clients, clock.clone()), redirectable, metrics, nudge, questions);
    (demand, Arc::new(Doubts::new(question)))
}
