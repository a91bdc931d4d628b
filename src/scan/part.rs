//! A part of a file as a mirror sends it, to be held against the file's own bytes.

use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};

use super::answer::text;
use super::inquiry::Question;
use super::session::{Session, parse};
use crate::model::TreePath;

/// Which bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Where they begin.
    pub first: u64,
    /// How many they are; not zero.
    pub count: u64,
    /// The size of the whole file.
    pub size: u64,
}

impl Part {
    /// Whether it is all of it.
    const fn is_whole(self) -> bool {
        self.count == self.size
    }

    /// As in `Range` and `Content-Range` (RFC 9110 section 14).
    pub(super) fn range(self) -> String {
        format!("{}-{}", self.first, self.first.saturating_add(self.count.saturating_sub(1)))
    }

    /// Whether an answer says that it is this.
    fn is_told_by(self, response: &Response) -> bool {
        match response.status() {
            StatusCode::PARTIAL_CONTENT => text(response, &CONTENT_RANGE)
                .is_some_and(|range| range.trim() == format!("bytes {}/{}", self.range(), self.size)),
            // Servers may send the whole file instead.
            _ => self.is_whole(),
        }
    }
}

impl Session {
    /// Asks for a part of a file. `None`: nothing came that says that it is exactly that.
    pub async fn part(&self, path: &TreePath<'_>, part: Part) -> Option<Vec<u8>> {
        let url = parse(&self.base().url(path)).ok()?;
        let (mut response, _) = self.ask(Question::Part(part), url).await.ok()?;
        if !part.is_told_by(&response) {
            return None;
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.ok()? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > part.count {
                return None;
            }
        }
        (bytes.len() as u64 == part.count).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, range: &str) -> Response {
        let response = http::Response::builder().status(status).header(CONTENT_RANGE, range).body("");
        Response::from(response.expect("an answer"))
    }

    #[test]
    fn only_an_answer_that_says_so_is_that_part() {
        let (part, whole) = (Part { first: 100, count: 50, size: 1000 }, Part { first: 0, count: 50, size: 50 });
        for (asked, status, range, told) in [
            (part, 206, "bytes 100-149/1000", true),
            (part, 206, "bytes 100-149/1001", false),
            (part, 206, "bytes 100-149/*", false),
            (part, 206, "bytes 0-49/1000", false),
            (part, 206, "", false),
            (part, 200, "", false),
            (whole, 200, "", true),
            (whole, 206, "bytes 0-49/50", true),
        ] {
            assert_eq!(asked.is_told_by(&answer(status, range)), told, "{asked:?} {status} {range}");
        }
    }
}
