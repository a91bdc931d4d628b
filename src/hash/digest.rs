//! The digest of what a reader gives, in one pass and in bounded memory.

use std::io::{self, ErrorKind, Read};
use std::ops::ControlFlow;

use sha2::{Digest, Sha256 as State};

use crate::model::Sha256;

/// Bytes that are read at once. Larger ones gain nothing, and between two of them it can be told to stop.
const CHUNK_BYTES: usize = 256 * 1024;

/// The digest of all that is to be read, and how many bytes that were; nothing if `go_on` broke off.
///
/// # Errors
/// What the reader says.
pub fn sha256(mut reader: impl Read, mut go_on: impl FnMut() -> ControlFlow<()>) -> io::Result<Option<(Sha256, u64)>> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut state = State::new();
    let mut bytes = 0;
    loop {
        if go_on().is_break() {
            return Ok(None);
        }
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(Some((Sha256(state.finalize().into()), bytes))),
            Ok(count) => {
                state.update(&buffer[..count]);
                bytes += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> (String, u64) {
        let (digest, count) = sha256(bytes, || ControlFlow::Continue(())).expect("readable").expect("not stopped");
        (digest.to_string(), count)
    }

    #[test]
    fn digests_are_those_of_the_standard() {
        // FIPS 180-4, examples by NIST.
        for (text, digest) in [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
        ] {
            assert_eq!(of(text.as_bytes()), (digest.to_owned(), text.len() as u64));
        }
        let million = vec![b'a'; 1_000_000];
        assert_eq!(of(&million).0, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }

    #[test]
    fn it_stops_between_two_chunks() {
        let mut chunks = 0;
        let stopped = sha256(io::repeat(0), || {
            chunks += 1;
            if chunks > 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(stopped.expect("readable"), None);
    }
}
