//! The threads that answer: one for each core, each with a runtime of its own, so that nothing of a connection ever changes cores
//! and no two of them wait for each other. What goes on in the background (scans, probes, the index) runs elsewhere.
//!
//! Connections are given to the thread that has the fewest. The kernel could spread them itself (`SO_REUSEPORT`), but by a hash and
//! not by how many each thread has, and those that wait in the queue of a socket that is closed at a reload would be lost.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::bell::Turn;
use super::pressure::{InLine, Pressure};

/// Threads that answer. They end when the last handle is dropped.
#[derive(Debug, Clone)]
pub struct Workers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    workers: Vec<Arc<Worker>>,
    /// Ends the threads.
    _end: Option<DropGuard>,
}

/// One of them.
#[derive(Debug)]
pub struct Worker {
    runtime: Handle,
    /// Takes connections to where the others are; `None`: the runtime takes them itself.
    arrivals: Option<UnboundedSender<Task>>,
    /// How long those wait who are there.
    pressure: Pressure,
    connections: AtomicUsize,
}

/// A connection's seat at a worker, as long as this is kept.
#[derive(Debug)]
pub struct Seat {
    worker: Arc<Worker>,
    /// How long requests may wait for their turn; zero: however long.
    max_queue_delay: Duration,
}

/// What a connection does.
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What comes from other threads stands in a queue of its own, of which one has its turn after so many of those that wait here. By tokio's
/// 31, what was fetched from a disk for a request would wait long for a thread that has much to do.
const TURNS_FOR_ONE_FROM_ELSEWHERE: u32 = 2;

/// Connections that are taken over at once.
const MAX_TOGETHER: usize = 1024;

impl Worker {
    fn new(runtime: Handle, arrivals: Option<UnboundedSender<Task>>) -> Arc<Self> {
        Arc::new(Self { runtime, arrivals, pressure: Pressure::default(), connections: AtomicUsize::new(0) })
    }
}

impl Workers {
    /// No threads of their own: the runtime that this is called in. It may do other things as well, so nobody is turned away there.
    #[must_use]
    pub fn here() -> Self {
        Self(Arc::new(Inner { workers: vec![Worker::new(Handle::current(), None)], _end: None }))
    }

    /// Starts so many threads, at least one.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn start(count: usize) -> io::Result<Self> {
        let end = CancellationToken::new();
        let workers = (0..count.max(1)).map(|number| start(number, end.clone())).collect::<io::Result<_>>()?;
        Ok(Self(Arc::new(Inner { workers, _end: Some(end.drop_guard()) })))
    }

    /// A seat at the worker that has the fewest connections, where waits should not be longer than this; zero: they may.
    #[must_use]
    pub fn seat(&self, max_queue_delay: Duration) -> Seat {
        let connections = |worker: &&Arc<Worker>| worker.connections.load(Ordering::Relaxed);
        let worker = self.0.workers.iter().min_by_key(connections).expect("there is always one");
        worker.connections.fetch_add(1, Ordering::Relaxed);
        let has_threads = self.0._end.is_some();
        Seat { worker: Arc::clone(worker), max_queue_delay: if has_threads { max_queue_delay } else { Duration::ZERO } }
    }
}

impl Seat {
    /// Does what a connection does at this worker, as soon as it is its turn; then it is to [`Seat::arrive`].
    pub fn serve(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.worker.pressure.line(1);
        match &self.worker.arrivals {
            // A worker that has ended drops it, as its runtime would.
            Some(arrivals) => drop(arrivals.send(Box::pin(task))),
            None => drop(self.worker.runtime.spawn(task)),
        }
    }

    /// Whether it matters how long requests wait.
    #[must_use]
    pub const fn is_limited(&self) -> bool {
        !self.max_queue_delay.is_zero()
    }

    /// The connection has its first turn.
    pub fn arrive(&self) {
        self.worker.pressure.line(-1);
    }

