//! What describes a file: links to all its mirrors, digests, torrents and so on, each rendered from one value.
//!
//! [`Kind`] has the one table: suffix and query argument, media type, renderer. Everything here is pure: who asks finds out
//! what is known of the file and which mirrors may serve it, best first.

pub mod checksum;
mod magnet;
mod metalink;
pub mod mirrorlist;
mod settings;
mod torrent;
mod write;
mod xml;
mod zsync;

use jiff::Timestamp;

use crate::model::digests::{Digests, Signature};
use crate::model::{Country, Point, TreePath};

pub use settings::{Node, Settings, TorrentInfo};

/// A file, and all that its descriptions tell of it.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Where it is below the tree's root; what it is called is the last segment.
    pub path: &'a TreePath<'a>,
    /// The path as [`encoded`] has it: what stands behind a base URL.
    pub encoded: &'a str,
    /// Bytes.
    pub size: u64,
    /// When its content was last written.
    pub modified: Timestamp,
    /// When it became public, as far as that is known.
    pub published: Timestamp,
    /// Its digests, once they are known.
    pub digests: Option<&'a Digests>,
    /// Its detached signature.
    pub signature: Option<&'a Signature>,
    /// Where it can be had, best first; this site itself where no mirror may be used.
    pub sources: &'a [Source<'a>],
    /// The base URL of this site's own tree, with a slash at its end.
    pub base: &'a str,
    /// What the configuration adds.
    pub settings: &'a Settings,
    /// Whether a line with a digest comes with the file's name.
    pub naming: Naming,
}

/// Somewhere to get the file from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The base URL, with a slash at its end.
    pub base: &'a str,
    /// What the mirror is called.
    pub name: &'a str,
    /// Who runs it.
    pub operator: Option<&'a str>,
    /// Its country.
    pub country: Option<Country>,
    /// Where it is, as well as is known.
    pub point: Option<Point>,
    /// How it is related to the client, in one word.
    pub class: &'static str,
    /// Kilometres from the client.
    pub distance_km: Option<f64>,
}

/// Whether a line with a digest comes with the file's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Naming {
    /// `DIGEST  NAME`, as `sha256sum` writes it and `sha256sum -c` reads it.
    #[default]
    Named,
    /// The digest alone.
    Bare,
}

/// A kind of description.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// RFC 5854.
    Meta4,
    /// Metalink 3.0.
    Metalink,
    /// A page for people; a list for programs.
    Mirrorlist,
    /// BEP 3, with web seeds (BEP 19).
    Torrent,
    /// What zsync needs to fetch only what changed.
    Zsync,
    /// A link that names the torrent by its hash (BEP 9).
    Magnet,
    /// A line with the MD5.
    Md5,
    /// A line with the SHA-1.
    Sha1,
    /// A line with the SHA-256.
    Sha256,
    /// A line with the SHA-512.
    Sha512,
    /// A line with the torrent's info-hash.
    Btih,
}

/// Why something can't be described.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Missing {
    /// Its content was not hashed yet.
    #[error("the digests of this file are not known yet")]
    Digests,
    /// zsync's block sums are not made of this file.
    #[error("zsync's block sums are not made of this file")]
    BlockSums,
}

/// One row of the table.
struct Row {
    kind: Kind,
    /// The suffix without its dot, and the query argument.
    word: &'static str,
    media_type: &'static str,
    render: fn(&File<'_>) -> Result<Vec<u8>, Missing>,
}

/// All kinds. Where a request names several, the one that comes last here counts.
const TABLE: [Row; 11] = [
    Row::new(Kind::Meta4, "meta4", "application/metalink4+xml", metalink::meta4),
    Row::new(Kind::Metalink, "metalink", "application/metalink+xml", metalink::version_3),
    Row::new(Kind::Mirrorlist, "mirrorlist", "text/html; charset=utf-8", mirrorlist::text),
    Row::new(Kind::Torrent, "torrent", "application/x-bittorrent", torrent::torrent),
    Row::new(Kind::Zsync, "zsync", "application/x-zsync", zsync::zsync),
    Row::new(Kind::Magnet, "magnet", "text/plain; charset=utf-8", magnet::magnet),
    Row::new(Kind::Md5, "md5", "text/plain; charset=utf-8", checksum::md5),
    Row::new(Kind::Sha1, "sha1", "text/plain; charset=utf-8", checksum::sha1),
    Row::new(Kind::Sha256, "sha256", "text/plain; charset=utf-8", checksum::sha256),
    Row::new(Kind::Sha512, "sha512", "text/plain; charset=utf-8", checksum::sha512),
    Row::new(Kind::Btih, "btih", "text/plain; charset=utf-8", checksum::btih),
];

impl Row {
    const fn new(
        kind: Kind,
        word: &'static str,
        media_type: &'static str,
        render: fn(&File<'_>) -> Result<Vec<u8>, Missing>,
    ) -> Self {
        Self { kind, word, media_type, render }
    }
}

/// The query argument that asks for a digest without the file's name.
const ONLY_HASH: &str = "only_hash";

impl Kind {
    /// Every kind, in the order of precedence: the last counts.
    pub const ALL: [Self; 11] = {
        let mut all = [Self::Meta4; 11];
        let mut at = 0;
        while at < all.len() {
            all[at] = TABLE[at].kind;
            at += 1;
        }
        all
    };

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The suffix without its dot, which is the query argument, too.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.row().word
    }

