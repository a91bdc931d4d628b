//! Whatever a mirror sends: no panic, no name that leaves the directory, no name twice.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use redirector::model::TreePath;
use redirector::scan::listing::{Base, Kind, parse};

fuzz_target!(|page: &[u8]| {
    let base = Base::parse("http://127.0.0.1:8080/awkward/").expect("a URL");
    let Ok(listing) = parse(page, None, &base) else { return };
    let mut seen = HashSet::new();
    for entry in &listing.entries {
        assert!(TreePath::root().join(&entry.name).is_ok());
        assert!(seen.insert(&entry.name));
        assert!(entry.size.is_none_or(|size| size.least <= size.most));
        assert!(entry.time.is_none_or(|time| time.earliest() <= time.latest()));
        assert!(entry.kind != Kind::Directory || entry.size.is_none());
    }
});
