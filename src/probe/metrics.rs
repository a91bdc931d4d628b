//! What is counted about probes: each family once, with the instance as a label.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::health::Outcome;
use crate::metrics::Counter;
use crate::model::{Health, MirrorName};

/// Counts of one instance's probes. Clones, and those of other instances, are printed together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    instance: String,
    probes: Family<Probes, Counter>,
    up: Family<OfMirror, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Probes {
    instance: String,
    mirror: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfMirror {
    instance: String,
    mirror: String,
}

impl Metrics {
    /// Puts the counts of all instances where they are printed from.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("probes", "Probes of mirrors, by outcome: success, failure", self.probes.clone());
        registry.register("mirror_up", "1 while clients are sent to a mirror, 0 while it is down", self.up.clone());
    }

    /// Those of another instance.
    #[must_use]
    pub fn of(&self, instance: &str) -> Self {
        Self { instance: instance.to_owned(), ..self.clone() }
    }

    /// Counts a probe, and what it makes of the mirror.
    pub(super) fn note(&self, mirror: &MirrorName, outcome: Outcome, health: Health) {
        let word = match outcome {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
        };
        let (instance, name) = (self.instance.clone(), mirror.to_string());
        self.probes.get_or_create(&Probes { instance, mirror: name, outcome: word }).inc();
        self.up.get_or_create(&self.mirror(mirror)).set(i64::from(health.is_usable()));
    }

    /// Prints nothing more about how a mirror stands that is no longer in the list.
    pub fn forget(&self, mirror: &MirrorName) {
        self.up.remove(&self.mirror(mirror));
    }

    fn mirror(&self, name: &MirrorName) -> OfMirror {
        OfMirror { instance: self.instance.clone(), mirror: name.to_string() }
    }
}
