//! A file entry packed into 32 bytes.

use super::snapshot::FileEntry;
use crate::model::{FileState, VersionNumber};

/// A file entry in 32 bytes, with the rest of its key:
/// rest 32, version 32 | fingerprint 64 | mtime's low part 16, state 2, size 46 | exact 1, public since 39, mtime's high part 24.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(super) struct Slot(pub(super) [u64; 4]);

const SIZE_BITS: u32 = 46;
/// The largest size that is kept: 64 TiB. A larger file never matches a mirror's copy and is served from the tree.
pub(super) const MAX_SIZE: u64 = (1 << SIZE_BITS) - 1;
const MTIME_BITS: u32 = 40;
const SINCE_BITS: u32 = 39;
/// The latest second that is kept, in the year 10680, past what a time stamp can say.
pub(super) const MAX_TIME: i64 = (1 << (SINCE_BITS - 1)) - 1;

impl Slot {
    /// Packs an entry, with the rest of its key.
    pub(super) fn new(rest: u32, entry: &FileEntry) -> Self {
        let state = match entry.state {
            FileState::Settled => 0,
            FileState::Unconfirmed => 1,
            FileState::Changing => 2_u64,
        };
        let (mtime, since) = (pack_time(entry.version_mtime, MTIME_BITS), pack_time(entry.public_since, SINCE_BITS));
        Self([
            u64::from(rest) << 32 | u64::from(entry.version.0),
            entry.fingerprint,
            (mtime & 0xffff) << 48 | state << SIZE_BITS | entry.size.min(MAX_SIZE),
            u64::from(entry.exact_time) << 63 | since << 24 | mtime >> 16,
        ])
    }

    pub(super) const fn rest(&self) -> u32 {
        (self.0[0] >> 32) as u32
    }

    /// The entry, without its digest.
    pub(super) fn entry(&self) -> FileEntry {
        let [names, fingerprint, size, times] = self.0;
        let version = VersionNumber(names as u32);
        FileEntry {
            version,
            size: size & MAX_SIZE,
            version_mtime: unpack_time((times & 0xff_ffff) << 16 | size >> 48, MTIME_BITS),
            exact_time: times >> 63 != 0,
            public_since: unpack_time(times >> 24, SINCE_BITS),
            state: match size >> SIZE_BITS & 0b11 {
                0 => FileState::Settled,
                1 => FileState::Unconfirmed,
                _ => FileState::Changing,
            },
            sha256: None,
            fingerprint,
        }
    }
}

const fn pack_time(seconds: i64, bits: u32) -> u64 {
    let seconds = if seconds > MAX_TIME {
        MAX_TIME
    } else if seconds < -MAX_TIME {
        -MAX_TIME
    } else {
        seconds
    };
    seconds.cast_unsigned() & ((1 << bits) - 1)
}

const fn unpack_time(packed: u64, bits: u32) -> i64 {
    (packed << (u64::BITS - bits)).cast_signed() >> (u64::BITS - bits)
}
