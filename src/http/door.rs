//! One socket, and each connection that came in by it (`arrivals`) from its first byte to the drain at the end.

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::arrivals::Arrival;
use super::body::Body;
use super::connection::{Progress, Socket, Stay};
use super::crowd::Crowd;
use super::listener::{Handler, Limits, Origin, Start};
use super::plain::{Conversation, Due, End, Head, Reply};
use super::workers::Workers;
use super::{overloaded, proxy};
use crate::clock;
use crate::model::Scheme;

/// Headers of a request. Browsers send about 20.
const MAX_HEADERS: usize = 100;
/// Streams of one HTTP/2 connection at once, by RFC 9113 section 6.5.2 at least 100.
const MAX_STREAMS: u32 = 100;
/// How often an HTTP/2 client that is silent is asked whether it is there, and how long it may take to say so.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(20));
/// What an HTTP/2 stream may hold of an answer, beside the piece that is being read.
const MAX_SEND_BUFFER: usize = 32 * 1024;
/// The body of a request that is read and thrown away, so that its sender gets the answer and not a broken connection.
const MAX_REQUEST_BODY: usize = 256 * 1024;

/// How long a connection that has just come may take for its first request where no others are to follow.
pub(super) const NEWCOMER: Duration = Duration::from_secs(2);

/// One socket and what its connections need.
pub(super) struct Door<H> {
    pub(super) start: Start,
    pub(super) handler: Arc<H>,
    pub(super) limits: Limits,
    pub(super) workers: Workers,
    pub(super) crowd: Crowd,
    pub(super) tasks: TaskTracker,
    pub(super) draining: CancellationToken,
    pub(super) cutting: CancellationToken,
}

impl<H: Handler> Door<H> {
    /// One connection, from when it was accepted to its end.
    pub(super) async fn connection(self: Arc<Self>, arrival: Arrival, stay: Arc<Stay>) {
        let Arrival { stream, peer, accepted } = arrival;
        stay.seat.arrive();
        let client = peer.ip().to_canonical();
        let ended = if stay.seat.is_limited() {
            stay.turn.watch(accepted, self.converse(stream, client, Arc::clone(&stay))).await
        } else {
            self.converse(stream, client, stay).await
        };
        if let Err(error) = ended {
            tracing::debug!(error, %client, "connection ended early");
        }
    }

    async fn converse(self: Arc<Self>, stream: std::net::TcpStream, peer: IpAddr, stay: Arc<Stay>) -> Result<(), String> {
        // It is watched by the reactor of the thread that has it.
        let mut stream = TcpStream::from_std(stream).map_err(|error| error.to_string())?;
        let (origin, first) = match self.start {
            Start::Request => (Origin { address: peer, scheme: Scheme::Http }, Bytes::new()),
            // Apart, since it takes room, and is soon over.
            Start::ProxyHeader => match Box::pin(self.introduce_soon(&mut stream, peer)).await? {
                Some(introduced) => introduced,
                None => return Ok(()),
            },
        };
        let progress = Arc::new(Progress::default());
        let socket = Socket::new(stream, first, Arc::clone(&progress), self.limits.patience, Arc::clone(&stay));
        // Requests share what is this connection's own: all cores would count clones of the door in one place.
        let talk = Arc::new(Talk { door: self, stay, origin, progress });
        let mut plain = Conversation::new(socket);
        if talk.plainly(&mut plain).await.map_err(|error| error.to_string())? == Next::Closed {
            return Ok(());
        }
        let (socket, rest) = plain.into_rest();
        // Apart, since it takes more than all the rest of a connection.
        Box::pin(talk.by_hyper(socket.unread(rest))).await
    }

    /// Reads the PROXY header; `None` where the server stops before it has come.
    async fn introduce_soon(&self, stream: &mut TcpStream, peer: IpAddr) -> Result<Option<(Origin, Bytes)>, String> {
        let mut introduced = pin!(self.introduce(stream, peer));
        tokio::select! {
            biased;
            introduced = introduced.as_mut() => introduced.map(Some),
            () = self.draining.cancelled() => tokio::time::timeout(NEWCOMER, introduced).await.ok().transpose(),
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

    /// A connection that began in HTTP/1 stays there: who reads a change of protocol in the middle where another server reads a request
    /// takes requests of others for a part of it.
    fn builder(&self, has_begun: bool) -> auto::Builder<Tracked> {
        let mut builder = auto::Builder::new(Tracked(self.tasks.clone()));
        let header_bytes = self.limits.max_header_bytes;
        builder
            .http1()
            .timer(TokioTimer::new())
            // `Socket` keeps time, and tells headers from idling.
            .header_read_timeout(None)
            .max_headers(MAX_HEADERS)
            // Who has said all may close that side and wait for the answer.
            .half_close(true)
            // Both what a request's headers and what is buffered of an answer may take.
            .max_buf_size(header_bytes)
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
            .max_send_buf_size(MAX_SEND_BUFFER)
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1);
        if has_begun { builder.http1_only() } else { builder }
    }
}

/// One connection, as its requests see it.
struct Talk<H> {
    door: Arc<Door<H>>,
    stay: Arc<Stay>,
    origin: Origin,
    progress: Arc<Progress>,
}

/// What becomes of a connection after its plain part.
#[derive(PartialEq, Eq)]
enum Next {
    Closed,
    Hyper,
}

impl<H: Handler> Talk<H> {
    /// As long as all is plain.
    async fn plainly(&self, plain: &mut Conversation<Socket<TcpStream>>) -> io::Result<Next> {
        // Asked only after it woke this task: asking a token takes two locks that all connections share.
        let mut draining = FuturesUnordered::from_iter([self.door.draining.cancelled()]);
        loop {
            let came_to = tokio::select! {
                biased;
                came_to = plain.serve(&self.progress, |head, began, out| self.at_once(head, began, out)) => came_to?,
                // Apart, as it comes once and would take room all the time.
                _ = draining.next() => return self.finish(Box::pin(self.last(plain))).await,
            };
            let due = match came_to {
                End::Closed => return Ok(Next::Closed),
                End::Other => return Ok(Next::Hyper),
                End::Due(due) => due,
            };
            let mut answered = pin!(self.deliver(due, plain));
            tokio::select! {
                biased;
                answered = answered.as_mut() => answered?,
                _ = draining.next() => return self.finish(async { answered.await.map(|()| Next::Closed) }).await,
            }
        }
    }

