//! A tree: a folder that is opened once, below which files are looked at, opened and listed.

use std::collections::BinaryHeap;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::Arc;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, RawDir};
use rustix::io::Errno;

use super::anchor::{Absence, Anchor, Opened, State};
use super::resolve::{self, Bounds, For};
use super::stat::{self, Shape};
use crate::model::{Fingerprint, TreePath};

/// A folder, open. Cheap to clone; clones see the same folder, also after it was re-opened.
#[derive(Debug, Clone)]
pub struct Root {
    pub(super) anchor: Arc<Anchor>,
    pub(super) bounds: Arc<Bounds>,
}

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// File or directory.
    pub kind: Kind,
    /// What the file system says about it.
    pub fingerprint: Fingerprint,
}

/// What can lie at a path that clients see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file, or a link to one that may be followed.
    File,
    /// A directory, or a link to one that may be followed.
    Directory,
}

/// What a glance at a file tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glance {
    /// There is a file.
    File(Fingerprint),
    /// There is none, or it can't be told.
    NoFile,
    /// The folder is not there.
    Away,
    /// A remote file system might let us wait; nothing was looked at.
    Remote,
}

/// A file, open for reading, as it was in the moment when it was opened.
#[derive(Debug)]
pub struct OpenFile {
    /// The file.
    pub file: File,
    /// What its handle says about it.
    pub fingerprint: Fingerprint,
    /// Whether it comes from another machine, so that whatever is done with it may take its time.
    pub is_remote: bool,
}

impl OpenFile {
    /// What the handle says about the file now: the same as before if nobody wrote to it meanwhile.
    ///
    /// # Errors
    /// What the file system says.
    pub fn fingerprint_now(&self) -> io::Result<Fingerprint> {
        Ok(stat::of(&self.file)?.fingerprint)
    }
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name: one segment, good for a [`TreePath`].
    pub name: Vec<u8>,
    /// File or directory.
    pub kind: Kind,
    /// Bytes; of a directory, nothing to rely on.
    pub size: u64,
    /// When it was last written, in nanoseconds since 1970.
    pub mtime_ns: i64,
}

/// Why nothing could be looked at or opened.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// There is nothing, or nothing that clients see (FIFO, socket, device).
    #[error("there is no such file")]
    Absent,
    /// A link that may not be followed.
    #[error("a link on the path leads where none may")]
    Forbidden,
    /// The tree is not there: nothing is known about any file.
    #[error("the tree is not there")]
    Away,
    /// The file system failed, or denies access.
    #[error("the file system fails")]
    Other(#[source] io::Error),
}

impl From<Errno> for LookError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => Self::Absent,
            Errno::LOOP | Errno::XDEV => Self::Forbidden,
            other => Self::Other(other.into()),
        }
    }
}

