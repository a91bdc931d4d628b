//! A reload: all instances take their new configurations, or none does. Else there could be side by side what can't be true together, as
//! the new prefix of one instance and the old one of another.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::claim::{self, Claim};
use super::doors::{self, Doors};
use super::instance::{Error, Instance, Kept, Parts, close, open_locator, open_trees, placed, set_mirrors};
use super::making::{self, access};
use super::ways::Ways;
use super::{refuse_contradictions, sites};
use crate::cause::chain;
use crate::config::{self, Config};
use crate::http::Router;
use crate::model::Mirror;
use crate::repository::ledger;
use crate::scan::Clients;

/// Reads the configurations again. What is wrong is told, and everything stays as it was.
pub(super) async fn reload(paths: &[PathBuf], instances: &mut [Instance], router: &Arc<Router>, doors: &mut Doors) {
    let Some((next, sockets)) = prepare(paths, instances, doors).await else {
        return tracing::error!("not reloaded: the old configuration stays, with every instance");
    };
    for (instance, next) in instances.iter_mut().zip(next) {
        match next {
            Some(next) => {
                instance.take(next).await;
                tracing::info!(instance = instance.config().name, "took the new configuration");
            }
            None => instance.refresh().await,
        }
    }
    router.replace(sites(instances));
    doors.change(sockets).await;
    tracing::info!("reloaded");
}

/// What each instance is going to be by the configurations, and the sockets for that; `None` where that is told to be impossible.
async fn prepare(paths: &[PathBuf], instances: &[Instance], doors: &Doors) -> Option<(Vec<Option<Next>>, doors::New)> {
    let read = config::read_all(paths).map_err(|problems| format!("\n{problems}"));
    let configs = match read.and_then(|configs| refuse(&configs, instances).map(|()| configs)) {
        Ok(configs) => configs,
        Err(problems) => {
            tracing::error!("the configuration can't be taken: {problems}");
            return None;
        }
    };
    // First: where one can't be opened, nothing has to be undone.
    match doors.prepare(&configs).await {
        Ok(sockets) => open(instances, &configs).await.map(|next| (next, sockets)),
        Err(error) => {
            tracing::error!(error = chain(&error), "the new configuration can't be taken");
            None
        }
    }
}

/// What can't be true of these configurations together, or comes too early.
fn refuse(configs: &[Config], instances: &[Instance]) -> Result<(), String> {
    refuse_contradictions(configs).map_err(|error| error.to_string())?;
    for (index, config) in configs.iter().enumerate() {
        let database = &config.inventory.database;
        let mut others =
            instances.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, instance)| instance.config());
        // It would wait for its own end.
        if let Some(other) = others.find(|other| claim::is_same(database, &other.inventory.database)) {
            let (name, database) = (&config.name, database.display());
            let text = format!("instance {name}: {database} is still the database of instance {}", other.name);
            return Err(text + "; let that one take another first, and reload again then");
        }
    }
    Ok(())
}

/// What each instance is going to be: `None` where nothing changed. Nothing at all when one can't be that: then that is told, and what was opened
/// is closed.
async fn open(instances: &[Instance], configs: &[Config]) -> Option<Vec<Option<Next>>> {
    let patience = claim::patience(configs);
    let mut all = Vec::with_capacity(instances.len());
    let mut failed = Vec::new();
    for (instance, config) in instances.iter().zip(configs) {
        let is_another = config.source != instance.config().source || instance.has_other_keys();
        let next = if is_another { Some(instance.prepare(config, patience).await) } else { None };
        all.push(next.transpose().unwrap_or_else(|error| {
            failed.push((&config.name, error));
            None
        }));
    }
    // Last, as others see it.
    for (instance, next) in instances.iter().zip(&all).filter(|_| failed.is_empty()) {
        if let Some(next) = next
            && let Err(error) = instance.announce(next).await
        {
            failed.push((&next.parts.config.name, error));
            break;
        }
    }
    if failed.is_empty() {
        return Some(all);
    }
    for (name, error) in &failed {
        tracing::error!(instance = name, error = chain(error), "the new configuration can't be taken");
    }
    for (instance, next) in instances.iter().zip(all) {
        if let Some(next) = next {
            instance.give_up(next).await;
        }
    }
    None
}

/// What an instance is going to be, opened.
struct Next {
    parts: Parts,
    mirrors: Vec<Arc<Mirror>>,
    clients: Clients,
    /// With another database.
    claim: Option<Arc<Claim>>,
}

impl Instance {
    /// Opens the parts again for a new configuration. Where it is the same database, the inventory stays.
    async fn prepare(&self, config: &Config, patience: Duration) -> Result<Next, Error> {
        let clients = Clients::new(&config.scan, config.server.public_url.as_deref())?;
        let (access, mut ways) = (access(config)?, Ways::open(config)?);
        let locator = open_locator(config).await?;
        let mirrors = placed(config, &locator, &self.kept.addresses);
        let clock = self.parts.clock.clone();
        let same_database = claim::is_same(&config.inventory.database, &self.parts.config.inventory.database);
        let (inventory, claim) = if same_database {
            // Requests under way still write to it: its files have one writer.
            ways.ledger = Arc::clone(&self.parts.ways.ledger);
            (self.parts.inventory.clone(), None)
        } else {
            let claim = Claim::take(&config.name, &config.inventory.database, patience).await?;
            ledger::take_over(&config.inventory.database);
            (making::inventory(config, mirrors.clone(), &clock).await?, Some(Arc::new(claim)))
        };
        let trees = open_trees(config, &inventory).await?;
        let parts = Parts { config: config.clone(), trees, access, locator, inventory, ways, clock };
        Ok(Next { parts, mirrors, clients, claim })
    }

    /// Makes the mirrors known to the inventory that stays: all that can fail and is seen by requests.
    async fn announce(&self, next: &Next) -> Result<(), Error> {
        if next.claim.is_none() {
            next.parts.inventory.set_mirrors(next.mirrors.clone()).await?;
        }
        Ok(())
    }

    /// Goes back to what was before [`Self::prepare`].
    async fn give_up(&self, next: Next) {
        if next.claim.is_some() {
            return close(&next.parts).await;
        }
        let mirrors = placed(&self.parts.config, &self.parts.locator, &self.kept.addresses);
        if self.parts.mirrors() != mirrors && !set_mirrors(&self.parts, mirrors).await {
            // It tries until the database answers.
            self.kept.replaced.notify_one();
        }
    }

    /// Becomes what was prepared; counts and requests under way stay.
    async fn take(&mut self, next: Next) {
        let Next { parts, mirrors, clients, claim } = next;
        self.tasks.stop().await;
        if parts.mirrors() != mirrors {
            // A task of before had its list of mirrors put back just before it ended.
            set_mirrors(&parts, mirrors).await;
        }
        let gone = self.config().mirrors.iter().filter(|old| !parts.config.mirrors.iter().any(|new| new.name == old.name));
        gone.for_each(|mirror| self.kept.metrics.forget(&mirror.name));
        let is_another_database = claim.is_some();
        let claim = claim.unwrap_or_else(|| Arc::clone(&self.kept.claim));
        let mut next = Self::run(parts, clients, Kept { claim, ..self.kept.clone() });
        self.watched.store(next.watched.load_full());
        next.watched = Arc::clone(&self.watched);
        let last = std::mem::replace(self, next);
        if is_another_database {
            close(&last.parts).await;
        }
    }
}
