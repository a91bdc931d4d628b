//! Looking at what the trees have at a path. It may wait for the file system.

use crate::model::{Fingerprint, TreePath};
use crate::tree::{Kind, LookError, Root};

/// What the file system has at a path.
#[derive(Debug)]
pub enum Seen {
    /// A file of the public tree.
    Public(Fingerprint),
    /// A directory of the public tree.
    Directory,
    /// A file of the application tree.
    NotPublic,
    /// Nothing that clients see.
    Nothing,
    /// A tree is not there, so that nothing can be said.
    Away,
}

/// Looks at a path, in the public tree first. A request with a slash at its end means a directory, and no file.
#[must_use]
pub fn see(public: &Root, application: Option<&Root>, path: &TreePath<'_>, is_directory: bool) -> Seen {
    match (public.look(path), is_directory) {
        (Ok(look), false) if look.kind == Kind::File => return Seen::Public(look.fingerprint),
        (Ok(look), _) if look.kind == Kind::Directory => return Seen::Directory,
        // A file that is asked for with a slash at the end.
        (Ok(_), _) | (Err(LookError::Forbidden), _) => return Seen::Nothing,
        (Err(LookError::Away | LookError::Other(_)), _) => return Seen::Away,
        (Err(LookError::Absent), _) => {}
    }
    match application.map(|root| root.look(path)) {
        Some(Ok(look)) if look.kind == Kind::File && !is_directory => Seen::NotPublic,
        Some(Err(LookError::Away | LookError::Other(_))) => Seen::Away,
        _ => Seen::Nothing,
    }
}
