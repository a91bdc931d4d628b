//! How fast listings are read: `cargo bench --bench listing`. A mirror of 100,000 files is some 25 MB of listings.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it saw")]

use std::hint::black_box;
use std::path::Path;

use redirector::clock;
use redirector::scan::listing::{Base, parse};

/// How many bytes each page is read for, again and again.
const BYTES: usize = 50_000_000;
/// The best of so many rounds counts: other work on the machine only ever makes it slower.
const ROUNDS: usize = 5;

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/listings");
    for (directory, file) in [
        ("many", "apache-debian-default.html"),
        ("many", "nginx-html.html"),
        ("plain", "nginx-html.html"),
        ("awkward", "nginx-json.json"),
        ("awkward", "lighttpd.html"),
        ("awkward", "caddy-browse.html"),
    ] {
        let page = std::fs::read(folder.join(directory).join(file)).expect("a recorded page");
        let base = Base::parse(&format!("http://127.0.0.1/{directory}/")).expect("a URL");
        let entries = parse(&page, None, &base).expect("a listing").entries.len();
        let times = (BYTES / page.len()).max(1);
        let round = || {
            let began = clock::instant();
            for _ in 0..times {
                black_box(parse(black_box(&page), None, &base)).expect("a listing");
            }
            began.elapsed().as_secs_f64() / times as f64
        };
        let best = (0..ROUNDS).map(|_| round()).fold(f64::MAX, f64::min);
        let (rate, each) = (page.len() as f64 / best / 1e6, best * 1e9 / entries as f64);
        println!("{directory}/{file:32} {entries:5} entries {rate:7.0} MB/s {each:7.0} ns an entry");
    }
}
