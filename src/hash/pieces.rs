//! A digest of a whole and of each of its pieces, in one go.
//!
//! Both digests of the same bytes are made side by side, in small steps: each of the processor's SHA instructions waits for
//! the one before it, and meanwhile those of the other digest find room. Two SHA-1 made so cost hardly more than one.

use ring::digest::{Context, SHA256};
use sha1::{Digest as _, Sha1};

/// A digest under way.
pub(super) trait State {
    /// What comes of it.
    type Output: AsRef<[u8]>;

    fn new() -> Self;
    fn update(&mut self, bytes: &[u8]);
    fn finish(self) -> Self::Output;
}

pub(super) type Sha1State = Sha1;
/// ring's: the quickest on processors without SHA instructions, and no slower on others.
pub(super) type Sha256State = Context;

/// A digest of the whole and of each piece.
pub(super) struct InPieces<S> {
    whole: S,
    piece: S,
    length: usize,
    /// Bytes of the piece under way.
    filled: usize,
    done: Vec<u8>,
}

/// Bytes of a step: a block of SHA-1 and of SHA-256.
const STEP_BYTES: usize = 64;

/// Room that is made beforehand, at most: digests of pieces of 100 GiB need as much.
const MAX_ROOM: usize = 16 << 20;

impl<S: State> InPieces<S> {
    pub(super) fn new(length: u32, pieces: usize) -> Self {
        let room = pieces.saturating_mul(size_of::<S::Output>()).min(MAX_ROOM);
        Self { whole: S::new(), piece: S::new(), length: length as usize, filled: 0, done: Vec::with_capacity(room) }
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_at(bytes.len().min(self.length - self.filled));
            for step in head.chunks(STEP_BYTES) {
                self.whole.update(step);
                self.piece.update(step);
            }
            self.filled += head.len();
            if self.filled == self.length {
                self.end_piece();
            }
            bytes = rest;
        }
    }

    fn end_piece(&mut self) {
        let piece = std::mem::replace(&mut self.piece, S::new());
        self.done.extend_from_slice(piece.finish().as_ref());
        self.filled = 0;
    }

    /// The digest of the whole, and those of the pieces one behind the other.
    pub(super) fn finish(mut self) -> (S::Output, Box<[u8]>) {
        if self.filled > 0 {
            self.end_piece();
        }
        (self.whole.finish(), self.done.into_boxed_slice())
    }
}

impl State for Sha1State {
    type Output = [u8; 20];

    fn new() -> Self {
        <Self as sha1::Digest>::new()
    }

    fn update(&mut self, bytes: &[u8]) {
        sha1::Digest::update(self, bytes);
    }

    fn finish(self) -> [u8; 20] {
        self.finalize().into()
    }
}

impl State for Sha256State {
    type Output = [u8; 32];

    fn new() -> Self {
        Self::new(&SHA256)
    }

    fn update(&mut self, bytes: &[u8]) {
        Self::update(self, bytes);
    }

    fn finish(self) -> [u8; 32] {
        Self::finish(self).as_ref().try_into().expect("a SHA-256 has 32 bytes")
    }
}
