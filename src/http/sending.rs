//! Files that are being sent: each is open once, however many clients take it. A process may open a limited number of files.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::model::TreePath;
use crate::tree::OpenFile;

/// The files of one tree that are being sent, by their paths.
#[derive(Debug, Default)]
pub struct Sending(Mutex<Files>);

#[derive(Debug, Default)]
struct Files {
    open: HashMap<TreePath<'static>, Weak<OpenFile>>,
    /// How many there may be before those are looked for that nobody takes any more.
    room: usize,
}

/// The least number of files that are worth a search.
const MIN_ROOM: usize = 64;

impl Sending {
    /// The file as someone else has it open already, if it is the very same; else it is what others will get.
    #[must_use]
    pub fn share(&self, path: &TreePath<'_>, opened: OpenFile) -> Arc<OpenFile> {
        // Nobody who holds the lock can panic.
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = files.open.get(path).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.fingerprint == opened.fingerprint) {
            return known;
        }
        if files.open.len() >= files.room {
            files.open.retain(|_, file| file.strong_count() > 0);
            files.room = (2 * files.open.len()).max(MIN_ROOM);
        }
        let opened = Arc::new(opened);
        files.open.insert(path.clone().into_owned(), Arc::downgrade(&opened));
        opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Fingerprint;

    fn opened(inode: u64) -> OpenFile {
        let file = tempfile::tempfile().expect("a file");
        OpenFile { file, fingerprint: Fingerprint { size: 1, mtime_ns: 2, ctime_ns: 3, inode }, is_remote: false }
    }

    fn path(name: &str) -> TreePath<'static> {
        TreePath::parse(name.as_bytes().to_vec()).expect("a path")
    }

    #[test]
    fn the_same_file_is_shared_and_one_that_took_its_place_is_not() {
        let sending = Sending::default();
        let first = sending.share(&path("a"), opened(1));
        assert!(Arc::ptr_eq(&first, &sending.share(&path("a"), opened(1))));
        assert!(!Arc::ptr_eq(&first, &sending.share(&path("b"), opened(1))));
        let second = sending.share(&path("a"), opened(2));
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &sending.share(&path("a"), opened(2))));
    }

    #[test]
    fn what_nobody_takes_any_more_is_forgotten() {
        let sending = Sending::default();
        for number in 0..10 * MIN_ROOM {
            drop(sending.share(&path(&number.to_string()), opened(1)));
        }
        assert!(sending.0.lock().expect("no panic").open.len() <= MIN_ROOM);
    }
}
