//! File events (inotify(7)): which files and directories of a tree may have changed.
//!
//! A directory is watched by its handle, before it is read: so a walk misses nothing that changes after it. The kernel's
//! interface is used without a layer between, since those at hand ask for every `open` of every file as well, follow paths
//! instead of handles, and read a new directory before they watch it.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::mem::MaybeUninit;
use std::ops::Bound;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::model::TreePath;

/// The watched directories of one tree. Reading never waits.
#[derive(Debug)]
pub struct Watch {
    inotify: OwnedFd,
    watched: Mutex<Watched>,
}

/// What may have changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// A file, or a link, appeared, changed or vanished.
    File(TreePath<'static>),
    /// A directory appeared, changed or vanished: with all that is below it.
    Directory(TreePath<'static>),
    /// The file system that a directory lay on was unmounted.
    Unmounted(TreePath<'static>),
    /// Events were lost: everything may have changed.
    Lost,
}

/// Why a directory can't be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The kernel's limit.
    #[error(
        "no more directories can be watched after {watched}: the limit is used up; \
         raise it with \"sysctl fs.inotify.max_user_watches=...\" (and in /etc/sysctl.d/ for good)"
    )]
    Limit {
        /// How many are.
        watched: usize,
    },
    /// The kernel's limit on those who watch.
    #[error(
        "nothing can be watched: raise the limit with \"sysctl fs.inotify.max_user_instances=...\" (and in /etc/sysctl.d/ for good)"
    )]
    Instances,
    /// Anything else, like a system without `/proc`.
    #[error("can't watch a directory")]
    Other(#[source] io::Error),
}

/// Which watch is for which directory; one directory may be reached by several paths, by links. Both maps share the paths: there
/// may be millions.
#[derive(Debug, Default)]
struct Watched {
    paths: HashMap<i32, Vec<Arc<[u8]>>>,
    descriptors: BTreeMap<Arc<[u8]>, i32>,
}

/// All that changes a file or a directory's entries; not that files are read.
const CHANGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::EXCL_UNLINK)
    .union(WatchFlags::ONLYDIR);

/// Events that are taken at once: enough for bursts, and little enough that others get their turn.
const MAX_EVENTS: usize = 4096;

impl Watch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// When the kernel has no more of them.
    pub fn new() -> Result<Self, WatchError> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(|errno| match errno {
            Errno::MFILE => WatchError::Instances,
            other => WatchError::Other(other.into()),
        })?;
        Ok(Self { inotify, watched: Mutex::default() })
    }

    /// Watches a directory, which may be watched already.
    ///
    /// # Errors
    /// When the kernel's limit is reached, or it can't be watched at all.
    pub fn add(&self, path: &TreePath<'_>, directory: BorrowedFd<'_>) -> Result<(), WatchError> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        // By the handle, and not by a path that may lead elsewhere by now.
        let by_handle = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let descriptor = inotify::add_watch(&self.inotify, by_handle, CHANGES).map_err(|errno| match errno {
            Errno::NOSPC | Errno::NOMEM => WatchError::Limit { watched: watched.descriptors.len() },
            other => WatchError::Other(other.into()),
        })?;
        if let Some(abandoned) = watched.insert(path, descriptor) {
            self.remove(abandoned);
        }
        Ok(())
    }

    /// How many directories are watched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).descriptors.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The events that are there, at most some thousand; none if there are none.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn read(&self) -> io::Result<Vec<Event>> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = vec![MaybeUninit::uninit(); READ_BYTES];
        let mut reader = Reader::new(self.inotify.as_fd(), &mut buffer);
        let mut events = Vec::new();
        // What the reader has taken from the kernel must be looked at to the end.
        while events.len() < MAX_EVENTS || !reader.is_buffer_empty() {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(std::ffi::CStr::to_bytes);
                    for abandoned in watched.translate(event.wd(), event.events(), name, &mut events) {
                        self.remove(abandoned);
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(events)
    }

    /// Nothing is lost if the kernel has removed it already.
    fn remove(&self, descriptor: i32) {
        inotify::remove_watch(&self.inotify, descriptor).ok();
    }
}

/// Some hundred events at once.
const READ_BYTES: usize = 64 * 1024;

impl Watched {
    /// The descriptors that are of no use any more.
    fn insert(&mut self, path: &TreePath<'_>, descriptor: i32) -> Option<i32> {
        if self.descriptors.get(path.as_bytes()) == Some(&descriptor) {
            return None;
        }
        let key: Arc<[u8]> = path.as_bytes().into();
        let before = self.descriptors.insert(Arc::clone(&key), descriptor);
        // One path is the rule.
        self.paths.entry(descriptor).or_insert_with(|| Vec::with_capacity(1)).push(Arc::clone(&key));
        before.and_then(|before| self.detach(before, &key))
    }

    /// Takes one path from a descriptor; the descriptor, if that was the last.
    fn detach(&mut self, descriptor: i32, path: &[u8]) -> Option<i32> {
        let paths = self.paths.get_mut(&descriptor)?;
        paths.retain(|each| &**each != path);
        paths.is_empty().then(|| {
            self.paths.remove(&descriptor);
            descriptor
        })
    }

    /// Forgets a directory and those below it: they are gone, or called otherwise now.
    fn remove_within(&mut self, path: &TreePath<'_>) -> Vec<i32> {
        let top = path.as_bytes();
        let (from, to) = ([top, b"/"].concat(), [top, b"0"].concat()); // '0' is the character after '/'
        let below = self.descriptors.range::<[u8], _>((Bound::Included(&*from), Bound::Excluded(&*to)));
        let mut gone: Vec<Arc<[u8]>> = below.map(|(each, _)| Arc::clone(each)).collect();
        if self.descriptors.contains_key(top) {
            gone.push(top.into());
        }
        let mut abandoned = Vec::new();
        for each in gone {
            if let Some(descriptor) = self.descriptors.remove(&each) {
                abandoned.extend(self.detach(descriptor, &each));
            }
        }
        abandoned
    }

    /// Adds what an event means; returns the descriptors that are of no use any more.
    fn translate(&mut self, descriptor: i32, flags: ReadFlags, name: Option<&[u8]>, events: &mut Vec<Event>) -> Vec<i32> {
        if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            add(events, Event::Lost);
            return Vec::new();
        }
        if flags.contains(ReadFlags::IGNORED) {
            for path in self.paths.remove(&descriptor).unwrap_or_default() {
                if self.descriptors.get(&path) == Some(&descriptor) {
                    self.descriptors.remove(&path);
                }
            }
            return Vec::new();
        }
        let directories = self.paths.get(&descriptor).cloned().unwrap_or_default();
        let mut abandoned = Vec::new();
        for directory in directories.into_iter().filter_map(|path| TreePath::parse(path.to_vec()).ok()) {
            if flags.contains(ReadFlags::UNMOUNT) {
                add(events, Event::Unmounted(directory));
                continue;
            }
            let Some(Ok(path)) = name.map(|name| directory.join(name)) else { continue };
            if flags.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
                abandoned.extend(self.remove_within(&path));
            }
            add(events, if flags.contains(ReadFlags::ISDIR) { Event::Directory(path) } else { Event::File(path) });
        }
        abandoned
    }
}

/// Writing a file makes many events in a row that are all the same to us.
fn add(events: &mut Vec<Event>, event: Event) {
    if events.last() != Some(&event) {
        events.push(event);
    }
}
