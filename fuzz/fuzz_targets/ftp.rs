//! Whatever an FTP server lists: no panic, no empty name, and no time of day that is a day long.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redirector::scan::ftp::{human, machine};

fuzz_target!(|text: &[u8]| {
    let now = "2026-11-23T06:30:00Z".parse().expect("a time");
    for line in text.split(|&b| b == b'\n') {
        for entry in [machine::parse(line), human::parse(line, now)].into_iter().flatten() {
            assert!(!entry.name.is_empty());
            assert!(entry.time.is_none_or(|time| (1..=86_400).contains(&time.precision)));
        }
    }
});
