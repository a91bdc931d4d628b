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
}

/// Looks at a path, in the public tree first. A request with a slash at its end means a directory, and no file.
///
/// # Errors
///
/// [`LookError::Away`] and [`LookError::Other`]: nothing can be said.
pub fn see(public: &Root, application: Option<&Root>, path: &TreePath<'_>, is_directory: bool) -> Result<Seen, LookError> {
    match (public.look(path), is_directory) {
        (Ok(look), false) if look.kind == Kind::File => return Ok(Seen::Public(look.fingerprint)),
        (Ok(look), _) if look.kind == Kind::Directory => return Ok(Seen::Directory),
        // A file that is asked for with a slash at the end.
        (Ok(_), _) | (Err(LookError::Forbidden), _) => return Ok(Seen::Nothing),
        (Err(error @ (LookError::Away | LookError::Other(_))), _) => return Err(error),
        (Err(LookError::Absent), _) => {}
    }
    match application.map(|root| root.look(path)) {
        Some(Ok(look)) if look.kind == Kind::File && !is_directory => Ok(Seen::NotPublic),
        Some(Err(error @ (LookError::Away | LookError::Other(_)))) => Err(error),
        _ => Ok(Seen::Nothing),
    }
}
