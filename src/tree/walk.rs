//! Every file below a directory, one after the other: in bounded memory, without going in circles, and telling what could
//! not be read, so that nobody takes it for deleted.

use std::io;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, openat};
use rustix::io::Errno;

use super::hidden::Hidden;
use super::resolve::MAX_DEPTH;
use super::root::{DIRENTS_BYTES, Kind, LookError, Root};
use super::stat::{self, Identity, Shape};
use crate::model::{Fingerprint, TreePath};

/// Who is told what a walk comes by. Every answer may end the walk.
pub trait Visitor {
    /// A directory is about to be read: whatever changes in it from now on may be missed, unless it is watched.
    fn enter(&mut self, directory: &Directory<'_>) -> ControlFlow<()>;
    /// A file.
    fn file(&mut self, found: &Found<'_>) -> ControlFlow<()>;
    /// A directory was read whole, and nothing at all was in it.
    fn empty(&mut self, directory: &Directory<'_>) -> ControlFlow<()>;
    /// Something could not be looked at, or was left out.
    fn trouble(&mut self, path: &TreePath<'_>, trouble: Trouble) -> ControlFlow<()>;
}

/// A directory on the way.
#[derive(Debug)]
pub struct Directory<'a> {
    /// Where it is.
    pub path: &'a TreePath<'a>,
    /// The directory, open for reading.
    pub handle: BorrowedFd<'a>,
    /// Whether another file system is mounted here.
    pub is_mount_point: bool,
}

/// A file on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'a> {
    /// Where it is.
    pub path: TreePath<'a>,
    /// What the file system says about it; of a link, about the file where it ends.
    pub fingerprint: Fingerprint,
}

/// What a walk could not do.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// A directory or a file that the file system does not let us look at: nothing is known about it and what is below.
    #[error("it can't be read")]
    Unreadable(#[source] io::Error),
    /// A link that may not be followed; left out.
    #[error("it is a link that leads where none may")]
    Forbidden,
    /// A directory that contains itself, by a link; left out.
    #[error("it leads back to a directory above it")]
    Circle,
    /// Too many directories within each other, or directory links on one path; left out.
    #[error("it lies too deep")]
    TooDeep,
    /// A name in this directory that no URL can have; left out. The text is for people.
    #[error("it has the entry {0:?}, which no download can have")]
    BadName(String),
}

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was visited, but for what was told as trouble.
    Whole,
    /// The visitor ended it.
    Stopped,
}

/// Directory links on one path that are followed. Links that point at each other's directories make paths without end;
/// this keeps their number in bounds.
const MAX_DIRECTORY_LINKS: u8 = 4;

/// Walks through everything below a directory that is not hidden, depth first, directories in the order of their names. It blocks
/// as long as the file system does.
///
/// # Errors
/// When the directory where it starts can't be opened.
pub fn walk(root: &Root, below: &TreePath<'_>, hidden: &Hidden, visitor: &mut impl Visitor) -> Result<Outcome, LookError> {
    if hidden.matches_directory(below) {
        return Err(LookError::Absent);
    }
    let handle = root.open_directory(below)?;
    let identity = stat::of(&handle)?.identity;
    let mut walk = Walk {
        root,
        hidden,
        visitor,
        stack: Vec::new(),
        path: Vec::new(),
        entries: vec![MaybeUninit::uninit(); DIRENTS_BYTES],
    };
    let start = Frame { handle, identity, path: below.borrowed().into_owned(), directories: Vec::new(), links: 0 };
    let is_mount_point = root.is_mount_point(below);
    Ok(match walk.run(start, is_mount_point) {
        ControlFlow::Continue(()) => Outcome::Whole,
        ControlFlow::Break(()) => Outcome::Stopped,
    })
}

struct Walk<'a, V> {
    root: &'a Root,
    hidden: &'a Hidden,
    visitor: &'a mut V,
    /// From the directory where the walk started down to where it is.
    stack: Vec<Frame>,
    /// The path of the file at hand; kept to be written over.
    path: Vec<u8>,
    entries: Vec<MaybeUninit<u8>>,
}

/// A directory that was read, with those in it that are still to be visited.
struct Frame {
    handle: OwnedFd,
    identity: Identity,
    path: TreePath<'static>,
    directories: Vec<Below>,
    /// Directory links on the path to here.
    links: u8,
}

struct Below {
    name: Box<[u8]>,
    is_link: bool,
}

