//! What may wait for the file system: done on a thread that may wait, and given up when it takes too long.

use std::time::Duration;

use crate::model::{Fingerprint, TreePath};
use crate::tree::{Kind, LookError, Root};

/// How long the file system may take to say what is there; a remote one may never do so.
const MAX_WAIT: Duration = Duration::from_secs(10);

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

/// Does some work with the file system.
pub async fn wait<T: Away + Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::time::timeout(MAX_WAIT, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) | Err(_) => {
            tracing::warn!("the file system did not answer in time");
            T::away()
        }
    }
}

/// What can say that a tree is not there: that is what counts when the file system did not answer.
pub trait Away {
    /// That value.
    fn away() -> Self;
}

impl Away for Seen {
    fn away() -> Self {
        Self::Away
    }
}

impl<T> Away for Result<T, LookError> {
    fn away() -> Self {
        Err(LookError::Away)
    }
}
