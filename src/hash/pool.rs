//! The threads that read files, at low priority, one file each; those without a file help with a large one.

use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::{Advice, fadvise};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::crew::Crew;
use super::digest::{describe, sha256};
use super::plan::Plan;
use crate::metrics::Counter;
use crate::model::{Digests, Fingerprint, Sha256, TreePath};
use crate::tree::{LookError, OpenFile, Root};

/// The threads, as long as they live.
#[derive(Debug)]
pub(super) struct Pool {
    jobs: mpsc::Sender<Job>,
    threads: Vec<JoinHandle<()>>,
}

/// What is made of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Its SHA-256 alone: enough to tell whether it is another version, and several times as quick as all digests.
    Sha256,
    /// All digests.
    All(Plan),
}

/// What was made of a file.
#[derive(Debug)]
pub(super) enum Made {
    Sha256(Sha256),
    All(Box<Digests>),
}

/// How a file was read.
#[derive(Debug)]
pub(super) enum Reading {
    /// Whole, and it looked as it should before and after.
    Done(Made),
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
    want: Want,
    reply: oneshot::Sender<Reading>,
}

/// What each thread has besides.
#[derive(Clone)]
struct Share {
    jobs: Arc<Mutex<mpsc::Receiver<Job>>>,
    crew: Crew,
    /// Bytes that were read so far.
    bytes: Counter,
    stop: CancellationToken,
}

/// How much later than others the threads are served, in steps of nice(1). The kernel serves their reads later, too, where
/// its disk scheduler knows priorities (`ioprio_set(2)`: they follow from the nice value).
const NICE: i32 = 10;
/// How long the end waits for the threads; on a dead file server they may never come back.
const PATIENCE: Duration = Duration::from_secs(1);

/// How urgent hashing is to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    /// Someone waits for it.
    Normal,
    /// Everything else comes first.
    Low,
}

impl Pool {
    /// Starts the threads: of `threads` that hash, all may be busy with files, and one more file may be read for someone who
    /// waits.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub(super) fn start(threads: usize, priority: Priority, bytes: Counter, stop: CancellationToken) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let share = Share { jobs: Arc::new(Mutex::new(queue)), crew: Crew::new(threads), bytes, stop };
        let start = |number| {
            let share = share.clone();
            std::thread::Builder::new().name(format!("hash-{number}")).spawn(move || {
                if priority == Priority::Low {
                    // On Linux the priority is the thread's and that of the threads it starts. If it can't be lowered, files are
                    // hashed all the same.
                    rustix::process::nice(NICE).ok();
                }
                share.work();
            })
        };
        let threads = (0..=threads).map(start).collect::<io::Result<_>>()?;
        Ok(Self { jobs, threads })
    }

    /// Reads one file, as long as it looks as given.
    pub(super) fn read(
        &self,
        root: &Root,
        path: &TreePath<'static>,
        fingerprint: Fingerprint,
        want: Want,
    ) -> impl Future<Output = Reading> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let job = Job { root: root.clone(), path: path.clone(), fingerprint, want, reply };
        let sent = self.jobs.send(job).is_ok();
        async move { if sent { answer.await.unwrap_or(Reading::Stopped) } else { Reading::Stopped } }
    }

    /// Ends the threads.
    pub(super) async fn stop(self) {
        drop(self.jobs);
        let joined = tokio::task::spawn_blocking(move || self.threads.into_iter().try_for_each(JoinHandle::join));
        match tokio::time::timeout(PATIENCE, joined).await {
            Ok(Ok(Ok(()))) => {}
            Ok(_) => tracing::error!("a thread that hashes files failed inside; this is a bug in redirector"),
            Err(_) => tracing::warn!("a thread that hashes files hangs in the file system; it is left behind"),
        }
    }
}

impl Share {
    fn work(&self) {
        loop {
            let job = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { return };
            if job.reply.is_closed() {
                continue; // whoever asked has gone
            }
            let _busy = self.crew.occupy();
            let reading = self.read(&job);
            job.reply.send(reading).ok();
        }
    }

    fn read(&self, job: &Job) -> Reading {
        let open = match job.root.open_file(&job.path) {
            Ok(open) if open.fingerprint != job.fingerprint => return Reading::Changed,
            Ok(open) => open,
            Err(error) => return Reading::Failed(error),
        };
        fadvise(&open.file, 0, None, Advice::Sequential).ok();
        let read = self.make(&open, job.want).and_then(|made| Ok((made, open.fingerprint_now()?)));
        match read {
            Err(error) => Reading::Failed(LookError::Other(error)),
            Ok((None, _)) => Reading::Stopped,
            Ok((Some((made, bytes)), now)) if now == job.fingerprint && bytes == now.size => Reading::Done(made),
            Ok(_) => Reading::Changed,
        }
    }

    fn make(&self, open: &OpenFile, want: Want) -> io::Result<Option<(Made, u64)>> {
        let size = open.fingerprint.size;
        let go_on = |bytes: u64| {
            self.bytes.inc_by(bytes);
            if self.stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        // A file that grows is another one, and may never end.
        let bounded = io::Read::take(&open.file, size.saturating_add(1));
        Ok(match want {
            Want::Sha256 => sha256(bounded, go_on)?.map(|(digest, bytes)| (Made::Sha256(digest), bytes)),
            Want::All(plan) => {
                describe(bounded, &plan, &self.crew, go_on)?.map(|(digests, bytes)| (Made::All(Box::new(digests)), bytes))
            }
        })
    }
}
