//! Bodies of answers: a few bytes, or parts of one open file, read piece by piece as the client takes them.

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
    /// A piece that is being read by a thread that may wait.
    reading: Option<BoxFuture<'static, io::Result<Bytes>>>,
    threads: Threads,
    counts: Arc<Counts>,
}

#[derive(Debug)]
enum Piece {
    Bytes(Bytes),
    File(Range<u64>),
}

/// How much of a file is held in memory for one client: 10,000 slow ones take 320 MB at the very most.
const CHUNK_BYTES: u64 = 32 * 1024;

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
    pub fn of_file(file: OpenFile, counts: Arc<Counts>, threads: Threads) -> Self {
        let source = Source { file: Arc::new(file), reading: None, threads, counts };
        Self { source: Some(source), ..Self::default() }
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
        match self.pieces.pop_front() {
            None => Poll::Ready(None),
            Some(Piece::Bytes(bytes)) => Poll::Ready(Some(Ok(bytes))),
            Some(Piece::File(mut part)) => {
                let Some(source) = &mut self.source else { return Poll::Ready(Some(Err(cut_short()))) };
                let is_last = !self.pieces.iter().any(|piece| matches!(piece, Piece::File(_)));
                let Poll::Ready(read) = source.poll_part(&part, is_last, cx) else {
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
    fn poll_part(&mut self, part: &Range<u64>, is_last: bool, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if self.reading.is_none() {
            let left = part.end - part.start;
            let length = usize::try_from(left.min(CHUNK_BYTES)).unwrap_or(0);
            let ends_here = is_last && left <= CHUNK_BYTES;
            if !ends_here && let Some(bytes) = read_cached(&self.file.file, part.start, length) {
                return Poll::Ready(Ok(bytes));
            }
            let (file, threads, start) = (Arc::clone(&self.file), self.threads.clone(), part.start);
            self.reading = Some(Box::pin(async move {
                let read = threads.run(move || {
                    let bytes = read_at(&file.file, start, length)?;
                    if ends_here { check_untouched(&file).map(|()| bytes) } else { Ok(bytes) }
                });
                read.await.unwrap_or_else(|| Err(io::Error::other("reading panicked")))
            }));
        }
        let Some(reading) = &mut self.reading else { return Poll::Pending };
        let read = ready!(reading.as_mut().poll(cx));
        self.reading = None;
        Poll::Ready(read)
    }
}

/// Reads what the kernel has in memory, without waiting for a disk; `None` where it would have to wait.
fn read_cached(file: &File, start: u64, length: usize) -> Option<Bytes> {
    let mut buffer = vec![0; length];
    match rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut buffer)], start, ReadWriteFlags::NOWAIT) {
        Ok(read) if read > 0 => {
            buffer.truncate(read);
            Some(buffer.into())
        }
        // It would wait, the file system can't tell, or the file ends here: the other way finds out.
        Ok(_) | Err(_) => None,
    }
}

fn read_at(file: &File, start: u64, length: usize) -> io::Result<Bytes> {
    let mut buffer = vec![0; length];
    loop {
        match file.read_at(&mut buffer, start) {
            Ok(0) => return Err(cut_short()),
            Ok(read) => {
                buffer.truncate(read);
                return Ok(buffer.into());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
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
        OpenFile { file, fingerprint }
    }

    fn body_of(file: OpenFile) -> Body {
        Body::of_file(file, Arc::default(), Threads::default())
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
}
