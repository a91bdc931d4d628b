//! `[describe]`: which descriptions there are, and what they say beyond the file and its mirrors.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::Kind;

/// `[describe]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Which descriptions are given.
    pub formats: Vec<Kind>,
    /// Whether they have URLs of their own (`FILE.meta4`), beside the query (`FILE?meta4`).
    pub suffixes: bool,
    /// Whether a client whose `Accept` names metalinks gets one in place of a redirect.
    pub negotiate: bool,
    /// Whether redirects say where descriptions and other mirrors are (`Link`, RFC 6249) and which content is meant (`Digest`).
    pub links: bool,
    /// Which descriptions redirects link to, of those that are given.
    pub link_formats: Vec<Kind>,
    /// Who publishes the files.
    pub publisher: Option<String>,
    /// The publisher's page.
    pub publisher_url: Option<String>,
    /// BitTorrent trackers, asked in this order.
    pub trackers: Vec<String>,
    /// Nodes of BitTorrent's distributed hash table (BEP 5), `host:port`.
    pub dht_nodes: Vec<Node>,
    /// What a torrent's info has beside the pieces; it makes the torrent's identity.
    pub torrent_info: TorrentInfo,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            formats: Kind::ALL.to_vec(),
            suffixes: true,
            negotiate: true,
            links: true,
            link_formats: vec![Kind::Meta4, Kind::Torrent],
            publisher: None,
            publisher_url: None,
            trackers: Vec::new(),
            dht_nodes: Vec::new(),
            torrent_info: TorrentInfo::Plain,
        }
    }
}

impl Settings {
    /// Whether this kind of description is given.
    #[must_use]
    pub fn gives(&self, kind: Kind) -> bool {
        self.formats.contains(&kind)
    }

    /// The descriptions that redirects link to: those that have URLs of their own, and a torrent only where peers can be found.
    #[must_use]
    pub fn linked(&self) -> Vec<Kind> {
        let is_linked = |kind: &Kind| self.suffixes && self.gives(*kind) && (*kind != Kind::Torrent || self.has_peers());
        let linked = self.link_formats.iter().copied().filter(is_linked);
        if self.links { linked.collect() } else { Vec::new() }
    }

    /// Whether peers can find each other, so that other descriptions should lead to the torrent: a client that follows it is a
    /// peer itself, and goes on to be one.
    #[must_use]
    pub fn has_peers(&self) -> bool {
        self.gives(Kind::Torrent) && !(self.trackers.is_empty() && self.dht_nodes.is_empty())
    }
}

/// What a torrent's info dictionary has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TorrentInfo {
    /// What BEP 3 has.
    Plain,
    /// As MirrorBrain wrote it, with `md5sum`, `sha1` and `sha256`: torrents and magnet links of old keep their identity.
    Mirrorbrain,
}

/// A host with a port: `router.example:6881`, `[2001:db8::1]:6881`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for Node {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (host, port) = text.rsplit_once(':')?;
            let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') || (inner.is_some() && c == ':');
            let host = inner.unwrap_or(host);
            let port = port.parse().ok().filter(|port| *port != 0)?;
            (!host.is_empty() && host.chars().all(good)).then(|| Self { host: host.to_owned(), port })
        };
        parse().ok_or_else(|| format!("{text:?} is no host with a port, like \"router.example:6881\""))
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}
