//! The time: the one place where it is read, so that everything else can be told what time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

/// A clock that can be shared.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System,
    /// Milliseconds since 1970.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that stands still until it is set: for tests.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Kind::Manual(Arc::new(AtomicI64::new(start.as_millisecond()))))
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Kind::System => Timestamp::now(),
            Kind::Manual(milliseconds) => {
                Timestamp::from_millisecond(milliseconds.load(Ordering::Relaxed)).unwrap_or(Timestamp::UNIX_EPOCH)
            }
        }
    }

    /// Sets a manual clock; the machine's is left alone.
    pub fn set(&self, now: Timestamp) {
        if let Kind::Manual(milliseconds) = &self.0 {
            milliseconds.store(now.as_millisecond(), Ordering::Relaxed);
        }
    }
}

/// A point on the monotonic clock, for measuring how long something takes.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place where the monotonic clock is read")]
pub fn instant() -> std::time::Instant {
    std::time::Instant::now()
}
