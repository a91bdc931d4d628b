//! The plainest conversation: requests of HTTP/1.1 for files that a mirror may take, answered without hyper.
//!
//! Most of what a redirect costs is hyper's work for requests that could have bodies, trailers, upgrades and more. So a connection
//! begins here: a request that is read whole and is plain in each respect (`Head::parse` says what that means) is answered from this one loop,
//! by a redirect at once or with what the others are answered with, too (`answering`). With the first that is not plain, the connection, and
//! every byte that was not answered, goes to hyper for good.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Buf, Bytes, BytesMut};
use http::Response;
use http::request::Parts;
use httparse::Status;
use tokio::io::AsyncReadExt;

use super::body::Body;
use super::connection::Progress;
use super::promise::Wire;
use super::{answering, overloaded};
use crate::model::is_host;

/// The head of a plain request.
#[derive(Debug)]
pub struct Head<'a> {
    /// GET; else HEAD.
    pub is_get: bool,
    /// The target: a path of printable ASCII, with its slash and without query.
    pub path: &'a str,
    /// The one `Host`.
    pub host: &'a str,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// Whether there are conditions on the client's copy of the file (RFC 9110 section 13.1).
    pub is_conditional: bool,
    /// All lines.
    pub lines: &'a [httparse::Header<'a>],
}

/// What the bytes are that were read so far.
enum Read<T> {
    /// A plain request, and its length.
    Plain(T, usize),
    /// Perhaps the beginning of one.
    Part,
    /// Something else.
    Other,
}

/// Lines of a plain request. Browsers send about 20.
const MAX_LINES: usize = 32;
/// Room for them.
type Lines<'a> = [MaybeUninit<httparse::Header<'a>>; MAX_LINES];
const NO_LINES: Lines<'_> = [MaybeUninit::uninit(); MAX_LINES];
/// A longer head is hyper's business, with the limits of the configuration.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// What a connection keeps of its buffer for answers.
const MAX_KEPT_BYTES: usize = 8 * 1024;
/// A body of so many bytes goes with its head, which is one packet for the kernel: that takes an eighth less of it. Before a longer one the
/// head goes ahead, which takes less than to keep it.
const SHORT_BYTES: u64 = 60 * 1024;
/// What is read at once: most heads are far smaller.
const READ_BYTES: usize = 2 * 1024;

impl<'a> Head<'a> {
    /// Reads a head. Plain is a GET or HEAD of HTTP/1.1 with a path alone as its target, one `Host`, no body, and no line that could ask for something other than the
    /// file or its mirrors: no range, no description instead of the file, no expectation, no word on the connection but that it is kept.
    fn parse(bytes: &'a [u8], lines: &'a mut Lines<'a>) -> Read<Self> {
        let mut request = httparse::Request::new(&mut []);
        let length = match request.parse_with_uninit_headers(bytes, lines) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) if bytes.len() < MAX_HEAD_BYTES => return Read::Part,
            _ => return Read::Other,
        };
        match Self::plain(&request) {
            // The lines live as long as what they speak of.
            Some((is_get, path)) => match Self::of_lines(is_get, path, request.headers) {
                Some(head) => Read::Plain(head, length),
                None => Read::Other,
            },
            None => Read::Other,
        }
    }

    fn plain(request: &httparse::Request<'_, 'a>) -> Option<(bool, &'a str)> {
        let is_get = match request.method? {
            "GET" => true,
            "HEAD" => false,
            _ => return None,
        };
        let path = request.path?;
        let is_plain = request.version == Some(1)
            && path.starts_with('/')
            && path.bytes().fold(true, |plain, byte| plain & PLAIN[usize::from(byte)]);
        is_plain.then_some((is_get, path))
    }

    fn of_lines(is_get: bool, path: &'a str, lines: &'a [httparse::Header<'a>]) -> Option<Self> {
        let (mut host, mut user_agent, mut is_conditional) = (None, None, false);
        for line in lines {
            let is = |name: &str| line.name.eq_ignore_ascii_case(name);
            is_conditional |= line.name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("if-"));
            let is_plain = match line.name.len() {
                4 if is("host") => {
                    let name = std::str::from_utf8(line.value).ok()?;
                    host.replace(name).is_none() && is_host(name)
                }
                5 => !is("range"),
                6 => !is("accept") && !is("expect") || is("accept") && !names_metalink(line.value),
                7 => !is("upgrade") && !is("trailer"),
                10 if is("connection") => line.value.eq_ignore_ascii_case(b"keep-alive"),
                10 if is("user-agent") => {
                    user_agent = user_agent.or(Some(line.value));
                    true
                }
                14 => !is("content-length"),
                17 => !is("transfer-encoding"),
                _ => true,
            };
            if !is_plain {
                return None;
            }
        }
        Some(Self { is_get, path, host: host?, user_agent, is_conditional, lines })
    }
}

