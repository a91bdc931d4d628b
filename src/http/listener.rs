//! Listening: sockets, the accept loop, and connections from their first byte to the drain at the end.
//!
//! The loop survives whatever `accept` reports. Every task belongs to the [`Server`] that started it and is awaited by
//! [`Server::stop`].

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::{Domain, Protocol, Type};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Settings;
use super::body::Body;
use super::connection::{Patience, Progress, Socket};
use super::plain::{Conversation, End, Head};
use super::proxy;
use crate::model::Scheme;

/// What answers the requests that come in by a socket.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request; its body, if it has one, is not looked at.
    fn answer(&self, request: &Parts, from: Origin) -> impl Future<Output = Response<Body>> + Send;

    /// Answers a plain request by a redirect, where that can be done at once: appends the lines of its head. Else false; then the
    /// request is given to [`Handler::answer`].
    fn answer_at_once(&self, _head: &Head<'_>, _from: Origin, _began: Instant, _out: &mut Vec<u8>) -> bool {
        false
    }

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
            max_connections: settings.max_connections.clamp(1, Semaphore::MAX_PERMITS),
            max_header_bytes: usize::try_from(settings.max_header_size.0).unwrap_or(usize::MAX).clamp(8 * 1024, 1024 * 1024),
            drain: settings.drain_timeout.0,
        }
    }
}

/// Why a socket can't be listened at.
#[derive(Debug, thiserror::Error)]
#[error("can't listen at {address}")]
pub struct Error {
    /// Where.
    pub address: SocketAddr,
    /// What the kernel says.
    pub source: io::Error,
}

/// Connections that the kernel queues for a socket while all are served that may be.
const BACKLOG: i32 = 4096;
/// Headers of a request. Browsers send about 20.
const MAX_HEADERS: usize = 100;
/// Streams of one HTTP/2 connection at once, by RFC 9113 section 6.5.2 at least 100.
const MAX_STREAMS: u32 = 100;
/// How often an HTTP/2 client that is silent is asked whether it is there, and how long it may take to say so.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(20));
/// What an HTTP/2 stream may hold of an answer, beside the piece that is being read.
const MAX_SEND_BUFFER: usize = 32 * 1024;
/// The wait after an error of `accept` that will not go away by itself, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// The body of a request that is read and thrown away, so that its sender gets the answer and not a broken connection.
const MAX_REQUEST_BODY: usize = 256 * 1024;

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
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    open().map_err(|source| Error { address, source })
}

/// All that listens, and all connections.
#[derive(Debug)]
pub struct Server {
    limits: Limits,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    /// No new connections and requests.
    draining: CancellationToken,
    /// The drain took too long: connections are cut.
    cutting: CancellationToken,
}

