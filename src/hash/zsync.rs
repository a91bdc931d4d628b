//! zsync's block sums, as `zsyncmake` 0.6.2 makes them: a rolling sum like rsync's and an MD4 of each block.

use md4::{Digest, Md4};

use crate::model::Zsync;

/// How long the blocks of a file are, and how much of each sum is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of a block.
    pub block_size: u32,
    /// Blocks in a row that must match.
    pub sequence_matches: u8,
    /// Bytes of the rolling sum.
    pub rsum_bytes: u8,
    /// Bytes of the MD4.
    pub checksum_bytes: u8,
}

/// From here on blocks are twice as long.
const LARGE: u64 = 100_000_000;

impl Shape {
    /// That of a file of `size` bytes, by the rules of `zsyncmake`: sums are as long as makes a false match unlikely (about
    /// one in a million downloads for the MD4), and no longer.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "as the original does it")]
    pub fn of(size: u64) -> Self {
        let block_size: u32 = if size < LARGE { 2048 } else { 4096 };
        let sequence = if size > u64::from(block_size) { 2.0 } else { 1.0 };
        let bits = (size.max(1) as f64).log2();
        let block_bits = ((1 + size / u64::from(block_size)) as f64).log2();
        let rsum = ((bits + f64::from(block_size).log2() - 8.6) / sequence / 8.0).ceil().clamp(2.0, 4.0);
        let by_sequence = ((20.0 + bits + block_bits) / sequence / 8.0).ceil();
        let alone = (7.9 + 20.0 + block_bits) / 8.0;
        Self {
            block_size,
            sequence_matches: small(sequence),
            rsum_bytes: small(rsum),
            checksum_bytes: small(by_sequence.max(alone)),
        }
    }

    /// Bytes of both sums of a block.
    #[must_use]
    pub const fn entry_bytes(self) -> usize {
        self.rsum_bytes as usize + self.checksum_bytes as usize
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lengths of sums are between 1 and 16")]
fn small(number: f64) -> u8 {
    number.clamp(1.0, 16.0) as u8
}

/// Block sums under way.
#[derive(Debug, Clone)]
pub(super) struct Blocks {
    shape: Shape,
    /// The start of a block that is not whole yet.
    part: Vec<u8>,
    sums: Vec<u8>,
}

impl Blocks {
    pub(super) fn new(shape: Shape, size: u64) -> Self {
        let blocks = usize::try_from(size.div_ceil(shape.block_size.into())).unwrap_or(0);
        let room = blocks.saturating_mul(shape.entry_bytes()).min(MAX_ROOM);
        Self { shape, part: Vec::new(), sums: Vec::with_capacity(room) }
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        let size = self.shape.block_size as usize;
        if !self.part.is_empty() {
            let (head, rest) = bytes.split_at(bytes.len().min(size - self.part.len()));
            self.part.extend_from_slice(head);
            bytes = rest;
            if self.part.len() < size {
                return;
            }
            let block = std::mem::take(&mut self.part);
            self.add(&block);
        }
        let mut blocks = bytes.chunks_exact(size);
        for block in blocks.by_ref() {
            self.add(block);
        }
        self.part.extend_from_slice(blocks.remainder());
    }

    pub(super) fn finish(mut self) -> Zsync {
        if !self.part.is_empty() {
            let mut block = std::mem::take(&mut self.part);
            block.resize(self.shape.block_size as usize, 0);
            self.add(&block);
        }
        let Shape { block_size, sequence_matches, rsum_bytes, checksum_bytes } = self.shape;
        Zsync { block_size, sequence_matches, rsum_bytes, checksum_bytes, sums: self.sums.into_boxed_slice() }
    }

    fn add(&mut self, block: &[u8]) {
        let rolling = rolling_sum(block);
        self.sums.extend_from_slice(&rolling[rolling.len() - usize::from(self.shape.rsum_bytes)..]);
        self.sums.extend_from_slice(&Md4::digest(block)[..usize::from(self.shape.checksum_bytes)]);
    }
}

/// Room that is made beforehand, at most: what a file of 8 GiB needs.
const MAX_ROOM: usize = 32 << 20;

/// The sum of the bytes, and the sum of the bytes weighted by their distance from the end, 16 bits each: every processor has
/// instructions that multiply eight such numbers.
fn rolling_sum(block: &[u8]) -> [u8; 4] {
    let (mut plain, mut weighted) = (0_u16, 0_u16);
    let mut weight = block.len() as u16;
    for &byte in block {
        plain = plain.wrapping_add(byte.into());
        weighted = weighted.wrapping_add(weight.wrapping_mul(byte.into()));
        weight = weight.wrapping_sub(1);
    }
    let ([a, b], [c, d]) = (plain.to_be_bytes(), weighted.to_be_bytes());
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lengths_of_sums_are_those_of_zsyncmake() {
        // As `zsyncmake` 0.6.2 wrote them for files of these sizes: block, sequence, rolling sum, MD4.
        for (size, block, lengths) in KNOWN {
            let shape = Shape::of(size);
            let found = (shape.block_size, [shape.sequence_matches, shape.rsum_bytes, shape.checksum_bytes]);
            assert_eq!(found, (block, lengths), "{size}");
        }
    }

    const KNOWN: [(u64, u32, [u8; 3]); 12] = [
        (1, 2048, [1, 2, 3]),
        (100, 2048, [1, 2, 4]),
        (2048, 2048, [1, 2, 4]),
        (2049, 2048, [2, 2, 3]),
        (4096, 2048, [2, 2, 3]),
        (50_000, 2048, [2, 2, 4]),
        (1_000_000, 2048, [2, 2, 4]),
        (50_000_000, 2048, [2, 2, 5]),
        (99_999_999, 2048, [2, 2, 5]),
        (100_000_000, 4096, [2, 2, 5]),
        (3_000_000_000, 4096, [2, 3, 5]),
        (4_700_000_000, 4096, [2, 3, 6]),
    ];

    #[test]
    fn a_rolling_sum_can_roll() {
        let bytes: Vec<u8> = (0..300_u32).map(|n| (n * 7 + 3) as u8).collect();
        let [a, b, c, d] = rolling_sum(&bytes[..256]).map(u16::from);
        let (plain, weighted) = (a << 8 | b, c << 8 | d);
        let (out, into) = (u16::from(bytes[0]), u16::from(bytes[256]));
        let next = plain.wrapping_sub(out).wrapping_add(into);
        let then = weighted.wrapping_sub(out.wrapping_mul(256)).wrapping_add(next);
        let ([e, f], [g, h]) = (next.to_be_bytes(), then.to_be_bytes());
        assert_eq!(rolling_sum(&bytes[1..257]), [e, f, g, h]);
    }
}
