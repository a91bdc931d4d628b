//! What each mirror wants of those who ask it: so many questions a second at most, and to be left alone for a while where it says
//! so. One place knows it, and all who ask a mirror (scans, probes, questions on demand) keep to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::StatusCode;

use crate::clock;
use crate::model::{Mirror, MirrorName};

/// What is known of all mirrors' wishes.
#[derive(Debug)]
pub struct Etiquette {
    per_second: u32,
    mirrors: Mutex<HashMap<MirrorName, Arc<Manners>>>,
}

/// How one mirror is treated.
#[derive(Debug)]
pub struct Manners(Mutex<State>);

#[derive(Debug)]
struct State {
    per_second: u32,
    next: Option<Instant>,
    rest: Option<Rest>,
}

/// A mirror asked to be left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    until: Instant,
    /// With what it answered: 429 when we ask too much, 503 when it can't serve anybody.
    pub status: StatusCode,
}

/// Questions that were not asked for so long may be asked at once: a listing and its files come together.
const BURST: Duration = Duration::from_secs(1);
/// What a mirror wishes for longer than this is taken for a mistake: a day later it is asked again.
const LONGEST_REST: Duration = Duration::from_secs(24 * 3600);

impl Etiquette {
    /// So many questions a second for mirrors of which the configuration says nothing else.
    #[must_use]
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second, mirrors: Mutex::default() }
    }

    /// How this mirror is treated.
    #[must_use]
    pub fn of(&self, mirror: &Mirror) -> Arc<Manners> {
        let per_second = mirror.asking.requests_per_second.unwrap_or(self.per_second).max(1);
        let mut mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Manners(Mutex::new(State { per_second, next: None, rest: None })));
        let manners = Arc::clone(mirrors.entry(mirror.name.clone()).or_insert_with(new));
        drop(mirrors);
        manners.state().per_second = per_second;
        manners
    }
}

impl Manners {
    /// Waits for its turn to ask one question.
    pub(super) async fn turn(&self) {
        let turn = {
            let mut state = self.state();
            let step = Duration::from_secs(1) / state.per_second;
            let turn = turn(state.next, clock::instant(), step);
            state.next = Some(turn + step);
            turn
        };
        if turn > clock::instant() {
            tokio::time::sleep_until(turn.into()).await;
        }
    }

    /// Takes note that the mirror wants to be left alone.
    pub(super) fn leave_alone(&self, time: Duration, status: StatusCode) {
        let until = clock::instant() + time.min(LONGEST_REST);
        self.state().rest = Some(Rest { until, status });
    }

    /// Whether it wants to be left alone now.
    #[must_use]
    pub fn rest(&self) -> Option<Rest> {
        self.state().rest.filter(|rest| rest.until > clock::instant())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rest {
    /// For how long.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.until.saturating_duration_since(clock::instant())
    }

    /// Waits until it is over.
    pub(super) async fn over(&self) {
        tokio::time::sleep_until(self.until.into()).await;
    }
}

/// When the next question may be asked: each one takes a step, and steps that nobody took are kept for a moment.
fn turn(next: Option<Instant>, now: Instant, step: Duration) -> Instant {
    let kept = now.checked_sub(BURST.saturating_sub(step)).unwrap_or(now);
    next.map_or(kept, |next| next.max(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_questions_a_second_are_asked_and_no_more() {
        let start = clock::instant() + Duration::from_secs(100);
        let step = Duration::from_millis(100);
        let mut next = None;
        let mut asked = |now: Instant| {
            let turn = turn(next, now, step);
            next = Some(turn + step);
            turn.saturating_duration_since(now)
        };
        let first: Vec<u128> = (0..13).map(|_| asked(start).as_millis()).collect();
        assert_eq!(first, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 200, 300], "ten at once, then one each tenth of a second");
        let later = start + Duration::from_secs(60);
        assert_eq!((0..11).map(|_| asked(later).as_millis()).sum::<u128>(), 100, "a rest earns ten, and not six hundred");
    }

    #[test]
    fn a_rest_has_an_end_and_a_reason() {
        let manners = Manners(Mutex::new(State { per_second: 1, next: None, rest: None }));
        assert_eq!(manners.rest(), None);
        manners.leave_alone(Duration::from_secs(u64::MAX / 4), StatusCode::TOO_MANY_REQUESTS);
        let rest = manners.rest().expect("it begins");
        assert_eq!(rest.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(rest.left() <= LONGEST_REST);
        manners.leave_alone(Duration::ZERO, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(manners.rest(), None, "it is over");
    }
}
