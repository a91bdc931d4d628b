//! Counting, per core and in memory: what each part counts it registers here, and `/metrics` prints it.
//!
//! A counter is striped over cache lines, so that two cores that count the same thing don't wait for each other.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::Atomic;
use prometheus_client::metrics::{MetricType, TypedMetric, counter};

/// A number that only grows.
pub type Counter = counter::Counter<u64, Striped>;

/// The label of what is counted for a whole instance: each family is printed once, whatever the number of instances.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfInstance {
    /// The instance's name.
    pub instance: String,
}

/// How many cache lines a number is spread over. More than the cores that one redirector keeps busy buys nothing.
const STRIPES: usize = 8;

/// A sum that several threads add to without sharing a cache line.
#[derive(Debug, Default)]
pub struct Striped([Line; STRIPES]);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line(AtomicU64);

thread_local! {
    static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
}
static NEXT_STRIPE: AtomicUsize = AtomicUsize::new(0);

fn stripe() -> usize {
    STRIPE.with(|cell| {
        if cell.get() == usize::MAX {
            cell.set(NEXT_STRIPE.fetch_add(1, Ordering::Relaxed) % STRIPES);
        }
        cell.get()
    })
}

impl Striped {
    /// Adds to the sum.
    pub fn add(&self, value: u64) {
        self.0[stripe()].0.fetch_add(value, Ordering::Relaxed);
    }

    /// The sum.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0.iter().map(|line| line.0.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }
}

impl Atomic<u64> for Striped {
    fn inc(&self) -> u64 {
        self.inc_by(1)
    }

    fn inc_by(&self, value: u64) -> u64 {
        self.0[stripe()].0.fetch_add(value, Ordering::Relaxed)
    }

    fn get(&self) -> u64 {
        self.sum()
    }
}

/// A latency histogram over fixed bounds, without a lock. Clones count together.
#[derive(Debug, Default, Clone)]
pub struct Latency(Arc<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    counts: [Striped; BOUNDS_US.len() + 1],
    sum_us: Striped,
}

/// Upper bounds of the buckets, in microseconds.
const BOUNDS_US: [u64; 12] = [5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 25_000, 250_000, 2_500_000];

impl Latency {
    /// Counts one duration.
    pub fn observe(&self, duration: std::time::Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.iter().position(|&bound| microseconds <= bound).unwrap_or(BOUNDS_US.len());
        self.0.counts[bucket].add(1);
        self.0.sum_us.add(microseconds);
    }
}

impl TypedMetric for Latency {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Latency {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counts: Vec<u64> = self.0.counts.iter().map(Striped::sum).collect();
        let bounds = BOUNDS_US.iter().map(|&us| us as f64 / 1e6).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().copied()).collect();
        encoder.encode_histogram::<NoLabelSet>(self.0.sum_us.sum() as f64 / 1e6, counts.iter().sum(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn what_several_threads_count_adds_up() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..1000).for_each(|_| {
                        counter.inc();
                    })
                });
            }
        });
        assert_eq!(counter.get(), 4000);
    }

    #[test]
    fn latencies_are_printed_as_cumulative_buckets() {
        let latency = Latency::default();
        latency.observe(Duration::from_micros(7));
        latency.observe(Duration::from_secs(9));
        let mut registry = Registry::default();
        registry.register("request_duration_seconds", "help", latency.clone());
        let mut text = String::new();
        encode(&mut text, &registry).expect("a string takes everything");
        assert!(
            text.contains("request_duration_seconds_bucket{le=\"1e-5\"} 1") || text.contains("le=\"0.00001\"} 1"),
            "{text}"
        );
        assert!(text.contains("le=\"+Inf\"} 2"), "{text}");
    }
}
