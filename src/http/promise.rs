//! Parts of files that the kernel sends by itself (`sendfile`), below a hyper that knows nothing but bytes.
//!
//! A body hands hyper a *stand-in*: a slice of one static region that is used for nothing else. The file, and which part of it
//! the slice stands for, is left as a promise with the connection. hyper passes slices on by their address, so the socket below
//! it knows a stand-in when it comes to write one, and lets the kernel send the file instead. Why nobody gets a stand-in for content:
//!
//! - Each slice that is written is looked at, by its address; what lies in the region never goes to the network as it is.
//! - A connection has one promise at a time. The body waits until it is kept before it goes on, and its end is always made of real
//!   bytes. Should something ever copy a stand-in on its way, the promise would not be kept and the answer not come to its
//!   end: the client sees a download that broke off, not a wrong file.
//! - What stands in is at most as long as what is left of the promise; a write without a promise, or beyond it, is an error that
//!   ends the connection. So is a file that got shorter: the kernel finds nothing to send.
//! - Over HTTP/2, where bytes are framed and kept, nothing is promised.
//!
//! The file is kept open by the promise, whatever becomes of the body. It is not mapped: one that shrinks can't kill the process.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use rustix::fs::sendfile;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;

use crate::tree::OpenFile;

/// The longest part of a file that is promised at once: a core is busy with it for some 100 microseconds.
pub(super) const MAX_BYTES: usize = 512 * 1024;

/// What stands in. Its addresses count; its content is read by nobody and takes no memory.
static STAND_IN: [u8; MAX_BYTES] = [0; MAX_BYTES];

/// What one connection has promised.
#[derive(Debug, Default)]
pub struct Promises(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    promise: Option<Promise>,
    /// The body that waits for the promise to be kept.
    waiting: Option<Waker>,
}

#[derive(Debug)]
struct Promise {
    file: Arc<OpenFile>,
    left: Range<u64>,
}

/// What bytes and parts of files can be sent to.
pub trait Wire: AsyncRead + AsyncWrite + Unpin {
    /// Sends some of these bytes, which others follow at once: the kernel may keep them until then.
    fn poll_write_ahead(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Sends up to `most` bytes of a file, from `start` on: how many it were, 0 at the end of the file.
    fn poll_send(self: Pin<&mut Self>, cx: &mut Context<'_>, file: &File, start: u64, most: usize) -> Poll<io::Result<usize>>;
}

impl Wire for TcpStream {
    fn poll_write_ahead(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        poll_call(&self, cx, || send(&*self, bytes, SendFlags::MORE | SendFlags::NOSIGNAL))
    }

    fn poll_send(self: Pin<&mut Self>, cx: &mut Context<'_>, file: &File, start: u64, most: usize) -> Poll<io::Result<usize>> {
        poll_call(&self, cx, || sendfile(&*self, file, Some(&mut { start }), most))
    }
}

/// Calls the kernel for a socket, again and again until it need not wait.
fn poll_call(socket: &TcpStream, cx: &mut Context<'_>, call: impl Fn() -> Result<usize, Errno>) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_write_ready(cx))?;
        match socket.try_io(Interest::WRITABLE, || Ok(call()?)) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            sent => return Poll::Ready(sent),
        }
    }
}

/// In tests, content is read and written.
#[cfg(test)]
impl Wire for tokio::io::DuplexStream {
    fn poll_write_ahead(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write(cx, bytes)
    }

    fn poll_send(self: Pin<&mut Self>, cx: &mut Context<'_>, file: &File, start: u64, most: usize) -> Poll<io::Result<usize>> {
        use std::os::unix::fs::FileExt as _;
        let mut bytes = vec![0; most];
        match file.read_at(&mut bytes, start)? {
            0 => Poll::Ready(Ok(0)),
            read => self.poll_write(cx, &bytes[..read]),
        }
    }
}

/// Whether this slice stands for a part of a file.
#[must_use]
pub(super) fn stands_in(slice: &[u8]) -> bool {
    !slice.is_empty() && STAND_IN.as_ptr_range().contains(&slice.as_ptr())
}

impl Promises {
    /// Promises a part of a file, at most [`MAX_BYTES`] long: what stands in for it.
    ///
    /// # Errors
    /// When another promise is still to be kept.
    pub fn give(&self, file: Arc<OpenFile>, part: Range<u64>) -> io::Result<Bytes> {
        let length = usize::try_from(part.end.saturating_sub(part.start)).unwrap_or(usize::MAX);
        let stand_in = STAND_IN.get(..length).ok_or_else(|| broken("a part that is too long"))?;
        let mut state = self.state();
        if state.promise.is_some() {
            return Err(broken("two at once"));
        }
        state.promise = Some(Promise { file, left: part });
        Ok(Bytes::from_static(stand_in))
    }

