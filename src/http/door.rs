//! One socket: the accept loop, and each connection from its first byte to the drain at the end.
//!
//! The loop survives whatever `accept` reports.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::header::{CACHE_CONTROL, CONNECTION, HeaderValue, RETRY_AFTER};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body::Body;
use super::connection::{Progress, Socket};
use super::listener::{Handler, Limits, Origin, Start};
use super::plain::{Conversation, End, Reply};
use super::workers::{Seat, Workers};
use super::{plain, proxy, response};
use crate::model::Scheme;

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

/// One socket and what its connections need.
pub(super) struct Door<H> {
    pub(super) start: Start,
    pub(super) handler: Arc<H>,
    pub(super) limits: Limits,
    pub(super) workers: Workers,
    pub(super) permits: Arc<Semaphore>,
    pub(super) tasks: TaskTracker,
    pub(super) draining: CancellationToken,
    pub(super) cutting: CancellationToken,
}

impl<H: Handler> Door<H> {
    pub(super) async fn accept_all(self: Arc<Self>, socket: TcpListener) {
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
                    let seat = self.workers.seat();
                    if seat.pressure.is_hopeless(self.limits.max_queue_delay) {
                        self.handler.turn_away();
                        refuse(&stream);
                        continue;
                    }
                    // It is watched by the reactor of the thread that has it.
                    let Ok(stream) = stream.into_std() else { continue };
                    let runtime = seat.runtime.clone();
                    self.tasks.spawn_on(Arc::clone(&self).connection(stream, peer, (permit, seat)), &runtime);
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

    async fn connection(
        self: Arc<Self>,
        stream: std::net::TcpStream,
        peer: SocketAddr,
        (permit, seat): (OwnedSemaphorePermit, Seat),
    ) {
        if let Err(error) = self.converse(stream, peer.ip().to_canonical(), seat).await {
            tracing::debug!(error, client = %peer.ip(), "connection ended early");
        }
        drop(permit);
    }

    async fn converse(self: Arc<Self>, stream: std::net::TcpStream, peer: IpAddr, seat: Seat) -> Result<(), String> {
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let mut stream = TcpStream::from_std(stream).map_err(|error| error.to_string())?;
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
            ended = plain.serve(&progress, |head, began, out| {
                seat.pressure.ask();
                match () {
                    () if seat.pressure.turns_away(self.limits.max_queue_delay) => {
                        self.handler.turn_away();
                        Reply::TurnedAway
                    }
                    () if self.handler.answer_at_once(head, origin, began, out) => Reply::Redirected,
                    () => Reply::Other,
                }
            }) => Some(ended),
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
        let talk = Arc::new(Talk { door: Arc::clone(&self), seat, origin, progress });
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
    seat: Seat,
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
        self.seat.pressure.ask();
        let mut response = if self.seat.pressure.turns_away(self.door.limits.max_queue_delay) {
            self.door.handler.turn_away();
            turned_away(&parts)
        } else {
            self.door.handler.answer(&parts, self.origin).await
        };
        response.body_mut().accompany(under_way);
        Ok(response)
    }
}

/// Closes a connection so that its client knows at once, and the kernel has nothing to keep of it.
fn refuse(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).ok();
}

/// 503 for who comes while too many others wait. Over HTTP/1 the connection ends with it: who comes again stands at the end of the queue.
fn turned_away(request: &Parts) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(response::X_REDIRECTOR, HeaderValue::from_static(plain::OVERLOADED));
    if request.version != http::Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
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
