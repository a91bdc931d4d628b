//! How long requests wait for their turn at one of the threads that answer, and which are turned away when that gets too long.
//!
//! A server that is asked more than it can answer makes everybody wait longer and longer. Here, once waiting did not get shorter than
//! `server.max-queue-delay` for a while, a part of the requests is answered 503 at once, the greater the longer the others wait. Short
//! bursts are no overload, however high (Nichols and Jacobson, "Controlling queue delay", 2012: what counts is the least delay of
//! an interval).

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock;

/// What is known of one thread's queue.
#[derive(Debug, Default)]
pub struct Pressure {
    /// The least wait of the last interval, in microseconds.
    wait: AtomicU32,
    /// What is left of the shares of requests that were not turned away, in parts of [`WHOLE`].
    owed: AtomicU32,
    /// Whether there was a request since the last look.
    is_asked: AtomicBool,
    asked: Notify,
}

/// How often it is looked how long the queue is, while there are requests.
const TICK: Duration = Duration::from_millis(10);
/// Waits are looked at for so long before they count.
const TICKS: u32 = 10;
/// All requests, as a share.
const WHOLE: u32 = 1 << 16;

impl Pressure {
    /// Notes that there is a request; it costs a look at a byte.
    pub fn ask(&self) {
        if !self.is_asked.load(Ordering::Relaxed) {
            self.is_asked.store(true, Ordering::Relaxed);
            self.asked.notify_one();
        }
    }

    /// Whether the request that comes now is to be turned away, if waits are to stay below `most`; zero: never.
    pub fn turns_away(&self, most: Duration) -> bool {
        let wait = self.wait.load(Ordering::Relaxed);
        let share = share(Duration::from_micros(wait.into()), most);
        // The shares of requests add up, so that not all are turned away at one time and none at another.
        share != 0 && self.owed.fetch_add(share, Ordering::Relaxed) % WHOLE + share >= WHOLE
    }

    /// Whether waits are so long that new connections are of no use.
    pub fn is_hopeless(&self, most: Duration) -> bool {
        share(Duration::from_micros(self.wait.load(Ordering::Relaxed).into()), most) == WHOLE
    }

    /// Watches the queue of the thread that runs this. It never ends, and sleeps as long as there are no requests.
    pub async fn watch(&self) {
        let mut least = Least::default();
        loop {
            let due = clock::instant() + TICK;
            tokio::time::sleep_until(due.into()).await;
            if let Some(wait) = least.of(clock::instant().saturating_duration_since(due)) {
                self.wait.store(u32::try_from(wait.as_micros()).unwrap_or(u32::MAX), Ordering::Relaxed);
            }
            if !self.is_asked.swap(false, Ordering::Relaxed) {
                least = Least::default();
                self.wait.store(0, Ordering::Relaxed);
                self.asked.notified().await;
            }
        }
    }
}

/// The share of requests to turn away: none as long as they wait no longer than they should, all when they wait twice as long.
fn share(wait: Duration, most: Duration) -> u32 {
    if wait <= most || most.is_zero() {
        return 0;
    }
    let beyond = (wait - most).as_micros() * u128::from(WHOLE) / most.as_micros().max(1);
    u32::try_from(beyond).unwrap_or(WHOLE).min(WHOLE)
}

/// The least of several waits.
#[derive(Debug, Default)]
struct Least {
    seen: u32,
    least: Option<Duration>,
}

impl Least {
    /// Takes a wait; gives the least one when there were enough.
    fn of(&mut self, wait: Duration) -> Option<Duration> {
        self.seen += 1;
        self.least = Some(self.least.map_or(wait, |least| least.min(wait)));
        (self.seen == TICKS).then(|| std::mem::take(self).least.unwrap_or_default())
    }
}

#[cfg(test)]
impl Pressure {
    pub(super) fn of_wait(wait: Duration) -> Self {
        Self { wait: AtomicU32::new(u32::try_from(wait.as_micros()).expect("short")), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_millis(20);

    fn turned_away_of_100(wait_ms: u64) -> usize {
        let pressure = Pressure::of_wait(Duration::from_millis(wait_ms));
        (0..100).filter(|_| pressure.turns_away(MOST)).count()
    }

    #[test]
    fn the_longer_requests_wait_the_more_are_turned_away() {
        assert_eq!([0, 20, 25, 30, 35, 40, 1000].map(turned_away_of_100), [0, 0, 25, 50, 75, 100, 100]);
        let pressure = Pressure::of_wait(Duration::from_secs(10));
        assert!((0..100).all(|_| !pressure.turns_away(Duration::ZERO)), "switched off");
        assert!(!pressure.is_hopeless(Duration::ZERO) && pressure.is_hopeless(MOST));
        assert!(!Pressure::of_wait(Duration::from_millis(39)).is_hopeless(MOST));
    }

    #[test]
    fn those_that_are_turned_away_are_spread_evenly() {
        let pressure = Pressure::of_wait(Duration::from_millis(30));
        let turned_away: Vec<bool> = (0..6).map(|_| pressure.turns_away(MOST)).collect();
        assert_eq!(turned_away, [false, true, false, true, false, true]);
    }

    #[test]
    fn a_burst_is_no_overload() {
        let mut least = Least::default();
        let long = Duration::from_millis(500);
        let told: Vec<Option<Duration>> =
            (0..TICKS).map(|tick| least.of(if tick == 3 { Duration::ZERO } else { long })).collect();
        assert_eq!(told.iter().filter(|told| told.is_some()).count(), 1);
        assert_eq!(told.last(), Some(&Some(Duration::ZERO)), "once in the interval nobody had to wait");
        let told: Vec<Option<Duration>> = (0..TICKS).map(|_| least.of(long)).collect();
        assert_eq!(told.last(), Some(&Some(long)), "each interval counts by itself");
    }

    #[tokio::test]
    async fn who_watches_sees_that_nobody_waits_and_sleeps_until_somebody_asks() {
        let pressure = Pressure::of_wait(Duration::from_secs(1));
        let mut watch = std::pin::pin!(pressure.watch());
        let mut watch_until = async |is_so: &dyn Fn() -> bool| {
            while !is_so() {
                tokio::select! {
                    () = &mut watch => unreachable!("it never ends"),
                    () = tokio::time::sleep(Duration::from_millis(1)) => {}
                }
            }
        };
        watch_until(&|| !pressure.turns_away(MOST)).await;
        pressure.ask();
        assert!(pressure.is_asked.load(Ordering::Relaxed));
        watch_until(&|| !pressure.is_asked.load(Ordering::Relaxed)).await;
    }
}
