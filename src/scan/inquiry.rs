//! What a mirror is asked over HTTP: the request that each question makes, and which status answers it.

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, HeaderValue, RANGE};
use reqwest::{Method, RequestBuilder, StatusCode, Url};

use super::client::Clients;
use super::part::Part;
use super::validators::Validators;

/// A question: method and what is special about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Question<'a> {
    /// GET of a page, unless it is still the same.
    Page(&'a Validators),
    /// HEAD of a file.
    Head,
    /// GET of a file's first byte, for servers that know no HEAD.
    FirstByte,
    /// GET of the last bytes of a file of this size.
    LastBytes(u64),
    /// GET of a part of a file.
    Part(Part),
}

/// What a listing may come as.
const LISTING_TYPES: HeaderValue =
    HeaderValue::from_static("text/html, application/xhtml+xml, application/json;q=0.9, */*;q=0.5");
const AS_IT_IS: HeaderValue = HeaderValue::from_static("identity");
const FIRST_BYTE: HeaderValue = HeaderValue::from_static("bytes=0-0");

/// How many last bytes are asked for.
pub(super) const LAST: u64 = 16;

impl Question<'_> {
    /// The request.
    pub(super) fn request(self, clients: &Clients, url: Url) -> RequestBuilder {
        match self {
            Self::Page(known) => known.ask(clients.pages.get(url).header(ACCEPT, LISTING_TYPES)),
            Self::Head => clients.files.request(Method::HEAD, url).header(ACCEPT_ENCODING, AS_IT_IS),
            Self::FirstByte => clients.files.get(url).header(ACCEPT_ENCODING, AS_IT_IS).header(RANGE, FIRST_BYTE),
            Self::LastBytes(size) => {
                let range = format!("bytes={}-{}", size.saturating_sub(LAST), size.saturating_sub(1));
                clients.files.get(url).header(ACCEPT_ENCODING, AS_IT_IS).header(RANGE, range)
            }
            Self::Part(part) => {
                let range = format!("bytes={}", part.range());
                clients.files.get(url).header(ACCEPT_ENCODING, AS_IT_IS).header(RANGE, range)
            }
        }
    }

    /// Whether a status is an answer, and not a failure.
    pub(super) fn is_answered_by(self, status: StatusCode) -> bool {
        match status {
            StatusCode::OK => true,
            StatusCode::NOT_MODIFIED => matches!(self, Self::Page(known) if !known.is_empty()),
            StatusCode::PARTIAL_CONTENT => matches!(self, Self::FirstByte | Self::LastBytes(_) | Self::Part(_)),
            // An empty file has no first byte.
            StatusCode::RANGE_NOT_SATISFIABLE => self == Self::FirstByte,
            _ => false,
        }
    }
}
