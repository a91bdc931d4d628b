//! A file of ours as an answer: by conditions and ranges, from the one handle that was opened for it.

use std::ops::Range;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Response};
use jiff::Timestamp;

use super::body::Body;
use super::conditional::{Validators, Verdict};
use super::metrics::Counts;
use super::range::{self, Wanted};
use super::response::{Description, content_range};
use super::sending::Sending;
use super::threads::Threads;
use crate::decide::Why;
use crate::model::{Sha256, TreePath};
use crate::tree::OpenFile;

/// Answers with a file. What is said of it (length, tag, time) is what its handle says.
#[must_use]
pub fn answer(
    opened: OpenFile,
    path: &TreePath<'_>,
    (why, digest): (Why, Option<Sha256>),
    (method, headers): (&Method, &HeaderMap),
    means: (&Arc<Counts>, &Threads, &Sending),
    now: Timestamp,
) -> Response<Body> {
    let validators = Validators::of(&opened.fingerprint);
    let description = Description { media_type: media_type(path), validators: &validators, why, digest, now };
    match validators.judge(headers) {
        Verdict::NotModified => return description.not_modified(),
        Verdict::Failed => return description.precondition_failed(),
        Verdict::Proceed => {}
    }
    let size = opened.fingerprint.size;
    // Ranges are defined for GET only (RFC 9110 section 14.2).
    let ranged = method == Method::GET && validators.allow_range(headers, now);
    let wanted = if ranged { range::wanted(headers, size) } else { Wanted::Whole };
    let mut body = body_of(opened, path, digest.as_ref(), means);
    match wanted {
        Wanted::Nothing => description.range_not_satisfiable(size),
        Wanted::Whole => {
            body.push_part(0..size);
            description.whole(body)
        }
        Wanted::Parts(parts) => match parts.as_slice() {
            [part] => {
                body.push_part(part.clone());
                description.part(body, part, size)
            }
            parts => {
                let boundary = boundary(&validators, parts);
                fill_multipart(&mut body, parts, description.media_type, &boundary, size);
                description.parts(body, &boundary)
            }
        },
    }
}

/// The whole of a file, for who has no conditions: appends the head of the answer, and gives its body.
pub(super) fn whole_into(
    opened: OpenFile,
    path: &TreePath<'_>,
    (why, digest): (Why, Option<Sha256>),
    means: (&Arc<Counts>, &Threads, &Sending),
    now: Timestamp,
    out: &mut Vec<u8>,
) -> Body {
    let validators = Validators::of(&opened.fingerprint);
    let size = opened.fingerprint.size;
    Description { media_type: media_type(path), validators: &validators, why, digest, now }.whole_into(size, out);
    let mut body = body_of(opened, path, digest.as_ref(), means);
    body.push_part(0..size);
    body
}

fn body_of(
    opened: OpenFile,
    path: &TreePath<'_>,
    digest: Option<&Sha256>,
    (counts, threads, sending): (&Arc<Counts>, &Threads, &Sending),
) -> Body {
    let of_file = |file| Body::of_file(file, Arc::clone(counts), threads.clone());
    // With a digest, it was read from end to end and is what it was then.
    if digest.is_some() { of_file(sending.share(path, opened)).settled() } else { of_file(Arc::new(opened)) }
}

/// A body of type `multipart/byteranges` (RFC 9110 section 14.6).
fn fill_multipart(body: &mut Body, parts: &[Range<u64>], media_type: &str, boundary: &str, size: u64) {
    for part in parts {
        let range = content_range(part, size);
        body.push_bytes(format!("\r\n--{boundary}\r\n{CONTENT_TYPE}: {media_type}\r\nContent-Range: {range}\r\n\r\n"));
        body.push_part(part.clone());
    }
    body.push_bytes(format!("\r\n--{boundary}--\r\n"));
}

/// A line that the content does not have by chance, and that nobody can aim at without setting the file's ctime.
fn boundary(validators: &Validators, parts: &[Range<u64>]) -> String {
    use std::hash::{Hash, Hasher};
    let mut hasher = siphasher::sip::SipHasher::new();
    validators.etag.hash(&mut hasher);
    parts.hash(&mut hasher);
    format!("redirector-{:016x}", hasher.finish())
}

/// The media type by the name's suffix. Sugar's bundles are not in the tables of others.
#[must_use]
pub fn media_type(path: &TreePath<'_>) -> &'static str {
    let name = path.name();
    let suffix = name.rsplit(|&byte| byte == b'.').next().filter(|suffix| suffix.len() < name.len());
    let suffix = suffix.and_then(|suffix| std::str::from_utf8(suffix).ok()).unwrap_or("");
    if suffix.eq_ignore_ascii_case("xo") {
        return "application/vnd.olpc-sugar";
    }
    if suffix.eq_ignore_ascii_case("xol") {
        return "application/vnd.olpc-content";
    }
    mime_guess::from_ext(suffix).first_raw().unwrap_or("application/octet-stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_go_by_suffix() {
        for (name, expected) in [
            ("4078/labyrinth-7.xo", "application/vnd.olpc-sugar"),
            ("A.XO", "application/vnd.olpc-sugar"),
            ("wikipedia.xol", "application/vnd.olpc-content"),
            ("a.pdf", "application/pdf"),
            ("a.txt", "text/plain"),
            ("a.tar.gz", "application/gzip"),
            ("xo", "application/octet-stream"),
            ("README", "application/octet-stream"),
            (".xo", "application/vnd.olpc-sugar"),
            ("a.\u{fc}", "application/octet-stream"),
        ] {
            let path = TreePath::parse(name.as_bytes()).expect("a path");
            assert_eq!(media_type(&path), expected, "{name}");
        }
    }
}
