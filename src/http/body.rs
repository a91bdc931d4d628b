//! Bodies of answers: a few bytes, or parts of one open file, piece by piece as the client takes them.
//!
//! Pieces are read, or left for the kernel to send (`promise`): where the file stands still and is of this
//! machine, its version being known. The kernel sends what is in its memory at that moment, so a file that is written to must
//! not be sent so. What is not in memory is fetched by threads that may wait, either way.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Frame, SizeHint};
use rustix::io::ReadWriteFlags;

use super::connection::UnderWay;
use super::metrics::Counts;
use super::promise::{self, Promises};
use super::threads::Threads;
use crate::tree::OpenFile;

/// The body of an answer.
///
/// What is announced is sent: a file that got shorter meanwhile ends the connection instead. So does one that was written
/// to: its last piece is kept back, so that nobody takes a part of a file, or of two, for the whole.
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

/// How much of a file is held in memory for one client: 10,000 slow ones take 320 MB at the very most. The kernel's own pieces
/// take nothing.
const CHUNK_BYTES: u64 = 32 * 1024;
/// What is left of a file for its last piece, which is always read.
const LAST_BYTES: u64 = 4 * 1024;
/// What is not worth a call of its own to the kernel.
const MIN_PROMISE: u64 = 2 * CHUNK_BYTES;

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
            Way::Promise => warm(&file.file, &piece).map(|()| Fetched::Cached),
            Way::Bytes => read_at(&file.file, &piece).map(Fetched::Bytes),
            Way::Last => {
                let bytes = read_at(&file.file, &piece)?;
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

fn is_all(bytes: &[u8], piece: &Range<u64>) -> bool {
    bytes.len() as u64 == piece.end - piece.start
}

/// A buffer for a piece that is read.
fn buffer(piece: &Range<u64>) -> Vec<u8> {
    vec![0; usize::try_from((piece.end - piece.start).min(CHUNK_BYTES)).unwrap_or(0)]
}

/// Whether the kernel has a piece in memory, as far as its first and its last byte tell: files are read ahead in one go. A hole
/// between them, where memory is short, costs one wait for the disk.
fn is_cached(file: &File, piece: &Range<u64>) -> bool {
    let has = |at: u64| {
        let read = rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut [0])], at, ReadWriteFlags::NOWAIT);
        read.is_ok_and(|read| read == 1)
    };
    has(piece.start) && has(piece.end.saturating_sub(1))
}

/// Reads a piece so that the kernel has it in memory.
fn warm(file: &File, piece: &Range<u64>) -> io::Result<()> {
    let mut buffer = buffer(piece);
    let mut at = piece.start;
    while at < piece.end {
        at += read_into(file, &mut buffer, at)? as u64;
    }
    Ok(())
}

/// Reads what the kernel has in memory, without waiting for a disk; `None` where it would have to wait.
fn read_cached(file: &File, piece: &Range<u64>) -> Option<Bytes> {
    let mut buffer = buffer(piece);
    match rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut buffer)], piece.start, ReadWriteFlags::NOWAIT) {
        Ok(read) if read > 0 => {
            buffer.truncate(read);
            Some(buffer.into())
        }
        // It would wait, the file system can't tell, or the file ends here: the other way finds out.
        Ok(_) | Err(_) => None,
    }
}

fn read_at(file: &File, piece: &Range<u64>) -> io::Result<Bytes> {
    let mut buffer = buffer(piece);
    let read = read_into(file, &mut buffer, piece.start)?;
    buffer.truncate(read);
    Ok(buffer.into())
}

/// Reads at least one byte.
fn read_into(file: &File, buffer: &mut [u8], start: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, start) {
            Ok(0) => return Err(cut_short()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Whether the file is still what it was when it was opened. A new link or other rights are no matter.
fn check_untouched(file: &OpenFile) -> io::Result<()> {
    let (was, is) = (file.fingerprint, file.fingerprint_now()?);
    if (was.size, was.mtime_ns) == (is.size, is.mtime_ns) {
        return Ok(());
    }
    Err(io::Error::other("the file was written to while it was sent"))
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file got shorter while it was sent")
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        let Some(read) = ready!(this.poll_next(cx)) else { return Poll::Ready(None) };
        let bytes = read?;
        let length = bytes.len() as u64;
        this.left = this.left.saturating_sub(length);
        if let Some(under_way) = &this.under_way {
            under_way.advance();
        }
        if let Some(source) = &this.source {
            source.counts.served(length);
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
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    use http_body_util::BodyExt;

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

    #[tokio::test]
    async fn a_piece_that_is_not_in_memory_is_fetched_first() {
        let content = file(&[7; 100_000]);
        warm(&content.file, &(0..100_000)).expect("read");
        assert!(is_cached(&content.file, &(0..100_000)));
        assert_eq!(warm(&content.file, &(0..100_001)).expect_err("too long").kind(), io::ErrorKind::UnexpectedEof);
    }
}
