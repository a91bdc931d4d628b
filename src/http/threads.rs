//! Threads that may wait for the file system. One instance takes a limited number of them, so that a tree that hangs (a
//! remote file system whose server is away) takes neither the threads of others nor ever more memory.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// The threads of one instance.
#[derive(Debug, Clone)]
pub struct Threads(Arc<Semaphore>);

/// How many of the runtime's 512 threads one instance may take: enough for any disk, and little enough for several instances.
const MAX_THREADS: usize = 96;
/// How long the file system may take to say what is there; a remote one may never do so.
const MAX_WAIT: Duration = Duration::from_secs(10);

impl Default for Threads {
    fn default() -> Self {
        Self::new(MAX_THREADS)
    }
}

impl Threads {
    /// At most so many threads.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(most)))
    }

    /// Does some work as soon as a thread is free. `None` when the work panicked.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let permit = Arc::clone(&self.0).acquire_owned().await.ok()?;
        let work = move || {
            // Work that hangs keeps its permit, also when nobody waits for it any more.
            let _permit = permit;
            work()
        };
        tokio::task::spawn_blocking(work).await.ok()
    }

    /// Does some work, unless that takes too long: `None`.
    pub async fn run_in_time<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let done = tokio::time::timeout(MAX_WAIT, self.run(work)).await.ok().flatten();
        if done.is_none() {
            tracing::warn!("the file system did not answer in time");
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn work_that_hangs_keeps_no_more_threads_than_allowed() {
        let threads = Threads::default();
        let (hold, held) = mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        let hang = || {
            let held = Arc::clone(&held);
            threads.run(move || drop(held.lock().map(|held| held.recv())))
        };
        let mut hanging: Vec<_> = (0..MAX_THREADS).map(|_| Box::pin(hang())).collect();
        for work in &mut hanging {
            assert!(futures_util::poll!(work).is_pending());
        }
        let mut next = std::pin::pin!(threads.run(|| 7));
        assert!(futures_util::poll!(&mut next).is_pending());
        drop(hold);
        assert_eq!(next.await, Some(7));
    }
}
