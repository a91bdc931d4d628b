//! `[hash]`, and what it means for one file: how long its pieces are, and whether it gets zsync's block sums.

use std::num::NonZeroUsize;

use serde::Deserialize;
use siphasher::sip::SipHasher13;

use super::zsync::Shape;
use crate::inventory::PlanId;
use crate::model::ByteSize;

/// `[hash]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// How many threads hash, all files together. Left out: half of the processors, and one at least.
    pub threads: Option<usize>,
    /// Bytes of a piece. Torrents with another piece length are other torrents.
    pub piece_length: ByteSize,
    /// Pieces of larger files are longer, by powers of two, until there are no more than so many. Left out: only those
    /// of files beyond 256 GiB are, for a million pieces at most.
    pub max_pieces: Option<u32>,
    /// Whether zsync's block sums are made.
    pub zsync: bool,
    /// Smaller files get no block sums: they are sent whole in less time than sums are compared.
    pub zsync_min_size: ByteSize,
    /// Larger files get no block sums.
    pub zsync_max_size: ByteSize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: None,
            piece_length: ByteSize(256 << 10),
            max_pieces: None,
            zsync: false,
            zsync_min_size: ByteSize(1 << 20),
            zsync_max_size: ByteSize(8 << 30),
        }
    }
}

/// The shortest piece that a setting may ask for: below it, digests of pieces take a percent of the file's room.
pub const MIN_PIECE_BYTES: u64 = 16 << 10;
/// The longest: clients fetch a bad piece again as a whole.
pub const MAX_PIECE_BYTES: u64 = 64 << 20;

/// The most pieces, whatever the settings say: their digests are in memory while the file is read and in one row of the
/// database, 54 MB. Reached by files of 256 GiB at the default length.
const MAX_PIECES: u64 = 1 << 20;

/// What is made of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of a piece.
    pub piece_length: u32,
    /// Block sums, where they are wanted.
    pub zsync: Option<Shape>,
}

impl Settings {
    /// What is made of a file of `size` bytes.
    #[must_use]
    pub fn plan(&self, size: u64) -> Plan {
        let mut length = self.piece_length.0.clamp(1, MAX_PIECE_BYTES);
        let most = self.max_pieces.map_or(MAX_PIECES, u64::from).min(MAX_PIECES);
        while size.div_ceil(length) > most && length * 2 <= MAX_PIECE_BYTES {
            length *= 2;
        }
        let has_blocks = self.zsync && (self.zsync_min_size.0..=self.zsync_max_size.0).contains(&size);
        Plan {
            size,
            piece_length: u32::try_from(length).expect("it is at most MAX_PIECE_BYTES"),
            zsync: has_blocks.then(|| Shape::of(size)),
        }
    }

    /// A number that changes when these settings make other descriptions.
    #[must_use]
    pub fn plan_id(&self) -> PlanId {
        let Self { threads: _, piece_length, max_pieces, zsync, zsync_min_size, zsync_max_size } = self;
        let blocks = zsync.then_some((zsync_min_size.0, zsync_max_size.0));
        let text = format!("{} {max_pieces:?} {blocks:?}", piece_length.0);
        let hash = SipHasher13::new_with_keys(0x7265_6469, 0x706c_616e).hash(text.as_bytes());
        PlanId((hash as u32).max(1))
    }

    /// How many threads hash.
    #[must_use]
    pub fn threads(&self) -> usize {
        let half = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get).div_ceil(2);
        self.threads.unwrap_or_else(half).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_stay_as_long_as_the_settings_say() {
        let fixed = Settings::default();
        assert_eq!(fixed.plan(0).piece_length, 256 << 10);
        assert_eq!(fixed.plan(256 << 30).piece_length, 256 << 10);
        assert_eq!(fixed.plan(1 << 40).piece_length, 1 << 20, "the list would be too long");
        let growing = Settings { max_pieces: Some(1000), ..Settings::default() };
        for (size, length) in [(1000 << 18, 1 << 18), ((1000 << 18) + 1, 1 << 19), (1 << 30, 1 << 21), (1 << 50, 1 << 26)] {
            assert_eq!(growing.plan(size).piece_length, length, "{size}");
        }
    }

    #[test]
    fn block_sums_are_for_files_of_some_sizes() {
        let settings = Settings { zsync: true, ..Settings::default() };
        let has = |size| settings.plan(size).zsync.is_some();
        assert_eq!([0, (1 << 20) - 1, 1 << 20, 8 << 30, (8 << 30) + 1].map(has), [false, false, true, true, false]);
        assert_eq!(Settings::default().plan(1 << 20).zsync, None);
    }

    #[test]
    fn a_plan_has_another_number_where_it_makes_something_else() {
        let id = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.plan_id()
        };
        let first = id(|_| {});
        assert_eq!(first, id(|settings| settings.threads = Some(7)));
        assert_eq!(first, id(|settings| settings.zsync_min_size = ByteSize(5)), "without zsync");
        assert_ne!(first, id(|settings| settings.zsync = true));
        assert_ne!(first, id(|settings| settings.piece_length = ByteSize(1 << 20)));
        assert_ne!(first, id(|settings| settings.max_pieces = Some(9)));
    }
}
