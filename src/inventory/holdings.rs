//! What a mirror holds, as requests ask for it: a Roaring bitmap of version numbers in its serialized form
//! (<https://github.com/RoaringBitmap/RoaringFormatSpec>), with an index beside it. To a container of such a bitmap leads a binary search;
//! here it is one step, and in a snapshot of ten million files each step waits for memory.

use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::model::VersionNumber;

/// The numbers of the versions that a mirror holds. A clone is the same memory.
#[derive(Clone, Debug)]
pub struct Holdings {
    /// By the upper half of a number.
    chunks: Arc<[Chunk]>,
    bytes: Arc<[u8]>,
    count: u64,
}

/// What is held of the numbers with one upper half.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    /// Where in the bytes they stand.
    at: u32,
    form: Form,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Nothing,
    All,
    /// A bit for each.
    Bits,
    /// The lower halves, ascending: one more than this.
    Numbers(u16),
    /// First numbers and lengths (less one) of so many runs, ascending.
    Runs(u16),
}

impl Holdings {
    /// Whether a version is held.
    #[must_use]
    pub fn contains(&self, version: VersionNumber) -> bool {
        let low = version.0 as u16;
        let Some(Chunk { at, form }) = self.chunks.get((version.0 >> u16::BITS) as usize) else { return false };
        let bytes = &self.bytes[*at as usize..];
        match form {
            Form::Nothing => false,
            Form::All => true,
            Form::Bits => bytes[usize::from(low / 8)] >> (low % 8) & 1 == 1,
            Form::Numbers(last) => {
                let numbers = &bytes.as_chunks::<2>().0[..=usize::from(*last)];
                numbers.binary_search_by_key(&low, |number| u16::from_le_bytes(*number)).is_ok()
            }
            Form::Runs(count) => {
                let runs = &bytes.as_chunks::<4>().0[..usize::from(*count)];
                let after = runs.partition_point(|[a, b, ..]| u16::from_le_bytes([*a, *b]) <= low);
                runs[..after].last().is_some_and(|run| low - run_of(*run).0 <= run_of(*run).1)
            }
        }
    }

    /// Reads where a version is likely to be, so that the processor has that at hand.
    #[must_use]
    pub fn touch(&self, version: VersionNumber) -> u64 {
        let at = self.chunks.get((version.0 >> u16::BITS) as usize).map_or(0, |chunk| chunk.at as usize);
        self.bytes.get(at + usize::from(version.0 as u16 / 8)).copied().unwrap_or_default().into()
    }

    /// How many versions are held.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.count
    }

    /// Whether nothing is held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many bytes of memory they take.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.bytes.len() + size_of_val(&*self.chunks)) as u64
    }

    /// The same, to reckon with.
    #[must_use]
    pub fn to_bitmap(&self) -> RoaringBitmap {
        RoaringBitmap::deserialize_from(&*self.bytes).expect("it was a bitmap")
    }
}

impl From<&RoaringBitmap> for Holdings {
    fn from(bitmap: &RoaringBitmap) -> Self {
        let mut bytes = Vec::with_capacity(bitmap.serialized_size());
        bitmap.serialize_into(&mut bytes).expect("memory takes all");
        let chunks = chunks(&bytes).expect("the library writes what its format says");
        Self { chunks: chunks.into(), bytes: bytes.into(), count: bitmap.len() }
    }
}

/// One set has several serialized forms.
impl PartialEq for Holdings {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && (self.bytes == other.bytes || self.to_bitmap() == other.to_bitmap())
    }
}

impl Default for Holdings {
    fn default() -> Self {
        Self::from(&RoaringBitmap::new())
    }
}

/// What stands at the beginning of a bitmap that has runs somewhere; the upper half is the number of containers, less one.
const COOKIE_WITH_RUNS: u16 = 12347;
/// From so many containers on, one with runs tells where each stands.
const MIN_TOLD: usize = 4;
/// A container of more numbers than this is one of bits.
const MAX_NUMBERS: usize = 4096;
const BITS_BYTES: usize = 8192;

