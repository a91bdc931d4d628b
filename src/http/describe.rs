//! Descriptions of files as answers: which one a request asks for (by suffix, by query, by `Accept`), what it is made of, and
//! how it is sent.

use std::fmt::Debug;
use std::io::Read as _;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, LAST_MODIFIED, RETRY_AFTER, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use jiff::Timestamp;

use super::accept::{self, Form};
use super::body::Body;
use super::conditional::{Validators, Verdict};
use super::hints::{self, Hints, Own};
use super::metrics::Other;
use super::ranker::{Portion, Ranked};
use super::response;
use super::site::{Asked, Site};
use crate::decide::{self, Rules, Standing};
use crate::format::mirrorlist::{self, Visitor};
use crate::format::{self, File, Kind, Missing, Naming, Source};
use crate::inventory::FileEntry;
use crate::model::digests::{Digests, MAX_SIGNATURE_BYTES, Signature, SignatureKind};
use crate::model::{FileState, TreePath, VersionNumber};

/// Where a site finds what was made of its files by reading them.
pub trait Records: Debug + Send + Sync {
    /// All digests of a version; `None` while they are not known.
    fn digests(&self, version: VersionNumber) -> BoxFuture<'_, Result<Option<Arc<Digests>>, Silent>>;

    /// Somebody waits for the digests of this file.
    fn order(&self, path: TreePath<'static>);
}

/// The records can't be read right now.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

/// Records of a site that has none.
#[derive(Debug)]
pub struct NoRecords;

impl Records for NoRecords {
    fn digests(&self, _: VersionNumber) -> BoxFuture<'_, Result<Option<Arc<Digests>>, Silent>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn order(&self, _: TreePath<'static>) {}
}

/// A description that a request asks for.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    kind: Kind,
    /// Of this file.
    path: TreePath<'a>,
    by: By,
}

/// How it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Suffix,
    Query,
    /// By `Accept`: in place of a redirect, and of nothing else.
    Accept,
}

/// What was found out of a file to describe it.
struct Facts {
    size: u64,
    modified: Timestamp,
    published: Timestamp,
    digests: Option<Arc<Digests>>,
    signature: Option<Signature>,
}

/// How long a client should wait for digests: requested files are hashed first, and most are small. Seconds.
const HASHED_SOON: HeaderValue = HeaderValue::from_static("30");
/// Larger descriptions are not given: they are made in memory, and no client reads a torrent or a metalink of this size.
const MAX_DESCRIPTION_BYTES: usize = 16 * 1024 * 1024;

