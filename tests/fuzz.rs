//! Inputs from outside, recorded or made up (`fuzz/seeds`) and then changed at random, always the same: what `fuzz/bodies.rs` says holds
//! for all of them. The fuzz targets do the same guided by what the code does, and for longer (`scripts/fuzz`).

#[path = "../fuzz/bodies.rs"]
mod bodies;

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use bodies::BODIES;

/// How many changed inputs each body gets: some seconds for all on a slow machine.
const ROUNDS: usize = 3000;
/// The longest input: the beginning of a page is where it is recognised.
const MAX_BYTES: usize = 6000;

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
fn change(input: &mut Vec<u8>, other: &[u8], words: &[Vec<u8>], dice: &mut Dice) {
    for _ in 0..=dice.below(8) {
        let at = dice.below(input.len() + 1);
        let end = (at + dice.below(64)).min(input.len());
        match dice.below(8) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..end)),
            2 => drop(input.splice(at..at, input[at..end].to_vec())),
            3 => drop(input.splice(at..end, words[dice.below(words.len())].iter().copied())),
            4 => drop(input.splice(at..at, words[dice.below(words.len())].iter().copied())),
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

/// Tries all seeds of a target, and many inputs made from them.
fn run(name: &str, more: &[&str]) {
    let body = BODIES.iter().find(|(known, _)| *known == name).expect("a body of that name").1;
    let try_it = |input: &[u8]| {
        assert!(catch_unwind(|| body(input)).is_ok(), "{name} fails with b\"{}\"", input.escape_ascii());
    };
    let (seeds, words) = (seeds(name, more), words());
    seeds.iter().for_each(|seed| try_it(seed));
    let mut dice = Dice(name.len() as u64);
    for _ in 0..ROUNDS {
        let mut input = seeds[dice.below(seeds.len())].clone();
        change(&mut input, &seeds[dice.below(seeds.len())], &words, &mut dice);
        try_it(&input);
    }
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The beginnings of a target's seeds, and of the files in other folders.
fn seeds(name: &str, more: &[&str]) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for folder in [&*format!("fuzz/seeds/{name}")].iter().chain(more) {
        let items = std::fs::read_dir(here(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
        files.extend(items.map(|item| item.expect("an item").path()));
    }
    files.sort();
    assert!(!files.is_empty(), "{name} has no seeds");
    let mut seeds: Vec<_> = files.iter().map(|file| std::fs::read(file).expect("a file")).collect();
    seeds.iter_mut().for_each(|seed| seed.truncate(MAX_BYTES));
    seeds
}

/// Words that mean something to some reader: each line of the dictionary is one in quotes, with bytes as `\x00`.
fn words() -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(here("fuzz/words")).expect("the dictionary");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let word = |line: &str| {
        let mut parts = line.strip_prefix('"').and_then(|line| line.strip_suffix('"')).expect("quotes").split("\\x");
        let mut word = parts.next().expect("split gives one").as_bytes().to_vec();
        for part in parts {
            word.push(u8::from_str_radix(&part[..2], 16).expect("two digits"));
            word.extend(&part.as_bytes()[2..]);
        }
        word
    };
    let words: Vec<_> = lines.map(word).collect();
    assert!(words.contains(&b"\r\n".to_vec()) && words.contains(&b"<td>".to_vec()), "{words:?}");
    words
}

#[test]
fn listings() {
    run("listing", &["tests/data/listings/awkward", "tests/data/listings/evil", "tests/data/listings/empty"]);
}

#[test]
fn buckets() {
    run("buckets", &[]);
}

#[test]
fn rsync() {
    run("rsync", &[]);
}

#[test]
fn ftp() {
    run("ftp", &[]);
}

#[test]
fn paths() {
    run("path", &[]);
}

#[test]
fn ranges() {
    run("ranges", &[]);
}

#[test]
fn proxy_headers() {
    run("proxied", &[]);
}

#[test]
fn configurations() {
    run("config", &[]);
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
