//! The fallback mirrors of an instance as requests see them: which there are, which work, and what each was used for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::BytesMut;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, LOCATION};
use http::{HeaderValue, Response, StatusCode};

use super::body::Body;
use super::client::Client;
use super::metrics::{Counts, MirrorCounts};
use super::response::{ASK_AGAIN_EACH, X_REDIRECTOR};
use super::wishes::Wishes;
use crate::model::{Place, TreePath};
use crate::selection::{self, Fallback};

/// The fallback mirrors of an instance. Whoever probes them holds the same value.
#[derive(Debug, Default)]
pub struct Fallbacks {
    list: Vec<Fallback>,
    down: Vec<AtomicBool>,
}

impl Fallbacks {
    /// All of them; they count as working until somebody says otherwise.
    #[must_use]
    pub fn new(list: Vec<Fallback>) -> Self {
        let down = list.iter().map(|_| AtomicBool::new(false)).collect();
        Self { list, down }
    }

    /// All of them.
    #[must_use]
    pub fn list(&self) -> &[Fallback] {
        &self.list
    }

    /// Notes whether one works.
    pub fn set_usable(&self, index: usize, usable: bool) {
        if let Some(down) = self.down.get(index) {
            down.store(!usable, Ordering::Relaxed);
        }
    }

    /// Whether one works.
    #[must_use]
    pub fn is_usable(&self, index: usize) -> bool {
        self.down.get(index).is_some_and(|down| !down.load(Ordering::Relaxed))
    }

    /// The one for a client; none where there is none for its place and scheme that works.
    #[must_use]
    pub fn choose(&self, client: Client, place: &Place, wishes: &Wishes<'_>) -> Option<usize> {
        let usable = |index: usize| self.is_usable(index) && !wishes.avoids(&self.list[index].name);
        selection::fall_back(&self.list, (place, client.address, client.scheme), usable)
    }

    /// The counts of each, in the order of the list.
    #[must_use]
    pub fn counts(&self, counts: &Counts) -> Vec<Arc<MirrorCounts>> {
        self.list.iter().map(|fallback| counts.of_mirror(&fallback.name)).collect()
    }

    /// 302 to one of them; `None` where it has no URL for the client. No other server is named beside it: nobody has seen what
    /// these hold.
    #[must_use]
    pub fn redirect(&self, index: usize, client: Client, path: &TreePath<'_>) -> Option<Response<Body>> {
        let fallback = self.list.get(index)?;
        let mut location = Vec::with_capacity(256);
        fallback.base(client.scheme)?.url_into(path, &mut location);
        let mut reason = BytesMut::from("mirror=");
        reason.extend_from_slice(fallback.name.as_str().as_bytes());
        reason.extend_from_slice(b"; why=fallback");
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::FOUND;
        let headers = response.headers_mut();
        headers.insert(LOCATION, HeaderValue::from_maybe_shared(bytes::Bytes::from(location)).ok()?);
        headers.insert(X_REDIRECTOR, HeaderValue::from_maybe_shared(reason.freeze()).ok()?);
        headers.insert(CACHE_CONTROL, ASK_AGAIN_EACH);
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        Some(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BaseUrl, MirrorName, Scheme};

    #[test]
    fn one_that_does_not_work_or_is_not_wanted_is_not_chosen() {
        let fallback = |name: &str| Fallback {
            name: MirrorName::parse(name).expect("a name"),
            http: BaseUrl::parse(&format!("http://{name}/pub/"), Scheme::Http).ok(),
            https: None,
            countries: Vec::new(),
            continents: Vec::new(),
        };
        let all = Fallbacks::new(vec![fallback("a.example"), fallback("b.example")]);
        let client = Client { address: [192, 0, 2, 1].into(), scheme: Scheme::Http };
        let choose = |query: &str| all.choose(client, &Place::default(), &Wishes::parse(query).expect("good"));
        assert_eq!(choose("avoid=a.example"), Some(1));
        all.set_usable(1, false);
        assert_eq!((choose(""), choose("avoid=a.example")), (Some(0), None));
        all.set_usable(0, false);
        all.set_usable(1, true);
        assert_eq!(choose(""), Some(1));
        let over_tls = Client { scheme: Scheme::Https, ..client };
        assert_eq!(all.choose(over_tls, &Place::default(), &Wishes::default()), None);
        let path = TreePath::parse(&b"a b.iso"[..]).expect("a path");
        let response = all.redirect(0, client, &path).expect("a redirect");
        assert_eq!(response.headers()[LOCATION], "http://a.example/pub/a%20b.iso");
        assert_eq!(response.headers()[X_REDIRECTOR], "mirror=a.example; why=fallback");
        assert!(all.redirect(0, over_tls, &path).is_none());
    }
}
