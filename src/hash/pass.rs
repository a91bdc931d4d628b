//! One pass: the states of all digests of a file, each fed in order, several of them at the same time where threads help.

use std::io;

use fast_md5::Md5;
use sha2::{Digest as _, Sha512};

use super::pieces::{InPieces, Sha1State, Sha256State};
use super::plan::Plan;
use super::zsync::Blocks;
use crate::model::{Digests, Pieces, Sha256};

/// A pass under way.
pub(super) struct Pass {
    piece_length: u32,
    md5: Md5,
    sha512: Sha512,
    sha1: InPieces<Sha1State>,
    sha256: InPieces<Sha256State>,
    blocks: Option<Blocks>,
}

/// A digest that takes bytes.
trait Part: Send {
    fn add(&mut self, bytes: &[u8]);
}

/// What each costs, in parts of the whole: measured on processors with SHA instructions (`scripts/bench-hash`). They are dealt
/// out to threads by it.
const MD5: u32 = 12;
const SHA512: u32 = 16;
const SHA1: u32 = 6;
const SHA256: u32 = 10;
const BLOCKS: u32 = 12;

impl Pass {
    pub(super) fn new(plan: &Plan) -> Self {
        let pieces = usize::try_from(plan.size.div_ceil(plan.piece_length.into())).unwrap_or(usize::MAX);
        Self {
            piece_length: plan.piece_length,
            md5: Md5::new(),
            sha512: Sha512::new(),
            sha1: InPieces::new(plan.piece_length, pieces),
            sha256: InPieces::new(plan.piece_length, pieces),
            blocks: plan.zsync.map(|shape| Blocks::new(shape, plan.size)),
        }
    }

    /// How many digests can be fed at the same time.
    pub(super) const fn parts(&self) -> usize {
        if self.blocks.is_some() { 5 } else { 4 }
    }

    /// Feeds all digests, slice by slice.
    pub(super) fn add(&mut self, bytes: &[u8], slice_bytes: usize) {
        for slice in bytes.chunks(slice_bytes) {
            self.all().into_iter().for_each(|(_, part)| part.add(slice));
        }
    }

    /// Feeds all digests on so many threads; this one does `meanwhile` first.
    ///
    /// # Errors
    /// What `meanwhile` says, or that there can be no more threads. The pass is of no use then.
    pub(super) fn share<T>(
        &mut self,
        bytes: &[u8],
        threads: usize,
        meanwhile: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let mut lanes = deal(self.all(), threads);
        let own = lanes.pop();
        std::thread::scope(|scope| {
            for lane in lanes {
                let feed = move || lane.into_iter().for_each(|part| part.add(bytes));
                std::thread::Builder::new().name("hash-help".to_owned()).spawn_scoped(scope, feed)?;
            }
            let result = meanwhile();
            own.into_iter().flatten().for_each(|part| part.add(bytes));
            result
        })
    }

    pub(super) fn finish(self, size: u64) -> Digests {
        let (sha1, sha1_pieces) = self.sha1.finish();
        let (sha256, sha256_pieces) = self.sha256.finish();
        Digests {
            size,
            md5: self.md5.finalize(),
            sha1,
            sha256: Sha256(sha256),
            sha512: self.sha512.finalize().into(),
            pieces: Pieces { length: self.piece_length, sha1: sha1_pieces, sha256: sha256_pieces },
            zsync: self.blocks.map(Blocks::finish),
        }
    }

    /// The costliest first.
    fn all(&mut self) -> Vec<(u32, &mut dyn Part)> {
        let mut parts: Vec<(u32, &mut dyn Part)> = vec![(SHA512, &mut self.sha512), (MD5, &mut self.md5)];
        if let Some(blocks) = &mut self.blocks {
            parts.push((BLOCKS, blocks));
        }
        parts.push((SHA256, &mut self.sha256));
        parts.push((SHA1, &mut self.sha1));
        parts
    }
}

/// Deals parts out so that no lane has much more to do than another; the last lane has the least.
fn deal<T>(parts: Vec<(u32, T)>, lanes: usize) -> Vec<Vec<T>> {
    let mut dealt: Vec<(u32, Vec<T>)> = (0..lanes.max(1)).map(|_| (0, Vec::new())).collect();
    for (cost, part) in parts {
        if let Some(least) = dealt.iter_mut().min_by_key(|(sum, _)| *sum) {
            least.0 += cost;
            least.1.push(part);
        }
    }
    dealt.sort_by_key(|(sum, _)| std::cmp::Reverse(*sum));
    dealt.into_iter().map(|(_, lane)| lane).collect()
}

impl Part for Md5 {
    fn add(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

impl Part for Sha512 {
    fn add(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

impl Part for Blocks {
    fn add(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

impl Part for InPieces<Sha1State> {
    fn add(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

impl Part for InPieces<Sha256State> {
    fn add(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_dealt_out_evenly() {
        let parts = || vec![(SHA512, 'S'), (MD5, 'm'), (BLOCKS, 'z'), (SHA256, 's'), (SHA1, '1')];
        for (lanes, dealt) in
            [(1, vec!["Smzs1"]), (2, vec!["mz1", "Ss"]), (4, vec!["S", "s1", "m", "z"]), (5, vec!["S", "m", "z", "s", "1"])]
        {
            let found: Vec<String> = deal(parts(), lanes).into_iter().map(|lane| lane.into_iter().collect()).collect();
            assert_eq!(found, dealt, "{lanes}");
        }
        assert!(deal(parts(), 6).last().is_some_and(Vec::is_empty));
    }
}
