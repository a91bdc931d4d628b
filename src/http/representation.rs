//! A description of a file, from what was found out of the file to the answer.

use foldhash::quality::FixedState;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED, RETRY_AFTER, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use jiff::Timestamp;

use super::accept::{self, Form};
use super::body::Body;
use super::conditional::{Validators, Verdict};
use super::describe::{By, Facts, Wanted};
use super::metrics::Other;
use super::ranker::Ranked;
use super::response;
use super::site::{Asked, Site};
use crate::format::mirrorlist::{self, Visitor};
use crate::format::{self, File, Kind, Missing, Naming, Source};
use crate::model::TreePath;

/// How long a client should wait for digests: requested files are hashed first, and most are small. Seconds.
const HASHED_SOON: HeaderValue = HeaderValue::from_static("30");
/// Lines in the head of a description, so that their map need not grow.
const MAX_LINES: usize = 12;
/// Larger descriptions are not given: they are made in memory, and no client reads a torrent or a metalink of this size.
const MAX_DESCRIPTION_BYTES: usize = 16 * 1024 * 1024;

impl Site {
    /// Makes and sends a description.
    pub(super) fn represent(
        &self,
        asked: Asked<'_>,
        wanted: &Wanted<'_>,
        facts: &Facts,
        ranked: Option<&Ranked>,
        now: Timestamp,
    ) -> Response<Body> {
        let Some(own) = self.own(asked) else {
            return self.error(asked, Other::BadRequest, "Without a host in the request there are no links to this site.");
        };
        let (base, encoded) = (own.base(), format::encoded(asked.path));
        let origin = Source {
            base: &base,
            name: own.host(),
            operator: None,
            country: None,
            point: None,
            class: "origin",
            distance_km: None,
        };
        let sources = ranked.map_or_else(|| vec![origin], |ranked| sources(ranked, asked, wanted.kind));
        let file = File {
            path: asked.path,
            encoded: &encoded,
            size: facts.size,
            modified: facts.modified,
            published: facts.published,
            digests: facts.digests.as_deref(),
            signature: facts.signature.as_ref(),
            sources: &sources,
            base: &base,
            settings: &self.makings.describe,
            naming: asked.request.uri.query().map_or(Naming::Named, Naming::of_query),
        };
        let (rendered, media_type) = self.rendered(asked, wanted.kind, &file);
        match rendered {
            Ok(bytes) if bytes.len() > MAX_DESCRIPTION_BYTES => {
                self.undescribed(asked, "This file has so many pieces that this description of it would be too large.")
            }
            Ok(bytes) => self.send(asked, wanted, (bytes, media_type), facts.modified, now),
            Err(Missing::Digests) => {
                let mut response =
                    self.undescribed(asked, "This file is not hashed yet, so there is no such description of it.");
                response.headers_mut().insert(RETRY_AFTER, HASHED_SOON);
                response
            }
            Err(Missing::BlockSums) => self.undescribed(asked, "There are no block sums for zsync of this file."),
        }
    }

    fn rendered(&self, asked: Asked<'_>, kind: Kind, file: &File<'_>) -> (Result<Vec<u8>, Missing>, &'static str) {
        if kind != Kind::Mirrorlist {
            return (kind.render(file), kind.media_type());
        }
        let form = form(asked);
        let visitor = || {
            let locator = &self.makings.locator;
            let credit = locator.credit().map(|credit| (credit.text, credit.url));
            Visitor { address: asked.client.address.to_string(), place: self.place(asked.client, &asked.wishes), credit }
        };
        let bytes = match form {
            Form::Html => Ok(mirrorlist::page(file, &visitor()).into_bytes()),
            Form::Json => Ok(mirrorlist::json(file, &visitor()).into_bytes()),
            Form::Text => kind.render(file),
        };
        (bytes, form.content_type())
    }

