//! All instances of one process behind common sockets: which one a request is for, and what is answered where none is.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method, Response, StatusCode, Version};

use super::body::Body;
use super::deciding::Errand;
use super::listener::{Handler, Origin};
use super::metrics::{Counts, Other};
use super::plain::Head;
use super::site::{Asked, Site};
use super::wishes::Wishes;
use super::{response, route};
use crate::clock;
use crate::model::{RequestPath, is_host};

/// The sites that answer, to be replaced as a whole.
#[derive(Debug, Default)]
pub struct Router {
    sites: ArcSwap<Vec<Arc<Site>>>,
    /// Counts of requests that are for no instance.
    unrouted: Counts,
}

impl Router {
    /// A router for these sites.
    #[must_use]
    pub fn new(sites: Vec<Arc<Site>>) -> Self {
        Self { sites: ArcSwap::from_pointee(sites), unrouted: Counts::default() }
    }

    /// The sites.
    #[must_use]
    pub fn sites(&self) -> Arc<Vec<Arc<Site>>> {
        self.sites.load_full()
    }

    /// Replaces the sites; requests under way end with the old ones.
    pub fn replace(&self, sites: Vec<Arc<Site>>) {
        self.sites.store(Arc::new(sites));
    }

    /// What is counted of requests that are for no instance.
    #[must_use]
    pub const fn unrouted(&self) -> &Counts {
        &self.unrouted
    }

    async fn route(&self, request: &Parts, from: Origin) -> Response<Body> {
        let began = clock::instant();
        let host = match host(request) {
            Ok(host) => host,
            Err(detail) => return refuse(&self.unrouted, Other::BadRequest, detail, &request.headers),
        };
        let readable = matches!(request.method, Method::GET | Method::HEAD);
        let path = match RequestPath::parse(request.uri.path()) {
            Ok(path) => path,
            Err(_) if !readable => return refuse(&self.unrouted, Other::NotAllowed, READ_ONLY, &request.headers),
            Err(error) => {
                let detail = format!("The path can't be read: {error}.");
                return refuse(&self.unrouted, Other::BadRequest, &detail, &request.headers);
            }
        };
        let sites = self.sites.load();
        let Some((index, below)) = route::find(sites.iter().map(|site| site.route()), host, &path) else {
            let (other, detail) = if readable { (Other::NotFound, NOTHING_HERE) } else { (Other::NotAllowed, READ_ONLY) };
            return refuse(&self.unrouted, other, detail, &request.headers);
        };
        // Kept, and not cloned: all cores would count clones in one place.
        let site = &sites[index];
        if !readable {
            return refuse(site.counts(), Other::NotAllowed, READ_ONLY, &request.headers);
        }
        let client = site.client(from, &request.headers);
        let wishes = Wishes::default();
        let response = site.answer(Asked { request, path: &below, is_directory: path.is_directory(), client, wishes }).await;
        site.counts().took(began.elapsed());
        response
    }
}

const READ_ONLY: &str = "Files can only be read here.";
const NOTHING_HERE: &str = "There is nothing here.";

impl Handler for Router {
    async fn answer(&self, request: &Parts, from: Origin) -> Response<Body> {
        let mut response = self.route(request, from).await;
        if request.method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        response
    }

    fn answer_at_once(&self, head: &Head<'_>, from: Origin, began: Instant, out: &mut Vec<u8>) -> Option<Body> {
        let path = RequestPath::parse(head.path).ok()?;
        if path.is_directory() {
            return None;
        }
        let sites = self.sites.load();
        let (index, below) = route::find(sites.iter().map(|site| site.route()), Some(head.host), &path)?;
        if below.is_root() {
            return None;
        }
        let site = &sites[index];
        let seeking = site.seek(&below);
        let errand = Errand {
            path: &below,
            client: site.client(from, head.lines),
            wishes: Wishes::default(),
            is_get: head.is_get,
            has_range: false,
            user_agent: head.user_agent,
            authority: Some(head.host),
        };
        let body = site.answer_at_once(&errand, seeking, head.is_conditional, out)?;
        site.counts().took(began.elapsed());
        Some(body)
    }

    fn turn_away(&self) {
        self.unrouted.other(Other::Overloaded);
    }

    fn trusts(&self, peer: IpAddr) -> bool {
        self.sites.load().iter().any(|site| site.trusts(peer))
    }
}

/// The host that a request is for (RFC 9112 section 3.2): that of an absolute target, else of the one `Host` line, which
/// HTTP/1.1 demands.
fn host(request: &Parts) -> Result<Option<&str>, &'static str> {
    let mut lines = request.headers.get_all(HOST).iter();
    let line = match (lines.next(), lines.next()) {
        (Some(line), None) => Some(line.to_str().ok().filter(|line| is_host(line)).ok_or("The Host header names no host.")?),
        (None, _) => None,
        (Some(_), Some(_)) => return Err("There is more than one Host header."),
    };
    match request.uri.authority().map(Authority::as_str) {
        Some(authority) if !is_host(authority) => Err("The target names no host."),
        // RFC 9113 section 8.3.1; in HTTP/1.1 the line means nothing beside a whole URL.
        Some(authority)
            if request.version == Version::HTTP_2 && line.is_some_and(|line| !line.eq_ignore_ascii_case(authority)) =>
        {
            Err("The Host header and :authority differ.")
        }
        Some(authority) => Ok(Some(authority)),
        None if line.is_none() && request.version == Version::HTTP_11 => Err("The Host header is missing."),
        None => Ok(line),
    }
}

fn refuse(counts: &Counts, other: Other, detail: &str, headers: &HeaderMap) -> Response<Body> {
    counts.other(other);
    let status = match other {
        Other::BadRequest => StatusCode::BAD_REQUEST,
        Other::NotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        _ => StatusCode::NOT_FOUND,
    };
    response::error(status, detail, headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_one_host() {
        let named = |version, uri: &str, lines: &[&str]| {
            let mut request = http::Request::builder().version(version).uri(uri);
            for line in lines {
                request = request.header(HOST, *line);
            }
            let request = request.body(()).expect("a request").into_parts().0;
            host(&request)
                .map(|host| host.map(str::to_owned))
                .map_err(|detail| detail.split(' ').take(3).collect::<Vec<_>>().join(" "))
        };
        let good = |host: &str| Ok(Some(host.to_owned()));
        let bad = |words: &str| Err(words.to_owned());
        assert_eq!(named(Version::HTTP_11, "/a", &["a.example"]), good("a.example"));
        assert_eq!(named(Version::HTTP_11, "/a", &["a.example", "a.example"]), bad("There is more"));
        assert_eq!(named(Version::HTTP_11, "/a", &[]), bad("The Host header"));
        assert_eq!(named(Version::HTTP_10, "/a", &[]), Ok(None));
        assert_eq!(named(Version::HTTP_10, "/a", &["a/b"]), bad("The Host header"));
        // In HTTP/1.1, what the target says counts; in HTTP/2, both have to say the same.
        assert_eq!(named(Version::HTTP_11, "http://b.example/a", &["a.example"]), good("b.example"));
        assert_eq!(named(Version::HTTP_2, "http://b.example/a", &["a.example"]), bad("The Host header"));
        assert_eq!(named(Version::HTTP_2, "http://b.example/a", &["B.example"]), good("b.example"));
        assert_eq!(named(Version::HTTP_2, "http://b.example/a", &[]), good("b.example"));
        assert_eq!(named(Version::HTTP_2, "http://user@b.example/a", &[]), bad("The target names"));
    }
}
