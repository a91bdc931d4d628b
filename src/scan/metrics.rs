//! What is counted about scans: each family once, with the instance as a label.

use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::round::Report;
use crate::inventory::ScanSummary;
use crate::metrics::Counter;
use crate::model::MirrorName;

/// Counts of one instance's scans. Clones, and those of other instances, are printed together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    instance: String,
    scans: Family<Outcome, Counter>,
    seconds: Family<OfMirror, Gauge<f64, AtomicU64>>,
    found: Family<OfMirror, Gauge>,
    gone: Family<OfMirror, Gauge>,
    mismatched: Family<OfMirror, Gauge>,
    doubtful: Family<OfMirror, Gauge>,
    last_success: Family<OfMirror, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
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
        registry.register("scans", "Scans of mirrors, by outcome: complete, partial, failed", self.scans.clone());
        registry.register("scan_duration_seconds", "How long the last scan of a mirror took", self.seconds.clone());
        registry.register("scan_found_files", "Files that the last scan found on a mirror", self.found.clone());
        registry.register("scan_gone_files", "Files that the last scan no longer found on a mirror", self.gone.clone());
        let help = "Files of which the last scan found another version on a mirror: other size, or older";
        registry.register("scan_mismatched_files", help, self.mismatched.clone());
        let help = "Files of which the last scan could not tell which version a mirror has";
        registry.register("scan_doubtful_files", help, self.doubtful.clone());
        let help = "When a mirror was last scanned whole, in seconds since 1970";
        registry.register("scan_last_success_timestamp_seconds", help, self.last_success.clone());
    }

    /// Those of another instance.
    #[must_use]
    pub fn of(&self, instance: &str) -> Self {
        Self { instance: instance.to_owned(), ..self.clone() }
    }

    /// Counts a scan that ended at `now`.
    pub fn note(&self, report: &Report, now: Timestamp) {
        let mirror = self.mirror(&report.mirror);
        let outcome = match &report.outcome {
            Ok(_) if report.complete => "complete",
            Ok(_) => "partial",
            Err(_) => "failed",
        };
        let OfMirror { instance, mirror: name } = mirror.clone();
        self.scans.get_or_create(&Outcome { instance, mirror: name, outcome }).inc();
        self.seconds.get_or_create(&mirror).set(report.took.as_secs_f64());
        if let Ok(counts) = &report.outcome {
            let numbers = [
                (&self.found, counts.found),
                (&self.gone, counts.gone),
                (&self.mismatched, counts.mismatched),
                (&self.doubtful, counts.doubtful),
            ];
            for (gauge, number) in numbers {
                gauge.get_or_create(&mirror).set(i64::try_from(number).unwrap_or(i64::MAX));
            }
            if report.complete {
                self.last_success.get_or_create(&mirror).set(now.as_second());
            }
        }
    }

    /// Takes over what is known of a scan before this process began.
    pub(super) fn recall(&self, mirror: &MirrorName, last: &ScanSummary) {
        if last.outcome.is_ok() && last.complete {
            self.last_success.get_or_create(&self.mirror(mirror)).set(last.ended.as_second());
        }
    }

    /// Prints nothing more about how a mirror stands that is no longer in the list.
    pub fn forget(&self, mirror: &MirrorName) {
        let mirror = self.mirror(mirror);
        self.seconds.remove(&mirror);
        for gauge in [&self.found, &self.gone, &self.mismatched, &self.doubtful] {
            gauge.remove(&mirror);
        }
        self.last_success.remove(&mirror);
    }

    fn mirror(&self, name: &MirrorName) -> OfMirror {
        OfMirror { instance: self.instance.clone(), mirror: name.to_string() }
    }
}