fn run_of(run: [u8; 4]) -> (u16, u16) {
    let [a, b, c, d] = run;
    (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
}

/// The index of a serialized bitmap.
fn chunks(mut rest: &[u8]) -> Option<Vec<Chunk>> {
    let length = rest.len();
    let cookie = u32::from_le_bytes(*rest.split_off(..4)?.first_chunk()?);
    let (count, runs) = if cookie as u16 == COOKIE_WITH_RUNS {
        let count = (cookie >> u16::BITS) as usize + 1;
        (count, rest.split_off(..count.div_ceil(8))?)
    } else {
        (u32::from_le_bytes(*rest.split_off(..4)?.first_chunk()?) as usize, &[][..])
    };
    let heads = rest.split_off(..4 * count)?.as_chunks::<4>().0;
    if runs.is_empty() || count >= MIN_TOLD {
        rest.split_off(..4 * count)?;
    }
    let mut chunks = Vec::new();
    for (number, head) in heads.iter().enumerate() {
        let (key, last) = run_of(*head);
        let at = u32::try_from(length - rest.len()).ok()?;
        let has_runs = runs.get(number / 8).is_some_and(|bits| bits >> (number % 8) & 1 == 1);
        let form = if has_runs {
            let count = u16::from_le_bytes(*rest.first_chunk()?);
            rest.split_off(..2 + 4 * usize::from(count))?;
            Form::Runs(count)
        } else if usize::from(last) < MAX_NUMBERS {
            rest.split_off(..2 * (usize::from(last) + 1))?;
            Form::Numbers(last)
        } else {
            rest.split_off(..BITS_BYTES)?;
            Form::Bits
        };
        chunks.resize(usize::from(key), Chunk { at: 0, form: Form::Nothing });
        chunks.push(match form {
            _ if last == u16::MAX => Chunk { at, form: Form::All },
            Form::Runs(_) => Chunk { at: at + 2, form },
            _ => Chunk { at, form },
        });
    }
    Some(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the store keeps them.
    fn packed(numbers: impl IntoIterator<Item = u32>) -> RoaringBitmap {
        let mut bitmap: RoaringBitmap = numbers.into_iter().collect();
        bitmap.optimize();
        bitmap
    }

    #[test]
    fn each_number_is_held_that_the_bitmap_has_and_no_other() {
        const CHUNK: u32 = 1 << 16;
        let runs = |from: u32| (from..from + CHUNK).filter(|number| number % 1000 < 700);
        let bits = |from: u32| (from..from + CHUNK).filter(|number| number.wrapping_mul(0x9e37_79b1) % 10 < 7);
        let few = |from: u32| (from..from + CHUNK).filter(|number| number.wrapping_mul(0x9e37_79b1) % 1000 == 0);
        let all = |from: u32| from..from + CHUNK;
        for bitmap in [
            packed([]),
            packed([0]),
            packed([CHUNK - 1]),
            packed(1..CHUNK),
            packed(all(0)),
            packed(runs(0)),
            packed(bits(0)),
            packed(few(0)),
            packed(few(0)).into_iter().collect(),
            packed(few(3 * CHUNK).chain(all(5 * CHUNK))),
            packed(bits(CHUNK).chain(few(3 * CHUNK))),
            packed(bits(CHUNK).chain(runs(2 * CHUNK)).chain(few(4 * CHUNK)).chain(all(5 * CHUNK)).chain(bits(6 * CHUNK))),
        ] {
            let holdings = Holdings::from(&bitmap);
            for number in 0..8 * CHUNK {
                assert_eq!(holdings.contains(VersionNumber(number)), bitmap.contains(number), "{number} in {bitmap:?}");
            }
            assert!(!holdings.contains(VersionNumber(u32::MAX)));
            assert_eq!((holdings.len(), holdings.is_empty()), (bitmap.len(), bitmap.is_empty()));
            assert_eq!(holdings.to_bitmap(), bitmap);
        }
    }

    #[test]
    fn the_last_of_all_numbers_can_be_held() {
        let holdings = Holdings::from(&packed([7, u32::MAX]));
        assert!(holdings.contains(VersionNumber(u32::MAX)) && holdings.contains(VersionNumber(7)));
        assert!(!holdings.contains(VersionNumber(u32::MAX - 1)));
    }
}
