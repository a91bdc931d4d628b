//! Whatever an rsync server makes the program print: no panic, no empty name, and of a link a name that is a part of the whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redirector::scan::rsync::line::parse;

fuzz_target!(|text: &[u8]| {
    for line in text.split(|&b| b == b'\n') {
        let Some(line) = parse(line) else { continue };
        assert!(!line.name.is_empty());
        assert!(line.without_target().is_none_or(|name| line.name.starts_with(name)));
    }
});
