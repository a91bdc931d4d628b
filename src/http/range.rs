//! `Range` of a request (RFC 9110 section 14.2): which bytes of a file are sent.

use std::ops::Range;

use http::header::RANGE;
use http::{HeaderMap, Method};

/// What a request's `Range` asks for, of a file of a known size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// The whole file: no `Range`, or one that is ignored.
    Whole,
    /// These bytes, in the order asked for: not empty, within the file, without overlaps.
    Parts(Vec<Range<u64>>),
    /// Nothing that the file has: 416.
    Nothing,
}

/// The most ranges that are served one by one. zsync asks for up to 20 at once; hundreds are an attack (RFC 9110 section 17.15).
const MAX_RANGES: usize = 64;

/// Reads `Range`. What is malformed, in another unit, too many parts, or overlaps (more to send than there is), gets the
/// whole file, as RFC 9110 sections 14.2 and 17.15 allow.
#[must_use]
pub fn wanted(headers: &HeaderMap, size: u64) -> Wanted {
    let mut lines = headers.get_all(RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return Wanted::Whole };
    line.to_str().ok().and_then(|text| parse(text, size)).unwrap_or(Wanted::Whole)
}

fn parse(text: &str, size: u64) -> Option<Wanted> {
    let (unit, set) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut parts: Vec<Range<u64>> = Vec::new();
    let mut specs = 0;
    for spec in set.split(',').map(str::trim).filter(|spec| !spec.is_empty()) {
        specs += 1;
        if specs > MAX_RANGES {
            return None;
        }
        parts.extend(part(spec, size)?);
    }
    match (specs, parts.is_empty()) {
        (0, _) => None,
        // The last bytes of an empty file are all of it, but `Content-Range` has no way to say so.
        (_, true) if size == 0 && set.split(',').any(|spec| spec.trim().starts_with('-')) => None,
        (_, true) => Some(Wanted::Nothing),
        _ if overlap(&parts) => None,
        _ => Some(Wanted::Parts(parts)),
    }
}

/// One `first-last`, `first-` or `-length`: outer `None` where it is malformed, inner where the file has nothing of it.
fn part(spec: &str, size: u64) -> Option<Option<Range<u64>>> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let length = number(last)?.min(size);
        return Some((length > 0).then(|| size - length..size));
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return None;
    }
    Some((first < size).then(|| first..last.saturating_add(1).min(size)))
}

/// Digits only; what is larger than any file is as good as the largest number.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

fn overlap(parts: &[Range<u64>]) -> bool {
    let mut sorted: Vec<&Range<u64>> = parts.iter().collect();
    sorted.sort_unstable_by_key(|part| part.start);
    sorted.windows(2).any(|pair| pair[0].end > pair[1].start)
}

/// How many bytes the client will fetch of a file of `size` bytes, as far as its request tells.
#[must_use]
pub fn wanted_bytes(method: &Method, headers: &HeaderMap, size: u64) -> u64 {
    if method == Method::HEAD {
        return 0;
    }
    match wanted(headers, size) {
        Wanted::Whole => size,
        Wanted::Parts(parts) => parts.iter().map(|part| part.end - part.start).sum(),
        Wanted::Nothing => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(range: &str, size: u64) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, range.parse().expect("a header value"));
        wanted(&headers, size)
    }

    #[test]
    fn ranges_are_read_as_rfc_9110_writes_them() {
        for (range, parts) in [
            ("bytes=0-0", &[(0, 1)][..]),
            ("bytes=0-499", &[(0, 500)]),
            ("bytes=500-", &[(500, 1000)]),
            ("bytes=-300", &[(700, 1000)]),
            ("bytes=-5000", &[(0, 1000)]),
            ("bytes=0-99999", &[(0, 1000)]),
            ("bytes=0-18446744073709551615", &[(0, 1000)]),
            ("bytes=0-99999999999999999999999", &[(0, 1000)]),
            ("bytes=999-", &[(999, 1000)]),
            ("Bytes=0-1", &[(0, 2)]),
            ("bytes= 0-1 , 5-6", &[(0, 2), (5, 7)]),
            ("bytes=5-6,0-1", &[(5, 7), (0, 2)]),
            ("bytes=0-1,,2000-,", &[(0, 2)]),
            ("bytes=0-1,2-3", &[(0, 2), (2, 4)]),
        ] {
            let parts = parts.iter().map(|&(start, end)| start..end).collect();
            assert_eq!(asked(range, 1000), Wanted::Parts(parts), "{range}");
        }
    }

    #[test]
    fn what_the_file_has_nothing_of_is_nothing() {
        for range in ["bytes=1000-", "bytes=1000-2000", "bytes=-0", "bytes=5000-,7000-8000", "bytes=99999999999999999999-"] {
            assert_eq!(asked(range, 1000), Wanted::Nothing, "{range}");
        }
        assert_eq!(asked("bytes=0-", 0), Wanted::Nothing);
        assert_eq!(asked("bytes=0-0", 0), Wanted::Nothing);
        assert_eq!(asked("bytes=-5", 0), Wanted::Whole);
    }

    #[test]
    fn what_is_no_range_of_bytes_gets_the_whole_file() {
        for range in [
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-2",
            "bytes=+1-2",
            "bytes=1--2",
            "bytes=1 - 2",
            "lines=1-2",
            "bytes=0-1;2-3",
            "bytes=0x1-0x2",
        ] {
            assert_eq!(asked(range, 1000), Wanted::Whole, "{range}");
        }
        assert_eq!(wanted(&HeaderMap::new(), 1000), Wanted::Whole);
        let mut two = HeaderMap::new();
        two.append(RANGE, "bytes=0-1".parse().expect("a value"));
        two.append(RANGE, "bytes=2-3".parse().expect("a value"));
        assert_eq!(wanted(&two, 1000), Wanted::Whole);
    }

    #[test]
    fn overlaps_and_floods_get_the_whole_file() {
        assert_eq!(asked("bytes=0-10,5-15", 1000), Wanted::Whole);
        assert_eq!(asked("bytes=0-,0-,0-", 1000), Wanted::Whole);
        let many = |n: u64| format!("bytes={}", (0..n).map(|i| format!("{0}-{0}", i * 2)).collect::<Vec<_>>().join(","));
        assert!(matches!(asked(&many(64), 1000), Wanted::Parts(parts) if parts.len() == 64));
        assert_eq!(asked(&many(65), 1000), Wanted::Whole);
    }

    proptest::proptest! {
        #[test]
        fn parts_lie_within_the_file_and_don_t_overlap(range in "(bytes=)?[0-9,\\- ]{0,40}", size in 0_u64..100) {
            if let Wanted::Parts(parts) = asked(&range, size) {
                let sum: u64 = parts.iter().map(|part| part.end - part.start).sum();
                proptest::prop_assert!(!parts.is_empty() && sum <= size);
                proptest::prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
            }
        }
    }
}
