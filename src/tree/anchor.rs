//! A folder of the configuration that is kept open, and noticed when it goes away, comes back or is another one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, RawDir, fstatfs, openat};
use rustix::io::Errno;

use super::stat::{self, Identity};

/// Why nothing can be said about what lies in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// There is nothing at its path.
    Missing,
    /// What is at its path is no folder.
    NoFolder,
    /// There were files, and now there is an empty folder in its place: a mount point without its file system.
    Emptied,
    /// The file system does not answer as it should; its error number.
    Unreadable(i32),
    /// The file system does not answer at all, so far.
    Silent,
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the folder is missing"),
            Self::NoFolder => f.write_str("it is no folder"),
            Self::Emptied => f.write_str("the folder is empty where there were files; is its file system mounted?"),
            Self::Unreadable(errno) => write!(f, "the folder can't be opened: {}", std::io::Error::from_raw_os_error(*errno)),
            Self::Silent => f.write_str("the file system does not answer; is its file server there?"),
        }
    }
}

/// One folder. Readers take the handle without waiting; whoever refreshes swaps it.
#[derive(Debug)]
pub(super) struct Anchor {
    path: PathBuf,
    state: ArcSwap<State>,
    /// Whether there ever were files: then an empty folder in its place is not believed.
    peopled: AtomicBool,
}

#[derive(Debug)]
pub(super) enum State {
    Here(Opened),
    Away(Absence),
}

/// An open folder.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) handle: OwnedFd,
    pub(super) identity: Identity,
    pub(super) is_remote: bool,
}

impl Anchor {
    /// A folder that nobody has looked at yet.
    fn unseen(path: &Path) -> Self {
        // An absolute path, so that the targets of links can be compared with it; this one can't fail but for an empty path.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self { path, state: ArcSwap::from_pointee(State::Away(Absence::Silent)), peopled: AtomicBool::new(false) }
    }

