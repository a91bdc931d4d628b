//! Stamps on redirects: a time and a digest of it with a secret, by which a mirror can tell that a client was sent by us.

use ring::hmac;
use serde::Deserialize;

use super::wishes::Settings;
use crate::file;

/// How stamps are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// `md5("EPOCH KEY")` in hexadecimal, as MirrorBrain makes them.
    #[default]
    Md5,
    /// `hmac-sha256(KEY, "EPOCH PATH")` in hexadecimal, where PATH is the part of the URL from its host's slash on, as it is sent.
    HmacSha256,
}

/// Makes stamps.
#[derive(Clone, PartialEq, Eq)]
pub struct Stamp {
    method: Method,
    key: Box<[u8]>,
}

impl std::fmt::Debug for Stamp {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stamp").field("method", &self.method).finish_non_exhaustive()
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("can't read the key for stamps in {path}")]
    File {
        /// The file.
        path: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The variable is not set.
    #[error("the environment has no variable {0} with the key for stamps")]
    Variable(String),
    /// There is nothing in it.
    #[error("the key for stamps is empty")]
    Empty,
    /// Longer than [`MAX_KEY_BYTES`].
    #[error("the key for stamps is longer than {MAX_KEY_BYTES} bytes")]
    TooLong,
}

/// A longer key makes no better stamps; a larger file is not the one that was meant.
pub const MAX_KEY_BYTES: usize = 4096;

impl Stamp {
    /// Takes a key. White space at its end is none of it: editors put a line's end there.
    ///
    /// # Errors
    /// When it is empty or far too long.
    pub fn new(method: Method, key: &[u8]) -> Result<Self, Error> {
        match key.trim_ascii_end() {
            [] => Err(Error::Empty),
            key if key.len() > MAX_KEY_BYTES => Err(Error::TooLong),
            key => Ok(Self { method, key: key.into() }),
        }
    }

    /// Fetches the key that the configuration names; none without one.
    ///
    /// # Errors
    /// When it can't be had.
    pub fn of(settings: &Settings) -> Result<Option<Self>, Error> {
        let key = match (&settings.stamp_key_file, &settings.stamp_key_variable) {
            (None, None) => return Ok(None),
            (Some(path), _) => file::read_start(path, MAX_KEY_BYTES as u64 + 2)
                .map_err(|source| Error::File { path: path.display().to_string(), source })?,
            (None, Some(name)) => std::env::var(name).map_err(|_| Error::Variable(name.clone()))?.into_bytes(),
        };
        Self::new(settings.stamp, &key).map(Some)
    }

    /// What is appended to a URL: `?time=EPOCH&stamp=DIGEST`. `path` is the URL from its host's slash on.
    #[must_use]
    pub fn query(&self, now: i64, path: &[u8]) -> String {
        let time = now.to_string();
        let digest = match self.method {
            Method::Md5 => hex(&fast_md5::digest(&[time.as_bytes(), b" ", &self.key].concat())),
            Method::HmacSha256 => {
                let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.key));
                [time.as_bytes(), b" ", path].into_iter().for_each(|part| signing.update(part));
                hex(signing.sign().as_ref())
            }
        };
        format!("?time={time}&stamp={digest}")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_what_mirrors_compute() {
        // printf '1700000000 secret' | md5sum
        let stamp = Stamp::new(Method::Md5, b"secret\n").expect("a key");
        assert_eq!(stamp.query(1_700_000_000, b"/a.iso"), "?time=1700000000&stamp=7520e7dec2be78f57db94409bcd608e3");
        // printf '1700000000 /a.iso' | openssl dgst -sha256 -hmac secret
        let stamp = Stamp::new(Method::HmacSha256, b"secret").expect("a key");
        let digest = "303a2114a5a2b115f7ce40df1ba3445ae41e8334eb42f1aefff875d532eeb682";
        assert_eq!(stamp.query(1_700_000_000, b"/a.iso"), format!("?time=1700000000&stamp={digest}"));
    }

    #[test]
    fn a_key_is_never_empty_and_never_shown() {
        assert!(matches!(Stamp::new(Method::Md5, b" \n"), Err(Error::Empty)));
        assert!(matches!(Stamp::new(Method::Md5, &[b'x'; 5000]), Err(Error::TooLong)));
        assert!(!format!("{:?}", Stamp::new(Method::Md5, b"secret").expect("a key")).contains("secret"));
        let missing = Settings { stamp_key_file: Some("/nowhere/key".into()), ..Settings::default() };
        assert!(matches!(Stamp::of(&missing), Err(Error::File { .. })));
        let device = Settings { stamp_key_file: Some("/dev/zero".into()), ..Settings::default() };
        assert!(matches!(Stamp::of(&device), Err(Error::File { .. })));
        assert!(Stamp::of(&Settings::default()).expect("none is wanted").is_none());
    }
}
