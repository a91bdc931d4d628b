//! Conditional requests (RFC 9110 section 13): whether a client's copy is still good.

use http::HeaderMap;
use http::header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use jiff::Timestamp;
use std::fmt::Write as _;
use std::time::UNIX_EPOCH;

use crate::model::Fingerprint;

/// What identifies one content of one path to clients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Validators {
    /// A strong entity tag, with its quotes.
    pub etag: String,
    /// The time of the content, in whole seconds since 1970; none where a file claims a time before that.
    pub last_modified: Option<u64>,
}

/// What becomes of a request by its conditions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Send it.
    Proceed,
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client speaks of.
    Failed,
}

/// Three numbers of up to 16 digits, and what stands between and around them.
const ETAG_BYTES: usize = 3 * 16 + 4;

impl Validators {
    /// The validators of a file. The tag is strong: whatever writes the file moves its ctime, which only the kernel sets.
    #[must_use]
    pub fn of(fingerprint: &Fingerprint) -> Self {
        let Fingerprint { size, mtime_ns, ctime_ns, .. } = fingerprint;
        let mut etag = String::with_capacity(ETAG_BYTES);
        write!(etag, "\"{size:x}-{mtime_ns:x}-{ctime_ns:x}\"").expect("a string takes all");
        Self { etag, last_modified: u64::try_from(mtime_ns.div_euclid(1_000_000_000)).ok() }
    }

    /// `Last-Modified`, in seconds since 1970; never later than `now` (RFC 9110 section 8.8.2.1).
    #[must_use]
    pub fn last_modified(&self, now: Timestamp) -> Option<u64> {
        Some(self.last_modified?.min(seconds(now)))
    }

    /// Evaluates the conditions of a GET or HEAD in the order of RFC 9110 section 13.2.2.
    #[must_use]
    pub fn judge(&self, headers: &HeaderMap) -> Verdict {
        if headers.contains_key(IF_MATCH) {
            if !self.matches_any(headers, &IF_MATCH, Comparison::Strong) {
                return Verdict::Failed;
            }
        } else if let (Some(since), Some(modified)) = (date(headers, &IF_UNMODIFIED_SINCE), self.last_modified)
            && modified > since
        {
            return Verdict::Failed;
        }
        if headers.contains_key(IF_NONE_MATCH) {
            if self.matches_any(headers, &IF_NONE_MATCH, Comparison::Weak) {
                return Verdict::NotModified;
            }
        } else if let (Some(since), Some(modified)) = (date(headers, &IF_MODIFIED_SINCE), self.last_modified)
            && modified <= since
        {
            return Verdict::NotModified;
        }
        Verdict::Proceed
    }

    /// Whether `Range` counts, by `If-Range` (RFC 9110 section 13.1.5): the tag must be the same, or the time exactly so
    /// and old enough to be sure that nothing was written in the same second.
    #[must_use]
    pub fn allow_range(&self, headers: &HeaderMap, now: Timestamp) -> bool {
        let Some(value) = headers.get(IF_RANGE) else { return true };
        if value.as_bytes().ends_with(b"\"") {
            return value.as_bytes() == self.etag.as_bytes();
        }
        let (Some(date), Some(modified)) = (date(headers, &IF_RANGE), self.last_modified) else { return false };
        date == modified && modified.saturating_add(1) < seconds(now)
    }

    fn matches_any(&self, headers: &HeaderMap, name: &HeaderName, comparison: Comparison) -> bool {
        headers.get_all(name).iter().any(|line| {
            line.as_bytes().trim_ascii() == b"*"
                || tags(line.as_bytes()).any(|(weak, tag)| {
                    tag == self.etag.as_bytes() && (comparison == Comparison::Weak || weak == Strength::Strong)
                })
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Strength {
    Strong,
    Weak,
}

/// The entity tags of a list, with their quotes. It ends at what is none.
fn tags(mut list: &[u8]) -> impl Iterator<Item = (Strength, &[u8])> {
    std::iter::from_fn(move || {
        while let [b',' | b' ' | b'\t', rest @ ..] = list {
            list = rest;
        }
        let (strength, rest) = match list {
            [b'W', b'/', rest @ ..] => (Strength::Weak, rest),
            rest => (Strength::Strong, rest),
        };
        let inner = rest.strip_prefix(b"\"")?;
        let length = inner.iter().position(|&b| b == b'"')? + 2;
        list = &rest[length..];
        Some((strength, &rest[..length]))
    })
}

/// A date of a header, in seconds since 1970. What is no date is ignored, as the RFC says.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let time = httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

fn seconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_second()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-01 00:00:00 UTC.
    const MTIME: i64 = 1_793_491_200;
    const DATE: &str = "Sun, 01 Nov 2026 00:00:00 GMT";
    const EARLIER: &str = "Sat, 31 Oct 2026 23:59:59 GMT";
    const LATER: &str = "Sun, 01 Nov 2026 00:00:01 GMT";

    fn validators() -> Validators {
        Validators::of(&Fingerprint { size: 16, mtime_ns: MTIME * 1_000_000_000 + 5, ctime_ns: 255, inode: 1 })
    }

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.clone(), value.replace("TAG", &validators().etag).parse().expect("valid")))
            .collect()
    }

