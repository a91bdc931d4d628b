//! Listening: sockets, and all that comes in by them, to the drain at the end.
//!
//! Every task belongs to the [`Server`] that started it and is awaited by [`Server::stop`].

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Response;
use http::request::Parts;
use socket2::{Domain, Protocol, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Settings;
use super::body::Body;
use super::connection::Patience;
use super::crowd::Crowd;
use super::door::Door;
use super::plain::Head;
use super::workers::Workers;
use crate::model::Scheme;

/// What answers the requests that come in by a socket.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request; its body, if it has one, is not looked at.
    fn answer(&self, request: &Parts, from: Origin) -> impl Future<Output = Response<Body>> + Send;

    /// Answers a plain request where that can be done at once: appends status line and lines of the head, and gives the body. Else `None`,
    /// whatever was appended; then the request is given to [`Handler::answer`].
    fn answer_at_once(&self, _head: &Head<'_>, _from: Origin, _began: Instant, _out: &mut Vec<u8>) -> Option<Body> {
        None
    }

    /// Counts a request, or a connection, that was turned away since too many wait.
    fn turn_away(&self) {}

    /// Whether a peer may say by a PROXY header whose connection it is.
    fn trusts(&self, peer: IpAddr) -> bool;
}

/// Where a connection comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The peer, or the client that a trusted PROXY header names.
    pub address: IpAddr,
    /// Https where a PROXY header says that the proxy ended TLS.
    pub scheme: Scheme,
}

/// How connections begin at a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// With a request.
    Request,
    /// With a PROXY header.
    ProxyHeader,
}

/// Limits on connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long clients may take.
    pub patience: Patience,
    /// How many connections a [`Server`] serves at once; more wait in the kernel's queue.
    pub max_connections: usize,
    /// How long requests may wait for their turn before some are turned away; zero: however long.
    pub max_queue_delay: Duration,
    /// The largest header section of a request, in bytes: 8 KiB (what hyper needs) to 1 MiB (what 10,000 clients can take).
    pub max_header_bytes: usize,
    /// How long answers under way may go on after [`Server::stop`].
    pub drain: Duration,
}

impl Limits {
    /// The limits as the configuration writes them.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            patience: Patience {
                header: settings.header_timeout.0,
                idle: settings.idle_timeout.0,
                write: settings.write_timeout.0,
            },
            max_connections: settings.max_connections,
            max_queue_delay: settings.max_queue_delay.0,
            max_header_bytes: usize::try_from(settings.max_header_size.0).unwrap_or(usize::MAX).clamp(8 * 1024, 1024 * 1024),
            drain: settings.drain_timeout.0,
        }
    }
}

/// Why a socket can't be listened at.
#[derive(Debug, thiserror::Error)]
#[error("can't listen at {address}{}", advice(address, source))]
pub struct Error {
    /// Where.
    pub address: SocketAddr,
    /// What the kernel says.
    pub source: io::Error,
}

/// What to do about it.
fn advice(address: &SocketAddr, source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::PermissionDenied if address.port() < 1024 => format!(
            " (port {} takes a right: `AmbientCapabilities=CAP_NET_BIND_SERVICE` in the systemd unit, or `setcap \
             cap_net_bind_service=+ep` on the program; ports from 1024 on take none)",
            address.port()
        ),
        io::ErrorKind::AddrInUse => " (another program does, or another redirector: `ss -ltnp` tells which)".to_owned(),
        io::ErrorKind::AddrNotAvailable => {
            " (this machine has no such address, or not yet: `ip address` tells which it has)".to_owned()
        }
        _ => String::new(),
    }
}

/// Connections that the kernel queues for a socket while all are served that may be.
const BACKLOG: i32 = 4096;

/// Opens a socket, so that IPv4 and IPv6 can be listened at side by side.
///
/// # Errors
/// When the address is taken, or not this machine's.
pub fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let open = || {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        // Connections inherit it. An answer is sent in one piece, or in pieces that are not to wait for each other.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    open().map_err(|source| Error { address, source })
}

/// All that listens, and all connections.
#[derive(Debug)]
pub struct Server {
    limits: Limits,
    workers: Workers,
    crowd: Crowd,
    tasks: TaskTracker,
    /// No new connections and requests.
    draining: CancellationToken,
    /// The drain took too long: connections are cut.
    cutting: CancellationToken,
}

impl Server {
    /// A server that listens nowhere yet, and answers on these threads.
    #[must_use]
    pub fn new(limits: Limits, workers: Workers) -> Self {
        Self {
            limits,
            workers,
            crowd: Crowd::new(limits.max_connections),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            cutting: CancellationToken::new(),
        }
    }

    /// Serves the connections that come in at a socket.
    ///
    /// # Errors
    /// When the kernel can't tell when some come in.
    pub fn serve<H: Handler>(&self, socket: TcpListener, start: Start, handler: &Arc<H>) -> io::Result<()> {
        #[expect(deprecated, reason = "unsound only for what changes its descriptor, which a listener of std does not")]
        let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
        let door = Door {
            start,
            handler: Arc::clone(handler),
            limits: self.limits,
            workers: self.workers.clone(),
            crowd: self.crowd.clone(),
            tasks: self.tasks.clone(),
            draining: self.draining.clone(),
            cutting: self.cutting.clone(),
        };
        self.tasks.spawn(Arc::new(door).accept_all(socket));
        Ok(())
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.crowd.len()
    }

    /// Closes the sockets, lets answers under way end within the drain's time, then cuts what is left.
    pub async fn stop(self) {
        self.draining.cancel();
        self.tasks.close();
        if tokio::time::timeout(self.limits.drain, self.tasks.wait()).await.is_err() {
            tracing::warn!(connections = self.connections(), "cutting connections that did not end in time");
            self.cutting.cancel();
            self.tasks.wait().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::chain;

    #[test]
    fn who_may_not_listen_is_told_what_to_do() {
        let told = |address: &str, kind: io::ErrorKind| {
            chain(&Error { address: address.parse().expect("an address"), source: kind.into() })
        };
        let low = told("0.0.0.0:80", io::ErrorKind::PermissionDenied);
        assert!(low.contains("AmbientCapabilities") && low.contains("setcap") && low.contains("port 80 "), "{low}");
        assert_eq!(told("0.0.0.0:8080", io::ErrorKind::PermissionDenied), "can't listen at 0.0.0.0:8080: permission denied");
        assert!(told("[::]:80", io::ErrorKind::AddrInUse).contains("ss -ltnp"));
        assert!(told("192.0.2.1:80", io::ErrorKind::AddrNotAvailable).contains("ip address"));
    }
}
