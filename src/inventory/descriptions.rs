//! Descriptions for requests: read by threads of their own, never by the owner, and kept in memory as far as there is room.
//! Nobody waits for long: at a dead or overloaded database the answer is an error, soon.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use tokio::sync::oneshot;

use super::error::Error;
use super::store::{Descriptions, OpenBeside, Store};
use crate::model::{Digests, TreePath, VersionNumber};

/// Where descriptions are asked for.
pub(super) struct Desk {
    cache: Cache<Key, Arc<Digests>, Weight>,
    source: ArcSwap<Source>,
    threads: Mutex<Threads>,
}

/// A version of one of the databases that were opened so far: the same number of another one is another content.
type Key = (u32, VersionNumber);

/// What is read.
#[derive(Default)]
struct Source {
    /// Which database it is, in the order of opening.
    opened: u32,
    /// `None`: only the owner can read it.
    open: Option<Box<OpenBeside>>,
}

/// They start when they are needed first: most commands never ask.
enum Threads {
    Idle,
    Running { queue: SyncSender<Job>, handles: Vec<JoinHandle<()>> },
    Closed,
}

struct Job {
    source: Arc<Source>,
    path: TreePath<'static>,
    version: VersionNumber,
    reply: oneshot::Sender<Result<Option<Digests>, Error>>,
}

/// Memory for descriptions, in bytes. That of a file of 1 GiB takes 215 KB, that of a small one 300 bytes.
const CACHE_BYTES: u64 = 64 << 20;
/// Parts of the cache with a lock each; the largest description that is kept is one part.
const CACHE_PARTS: usize = 4;
/// About how many descriptions the cache holds.
const CACHED: usize = 50_000;
/// Threads that read: one for whoever comes while another reads a long one.
const THREADS: usize = 2;
/// How many may wait for them: what two threads read within [`PATIENCE`] from a slow disk.
const QUEUE: usize = 256;
/// How long an answer is waited for. A database that takes longer is away, as far as requests are concerned.
const PATIENCE: Duration = Duration::from_secs(2);

impl Desk {
    pub(super) fn new() -> Self {
        let options = OptionsBuilder::new()
            .shards(CACHE_PARTS)
            .estimated_items_capacity(CACHED)
            .weight_capacity(CACHE_BYTES)
            .build()
            .expect("both capacities are given");
        let cache = Cache::with_options(options, Weight, DefaultHashBuilder::default(), DefaultLifecycle::default());
        Self { cache, source: ArcSwap::default(), threads: Mutex::new(Threads::Idle) }
    }

    /// Takes the database that the owner has just opened.
    pub(super) fn serve(&self, store: &dyn Store, opened: u32) {
        if self.source.load().opened != opened {
            self.source.store(Arc::new(Source { opened, open: store.beside() }));
        }
    }

    /// The description of a version. `by_owner` reads it where nobody else can.
    ///
    /// # Errors
    /// When the database fails, or does not answer soon.
    pub(super) async fn digests(
        &self,
        path: TreePath<'static>,
        version: VersionNumber,
        by_owner: impl Future<Output = Result<Option<Digests>, Error>>,
    ) -> Result<Option<Arc<Digests>>, Error> {
        let source = self.source.load_full();
        let key = (source.opened, version);
        if let Some(known) = self.cache.get(&key) {
            return Ok(Some(known));
        }
        let read = async {
            let read = if source.open.is_some() { self.ask(source, path, version).await } else { by_owner.await };
            read.map_err(Miss::Failed)?.map(Arc::new).ok_or(Miss::Unknown)
        };
        // Several requests for one description are one question.
        match tokio::time::timeout(PATIENCE, self.cache.get_or_insert_async(&key, read)).await {
            Ok(Ok(digests)) => Ok(Some(digests)),
            Ok(Err(Miss::Unknown)) => Ok(None),
            Ok(Err(Miss::Failed(error))) => Err(error),
            Err(_) => Err(Error::Slow),
        }
    }

    /// A description was replaced.
    pub(super) fn forget(&self, version: VersionNumber) {
        self.cache.remove(&(self.source.load().opened, version));
    }

    async fn ask(
        &self,
        source: Arc<Source>,
        path: TreePath<'static>,
        version: VersionNumber,
    ) -> Result<Option<Digests>, Error> {
        let (reply, answer) = oneshot::channel();
        let sent = self.queue()?.try_send(Job { source, path, version, reply });
        sent.map_err(|_| Error::Slow)?;
        answer.await.map_err(|_| Error::Internal)?
    }

    fn queue(&self) -> Result<SyncSender<Job>, Error> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        match &*threads {
            Threads::Running { queue, .. } => Ok(queue.clone()),
            Threads::Closed => Err(Error::Closed),
            Threads::Idle => {
                let (queue, jobs) = sync_channel(QUEUE);
                let jobs = Arc::new(Mutex::new(jobs));
                let start = |_| {
                    let jobs = Arc::clone(&jobs);
                    std::thread::Builder::new().name("describe".to_owned()).spawn(move || work(&jobs)).map_err(Error::Thread)
                };
                let handles = (0..THREADS).map(start).collect::<Result<_, _>>()?;
                *threads = Threads::Running { queue: queue.clone(), handles };
                Ok(queue)
            }
        }
    }

    /// Ends the threads, after what was asked before. Waits for them: not for asynchronous tasks.
    pub(super) fn close(&self) {
        let threads = {
            let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *threads, Threads::Closed)
        };
        if let Threads::Running { queue, handles } = threads {
            drop(queue);
            for handle in handles {
                if handle.join().is_err() {
                    tracing::error!("a thread that reads descriptions failed inside");
                }
            }
        }
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("cached", &self.cache.len()).finish_non_exhaustive()
    }
}

enum Miss {
    Unknown,
    Failed(Error),
}

/// The memory that a description takes.
#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<Digests>> for Weight {
    fn weight(&self, _: &Key, digests: &Arc<Digests>) -> u64 {
        digests.memory_bytes() as u64
    }
}

/// One thread: it opens the database when it is first asked, and again after a failure.
fn work(jobs: &Mutex<Receiver<Job>>) {
    let mut reader: Option<(u32, Box<dyn Descriptions>)> = None;
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { source, path, version, reply }) = job else { return };
        if reply.is_closed() {
            continue; // whoever asked has gone
        }
        let read = read(&mut reader, &source, &path, version);
        if read.is_err() {
            reader = None;
        }
        drop(reply.send(read));
    }
}

fn read(
    reader: &mut Option<(u32, Box<dyn Descriptions>)>,
    source: &Source,
    path: &TreePath<'_>,
    version: VersionNumber,
) -> Result<Option<Digests>, Error> {
    let (_, open) = match reader {
        Some(known) if known.0 == source.opened => known,
        _ => {
            let open = source.open.as_ref().ok_or(Error::Internal)?;
            reader.insert((source.opened, open()?))
        }
    };
    open.digests(path, version)
}
