//! One connection: a socket that gives up on clients that dawdle, and how far its requests are.
//!
//! A client may take `header-timeout` for the headers of a request, stay idle for `idle-timeout`, and read nothing of
//! an answer for `write-timeout`. Timers are set only when the socket has to wait, so a brisk client costs none. Where room for
//! connections gets short, the first two get shorter (`crowd`).

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::bell::Turn;
use super::crowd::Place;
use super::promise::{Promises, Wire, stands_in};
use super::workers::Seat;
use crate::clock;

/// How long a client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the headers of a request, from its first byte; for the first request, from the connection.
    pub header: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// Without taking a byte of an answer.
    pub write: Duration,
}

/// What of the server a connection has for itself, as long as it lasts.
#[derive(Debug)]
pub struct Stay {
    /// At one of the threads.
    pub seat: Seat,
    /// Among those that may be open.
    pub place: Place,
    /// How long it waited for the turn that it has now.
    pub turn: Turn,
}

/// How far the requests of a connection are; shared by its socket, its service and the bodies of its answers.
#[derive(Debug, Default)]
pub struct Progress {
    begun: AtomicU64,
    ended: AtomicU64,
    /// Pieces of bodies that were handed over.
    pieces: AtomicU64,
    http2: AtomicBool,
    /// Parts of files that bodies left for the socket to send.
    promises: Promises,
}

/// A request under way; it ends when this is dropped.
#[derive(Debug)]
pub struct UnderWay(Arc<Progress>);

impl Progress {
    /// Notes that a request has begun.
    pub fn begin(self: &Arc<Self>, version: http::Version) -> UnderWay {
        if version == http::Version::HTTP_2 {
            self.http2.store(true, Ordering::Relaxed);
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// Notes that a request came and was answered at once.
    pub fn answered(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a request has come.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed) > 0
    }

    fn glance(&self) -> Glance {
        let ended = self.ended.load(Ordering::Relaxed);
        let begun = self.begun.load(Ordering::Relaxed);
        let events = begun.wrapping_add(ended).wrapping_add(self.pieces.load(Ordering::Relaxed));
        Glance { begun, ended, events, http2: self.http2.load(Ordering::Relaxed) }
    }
}

impl UnderWay {
    /// Notes that a piece of the answer's body was handed over.
    pub fn advance(&self) {
        self.0.pieces.fetch_add(1, Ordering::Relaxed);
    }

