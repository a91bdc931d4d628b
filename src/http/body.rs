//! Bodies of answers: a few bytes, or parts of one open file, piece by piece as the client takes them.
//!
//! Pieces are read (`reading`), or sent by the kernel: where the file stands still and is of this machine, its version being known. The
//! kernel sends what is in its memory at that moment, so a file that is written to must not be sent so. What is not in memory is fetched by
//! threads that may wait, either way. Where a connection is all ours, the body sends itself ([`Body::send_to`]); below hyper, what the kernel
//! is to send is promised (`promise`).

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Frame, SizeHint};
use tokio::io::AsyncWriteExt as _;

use super::connection::UnderWay;
use super::metrics::Counts;
use super::promise::{self, Promises, Wire};
use super::reading::{self, CHUNK_BYTES, check_untouched, cut_short, is_all, is_cached, read_cached};
use super::threads::Threads;
use crate::tree::OpenFile;

/// The body of an answer.
///
/// What is announced is sent: a file that got shorter meanwhile ends the connection instead. So does one that was written
/// to: its end is kept back until nothing else is to be sent, and goes only if nobody wrote to the file so far, so that nobody takes a part of a
/// file, or of two, for the whole.
#[derive(Default)]
pub struct Body {
    pieces: VecDeque<Piece>,
    source: Option<Source>,
    left: u64,
    under_way: Option<UnderWay>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("pieces", &self.pieces).field("left", &self.left).finish_non_exhaustive()
    }
}

/// The file that pieces are read from.
struct Source {
    file: Arc<OpenFile>,
    /// Whether the kernel may send it.
    settled: bool,
    /// What a thread that may wait does with the next piece.
    waiting: Option<BoxFuture<'static, io::Result<Fetched>>>,
    threads: Threads,
    counts: Arc<Counts>,
}

#[derive(Debug)]
enum Piece {
    Bytes(Bytes),
    File(Range<u64>),
}

/// What came of a piece that was not in memory.
enum Fetched {
    /// It was read.
    Bytes(Bytes),
    /// It can be sent now without waiting.
    Cached,
}

/// How a piece is sent.
#[derive(Clone, Copy)]
enum Way {
    /// It is read.
    Bytes,
    /// It is read, and is the last: what was sent before is worth it only if nobody wrote to the file meanwhile.
    Last,
    /// The kernel sends it.
    Promise,
}

/// What is left of a file for its last piece, which is always read where others stand in.
const LAST_BYTES: u64 = 4 * 1024;
/// What is not worth a call of its own to the kernel where it has to be promised.
const MIN_PROMISE: u64 = 2 * CHUNK_BYTES;
/// The most that the kernel is asked to send at once. It takes what the socket has room for, which takes a core some 100 microseconds; a
/// connection's memory is the same whatever is asked for.
const PIECE_BYTES: u64 = 1024 * 1024;
/// What is read all the same: to copy it costs less than to have it sent.
const MIN_PIECE: u64 = 8 * 1024;

