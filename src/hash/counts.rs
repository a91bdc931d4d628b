//! What the hash queue counts, and how it is printed.

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::metrics::{Counter, OfInstance};

/// What is counted. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Files that were hashed.
    pub files: Counter,
    /// Bytes that were read for it.
    pub bytes: Counter,
    /// Files that could not be read, or changed while they were.
    pub failures: Counter,
    /// Files that were found to have other bytes although they look the same.
    pub damages: Counter,
    /// Files without a digest, or to be confirmed by one, as last counted; at most [`super::MAX_COUNTED`].
    pub unhashed: Gauge,
    /// Files with a digest that are to be described in full, counted likewise.
    pub undescribed: Gauge,
}

/// The counts of all instances, as they are printed.
#[derive(Debug, Clone, Default)]
pub struct Families {
    files: Family<OfInstance, Counter>,
    bytes: Family<OfInstance, Counter>,
    failures: Family<OfInstance, Counter>,
    damages: Family<OfInstance, Counter>,
    unhashed: Family<OfInstance, Gauge>,
    undescribed: Family<OfInstance, Gauge>,
}

impl Families {
    /// Puts the counts where they are printed from.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("hashed_files", "Files of the public tree that were hashed", self.files.clone());
        registry.register("hashed_bytes", "Bytes of the public tree that were read to hash files", self.bytes.clone());
        registry.register("hash_failures", "Files that could not be hashed in one try", self.failures.clone());
        registry.register("damaged_files", "Files found with other bytes, looking the same", self.damages.clone());
        registry.register("unhashed_files", "Files that wait for their digest, counted to 100000", self.unhashed.clone());
        registry.register(
            "undescribed_files",
            "Files that wait for all other digests, counted to 100000",
            self.undescribed.clone(),
        );
    }

    /// Those of one instance: the same ones for the same name.
    #[must_use]
    pub fn of(&self, instance: &str) -> Counts {
        let label = OfInstance { instance: instance.to_owned() };
        Counts {
            files: self.files.get_or_create_owned(&label),
            bytes: self.bytes.get_or_create_owned(&label),
            failures: self.failures.get_or_create_owned(&label),
            damages: self.damages.get_or_create_owned(&label),
            unhashed: self.unhashed.get_or_create_owned(&label),
            undescribed: self.undescribed.get_or_create_owned(&label),
        }
    }
}