    /// Where parts of files can be left for the kernel to send; HTTP/2 needs their bytes.
    #[must_use]
    pub fn promises(&self) -> Option<&Promises> {
        (!self.0.http2.load(Ordering::Relaxed)).then_some(&self.0.promises)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

struct Glance {
    begun: u64,
    ended: u64,
    events: u64,
    http2: bool,
}

/// A socket that gives up.
pub struct Socket<S> {
    stream: S,
    /// What was read before the socket was made: what followed a PROXY header.
    first: Bytes,
    progress: Arc<Progress>,
    patience: Patience,
    stay: Arc<Stay>,
    /// The value of `Glance::events` since which the present wait counts.
    events: u64,
    /// When the present wait began; unknown until the socket has to wait, so that a brisk client costs no look at the clock.
    since: Option<Instant>,
    /// Bytes came since the last event: a request's headers have begun.
    begun: bool,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
    write_stalled: bool,
}

impl<S> Socket<S> {
    /// Wraps a stream, of which `first` was already read.
    pub fn new(stream: S, first: Bytes, progress: Arc<Progress>, patience: Patience, stay: Arc<Stay>) -> Self {
        Self {
            stream,
            first,
            progress,
            patience,
            stay,
            events: 0,
            since: Some(clock::instant()),
            begun: true,
            reading: None,
            writing: None,
            write_stalled: false,
        }
    }

    /// Gives back what was read; it is read again.
    #[must_use]
    pub fn unread(self, bytes: Bytes) -> Self {
        debug_assert!(self.first.is_empty(), "what was read before comes first, so it was read already");
        Self { first: bytes, ..self }
    }

    /// Called when nothing can be read: how long may that last?
    fn check_reading(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let glance = self.progress.glance();
        let now = clock::instant();
        if glance.events != self.events {
            (self.events, self.since, self.begun) = (glance.events, None, false);
        }
        let limit = match (glance.begun != glance.ended, glance.http2) {
            // The answer is being sent: `check_writing` looks after it.
            (true, false) => return Poll::Pending,
            // Streams may wait for the client's windows while the socket itself could go on.
            (true, true) => self.patience.write,
            (false, false) if self.begun => self.stay.place.shorten(self.patience.header),
            (false, true) | (false, false) => self.stay.place.shorten(self.patience.idle),
        };
        let deadline = *self.since.get_or_insert(now) + limit;
        if now >= deadline {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let timer = self.reading.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        if timer.deadline() > deadline.into() {
            timer.as_mut().reset(deadline.into());
        }
        // A timer that was set for an earlier wait may ring too early; then it is set again.
        while timer.as_mut().poll(cx).is_ready() {
            timer.as_mut().reset(deadline.into());
            if clock::instant() >= deadline {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        Poll::Pending
    }

    /// Called when nothing can be written.
    fn check_writing(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let timer = self.writing.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.patience.write)));
        if !self.write_stalled {
            self.write_stalled = true;
            timer.as_mut().reset(tokio::time::Instant::now() + self.patience.write);
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    fn watch_write<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_pending() {
            return self.check_writing(cx).map(Err);
        }
        self.write_stalled = false;
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.first.is_empty() {
            let length = this.first.len().min(buffer.remaining());
            buffer.put_slice(&this.first[..length]);
            this.first.advance(length);
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Ready(done) => {
                this.note_bytes();
                Poll::Ready(done)
            }
            Poll::Pending => this.check_reading(cx),
        }
    }
}

impl<S> Socket<S> {
    /// The first bytes after the last event begin the headers of a request.
    fn note_bytes(&mut self) {
        let events = self.progress.glance().events;
        if events != self.events || !self.begun {
            (self.events, self.since, self.begun) = (events, None, true);
        }
    }
}

impl<S: Wire> AsyncWrite for Socket<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = if stands_in(bytes) {
            this.progress.promises.poll_keep(&mut this.stream, cx, bytes.len())
        } else {
            Pin::new(&mut this.stream).poll_write(cx, bytes)
        };
        this.watch_write(written, cx)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        // Up to what the kernel is to send from a file, which goes by itself.
        let bytes = slices.iter().position(|slice| stands_in(slice)).unwrap_or(slices.len());
        let slices = &slices[..bytes.max(1).min(slices.len())];
        // A redirect is one piece, and one piece is sent by a shorter way through the kernel.
        if let [only] = slices {
            return self.poll_write(cx, only);
        }
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.watch_write(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: Wire> Wire for Socket<S> {
    fn poll_write_ahead(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_ahead(cx, bytes);
        this.watch_write(written, cx)
    }

    fn poll_send(self: Pin<&mut Self>, cx: &mut Context<'_>, file: &File, start: u64, most: usize) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.stream).poll_send(cx, file, start, most);
        this.watch_write(sent, cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::super::crowd::Crowd;
    use super::super::workers::Workers;
    use super::*;

    /// Short, but long enough to be told apart on a busy machine.
    const PATIENCE: Patience =
        Patience { header: Duration::from_millis(60), idle: Duration::from_millis(400), write: Duration::from_millis(60) };

    async fn stay() -> Arc<Stay> {
        let seat = Workers::here().seat(Duration::ZERO);
        Arc::new(Stay { seat, place: Crowd::new(10).enter().await, turn: Turn::default() })
    }

    async fn pair() -> (Socket<DuplexStream>, DuplexStream, Arc<Progress>) {
        let (ours, theirs) = duplex(64);
        let progress = Arc::new(Progress::default());
        (Socket::new(ours, Bytes::new(), Arc::clone(&progress), PATIENCE, stay().await), theirs, progress)
    }

    async fn read_some(socket: &mut Socket<DuplexStream>) -> io::Result<usize> {
        socket.read(&mut [0; 16]).await
    }

    #[tokio::test]
    async fn a_client_that_sends_nothing_is_given_up_after_the_header_timeout() {
        let (mut socket, _theirs, _) = pair().await;
        let began = clock::instant();
        assert_eq!(read_some(&mut socket).await.expect_err("given up").kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() < PATIENCE.idle);
    }

    #[tokio::test]
    async fn a_client_that_trickles_headers_is_given_up_as_soon() {
        let (mut socket, mut theirs, _) = pair().await;
        let trickle = async {
            while theirs.write_all(b"x").await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        let read = async {
            let mut bytes = 0;
            while let Ok(some) = read_some(&mut socket).await {
                bytes += some;
            }
            drop(socket);
            bytes
        };
        let ((), bytes) = tokio::join!(trickle, read);
        assert!(bytes > 0);
    }

    #[tokio::test]
    async fn between_requests_a_client_may_idle() {
        let (mut socket, mut theirs, progress) = pair().await;
        theirs.write_all(b"x").await.expect("room");
        assert_eq!(read_some(&mut socket).await.expect("a byte"), 1);
        drop(progress.begin(http::Version::HTTP_11));
        let began = clock::instant();
        assert_eq!(read_some(&mut socket).await.expect_err("given up").kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= PATIENCE.idle);
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_given_up() {
        let (mut socket, _theirs, progress) = pair().await;
        let _request = progress.begin(http::Version::HTTP_11);
        assert_eq!(socket.write_all(&[0; 65]).await.expect_err("given up").kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn what_was_read_before_comes_first() {
        let (ours, mut theirs) = duplex(64);
        theirs.write_all(b" world").await.expect("room");
        drop(theirs);
        let mut socket = Socket::new(ours, Bytes::from_static(b"hello"), Arc::default(), PATIENCE, stay().await);
        let mut text = String::new();
        socket.read_to_string(&mut text).await.expect("text");
        assert_eq!(text, "hello world");
    }
}