impl Server {
    /// A server that listens nowhere yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            permits: Arc::new(Semaphore::new(limits.max_connections)),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            cutting: CancellationToken::new(),
        }
    }

    /// Serves the connections that come in at a socket.
    pub fn serve<H: Handler>(&self, socket: TcpListener, start: Start, handler: &Arc<H>) {
        let door = Door {
            start,
            handler: Arc::clone(handler),
            limits: self.limits,
            permits: Arc::clone(&self.permits),
            tasks: self.tasks.clone(),
            draining: self.draining.clone(),
            cutting: self.cutting.clone(),
        };
        self.tasks.spawn(Arc::new(door).accept_all(socket));
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.limits.max_connections.saturating_sub(self.permits.available_permits())
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

/// One socket and what its connections need.
struct Door<H> {
    start: Start,
    handler: Arc<H>,
    limits: Limits,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    draining: CancellationToken,
    cutting: CancellationToken,
}

impl<H: Handler> Door<H> {
    async fn accept_all(self: Arc<Self>, socket: TcpListener) {
        let mut failing = false;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.draining.cancelled() => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    failing = false;
                    // While all are taken this one waits, and those behind it in the kernel's queue.
                    let permit = tokio::select! {
                        biased;
                        () = self.draining.cancelled() => return,
                        permit = Arc::clone(&self.permits).acquire_owned() => permit,
                    };
                    // Nobody closes the semaphore.
                    let Ok(permit) = permit else { return };
                    self.tasks.spawn(Arc::clone(&self).connection(stream, peer, permit));
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

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        if let Err(error) = self.converse(stream, peer.ip().to_canonical()).await {
            tracing::debug!(error, client = %peer.ip(), "connection ended early");
        }
        drop(permit);
    }

    async fn converse(self: Arc<Self>, mut stream: TcpStream, peer: IpAddr) -> Result<(), String> {
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (origin, first) = match self.start {
            Start::Request => (Origin { address: peer, scheme: Scheme::Http }, Bytes::new()),
            Start::ProxyHeader => tokio::select! {
                biased;
                () = self.draining.cancelled() => return Ok(()),
                introduced = self.introduce(&mut stream, peer) => introduced?,
            },
        };
        let progress = Arc::new(Progress::default());
        let socket = Socket::new(stream, first, Arc::clone(&progress), self.limits.patience);
        // Asked only after it woke this task: asking a token takes two locks that all connections share.
        let mut draining = FuturesUnordered::from_iter([self.draining.cancelled()]);
        let mut plain = Conversation::new(socket);
        let ended = tokio::select! {
            biased;
            ended = plain.serve(&progress, |head, began, out| self.handler.answer_at_once(head, origin, began, out)) => Some(ended),
            _ = draining.next() => None,
        };
        match ended {
            Some(Ok(End::Closed)) => return Ok(()),
            Some(Ok(End::Other)) => {}
            Some(Err(error)) => return Err(error.to_string()),
            None => tokio::select! {
                biased;
                flushed = plain.flush() => flushed.map_err(|error| error.to_string())?,
                () = self.cutting.cancelled() => return Ok(()),
            },
        }
        let (socket, rest) = plain.into_rest();
        let socket = socket.unread(rest);
        // Requests share what is this connection's own: all cores would count clones of the door in one place.
        let talk = Arc::new(Talk { door: Arc::clone(&self), origin, progress });
        let service = hyper::service::service_fn(move |request| Arc::clone(&talk).respond(request));
        let builder = self.builder();
        let connection = builder.serve_connection(TokioIo::new(socket), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended.map_err(|error| error.to_string()),
            _ = draining.next() => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            biased;
            ended = connection => ended.map_err(|error| error.to_string()),
            () = self.cutting.cancelled() => Ok(()),
        }
    }

    /// Reads the PROXY header: whose connection it is, and what was read beyond it.
    async fn introduce(&self, stream: &mut TcpStream, peer: IpAddr) -> Result<(Origin, Bytes), String> {
        if !self.handler.trusts(peer) {
            return Err("a PROXY listener was reached by no trusted proxy".to_owned());
        }
        let read = async {
            let mut seen = BytesMut::with_capacity(512);
            loop {
                if let Some((header, length)) = proxy::parse(&seen).map_err(|error| error.to_string())? {
                    return Ok((header, seen.split_off(length).freeze()));
                }
                if stream.read_buf(&mut seen).await.map_err(|error| error.to_string())? == 0 {
                    return Err("closed within the PROXY header".to_owned());
                }
            }
        };
        let timed = tokio::time::timeout(self.limits.patience.header, read).await;
        let (header, rest) = timed.map_err(|_| "no PROXY header in time".to_owned())??;
        let origin = match header {
            proxy::Header::For(address, scheme) => Origin { address, scheme },
            proxy::Header::Own => Origin { address: peer, scheme: Scheme::Http },
        };
        Ok((origin, rest))
    }

    fn builder(&self) -> auto::Builder<Tracked> {
        let mut builder = auto::Builder::new(Tracked(self.tasks.clone()));
        let header_bytes = self.limits.max_header_bytes;
        builder
            .http1()
            .timer(TokioTimer::new())
            // `Socket` keeps time, and tells headers from idling.
            .header_read_timeout(None)
            .max_headers(MAX_HEADERS)
            // Both what a request's headers and what is buffered of an answer may take.
            .max_buf_size(header_bytes)
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
            .max_send_buf_size(MAX_SEND_BUFFER)
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1);
        builder
    }
}

/// One connection, as its requests see it.
struct Talk<H> {
    door: Arc<Door<H>>,
    origin: Origin,
    progress: Arc<Progress>,
}

impl<H: Handler> Talk<H> {
    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, io::Error> {
        let under_way = self.progress.begin(request.version());
        let (parts, body) = request.into_parts();
        // Who waits for a "100 Continue" has sent nothing yet that would have to be thrown away.
        if !body.is_end_stream() && !parts.headers.contains_key(http::header::EXPECT) {
            discard(body, self.door.limits.patience.header).await;
        }
        let mut response = self.door.handler.answer(&parts, self.origin).await;
        response.body_mut().accompany(under_way);
        Ok(response)
    }
}

/// Errors that one client made, and that say nothing about the next.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Reads a request's body and throws it away, within limits: a client that sends more finds the connection closed.
async fn discard(body: Incoming, patience: Duration) {
    let limited = http_body_util::Limited::new(body, MAX_REQUEST_BODY);
    let read = async {
        let mut body = std::pin::pin!(limited);
        while let Some(Ok(_)) = body.frame().await {}
    };
    if tokio::time::timeout(patience, read).await.is_err() {
        tracing::debug!("a request's body did not come in time");
    }
}

/// Runs the tasks of HTTP/2 streams where the server awaits them.
#[derive(Clone, Debug)]
struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        drop(self.0.spawn(task));
    }
}
