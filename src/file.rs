//! Files by their names: those that somebody names in a configuration, and our own beside them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

/// Opens a regular file for reading. Nobody waits for who would write to a pipe of that name; and as the open file itself is looked at,
/// nothing can take its place between a look and the opening.
///
/// # Errors
/// What the system says, or that it is no regular file.
pub fn open(path: &Path) -> io::Result<File> {
    // Nor does a terminal of that name become ours.
    let flags = OFlags::NONBLOCK.union(OFlags::NOCTTY).bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        // A socket, or a device that nothing stands behind.
        Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => return Err(no_regular_file()),
        opened => opened?,
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(no_regular_file()) }
}

/// What a regular file has, but no more than its first `most` bytes: who reads one that may have so many asks for one more.
///
/// # Errors
/// As [`open`], or that it can't be read.
pub fn read_start(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file that is there to be locked: processes agree by it whose turn it is. It is made where there is none.
///
/// # Errors
/// When it can be neither written nor read.
pub fn open_for_locks(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new().read(true).append(true).create(true).open(path);
    // Another user's will do: reading is enough for a lock.
    opened.or_else(|_| open(path))
}

/// The path of a file whose name has a suffix more.
#[must_use]
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn no_regular_file() -> io::Error {
    io::Error::other("it is no regular file")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_a_regular_file_is_read_and_nobody_waits_for_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        crate::durable::write(&at("file"), b"content").expect("written");
        std::os::unix::fs::symlink("file", at("link")).expect("made");
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0).expect("made");
        let _listener = UnixListener::bind(at("socket")).expect("made");
        for (name, expected) in [
            ("file", Ok(&b"content"[..])),
            ("link", Ok(b"content")),
            ("pipe", Err("it is no regular file")),
            ("socket", Err("it is no regular file")),
            ("", Err("it is no regular file")),
            ("/dev/zero", Err("it is no regular file")),
            ("/dev/tty", Err("it is no regular file")),
            ("none", Err("No such file or directory")),
        ] {
            let found = read_start(&at(name), 100).map_err(|error| error.to_string());
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{name}"),
                (Err(told), Err(expected)) => assert!(told.contains(expected), "{name}: {told}"),
                (found, _) => panic!("{name}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_lock_is_had_by_one_also_where_the_file_may_only_be_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = beside(&folder.path().join("a.sqlite"), "-lock");
        assert_eq!(path, folder.path().join("a.sqlite-lock"));
        let first = open_for_locks(&path).expect("is made");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).expect("it is ours");
        let second = open_for_locks(&path).expect("is opened");
        first.try_lock().expect("nobody has it");
        assert!(second.try_lock().is_err());
        drop(first);
        second.try_lock().expect("nobody has it any more");
        assert!(open_for_locks(&folder.path().join("none/lock")).is_err());
    }

    #[test]
    fn of_a_file_that_is_too_long_no_more_is_read_than_was_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        crate::durable::write(&path, b"content").expect("written");
        for (most, expected) in [(0, &b""[..]), (3, b"con"), (7, b"content"), (8, b"content")] {
            assert_eq!(read_start(&path, most).expect("is read"), expected);
        }
    }
}
