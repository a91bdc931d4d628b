//! Answers to plain requests that are no redirects, without hyper: what the request is for who answers it, and the answer as bytes.
//!
//! A file that a slow client takes is sent for minutes. All that its connection keeps meanwhile is the open file and how far it is; hyper
//! would keep buffers of 16 KiB and more.

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};

use super::body::Body;
use super::plain::Head;

/// A plain request as those read it who answer by hyper as well; `None` where it is not as plain as it looked.
pub(super) fn parts(head: &Head<'_>) -> Option<Parts> {
    let mut request = Request::new(());
    *request.method_mut() = if head.is_get { Method::GET } else { Method::HEAD };
    *request.uri_mut() = Uri::from_maybe_shared(Bytes::copy_from_slice(head.path.as_bytes())).ok()?;
    let headers = request.headers_mut();
    headers.reserve(head.lines.len());
    for line in head.lines {
        headers.append(HeaderName::from_bytes(line.name.as_bytes()).ok()?, HeaderValue::from_bytes(line.value).ok()?);
    }
    Some(request.into_parts().0)
}

/// Appends status line and lines of an answer's head, without date and end.
pub(super) fn head_into(response: &Response<Body>, is_get: bool, out: &mut Vec<u8>) {
    let status = response.status();
    out.reserve(1024);
    for part in ["HTTP/1.1 ", status.as_str(), " ", status.canonical_reason().unwrap_or(""), "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in response.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    let length = response.body().len();
    let needs_length = !response.headers().contains_key(CONTENT_LENGTH) && may_have_body(status);
    if needs_length && (is_get || length > 0) {
        out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
    }
}

/// Whether an answer to GET can have a body (RFC 9110 section 6.4.1).
pub(super) fn may_have_body(status: StatusCode) -> bool {
    !status.is_informational() && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(response: &Response<Body>, is_get: bool) -> String {
        let mut out = Vec::new();
        head_into(response, is_get, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn an_answer_says_how_long_it_is_where_it_can_have_a_body() {
        let mut response = Response::new(Body::full("abc"));
        assert_eq!(text(&response, true), "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n");
        assert_eq!(text(&Response::new(Body::empty()), true), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n");
        assert_eq!(text(&Response::new(Body::empty()), false), "HTTP/1.1 200 OK\r\n", "it is not known");
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("7"));
        assert_eq!(text(&response, false), "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n");
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        assert_eq!(text(&response, true), "HTTP/1.1 304 Not Modified\r\n");
    }
}
