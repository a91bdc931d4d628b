//! Descriptions of files as answers: which one a request asks for (by suffix, by query, by `Accept`), and what is found out
//! to make it. `representation` makes and sends it.

use std::fmt::Debug;
use std::io::Read as _;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::Response;
use jiff::Timestamp;

use super::accept;
use super::body::Body;
use super::deciding::Errand;
use super::hints::{self, Hints, Own};
use super::local;
use super::metrics::Other;
use super::ranker::{Needs, Portion, Ranked};
use super::site::{Asked, Makings, Site};
use crate::decide::{Decision, Standing};
use crate::format::Kind;
use crate::inventory::FileEntry;
use crate::model::digests::{MAX_SIGNATURE_BYTES, Signature, SignatureKind};
use crate::model::{Digests, FileState, Scheme, TreePath, VersionNumber};

/// Where a site finds what was made of its files by reading them.
pub trait Records: Debug + Send + Sync {
    /// All digests of a path's version; `None` while they are not known.
    fn digests<'s>(
        &'s self,
        path: &'s TreePath<'_>,
        version: VersionNumber,
    ) -> BoxFuture<'s, Result<Option<Arc<Digests>>, Silent>>;

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
    fn digests<'s>(&'s self, _: &'s TreePath<'_>, _: VersionNumber) -> BoxFuture<'s, Result<Option<Arc<Digests>>, Silent>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn order(&self, _: TreePath<'static>) {}
}

/// A description that a request asks for.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) kind: Kind,
    /// Of this file.
    path: TreePath<'a>,
    pub(super) by: By,
}

/// How it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Suffix,
    Query,
    /// By `Accept`: in place of a redirect, and of nothing else.
    Accept,
}

/// Whether clients save a file under its name when a metalink tells it. From `&` in an attribute, however it is escaped (`&amp;`, `&#38;`,
/// `&#x26;`), aria2 makes `&#38;` (1.36, as libxml2 gives it), and wget2 (1.99) leaves the escape as it is. So a redirect, with the other
/// mirrors and the digest in its headers, does more for such a file.
fn is_read_right(path: &TreePath<'_>) -> bool {
    !path.as_bytes().contains(&b'&')
}

/// What was found out of a file to describe it.
pub(super) struct Facts {
    pub(super) size: u64,
    pub(super) modified: Timestamp,
    pub(super) published: Timestamp,
    pub(super) digests: Option<Arc<Digests>>,
    pub(super) signature: Option<Signature>,
}

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
            Standing::Public { .. } | Standing::NotPublic | Standing::NotIndexed { .. } => {
                let by_query = asked.request.uri.query().and_then(Kind::of_query).map(|kind| (kind, By::Query));
                let by_accept = || {
                    let is_public = matches!(standing, Standing::Public { .. }) && is_read_right(asked.path);
                    let kind = || accept::metalink(&asked.request.headers, || local::media_type(asked.path));
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
            Standing::NotIndexed { .. } => None,
            Standing::NotPublic if wanted.by != By::Suffix => match self.objection(asked, now) {
                Some(detail) => return Some(self.error(asked, Other::Forbidden, detail)),
                None => None,
            },
            Standing::Held => return Some(self.gone(asked)),
            Standing::Away => return Some(self.unavailable(asked)),
            _ => return None,
        };
        if wanted.by == By::Accept && !matches!(self.decide(standing, asked, now), Decision::Redirect { .. }) {
            return None;
        }
        let ranked =
            entry.and_then(|(entry, as_recorded)| self.rank_for_description(asked, wanted, (&entry, as_recorded), now));
        let facts = match self.facts(asked, entry, standing, wanted.kind).await {
            Ok(facts) => facts,
            Err(response) => return (wanted.by != By::Accept).then_some(response),
        };
        if wanted.by == By::Accept && (facts.digests.is_none() || ranked.is_none()) {
            return None;
        }
        Some(self.represent(asked, wanted, &facts, ranked.as_ref(), now))
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
        if !wanted.kind.lists_mirrors() || !self.may_leave(entry, as_recorded, now) {
            return None;
        }
        let portion = if wanted.kind.is_read_by_parts() { Portion::Part } else { Portion::Whole };
        let needs = Needs::of_version(entry.version, entry.size, portion);
        self.rank_by((asked.client, &asked.wishes), &needs, usize::MAX)
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
        let digests = match self.makings.records.digests(asked.path, entry.version).await {
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
        let look = move || root.and_then(|root| root.look(&path).ok()).map(|look| look.fingerprint);
        let seen = match standing {
            Standing::NotIndexed { seen } => Some(seen),
            _ => self.threads.run_in_time(look).await.flatten(),
        };
        let Some(seen) = seen else { return Err(self.unavailable(asked)) };
        let modified = seen.mtime();
        Ok(Facts { size: seen.size, modified, published: modified, digests: None, signature: None })
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
        let Makings { snapshot, trees, .. } = &self.makings;
        let path = hints::beside(path, kind.suffix())?;
        let is_there = snapshot.file(&path).is_some() && !snapshot.is_held(&path) && !trees.hidden.matches(&path);
        is_there.then_some(path)
    }

    /// Whether redirects tell of a signature of this file.
    pub(super) fn has_signature(&self, path: &TreePath<'_>) -> bool {
        self.signature_path(path, SignatureKind::Asc).is_some()
    }

    /// What a redirect tells of a file beside its mirrors.
    pub(super) fn hints<'a>(
        &'a self,
        errand: &Errand<'a>,
        entry: &FileEntry,
        has_signature: impl FnOnce() -> bool,
    ) -> Hints<'a> {
        let settings = &self.makings.describe;
        let negotiated = self.negotiates();
        let Some(digest) = entry.sha256.filter(|_| settings.links) else { return Hints { negotiated, ..Hints::default() } };
        Hints {
            digest: Some(digest),
            own: self.own_at(errand.authority, errand.client.scheme),
            linked: &self.linked,
            signature: has_signature(),
            negotiated,
        }
    }

    /// Links to ourselves, for this request.
    pub(super) fn own<'a>(&'a self, asked: Asked<'a>) -> Option<Own<'a>> {
        self.own_at(hints::authority(asked.request), asked.client.scheme)
    }

    fn own_at<'a>(&'a self, authority: Option<&'a str>, scheme: Scheme) -> Option<Own<'a>> {
        Own::new(self.makings.public_url.as_deref(), authority, scheme, &self.own_prefix)
    }
}
