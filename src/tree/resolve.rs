//! From a folder's handle and a path to a handle of what lies there, so that nothing outside the allowed folders is ever opened.
//!
//! The kernel does it in one call (`openat2`) where no link leaves the folder. Else the path is walked here, component by
//! component, from handle to handle: what is checked is what is used, whoever renames or replaces things meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2, readlinkat};
use rustix::io::Errno;

use super::Symlinks;
use super::anchor::{Anchor, State};
use super::root::LookError;
use super::stat::{self, Identity, Shape, Stat};
use crate::model::TreePath;

/// Where links may lead.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) symlinks: Symlinks,
    /// The public tree, the application tree, the link roots.
    pub(super) anchors: Vec<Arc<Anchor>>,
}

/// What the handle is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum For {
    /// To look at it, whatever it is; nothing can be read by it.
    Looking,
    /// To read a file. What turns out to be none must not be read: it was opened without waiting for a writer (FIFO).
    Reading,
    /// To list a directory.
    Listing,
}

impl For {
    const fn flags(self) -> OFlags {
        let flags = match self {
            Self::Looking => OFlags::PATH,
            Self::Reading => OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY),
            Self::Listing => OFlags::RDONLY.union(OFlags::DIRECTORY),
        };
        flags.union(OFlags::CLOEXEC)
    }
}

/// Opens what lies at `path` below `start`.
pub(super) fn open(start: BorrowedFd<'_>, path: &TreePath<'_>, bounds: &Bounds, purpose: For) -> Result<OwnedFd, LookError> {
    match open_by_kernel(start, path, bounds.symlinks, purpose) {
        Ok(handle) => Ok(handle),
        // A link that leaves the folder, or one that the kernel would not follow; perhaps it ends well.
        Err(Errno::XDEV | Errno::LOOP) if bounds.symlinks == Symlinks::Inside => open_by_walk(start, path, bounds, purpose),
        // No `openat2` here, or something was renamed all the time.
        Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => open_by_walk(start, path, bounds, purpose),
        Err(errno) => Err(errno.into()),
    }
}

/// Set once the kernel (before 5.6) or a container's filter turned out to refuse `openat2`.
static NO_OPENAT2: AtomicBool = AtomicBool::new(false);

fn open_by_kernel(start: BorrowedFd<'_>, path: &TreePath<'_>, symlinks: Symlinks, purpose: For) -> Result<OwnedFd, Errno> {
    if NO_OPENAT2.load(Ordering::Relaxed) {
        return Err(Errno::NOSYS);
    }
    let bytes = if path.is_root() { &b"."[..] } else { path.as_bytes() };
    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    if symlinks == Symlinks::Deny {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    let mut tries = 0;
    loop {
        tries += 1;
        match openat2(start, bytes, purpose.flags(), Mode::empty(), resolve) {
            // The kernel could not rule out that a rename led it astray (openat2(2)).
            Err(Errno::AGAIN) if tries < MAX_TRIES => {}
            Err(Errno::INTR) if tries < MAX_TRIES => {}
            Err(refused @ (Errno::NOSYS | Errno::PERM)) => {
                NO_OPENAT2.store(true, Ordering::Relaxed);
                return Err(refused);
            }
            other => return other,
        }
    }
}

/// Renames that fall together with so many tries in a row don't happen by chance.
const MAX_TRIES: usize = 8;
/// As many links as Linux follows for one path (path_resolution(7)).
const MAX_LINKS: usize = 40;
/// Directories within each other on one path; each costs a handle while the path is walked.
pub const MAX_DEPTH: usize = 128;

fn open_by_walk(start: BorrowedFd<'_>, path: &TreePath<'_>, bounds: &Bounds, purpose: For) -> Result<OwnedFd, LookError> {
    let mut walk = Walk { bounds, stack: Vec::new(), ahead: Vec::new(), links: 0 };
    walk.restart(start, true)?;
    walk.push_ahead(path.as_bytes());
    let landed = walk.run()?;
    if !landed.is_inside {
        return Err(LookError::Forbidden);
    }
    let flags = purpose.flags() | OFlags::NOFOLLOW;
    match (purpose, landed.stat.shape) {
        (For::Looking, _) => Ok(landed.handle),
        (_, Shape::Directory) => Ok(openat(&landed.handle, ".", flags, Mode::empty())?),
        (For::Listing, _) => Err(LookError::Absent),
        // The directory is one inside, and the name in it is not followed if it has become a link.
        (For::Reading, Shape::File) => Ok(openat(&landed.parent, landed.name, flags, Mode::empty())?),
        (For::Reading, _) => Err(LookError::Absent),
    }
}

/// A walk under way.
struct Walk<'a> {
    bounds: &'a Bounds,
    /// The directories from where the walk (re)started down to where it is. Invariant: not empty while it runs.
    stack: Vec<Step>,
    /// The components that are still to be walked, the next one last.
    ahead: Vec<Vec<u8>>,
    links: usize,
}

struct Step {
    handle: OwnedFd,
    /// Whether it is one of the allowed folders or lies below one.
    is_inside: bool,
}

/// Where a walk ended.
struct Landed {
    handle: OwnedFd,
    stat: Stat,
    is_inside: bool,
    /// For what is no directory: where it lies and what it is called there.
    parent: OwnedFd,
    name: Vec<u8>,
}