    /// What is done last, unless it takes too long.
    async fn finish(&self, last: impl Future<Output = io::Result<Next>>) -> io::Result<Next> {
        tokio::select! {
            biased;
            done = last => done,
            () = self.door.cutting.cancelled() => Ok(Next::Closed),
        }
    }

    /// The end of a plain conversation. Who has just come has not asked yet, and would take the end of the connection for an answer.
    async fn last(&self, plain: &mut Conversation<Socket<TcpStream>>) -> io::Result<Next> {
        if !self.progress.has_begun() {
            match self.first(plain).await? {
                Some(End::Due(due)) => return self.deliver(due, plain).await.map(|()| Next::Closed),
                Some(End::Other) => return Ok(Next::Hyper),
                Some(End::Closed) | None => {}
            }
        }
        plain.flush().await.map(|()| Next::Closed)
    }

    /// What the first requests come to, if they come in time; `None` where they are answered, or did not come.
    async fn first(&self, plain: &mut Conversation<Socket<TcpStream>>) -> io::Result<Option<End>> {
        let mut served = pin!(plain.serve(&self.progress, |head, began, out| self.at_once(head, began, out)));
        let first = std::future::poll_fn(|cx| match served.as_mut().poll(cx) {
            Poll::Pending if self.progress.has_begun() => Poll::Ready(None),
            polled => polled.map(Some),
        });
        tokio::time::timeout(NEWCOMER, first).await.ok().flatten().transpose()
    }

    fn at_once(&self, head: &Head<'_>, began: Instant, out: &mut Vec<u8>) -> Reply {
        let Stay { seat, turn, .. } = &*self.stay;
        let reply = if seat.turns_away(began, turn) {
            Reply::TurnedAway
        } else if let Some(body) = self.door.handler.answer_at_once(head, self.origin, began, out) {
            Reply::Answered(body)
        } else if seat.is_line_long(began) {
            Reply::TurnedAway
        } else {
            return Reply::Later;
        };
        if matches!(reply, Reply::TurnedAway) {
            self.door.handler.turn_away();
        }
        seat.note(began, turn);
        reply
    }

    /// Sends what is to be sent before the plain part goes on.
    async fn deliver(&self, due: Due, plain: &mut Conversation<Socket<TcpStream>>) -> io::Result<()> {
        let under_way = self.progress.begin(Version::HTTP_11);
        let mut body = match due {
            Due::Body(body) => body,
            // Apart, since it takes much, and a body may be sent for long.
            Due::Answer(parts) => {
                let response = Box::pin(self.in_line(&parts)).await;
                plain.answer(parts.method == Method::GET, response)
            }
        };
        body.accompany(under_way);
        plain.send_body(&mut body).await?;
        // A body takes many turns. The next request did not wait for those.
        self.stay.turn.end();
        Ok(())
    }

    async fn in_line(&self, parts: &Parts) -> Response<Body> {
        let in_line = self.stay.seat.stand_in_line();
        let response = self.door.handler.answer(parts, self.origin).await;
        drop(in_line);
        self.stay.seat.note(clock::instant(), &self.stay.turn);
        response
    }

    /// From the first request on that is not plain.
    async fn by_hyper(self: Arc<Self>, socket: Socket<TcpStream>) -> Result<(), String> {
        let mut draining = FuturesUnordered::from_iter([self.door.draining.cancelled()]);
        let service = hyper::service::service_fn(|request| Arc::clone(&self).respond(request));
        let builder = self.door.builder(self.progress.has_begun());
        let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended.map_err(|error| error.to_string()),
            _ = draining.next() => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            biased;
            ended = connection => ended.map_err(|error| error.to_string()),
            () = self.door.cutting.cancelled() => Ok(()),
        }
    }

    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, io::Error> {
        let under_way = self.progress.begin(request.version());
        let (Stay { seat, turn, .. }, now) = (&*self.stay, clock::instant());
        let is_late = seat.turns_away(now, turn) || seat.is_line_long(now);
        let (parts, body) = request.into_parts();
        // Who waits for a "100 Continue" has sent nothing yet that would have to be thrown away. Whether it still does is its choice.
        let is_body_in_doubt = !body.is_end_stream() && parts.headers.contains_key(EXPECT);
        if !body.is_end_stream() && !is_body_in_doubt {
            discard(body, self.door.limits.patience.header).await;
        }
        let mut response = if is_late {
            self.door.handler.turn_away();
            seat.note(now, turn);
            overloaded::response()
        } else {
            self.in_line(&parts).await
        };
        if is_body_in_doubt && parts.version != Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.body_mut().accompany(under_way);
        Ok(response)
    }
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