    #[test]
    fn any_write_makes_another_tag() {
        let fingerprint = Fingerprint { size: 1, mtime_ns: 2, ctime_ns: 3, inode: 4 };
        let etag = Validators::of(&fingerprint).etag;
        assert_ne!(etag, Validators::of(&Fingerprint { size: 2, ..fingerprint }).etag);
        assert_ne!(etag, Validators::of(&Fingerprint { mtime_ns: 3, ..fingerprint }).etag);
        assert_ne!(etag, Validators::of(&Fingerprint { ctime_ns: 4, ..fingerprint }).etag);
    }

    #[test]
    fn conditions_are_judged_in_the_order_of_the_rfc() {
        use Verdict::{Failed, NotModified, Proceed};
        for (lines, verdict) in [
            (&[][..], Proceed),
            (&[(IF_NONE_MATCH, "TAG")], NotModified),
            (&[(IF_NONE_MATCH, "W/TAG")], NotModified),
            (&[(IF_NONE_MATCH, "\"a\", \"b,c\" , TAG")], NotModified),
            (&[(IF_NONE_MATCH, "*")], NotModified),
            (&[(IF_NONE_MATCH, "\"a\"")], Proceed),
            (&[(IF_NONE_MATCH, "garbage")], Proceed),
            (&[(IF_NONE_MATCH, "\"a\""), (IF_MODIFIED_SINCE, LATER)], Proceed),
            (&[(IF_MODIFIED_SINCE, DATE)], NotModified),
            (&[(IF_MODIFIED_SINCE, LATER)], NotModified),
            (&[(IF_MODIFIED_SINCE, EARLIER)], Proceed),
            (&[(IF_MODIFIED_SINCE, "yesterday")], Proceed),
            (&[(IF_MATCH, "TAG")], Proceed),
            (&[(IF_MATCH, "*")], Proceed),
            (&[(IF_MATCH, "W/TAG")], Failed),
            (&[(IF_MATCH, "\"a\"")], Failed),
            (&[(IF_MATCH, "TAG"), (IF_UNMODIFIED_SINCE, EARLIER)], Proceed),
            (&[(IF_UNMODIFIED_SINCE, EARLIER)], Failed),
            (&[(IF_UNMODIFIED_SINCE, DATE)], Proceed),
            (&[(IF_MATCH, "\"a\""), (IF_NONE_MATCH, "TAG")], Failed),
            (&[(IF_MATCH, "TAG"), (IF_NONE_MATCH, "TAG")], NotModified),
        ] {
            assert_eq!(validators().judge(&headers(lines)), verdict, "{lines:?}");
        }
    }

    #[test]
    fn a_range_counts_only_of_the_same_content() {
        let now = time(MTIME + 60);
        for (value, counts) in [
            ("TAG", true),
            ("W/TAG", false),
            ("\"a\"", false),
            (DATE, true),
            (LATER, false),
            (EARLIER, false),
            ("garbage", false),
        ] {
            assert_eq!(validators().allow_range(&headers(&[(IF_RANGE, value)]), now), counts, "{value}");
        }
        assert!(validators().allow_range(&HeaderMap::new(), now));
        let at_once = time(MTIME);
        assert!(!validators().allow_range(&headers(&[(IF_RANGE, DATE)]), at_once));
    }

    #[test]
    fn times_that_http_cannot_write_are_left_out() {
        let at = |mtime_ns| Validators::of(&Fingerprint { size: 1, mtime_ns, ctime_ns: 0, inode: 1 });
        assert_eq!(at(-1).last_modified(time(1_000)), None);
        assert_eq!(at(5_000_000_000).last_modified(time(1_000)), Some(5));
        assert_eq!(at(i64::MAX).last_modified(time(1_000)), Some(1_000));
    }
}
