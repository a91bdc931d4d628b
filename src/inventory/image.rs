//! The image: a snapshot's files in one file beside the database, so that a start reads them in order and not row by row.
//!
//! It is no truth of its own. It names the commit of the database up to which it goes, and is used only by who finds that
//! very commit in the log, and can follow the log from there. Every part has a checksum; a file that is cut short, broken
//! or another database's is left alone, and the database is read instead. So it needs no sync.

use std::fs::{File, OpenOptions, remove_file, rename};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::filling::GROUPS;
use super::slot::Slot;
use super::store::Bookmark;
use super::table::{Digest, Shard};
use crate::file::beside;
use crate::model::VersionNumber;

/// What tells an image from other files, with the number of its format.
const MAGIC: [u8; 8] = *b"rdirimg2";
/// The longest head that is read: ten thousand newcomers with long paths fit.
const MAX_HEAD_BYTES: u64 = 64 << 20;

/// What stands at the beginning.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Head {
    /// The commit up to which it goes.
    pub(super) bookmark: Bookmark,
    /// The key of the paths' hashes.
    pub(super) key: (u64, u64),
    /// Whether SHA-256 are in it.
    pub(super) has_digests: bool,
    /// The newcomers' paths and versions: no path is kept elsewhere.
    pub(super) newcomers: Vec<(Vec<u8>, u32)>,
    /// Bytes of each group of shards, without its checksum.
    groups: Vec<u64>,
}

impl Head {
    pub(super) fn new(
        bookmark: Bookmark,
        key: (u64, u64),
        has_digests: bool,
        newcomers: Vec<(Vec<u8>, u32)>,
        shards: &[Arc<Shard>],
    ) -> Self {
        let bytes = |group: &[Arc<Shard>]| group.iter().map(|shard| shard.image_bytes()).sum();
        let groups = shards.chunks(shards.len().div_ceil(GROUPS).max(1)).map(bytes).collect();
        Self { bookmark, key, has_digests, newcomers, groups }
    }
}

/// An image that was found; only its head is read yet.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) head: Head,
    file: File,
    /// Where the first group begins.
    start: u64,
}

/// Why an image can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("it can't be read")]
    Read(#[from] io::Error),
    #[error("it is broken: {0}")]
    Broken(&'static str),
}

/// Where the image of a database lies.
pub(super) fn place(database: &Path) -> PathBuf {
    beside(database, "-image")
}

/// Where an image lies while it is being written.
fn place_of_next(image: &Path) -> PathBuf {
    beside(image, ".new")
}

/// Writes an image in the place of an older one: whole, or not at all. Another process that does the same is let go first.
pub(super) fn write(place: &Path, head: &Head, shards: &[Arc<Shard>], stop: &AtomicBool) -> io::Result<()> {
    let next = place_of_next(place);
    // The key must not be known to those who choose paths.
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&next)?;
    file.try_lock().map_err(io::Error::from)?;
    let written = file.set_len(0).and_then(|()| write_to(&file, head, shards, stop)).and_then(|()| rename(&next, place));
    written.inspect_err(|_| drop(remove_file(&next)))
}

/// Takes away what a process that was killed while it wrote has left.
pub(super) fn clean(place: &Path) {
    let next = place_of_next(place);
    if let Ok(file) = File::open(&next)
        && file.try_lock().is_ok()
    {
        drop(remove_file(&next));
    }
}

fn write_to(file: impl io::Write, head: &Head, shards: &[Arc<Shard>], stop: &AtomicBool) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    let text = serde_json::to_vec(head)?;
    out.write_all(&MAGIC)?;
    out.write_all(&(text.len() as u64).to_le_bytes())?;
    out.write_all(&text)?;
    out.write_all(&sum(&text).to_le_bytes())?;
    let mut bytes = Vec::new();
    for group in shards.chunks(shards.len().div_ceil(GROUPS).max(1)) {
        if stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        bytes.clear();
        group.iter().for_each(|shard| shard.write_image(&mut bytes));
        out.write_all(&bytes)?;
        out.write_all(&sum(&bytes).to_le_bytes())?;
    }
    out.flush()
}

/// Against bits that went wrong, not against people: who can write here can write to the database too.
fn sum(bytes: &[u8]) -> u64 {
    SipHasher13::new_with_keys(0x696d, 0x6167).hash(bytes)
}