impl Site {
    /// What the request asks for, if that is a description. Looks at nothing but the request, for it is asked of every one.
    pub(super) fn wants_description<'a>(&self, asked: Asked<'a>, standing: Standing) -> Option<Wanted<'a>> {
        let settings = &self.makings.describe;
        if asked.is_directory {
            return None;
        }
        match standing {
            Standing::Absent if settings.suffixes => {
                let (kind, path) = Kind::of_suffix(asked.path).filter(|(kind, _)| settings.gives(*kind))?;
                Some(Wanted { kind, path, by: By::Suffix })
            }
            Standing::Public { .. } | Standing::NotPublic | Standing::NotIndexed => {
                let by_query = asked.request.uri.query().and_then(Kind::of_query).map(|kind| (kind, By::Query));
                let by_accept = || {
                    let is_public = matches!(standing, Standing::Public { .. });
                    let kind = || accept::metalink(&asked.request.headers, super::local::media_type(asked.path));
                    (settings.negotiate && is_public).then(kind).flatten().map(|kind| (kind, By::Accept))
                };
                let (kind, by) = by_query.or_else(by_accept).filter(|(kind, _)| settings.gives(*kind))?;
                Some(Wanted { kind, path: asked.path.borrowed(), by })
            }
            _ => None,
        }
    }

    /// Whether an answer for a file could be another one by `Accept`.
    pub(super) fn negotiates(&self) -> bool {
        let settings = &self.makings.describe;
        settings.negotiate && (settings.gives(Kind::Meta4) || settings.gives(Kind::Metalink))
    }

    /// The description; `None` where the request is to be answered as if it had not asked for one.
    pub(super) async fn describe(
        &self,
        asked: Asked<'_>,
        wanted: &Wanted<'_>,
        standing: Standing,
        now: Timestamp,
    ) -> Option<Response<Body>> {
        let asked = Asked { path: &wanted.path, ..asked };
        let standing = if wanted.by == By::Suffix { self.standing(asked).await } else { standing };
        let entry = match standing {
            Standing::Public { entry, as_recorded } => Some((entry, as_recorded)),
            Standing::NotIndexed => None,
            Standing::NotPublic if wanted.by != By::Suffix => None,
            Standing::Held => return Some(self.gone(asked)),
            Standing::Away => return Some(self.unavailable(asked)),
            _ => return None,
        };
        if wanted.by == By::Accept && !entry.is_some_and(|(entry, recorded)| self.may_leave(&entry, recorded, self.makings.rules, now)) {
            return None;
        }
        let ranked = entry.and_then(|(entry, as_recorded)| self.rank_for_description(asked, wanted, (&entry, as_recorded), now));
        let facts = match self.facts(asked, entry, standing, wanted.kind).await {
            Ok(facts) => facts,
            Err(response) => return (wanted.by != By::Accept).then_some(response),
        };
        if wanted.by == By::Accept && (facts.digests.is_none() || ranked.is_none()) {
            return None;
        }
        Some(self.render(asked, wanted, &facts, ranked.as_ref(), now))
    }

    /// Whether mirrors may be named for a version at all.
    fn may_leave(&self, entry: &FileEntry, as_recorded: bool, rules: Rules, now: Timestamp) -> bool {
        decide::reason_to_stay_home(entry, as_recorded, rules, now.as_second()).is_none()
    }

    /// All mirrors for this client, as for a redirect. What keeps a file home only to spare mirrors does not count here: who
    /// asks for mirrors is told of them.
    fn rank_for_description(
        &self,
        asked: Asked<'_>,
        wanted: &Wanted<'_>,
        (entry, as_recorded): (&FileEntry, bool),
        now: Timestamp,
    ) -> Option<Ranked> {
        let rules = Rules { min_size: 0, ..self.makings.rules };
        if !wanted.kind.lists_mirrors() || !self.may_leave(entry, as_recorded, rules, now) {
            return None;
        }
        let portion = if wanted.kind.is_read_by_parts() { Portion::Part } else { Portion::Whole };
        self.rank(asked, entry, portion, usize::MAX)
    }

    /// What is known of the file. An answer where too little can be found out.
    async fn facts(
        &self,
        asked: Asked<'_>,
        entry: Option<(FileEntry, bool)>,
        standing: Standing,
        kind: Kind,
    ) -> Result<Facts, Response<Body>> {
        let known = match entry {
            Some((entry, true)) if entry.state == FileState::Settled => Some(entry),
            _ => None,
        };
        let Some(entry) = known else {
            return self.facts_by_a_look(asked, standing).await;
        };
        let digests = match self.makings.records.digests(entry.version).await {
            Ok(digests) => digests,
            Err(Silent) if kind == Kind::Mirrorlist => None,
            Err(Silent) => return Err(self.unavailable(asked)),
        };
        if digests.is_none() {
            self.makings.records.order(asked.path.clone().into_owned());
        }
        let at = |seconds| Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(Facts {
            size: entry.size,
            modified: at(entry.version_mtime),
            published: at(entry.public_since),
            digests,
            signature: self.signature(asked.path, kind).await,
        })
    }

    /// What the file system says of a file that the inventory can't tell of.
    async fn facts_by_a_look(&self, asked: Asked<'_>, standing: Standing) -> Result<Facts, Response<Body>> {
        let trees = &self.makings.trees;
        let root = if standing == Standing::NotPublic { trees.application.clone() } else { Some(trees.public.clone()) };
        let path = asked.path.clone().into_owned();
        let look = move || root.and_then(|root| root.look(&path).ok());
        let Some(look) = self.threads.run_in_time(look).await.flatten() else { return Err(self.unavailable(asked)) };
        let modified = look.fingerprint.mtime();
        Ok(Facts { size: look.fingerprint.size, modified, published: modified, digests: None, signature: None })
    }

    /// The detached signature beside a file, for descriptions that tell of it.
    async fn signature(&self, path: &TreePath<'_>, kind: Kind) -> Option<Signature> {
        if !matches!(kind, Kind::Meta4 | Kind::Metalink | Kind::Mirrorlist) {
            return None;
        }
        let beside = |kind: SignatureKind| Some((kind, self.signature_path(path, kind)?));
        let (kind, path) = SignatureKind::ALL.into_iter().find_map(beside)?;
        let root = self.makings.trees.public.clone();
        let read = move || {
            let mut bytes = Vec::new();
            let file = root.open_file(&path).ok()?.file;
            file.take(MAX_SIGNATURE_BYTES as u64 + 1).read_to_end(&mut bytes).ok()?;
            Signature::parse(kind, &bytes)
        };
        self.threads.run_in_time(read).await.flatten()
    }

    /// Where the signature of a file is, if there is one that everybody may see.
    pub(super) fn signature_path(&self, path: &TreePath<'_>, kind: SignatureKind) -> Option<TreePath<'static>> {
        let super::site::Makings { snapshot, trees, .. } = &self.makings;
        let path = hints::beside(path, kind.suffix())?;
        let is_there = snapshot.file(&path).is_some() && !snapshot.is_held(&path) && !trees.hidden.matches(&path);
        is_there.then_some(path)
    }

    fn render(
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
        let (base, encoded) = (own.base(), asked.path.encoded());
        let origin = Source {
            base: &base,
            name: own.host(),
            operator: None,
            country: None,
            point: None,
            class: "origin",
            distance_km: None,
        };
        let sources = ranked.map_or_else(|| vec![origin], |ranked| sources(ranked, asked));
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
                let mut response = self.undescribed(asked, "This file is not hashed yet, so there is no such description of it.");
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
            Visitor { address: asked.client.address.to_string(), place: locator.locate(asked.client.address), credit }
        };
        let bytes = match form {
            Form::Html => Ok(mirrorlist::page(file, &visitor()).into_bytes()),
            Form::Json => Ok(mirrorlist::json(file, &visitor()).into_bytes()),
            Form::Text => kind.render(file),
        };
        (bytes, form.content_type())
    }

    /// Sends a description, or says that the client has it already. Its tag is made of its bytes, and so stands for all that it
    /// was made of. Those that list mirrors have no `Last-Modified`: nobody knows when a mirror would last have changed them.
    fn send(
        &self,
        asked: Asked<'_>,
        wanted: &Wanted<'_>,
        (bytes, media_type): (Vec<u8>, &'static str),
        modified: Timestamp,
        now: Timestamp,
    ) -> Response<Body> {
        let modified = (!wanted.kind.lists_mirrors()).then(|| u64::try_from(modified.as_second()).ok()).flatten();
        let validators = Validators { etag: format!("\"{:016x}\"", tag(&bytes)), last_modified: modified };
        let (status, body, length) = match validators.judge(&asked.request.headers) {
            Verdict::NotModified => (StatusCode::NOT_MODIFIED, Body::empty(), None),
            Verdict::Failed => (StatusCode::PRECONDITION_FAILED, Body::empty(), Some(0)),
            Verdict::Proceed => {
                let length = bytes.len();
                let Some(bytes) = self.pages.keep(bytes) else { return self.unavailable(asked) };
                (StatusCode::OK, Body::full(bytes), Some(length))
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let mut put = |name: HeaderName, value: &str| {
            HeaderValue::try_from(value).map(|value| headers.insert(name, value)).ok();
        };
        put(response::X_REDIRECTOR, "local; why=description");
        put(ETAG, &validators.etag);
        put(CACHE_CONTROL, if wanted.kind.lists_mirrors() { "private, no-cache" } else { "no-cache" });
        if wanted.by == By::Accept || wanted.kind == Kind::Mirrorlist {
            put(VARY, "Accept");
        }
        if let Some(date) = validators.last_modified(now).and_then(response::http_date) {
            headers.insert(LAST_MODIFIED, date);
        }
        headers.extend(length.map(|length| (CONTENT_LENGTH, HeaderValue::from(length))));
        if status == StatusCode::OK {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            headers.extend(media_type.starts_with("text/html").then_some(response::PAGE_POLICY));
            headers.extend(wanted.kind.is_saved().then(|| (CONTENT_DISPOSITION, saved_as(asked.path, wanted.kind))));
        }
        self.makings.counts.other(Other::Description);
        response
    }

    fn undescribed(&self, asked: Asked<'_>, detail: &str) -> Response<Body> {
        self.error(asked, Other::NotFound, detail)
    }

    /// What a redirect tells of a file beside its mirrors.
    pub(super) fn hints<'a>(&'a self, asked: Asked<'a>, entry: &FileEntry) -> Hints<'a> {
        let settings = &self.makings.describe;
        let negotiated = self.negotiates();
        let Some(digest) = entry.sha256.filter(|_| settings.links) else { return Hints { negotiated, ..Hints::default() } };
        Hints {
            digest: Some(digest),
            own: self.own(asked),
            metalink: settings.suffixes && settings.gives(Kind::Meta4),
            torrent: settings.suffixes && settings.has_peers(),
            signature: self.signature_path(asked.path, SignatureKind::Asc).is_some(),
            negotiated,
        }
    }

    /// Links to ourselves, for this request.
    pub(super) fn own<'a>(&'a self, asked: Asked<'a>) -> Option<Own<'a>> {
        Own::new(self.makings.public_url.as_deref(), asked.request, asked.client.scheme, &self.own_prefix)
    }
}

/// The mirrors of a ranking as places to get the file from.
fn sources<'a>(ranked: &'a Ranked, asked: Asked<'_>) -> Vec<Source<'a>> {
    let source = |ranked_as: &crate::selection::Ranked| {
        let mirror = &ranked.mirrors.members.get(ranked_as.index)?.mirror;
        Some(Source {
            base: mirror.base(asked.client.scheme)?.as_str(),
            name: mirror.name.as_str(),
            operator: mirror.operator.as_deref(),
            country: mirror.country,
            point: mirror.point,
            class: ranked_as.class.as_str(),
            distance_km: ranked_as.distance_km,
        })
    };
    ranked.ranking.iter().filter_map(source).collect()
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
    use std::hash::Hasher as _;
    let mut hasher = siphasher::sip::SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
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
