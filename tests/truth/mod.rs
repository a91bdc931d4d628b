//! What the directories held of which listings were recorded (`data/listings/truth.json`).
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of these")]

use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// One entry of `truth.json`.
#[derive(Debug, Clone)]
pub struct Truth {
    pub name: Vec<u8>,
    pub own: Option<Fact>,
    /// What a link leads to; the same as `own` for what is no link; none where it leads nowhere.
    pub followed: Option<Fact>,
    pub link: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fact {
    pub directory: bool,
    pub size: u64,
    pub time: Timestamp,
}

/// Where the recorded listings are.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/listings")
}

pub fn read_truth(directory: &str) -> Vec<Truth> {
    let bytes = std::fs::read(data().join("truth.json")).expect("truth.json is there");
    let all: serde_json::Value = serde_json::from_slice(&bytes).expect("truth.json is JSON");
    let fact = |value: &serde_json::Value| {
        let time = Timestamp::from_second(value["mtime"].as_i64()?).ok()?;
        Some(Fact { directory: value["type"] == "dir", size: value["size"].as_u64().unwrap_or(0), time })
    };
    let read = |value: &serde_json::Value| {
        let link = value["type"] == "symlink";
        let followed = if link { fact(&value["resolved"]) } else { fact(value) };
        Truth { name: base64(value["name_b64"].as_str().expect("a name")), own: fact(value), followed, link }
    };
    all["dirs"][directory].as_array().expect("a directory of truth.json").iter().map(read).collect()
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
    for byte in text.bytes().filter(|b| *b != b'=') {
        let digit = DIGITS.iter().position(|d| *d == byte).expect("base64");
        bits = bits << 6 | u32::try_from(digit).expect("below 64");
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).expect("a byte"));
        }
    }
    out
}
