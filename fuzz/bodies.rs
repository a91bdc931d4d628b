//! What must hold whatever bytes come from outside: one function for each kind of input. The targets of `cargo fuzz` call them, and
//! so does `tests/fuzz.rs`, with recorded inputs that it changes at random.

use std::collections::HashSet;
use std::path::Path;

use redirector::config::Config;
use redirector::http::{proxy, range};
use redirector::model::{Prefix, RequestPath, TreePath};
use redirector::scan::listing::{Base, Kind, MAX_ENTRIES, Next, bucket, parse};
use redirector::scan::rsync::line;

/// A name, and what is done with the bytes.
pub(crate) type Body = (&'static str, fn(&[u8]));

/// All of them.
pub(crate) const BODIES: &[Body] = &[
    ("listing", listing),
    ("buckets", buckets),
    ("rsync", rsync),
    ("path", path),
    ("ranges", ranges),
    ("proxied", proxied),
    ("config", config),
];

/// A mirror's page: no panic, no name that leaves the directory, no name twice, no interval without anything in it.
pub(crate) fn listing(page: &[u8]) {
    let base = Base::parse("http://127.0.0.1:8080/awkward/").expect("a URL");
    let Ok(listing) = parse(page, None, &base) else { return };
    assert!(listing.entries.len() <= MAX_ENTRIES);
    assert!(!listing.complete || listing.next.is_none());
    let mut seen = HashSet::new();
    for entry in &listing.entries {
        assert!(TreePath::root().join(&entry.name).is_ok());
        assert!(seen.insert(&entry.name));
        assert!(entry.size.is_none_or(|size| size.least <= size.most));
        assert!(entry.time.is_none_or(|time| time.earliest() <= time.latest()));
        assert!(entry.kind != Kind::Directory || entry.size.is_none());
    }
}

/// A bucket's page: it does not go on without saying where.
pub(crate) fn buckets(page: &[u8]) {
    let Ok(bucket) = bucket(page) else { return };
    assert!(bucket.objects.len() <= MAX_ENTRIES);
    assert!(bucket.objects.iter().all(|object| object.size.is_none_or(|size| size.least <= size.most)));
    assert!(match bucket.next {
        Next::Token(token) => !token.is_empty(),
        Next::After(key) => !key.is_empty(),
        Next::End | Next::Lost => true,
    });
}

/// A line of rsync's list: a name is never empty, and no longer than the line.
pub(crate) fn rsync(text: &[u8]) {
    for text in text.split(|&byte| byte == b'\n') {
        let Some(line) = line::parse(text) else { continue };
        assert!(!line.name.is_empty() && line.name.len() <= text.len());
        assert!(line.without_target().is_none_or(|name| line.name.starts_with(name)));
    }
}

/// A request's path: what is read is a path below the root, and means the same when it is written again.
pub(crate) fn path(raw: &[u8]) {
    let Ok(raw) = std::str::from_utf8(raw) else { return };
    let Ok(path) = RequestPath::parse(raw) else { return };
    let whole = path.whole();
    assert!(whole.segments().all(|segment| !matches!(segment, b"" | b"." | b"..") && !segment.contains(&b'/')));
    let again = format!("/{}", whole.encoded());
    assert_eq!(RequestPath::parse(&again).expect("what we write can be read").whole(), whole);
    let prefix = Prefix::parse("/activities").expect("a prefix");
    if let Some(below) = path.below(&prefix) {
        assert!(
            whole.segments().next() == Some(b"activities".as_slice())
                && whole.segments().count() == below.segments().count() + 1
        );
    }
}

/// A request's ranges: within the file, none empty, none twice.
pub(crate) fn ranges(header: &[u8]) {
    const SIZE: u64 = 1000;
    let Ok(value) = http::HeaderValue::from_bytes(header) else { return };
    let headers = http::HeaderMap::from_iter([(http::header::RANGE, value)]);
    if let range::Wanted::Parts(mut parts) = range::wanted(&headers, SIZE) {
        assert!(!parts.is_empty() && parts.iter().all(|part| part.start < part.end && part.end <= SIZE));
        parts.sort_by_key(|part| part.start);
        assert!(parts.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }
}

/// The header that a proxy sends first: it is not longer than what came.
pub(crate) fn proxied(start: &[u8]) {
    if let Ok(Some((_, length))) = proxy::parse(start) {
        assert!(length <= start.len().min(proxy::MAX_HEADER_BYTES));
    }
}

/// A configuration: what is wrong with it is told, with a place in the file.
pub(crate) fn config(text: &[u8]) {
    let Ok(text) = String::from_utf8(text.to_vec()) else { return };
    let lines = text.lines().count() + 1;
    if let Err(problems) = Config::parse(Path::new("mirrors.toml"), text) {
        assert!(!problems.0.is_empty());
        assert!(
            problems.0.iter().all(|problem| !problem.text.is_empty() && problem.position.is_none_or(|at| at.line <= lines))
        );
    }
}
