//! The tasks of one instance: started together, awaited together, and told of if one ends before its time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tasks that run until they are told to stop.
#[derive(Debug)]
pub(super) struct Tasks {
    instance: String,
    stop: CancellationToken,
    tracker: TaskTracker,
    died: Died,
}

/// The tasks that ended by a fault of ours. Clones see the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Died(Arc<Mutex<Vec<&'static str>>>);

/// How long tasks may take to end. They give up within a second or two; what hangs in a file system is left behind.
const PATIENCE: Duration = Duration::from_secs(10);

impl Tasks {
    pub(super) fn new(instance: &str) -> Self {
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        Self { instance: instance.to_owned(), stop, tracker, died: Died::default() }
    }

    /// Starts a task. One that panics stops nothing else; it is told by `/readyz` from then on.
    pub(super) fn spawn<F: Future<Output = ()> + Send + 'static>(
        &self,
        what: &'static str,
        task: impl FnOnce(CancellationToken) -> F,
    ) {
        let task = self.tracker.spawn(task(self.stop.clone()));
        let (instance, stop, died) = (self.instance.clone(), self.stop.clone(), self.died.clone());
        self.tracker.spawn(async move {
            if task.await.is_err() || !stop.is_cancelled() {
                tracing::error!(instance, task = what, "a task ended before its time; this is a bug, and a restart mends it");
                died.0.lock().unwrap_or_else(PoisonError::into_inner).push(what);
            }
        });
    }

    pub(super) fn died(&self) -> Died {
        self.died.clone()
    }

    /// Stops all, and waits for their end.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
        if tokio::time::timeout(PATIENCE, self.tracker.wait()).await.is_err() {
            tracing::warn!(instance = self.instance, "tasks that do not end are left behind");
        }
    }
}

impl Died {
    pub(super) fn problem(&self) -> Option<String> {
        let died = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!died.is_empty()).then(|| format!("ended before their time, until a restart: {}", died.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_dies_is_told_and_the_others_go_on() {
        let tasks = Tasks::new("one");
        let (alive, mut seen) = tokio::sync::mpsc::channel::<()>(1);
        tasks.spawn("good", |stop| async move { stop.cancelled().await });
        assert_eq!(tasks.died().problem(), None);
        tasks.spawn("bad", |_| async move {
            drop(alive);
            panic!("on purpose");
        });
        assert_eq!(seen.recv().await, None);
        let told = async {
            while tasks.died().problem().is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), told).await.expect("it is told");
        assert!(tasks.died().problem().is_some_and(|problem| problem.ends_with(": bad")));
        tasks.stop().await;
    }
}
