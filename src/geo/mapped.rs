//! The bytes of a database: in memory, or in a file of our own that is mapped.
#![expect(unsafe_code, reason = "mapping a file is unsafe; here it is one that nobody else can change, see `map`")]

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// Where a database's bytes are.
pub(super) enum Bytes {
    /// In memory.
    Owned(Vec<u8>),
    /// In a nameless file of our own, of which the kernel keeps in memory what is used.
    Mapped(Mmap),
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

/// A file without a name, written by us: nobody else has it open, or can open it.
pub(super) struct Nameless(pub(super) File);

/// Maps a nameless file.
///
/// A mapping is only sound while nobody changes the file, and reading beyond the end of one that was cut short in place
/// (`cp`, `curl -o` over a database in use) kills the process with SIGBUS. So an operator's file is never mapped: a
/// nameless copy is, which nobody can write to or shorten. What it buys, over a copy in memory: with DB-IP City Lite (127 MB)
/// only the pages in use are resident, they are given back under memory pressure, and they count as the kernel's cache.
///
/// # Errors
/// What the kernel says.
pub(super) fn map(file: Nameless) -> io::Result<Bytes> {
    // SAFETY: the file has no name and its only handle was given to us and is closed below, so that nobody can
    // change or truncate it while it is mapped. Its blocks were all written, so there is no hole to fill on a full disk.
    let map = unsafe { Mmap::map(&file.0) }?;
    Ok(Bytes::Mapped(map))
}
