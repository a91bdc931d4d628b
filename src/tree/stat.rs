//! What `statx` says, as the values that we work with.

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, statx};
use rustix::io::Errno;
use rustix::path::Arg;

use super::root::Kind;
use crate::model::Fingerprint;

/// What one `statx` tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stat {
    pub(super) shape: Shape,
    pub(super) fingerprint: Fingerprint,
    pub(super) identity: Identity,
    pub(super) links: u32,
}

/// What lies there, links and devices included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    File,
    Directory,
    Link,
    /// FIFO, socket, device: nothing that is handed out.
    Special,
}

impl Shape {
    /// The kind, when it is one that clients see.
    pub(super) const fn kind(self) -> Option<Kind> {
        match self {
            Self::File => Some(Kind::File),
            Self::Directory => Some(Kind::Directory),
            Self::Link | Self::Special => None,
        }
    }
}

impl From<FileType> for Shape {
    fn from(file_type: FileType) -> Self {
        match file_type {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Link,
            _ => Self::Special,
        }
    }
}

/// Which directory it is, whatever it is called; the mount tells a folder from itself after a remount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    pub(super) device: (u32, u32),
    pub(super) inode: u64,
    pub(super) mount: u64,
}

impl Identity {
    /// Whether both are the same directory, though perhaps seen through two mounts.
    pub(super) fn is_same_directory(&self, other: &Self) -> bool {
        self.device == other.device && self.inode == other.inode
    }
}

/// Looks at what a handle stands for.
pub(super) fn of(handle: impl AsFd) -> Result<Stat, Errno> {
    at(handle, "", AtFlags::EMPTY_PATH)
}

/// Looks at an entry of a directory. What `flags` don't forbid, links included, is followed by the kernel.
pub(super) fn at(directory: impl AsFd, name: impl Arg, flags: AtFlags) -> Result<Stat, Errno> {
    let seen = statx(directory, name, flags, StatxFlags::BASIC_STATS | StatxFlags::MNT_ID)?;
    Ok(Stat {
        shape: FileType::from_raw_mode(seen.stx_mode.into()).into(),
        fingerprint: fingerprint(&seen),
        identity: Identity {
            device: (seen.stx_dev_major, seen.stx_dev_minor),
            inode: seen.stx_ino,
            // Kernels before 5.8 don't tell; then the device and the inode have to do.
            mount: if seen.stx_mask & StatxFlags::MNT_ID.bits() == 0 { 0 } else { seen.stx_mnt_id },
        },
        links: seen.stx_nlink,
    })
}

fn fingerprint(seen: &Statx) -> Fingerprint {
    Fingerprint {
        size: seen.stx_size,
        mtime_ns: nanoseconds(seen.stx_mtime.tv_sec, seen.stx_mtime.tv_nsec),
        ctime_ns: nanoseconds(seen.stx_ctime.tv_sec, seen.stx_ctime.tv_nsec),
        inode: seen.stx_ino,
    }
}

/// Times beyond the years 1677 to 2262 count as the nearest of these: anyone can set an mtime to anything.
const fn nanoseconds(seconds: i64, nanoseconds: u32) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_times_do_not_overflow() {
        assert_eq!(nanoseconds(i64::MAX, 999_999_999), i64::MAX);
        assert_eq!(nanoseconds(i64::MIN, 0), i64::MIN);
        assert_eq!(nanoseconds(1, 5), 1_000_000_005);
        assert_eq!(nanoseconds(-1, 5), -999_999_995);
    }

    #[test]
    fn a_handle_and_a_name_tell_the_same() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::File::create(folder.path().join("a")).and_then(|file| file.set_len(7)).expect("a file");
        let handle = std::fs::File::open(folder.path()).expect("the folder");
        let by_name = at(&handle, "a", AtFlags::SYMLINK_NOFOLLOW).expect("it is there");
        let by_handle = of(std::fs::File::open(folder.path().join("a")).expect("the file")).expect("it is open");
        assert_eq!(by_name.fingerprint, by_handle.fingerprint);
        assert_eq!((by_name.shape, by_name.fingerprint.size), (Shape::File, 7));
        assert_eq!(of(&handle).expect("open").shape, Shape::Directory);
    }
}
