//! Rules of an administrator by which files are served from here although mirrors have them: by path, media type, user agent and
//! the client's network, and what describes a repository (see [`crate::model::PathGlob`]).

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::Why;
use crate::model::{PathGlob, TreePath, WordGlob, glob};

/// `[keep]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Patterns of paths below the public tree.
    pub paths: Vec<String>,
    /// Patterns of media types.
    pub types: Vec<String>,
    /// Patterns of user agents.
    pub user_agents: Vec<String>,
    /// Clients' networks.
    pub networks: Vec<IpNet>,
}

/// The rules, read once. Without rules it costs nothing.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// False: there is not a single rule.
    is_set: bool,
    paths: Vec<PathGlob>,
    metadata: Vec<Metadata>,
    types: Vec<WordGlob>,
    user_agents: Vec<WordGlob>,
    networks: Vec<IpNet>,
}

/// The files of a repository that say what is in it.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// Where the repository is.
    pub root: TreePath<'static>,
    /// Which of the files below it describe it.
    pub files: Vec<PathGlob>,
}

/// What of a request the rules are held against.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What is asked for.
    pub path: &'a TreePath<'a>,
    /// The client's address.
    pub address: IpAddr,
    /// What the client says it is.
    pub user_agent: Option<&'a [u8]>,
    /// The media type of a path.
    pub media_type: fn(&TreePath<'_>) -> &'static str,
}

/// How much of a `User-Agent` is looked at: real ones are shorter, and the time to compare grows with it.
const MAX_USER_AGENT_BYTES: usize = 512;

impl Keep {
    /// Reads the rules.
    ///
    /// # Errors
    /// The first pattern that is none, and why.
    pub fn new(settings: &Settings, metadata: Vec<Metadata>) -> Result<Self, (String, glob::Error)> {
        let path = |text: &String| PathGlob::parse(text).map_err(|error| (text.clone(), error));
        let words = |texts: &[String]| texts.iter().map(|text| WordGlob::new(text)).collect::<Vec<_>>();
        let mut keep = Self {
            is_set: true,
            paths: settings.paths.iter().map(path).collect::<Result<_, _>>()?,
            metadata,
            types: words(&settings.types),
            user_agents: words(&settings.user_agents),
            networks: settings.networks.clone(),
        };
        let lists = [
            keep.paths.is_empty(),
            keep.metadata.is_empty(),
            keep.types.is_empty(),
            keep.user_agents.is_empty(),
            keep.networks.is_empty(),
        ];
        keep.is_set = lists.contains(&false);
        Ok(keep)
    }

    /// Why the file is served from here; `None` where no rule says so.
    #[must_use]
    pub fn why(&self, request: &Request<'_>) -> Option<Why> {
        if !self.is_set {
            return None;
        }
        let agent = request.user_agent.map(|agent| &agent[..agent.len().min(MAX_USER_AGENT_BYTES)]);
        if self.is_metadata(request.path) {
            Some(Why::Metadata)
        } else if self.paths.iter().any(|glob| glob.matches(request.path)) {
            Some(Why::KeptPath)
        } else if self.networks.iter().any(|network| network.contains(&request.address)) {
            Some(Why::KeptNetwork)
        } else if agent.is_some_and(|agent| self.user_agents.iter().any(|glob| glob.matches(agent))) {
            Some(Why::KeptUserAgent)
        } else if !self.types.is_empty() && self.is_type((request.media_type)(request.path)) {
            Some(Why::KeptType)
        } else {
            None
        }
    }

    fn is_type(&self, media_type: &str) -> bool {
        self.types.iter().any(|glob| glob.matches(media_type.as_bytes()))
    }

    /// A file that is named by its own content never disagrees with anything; mirrors may have those.
    fn is_metadata(&self, path: &TreePath<'_>) -> bool {
        self.metadata.iter().any(|metadata| {
            path.below(&metadata.root).is_some_and(|below| metadata.files.iter().any(|glob| glob.matches(&below)))
        }) && !is_named_by_content(path)
    }
}

/// Digits of a digest that a name must start with: an MD5 in hexadecimal.
const DIGEST_DIGITS: usize = 32;

/// Whether a name is made of a digest, so that other content has another name: apt's `by-hash` files, and those that
/// `createrepo_c` calls `DIGEST-primary.xml.gz`.
fn is_named_by_content(path: &TreePath<'_>) -> bool {
    let digits = path.name().iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    digits >= DIGEST_DIGITS
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "d41d8cd98f00b204e9800998ecf8427e";

    fn why(keep: &Keep, path: &str, address: &str, agent: &str) -> Option<Why> {
        let path = TreePath::parse(path.as_bytes()).expect("a path");
        keep.why(&Request {
            path: &path,
            address: address.parse().expect("an address"),
            user_agent: Some(agent.as_bytes()),
            media_type: |path| if path.name().ends_with(b".txt") { "text/plain" } else { "application/octet-stream" },
        })
    }

    #[test]
    fn each_rule_gives_its_own_reason() {
        let list = |text: &str| vec![text.to_owned()];
        let settings = Settings {
            paths: list("*.sig"),
            types: list("Text/*"),
            user_agents: list("*bot*"),
            networks: vec!["10.0.0.0/8".parse().expect("a network")],
        };
        let metadata = Metadata {
            root: TreePath::parse(&b"debian"[..]).expect("a path"),
            files: vec![PathGlob::parse("dists/**").expect("a pattern")],
        };
        let keep = Keep::new(&settings, vec![metadata]).expect("rules");
        for (path, address, agent, expected) in [
            ("a.iso", "192.0.2.1", "curl/8", None),
            ("a.iso.sig", "192.0.2.1", "curl/8", Some(Why::KeptPath)),
            ("a.txt", "192.0.2.1", "curl/8", Some(Why::KeptType)),
            ("a.iso", "10.1.2.3", "curl/8", Some(Why::KeptNetwork)),
            ("a.iso", "192.0.2.1", "GoogleBot/2", Some(Why::KeptUserAgent)),
            ("debian/dists/sid/InRelease", "192.0.2.1", "apt", Some(Why::Metadata)),
            ("debian/pool/a.deb", "192.0.2.1", "apt", None),
            ("debiandists/sid/InRelease", "192.0.2.1", "apt", None),
            (&format!("debian/dists/sid/main/by-hash/MD5Sum/{DIGEST}"), "192.0.2.1", "apt", None),
            (&format!("debian/dists/sid/{DIGEST}-primary.xml.gz"), "192.0.2.1", "apt", None),
        ] {
            assert_eq!(why(&keep, path, address, agent), expected, "{path} {address} {agent}");
        }
    }

    #[test]
    fn without_rules_nothing_is_kept() {
        let keep = Keep::new(&Settings::default(), Vec::new()).expect("rules");
        assert!(!keep.is_set);
        assert_eq!(why(&keep, "a.txt", "10.0.0.1", "bot"), None);
        assert_eq!(why(&Keep::default(), "a.txt", "10.0.0.1", "bot"), None);
    }
}