    /// Notes that a request is answered, and how long it waited for its turns. What was read together waited once.
    pub fn note(&self, now: Instant, turn: &Turn) {
        let waited = turn.waited();
        if !waited.is_zero() {
            self.worker.pressure.note(now, waited, self.max_queue_delay);
            turn.end();
        }
    }

    /// The request stands in line as long as this is kept.
    #[must_use]
    pub fn stand_in_line(&self) -> InLine<'_> {
        self.worker.pressure.stand_in_line()
    }

    /// Whether the line is too long for one more.
    #[must_use]
    pub fn is_line_long(&self, now: Instant) -> bool {
        self.is_limited() && self.worker.pressure.is_long(now, self.max_queue_delay)
    }

    /// Whether the request that has its turn is to be turned away.
    #[must_use]
    pub fn turns_away(&self, now: Instant, turn: &Turn) -> bool {
        self.worker.pressure.turns_away(now, turn.waited(), self.max_queue_delay)
    }

    /// Whether the connection, which just came, is to be turned away.
    #[must_use]
    pub fn turns_arrival_away(&self, now: Instant) -> bool {
        self.worker.pressure.turns_arrival_away(now, self.max_queue_delay)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.worker.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

fn start(number: usize, end: CancellationToken) -> io::Result<Arc<Worker>> {
    let runtime = Builder::new_current_thread().enable_all().global_queue_interval(TURNS_FOR_ONE_FROM_ELSEWHERE).build()?;
    // There are never more in it than connections may be open.
    let (arrivals, mut arrive) = mpsc::unbounded_channel();
    let worker = Worker::new(runtime.handle().clone(), Some(arrivals));
    let (started, is_started) = std::sync::mpsc::sync_channel(1);
    std::thread::Builder::new().name(format!("answer-{number}")).spawn(move || {
        // They stand in line with those that are here, so that all wait equally long.
        runtime.spawn(async move {
            let mut all = Vec::new();
            while arrive.recv_many(&mut all, MAX_TOGETHER).await > 0 {
                all.drain(..).for_each(|task| drop(tokio::spawn(task)));
            }
        });
        started.send(()).ok();
        runtime.block_on(end.cancelled());
        // What still waits for a file system that does not answer keeps nobody.
        runtime.shutdown_background();
    })?;
    is_started.recv().map_err(io::Error::other)?;
    Ok(worker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_to_the_thread_that_has_the_fewest() {
        let workers = Workers::start(3).expect("threads");
        let seats: Vec<Seat> = (0..6).map(|_| workers.seat(Duration::ZERO)).collect();
        let taken = || workers.0.workers.iter().map(|worker| worker.connections.load(Ordering::Relaxed)).collect::<Vec<_>>();
        assert_eq!(taken(), [2, 2, 2]);
        let second = Arc::clone(&seats[1].worker);
        drop(seats.into_iter().filter(|seat| Arc::ptr_eq(&seat.worker, &second)).collect::<Vec<_>>());
        let _next = workers.seat(Duration::ZERO);
        assert!(taken().iter().sum::<usize>() <= 3, "those that were dropped have left: {:?}", taken());
    }

    #[test]
    fn each_worker_is_a_thread_of_its_own_that_ends_with_the_last_handle() {
        let workers = Workers::start(2).expect("threads");
        let name = |seat: &Seat| {
            let (tell, told) = std::sync::mpsc::channel();
            seat.serve(async move { tell.send(std::thread::current().name().map(str::to_owned)).expect("it is awaited") });
            told.recv().expect("it runs").expect("it has a name")
        };
        let seats = [workers.seat(Duration::ZERO), workers.seat(Duration::ZERO)];
        assert_eq!(seats.each_ref().map(name), ["answer-0", "answer-1"]);
        // A task of a runtime is dropped with it.
        let (kept, gone) = std::sync::mpsc::channel::<()>();
        seats[0].worker.runtime.spawn(async move {
            let _kept = kept;
            std::future::pending::<()>().await;
        });
        let [first, _second] = seats;
        drop(first);
        drop(workers);
        assert_eq!(gone.recv(), Err(std::sync::mpsc::RecvError));
    }
}