    /// Waits until there is nothing promised that was not sent.
    pub fn poll_kept(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.promise.is_none() {
            return Poll::Ready(());
        }
        state.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Sends what was promised, in the place of `length` bytes that stand in: how many of them it were.
    pub fn poll_keep<S: Wire>(&self, wire: &mut S, cx: &mut Context<'_>, length: usize) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        let Some(promise) = &mut state.promise else { return Poll::Ready(Err(broken("nothing"))) };
        if length as u64 > promise.left.end - promise.left.start {
            return Poll::Ready(Err(broken("less than that")));
        }
        let sent = ready!(Pin::new(wire).poll_send(cx, &promise.file.file, promise.left.start, length))?;
        if sent == 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file got shorter while it was sent")));
        }
        promise.left.start += sent as u64;
        if promise.left.is_empty() {
            state.promise = None;
            if let Some(body) = state.waiting.take() {
                body.wake();
            }
        }
        Poll::Ready(Ok(sent))
    }

    /// Nobody who holds the lock can panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fault of ours. The connection ends before a byte of it is sent.
fn broken(what: &str) -> io::Error {
    io::Error::other(format!("a part of a file was to be sent of which was promised: {what}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tokio::io::{AsyncReadExt as _, duplex};

    use super::*;
    use crate::model::Fingerprint;

    fn file(content: &[u8]) -> Arc<OpenFile> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(content).expect("written");
        let fingerprint = Fingerprint { size: content.len() as u64, mtime_ns: 0, ctime_ns: 0, inode: 0 };
        Arc::new(OpenFile { file, fingerprint, is_remote: false })
    }

    async fn keep<S: Wire>(promises: &Promises, wire: &mut S, length: usize) -> io::Result<usize> {
        std::future::poll_fn(|cx| promises.poll_keep(wire, cx, length)).await
    }

    #[test]
    fn only_the_region_stands_in() {
        let stand_in = Promises::default().give(file(b"abc"), 0..3).expect("the first");
        assert!(stands_in(&stand_in) && stands_in(&stand_in[2..]));
        let copy = Vec::from(&stand_in[..]);
        assert!(!stands_in(&copy), "a copy is known to be none");
        assert!(!stands_in(&[0; 3]) && !stands_in(&[]) && !stands_in(&STAND_IN[..0]));
    }

    #[tokio::test]
    async fn a_part_is_sent_bit_by_bit_and_who_waits_for_it_is_told() {
        let promises = Promises::default();
        let (mut wire, mut client) = duplex(4);
        promises.give(file(b"0123456789"), 2..9).expect("the first");
        let mut waiting = kept(&promises);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let mut received = [0; 7];
        assert_eq!(keep(&promises, &mut wire, 7).await.expect("sent"), 4);
        client.read_exact(&mut received[..4]).await.expect("read");
        assert_eq!(keep(&promises, &mut wire, 3).await.expect("sent"), 3);
        client.read_exact(&mut received[4..]).await.expect("read");
        assert_eq!(&received, b"2345678");
        waiting.await;
    }

    fn kept(promises: &Promises) -> impl Future<Output = ()> + Unpin {
        std::future::poll_fn(|cx| promises.poll_kept(cx))
    }

    #[tokio::test]
    async fn what_was_not_promised_is_not_sent() {
        let promises = Promises::default();
        let (mut wire, _client) = duplex(64);
        assert!(keep(&promises, &mut wire, 1).await.is_err(), "nothing was promised");
        promises.give(file(b"0123456789"), 0..5).expect("the first");
        assert!(keep(&promises, &mut wire, 6).await.is_err(), "less was promised");
        assert!(promises.give(file(b"x"), 0..1).is_err(), "one is still to be kept");
        assert!(Promises::default().give(file(b"x"), 0..MAX_BYTES as u64 + 1).is_err(), "nothing is that long");
    }

    #[tokio::test]
    async fn a_file_that_got_shorter_is_an_error() {
        let promises = Promises::default();
        let (mut wire, _client) = duplex(64);
        let shrinking = file(b"0123456789");
        promises.give(Arc::clone(&shrinking), 0..10).expect("the first");
        shrinking.file.set_len(4).expect("cut");
        assert_eq!(keep(&promises, &mut wire, 10).await.expect("sent"), 4);
        assert_eq!(keep(&promises, &mut wire, 6).await.expect_err("no more").kind(), io::ErrorKind::UnexpectedEof);
    }
}
