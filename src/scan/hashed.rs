//! Maps by keys that are hashes already, made with a key that nobody knows who could choose what is hashed: to hash them once more
//! would take time and change nothing.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by hashes.
pub(super) type Hashed<V> = HashMap<u64, V, BuildHasherDefault<AsItIs>>;

/// Takes a hash for a hash.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    /// Of keys of other types, which no map here has.
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_by_hashes_finds_what_was_put_there() {
        let numbers = || (0..1000_u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let map: Hashed<u64> = numbers().zip(0..).collect();
        assert_eq!(map.len(), 1000);
        assert!(numbers().zip(0..).all(|(hash, number)| map.get(&hash) == Some(&number)));
        assert_eq!(map.get(&1), None);
    }
}