impl Image {
    /// Opens an image, if there is one, and reads its head.
    pub(super) fn open(place: &Path) -> Result<Option<Self>, Unusable> {
        let file = match File::open(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut fixed = [0; 16];
        file.read_exact_at(&mut fixed, 0)?;
        let (magic, length) = fixed.split_at(8);
        if magic != MAGIC {
            return Err(Unusable::Broken("it does not begin like one"));
        }
        let length = u64::from_le_bytes(length.try_into().map_err(|_| Unusable::Broken("no length"))?);
        let whole = file.metadata()?.len();
        if length > MAX_HEAD_BYTES.min(whole) {
            return Err(Unusable::Broken("its head is too long"));
        }
        let mut buffer = buffer(length)?;
        let text = read_summed(&file, 16, length, &mut buffer)?;
        let head: Head = serde_json::from_slice(text).map_err(|_| Unusable::Broken("its head says nothing"))?;
        let start = 16 + length + 8;
        let end = head.groups.iter().try_fold(start, |at, bytes| at.checked_add(*bytes)?.checked_add(8));
        if end != Some(whole) {
            return Err(Unusable::Broken("it is not as long as it says"));
        }
        Ok(Some(Self { head, file, start }))
    }

    /// Reads all shards, with several threads, and tells the largest version number in them.
    pub(super) fn read(&self) -> Result<(Vec<Shard>, VersionNumber), Unusable> {
        let places = self.head.groups.iter().scan(self.start, |at, &bytes| {
            let start = *at;
            *at += bytes + 8;
            Some((start, bytes))
        });
        let places: Vec<(u64, u64)> = places.collect();
        let next = AtomicUsize::new(0);
        let longest = self.head.groups.iter().max().copied().unwrap_or(0);
        let work = || -> Result<Vec<(usize, Vec<Shard>)>, Unusable> {
            let mut read = Vec::new();
            // One for all: freed buffers between lists that stay would leave gaps that nothing fits into.
            let mut buffer = buffer(longest)?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(&(start, length)) = places.get(number) else { return Ok(read) };
                read.push((number, group(read_summed(&self.file, start, length, &mut buffer)?)?));
            }
        };
        let mut groups = std::thread::scope(|scope| -> Result<Vec<(usize, Vec<Shard>)>, Unusable> {
            let threads: Vec<_> = (1..THREADS).map(|_| scope.spawn(work)).collect();
            let mut groups = work()?;
            for thread in threads {
                groups.extend(thread.join().map_err(|_| Unusable::Broken("reading it failed inside"))??);
            }
            Ok(groups)
        })?;
        groups.sort_unstable_by_key(|(number, _)| *number);
        let shards: Vec<Shard> = groups.into_iter().flat_map(|(_, shards)| shards).collect();
        let newest = shards.iter().filter_map(Shard::newest).max().unwrap_or(VersionNumber(0));
        Ok((shards, newest))
    }
}

/// Readers at once: memory is no quicker with more.
const THREADS: usize = 4;

fn group(mut bytes: &[u8]) -> Result<Vec<Shard>, Unusable> {
    let mut shards = Vec::new();
    while !bytes.is_empty() {
        shards.push(Shard::read_image(&mut bytes).ok_or(Unusable::Broken("a list in it ends too early"))?);
    }
    Ok(shards)
}

const SUM_BYTES: usize = 8;

/// Room for so many bytes and their checksum.
fn buffer(length: u64) -> Result<Vec<u8>, Unusable> {
    let length = usize::try_from(length).ok().and_then(|length| length.checked_add(SUM_BYTES));
    Ok(vec![0; length.ok_or(Unusable::Broken("it is too large"))?])
}

/// Reads bytes with the checksum behind them into a buffer that has room for both.
fn read_summed<'b>(file: &File, start: u64, length: u64, buffer: &'b mut [u8]) -> Result<&'b [u8], Unusable> {
    let room = usize::try_from(length).ok().and_then(|length| buffer.get_mut(..length + SUM_BYTES));
    let room = room.ok_or(Unusable::Broken("it is too large"))?;
    file.read_exact_at(room, start)?;
    let (bytes, found) = room.split_at(room.len() - SUM_BYTES);
    if sum(bytes).to_le_bytes() == *found { Ok(bytes) } else { Err(Unusable::Broken("a checksum is wrong")) }
}

/// As bytes of an image: the number of files, whether there are digests, tags, slots, digests; all numbers little-endian.
impl Shard {
    const IMAGE_HEAD_BYTES: usize = 5;

    pub(super) fn image_bytes(&self) -> u64 {
        let row = size_of::<u64>() + size_of::<Slot>();
        (Self::IMAGE_HEAD_BYTES + self.tags.len() * row + self.digests.len() * size_of::<Digest>()) as u64
    }

    pub(super) fn write_image(&self, out: &mut Vec<u8>) {
        out.extend((self.tags.len() as u32).to_le_bytes());
        out.push(u8::from(!self.digests.is_empty()));
        self.tags.iter().for_each(|tag| out.extend(tag.to_le_bytes()));
        self.slots.iter().flat_map(|slot| slot.0).for_each(|word| out.extend(word.to_le_bytes()));
        self.digests.iter().for_each(|digest| out.extend(digest));
    }

