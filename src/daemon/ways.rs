//! Where an instance's files go by rules: the rules, the fallback mirrors with what watches them, stamps, and what package managers
//! were told.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::instance::Error;
use crate::clock::Clock;
use crate::config::{Config, FallbackSettings};
use crate::decide::{Keep, Metadata, Rules};
use crate::http::{Fallbacks, Stamp};
use crate::model::Health;
use crate::probe;
use crate::repository::Ledger;
use crate::scan::Clients;
use crate::selection::Fallback;

/// What of a configuration says where files go, read and opened.
#[derive(Debug, Clone)]
pub struct Ways {
    /// When mirrors may be used.
    pub rules: Rules,
    /// Where clients go that no mirror can take.
    pub fallbacks: Arc<Fallbacks>,
    /// Makes stamps on redirects.
    pub stamp: Option<Stamp>,
    /// What package managers were told.
    pub ledger: Arc<Ledger>,
}

impl Ways {
    /// Reads the rules, and fetches the key for stamps.
    ///
    /// # Errors
    /// When there is no such key, or a pattern is none.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let metadata = config.repositories.iter().map(|repository| {
            let files = repository.metadata().map_err(|(pattern, _)| Error::Rule(pattern))?;
            Ok(Metadata { root: repository.path.clone(), files })
        });
        let metadata = metadata.collect::<Result<Vec<_>, Error>>()?;
        let keep = Keep::new(&config.keep, metadata).map_err(|(pattern, _)| Error::Rule(pattern))?;
        Ok(Self {
            rules: Rules { keep, ..Rules::new(config.tree.min_age, config.tree.min_size) },
            fallbacks: Arc::new(Fallbacks::new(config.fallbacks.iter().map(FallbackSettings::complete).collect())),
            stamp: Stamp::of(&config.answers)?,
            ledger: Arc::new(Ledger::beside(&config.inventory.database)),
        })
    }
}

/// Probes the fallback mirrors, so that one that is down is not used.
pub(super) async fn watch_fallbacks(
    config: Config,
    fallbacks: Arc<Fallbacks>,
    (clients, clock): (Clients, Clock),
    stop: CancellationToken,
) {
    let servers = fallbacks.list().iter().map(Fallback::as_mirror).collect();
    let tell = |index: usize, health: Health| fallbacks.set_usable(index, health.is_usable());
    probe::watch(servers, &config.probe, (&clients, &clock), tell, stop).await;
}
