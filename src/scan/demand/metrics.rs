//! What is counted about questions on demand: each family once, with the instance as a label.

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::ask::Asked;
use crate::metrics::{Counter, MirrorOutcome, OfInstance};
use crate::model::MirrorName;

/// Counts of one instance's questions on demand. Clones, and those of other instances, are printed together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    instance: String,
    questions: Family<MirrorOutcome, Counter>,
    waiting: Family<OfInstance, Gauge>,
    dropped: Family<OfInstance, Counter>,
}

impl Metrics {
    /// Puts the counts of all instances where they are printed from.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Versions that mirrors were asked for between scans, by outcome: found, absent, gone, unclear";
        registry.register("demand_questions", help, self.questions.clone());
        registry.register("demand_waiting_versions", "Versions that wait to be asked for between scans", self.waiting.clone());
        let help = "Questions on demand that were not asked because too many waited";
        registry.register("demand_dropped", help, self.dropped.clone());
    }

    /// Those of another instance.
    #[must_use]
    pub fn of(&self, instance: &str) -> Self {
        Self { instance: instance.to_owned(), ..self.clone() }
    }

    pub(super) fn note(&self, mirror: &MirrorName, asked: &Asked) {
        let Asked { questions, found, gone, unclear, .. } = *asked;
        let absent = questions.saturating_sub(found + gone + unclear);
        for (outcome, number) in [("found", found), ("gone", gone), ("unclear", unclear), ("absent", absent)] {
            if number > 0 {
                let (instance, mirror) = (self.instance.clone(), mirror.to_string());
                self.questions.get_or_create(&MirrorOutcome { instance, mirror, outcome }).inc_by(number);
            }
        }
    }

    pub(super) fn waiting(&self, versions: usize) {
        self.waiting.get_or_create(&self.own()).set(i64::try_from(versions).unwrap_or(i64::MAX));
    }

    pub(super) fn dropped(&self) {
        self.dropped.get_or_create(&self.own()).inc();
    }

    fn own(&self) -> OfInstance {
        OfInstance { instance: self.instance.clone() }
    }
}