impl Root {
    /// Where the configuration says that the folder is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.anchor.path()
    }

    /// Looks at what lies at a path.
    ///
    /// # Errors
    /// When there is nothing that clients may see, or that can't be told.
    pub fn look(&self, path: &TreePath<'_>) -> Result<Look, LookError> {
        let handle = self.open(path, For::Looking)?;
        let seen = stat::of(&handle)?;
        let kind = seen.shape.kind().ok_or(LookError::Absent)?;
        Ok(Look { kind, fingerprint: seen.fingerprint })
    }

    /// The fingerprint of a file, by one call to the kernel: only to compare it with one that is known. Links are followed
    /// wherever they lead; nothing is opened, and nothing but equality may be concluded.
    #[must_use]
    pub fn glance(&self, path: &TreePath<'_>) -> Glance {
        let state = self.anchor.state();
        let State::Here(opened) = &**state else { return Glance::Away };
        if opened.is_remote {
            return Glance::Remote;
        }
        match stat::at(&opened.handle, path.as_bytes(), AtFlags::empty()) {
            Ok(seen) if seen.shape == Shape::File => Glance::File(seen.fingerprint),
            _ => Glance::NoFile,
        }
    }

    /// Whether there is nothing of this name, as far as one call to the kernel tells that without waiting for a server.
    #[must_use]
    pub fn lacks_at_a_glance(&self, path: &TreePath<'_>) -> bool {
        let state = self.anchor.state();
        let State::Here(opened) = &**state else { return false };
        let seen = || stat::at(&opened.handle, path.as_bytes(), AtFlags::empty());
        !opened.is_remote && seen().is_err_and(|errno| matches!(errno, Errno::NOENT | Errno::NAMETOOLONG))
    }

    /// Opens a file for reading. It never waits for a writer, and never gives anything but a regular file.
    ///
    /// # Errors
    /// When there is no file that clients may see, or it can't be opened.
    pub fn open_file(&self, path: &TreePath<'_>) -> Result<OpenFile, LookError> {
        let handle = self.open(path, For::Reading)?;
        let seen = stat::of(&handle)?;
        if seen.shape != Shape::File {
            return Err(LookError::Absent);
        }
        Ok(OpenFile { file: File::from(handle), fingerprint: seen.fingerprint, is_remote: self.is_remote() })
    }

    /// The entries of a directory that clients could see and whose path is `wanted`, in the order of their names: the first
    /// `limit` of them, whatever order the file system has.
    ///
    /// # Errors
    /// When there is no such directory, or it can't be read.
    pub fn list(
        &self,
        path: &TreePath<'_>,
        limit: usize,
        wanted: impl Fn(&TreePath<'_>) -> bool,
    ) -> Result<Vec<Item>, LookError> {
        let directory = self.open(path, For::Listing)?;
        let mut buffer = vec![MaybeUninit::uninit(); DIRENTS_BYTES];
        let mut entries = RawDir::new(&directory, &mut buffer);
        // The last of the first is on top, to make room for one that comes before it.
        let mut first = BinaryHeap::new();
        while let Some(entry) = entries.next() {
            let Ok(full) = path.join(entry?.file_name().to_bytes()) else { continue };
            let is_among_first = first.len() < limit || first.peek().is_some_and(|last| full < *last);
            if is_among_first && wanted(&full) {
                first.push(full);
                if first.len() > limit {
                    first.pop();
                }
            }
        }
        Ok(first.into_sorted_vec().iter().filter_map(|full| self.item(&directory, full)).collect())
    }

    /// An entry, or nothing for what vanished meanwhile, is no file or directory, or is a link that leads nowhere.
    fn item(&self, directory: &OwnedFd, path: &TreePath<'_>) -> Option<Item> {
        let seen = stat::at(directory, path.name(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let (kind, fingerprint) = match seen.shape {
            Shape::Link => self.look(path).map(|look| (look.kind, look.fingerprint)).ok()?,
            shape => (shape.kind()?, seen.fingerprint),
        };
        Some(Item { name: path.name().to_vec(), kind, size: fingerprint.size, mtime_ns: fingerprint.mtime_ns })
    }

    /// Whether the folder is not there, so that nothing can be said about any file.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.absence().is_some()
    }

    /// Why the folder is not there.
    #[must_use]
    pub fn absence(&self) -> Option<Absence> {
        match &**self.anchor.state() {
            State::Here(_) => None,
            State::Away(absence) => Some(*absence),
        }
    }

    /// Looks again whether the folder is there and is the same one, and re-opens it if not. True if it is not what it was.
    /// It asks the file system, which may take its time.
    pub fn refresh(&self) -> bool {
        self.anchor.refresh()
    }

    /// Tells that files are known to belong here: an empty folder is taken for a missing mount from now on. True if that
    /// made it away.
    pub fn expect_files(&self) -> bool {
        self.anchor.expect_files()
    }

    /// Whether the file system is a remote one (NFS and the like): then file events tell of local changes only, and a look
    /// at a file may wait for another machine.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        matches!(&**self.anchor.state(), State::Here(opened) if opened.is_remote)
    }

    /// Whether a file system is mounted at a directory: false also if there is no such directory.
    #[must_use]
    pub fn is_mount_point(&self, path: &TreePath<'_>) -> bool {
        let device = |path: &TreePath<'_>| {
            let handle = self.open(path, For::Looking).ok()?;
            stat::of(&handle).ok().map(|seen| seen.identity.device)
        };
        match path.parent() {
            None => false,
            Some(parent) => device(path).is_some_and(|own| device(&parent).is_some_and(|above| own != above)),
        }
    }

    /// A mark of the folder that is open now, to find out later whether it was re-opened or went away.
    #[must_use]
    pub fn visit(&self) -> Visit {
        Visit(self.anchor.state().clone())
    }

    /// Whether nothing happened to the folder since the mark was taken.
    #[must_use]
    pub fn is_still(&self, visit: &Visit) -> bool {
        matches!(&*visit.0, State::Here(_)) && Arc::ptr_eq(&visit.0, &self.anchor.state())
    }

    pub(super) fn open_directory(&self, path: &TreePath<'_>) -> Result<OwnedFd, LookError> {
        self.open(path, For::Listing)
    }

    fn open(&self, path: &TreePath<'_>, purpose: For) -> Result<OwnedFd, LookError> {
        let state = self.anchor.state();
        let State::Here(opened) = &**state else { return Err(LookError::Away) };
        match resolve::open(opened.handle.as_fd(), path, &self.bounds, purpose) {
            Err(LookError::Absent) if is_deleted(opened) => Err(LookError::Away),
            other => other,
        }
    }
}

/// A mark of a folder as it was: open, or away.
#[derive(Debug, Clone)]
pub struct Visit(Arc<State>);

impl PartialEq for Visit {
    /// Whether nothing happened to the folder between both.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Whether the folder itself was deleted, so that nothing is in it whatever its successor has.
fn is_deleted(opened: &Opened) -> bool {
    stat::of(&opened.handle).is_ok_and(|seen| seen.links == 0)
}

/// The kernel gives as many entries at once as fit: several hundred.
pub(super) const DIRENTS_BYTES: usize = 32 * 1024;
