//! The digests of what a reader gives, in one pass and in bounded memory.

use std::io::{self, ErrorKind, Read};
use std::ops::ControlFlow;

use super::crew::Crew;
use super::pass::Pass;
use super::pieces::{Sha256State, State};
use super::plan::Plan;
use crate::model::{Digests, Sha256};

/// Bytes that are read at once: enough that threads which share them are busy for some milliseconds, and between two of
/// them it can be told to stop.
const BUFFER_BYTES: usize = 4 << 20;
/// Bytes that one thread gives to one digest after the other: they stay in the cache of its core meanwhile.
const SLICE_BYTES: usize = 64 << 10;

/// All digests of what is to be read, and how many bytes that were; nothing if `go_on`, which is told how many bytes were
/// added, broke off. Whoever of the crew is idle helps.
///
/// # Errors
/// What the reader says.
pub fn describe(
    mut reader: impl Read + Send,
    plan: &Plan,
    crew: &Crew,
    mut go_on: impl FnMut(u64) -> ControlFlow<()>,
) -> io::Result<Option<(Digests, u64)>> {
    let room = usize::try_from(plan.size.saturating_add(1)).map_or(BUFFER_BYTES, |size| size.min(BUFFER_BYTES));
    let (mut front, mut back) = (vec![0; room], Vec::new());
    let mut pass = Pass::new(plan);
    let (mut filled, mut bytes) = (fill(&mut reader, &mut front)?, 0);
    loop {
        bytes += filled as u64;
        if go_on(filled as u64).is_break() {
            return Ok(None);
        }
        if filled < front.len() {
            pass.add(&front[..filled], SLICE_BYTES);
            return Ok(Some((pass.finish(bytes), bytes)));
        }
        let help = crew.borrow(pass.parts() - 1);
        if help.count() == 0 {
            pass.add(&front, SLICE_BYTES);
            filled = fill(&mut reader, &mut front)?;
        } else {
            back.resize(room, 0);
            filled = pass.share(&front, help.count() + 1, || fill(&mut reader, &mut back))?;
            std::mem::swap(&mut front, &mut back);
        }
    }
}

/// The SHA-256 of all that is to be read, and how many bytes that were; nothing if `go_on` broke off.
///
/// # Errors
/// What the reader says.
pub fn sha256(mut reader: impl Read, mut go_on: impl FnMut(u64) -> ControlFlow<()>) -> io::Result<Option<(Sha256, u64)>> {
    let mut buffer = vec![0; SLICE_BYTES * 4];
    let mut state = <Sha256State as State>::new();
    let mut bytes = 0;
    loop {
        let filled = fill(&mut reader, &mut buffer)?;
        bytes += filled as u64;
        if go_on(filled as u64).is_break() {
            return Ok(None);
        }
        State::update(&mut state, &buffer[..filled]);
        if filled < buffer.len() {
            return Ok(Some((Sha256(State::finish(state)), bytes)));
        }
    }
}

/// Reads until the buffer is full or nothing more comes, and tells how much it is.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use sha2::Digest as _;

    use super::*;
    use crate::hash::Settings;
    use crate::model::ByteSize;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn all(bytes: &[u8], settings: &Settings, crew: &Crew) -> Digests {
        let on = |_| ControlFlow::Continue(());
        let (digests, count) =
            describe(bytes, &settings.plan(bytes.len() as u64), crew, on).expect("readable").expect("not stopped");
        assert_eq!((count, digests.size, digests.is_sound()), (bytes.len() as u64, count, true));
        digests
    }

    #[test]
    fn digests_are_those_of_the_standards() {
        // RFC 1321 and FIPS 180-4, examples by NIST.
        let million = vec![b'a'; 1_000_000];
        for (text, md5, sha1, sha256, sha512) in [
            (
                &b""[..],
                "d41d8cd98f00b204e9800998ecf8427e",
                "da39a3ee5e6b4b0d3255bfef95601890afd80709",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
                 47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
            ),
            (
                b"abc",
                "900150983cd24fb0d6963f7d28e17f72",
                "a9993e364706816aba3e25717850c26c9cd0d89d",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
            (
                &million,
                "7707d6ae4e027c70eea2a935c2296f21",
                "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
                "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
                "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb\
                 de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b",
            ),
        ] {
            let digests = all(text, &Settings::default(), &Crew::alone());
            assert_eq!((hex(&digests.md5).as_str(), hex(&digests.sha1).as_str()), (md5, sha1));
            assert_eq!((digests.sha256.to_string().as_str(), hex(&digests.sha512).as_str()), (sha256, sha512));
            let alone = super::sha256(text, |_| ControlFlow::Continue(())).expect("readable");
            assert_eq!(alone, Some((digests.sha256, text.len() as u64)));
        }
    }

    #[test]
    fn pieces_end_where_they_should_however_many_help() {
        let settings =
            Settings { piece_length: ByteSize(16 << 10), zsync: true, zsync_min_size: ByteSize(0), ..Settings::default() };
        let long: Vec<u8> =
            (0..2 * BUFFER_BYTES as u32 + 70_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let edges = [0, 1, 2047, 2048, 2049, 16 << 10, (16 << 10) + 1, SLICE_BYTES, SLICE_BYTES + 1, BUFFER_BYTES - 1];
        let crew = Crew::new(8);
        for size in edges.into_iter().chain([BUFFER_BYTES, BUFFER_BYTES + 1, 2 * BUFFER_BYTES, long.len()]) {
            let bytes = &long[..size];
            let digests = all(bytes, &settings, &crew);
            assert_eq!(digests, all(bytes, &settings, &Crew::alone()), "{size}");
            let pieces: Vec<[u8; 20]> = bytes.chunks(16 << 10).map(|piece| sha1::Sha1::digest(piece).into()).collect();
            assert!(digests.pieces.sha1s().eq(&pieces), "{size}");
            let pieces: Vec<[u8; 32]> = bytes.chunks(16 << 10).map(|piece| sha2::Sha256::digest(piece).into()).collect();
            assert!(digests.pieces.sha256s().eq(&pieces), "{size}");
            assert_eq!(digests.md5, <[u8; 16]>::from(md5::Md5::digest(bytes)), "{size}");
        }
    }

    #[test]
    fn it_stops_between_two_buffers() {
        let mut rounds = 0;
        let mut after_three = |_| {
            rounds += 1;
            if rounds > 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        assert_eq!(super::sha256(io::repeat(0), &mut after_three).expect("readable"), None);
        let plan = Settings::default().plan(1 << 40);
        assert_eq!(describe(io::repeat(0), &plan, &Crew::alone(), after_three).expect("readable"), None);
    }

    #[test]
    fn what_the_reader_says_is_told() {
        struct Broken(usize);
        impl Read for Broken {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                match self.0 {
                    1 => Err(ErrorKind::Interrupted.into()),
                    2 => Ok(buffer.len()),
                    _ => Err(ErrorKind::TimedOut.into()),
                }
            }
        }
        for crew in [Crew::alone(), Crew::new(4)] {
            let plan = Settings::default().plan(1 << 40);
            let failed = describe(Broken(0), &plan, &crew, |_| ControlFlow::Continue(()));
            assert_eq!(failed.expect_err("it is broken").kind(), ErrorKind::TimedOut);
        }
    }
}
