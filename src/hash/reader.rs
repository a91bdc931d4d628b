//! The thread that reads files, at low priority, one after the other.

use std::io;
use std::ops::ControlFlow;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::{Advice, fadvise};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::digest::sha256;
use crate::model::{Fingerprint, Sha256, TreePath};
use crate::tree::{LookError, Root};

/// The thread, as long as it lives.
#[derive(Debug)]
pub(super) struct Reader {
    jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
}

/// How a file was read.
#[derive(Debug)]
pub(super) enum Reading {
    /// Whole, and it looked as it should before and after.
    Done(Sha256),
    /// It looks otherwise than it should, or does so since.
    Changed,
    /// It could not be.
    Failed(LookError),
    /// It was given up.
    Stopped,
}

struct Job {
    root: Root,
    path: TreePath<'static>,
    fingerprint: Fingerprint,
    reply: oneshot::Sender<Reading>,
}

/// How much later than others the thread is served, in steps of nice(1).
const NICE: i32 = 10;
/// How long the end waits for the thread; on a dead file server it may never come back.
const PATIENCE: Duration = Duration::from_secs(1);

impl Reader {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub(super) fn start(stop: CancellationToken) -> io::Result<Self> {
        let (jobs, mut queue) = mpsc::channel::<Job>(1);
        let thread = std::thread::Builder::new().name("hash".to_owned()).spawn(move || {
            // On Linux the priority is the thread's. If it can't be lowered, files are hashed all the same.
            rustix::process::nice(NICE).ok();
            while let Some(job) = queue.blocking_recv() {
                let reading = read(&job, &stop);
                job.reply.send(reading).ok();
            }
        })?;
        Ok(Self { jobs, thread })
    }

    /// Reads one file, as long as it looks as given.
    pub(super) async fn read(&self, root: &Root, path: &TreePath<'static>, fingerprint: Fingerprint) -> Reading {
        let (reply, answer) = oneshot::channel();
        let job = Job { root: root.clone(), path: path.clone(), fingerprint, reply };
        if self.jobs.send(job).await.is_err() {
            return Reading::Stopped;
        }
        answer.await.unwrap_or(Reading::Stopped)
    }

    /// Ends the thread.
    pub(super) async fn stop(self) {
        drop(self.jobs);
        let joined = tokio::task::spawn_blocking(move || self.thread.join());
        if tokio::time::timeout(PATIENCE, joined).await.is_err() {
            tracing::warn!("the thread that hashes files hangs in the file system; it is left behind");
        }
    }
}

fn read(job: &Job, stop: &CancellationToken) -> Reading {
    let go_on = || if stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let open = match job.root.open_file(&job.path) {
        Ok(open) if open.fingerprint != job.fingerprint => return Reading::Changed,
        Ok(open) => open,
        Err(error) => return Reading::Failed(error),
    };
    fadvise(&open.file, 0, None, Advice::Sequential).ok();
    let read = sha256(&open.file, go_on).and_then(|digest| Ok((digest, open.fingerprint_now()?)));
    match read {
        Err(error) => Reading::Failed(LookError::Other(error)),
        Ok((None, _)) => Reading::Stopped,
        Ok((Some((digest, bytes)), now)) if now == job.fingerprint && bytes == now.size => Reading::Done(digest),
        Ok(_) => Reading::Changed,
    }
}
