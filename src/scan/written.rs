//! The form in which what scans remember of listings is written down: as few bytes as is simple, with checksums. What is broken,
//! foreign, or of another version of this program reads as nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::hashed::Hashed;
use super::memory::{Head, Known};
use crate::inventory::Listed;

/// In how many parts directories are written: with 35,000 of them, one that changes writes 7 KB.
const PARTS: u64 = 256;
/// What this version of the program writes; grows whenever the form changes between two versions.
const FORM: (&str, u32) = (env!("CARGO_PKG_VERSION"), 1);

/// A directory with the hash of its path.
#[derive(Serialize, Deserialize)]
struct Row<K> {
    #[serde(with = "postcard::fixint::le")]
    key: u64,
    known: K,
}

/// Reads all that can be read.
pub(super) fn read(stored: &Listed) -> Option<(Head, Hashed<Known>)> {
    let (form, head): ((&str, u32), Head) = postcard::from_bytes(checked(&stored.head, SipHasher13::new())?).ok()?;
    if form != FORM {
        return None;
    }
    let read = |(part, data): (&u16, &Vec<u8>)| -> Option<Vec<Row<Known>>> {
        postcard::from_bytes(checked(data, hasher(&head, *part))?).ok()
    };
    let directories = stored.parts.iter().filter_map(read).flatten().map(|row| (row.key, row.known)).collect();
    Some((head, directories))
}

/// Writes the head, and the parts that have one of the `touched` directories; all parts where that is not told.
pub(super) fn write(head: &Head, directories: &Hashed<Known>, touched: Option<&[u64]>) -> Listed {
    let mut parts: BTreeMap<u16, Vec<Row<&Known>>> = match touched {
        Some(touched) => touched.iter().map(|key| (part_of(*key), Vec::new())).collect(),
        None => (0..PARTS as u16).map(|part| (part, Vec::new())).collect(),
    };
    if !parts.is_empty() {
        for (key, known) in directories {
            if let Some(rows) = parts.get_mut(&part_of(*key)) {
                rows.push(Row { key: *key, known });
            }
        }
    }
    let written = |(part, mut rows): (u16, Vec<Row<&Known>>)| {
        rows.sort_unstable_by_key(|row| row.key);
        let data = if rows.is_empty() { Vec::new() } else { sealed(&rows, hasher(head, part)) };
        (part, data)
    };
    Listed { head: sealed(&(FORM, head), SipHasher13::new()), parts: parts.into_iter().map(written).collect() }
}

const fn part_of(key: u64) -> u16 {
    (key % PARTS) as u16
}

/// Other for every mirror and part.
fn hasher(head: &Head, part: u16) -> SipHasher13 {
    SipHasher13::new_with_keys(head.key.0 ^ u64::from(part), head.key.1)
}

/// A value with a checksum behind it.
fn sealed(value: &impl Serialize, hasher: SipHasher13) -> Vec<u8> {
    // Nothing of what is written can fail to be; without a checksum it would read as nothing.
    let mut bytes = postcard::to_allocvec(value).unwrap_or_default();
    let sum = hasher.hash(&bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}

/// What stands before the right checksum.
fn checked(bytes: &[u8], hasher: SipHasher13) -> Option<&[u8]> {
    let (value, sum) = bytes.split_last_chunk::<8>()?;
    (hasher.hash(value).to_le_bytes() == *sum).then_some(value)
}