    /// Sends a description. Those that list mirrors have no `Last-Modified`: nobody knows when a mirror would last have changed
    /// them.
    fn send(
        &self,
        asked: Asked<'_>,
        wanted: &Wanted<'_>,
        (bytes, media_type): (Vec<u8>, &'static str),
        modified: Timestamp,
        now: Timestamp,
    ) -> Response<Body> {
        let lists_mirrors = wanted.kind.lists_mirrors();
        let Some(mut response) = self.send_made(asked, (bytes, media_type), (!lists_mirrors).then_some(modified), now) else {
            return self.unavailable(asked);
        };
        let is_whole = response.status() == StatusCode::OK;
        let headers = response.headers_mut();
        headers.insert(response::X_REDIRECTOR, HeaderValue::from_static("local; why=description"));
        let cached = if lists_mirrors { response::ASK_AGAIN_EACH } else { HeaderValue::from_static("no-cache") };
        headers.insert(CACHE_CONTROL, cached);
        if wanted.by == By::Accept || wanted.kind == Kind::Mirrorlist {
            headers.insert(VARY, HeaderValue::from_static("Accept"));
        }
        if is_whole {
            headers.extend(media_type.starts_with("text/html").then_some(response::PAGE_POLICY));
            headers.extend(wanted.kind.is_saved().then(|| (CONTENT_DISPOSITION, saved_as(asked.path, wanted.kind))));
        }
        self.makings.counts.other(Other::Description);
        response
    }

    /// What was made for this request, or word that the client has it already; `None` where too much is being sent. Its tag is made of its
    /// bytes, and so stands for all that it was made of.
    pub(super) fn send_made(
        &self,
        asked: Asked<'_>,
        (bytes, media_type): (Vec<u8>, &'static str),
        modified: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Response<Body>> {
        let modified = modified.and_then(|time| u64::try_from(time.as_second()).ok());
        let validators = Validators { etag: format!("\"{:016x}\"", tag(&bytes)), last_modified: modified };
        let (status, body, length) = match validators.judge(&asked.request.headers) {
            Verdict::NotModified => (StatusCode::NOT_MODIFIED, Body::empty(), None),
            Verdict::Failed => (StatusCode::PRECONDITION_FAILED, Body::empty(), Some(0)),
            Verdict::Proceed => {
                let length = bytes.len();
                (StatusCode::OK, Body::full(self.pages.keep(bytes)?), Some(length))
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.reserve(MAX_LINES);
        let date = validators.last_modified(now).and_then(response::http_date);
        headers.extend(HeaderValue::try_from(validators.etag).ok().map(|tag| (ETAG, tag)));
        headers.extend(date.map(|date| (LAST_MODIFIED, date)));
        headers.extend(length.map(|length| (CONTENT_LENGTH, HeaderValue::from(length))));
        if status == StatusCode::OK {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        Some(response)
    }

    fn undescribed(&self, asked: Asked<'_>, detail: &str) -> Response<Body> {
        self.error(asked, Other::NotFound, detail)
    }
}

/// The mirrors of a ranking as places to get the file from. How far they are is worked out only for whom is told of it.
fn sources<'a>(ranked: &'a Ranked, asked: Asked<'_>, kind: Kind) -> Vec<Source<'a>> {
    let tells_distances = kind == Kind::Mirrorlist;
    let source = |ranked_as: &crate::selection::Ranked| {
        let state = ranked.mirrors.members.get(ranked_as.index())?;
        let mirror = &state.mirror;
        Some(Source {
            base: state.base(asked.client.scheme)?.as_str(),
            name: mirror.name.as_str(),
            operator: mirror.operator.as_deref(),
            country: mirror.country,
            point: mirror.point,
            class: ranked_as.class.as_str(),
            distance_km: tells_distances.then(|| ranked.distance_km(ranked_as)).flatten(),
        })
    };
    let mut sources = Vec::with_capacity(ranked.ranking.len());
    sources.extend(ranked.ranking.iter().filter_map(source));
    sources
}

/// The form of a list of mirrors: by `format=`, else by `Accept`.
fn form(asked: Asked<'_>) -> Form {
    let named = |(name, value)| match (name, value) {
        ("format", "json") => Some(Form::Json),
        ("format", "text") => Some(Form::Text),
        ("format", "html") => Some(Form::Html),
        _ => None,
    };
    let by_query = asked.request.uri.query().and_then(|query| format::arguments(query).find_map(named));
    by_query.unwrap_or_else(|| accept::best(&asked.request.headers, &[Form::Html, Form::Json, Form::Text]))
}

/// `Content-Disposition` (RFC 6266): the name in ASCII as far as that goes, and as it is (RFC 8187) where it is not.
fn saved_as(path: &TreePath<'_>, kind: Kind) -> HeaderValue {
    let name = path.name();
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\' | b'%');
    let plain: String = name.iter().map(|&byte| if is_plain(byte) { char::from(byte) } else { '_' }).collect();
    let word = kind.word();
    let mut value = format!("attachment; filename=\"{plain}.{word}\"");
    if !name.iter().all(|&byte| is_plain(byte))
        && let Ok(name) = std::str::from_utf8(name)
    {
        let encoded = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        value += &format!("; filename*=UTF-8''{encoded}.{word}");
    }
    HeaderValue::try_from(value).expect("printable ASCII only")
}

/// 64 bits that tell one content from another.
fn tag(bytes: &[u8]) -> u64 {
    use std::hash::BuildHasher as _;
    FixedState::with_seed(0).hash_one(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_saved_under_a_name_of_its_own() {
        for (name, expected) in [
            ("d/a.iso", "attachment; filename=\"a.iso.meta4\""),
            ("a b&c.iso", "attachment; filename=\"a b&c.iso.meta4\""),
            ("q\"%.iso", "attachment; filename=\"q__.iso.meta4\"; filename*=UTF-8''q%22%25%2Eiso.meta4"),
            ("\u{fc}.iso", "attachment; filename=\"__.iso.meta4\"; filename*=UTF-8''%C3%BC%2Eiso.meta4"),
        ] {
            let path = TreePath::parse(name.as_bytes()).expect("a path");
            assert_eq!(saved_as(&path, Kind::Meta4), expected);
        }
        let path = TreePath::parse(&b"\xff"[..]).expect("a path");
        assert_eq!(saved_as(&path, Kind::Torrent), "attachment; filename=\"_.torrent\"");
    }
}
