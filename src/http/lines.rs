//! Lines of heads, as HTTP/1 sends them. What is asked for most is written so, once and into one buffer; who answers by hyper gets
//! it as headers.

use std::io::Write as _;
use std::ops::Range;

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

/// Names of a head, at most: more cost a larger map.
const NAMES: usize = 9;

/// Appends text.
pub(super) fn push(out: &mut Vec<u8>, parts: &[&str]) {
    parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
}

/// Appends a number.
pub(super) fn push_number(out: &mut Vec<u8>, number: u64) {
    write!(out, "{number}").expect("there is always room in memory");
}

/// Adds lines of ours to headers. They are printable ASCII, and each ends as it should.
pub(super) fn headers_into(lines: Vec<u8>, headers: &mut HeaderMap) {
    headers.reserve(NAMES);
    let lines = Bytes::from(lines);
    for (name, value) in fields(&lines) {
        let name = HeaderName::from_bytes(&lines[name]).expect("our own names");
        let value = HeaderValue::from_maybe_shared(lines.slice(value)).expect("what we write is printable ASCII");
        headers.append(name, value);
    }
}

/// Where name and value of each line lie.
fn fields(lines: &[u8]) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let end = start + lines[start..].iter().position(|&byte| byte == b'\r')?;
        let colon = start + lines[start..end].iter().position(|&byte| byte == b':')?;
        let field = (start..colon, colon + 2..end);
        start = end + 2;
        Some(field)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_headers_as_they_are() {
        let mut lines = Vec::new();
        push(&mut lines, &["link: <http://a/b>; pri=1\r\nlink: <http://c:80/>\r\ncontent-length: "]);
        push_number(&mut lines, 1 << 40);
        push(&mut lines, &["\r\nempty: \r\n"]);
        let mut headers = HeaderMap::new();
        headers_into(lines, &mut headers);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text"))).collect();
        let links = [("link", "<http://a/b>; pri=1"), ("link", "<http://c:80/>")];
        assert_eq!(headers, [&links[..], &[("content-length", "1099511627776"), ("empty", "")]].concat());
    }
}
