//! What a server says, and what it means: answers about files, and the many ways to have none.

use std::error::Error;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderName, LAST_MODIFIED};
use reqwest::{Response, StatusCode};

use super::reach::Refusal;

/// What a server says about one file.
#[derive(Debug)]
pub enum Answer {
    /// It has a file there.
    Copy(Copy),
    /// It says that it has none (404, 410).
    Missing,
    /// It can't be told.
    Unclear(Failure),
}

/// A file as its server describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copy {
    /// Bytes.
    pub size: Option<u64>,
    /// When it was last modified.
    pub modified: Option<Timestamp>,
    /// Whether the description is of something else than what was asked for: after a redirect, or of an encoded form. It can
    /// confirm a copy, but not disprove it.
    pub indirect: bool,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// An HTTP status that is no answer.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// A redirect that is not followed.
    #[error("the server redirects: {0}")]
    Redirect(#[from] Refusal),
    /// Too many redirects, or one without a target.
    #[error("the server redirects in circles")]
    Circles,
    /// No connection.
    #[error("can't connect: {0}")]
    Connect(String),
    /// It was not asked.
    #[error("the server asks to be left alone for longer than a scan waits")]
    LeftAlone,
    /// It was not asked.
    #[error("too many questions in a row had no answer")]
    GivenUp,
    /// The server can't show that it is who it should be.
    #[error("it is not trusted: {0}")]
    Untrusted(String),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke or spoke something else.
    #[error("the answer broke off: {0}")]
    Broken(String),
    /// More bytes than allowed.
    #[error("the page is larger than {0} bytes")]
    TooLarge(usize),
}

impl Failure {
    /// Whether the server as a whole is in trouble, and not just this path.
    pub(super) fn is_of_the_server(&self) -> bool {
        self.may_pass() || matches!(self, Self::Timeout | Self::Untrusted(_) | Self::LeftAlone | Self::GivenUp)
    }

    /// Whether a second try may do better. A server that is too slow is not asked again: that costs the most.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Status(status) => matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504),
            Self::Connect(_) | Self::Broken(_) => true,
            Self::Timeout
            | Self::Untrusted(_)
            | Self::LeftAlone
            | Self::GivenUp
            | Self::Redirect(_)
            | Self::Circles
            | Self::TooLarge(_) => false,
        }
    }
}

/// A header's text.
pub(super) fn text(response: &Response, name: &HeaderName) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// What an answer's head says about a file.
pub(super) fn copy(response: &Response, redirected: bool) -> Copy {
    let size = match response.status() {
        // "bytes 0-0/12345" or, for an empty file, "bytes */0" (RFC 9110 section 14.4).
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            text(response, &CONTENT_RANGE).and_then(|range| range.rsplit_once('/')?.1.trim().parse().ok())
        }
        // Read from the header: the body of an answer to HEAD is empty.
        _ => text(response, &CONTENT_LENGTH).and_then(|length| length.trim().parse().ok()),
    };
    let encoded = response.headers().contains_key(CONTENT_ENCODING);
    let modified = text(response, &LAST_MODIFIED).and_then(|date| http_date(&date));
    Copy { size, modified, indirect: redirected || encoded }
}

/// A date as HTTP has it (RFC 9110 section 5.6.7).
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    httpdate::parse_http_date(text).ok().and_then(|time| Timestamp::try_from(time).ok())
}

/// `Retry-After` (RFC 9110 section 10.2.3): seconds or a date.
pub(super) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let left = http_date(value)?.duration_since(now);
    Some(Duration::try_from(left).unwrap_or_default())
}

/// What the library's error means.
pub(super) fn failure(error: &reqwest::Error) -> Failure {
    if is_untrusted(error) {
        Failure::Untrusted(cause(error))
    } else if speaks_no_tls(error) {
        Failure::Connect("what answers there does not speak TLS".to_owned())
    } else if error.is_connect() {
        Failure::Connect(cause(error))
    } else if error.is_timeout() {
        Failure::Timeout
    } else {
        Failure::Broken(cause(error))
    }
}

/// Whether a certificate was refused.
fn is_untrusted(error: &(dyn Error + 'static)) -> bool {
    tls_says(error, |said| matches!(said, rustls::Error::InvalidCertificate(_)))
}

/// Whether what came was nothing that TLS knows: a server in the clear at that port, say.
fn speaks_no_tls(error: &(dyn Error + 'static)) -> bool {
    tls_says(error, |said| matches!(said, rustls::Error::InvalidMessage(_)))
}

/// Whether TLS says so, somewhere in the causes of an error.
fn tls_says(error: &(dyn Error + 'static), is_so: fn(&rustls::Error) -> bool) -> bool {
    // What an I/O error was made of is not its source, but inside it.
    let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.downcast_ref().is_some_and(is_so)
        || inside.is_some_and(|inside| tls_says(inside, is_so))
        || error.source().is_some_and(|source| tls_says(source, is_so))
}

/// The innermost cause: the library's outer layers only repeat the URL.
fn cause(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_in_two_ways_when_to_come_back() {
        let now: Timestamp = "2026-11-23T03:00:00Z".parse().expect("valid");
        for (value, seconds) in [
            ("120", Some(120)),
            ("Mon, 23 Nov 2026 03:02:00 GMT", Some(120)),
            ("Mon, 23 Nov 2026 02:00:00 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
        ] {
            assert_eq!(retry_after(value, now), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
