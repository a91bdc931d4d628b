//! Inputs from outside, recorded or made up and then changed at random, always the same: what `fuzz/bodies.rs` says holds for all of
//! them. The fuzz targets do the same for longer (`scripts/fuzz`).

#[path = "../fuzz/bodies.rs"]
mod bodies;

use std::panic::catch_unwind;
use std::path::Path;

use bodies::BODIES;

/// How many changed inputs each body gets: some seconds for all on a slow machine.
const ROUNDS: usize = 3000;
/// The longest input: the beginning of a page is where it is recognised.
const MAX_BYTES: usize = 6000;

/// Words that mean something to some reader.
const WORDS: &[&[u8]] = &[
    b"<a href=\"",
    b"\">",
    b"</a>",
    b"<pre>",
    b"</pre>",
    b"<tr>",
    b"<td>",
    b"</table>",
    b"<base href=\"//x/\">",
    b"<title>Index of ",
    b"../",
    b"%2f",
    b"%00",
    b"%",
    b"&amp;",
    b"&#x0;",
    b"&#99999999999;",
    b"\xff\xfe",
    b"\x00",
    b"<!--",
    b"<![CDATA[",
    b"?C=M;O=A",
    b"99999999999999999999",
    b"-1",
    b"1e400",
    b"1.5K",
    b"2026-02-30 25:61",
    b"0000-00-00",
    b"<IsTruncated>true</IsTruncated>",
    b"<NextMarker></NextMarker>",
    b"<Key>",
    b"{\"files\":[",
    b"[{\"name\":",
    b"null",
    b"\\ud800",
    b"\\#001",
    b" -> ",
    b"bytes=",
    b"0-",
    b"-0",
    b",",
    b"PROXY TCP4 ",
    b"\r\n",
    b"\r\n\r\n\0\r\nQUIT\n",
    b"[[mirror]]\n",
    b"= \"",
    b"[",
    b"\"\"\"",
    b"\n",
];

/// Numbers that only look random (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).expect("it is below a usize")
    }
}

/// Changes an input in one to eight places.
fn change(input: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    for _ in 0..=dice.below(8) {
        let at = dice.below(input.len() + 1);
        let end = (at + dice.below(64)).min(input.len());
        match dice.below(8) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..end)),
            2 => drop(input.splice(at..at, input[at..end].to_vec())),
            3 => drop(input.splice(at..end, WORDS[dice.below(WORDS.len())].iter().copied())),
            4 => drop(input.splice(at..at, WORDS[dice.below(WORDS.len())].iter().copied())),
            5 => {
                let from = dice.below(other.len() + 1);
                let until = (from + dice.below(256)).min(other.len());
                drop(input.splice(at..end, other[from..until].iter().copied()));
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
        }
    }
    input.truncate(MAX_BYTES);
}

fn run(name: &str, seeds: &[Vec<u8>]) {
    let body = BODIES.iter().find(|(known, _)| *known == name).expect("a body of that name").1;
    let try_it = |input: &[u8]| {
        assert!(catch_unwind(|| body(input)).is_ok(), "{name} fails with b\"{}\"", input.escape_ascii());
    };
    seeds.iter().for_each(|seed| try_it(seed));
    let mut dice = Dice(name.len() as u64);
    for _ in 0..ROUNDS {
        let mut input = seeds[dice.below(seeds.len())].clone();
        change(&mut input, &seeds[dice.below(seeds.len())], &mut dice);
        try_it(&input);
    }
}

fn here(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[test]
fn listings() {
    let mut seeds = Vec::new();
    for directory in ["awkward", "evil", "empty"] {
        let pages = std::fs::read_dir(here("tests/data/listings").join(directory)).expect("the folder is there");
        let mut pages: Vec<_> = pages.map(|item| item.expect("an item").path()).collect();
        pages.sort();
        seeds.extend(pages.iter().map(|page| std::fs::read(page).expect("a page")));
    }
    seeds.iter_mut().for_each(|seed| seed.truncate(MAX_BYTES));
    run("listing", &seeds);
}

#[test]
fn buckets() {
    let page = "<?xml version=\"1.0\"?><ListBucketResult><Prefix>p/</Prefix><IsTruncated>true</IsTruncated>\
        <EncodingType>url</EncodingType><NextContinuationToken>t+/=</NextContinuationToken>\
        <Contents><Key>p/a+%26.xo</Key><LastModified>2026-11-20T14:03:27.000Z</LastModified><Size>5000000000</Size></Contents>\
        <CommonPrefixes><Prefix>p/sub/</Prefix></CommonPrefixes></ListBucketResult>";
    run("buckets", &texts(&[page, &page.replace("NextContinuationToken", "NextMarker"), "<ListBucketResult/>"]));
}

#[test]
fn rsync() {
    run(
        "rsync",
        &texts(&[
            "-rw-r--r--     12,345,678 2026/11/23 06:14:38 dir/name\ndrwxr-xr-x          4,096 2026/11/23 06:14:38 .",
            "lrwxrwxrwx             11 1970/01/01 00:00:00 a -> b -> c\n-rw-r--r--+ 5 2026/11/23 06:14:38  x\\#033\\#134",
        ]),
    );
}

#[test]
fn paths() {
    run("path", &texts(&["/activities/4078/labyrinth-7.xo", "/activities/%e8%aa%9e/a%20b?x", "//activities/./a//b/", "/"]));
}

#[test]
fn ranges() {
    run("ranges", &texts(&["bytes=0-99", "bytes=0-0,-1, 500-", "bytes = 5-4", "bytes=999-1000,18446744073709551615-"]));
}

#[test]
fn proxy_headers() {
    let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\0\0\x01\x7f\0\0\x02\x1f\x90\0\x50GET /".to_vec();
    binary.extend(b"\x04\x00\x01\x00");
    let line = b"PROXY TCP6 2001:db8::1 2001:db8::2 65535 443\r\nGET / HTTP/1.1\r\n".to_vec();
    run("proxied", &[binary, line, b"PROXY UNKNOWN\r\n".to_vec()]);
}

#[test]
fn configurations() {
    let shipped = std::fs::read(here("mirrors.toml")).expect("the shipped file");
    let small = "[tree]\npublic = \"public\"\nmin-age = \"30m\"\n[[mirror]]\nname = \"a\"\nhttps = \"https://a.example/\"\ncountry = \"nl\"\n";
    run("config", &[small.as_bytes().to_vec(), shipped[..shipped.len().min(MAX_BYTES)].to_vec()]);
}

#[test]
fn every_body_has_a_target_and_is_run_here() {
    let this = include_str!("fuzz.rs");
    let manifest = std::fs::read_to_string(here("fuzz/Cargo.toml")).expect("the manifest");
    for (name, _) in BODIES {
        let target = std::fs::read_to_string(here(&format!("fuzz/fuzz_targets/{name}.rs"))).expect("a target");
        assert!(
            target.contains(&format!("bodies::{name}(bytes)")) && manifest.contains(&format!("name = \"{name}\"")),
            "{name}"
        );
        assert!(this.contains(&format!("\"{name}\",")), "{name} is not run here");
    }
}