fn names_metalink(accept: &[u8]) -> bool {
    const WORD: &[u8] = b"metalink";
    accept.len() >= WORD.len() && accept.windows(WORD.len()).any(|part| part.eq_ignore_ascii_case(WORD))
}

/// What the target of a plain request is made of (RFC 3986): letters, digits, marks, escapes and slashes.
const PLAIN: [bool; 256] = {
    let (mut plain, mut byte, mut at) = ([false; 256], 0, 0);
    while byte < plain.len() {
        plain[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"-._~!$&'()*+,;=:@/%";
    while at < marks.len() {
        plain[marks[at] as usize] = true;
        at += 1;
    }
    plain
};

/// What becomes of a plain request.
#[derive(Debug)]
pub enum Reply {
    /// Status line and lines of the answer were appended; this is its body.
    Answered(Body),
    /// Too many others wait: it is told to come again.
    TurnedAway,
    /// It is not answered at once.
    Later,
}

/// What a plain conversation came to.
#[derive(Debug)]
pub enum End {
    /// The client has closed the connection.
    Closed,
    /// Before it goes on, this is to be sent.
    Due(Due),
    /// The next request is not plain.
    Other,
}

/// What is to be sent before a plain conversation goes on.
#[derive(Debug)]
pub enum Due {
    /// What [`Conversation::answer`] makes of the answer to this request.
    Answer(Box<Parts>),
    /// The body of the last answer, by [`Conversation::send_body`].
    Body(Body),
}

/// One of the ways to write to a socket.
type Write<S> = fn(Pin<&mut S>, &mut Context<'_>, &[u8]) -> Poll<io::Result<usize>>;

/// A connection as long as all is plain.
pub struct Conversation<S> {
    socket: S,
    /// What was read and is not answered yet.
    read: BytesMut,
    /// Answers, of which `sent` bytes are sent.
    answers: Vec<u8>,
    sent: usize,
}

impl<S: Wire> Conversation<S> {
    /// A connection that has said nothing yet.
    pub fn new(socket: S) -> Self {
        Self { socket, read: BytesMut::new(), answers: Vec::new(), sent: 0 }
    }

    /// Answers requests as long as `answer` knows one at once, the head of which it appends. It may be dropped at any moment and called again.
    ///
    /// # Errors
    /// What the socket says; a client that closed within a request.
    pub async fn serve(
        &mut self,
        progress: &Progress,
        mut answer: impl FnMut(&Head<'_>, Instant, &mut Vec<u8>) -> Reply,
    ) -> io::Result<End> {
        loop {
            let end = self.answer_all(progress, &mut answer);
            if let Some(end @ End::Due(Due::Body(_))) = end {
                // What is answered goes with it.
                return Ok(end);
            }
            self.flush().await?;
            if let Some(end) = end {
                return Ok(end);
            }
            self.read.reserve(READ_BYTES);
            if self.socket.read_buf(&mut self.read).await? == 0 {
                return if self.read.is_empty() { Ok(End::Closed) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// Sends what is answered.
    ///
    /// # Errors
    /// What the socket says.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.send_answers(S::poll_write).await
    }

    async fn send_answers(&mut self, write: Write<S>) -> io::Result<()> {
        while self.sent < self.answers.len() {
            let bytes = &self.answers[self.sent..];
            match poll_fn(|cx| write(Pin::new(&mut self.socket), cx, bytes)).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                sent => self.sent += sent,
            }
        }
        self.answers.clear();
        self.sent = 0;
        // Many requests at once, as they are rarely sent, leave a large buffer.
        self.answers.shrink_to(MAX_KEPT_BYTES);
        Ok(())
    }

    /// Answers a request that was read: what is still to be sent besides, by [`Conversation::send_body`].
    pub fn answer(&mut self, is_get: bool, response: Response<Body>) -> Body {
        answering::head_into(&response, is_get, &mut self.answers);
        push_date(&mut self.answers, crate::clock::instant());
        let may_have_body = is_get && answering::may_have_body(response.status());
        if may_have_body { response.into_body() } else { Body::empty() }
    }

    /// Sends what is answered, and the body of the last answer.
    ///
    /// # Errors
    /// What the socket says, or whoever reads the body; then the connection can't go on.
    pub async fn send_body(&mut self, body: &mut Body) -> io::Result<()> {
        // What nothing follows must not wait for it.
        let is_short = (1..=SHORT_BYTES).contains(&body.len());
        let write = if is_short { S::poll_write_ahead } else { S::poll_write };
        self.send_answers(write).await?;
        let Self { socket, read, answers, .. } = self;
        let mut sending = pin!(body.send_to(socket));
        let sent = poll_fn(|cx| match sending.as_mut().poll(cx) {
            Poll::Pending => {
                let_go(read, answers);
                Poll::Pending
            }
            sent => sent,
        });
        sent.await
    }

    /// Answers the requests that were read, until the conversation ends.
    fn answer_all(
        &mut self,
        progress: &Progress,
        answer: &mut impl FnMut(&Head<'_>, Instant, &mut Vec<u8>) -> Reply,
    ) -> Option<End> {
        while !self.read.is_empty() {
            let mut lines = NO_LINES;
            let (head, length) = match Head::parse(&self.read, &mut lines) {
                Read::Plain(head, length) => (head, length),
                Read::Part => return None,
                Read::Other => return Some(End::Other),
            };
            let (before, now) = (self.answers.len(), crate::clock::instant());
            let body = match answer(&head, now, &mut self.answers) {
                Reply::Answered(body) => body,
                Reply::TurnedAway => {
                    self.answers.truncate(before);
                    overloaded::head_into(&mut self.answers);
                    Body::empty()
                }
                Reply::Later => {
                    self.answers.truncate(before);
                    let Some(parts) = answering::parts(&head) else { return Some(End::Other) };
                    self.read.advance(length);
                    return Some(End::Due(Due::Answer(Box::new(parts))));
                }
            };
            push_date(&mut self.answers, now);
            self.read.advance(length);
            if !body.is_empty() {
                return Some(End::Due(Due::Body(body)));
            }
            progress.answered();
        }
        None
    }

    /// The socket, and what was read and not answered.
    pub fn into_rest(self) -> (S, Bytes) {
        (self.socket, self.read.freeze())
    }
}

/// Frees buffers that have nothing in them: a slow client may take its time.
fn let_go(read: &mut BytesMut, answers: &mut Vec<u8>) {
    if read.is_empty() {
        *read = BytesMut::new();
    }
    if answers.is_empty() {
        *answers = Vec::new();
    }
}

thread_local! {
    /// The line of the present second, and until when it is true.
    static DATE: RefCell<Option<(Instant, String)>> = const { RefCell::new(None) };
}

/// Appends `Date` (RFC 9110 section 6.6.1) and the end of the head.
fn push_date(out: &mut Vec<u8>, now: Instant) {
    DATE.with_borrow_mut(|date| {
        let line = match date {
            Some((until, line)) if now < *until => line,
            _ => &mut date.insert(date_line(now)).1,
        };
        out.extend_from_slice(line.as_bytes());
    });
}

fn date_line(now: Instant) -> (Instant, String) {
    let time: SystemTime = crate::clock::Clock::system().now().into();
    let within_second = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    let until = now + Duration::from_secs(1).saturating_sub(Duration::from_nanos(within_second.into()));
    (until, format!("date: {}\r\n\r\n", httpdate::fmt_http_date(time)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// `plain`, `part` or `other`.
    fn read(text: &str) -> &'static str {
        match Head::parse(text.as_bytes(), &mut { NO_LINES }) {
            Read::Plain(_, length) if length == text.len() => "plain",
            Read::Plain(..) => "more",
            Read::Part => "part",
            Read::Other => "other",
        }
    }

    #[test]
    fn only_what_asks_for_a_file_and_nothing_else_is_plain() {
        for (lines, expected) in [
            ("GET /a.xo HTTP/1.1\r\nHost: a", "plain"),
            ("HEAD /a%20b.xo HTTP/1.1\r\nhost: a\r\nUser-Agent: x\r\nAccept: */*\r\nConnection: Keep-Alive", "plain"),
            ("GET /a.xo HTTP/1.1\r\nHost: a\r\nRanges: x\r\nX-Forwarded-For: 192.0.2.1\r\nIf-None-Match: \"x\"", "plain"),
            ("GET /a.xo HTTP/1.1\r\nAccept: */*", "other"),
            ("GET /a.xo HTTP/1.1\r\nHost: a\r\nHost: a", "other"),
            ("GET /a.xo HTTP/1.1\r\nHost: \u{fc}", "other"),
            ("GET /a.xo HTTP/1.1\r\nHost: a/b", "other"),
            ("GET /a.xo HTTP/1.1\r\nHost: [::1", "other"),
            ("GET /a.xo HTTP/1.0\r\nHost: a", "other"),
            ("GET /a.xo?x HTTP/1.1\r\nHost: a", "other"),
            ("GET /a\"b HTTP/1.1\r\nHost: a", "other"),
            ("GET http://a/a.xo HTTP/1.1\r\nHost: a", "other"),
            ("OPTIONS * HTTP/1.1\r\nHost: a", "other"),
            ("POST /a.xo HTTP/1.1\r\nHost: a", "other"),
            ("get /a.xo HTTP/1.1\r\nHost: a", "other"),
            ("GET /a.xo HTTP/1.1\r\nHost: a\r\nContent-Length: 0", "other"),
            ("GET /a.xo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked", "other"),
            ("GET /a.xo HTTP/1.1\r\nHost: a\r\nTransfer-encoding : chunked", "other"),
            ("GET /a.xo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue", "other"),
            ("GET /a.xo HTTP/1.1\r\nHost: a\r\nUpgrade: h2c", "other"),
            ("GET /a.xo HTTP/1.1\r\nHost: a\r\nConnection: close", "other"),
            ("GET /a.xo HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, upgrade", "other"),
            ("GET /a.xo HTTP/1.1\r\nHost: a\r\nRANGE: bytes=0-1", "other"),
            ("GET /a.xo HTTP/1.1\r\nHost: a\r\nAccept: application/Metalink4+xml", "other"),
            ("GET /a.xo HTTP/1.1\r\nHost: a\r\n folded: x", "other"),
            ("PRI * HTTP/2.0", "other"),
        ] {
            let whole = format!("{lines}\r\n\r\n");
            assert_eq!(read(&whole), expected, "{lines}");
            if expected == "plain" {
                assert!((1..whole.len()).all(|end| read(&whole[..end]) == "part"), "{lines}");
                assert_eq!(read(&format!("{whole}G")), "more", "{lines}");
            }
        }
        let many = (0..=MAX_LINES).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
        assert_eq!(read(&format!("GET /a HTTP/1.1\r\nHost: a\r\n{many}\r\n")), "other");
        let long = "x".repeat(MAX_HEAD_BYTES);
        assert_eq!(read(&format!("GET /a HTTP/1.1\r\nHost: a\r\nCookie: {long}")), "other", "whatever follows");
    }

    #[test]
    fn conditions_on_a_copy_are_noticed_whatever_they_are() {
        let is_conditional = |line: &str| {
            let text = format!("GET /a.xo HTTP/1.1\r\nHost: a\r\n{line}: x\r\n\r\n");
            match Head::parse(text.as_bytes(), &mut { NO_LINES }) {
                Read::Plain(head, _) => head.is_conditional,
                _ => panic!("{line} is plain"),
            }
        };
        for line in ["If-None-Match", "if-match", "IF-MODIFIED-SINCE", "If-Unmodified-Since", "If-Range"] {
            assert!(is_conditional(line), "{line}");
        }
        assert!(!is_conditional("I") && !is_conditional("X-If-Match") && !is_conditional("Iffy"));
    }

    const REQUEST: &str = "GET /yes HTTP/1.1\r\nHost: a\r\n\r\n";

    /// Answers `/yes` only, and turns away who asks for `/late`.
    fn answer(head: &Head<'_>, _: Instant, out: &mut Vec<u8>) -> Reply {
        out.extend_from_slice(b"HTTP/1.1 302 Found\r\nlocation: http://m/\r\n");
        match head.path {
            "/yes" => Reply::Answered(Body::empty()),
            "/body" => Reply::Answered(Body::full("body")),
            "/late" => Reply::TurnedAway,
            _ => Reply::Later,
        }
    }

    async fn end_of(sent: &str) -> (String, io::Result<End>, String) {
        let (ours, mut theirs) = duplex(64 * 1024);
        theirs.write_all(sent.as_bytes()).await.expect("room");
        theirs.shutdown().await.expect("open");
        let mut conversation = Conversation::new(ours);
        let end = conversation.serve(&Arc::default(), answer).await;
        let (socket, rest) = conversation.into_rest();
        drop(socket);
        let mut text = String::new();
        theirs.read_to_string(&mut text).await.expect("text");
        (text, end, String::from_utf8(rest.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn requests_are_answered_in_turn_and_the_first_other_one_is_left_whole_with_all_behind_it() {
        let other = "GET /no?x HTTP/1.1\r\nHost: a\r\n\r\n";
        let (text, end, rest) = end_of(&[REQUEST, REQUEST, other, REQUEST].concat()).await;
        assert_eq!(text.matches("HTTP/1.1 302 Found\r\nlocation: http://m/\r\ndate: ").count(), 2, "{text}");
        assert!(
            text.ends_with(" GMT\r\n\r\n") && text.matches("location").count() == 2,
            "nothing of the refused answer: {text}"
        );
        assert!(matches!(end.expect("no error"), End::Other));
        assert_eq!(rest, [other, REQUEST].concat());
    }

    #[tokio::test]
    async fn who_is_turned_away_is_told_when_to_come_again_and_may_go_on() {
        let late = "GET /late HTTP/1.1\r\nHost: a\r\n\r\n";
        let (text, end, _) = end_of(&[REQUEST, late, REQUEST].concat()).await;
        let answers: Vec<&str> = text.split_inclusive("\r\n\r\n").collect();
        assert_eq!(answers.len(), 3, "{text}");
        assert!([answers[0], answers[2]].iter().all(|answer| answer.starts_with("HTTP/1.1 302 Found\r\n")), "{text}");
        assert!(answers[1].starts_with("HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n"), "{text}");
        assert!(!answers[1].contains("location") && answers[1].contains("why=overloaded\r\n"), "{text}");
        assert!(answers[1].contains("\r\ncontent-length: 0\r\n") && answers[1].ends_with(" GMT\r\n\r\n"), "{text}");
        assert!(matches!(end.expect("no error"), End::Closed));
    }

    #[tokio::test]
    async fn what_is_not_answered_at_once_is_answered_in_its_turn() {
        let (ours, mut theirs) = duplex(64 * 1024);
        let head = "HEAD /no HTTP/1.1\r\nHost: a\r\nX: \u{e4}\r\n\r\n";
        theirs
            .write_all([REQUEST, "GET /no HTTP/1.1\r\nHost: a\r\n\r\n", head, REQUEST].concat().as_bytes())
            .await
            .expect("room");
        theirs.shutdown().await.expect("open");
        let mut conversation = Conversation::new(ours);
        let mut asked = Vec::new();
        while let End::Due(Due::Answer(parts)) = conversation.serve(&Arc::default(), answer).await.expect("no error") {
            let mut body = conversation.answer(parts.method == http::Method::GET, Response::new(Body::full("body")));
            conversation.send_body(&mut body).await.expect("sent");
            asked.push(format!("{} {} {}", parts.method, parts.uri, parts.headers.len()));
        }
        drop(conversation);
        let mut text = String::new();
        theirs.read_to_string(&mut text).await.expect("text");
        assert_eq!(asked, ["GET /no 1", "HEAD /no 2"]);
        let answers: Vec<&str> = text.split("HTTP/1.1 ").map(|answer| answer.split("\r\n").next().expect("a line")).collect();
        assert_eq!(answers, ["", "302 Found", "200 OK", "200 OK", "302 Found"], "{text}");
        assert_eq!(text.matches(" GMT\r\n\r\nbodyHTTP").count(), 1, "{text}");
        assert_eq!(text.matches("content-length: 4\r\n").count(), 2, "{text}");
    }

    #[tokio::test]
    async fn a_body_that_is_known_at_once_follows_its_head_before_the_next_request_is_read() {
        let (ours, mut theirs) = duplex(64 * 1024);
        theirs.write_all([REQUEST, "GET /body HTTP/1.1\r\nHost: a\r\n\r\n", REQUEST].concat().as_bytes()).await.expect("room");
        theirs.shutdown().await.expect("open");
        let mut conversation = Conversation::new(ours);
        let progress = Progress::default();
        let mut bodies = 0;
        while let End::Due(Due::Body(mut body)) = conversation.serve(&progress, answer).await.expect("no error") {
            conversation.send_body(&mut body).await.expect("sent");
            bodies += 1;
        }
        drop(conversation);
        let mut text = String::new();
        theirs.read_to_string(&mut text).await.expect("text");
        assert_eq!((bodies, text.matches("HTTP/1.1 302 Found\r\n").count()), (1, 3), "{text}");
        assert_eq!(text.matches(" GMT\r\n\r\nbodyHTTP").count(), 1, "{text}");
    }

    #[tokio::test]
    async fn who_closes_between_requests_is_done_and_who_closes_within_one_is_not() {
        let (text, end, _) = end_of(REQUEST).await;
        assert!(text.matches("302").count() == 1 && matches!(end.expect("no error"), End::Closed));
        let (text, end, _) = end_of(&REQUEST[..10]).await;
        assert_eq!((text.as_str(), end.expect_err("an error").kind()), ("", io::ErrorKind::UnexpectedEof));
    }

    #[tokio::test]
    async fn a_client_that_is_given_up_waiting_for_loses_nothing_that_was_read() {
        let (ours, mut theirs) = duplex(1024);
        let mut conversation = Conversation::new(ours);
        let progress = Progress::default();
        theirs.write_all(&REQUEST.as_bytes()[..10]).await.expect("room");
        for _ in 0..3 {
            assert!(futures_util::poll!(Box::pin(conversation.serve(&progress, answer))).is_pending());
        }
        let (_socket, rest) = conversation.into_rest();
        assert_eq!(&rest[..], &REQUEST.as_bytes()[..10]);
    }
}
