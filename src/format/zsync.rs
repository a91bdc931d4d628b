//! `.zsync`: block sums of a file, so that a client with an older copy fetches only what changed.
//!
//! A header of text lines, an empty line, then for each block the tail of its rolling sum and the head of its MD4, as
//! `zsyncmake` 0.6 writes them.

use jiff::fmt::rfc2822::DateTimePrinter;

use super::write::hex_text;
use super::{File, Missing};

pub(super) fn zsync(file: &File<'_>) -> Result<Vec<u8>, Missing> {
    let digests = file.digests()?;
    let zsync = digests.zsync.as_ref().ok_or(Missing::BlockSums)?;
    let mut out = b"zsync: 0.6.2\nFilename: ".to_vec();
    out.extend_from_slice(file.name());
    if let Ok(time) = DateTimePrinter::new().timestamp_to_rfc9110_string(&file.modified) {
        out.extend_from_slice(format!("\nMTime: {time}").as_bytes());
    }
    let lengths = format!("{},{},{}", zsync.sequence_matches, zsync.rsum_bytes, zsync.checksum_bytes);
    let sizes = format!("\nBlocksize: {}\nLength: {}\nHash-Lengths: {lengths}\n", zsync.block_size, digests.size);
    out.extend_from_slice(sizes.as_bytes());
    for url in file.urls() {
        out.extend_from_slice(format!("URL: {url}\n").as_bytes());
    }
    out.extend_from_slice(format!("SHA-1: {}\n\n", hex_text(&digests.sha1)).as_bytes());
    out.extend_from_slice(&zsync.sums);
    Ok(out)
}
