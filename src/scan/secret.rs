//! Passwords: read from a file of their own when they are needed, shown to nobody.

use std::fmt;
use std::io;
use std::path::Path;

use crate::file;

/// A password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The file can't be read.
    #[error("can't read the password in {0}: {1}")]
    Unreadable(String, std::io::Error),
    /// The file holds something else.
    #[error("{0} holds no password: it needs one line, which is not empty")]
    Empty(String),
}

/// Longer than any password that people or programs make.
const MAX_BYTES: u64 = 1024;

impl Secret {
    /// Reads the first line of a file.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let shown = || path.display().to_string();
        let text = text(path).map_err(|error| Error::Unreadable(shown(), error))?;
        let line = text.lines().next().unwrap_or_default();
        let good = !line.is_empty() && !line.contains(char::is_control);
        if good { Ok(Self(line.to_owned())) } else { Err(Error::Empty(shown())) }
    }

    /// The password itself.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

fn text(path: &Path) -> io::Result<String> {
    // The error of the whole text has it in it.
    String::from_utf8(file::read_start(path, MAX_BYTES)?).map_err(|error| io::Error::other(error.utf8_error()))
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_file_is_the_password_and_is_not_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        let read = |text: &str| {
            crate::durable::write(&path, text.as_bytes()).expect("written");
            Secret::read(&path)
        };
        let secret = read("se cret\r\nsecond\n").expect("a password");
        assert_eq!((secret.reveal(), format!("{secret:?}").as_str()), ("se cret", "Secret(..)"));
        assert!(matches!(read("\nsecond"), Err(Error::Empty(_))));
        assert!(matches!(Secret::read(&folder.path().join("none")), Err(Error::Unreadable(..))));
        let pipe = folder.path().join("pipe");
        let made = rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0);
        made.expect("made");
        assert!(matches!(Secret::read(&pipe), Err(Error::Unreadable(..))), "nobody waits for who would write to it");
    }
}
