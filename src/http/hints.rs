//! Links to ourselves, and what a redirect tells of a file beside its mirrors.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::HOST;
use http::request::Parts;

use super::lines::push;
use crate::format::Kind;
use crate::model::{Scheme, Sha256, TreePath, is_host};

/// Where this site's tree is, as clients see it. Three parts that stand one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// `https://`, or nothing where the next part has it.
    scheme: &'static str,
    /// The host with its port; the whole `public-url` without a slash at its end.
    authority: &'a str,
    /// The path up to the tree, with slashes at both ends.
    prefix: &'a str,
}

impl<'a> Own<'a> {
    /// By `server.public-url`, else by the request. `None` for a request that names no host, or none that could stand in a link.
    #[must_use]
    pub fn new(public_url: Option<&'a str>, authority: Option<&'a str>, scheme: Scheme, prefix: &'a str) -> Option<Self> {
        if let Some(url) = public_url {
            return Some(Self { scheme: "", authority: url.trim_end_matches('/'), prefix });
        }
        let authority = authority?;
        let scheme = match scheme {
            Scheme::Http => "http://",
            Scheme::Https => "https://",
        };
        is_host(authority).then_some(Self { scheme, authority, prefix })
    }

    /// The base URL, with its slash.
    #[must_use]
    pub fn base(&self) -> String {
        [self.scheme, self.authority, self.prefix].concat()
    }

    /// Host and port.
    #[must_use]
    pub fn host(&self) -> &'a str {
        self.authority.split_once("://").map_or(self.authority, |(_, host)| host)
    }
}

/// The host that a request names.
#[must_use]
pub fn authority(request: &Parts) -> Option<&str> {
    let line = || request.headers.get(HOST).and_then(|line| line.to_str().ok());
    request.uri.authority().map(http::uri::Authority::as_str).or_else(line)
}

/// What a redirect tells of the file beside its mirrors (RFC 6249).
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints<'a> {
    /// Its digest. Clients use no links without one, and some fail by them.
    pub digest: Option<Sha256>,
    /// Where its descriptions are.
    pub own: Option<Own<'a>>,
    /// Which of them are linked.
    pub linked: &'a [Kind],
    /// Whether there is a detached signature in a file beside it.
    pub signature: bool,
    /// Whether the answer would be another one for another `Accept`.
    pub negotiated: bool,
}

impl Hints<'_> {
    /// The suffixes and media types of what is linked; the signature stands behind what comes first.
    fn links(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let (first, rest) = self.linked.split_at(self.linked.len().min(1));
        let kind = |kind: &Kind| (kind.word(), kind.media_type());
        let signature = self.signature.then_some(("asc", "application/pgp-signature"));
        first.iter().map(kind).chain(signature).chain(rest.iter().map(kind))
    }

    /// Appends what is told as lines of a head: each `Link` to a description, `Digest` (RFC 3230), `Vary`. The encoded path of the
    /// file is in `out` already.
    pub fn lines_into(&self, out: &mut Vec<u8>, path: Range<usize>) {
        if let (Some(own), Some(_)) = (self.own, self.digest) {
            for (suffix, media_type) in self.links() {
                push(out, &["link: <", own.scheme, own.authority, own.prefix]);
                out.extend_from_within(path.clone());
                push(out, &[".", suffix, ">; rel=describedby; type=\"", media_type, "\"\r\n"]);
            }
        }
        if let Some(digest) = self.digest {
            push(out, &["digest: SHA-256="]);
            push_base64(out, &digest);
            push(out, &["\r\n"]);
        }
        if self.negotiated {
            push(out, &["vary: Accept\r\n"]);
        }
    }
}

/// Characters of a SHA-256 in Base64.
const SHA256_BASE64: usize = 44;

/// Appends a digest as headers have it.
pub(super) fn push_base64(out: &mut Vec<u8>, digest: &Sha256) {
    let mut encoded = [0; SHA256_BASE64];
    let length = STANDARD.encode_slice(digest.0, &mut encoded).unwrap_or(0);
    out.extend_from_slice(&encoded[..length]);
}

/// The file in which a detached signature of a file would be.
#[must_use]
pub fn beside(path: &TreePath<'_>, suffix: &str) -> Option<TreePath<'static>> {
    TreePath::parse([path.as_bytes(), suffix.as_bytes()].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(public_url: Option<&str>, host: &str) -> Option<String> {
        let request = http::Request::builder().header(HOST, host).body(()).expect("a request").into_parts().0;
        Own::new(public_url, authority(&request), Scheme::Http, "/activities/").map(|own| own.base())
    }

    #[test]
    fn links_to_ourselves_are_by_the_configuration_else_by_the_request() {
        assert_eq!(own(None, "a.example:8080"), Some("http://a.example:8080/activities/".to_owned()));
        assert_eq!(own(Some("https://d.example/"), "a.example"), Some("https://d.example/activities/".to_owned()));
        for host in ["", "a b", "a/b", "a\"b", "user@a", "a>b", "\u{fc}"] {
            assert_eq!(own(None, host), None, "{host}");
        }
        let request = http::Request::new(()).into_parts().0;
        assert!(Own::new(None, authority(&request), Scheme::Https, "/").is_none(), "HTTP/1.0 without a host");
    }
}
