//! What is counted about probes.

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::health::Outcome;
use crate::metrics::{Counter, MirrorOutcome, OfMirror};
use crate::model::{Health, MirrorName};

/// Counts of probes.
#[derive(Debug, Default)]
pub struct Metrics {
    probes: Family<MirrorOutcome, Counter>,
    up: Family<OfMirror, Gauge>,
}

impl Metrics {
    /// Puts the counts where they are printed from.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("probes", "Probes of mirrors, by outcome: success, failure", self.probes.clone());
        registry.register("mirror_up", "1 while clients are sent to a mirror, 0 while it is down", self.up.clone());
    }

    /// Counts a probe, and what it makes of the mirror.
    pub(super) fn note(&self, mirror: &MirrorName, outcome: Outcome, health: Health) {
        let word = match outcome {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
        };
        let mirror = mirror.to_string();
        self.probes.get_or_create(&MirrorOutcome { mirror: mirror.clone(), outcome: word }).inc();
        self.up.get_or_create(&OfMirror { mirror }).set(i64::from(health.is_usable()));
    }
}