    /// Takes a shard from the front; none where the bytes end too early.
    pub(super) fn read_image(bytes: &mut &[u8]) -> Option<Self> {
        let count = u32::from_le_bytes(*bytes.split_off(..4)?.as_array()?) as usize;
        let has_digests = *bytes.split_off_first()? != 0;
        let tags = words(bytes.split_off(..count.checked_mul(8)?)?).collect();
        let slots = bytes.split_off(..count.checked_mul(32)?)?.as_chunks::<32>().0.iter();
        let word = |slot: &[u8; 32], at: usize| words(&slot[at * 8..]).next().unwrap_or_default();
        let slots = slots.map(|slot| Slot(std::array::from_fn(|at| word(slot, at)))).collect();
        let digests = if has_digests { bytes.split_off(..count.checked_mul(32)?)? } else { &[] };
        Some(Self { tags, slots, digests: digests.as_chunks::<32>().0.into() })
    }

    /// The largest version number.
    pub(super) fn newest(&self) -> Option<VersionNumber> {
        self.slots.iter().map(|slot| slot.entry().version).max()
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::{Detail, FileEntry};
    use super::super::table::Table;
    use super::super::trail::Copies;
    use super::*;
    use crate::model::{FileState, Fingerprint, Sha256, TreePath};

    const KEY: (u64, u64) = (5, 6);
    const BOOKMARK: Bookmark = Bookmark { number: 7, mark: -8 };

    fn path(number: u32) -> TreePath<'static> {
        TreePath::parse(format!("dir/{number}").into_bytes()).expect("valid")
    }

    fn entry(number: u32) -> FileEntry {
        let fingerprint = Fingerprint { size: 9, mtime_ns: 1, ctime_ns: 2, inode: number.into() };
        let digest = (!number.is_multiple_of(3)).then_some(Sha256([7; 32]));
        FileEntry::new(VersionNumber(number), &fingerprint, Copies::from(0), 0, FileState::Settled, digest)
    }

    fn table(files: u32) -> Table {
        let table = Table::new(KEY, Detail::Full);
        table.apply((1..=files).map(|number| (path(number), Some(entry(number)))));
        table
    }

    fn written(place: &Path, table: &Table) {
        let shards = table.shards();
        let head = Head::new(BOOKMARK, KEY, true, vec![(b"dir/1".to_vec(), 1)], &shards);
        write(place, &head, &shards, &AtomicBool::new(false)).expect("is written");
    }

    #[test]
    fn a_table_comes_back_the_same() {
        let folder = tempfile::tempdir().expect("a folder for tests");
        let place = place(&folder.path().join("test.sqlite"));
        assert!(Image::open(&place).expect("is looked for").is_none());
        for files in [0, 3000] {
            written(&place, &table(files));
            let image = Image::open(&place).expect("opens").expect("is there");
            assert_eq!((image.head.bookmark, image.head.newcomers.len()), (BOOKMARK, 1));
            let (shards, newest) = image.read().expect("is read");
            let back = Table::new(KEY, Detail::Full);
            assert!(back.replace(shards));
            assert_eq!((back.len(), newest), (files.into(), VersionNumber(files)));
            assert!((1..=files).all(|number| back.get(&path(number)) == Some(entry(number))));
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("is read").count(), 1, "nothing else is left");
    }

    #[test]
    fn an_image_that_is_cut_or_has_a_wrong_bit_is_refused() {
        let folder = tempfile::tempdir().expect("a folder for tests");
        let place = folder.path().join("image");
        written(&place, &table(3000));
        let good = std::fs::read(&place).expect("is read");
        let is_refused = |bytes: &[u8]| {
            crate::durable::write(&place, bytes).expect("is written");
            Image::open(&place).and_then(|image| image.map(|image| image.read()).transpose()).is_err()
        };
        assert!(!is_refused(&good));
        for length in [0, 1, 15, 16, 100, good.len() / 2, good.len() - 1] {
            assert!(is_refused(&good[..length]), "cut at {length}");
        }
        assert!(is_refused(&[&good[..], b"x"].concat()), "too long");
        for at in (0..good.len()).step_by(997) {
            let mut bad = good.clone();
            bad[at] ^= 4;
            assert!(is_refused(&bad), "a wrong bit in byte {at}");
        }
    }

    #[test]
    fn a_write_that_fails_or_is_stopped_leaves_the_old_image() {
        let folder = tempfile::tempdir().expect("a folder for tests");
        let place = folder.path().join("image");
        written(&place, &table(10));
        let before = std::fs::read(&place).expect("is read");
        let shards = table(5000).shards();
        let head = Head::new(BOOKMARK, KEY, true, Vec::new(), &shards);
        write(&place, &head, &shards, &AtomicBool::new(true)).expect_err("it was stopped");
        let mut full = [0; 5000];
        write_to(&mut full[..], &head, &shards, &AtomicBool::new(false)).expect_err("there is no more room");
        let next = place_of_next(&place);
        let other = File::create(&next).expect("is made");
        other.try_lock().expect("is free");
        write(&place, &head, &shards, &AtomicBool::new(false)).expect_err("another process writes");
        clean(&place);
        assert!(next.exists(), "what another process writes is left alone");
        drop(other);
        clean(&place);
        assert!(!next.exists(), "what a killed process left is taken away");
        assert_eq!(std::fs::read(&place).expect("is read"), before);
    }
}
