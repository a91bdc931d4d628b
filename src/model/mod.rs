//! The nouns of the domain, as plain values: paths, versions, mirrors, places, quantities.
//!
//! Nothing here reads a file, a clock or a socket. Whatever comes from outside is parsed into one of these types
//! at the edge; a value that exists is valid and is not checked again.

pub mod ability;
pub mod country;
pub mod digest;
pub mod digests;
pub mod glob;
pub mod host;
pub mod mirror;
pub mod network;
pub mod path;
pub mod people;
pub mod place;
pub mod quantity;
pub mod question;
pub mod request_path;
pub mod version;
pub mod way;

pub use ability::{Abilities, Checkup, Ranges, Reached, Trust};
pub use country::{Continent, Country};
pub use digest::Sha256;
pub use digests::{Digests, Pieces, Signature, SignatureKind, Zsync};
pub use glob::{Glob, PathGlob, WordGlob};
pub use host::is_host;
pub use mirror::{Asking, BaseUrl, Health, Mirror, MirrorName, Only, Scheme};
pub use network::ClientNetwork;
pub use path::TreePath;
pub use place::{Direction, Place, Point, chord_squared_of_km};
pub use quantity::{ByteSize, Span};
pub use question::Question;
pub use request_path::{Prefix, RequestPath};
pub use version::{FileRecord, FileState, Fingerprint, VersionNumber};
pub use way::{Protocol, Scanning};
