//! Connections that come in by one socket: accepted, turned away, or given to one of the threads that answer.
//!
//! The loop survives whatever `accept` reports. Nothing of a connection is known to this thread's reactor: the kernel is asked for
//! one after the other as long as it has some.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::bell::Turn;
use super::connection::Stay;
use super::door::{Door, NEWCOMER};
use super::listener::Handler;
use super::overloaded;
use crate::clock;

/// A connection that was accepted.
pub(super) struct Arrival {
    /// It does not block.
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) accepted: Instant,
}

/// The wait after an error of `accept` that will not go away by itself, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// What is read of a client's request only so that it hears why it is turned away.
const UNHEARD_BYTES: usize = 4 * 1024;

impl<H: Handler> Door<H> {
    pub(super) async fn accept_all(self: Arc<Self>, socket: AsyncFd<TcpListener>) {
        let mut failing = false;
        let farewell = overloaded::farewell();
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.draining.cancelled() => return,
                accepted = socket.async_io(Interest::READABLE, accept) => accepted,
            };
            match accepted {
                Ok(arrival) => {
                    failing = false;
                    let seat = self.workers.seat(self.limits.max_queue_delay);
                    if seat.turns_arrival_away(arrival.accepted) {
                        self.handler.turn_away();
                        turn_away(&arrival.stream, &farewell);
                        continue;
                    }
                    // While all places are taken this one waits, and those behind it in the kernel's queue.
                    let mut place = pin!(self.crowd.enter());
                    let place = tokio::select! {
                        biased;
                        place = place.as_mut() => place,
                        // It was accepted, so nobody else will answer it; and places get free now.
                        () = self.draining.cancelled() => match tokio::time::timeout(NEWCOMER, place).await {
                            Ok(place) => place,
                            Err(_) => return,
                        },
                    };
                    let stay = Arc::new(Stay { seat, place, turn: Turn::default() });
                    let connection = Arc::clone(&self).connection(arrival, Arc::clone(&stay));
                    stay.seat.serve(self.tasks.track_future(connection));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if !failing {
                        tracing::error!(%error, "can't accept connections; trying again");
                    }
                    failing = true;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

fn accept(socket: &TcpListener) -> io::Result<Arrival> {
    let (stream, peer) = acceptfrom_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    // A connection that is gone already has none.
    let peer = peer.ok_or(io::ErrorKind::ConnectionAborted)?;
    Ok(Arrival { stream: stream.into(), peer, accepted: clock::instant() })
}

/// Says why, and ends the connection. What the client sent is read first: the kernel would cut a connection that is closed before
/// that, and the answer with it.
fn turn_away(mut stream: &TcpStream, farewell: &[u8]) {
    // Whatever fails, and if it is done in part only: the connection ends.
    let told = listen_briefly(stream).and_then(|()| stream.write_all(farewell));
    if let Err(error) = told.and_then(|()| stream.shutdown(Shutdown::Write)) {
        tracing::debug!(%error, "a connection ended before it was turned away");
    }
}

/// Reads what is there of a request.
fn listen_briefly(mut stream: &TcpStream) -> io::Result<()> {
    match stream.read(&mut [0; UNHEARD_BYTES]) {
        // It has not come yet.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        read => read.map(drop),
    }
}

/// Errors that one client made, and that say nothing about the next.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