impl Body {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Bytes.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let mut body = Self::empty();
        body.push_bytes(bytes);
        body
    }

    /// Parts of a file, to be filled by [`Body::push_part`]; `counts` hears what is sent, `threads` read what is not in memory.
    #[must_use]
    pub fn of_file(file: Arc<OpenFile>, counts: Arc<Counts>, threads: Threads) -> Self {
        let source = Source { file, settled: false, waiting: None, threads, counts };
        Self { source: Some(source), ..Self::default() }
    }

    /// Says that the file is a version that is known and stands still.
    #[must_use]
    pub fn settled(mut self) -> Self {
        if let Some(source) = &mut self.source {
            source.settled = !source.file.is_remote;
        }
        self
    }

    /// Appends bytes.
    pub fn push_bytes(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        if !bytes.is_empty() {
            self.left += bytes.len() as u64;
            self.pieces.push_back(Piece::Bytes(bytes));
        }
    }

    /// Appends a part of the file.
    pub fn push_part(&mut self, part: Range<u64>) {
        if !part.is_empty() {
            self.left += part.end - part.start;
            self.pieces.push_back(Piece::File(part));
        }
    }

    /// How many bytes are still to be sent.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.left
    }

    /// Whether nothing is to be sent.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Keeps a request under way until the body is sent or given up.
    pub fn accompany(&mut self, under_way: UnderWay) {
        self.under_way = Some(under_way);
    }

    /// Sends all of it over a connection on which nothing else is sent meanwhile: by the kernel where the file stands still. After each
    /// piece others have their turn.
    ///
    /// # Errors
    /// What the connection says, or the file.
    pub async fn send_to<S: Wire>(&mut self, wire: &mut S) -> io::Result<()> {
        // The request is under way as long as this is kept; and here nothing has to stand in for a part of a file.
        let _under_way = self.under_way.take();
        loop {
            if let Some((piece, is_end)) = self.piece_for_kernel() {
                self.bring(&piece).await?;
                self.send_by_kernel(piece, is_end, wire).await?;
                if !self.is_empty() {
                    tokio::task::yield_now().await;
                }
            } else {
                let Some(read) = poll_fn(|cx| self.poll_next(cx)).await else { return Ok(()) };
                let mut bytes = read?;
                self.note(bytes.len() as u64);
                wire.write_all_buf(&mut bytes).await?;
            }
        }
    }

    /// What comes next, if that is the kernel's to send, and whether nothing of the file follows.
    fn piece_for_kernel(&self) -> Option<(Range<u64>, bool)> {
        let is_settled = self.source.as_ref().is_some_and(|source| source.settled);
        let Some(Piece::File(part)) = self.pieces.front() else { return None };
        let left = part.end - part.start;
        let is_last = left <= PIECE_BYTES && !self.pieces.iter().skip(1).any(|piece| matches!(piece, Piece::File(_)));
        (is_settled && left >= MIN_PIECE).then(|| (part.start..part.start + left.min(PIECE_BYTES), is_last))
    }

    /// Sees to it that the kernel has a piece in memory.
    async fn bring(&mut self, piece: &Range<u64>) -> io::Result<()> {
        match &mut self.source {
            // Apart, as it is rare and takes room.
            Some(source) if !is_cached(&source.file.file, piece) => {
                Box::pin(source.fetch(piece.clone(), Way::Promise)).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Has the kernel send a piece of the part that comes next. Its end goes only while nobody has written to the file.
    async fn send_by_kernel<S: Wire>(&mut self, mut piece: Range<u64>, is_end: bool, wire: &mut S) -> io::Result<()> {
        while !piece.is_empty() {
            let Some(Source { file, .. }) = &mut self.source else { return Err(cut_short()) };
            let most = usize::try_from(piece.end - piece.start).unwrap_or(usize::MAX);
            let sent = poll_fn(|cx| {
                if is_end {
                    check_untouched(file)?;
                }
                Pin::new(&mut *wire).poll_send(cx, &file.file, piece.start, most)
            });
            match sent.await? as u64 {
                0 => return Err(cut_short()),
                sent => {
                    piece.start += sent;
                    self.note(sent);
                }
            }
        }
        if let Some(Piece::File(mut part)) = self.pieces.pop_front() {
            part.start = piece.end;
            if !part.is_empty() {
                self.pieces.push_front(Piece::File(part));
            }
        }
        Ok(())
    }

    /// Notes that bytes are sent, or as good as sent.
    fn note(&mut self, length: u64) {
        self.left = self.left.saturating_sub(length);
        if let Some(source) = &self.source {
            source.counts.served(length);
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let promises = self.under_way.as_ref().and_then(UnderWay::promises);
        if let Some(promises) = promises {
            ready!(promises.poll_kept(cx));
        }
        match self.pieces.pop_front() {
            None => Poll::Ready(None),
            Some(Piece::Bytes(bytes)) => Poll::Ready(Some(Ok(bytes))),
            Some(Piece::File(mut part)) => {
                let Some(source) = &mut self.source else { return Poll::Ready(Some(Err(cut_short()))) };
                let is_last = !self.pieces.iter().any(|piece| matches!(piece, Piece::File(_)));
                let (piece, way) = source.next(&part, is_last, promises.is_some());
                let Poll::Ready(read) = source.poll_piece(piece, way, promises, cx) else {
                    self.pieces.push_front(Piece::File(part));
                    return Poll::Pending;
                };
                if let Ok(bytes) = &read {
                    part.start += bytes.len() as u64;
                    if !part.is_empty() {
                        self.pieces.push_front(Piece::File(part));
                    }
                }
                Poll::Ready(Some(read))
            }
        }
    }
}

impl Source {
    /// The next piece of a part, and how it is sent.
    fn next(&self, part: &Range<u64>, is_last: bool, may_promise: bool) -> (Range<u64>, Way) {
        let left = part.end - part.start;
        let kept_back = if is_last { LAST_BYTES } else { 0 };
        let (length, way) = match () {
            () if self.settled && may_promise && left >= MIN_PROMISE => {
                ((left - kept_back).min(promise::MAX_BYTES as u64), Way::Promise)
            }
            () if is_last && left <= CHUNK_BYTES => (left, Way::Last),
            () => (left.min(CHUNK_BYTES), Way::Bytes),
        };
        (part.start..part.start + length, way)
    }

    fn poll_piece(
        &mut self,
        piece: Range<u64>,
        way: Way,
        promises: Option<&Promises>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Bytes>> {
        if self.waiting.is_none() {
            match (way, promises) {
                (Way::Promise, Some(promises)) if is_cached(&self.file.file, &piece) => {
                    return Poll::Ready(promises.give(Arc::clone(&self.file), piece));
                }
                (Way::Promise, _) => {}
                (Way::Bytes, _) => {
                    if let Some(bytes) = read_cached(&self.file.file, &piece) {
                        return Poll::Ready(Ok(bytes));
                    }
                }
                // Asking a file of this machine what it is now is no reason to wait.
                (Way::Last, _) => {
                    if self.settled
                        && let Some(bytes) = read_cached(&self.file.file, &piece).filter(|bytes| is_all(bytes, &piece))
                    {
                        return Poll::Ready(check_untouched(&self.file).map(|()| bytes));
                    }
                }
            }
            self.waiting = Some(self.fetch(piece.clone(), way));
        }
        let Some(waiting) = &mut self.waiting else { return Poll::Pending };
        let fetched = ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        Poll::Ready(match (fetched?, promises) {
            (Fetched::Bytes(bytes), _) => Ok(bytes),
            (Fetched::Cached, Some(promises)) => promises.give(Arc::clone(&self.file), piece),
            (Fetched::Cached, None) => Err(io::Error::other("the connection changed its protocol")),
        })
    }

    /// Has a thread that may wait do what is to be waited for.
    fn fetch(&self, piece: Range<u64>, way: Way) -> BoxFuture<'static, io::Result<Fetched>> {
        let (file, threads) = (Arc::clone(&self.file), self.threads.clone());
        let work = move || match way {
            Way::Promise => reading::warm(&file.file, &piece).map(|()| Fetched::Cached),
            Way::Bytes => reading::read_at(&file.file, &piece).map(Fetched::Bytes),
            Way::Last => {
                let bytes = reading::read_at(&file.file, &piece)?;
                // One that was read only in part is not the last yet.
                if is_all(&bytes, &piece) {
                    check_untouched(&file)?;
                }
                Ok(Fetched::Bytes(bytes))
            }
        };
        Box::pin(async move { threads.run(work).await.unwrap_or_else(|| Err(io::Error::other("reading panicked"))) })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        let Some(read) = ready!(this.poll_next(cx)) else { return Poll::Ready(None) };
        let bytes = read?;
        this.note(bytes.len() as u64);
        if let Some(under_way) = &this.under_way {
            under_way.advance();
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    use http_body_util::BodyExt;
    use tokio::io::AsyncReadExt as _;

    use super::super::connection::Progress;
    use super::*;
    use crate::model::Fingerprint;

    fn file(content: &[u8]) -> OpenFile {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(content).expect("written");
        let data = file.metadata().expect("it is open");
        let nanoseconds = |seconds: i64, more: i64| seconds * 1_000_000_000 + more;
        let fingerprint = Fingerprint {
            size: data.len(),
            mtime_ns: nanoseconds(data.mtime(), data.mtime_nsec()),
            ctime_ns: nanoseconds(data.ctime(), data.ctime_nsec()),
            inode: data.ino(),
        };
        OpenFile { file, fingerprint, is_remote: false }
    }

    fn body_of(file: OpenFile) -> Body {
        Body::of_file(Arc::new(file), Arc::default(), Threads::default())
    }

    fn handle(file: &OpenFile) -> File {
        file.file.try_clone().expect("a handle")
    }

    #[tokio::test]
    async fn parts_of_a_file_and_bytes_come_in_order() {
        let content: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
        let mut body = body_of(file(&content));
        body.push_bytes("start ");
        body.push_part(10..90_000);
        body.push_part(5..5);
        body.push_bytes(" middle ");
        body.push_part(99_999..100_000);
        let expected = [b"start ", &content[10..90_000], b" middle ", &content[99_999..]].concat();
        assert_eq!(body.len(), expected.len() as u64);
        assert_eq!(body.collect().await.expect("read").to_bytes(), expected);
    }

    #[tokio::test]
    async fn a_file_that_gets_shorter_ends_in_an_error() {
        let shrinking = file(&[7; 50_000]);
        let other = handle(&shrinking);
        let mut body = body_of(shrinking);
        body.push_part(0..50_000);
        assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
        other.set_len(100).expect("cut");
        assert!(body.frame().await.is_some_and(|frame| frame.is_err()));
    }

    #[tokio::test]
    async fn a_file_that_goes_on_growing_is_not_taken_for_whole() {
        let growing = file(&[7; 50_000]);
        let mut other = handle(&growing);
        let mut body = body_of(growing);
        body.push_part(0..50_000);
        assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
        other.write_all(b"more").expect("written");
        assert!(body.frame().await.is_some_and(|frame| frame.is_err()));
    }

    #[tokio::test]
    async fn a_file_that_is_linked_or_gets_other_rights_is_sent_whole() {
        let content = [7; 50_000];
        let touched = file(&content);
        let other = handle(&touched);
        let mut body = body_of(touched);
        body.push_part(0..50_000);
        let mut permissions = other.metadata().expect("it is open").permissions();
        permissions.set_readonly(true);
        other.set_permissions(permissions).expect("it is ours");
        assert_eq!(body.collect().await.expect("read").to_bytes(), content.as_slice());
    }

    #[tokio::test]
    async fn no_answer_comes_to_its_end_while_a_part_that_the_kernel_was_to_send_is_not_sent() {
        let content: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
        let mut body = body_of(file(&content)).settled();
        body.push_part(0..200_000);
        let progress = Arc::new(Progress::default());
        let promises = progress.begin(http::Version::HTTP_11);
        body.accompany(progress.begin(http::Version::HTTP_11));
        let stand_in = body.frame().await.expect("a piece").expect("read").into_data().expect("data");
        assert!(promise::stands_in(&stand_in) && stand_in.len() as u64 == 200_000 - LAST_BYTES);
        assert!(futures_util::poll!(Box::pin(body.frame())).is_pending());
        let (mut wire, _client) = tokio::io::duplex(200_000);
        let promises = promises.promises().expect("HTTP/1");
        let kept = std::future::poll_fn(|cx| promises.poll_keep(&mut wire, cx, stand_in.len())).await;
        assert_eq!(kept.expect("sent"), stand_in.len());
        assert_eq!(body.collect().await.expect("read").to_bytes(), content[stand_in.len()..]);
    }

    #[tokio::test]
    async fn over_http_2_and_from_other_machines_everything_is_read() {
        let content = [7; 200_000];
        for (version, is_remote) in [(http::Version::HTTP_2, false), (http::Version::HTTP_11, true)] {
            let mut body = body_of(OpenFile { is_remote, ..file(&content) }).settled();
            body.push_part(0..200_000);
            body.accompany(Arc::new(Progress::default()).begin(version));
            assert_eq!(body.collect().await.expect("read").to_bytes(), content.as_slice());
        }
    }

    /// What a body sends over a wire that has room for `room` bytes; `then` is done when the client has taken the first.
    async fn sent(mut body: Body, room: usize, then: impl FnOnce()) -> (io::Result<()>, Vec<u8>) {
        let (mut wire, mut client) = tokio::io::duplex(room);
        let send = async move {
            let sent = body.send_to(&mut wire).await;
            drop(wire);
            sent
        };
        let take = async {
            let mut taken = vec![0];
            client.read_exact(&mut taken).await.expect("a byte");
            then();
            client.read_to_end(&mut taken).await.expect("all");
            taken
        };
        tokio::join!(send, take)
    }

    #[tokio::test]
    async fn what_a_body_sends_itself_is_the_same_whether_or_not_the_kernel_may_send_it() {
        let content: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        let parts = [0..10, 5..8_197, 20_000..2_900_000, 1_000..1_000_000];
        let expected = parts.clone().map(|part| [&b"part "[..], &content[part]].concat()).concat();
        for may_kernel in [true, false] {
            let mut body = body_of(file(&content));
            if may_kernel {
                body = body.settled();
            }
            for part in &parts {
                body.push_bytes("part ");
                body.push_part(part.start as u64..part.end as u64);
            }
            let counts = Arc::clone(&body.source.as_ref().expect("a file").counts);
            let (ended, taken) = sent(body, 10_000, || {}).await;
            ended.expect("sent");
            assert_eq!(taken, expected);
            assert!(counts.offload().is_some(), "it is counted");
        }
    }

    #[tokio::test]
    async fn the_end_of_a_file_that_the_kernel_sends_is_not_sent_once_somebody_has_written_to_it() {
        let content = vec![7; 2_500_000];
        for length in [2_500_001, 100] {
            let touched = file(&content);
            let other = handle(&touched);
            let mut body = body_of(touched).settled();
            body.push_part(0..content.len() as u64);
            let (ended, taken) = sent(body, 10_000, || other.set_len(length).expect("it is ours")).await;
            ended.expect_err("it is another file now");
            assert!(taken.len() < content.len(), "{length}");
        }
    }
}
