//! What the parts of all instances count: each family once in a process, with the instance as a label.

use std::sync::Arc;

use prometheus_client::registry::Registry;

use crate::model::MirrorName;
use crate::{hash, index, probe, scan};

/// The counts of all instances.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    scan: scan::Metrics,
    demand: scan::demand::Metrics,
    probe: probe::Metrics,
    index: index::Families,
    hash: hash::Families,
}

/// The counts of one instance. They outlive a reload.
#[derive(Debug, Clone)]
pub(super) struct Counts {
    pub(super) scan: Arc<scan::Metrics>,
    pub(super) demand: Arc<scan::demand::Metrics>,
    pub(super) probe: Arc<probe::Metrics>,
    pub(super) index: index::Counts,
    pub(super) hash: hash::Counts,
}

impl Metrics {
    /// Where they are printed from.
    pub(super) fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("redirector");
        self.scan.register(&mut registry);
        self.demand.register(&mut registry);
        self.probe.register(&mut registry);
        self.index.register(&mut registry);
        self.hash.register(&mut registry);
        registry
    }

    /// Those of one instance.
    pub(super) fn of(&self, instance: &str) -> Counts {
        Counts {
            scan: Arc::new(self.scan.of(instance)),
            demand: Arc::new(self.demand.of(instance)),
            probe: Arc::new(self.probe.of(instance)),
            index: self.index.of(instance),
            hash: self.hash.of(instance),
        }
    }
}

impl Counts {
    /// Prints nothing more about how a mirror stands that left the list.
    pub(super) fn forget(&self, mirror: &MirrorName) {
        self.scan.forget(mirror);
        self.probe.forget(mirror);
    }
}