    /// The media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        self.row().media_type
    }

    /// The kind that a path ends with, and what stands before it: `a.iso.md5` is the MD5 of `a.iso`.
    #[must_use]
    pub fn of_suffix<'p>(path: &'p TreePath<'_>) -> Option<(Self, TreePath<'p>)> {
        let bytes = path.as_bytes();
        let dot = bytes.iter().rposition(|&byte| byte == b'.')?;
        let row = TABLE.iter().find(|row| row.word.as_bytes() == &bytes[dot + 1..])?;
        let path = TreePath::parse(&bytes[..dot]).ok().filter(|path| !path.is_root())?;
        Some((row.kind, path))
    }

    /// The kind that a query asks for: its argument need not have a value.
    #[must_use]
    pub fn of_query(query: &str) -> Option<Self> {
        let named = |row: &&Row| arguments(query).any(|(name, _)| name == row.word);
        TABLE.iter().rev().find(named).map(|row| row.kind)
    }

    /// Whether its content hangs on which mirrors there are for this client.
    #[must_use]
    pub const fn lists_mirrors(self) -> bool {
        !matches!(self, Self::Md5 | Self::Sha1 | Self::Sha256 | Self::Sha512 | Self::Btih)
    }

    /// Whether its clients fetch parts of files, so that mirrors that send no parts are of no use.
    #[must_use]
    pub const fn is_read_by_parts(self) -> bool {
        matches!(self, Self::Meta4 | Self::Metalink | Self::Torrent | Self::Zsync | Self::Magnet)
    }

    /// Whether browsers should save it under a name of its own. A program that gets a metalink in place of the file would call
    /// it by the file's name.
    #[must_use]
    pub const fn is_saved(self) -> bool {
        matches!(self, Self::Meta4 | Self::Metalink | Self::Torrent | Self::Zsync)
    }

    /// The description of a file.
    ///
    /// # Errors
    /// When what it is made of is not known.
    pub fn render(self, file: &File<'_>) -> Result<Vec<u8>, Missing> {
        (self.row().render)(file)
    }
}

impl Naming {
    /// What a query asks for.
    #[must_use]
    pub fn of_query(query: &str) -> Self {
        if arguments(query).any(|(name, _)| name == ONLY_HASH) { Self::Bare } else { Self::Named }
    }
}

/// The arguments of a query, as they stand there: names that mean something here need no escapes.
pub fn arguments(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').map(|argument| argument.split_once('=').unwrap_or((argument, "")))
}

impl File<'_> {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.path.name()
    }

    /// Its URL at this site.
    #[must_use]
    pub fn own_url(&self) -> String {
        format!("{}{}", self.base, self.encoded)
    }

    /// The URL of a description of it.
    #[must_use]
    pub fn url_of(&self, kind: Kind) -> String {
        let mark = if self.settings.suffixes { '.' } else { '?' };
        format!("{}{}{mark}{}", self.base, self.encoded, kind.word())
    }

    fn digests(&self) -> Result<&Digests, Missing> {
        self.digests.ok_or(Missing::Digests)
    }

    /// Its URL at each source, best first.
    fn urls(&self) -> impl Iterator<Item = String> {
        self.sources.iter().map(|source| format!("{}{}", source.base, self.encoded))
    }
}

/// A path as descriptions have it behind a base URL: percent-encoded, `&` too, for some clients (wget2) read XML without undoing
/// its entities.
#[must_use]
pub fn encoded(path: &TreePath<'_>) -> String {
    path.encoded().replace('&', "%26")
}

/// How this program calls itself in what it writes.
const GENERATOR: &str = concat!("redirector/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests;
