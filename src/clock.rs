//! The time: the one place where it is read, so that everything else can be told what time it is.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use jiff::{SignedDuration, Timestamp};

/// A clock that can be shared.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System,
    Manual(Arc<Manual>),
}

/// Milliseconds.
#[derive(Debug, Default)]
struct Manual {
    /// Since 1970.
    now: AtomicI64,
    /// By how much it was put on and not waited.
    offset: AtomicI64,
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
        Self(Kind::Manual(Arc::new(Manual { now: start.as_millisecond().into(), offset: AtomicI64::default() })))
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Kind::System => Timestamp::now(),
            Kind::Manual(manual) => {
                Timestamp::from_millisecond(manual.now.load(Ordering::Relaxed)).unwrap_or(Timestamp::UNIX_EPOCH)
            }
        }
    }

    /// Lets time pass on a manual clock up to a moment; the machine's is left alone.
    pub fn set(&self, now: Timestamp) {
        if let Kind::Manual(manual) = &self.0 {
            manual.now.store(now.as_millisecond(), Ordering::Relaxed);
        }
    }

    /// Puts a manual clock on or back, as who sets the machine's does: no time passes.
    pub fn put_on(&self, by: SignedDuration) {
        if let Kind::Manual(manual) = &self.0 {
            let by = i64::try_from(by.as_millis()).unwrap_or_default();
            manual.offset.fetch_add(by, Ordering::Relaxed);
            manual.now.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// How far the clock is ahead of the time that has passed since some moment: it changes when the clock is put on or back.
    #[must_use]
    pub fn offset(&self) -> SignedDuration {
        match &self.0 {
            Kind::System => {
                static SOME_MOMENT: OnceLock<std::time::Instant> = OnceLock::new();
                let passed = || SOME_MOMENT.get_or_init(instant).elapsed();
                let mut before = passed();
                // Who has to wait between two looks would see one clock run ahead.
                loop {
                    let (now, after) = (self.now(), passed());
                    if after - before < AT_ONCE {
                        return now.duration_since(Timestamp::UNIX_EPOCH) - SignedDuration::try_from(after).unwrap_or_default();
                    }
                    before = after;
                }
            }
            Kind::Manual(manual) => SignedDuration::from_millis(manual.offset.load(Ordering::Relaxed)),
        }
    }
}

/// How long two looks at clocks may take together.
const AT_ONCE: std::time::Duration = std::time::Duration::from_millis(50);

/// A point on the monotonic clock, for measuring how long something takes.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place where the monotonic clock is read")]
pub fn instant() -> std::time::Instant {
    std::time::Instant::now()
}
