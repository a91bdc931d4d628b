//! The threads that answer: one for each core, each with a runtime of its own, so that nothing of a connection ever changes cores
//! and no two of them wait for each other. What goes on in the background (scans, probes, the index) runs elsewhere.
//!
//! Connections are given to the thread that has the fewest. The kernel could spread them itself (`SO_REUSEPORT`), but by a hash and
//! not by how many each thread has, and those that wait in the queue of a socket that is closed at a reload would be lost.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::pressure::Pressure;

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
    /// Where its connections are.
    pub runtime: Handle,
    /// How long they wait for it.
    pub pressure: Pressure,
    connections: AtomicUsize,
}

/// A connection's place at a worker, as long as this is kept.
#[derive(Debug)]
pub struct Seat(Arc<Worker>);

impl Worker {
    fn new(runtime: Handle) -> Arc<Self> {
        Arc::new(Self { runtime, pressure: Pressure::default(), connections: AtomicUsize::new(0) })
    }
}

impl Workers {
    /// No threads of their own: the runtime that this is called in. Nobody is turned away there.
    #[must_use]
    pub fn here() -> Self {
        Self(Arc::new(Inner { workers: vec![Worker::new(Handle::current())], _end: None }))
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

    /// A place at the worker that has the fewest connections.
    #[must_use]
    pub fn seat(&self) -> Seat {
        let connections = |worker: &&Arc<Worker>| worker.connections.load(Ordering::Relaxed);
        let worker = self.0.workers.iter().min_by_key(connections).expect("there is always one");
        worker.connections.fetch_add(1, Ordering::Relaxed);
        Seat(Arc::clone(worker))
    }
}

impl std::ops::Deref for Seat {
    type Target = Worker;

    fn deref(&self) -> &Worker {
        &self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

fn start(number: usize, end: CancellationToken) -> io::Result<Arc<Worker>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let worker = Worker::new(runtime.handle().clone());
    let watched = Arc::clone(&worker);
    let (started, is_started) = mpsc::sync_channel(1);
    std::thread::Builder::new().name(format!("answer-{number}")).spawn(move || {
        runtime.spawn(async move { watched.pressure.watch().await });
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
        let seats: Vec<Seat> = (0..6).map(|_| workers.seat()).collect();
        let taken = || workers.0.workers.iter().map(|worker| worker.connections.load(Ordering::Relaxed)).collect::<Vec<_>>();
        assert_eq!(taken(), [2, 2, 2]);
        let second = Arc::clone(&seats[1].0);
        drop(seats.into_iter().filter(|seat| Arc::ptr_eq(&seat.0, &second)).collect::<Vec<_>>());
        let _next = workers.seat();
        assert!(taken().iter().sum::<usize>() <= 3, "those that were dropped have left: {:?}", taken());
    }

    #[test]
    fn each_worker_is_a_thread_of_its_own_that_ends_with_the_last_handle() {
        let workers = Workers::start(2).expect("threads");
        let name = |seat: &Seat| {
            let (tell, told) = mpsc::channel();
            seat.runtime.spawn(async move { tell.send(std::thread::current().name().map(str::to_owned)) });
            told.recv().expect("it runs").expect("it has a name")
        };
        let seats = [workers.seat(), workers.seat()];
        assert_eq!(seats.each_ref().map(name), ["answer-0", "answer-1"]);
        // A task of a runtime is dropped with it.
        let (kept, gone) = mpsc::channel::<()>();
        seats[0].runtime.spawn(async move {
            let _kept = kept;
            std::future::pending::<()>().await;
        });
        let [first, _second] = seats;
        drop(first);
        drop(workers);
        assert_eq!(gone.recv(), Err(mpsc::RecvError));
    }
}
