//! Reading parts of an open file: without waiting, where the kernel has them in memory, or on a thread that may wait.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use rustix::io::ReadWriteFlags;

use crate::tree::OpenFile;

/// How much of a file is held in memory for one client: 10,000 slow ones take 320 MB at the very most. The kernel's own pieces
/// take nothing.
pub(super) const CHUNK_BYTES: u64 = 32 * 1024;

pub(super) fn is_all(bytes: &[u8], piece: &Range<u64>) -> bool {
    bytes.len() as u64 == piece.end - piece.start
}

/// A buffer for a piece that is read.
fn buffer(piece: &Range<u64>) -> Vec<u8> {
    vec![0; usize::try_from((piece.end - piece.start).min(CHUNK_BYTES)).unwrap_or(0)]
}

/// Whether the kernel has a piece in memory, as far as its first and its last byte tell: files are read ahead in one go. A hole
/// between them, where memory is short, costs one wait for the disk.
pub(super) fn is_cached(file: &File, piece: &Range<u64>) -> bool {
    let has = |at: u64| {
        let read = rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut [0])], at, ReadWriteFlags::NOWAIT);
        read.is_ok_and(|read| read == 1)
    };
    has(piece.start) && has(piece.end.saturating_sub(1))
}

/// Reads a piece so that the kernel has it in memory.
pub(super) fn warm(file: &File, piece: &Range<u64>) -> io::Result<()> {
    let mut buffer = buffer(piece);
    let mut at = piece.start;
    while at < piece.end {
        at += read_into(file, &mut buffer, at)? as u64;
    }
    Ok(())
}

/// Reads what the kernel has in memory, without waiting for a disk; `None` where it would have to wait.
pub(super) fn read_cached(file: &File, piece: &Range<u64>) -> Option<Bytes> {
    let mut buffer = buffer(piece);
    match rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut buffer)], piece.start, ReadWriteFlags::NOWAIT) {
        Ok(read) if read > 0 => {
            buffer.truncate(read);
            Some(buffer.into())
        }
        // It would wait, the file system can't tell, or the file ends here: the other way finds out.
        Ok(_) | Err(_) => None,
    }
}

pub(super) fn read_at(file: &File, piece: &Range<u64>) -> io::Result<Bytes> {
    let mut buffer = buffer(piece);
    let read = read_into(file, &mut buffer, piece.start)?;
    buffer.truncate(read);
    Ok(buffer.into())
}

/// Reads at least one byte.
fn read_into(file: &File, buffer: &mut [u8], start: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, start) {
            Ok(0) => return Err(cut_short()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Whether the file is still what it was when it was opened. A new link or other rights are no matter.
pub(super) fn check_untouched(file: &OpenFile) -> io::Result<()> {
    let (was, is) = (file.fingerprint, file.fingerprint_now()?);
    if (was.size, was.mtime_ns) == (is.size, is.mtime_ns) {
        return Ok(());
    }
    Err(io::Error::other("the file was written to while it was sent"))
}

pub(super) fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file got shorter while it was sent")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_piece_that_is_not_in_memory_is_fetched_first() {
        let mut content = tempfile::tempfile().expect("a file");
        content.write_all(&[7; 100_000]).expect("written");
        warm(&content, &(0..100_000)).expect("read");
        assert!(is_cached(&content, &(0..100_000)));
        assert_eq!(warm(&content, &(0..100_001)).expect_err("too long").kind(), io::ErrorKind::UnexpectedEof);
    }
}