impl<V: Visitor> Walk<'_, V> {
    fn run(&mut self, start: Frame, is_mount_point: bool) -> ControlFlow<()> {
        self.visit(start, is_mount_point)?;
        while let Some(frame) = self.stack.last_mut() {
            match frame.directories.pop() {
                None => drop(self.stack.pop()),
                Some(below) => self.descend(&below)?,
            }
        }
        ControlFlow::Continue(())
    }

    fn descend(&mut self, below: &Below) -> ControlFlow<()> {
        let Some(above) = self.stack.last() else { return ControlFlow::Continue(()) };
        let Ok(path) = above.path.join(&below.name) else { return ControlFlow::Continue(()) };
        let links = above.links + u8::from(below.is_link);
        if self.stack.len() >= MAX_DEPTH || links > MAX_DIRECTORY_LINKS {
            return self.visitor.trouble(&path, Trouble::TooDeep);
        }
        let opened = open_below(self.root, above, below, &path).and_then(|handle| {
            let identity = stat::of(&handle)?.identity;
            Ok((handle, identity))
        });
        let (handle, identity) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.tell(&path, error),
        };
        if self.stack.iter().any(|frame| frame.identity.is_same_directory(&identity)) {
            return self.visitor.trouble(&path, Trouble::Circle);
        }
        let is_mount_point = !below.is_link && identity.device != above.identity.device;
        self.visit(Frame { handle, identity, path, directories: Vec::new(), links }, is_mount_point)
    }

    /// What could not be opened or looked at; what is not there any more is not worth a word.
    fn tell(&mut self, path: &TreePath<'_>, error: LookError) -> ControlFlow<()> {
        match error {
            LookError::Absent => ControlFlow::Continue(()),
            LookError::Forbidden => self.visitor.trouble(path, Trouble::Forbidden),
            LookError::Away => self.visitor.trouble(path, Trouble::Unreadable(Errno::STALE.into())),
            LookError::Other(error) => self.visitor.trouble(path, Trouble::Unreadable(error)),
        }
    }

    /// Reads a directory: tells its files, and keeps the directories in it for later.
    fn visit(&mut self, mut frame: Frame, is_mount_point: bool) -> ControlFlow<()> {
        self.visitor.enter(&Directory { path: &frame.path, handle: frame.handle.as_fd(), is_mount_point })?;
        let mut buffer = std::mem::take(&mut self.entries);
        let read = self.read(&mut frame, &mut buffer);
        self.entries = buffer;
        match read? {
            Ok(0) => {
                self.visitor.empty(&Directory { path: &frame.path, handle: frame.handle.as_fd(), is_mount_point })?;
            }
            Ok(_) => {}
            Err(errno) => self.visitor.trouble(&frame.path, Trouble::Unreadable(errno.into()))?,
        }
        self.stack.push(frame);
        ControlFlow::Continue(())
    }

    /// The number of entries, or why they can't be read.
    fn read(&mut self, frame: &mut Frame, buffer: &mut [MaybeUninit<u8>]) -> ControlFlow<(), Result<u64, Errno>> {
        let mut count = 0;
        let mut entries = RawDir::new(frame.handle.as_fd(), buffer);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(Errno::NOENT) => break, // it was deleted while it was read
                Err(errno) => return ControlFlow::Continue(Err(errno)),
            };
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            count += 1;
            let below = self.entry(frame.handle.as_fd(), &frame.path, name, entry.file_type())?;
            frame.directories.extend(below);
        }
        // Taken from the end. File systems list in any order; whoever writes down what is found writes to neighbouring places so.
        frame.directories.sort_unstable_by(|a, b| b.name.cmp(&a.name));
        ControlFlow::Continue(Ok(count))
    }

    fn entry(
        &mut self,
        directory: BorrowedFd<'_>,
        above: &TreePath<'_>,
        name: &[u8],
        file_type: rustix::fs::FileType,
    ) -> ControlFlow<(), Option<Below>> {
        let is_directory = file_type == rustix::fs::FileType::Directory;
        if if is_directory { self.hidden.is_directory_name_hidden(name) } else { self.hidden.is_name_hidden(name) } {
            return ControlFlow::Continue(None);
        }
        self.path.clear();
        self.path.extend_from_slice(above.as_bytes());
        if !above.is_root() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        let Ok(path) = TreePath::parse(&self.path[..]) else {
            let name = String::from_utf8_lossy(name).into_owned();
            self.visitor.trouble(above, Trouble::BadName(name))?;
            return ControlFlow::Continue(None);
        };
        let below = |is_link| ControlFlow::Continue(Some(Below { name: name.into(), is_link }));
        if is_directory {
            return below(false);
        }
        let seen = match stat::at(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(seen) => seen,
            Err(errno) => {
                let path = path.into_owned();
                self.tell(&path, errno.into())?;
                return ControlFlow::Continue(None);
            }
        };
        match seen.shape {
            Shape::File => self.visitor.file(&Found { path, fingerprint: seen.fingerprint })?,
            // A file system that does not tell the type in its directories.
            Shape::Directory if self.hidden.is_directory_name_hidden(name) => {}
            Shape::Directory => return below(false),
            Shape::Link => {
                let path = path.into_owned();
                match self.root.look(&path) {
                    Ok(look) if look.kind == Kind::File => {
                        self.visitor.file(&Found { path, fingerprint: look.fingerprint })?;
                    }
                    Ok(_) if self.hidden.is_directory_name_hidden(name) => {}
                    Ok(_) => return below(true),
                    Err(error) => self.tell(&path, error)?,
                }
            }
            Shape::Special => {}
        }
        ControlFlow::Continue(None)
    }
}

/// A directory by its parent's handle; a link to one by the tree's policy.
fn open_below(root: &Root, above: &Frame, below: &Below, path: &TreePath<'_>) -> Result<OwnedFd, LookError> {
    if below.is_link {
        return root.open_directory(path);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(&above.handle, &*below.name, flags, Mode::empty()) {
        // It has become a link meanwhile.
        Err(Errno::LOOP | Errno::NOTDIR) => root.open_directory(path),
        other => Ok(other?),
    }
}
