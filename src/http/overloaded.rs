//! What those are told who are turned away since too many wait: 503, and to come again. The connection stays as it is: for a client to
//! make a new one costs more than an answer would have.

use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::body::Body;

/// The status line over HTTP/1.
const STATUS: &str = "HTTP/1.1 503 Service Unavailable\r\n";
/// The lines of the head.
const LINES: [(&str, &str); 3] =
    [("retry-after", "1"), ("cache-control", "no-store"), ("x-redirector", "none; why=overloaded")];
/// There is no body.
const NO_BODY: &str = "content-length: 0\r\n";

/// Appends status line and lines of the head, without date and end.
pub(super) fn head_into(out: &mut Vec<u8>) {
    out.extend_from_slice(STATUS.as_bytes());
    for (name, value) in LINES {
        for part in [name, ": ", value, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    out.extend_from_slice(NO_BODY.as_bytes());
}

/// The same for who answers by hyper.
pub(super) fn response() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let lines = LINES.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    response.headers_mut().extend(lines);
    response
}

/// The whole for who is not even listened to.
pub(super) fn farewell() -> Vec<u8> {
    let mut out = Vec::new();
    head_into(&mut out);
    out.extend_from_slice(b"connection: close\r\n\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_told_the_same() {
        let text = String::from_utf8(farewell()).expect("text");
        assert!(text.starts_with("HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n"), "{text}");
        assert!(text.ends_with("\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"), "{text}");
        let response = response();
        assert_eq!((response.status().as_u16(), response.headers().len()), (503, LINES.len()));
        for (name, value) in response.headers() {
            assert!(text.contains(&format!("{name}: {}\r\n", value.to_str().expect("text"))), "{name}");
        }
    }
}
