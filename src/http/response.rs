//! Answers: one constructor for each kind.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use jiff::Timestamp;

use super::accept::{self, Form};
use super::body::Body;
use super::conditional::Validators;
use super::explain::Explanation;
use super::hints;
use super::lines::{headers_into, push, push_number};
use super::page;
use super::redirect;
use super::stamp::Stamp;
use crate::decide::Why;
use crate::model::Sha256;
use crate::selection::Class;

/// Where administrators read why an answer is as it is.
pub const X_REDIRECTOR: HeaderName = HeaderName::from_static("x-redirector");

/// How long a client should wait before it asks again for something that is not there right now. Seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("30");
/// Pages have no scripts, and nothing from elsewhere.
pub(super) const PAGE_POLICY: (HeaderName, HeaderValue) =
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"));
/// Who keeps the answer must ask again before each use: a hold, or a mirror that holds the file, changes it at once.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
/// As above, and nobody may keep it for others: it is made for this client.
pub(super) const ASK_AGAIN_EACH: HeaderValue = HeaderValue::from_static("private, no-cache");

/// Adds what MirrorBrain said of a redirect, for scripts and log readers that look for it.
pub fn add_mirrorbrain_headers(response: &mut Response<Body>, mirror: &str, class: Class) {
    let headers = response.headers_mut();
    headers.insert(X_MIRRORBRAIN_MIRROR, line(&[mirror]));
    headers.insert(X_MIRRORBRAIN_REALM, HeaderValue::from_static(redirect::realm(class)));
}

const X_MIRRORBRAIN_MIRROR: HeaderName = HeaderName::from_static("x-mirrorbrain-mirror");
const X_MIRRORBRAIN_REALM: HeaderName = HeaderName::from_static("x-mirrorbrain-realm");

/// Stamps the `Location` of a redirect.
pub fn stamp(response: &mut Response<Body>, stamp: &Stamp, now: i64) {
    let Some(location) = response.headers().get(LOCATION).and_then(|location| location.to_str().ok()) else { return };
    let path = &location[authority_end(location)..];
    let stamped = line(&[location, &stamp.query(now, path.as_bytes())]);
    response.headers_mut().insert(LOCATION, stamped);
}

/// Where the host of an absolute URL ends.
fn authority_end(url: &str) -> usize {
    let start = url.find("://").map_or(0, |at| at + 3);
    url[start..].find('/').map_or(url.len(), |at| start + at)
}

/// 200 with the decision about a request instead of its answer.
#[must_use]
pub fn trace(explanation: &Explanation) -> Response<Body> {
    let text = serde_json::to_string_pretty(explanation).unwrap_or_default() + "\n";
    let mut response = written(StatusCode::OK, text, Form::Json);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, ASK_AGAIN_EACH);
    headers.insert(X_REDIRECTOR, HeaderValue::from_static("local; why=trace"));
    headers.remove(VARY);
    response
}

fn line(parts: &[&str]) -> HeaderValue {
    let mut line = BytesMut::with_capacity(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| line.extend_from_slice(part.as_bytes()));
    HeaderValue::from_maybe_shared(line.freeze()).expect("mirror names and reasons are printable ASCII")
}

/// What all answers with a file of ours say about it.
#[derive(Debug)]
pub struct Description<'a> {
    /// What it is.
    pub media_type: &'static str,
    /// What its content is told by.
    pub validators: &'a Validators,
    /// Why it is not at a mirror.
    pub why: Why,
    /// The digest of the whole of it.
    pub digest: Option<Sha256>,
    /// What time it is.
    pub now: Timestamp,
}

