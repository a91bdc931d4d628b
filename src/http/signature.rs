//! Signed links to files that only the application tree has: `?expires=SECONDS&signature=HEX`.
//!
//! The signature is HMAC-SHA-256 (RFC 2104) over the decoded path with its leading slash and the prefix, a line feed, and the time
//! in seconds since 1970 until which the link is good, in digits. Whoever has the key can make links: the site's own application.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ring::hmac;

use crate::file;
use crate::model::{Prefix, TreePath};

/// Who gets files that only the application tree has.
#[derive(Debug, Clone, PartialEq)]
pub enum Access {
    /// Everyone.
    Open,
    /// Nobody.
    Deny,
    /// Who comes by a link that was signed with this key.
    Signed(Key),
}

/// What links are signed with.
#[derive(Clone)]
pub struct Key(hmac::Key);

/// Keys are equal that sign alike.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        hmac::verify(&other.0, b"", hmac::sign(&self.0, b"").as_ref()).is_ok()
    }
}

/// What the query of a link is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was signed for this path, and is still good.
    Good,
    /// It was signed for this path, and is good no longer.
    Expired,
    /// It was not signed, or for something else.
    Unsigned,
}

/// Why a key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("can't read the key {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A key that can be guessed, or a file that is none.
    #[error("the key {path} has {length} bytes; {SHORTEST} to {LONGEST} are a key (`openssl rand -hex 32` makes one)")]
    Length {
        /// The file.
        path: PathBuf,
        /// How many bytes it has, up to one more than can be.
        length: usize,
    },
}

/// A shorter one can be found by trying.
const SHORTEST: usize = 16;
/// A longer one is no stronger: the file is something else.
const LONGEST: usize = 4096;

impl Key {
    /// Reads a key: all that the file has, without line ends and blanks around it.
    ///
    /// # Errors
    /// When the file can't be read or is no key.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = file::read_start(path, LONGEST as u64 + 1).map_err(|error| Error::Read { path: path.to_owned(), error })?;
        let key = bytes.trim_ascii();
        if !(SHORTEST..=LONGEST).contains(&key.len()) {
            return Err(Error::Length { path: path.to_owned(), length: key.len() });
        }
        Ok(Self::new(key))
    }

    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The query that opens a path until some second since 1970.
    #[must_use]
    pub fn query(&self, prefix: &Prefix, path: &TreePath<'_>, expires: i64) -> String {
        let tag = hmac::sign(&self.0, &message(prefix, path, expires));
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("expires={expires}&signature={hex}")
    }

    /// Judges the query of a request for a path. How long that takes says nothing about the right signature.
    #[must_use]
    pub fn judge(&self, prefix: &Prefix, path: &TreePath<'_>, query: &str, now: Timestamp) -> Verdict {
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let expires = value("expires").filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let Some(expires) = expires.and_then(|text| text.parse::<i64>().ok()) else { return Verdict::Unsigned };
        let Some(tag) = value("signature").and_then(unhex) else { return Verdict::Unsigned };
        match hmac::verify(&self.0, &message(prefix, path, expires), &tag) {
            Ok(()) if now.as_second() < expires => Verdict::Good,
            Ok(()) => Verdict::Expired,
            Err(_) => Verdict::Unsigned,
        }
    }
}

/// The key itself is shown nowhere.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// What is signed. The last line has digits only, so no other path and time make the same.
fn message(prefix: &Prefix, path: &TreePath<'_>, expires: i64) -> Vec<u8> {
    let mut message = prefix.whole(path);
    message.extend_from_slice(format!("\n{expires}").as_bytes());
    message
}

/// The 32 bytes that 64 hexadecimal digits say.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath<'static> {
        TreePath::parse(text.as_bytes().to_vec()).expect("valid")
    }

    /// The same by `printf '/activities/4078/a b.xo\n1800000000' | openssl dgst -sha256 -hmac 0123456789abcdef`.
    #[test]
    fn other_programs_make_the_same_signature() {
        let prefix = Prefix::parse("/activities").expect("a prefix");
        let query = Key::new(b"0123456789abcdef").query(&prefix, &path("4078/a b.xo"), 1_800_000_000);
        assert_eq!(query, "expires=1800000000&signature=a7ebb3605ac8612e65f0c40c62042a35de60a9f449fcc8c4c465841b614cb64f");
    }

    #[test]
    fn a_link_opens_its_own_path_until_its_own_time() {
        let (key, prefix) = (Key::new(b"0123456789abcdef"), Prefix::parse("/activities").expect("a prefix"));
        let at = |second| Timestamp::from_second(second).expect("in range");
        let query = key.query(&prefix, &path("a.xo"), 1000);
        let (_, hex) = query.rsplit_once('=').expect("a signature");
        let turned = format!("signature={hex}&expires=1000&more=x");
        let upper = format!("expires=1000&signature={}", hex.to_uppercase());
        for (query, now, verdict) in [
            (query.as_str(), 999, Verdict::Good),
            (&turned, 999, Verdict::Good),
            (&upper, 999, Verdict::Good),
            (&query, 1000, Verdict::Expired),
            (&query.replace("1000", "2000"), 999, Verdict::Unsigned),
            (&query.replace("1000", "+1000"), 999, Verdict::Unsigned),
            (&query.replace("1000", "01000"), 999, Verdict::Good),
            (&query.replace("1000", "99999999999999999999"), 999, Verdict::Unsigned),
            (&query[..query.len() - 1], 999, Verdict::Unsigned),
            (&format!("{query}0"), 999, Verdict::Unsigned),
            (&format!("expires=1000&signature={}", "ü".repeat(32)), 999, Verdict::Unsigned),
            ("expires=1000", 999, Verdict::Unsigned),
            ("", 999, Verdict::Unsigned),
        ] {
            assert_eq!(key.judge(&prefix, &path("a.xo"), query, at(now)), verdict, "{query}");
        }
        assert_eq!(key.judge(&prefix, &path("b.xo"), &query, at(1)), Verdict::Unsigned);
        assert_eq!(key.judge(&Prefix::default(), &path("a.xo"), &query, at(1)), Verdict::Unsigned);
        assert_eq!(key.judge(&Prefix::default(), &path("activities/a.xo"), &query, at(1)), Verdict::Good, "the same address");
        assert_eq!(Key::new(b"another key of it").judge(&prefix, &path("a.xo"), &query, at(1)), Verdict::Unsigned);
    }

    #[test]
    fn a_key_file_is_told_from_other_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key");
        for (bytes, good) in
            [(&b"0123456789abcdef\n"[..], true), (b"0123456789abcde\n\n\n", false), (b"", false), (&[b'x'; 5000], false)]
        {
            crate::durable::write(&file, bytes).expect("written");
            assert_eq!(Key::read(&file).is_ok(), good, "{}", bytes.len());
        }
        assert!(Key::read(folder.path()).is_err() && Key::read(&folder.path().join("none")).is_err());
        assert!(Key::read(Path::new("/dev/zero")).is_err());
    }
}