    /// Opens folders, following links up to them. One that can't be opened is away, and so is, for as long as that lasts, one
    /// whose file system does not answer.
    pub(super) fn open_all(paths: &[&Path]) -> Vec<Arc<Self>> {
        let anchors: Vec<_> = paths.iter().map(|path| Arc::new(Self::unseen(path))).collect();
        look_in_time(&anchors, FIRST_LOOK, |anchor| _ = anchor.refresh());
        anchors
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn state(&self) -> Guard<Arc<State>> {
        self.state.load()
    }

    /// Looks again at what is at the path. True if it is not what it was.
    pub(super) fn refresh(&self) -> bool {
        let now = self.look_again(&self.state.load());
        now.is_some_and(|state| {
            self.state.store(Arc::new(state));
            true
        })
    }

    /// Whether the folder had files and is away.
    pub(super) fn is_lost(&self) -> bool {
        self.peopled.load(Ordering::Relaxed) && matches!(&**self.state.load(), State::Away(_))
    }

    /// Tells that files are known to belong here, from earlier runs: an empty folder is not believed from now on.
    pub(super) fn expect_files(&self) -> bool {
        self.peopled.store(true, Ordering::Relaxed);
        let is_empty = matches!(&**self.state.load(), State::Here(opened) if is_empty(&opened.handle) == Ok(true));
        if is_empty {
            self.state.store(Arc::new(State::Away(Absence::Emptied)));
        }
        is_empty
    }

    /// The new state, when it is another one.
    fn look_again(&self, old: &State) -> Option<State> {
        let new = match open(&self.path) {
            Ok(opened) if matches!(old, State::Here(current) if current.identity == opened.identity) => return None,
            Ok(opened) => self.believe(opened),
            Err(absence) => State::Away(absence),
        };
        match (old, &new) {
            (State::Away(before), State::Away(after)) if before == after => None,
            _ => Some(new),
        }
    }

    fn believe(&self, opened: Opened) -> State {
        match is_empty(&opened.handle) {
            Ok(true) if self.peopled.load(Ordering::Relaxed) => State::Away(Absence::Emptied),
            Ok(true) => State::Here(opened),
            // A folder that may be searched but not read serves files all the same.
            Ok(false) | Err(Errno::ACCESS) => {
                self.peopled.store(true, Ordering::Relaxed);
                State::Here(opened)
            }
            Err(errno) => State::Away(Absence::Unreadable(errno.raw_os_error())),
        }
    }
}

/// How long file systems may take to answer for the first time. A server that was just started may be this slow; nobody waits
/// longer for a start.
const FIRST_LOOK: Duration = Duration::from_secs(3);

/// Has a look taken at each folder, and waits until all are done or none of them was for as long as `bound`. A call into a file system that hangs can't be
/// taken back: its thread stays, and takes in the answer when it comes.
fn look_in_time(anchors: &[Arc<Anchor>], bound: Duration, look: impl Fn(&Anchor) + Clone + Send + 'static) {
    let (done, finished) = mpsc::channel();
    for anchor in anchors {
        let (own, look, done) = (Arc::clone(anchor), look.clone(), done.clone());
        let spawned = std::thread::Builder::new().name("first-look".to_owned()).spawn(move || {
            look(&own);
            done.send(()).ok();
        });
        if spawned.is_err() {
            anchor.refresh();
        }
    }
    drop(done);
    while finished.recv_timeout(bound).is_ok() {}
}

fn open(path: &Path) -> Result<Opened, Absence> {
    let absence = |errno| match errno {
        Errno::NOENT => Absence::Missing,
        Errno::NOTDIR => Absence::NoFolder,
        other => Absence::Unreadable(other.raw_os_error()),
    };
    let handle = openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(absence)?;
    let identity = stat::of(&handle).map_err(absence)?.identity;
    let is_remote = fstatfs(&handle).is_ok_and(|file_system| REMOTE.contains(&magic(file_system.f_type)));
    Ok(Opened { handle, identity, is_remote })
}

/// `f_type` is as wide as the machine's word; the numbers have 32 bits.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the upper half is sign extension at most")]
const fn magic(f_type: rustix::fs::FsWord) -> u32 {
    f_type as u32
}

/// File systems whose answers come over a network or from another process (statfs(2), linux/magic.h): NFS, SMB (three
/// clients), FUSE, 9p, AFS (two clients), Ceph, GFS2, OCFS2, Lustre, Coda, virtio-fs counts as FUSE.
const REMOTE: [u32; 12] = [
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x6573_5546,
    0x0102_1997,
    0x5346_414f,
    0x6b41_4653,
    0x00c3_6400,
    0x0116_1970,
    0x7461_636f,
    0x0bd0_0bd0,
];

/// Whether a directory has no entries.
pub(super) fn is_empty(directory: impl AsFd) -> Result<bool, Errno> {
    let readable = openat(directory, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = Vec::with_capacity(DIRENT_BYTES);
    let mut entries = RawDir::new(readable, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Enough for one entry with the longest name that Linux has, several times over.
const DIRENT_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::clock;

    fn absence(anchor: &Anchor) -> Option<Absence> {
        match &**anchor.state() {
            State::Here(_) => None,
            State::Away(absence) => Some(*absence),
        }
    }

    fn a_folder_with_a_file() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("tree")).expect("a tree");
        fs::File::create(folder.path().join("tree/file")).expect("a file");
        folder
    }

    fn anchor(path: &Path) -> Arc<Anchor> {
        Anchor::open_all(&[path]).pop().expect("as many as paths")
    }

    #[test]
    fn a_file_system_that_does_not_answer_is_away_until_it_does() {
        let folder = a_folder_with_a_file();
        let anchors = [folder.path().join("tree"), folder.path().to_owned()].map(|path| Arc::new(Anchor::unseen(&path)));
        let (answer, answers) = mpsc::channel::<()>();
        let answers = Arc::new(std::sync::Mutex::new(answers));
        let hangs = anchors[0].path().to_owned();
        look_in_time(&anchors, Duration::from_millis(100), move |anchor| {
            if anchor.path() == hangs {
                answers.lock().expect("one thread only").recv().ok();
            }
            anchor.refresh();
        });
        assert_eq!(absence(&anchors[0]), Some(Absence::Silent));
        answer.send(()).expect("it waits");
        let deadline = clock::instant() + Duration::from_secs(20);
        while anchors.iter().any(|anchor| absence(anchor).is_some()) {
            assert!(clock::instant() < deadline, "it is open soon after it answered, and the other one was all the time");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_missing_folder_is_away_until_it_comes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("tree");
        let anchor = anchor(&path);
        assert_eq!(absence(&anchor), Some(Absence::Missing));
        assert!(!anchor.refresh());
        fs::File::create(&path).expect("a file");
        assert!(anchor.refresh());
        assert_eq!(absence(&anchor), Some(Absence::NoFolder));
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("a folder");
        assert!(anchor.refresh());
        assert_eq!(absence(&anchor), None, "an empty folder that never had files is one to start with");
        assert!(!anchor.refresh());
    }

    #[test]
    fn a_folder_that_is_replaced_by_an_empty_one_is_away_until_the_files_are_back() {
        let folder = a_folder_with_a_file();
        let (path, aside) = (folder.path().join("tree"), folder.path().join("aside"));
        let anchor = anchor(&path);
        fs::rename(&path, &aside).expect("moved away");
        assert!(anchor.refresh());
        assert_eq!(absence(&anchor), Some(Absence::Missing));
        fs::create_dir(&path).expect("an empty mount point");
        assert!(anchor.refresh());
        assert_eq!(absence(&anchor), Some(Absence::Emptied));
        assert!(!anchor.refresh());
        fs::remove_dir(&path).expect("removed");
        fs::rename(&aside, &path).expect("back");
        assert!(anchor.refresh());
        assert_eq!(absence(&anchor), None);
    }

    #[test]
    fn a_folder_whose_last_file_was_deleted_is_still_there() {
        let folder = a_folder_with_a_file();
        let anchor = anchor(&folder.path().join("tree"));
        fs::remove_file(folder.path().join("tree/file")).expect("deleted");
        assert!(!anchor.refresh());
        assert_eq!(absence(&anchor), None);
    }

    #[test]
    fn an_empty_folder_is_not_believed_when_files_are_known_from_before() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let anchor = anchor(folder.path());
        assert!(anchor.expect_files());
        assert_eq!(absence(&anchor), Some(Absence::Emptied));
        assert!(!anchor.refresh());
        fs::File::create(folder.path().join("file")).expect("a file");
        assert!(anchor.refresh());
        assert_eq!(absence(&anchor), None);
        assert!(!anchor.expect_files());
    }
}