impl Walk<'_> {
    fn run(mut self) -> Result<Landed, LookError> {
        while let Some(name) = self.ahead.pop() {
            match &name[..] {
                b"" | b"." => {}
                b".." => self.ascend()?,
                _ => {
                    let handle = self.step(&name)?;
                    let stat = stat::of(&handle)?;
                    match stat.shape {
                        Shape::Directory => self.descend(handle, &stat.identity)?,
                        Shape::Link => self.follow(&handle)?,
                        _ if self.ahead.is_empty() => return self.land(handle, stat, name),
                        _ => return Err(LookError::Absent),
                    }
                }
            }
        }
        let handle = again(self.top()?)?;
        let stat = stat::of(&handle)?;
        self.land(handle, stat, b".".to_vec())
    }

    fn step(&self, name: &[u8]) -> Result<OwnedFd, LookError> {
        match openat(self.top()?, name, STEP | OFlags::NOFOLLOW, Mode::empty()) {
            // What may not be passed out there need not be told from what may not be reached.
            Err(Errno::ACCESS) if !self.stack.last().is_some_and(|step| step.is_inside) => Err(LookError::Forbidden),
            other => Ok(other?),
        }
    }

    fn land(mut self, handle: OwnedFd, stat: Stat, name: Vec<u8>) -> Result<Landed, LookError> {
        let Step { handle: parent, is_inside } = self.stack.pop().ok_or(LookError::Forbidden)?;
        Ok(Landed { handle, stat, is_inside, parent, name })
    }

    fn top(&self) -> Result<BorrowedFd<'_>, LookError> {
        self.stack.last().map(|step| step.handle.as_fd()).ok_or(LookError::Forbidden)
    }

    fn restart(&mut self, directory: BorrowedFd<'_>, is_inside: bool) -> Result<(), LookError> {
        self.stack.clear();
        self.stack.push(Step { handle: again(directory)?, is_inside });
        Ok(())
    }

    fn descend(&mut self, handle: OwnedFd, identity: &Identity) -> Result<(), LookError> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(LookError::Forbidden);
        }
        let above = self.stack.last().is_some_and(|step| step.is_inside);
        self.stack.push(Step { handle, is_inside: above || self.bounds.contains(identity) });
        Ok(())
    }

    /// `..`: back to the handle that led here, or above where the walk started.
    fn ascend(&mut self) -> Result<(), LookError> {
        if self.stack.len() > 1 {
            self.stack.pop();
            return Ok(());
        }
        let above = chain_above(self.top()?)?;
        if above.is_empty() {
            return Ok(()); // the root of the file system is its own parent
        }
        self.stack.clear();
        for (handle, identity) in above {
            self.descend(handle, &identity)?;
        }
        Ok(())
    }

    fn follow(&mut self, link: &OwnedFd) -> Result<(), LookError> {
        self.links += 1;
        if self.bounds.symlinks == Symlinks::Deny || self.links > MAX_LINKS {
            return Err(LookError::Forbidden);
        }
        let target = readlinkat(link, "", Vec::new())?.into_bytes();
        let Some(mut rest) = target.strip_prefix(b"/").map(|_| &target[..]) else {
            self.push_ahead(&target);
            return Ok(());
        };
        match self.bounds.anchor_above(&target) {
            Some((anchor, below)) => {
                let State::Here(opened) = &**anchor.state() else { return Err(LookError::Away) };
                self.restart(opened.handle.as_fd(), true)?;
                rest = below;
            }
            None => {
                let top = openat(CWD, "/", STEP | OFlags::DIRECTORY, Mode::empty())?;
                let identity = stat::of(&top)?.identity;
                self.restart(top.as_fd(), self.bounds.contains(&identity))?;
            }
        }
        self.push_ahead(rest);
        Ok(())
    }

    /// Components of a path. A slash at the end asks for a directory, which the empty component remembers.
    fn push_ahead(&mut self, target: &[u8]) {
        self.ahead.extend(target.split(|&byte| byte == b'/').rev().map(<[u8]>::to_vec));
    }
}

const STEP: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// The same directory by another handle.
fn again(directory: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    openat(directory, ".", STEP | OFlags::DIRECTORY, Mode::empty())
}

/// The directories above one, from the top down to its parent.
fn chain_above(directory: BorrowedFd<'_>) -> Result<Vec<(OwnedFd, Identity)>, LookError> {
    let mut chain: Vec<(OwnedFd, Identity)> = Vec::new();
    let mut below = stat::of(directory)?.identity;
    loop {
        let from = chain.last().map_or(directory, |(handle, _)| handle.as_fd());
        let parent = openat(from, "..", STEP | OFlags::DIRECTORY, Mode::empty())?;
        let identity = stat::of(&parent)?.identity;
        if identity == below {
            break;
        }
        if chain.len() >= MAX_DEPTH {
            return Err(LookError::Forbidden);
        }
        below = identity;
        chain.push((parent, identity));
    }
    chain.reverse();
    Ok(chain)
}

impl Bounds {
    fn contains(&self, identity: &Identity) -> bool {
        self.anchors.iter().any(|anchor| match &**anchor.state() {
            State::Here(opened) => opened.identity.is_same_directory(identity),
            State::Away(_) => false,
        })
    }

    /// The allowed folder below which an absolute path leads by its letters, and the rest of the path: the walk may as well
    /// start there, since this folder's handle is where its path leads.
    fn anchor_above<'t>(&self, target: &'t [u8]) -> Option<(&Anchor, &'t [u8])> {
        self.anchors.iter().find_map(|anchor| {
            let rest = target.strip_prefix(anchor.path().as_os_str().as_encoded_bytes())?;
            matches!(rest, [] | [b'/', ..]).then_some((&**anchor, rest))
        })
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
