//! 302 to a mirror: the lines of its head, written once into a buffer, as HTTP/1 sends them. Who answers by hyper gets them as
//! headers.

use http::{Response, StatusCode};

use super::body::Body;
use super::hints::Hints;
use super::lines::{self, push};
use super::stamp::Stamp;
use crate::inventory::MirrorSet;
use crate::model::{Country, Scheme, TreePath};
use crate::selection::{Class, Ranked};

/// A redirect to the best mirror, with the next best as `Link` lines (RFC 6249), each a line of its own and without quotes, since
/// clients read no other form.
#[derive(Debug, Clone, Copy)]
pub struct Redirect<'a> {
    /// The mirrors, best first; not empty. Each has a URL for `scheme`.
    pub ranking: &'a [Ranked],
    /// What `ranking` speaks of.
    pub mirrors: &'a MirrorSet,
    /// How the client came.
    pub scheme: Scheme,
    /// What is asked for.
    pub path: &'a TreePath<'a>,
    /// What is told of it besides.
    pub hints: Hints<'a>,
    /// Stamps the `Location`, with the time in seconds since 1970.
    pub stamp: Option<(&'a Stamp, i64)>,
    /// Whether to add what MirrorBrain said of a redirect, for scripts and log readers that look for it.
    pub mirrorbrain: bool,
}

/// The most mirrors that one redirect names.
pub const MAX_LINES: usize = PRIORITIES.len();

/// What follows the URL of each mirror.
const PRIORITIES: [&[u8]; 5] = [
    b">; rel=duplicate; pri=1",
    b">; rel=duplicate; pri=2",
    b">; rel=duplicate; pri=3",
    b">; rel=duplicate; pri=4",
    b">; rel=duplicate; pri=5",
];

impl Redirect<'_> {
    /// Appends the lines of the head, without status line and date. Base URLs are printable ASCII without spaces and quotes,
    /// paths are percent-encoded, names of mirrors are ASCII words: so nothing can end a line but we.
    pub fn lines_into(&self, out: &mut Vec<u8>) {
        let named = |ranked: &Ranked| {
            let state = self.mirrors.members.get(ranked.index())?;
            Some((state.base(self.scheme)?.as_str(), state))
        };
        let Some((base, best, class)) = self.ranking.iter().find_map(|ranked| {
            let (base, state) = named(ranked)?;
            Some((base, state, ranked.class))
        }) else {
            return;
        };
        // Room for usual URLs, so that the buffer rarely grows.
        out.reserve(512 + self.ranking.len() * (self.path.as_bytes().len() + 128));
        out.extend_from_slice(b"location: ");
        let url = out.len();
        out.extend_from_slice(base.as_bytes());
        let start = out.len();
        self.path.encode_into(out);
        // It is encoded once and then copied.
        let encoded = start..out.len();
        self.stamp_into(out, url);
        push(out, &["\r\nx-redirector: mirror=", best.mirror.name.as_str(), "; why=", class.as_str()]);
        out.extend_from_slice(b"\r\ncache-control: private, no-cache\r\ncontent-length: 0\r\n");
        for (ranked, pri) in self.ranking.iter().zip(PRIORITIES) {
            let Some((base, state)) = named(ranked) else { continue };
            push(out, &["link: <", base]);
            out.extend_from_within(encoded.clone());
            out.extend_from_slice(pri);
            match state.mirror.country.map(Country::code) {
                Some([first, second]) => {
                    out.extend_from_slice(&[b';', b' ', b'g', b'e', b'o', b'=', first, second, b'\r', b'\n'])
                }
                None => out.extend_from_slice(b"\r\n"),
            }
        }
        self.hints.lines_into(out, encoded);
        if self.mirrorbrain {
            push_mirrorbrain(out, best.mirror.name.as_str(), class);
        }
    }

    /// Appends the head, without date and end.
    pub fn head_into(&self, out: &mut Vec<u8>) {
        push(out, &["HTTP/1.1 302 Found\r\n"]);
        self.lines_into(out);
    }

    fn stamp_into(&self, out: &mut Vec<u8>, url: usize) {
        let Some((stamp, now)) = self.stamp else { return };
        let query = stamp.query(now, &out[url + authority_end(&out[url..])..]);
        out.extend_from_slice(query.as_bytes());
    }

    /// The same for who answers by hyper.
    #[must_use]
    pub fn response(&self) -> Response<Body> {
        let mut text = Vec::new();
        self.lines_into(&mut text);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::FOUND;
        lines::headers_into(text, response.headers_mut());
        response
    }
}

/// Where the host of an absolute URL ends.
fn authority_end(url: &[u8]) -> usize {
    let mut slashes = url.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    slashes.nth(2).unwrap_or(url.len())
}

fn push_mirrorbrain(out: &mut Vec<u8>, mirror: &str, class: Class) {
    push(out, &["x-mirrorbrain-mirror: ", mirror, "\r\nx-mirrorbrain-realm: ", realm(class), "\r\n"]);
}

/// What MirrorBrain called a class.
#[must_use]
pub const fn realm(class: Class) -> &'static str {
    match class {
        Class::Network => "prefix",
        Class::As => "AS",
        Class::Country => "country",
        Class::AlsoCountry => "other_country",
        Class::Continent => "region",
        Class::World => "other",
    }
}
