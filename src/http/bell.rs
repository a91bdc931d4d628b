//! How long a connection waits for its turn: from when its task is woken, by the kernel or whoever, to when the thread comes to it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use crate::clock;

/// How long a connection waited for its turns since its last request was answered.
#[derive(Debug, Default)]
pub struct Turn(AtomicU64);

/// Wakes a connection's task, and remembers when.
#[derive(Debug)]
struct Bell {
    hung: Instant,
    /// When it was rung first since it was looked at: nanoseconds since it was hung, and one; 0: it was not.
    rung: AtomicU64,
    task: Waker,
}

impl Turn {
    /// How long; zero where it had all that it does in the turn before.
    #[must_use]
    pub fn waited(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    /// Its request is answered.
    pub fn end(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Does what is to be done in the turns of a connection, the first of which it waits for since `since`.
    pub(super) async fn watch<T>(&self, since: Instant, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut first = Some(since);
        let mut bell: Option<(Arc<Bell>, Waker)> = None;
        std::future::poll_fn(|cx| {
            let mut rung = bell.as_ref().and_then(|(bell, _)| bell.take());
            rung = first.take().or(rung);
            if let Some(rung) = rung {
                self.0.fetch_add(nanos(clock::instant().saturating_duration_since(rung)), Ordering::Relaxed);
            }
            let (_, waker) = match &mut bell {
                Some(hung) if hung.0.task.will_wake(cx.waker()) => hung,
                other => {
                    let bell = Bell::new(cx.waker());
                    other.insert((Arc::clone(&bell), Waker::from(bell)))
                }
            };
            work.as_mut().poll(&mut Context::from_waker(waker))
        })
        .await
    }
}

impl Bell {
    fn new(task: &Waker) -> Arc<Self> {
        Arc::new(Self { hung: clock::instant(), rung: AtomicU64::new(0), task: task.clone() })
    }

    /// When it was rung, once; `None`: it was not.
    fn take(&self) -> Option<Instant> {
        let rung = self.rung.load(Ordering::Relaxed);
        (rung != 0).then(|| {
            self.rung.store(0, Ordering::Relaxed);
            self.hung + Duration::from_nanos(rung - 1)
        })
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX - 1)
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.rung.load(Ordering::Relaxed) == 0 {
            self.rung.store(nanos(self.hung.elapsed()) + 1, Ordering::Relaxed);
        }
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Poll;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_bell_says_once_when_it_was_rung_first_and_wakes_each_time() {
        let task = Arc::new(Task::default());
        let before = clock::instant();
        let bell = Bell::new(&Waker::from(Arc::clone(&task)));
        assert!(bell.take().is_none(), "it was not rung");
        let waker = Waker::from(Arc::clone(&bell));
        waker.wake_by_ref();
        let after = clock::instant();
        waker.wake_by_ref();
        let rung = bell.take().expect("it was rung");
        assert!(before <= rung && rung <= after);
        assert!(bell.take().is_none());
        assert_eq!(task.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn the_turns_of_a_request_add_up_from_when_the_connection_came() {
        let turn = Turn::default();
        let seen = std::cell::RefCell::new(Vec::new());
        let work = std::future::poll_fn(|_| {
            seen.borrow_mut().push(turn.waited());
            match seen.borrow().len() {
                1 | 3 => Poll::Pending,
                2 => {
                    turn.end();
                    Poll::Pending
                }
                _ => Poll::Ready("done"),
            }
        });
        let hour = Duration::from_secs(3600);
        let since = clock::instant().checked_sub(hour).expect("the machine runs for longer");
        let mut watched = pin!(turn.watch(since, work));
        let mut poll = |waker: &Waker| watched.as_mut().poll(&mut Context::from_waker(waker));
        // Nobody called it for the later ones, of which some are another task's.
        assert!(poll(Waker::noop()).is_pending() && poll(Waker::noop()).is_pending());
        let other = Waker::from(Arc::new(Task::default()));
        assert!(poll(&other).is_pending());
        assert_eq!(poll(&other), Poll::Ready("done"));
        let seen = seen.borrow();
        assert!(seen[0] >= hour && seen[0] < 2 * hour && seen[1] == seen[0], "{seen:?}");
        assert_eq!(seen[2..], [Duration::ZERO; 2]);
    }
}