impl Description<'_> {
    /// Appends the lines that all of these have.
    fn lines_into(&self, status: StatusCode, out: &mut Vec<u8>) {
        let cached = if self.why == Why::NotPublic { ASK_AGAIN_EACH } else { ASK_AGAIN };
        push(out, &["x-redirector: local; why=", self.why.as_str(), "\r\ncache-control: "]);
        out.extend_from_slice(cached.as_bytes());
        push(out, &["\r\netag: ", &self.validators.etag, "\r\n"]);
        if let Some(time) = self.validators.last_modified(self.now).and_then(time) {
            push(out, &["last-modified: ", &httpdate::fmt_http_date(time), "\r\n"]);
        }
        if let Some(digest) = self.digest.filter(|_| status.is_success()) {
            // RFC 9530.
            push(out, &["repr-digest: sha-256=:"]);
            hints::push_base64(out, &digest);
            push(out, &[":\r\n"]);
        }
    }

    /// Appends the lines of those with content.
    fn content_lines_into(&self, length: u64, media_type: &[&str], out: &mut Vec<u8>) {
        push(out, &["content-length: "]);
        push_number(out, length);
        push(out, &["\r\naccept-ranges: bytes\r\nx-content-type-options: nosniff\r\ncontent-type: "]);
        push(out, media_type);
        push(out, &["\r\n"]);
    }

    /// Appends the head of a 200 with the whole file, without date and end.
    pub fn whole_into(&self, length: u64, out: &mut Vec<u8>) {
        out.reserve(HEAD_BYTES);
        push(out, &["HTTP/1.1 200 OK\r\n"]);
        self.lines_into(StatusCode::OK, out);
        self.content_lines_into(length, &[self.media_type], out);
    }

    fn response(&self, status: StatusCode, body: Body, more: impl FnOnce(&mut Vec<u8>)) -> Response<Body> {
        let mut text = Vec::with_capacity(HEAD_BYTES);
        self.lines_into(status, &mut text);
        more(&mut text);
        let mut response = Response::new(body);
        *response.status_mut() = status;
        headers_into(text, response.headers_mut());
        response
    }

    /// 200 with the whole file.
    #[must_use]
    pub fn whole(&self, body: Body) -> Response<Body> {
        let length = body.len();
        self.response(StatusCode::OK, body, |out| self.content_lines_into(length, &[self.media_type], out))
    }

    /// 206 with one part, `start..end` of `size` bytes.
    #[must_use]
    pub fn part(&self, body: Body, part: &std::ops::Range<u64>, size: u64) -> Response<Body> {
        let length = body.len();
        self.response(StatusCode::PARTIAL_CONTENT, body, |out| {
            self.content_lines_into(length, &[self.media_type], out);
            push(out, &["content-range: ", &content_range(part, size), "\r\n"]);
        })
    }

    /// 206 with several parts, each with headers of its own, between `boundary` lines.
    #[must_use]
    pub fn parts(&self, body: Body, boundary: &str) -> Response<Body> {
        let length = body.len();
        let media_type = ["multipart/byteranges; boundary=", boundary];
        self.response(StatusCode::PARTIAL_CONTENT, body, |out| self.content_lines_into(length, &media_type, out))
    }

    /// 304: the client has it.
    #[must_use]
    pub fn not_modified(&self) -> Response<Body> {
        self.response(StatusCode::NOT_MODIFIED, Body::empty(), |_| {})
    }

    /// 412: it is not what the client speaks of.
    #[must_use]
    pub fn precondition_failed(&self) -> Response<Body> {
        self.response(StatusCode::PRECONDITION_FAILED, Body::empty(), |out| push(out, &["content-length: 0\r\n"]))
    }

    /// 416: the file has nothing of the range.
    #[must_use]
    pub fn range_not_satisfiable(&self, size: u64) -> Response<Body> {
        self.response(StatusCode::RANGE_NOT_SATISFIABLE, Body::empty(), |out| {
            push(out, &["content-length: 0\r\ncontent-range: bytes */"]);
            push_number(out, size);
            push(out, &["\r\naccept-ranges: bytes\r\n"]);
        })
    }
}

/// What the head of an answer with a file takes, with some room.
const HEAD_BYTES: usize = 512;

fn time(seconds: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Seconds since 1970 as headers have them.
#[must_use]
pub(super) fn http_date(seconds: u64) -> Option<HeaderValue> {
    HeaderValue::try_from(httpdate::fmt_http_date(time(seconds)?)).ok()
}

/// The value of `Content-Range` for a part.
#[must_use]
pub fn content_range(part: &std::ops::Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", part.start, part.end.saturating_sub(1))
}

/// 308 to a directory with its slash: a path of this host, percent-encoded.
#[must_use]
pub fn slash(location: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    let headers = response.headers_mut();
    headers.insert(LOCATION, line(&[location]));
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers.insert(CACHE_CONTROL, ASK_AGAIN);
    response
}

/// The form of a directory's list that the client likes best.
#[must_use]
pub fn index_form(headers: &HeaderMap) -> Form {
    accept::best(headers, &[Form::Html, Form::Json, Form::Text])
}

/// 200 with the list of a directory; `None` where there is no room for it.
#[must_use]
pub fn index(list: String, form: Form, room: &page::Room) -> Option<Response<Body>> {
    let mut response = written(StatusCode::OK, room.keep(list)?, form);
    response.headers_mut().insert(X_REDIRECTOR, HeaderValue::from_static("local; why=index"));
    Some(response)
}

/// 200 with a page on mirrors. All who ask share it.
#[must_use]
pub fn mirrors(page: Bytes, form: Form) -> Response<Body> {
    let mut response = written(StatusCode::OK, page, form);
    response.headers_mut().insert(X_REDIRECTOR, HeaderValue::from_static("local; why=mirrors"));
    response
}

/// An error, in the form that the client likes best: plain text for programs that don't care.
#[must_use]
pub fn error(status: StatusCode, detail: &str, headers: &HeaderMap) -> Response<Body> {
    let form = accept::best(headers, &[Form::Text, Form::Json, Form::Html]);
    let mut response = written(status, page::error(status, detail, form), form);
    let headers = response.headers_mut();
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        _ => {}
    }
    response
}

/// Some text of ours.
#[must_use]
pub fn written(status: StatusCode, text: impl Into<Bytes>, form: Form) -> Response<Body> {
    let text = text.into();
    let length = text.len();
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CACHE_CONTROL, ASK_AGAIN);
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if form == Form::Html {
        headers.extend([PAGE_POLICY]);
    }
    response
}
