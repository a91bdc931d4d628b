//! What an entry of a listing is that comes by another protocol than HTTP.

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link: what it is here, the public tree tells.
    Link,
    /// A device, a pipe, a socket: something that nobody downloads.
    Other,
}
