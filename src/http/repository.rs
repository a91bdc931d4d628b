//! Lists of mirrors for package managers: a mirror is on one only while it holds what the repository's markers say.

use std::io::Read as _;
use std::sync::Arc;

use http::header::CACHE_CONTROL;
use http::{HeaderValue, Response};
use jiff::Timestamp;

use super::body::Body;
use super::metrics::Other;
use super::ranker::{Needs, Portion};
use super::response::{ASK_AGAIN_EACH, X_REDIRECTOR};
use super::site::{Asked, Site};
use crate::decide::{self, Standing, Why};
use crate::inventory::{FileEntry, MirrorState, Offer};
use crate::model::{FileState, Fingerprint, TreePath};
use crate::repository::ledger::{Ledger, Told};
use crate::repository::metalink::{self, Source, Version};
use crate::repository::{self, List, Repositories, list};
use crate::tree::{LookError, Root};

/// The repositories of an instance, and what clients were told of them.
#[derive(Debug, Clone, Default)]
pub struct Packages {
    /// Which there are.
    pub repositories: Arc<Repositories>,
    /// What clients were told.
    pub ledger: Arc<Ledger>,
}

/// Mirrors on a list: package managers try one after the other, and none tries more.
const MAX_LISTED: usize = 10;
/// A `repomd.xml` names some dozen files; a larger one is something else.
const MAX_REPOMD_BYTES: u64 = 4 << 20;

impl Site {
    /// The list that a request is for: `None` where it is for a file or directory as any other.
    pub(super) fn wanted_list(&self, asked: Asked<'_>, standing: Standing) -> Option<repository::Asked> {
        let repositories = &self.makings.packages.repositories;
        if repositories.is_empty() {
            return None;
        }
        let wanted = repositories.find(asked.path, asked.is_directory, asked.request.uri.query())?;
        (!wanted.is_name || standing == Standing::Absent).then_some(wanted)
    }

    /// Answers with a list.
    pub(super) async fn packages(&self, asked: Asked<'_>, wanted: &repository::Asked, now: Timestamp) -> Response<Body> {
        let mut entries = Vec::new();
        let (mut may_leave, mut is_settled) = (true, true);
        for marker in &wanted.markers {
            match self.standing(Asked { path: marker, is_directory: false, ..asked }).await {
                Standing::Public { entry, as_recorded } => {
                    is_settled &= as_recorded && entry.state == FileState::Settled;
                    may_leave &= self.may_leave(&entry, as_recorded, now);
                    entries.push(entry);
                }
                Standing::NotIndexed { .. } => (may_leave, is_settled) = (false, false),
                Standing::Held => return self.error(asked, Other::Gone, HELD),
                Standing::Away => return self.unavailable(asked),
                _ => return self.error(asked, Other::NotFound, NO_REPOSITORY),
            }
        }
        let listed = if may_leave { entries.as_slice() } else { &[] };
        match wanted.list {
            List::Apt | List::Rpm => self.mirror_list(asked, wanted, listed, now),
            List::Metalink => {
                let entry = entries.first().copied().filter(|_| is_settled);
                self.repomd_metalink(asked, wanted, (entry, may_leave), now).await
            }
        }
    }

    /// Whether mirrors may be used for a marker. That it is small, or kept here as all metadata are, says nothing of packages.
    pub(super) fn may_leave(&self, entry: &FileEntry, as_recorded: bool, now: Timestamp) -> bool {
        let why = decide::reason_to_stay_home(entry, as_recorded, &self.makings.rules, now.as_second());
        matches!(why, None | Some(Why::TooSmall))
    }

    fn mirror_list(
        &self,
        asked: Asked<'_>,
        wanted: &repository::Asked,
        markers: &[FileEntry],
        now: Timestamp,
    ) -> Response<Body> {
        let holds_all = |offer: &Offer| markers.iter().all(|entry| offer.holds(entry.version));
        let mirrors = if markers.is_empty() { Vec::new() } else { self.sources(asked, &holds_all) };
        let slash = if wanted.directory.is_root() { "" } else { "/" };
        let below = wanted.directory.encoded() + slash;
        let urls: Vec<String> = mirrors.iter().map(|source| format!("{}{below}", source.url)).collect();
        let Some(origin) = self.own(asked).map(|own| own.base()) else { return self.error(asked, Other::BadRequest, NO_HOST) };
        let origin = origin + &below;
        let text = if wanted.list == List::Apt { list::apt(&origin, &urls) } else { list::rpm(&origin, &urls) };
        self.written(asked, text, ("text/plain; charset=utf-8", "local; why=mirror-list"), now)
    }

    async fn repomd_metalink(
        &self,
        asked: Asked<'_>,
        wanted: &repository::Asked,
        (entry, may_leave): (Option<FileEntry>, bool),
        now: Timestamp,
    ) -> Response<Body> {
        let (Some(marker), Some(origin)) = (wanted.markers.first(), self.own(asked).map(|own| own.base())) else {
            return self.error(asked, Other::BadRequest, NO_HOST);
        };
        let (root, path, ledger) =
            (self.makings.trees.public.clone(), marker.clone(), Arc::clone(&self.makings.packages.ledger));
        let times = (wanted.accept_old, now.as_second());
        let read = move || {
            let (version, seen) = version(&root, &path)?;
            // What is not known, or is being written, is told as it is, and nobody is told of it later.
            let Some(entry) = entry.filter(|entry| entry.matches(&seen)) else { return Ok((version, Vec::new())) };
            let told = Told { number: entry.version.0, version: version.clone() };
            Ok((version, ledger.note(&path, told, entry.public_since, times)))
        };
        let (current, alternates) = match self.threads.run_in_time(read).await.unwrap_or(Err(LookError::Away)) {
            Ok(versions) => versions,
            Err(LookError::Absent | LookError::Forbidden) => return self.not_found(asked),
            Err(_) => return self.unavailable(asked),
        };
        // Those that hold the present version, then those that are known to hold an older one that is accepted.
        let holds_current = |offer: &Offer| entry.is_some_and(|entry| offer.holds(entry.version));
        let holds_older = |offer: &Offer| alternates.iter().any(|told| offer.holds(told.version_number()));
        let mut sources = if may_leave && entry.is_some() { self.sources(asked, &holds_current) } else { Vec::new() };
        if !alternates.is_empty() {
            let known = |source: &Source| sources.iter().any(|other| other.url == source.url);
            let older: Vec<_> = self.sources(asked, &holds_older).into_iter().filter(|source| !known(source)).collect();
            sources.extend(older);
        }
        sources.push(Source { url: origin, country: None });
        sources.iter_mut().for_each(|source| source.url.push_str(&marker.encoded()));
        let name = String::from_utf8_lossy(marker.name()).into_owned();
        let older: Vec<Version> = alternates.into_iter().map(|told| told.version).collect();
        // Not the time of the request: who has the list already is told so.
        let written = entry.map_or(current.timestamp, |entry| entry.public_since);
        let written = Timestamp::from_second(written).unwrap_or(Timestamp::UNIX_EPOCH);
        let text = metalink::write(&name, &current, &older, &sources, written);
        self.written(asked, text, ("application/metalink+xml; charset=utf-8", "local; why=metalink"), now)
    }

    /// The base URLs of the best mirrors for a client out of those that hold what is needed.
    fn sources(&self, asked: Asked<'_>, holds: &dyn Fn(&Offer) -> bool) -> Vec<Source> {
        let needs = Needs { holds, version: None, size: 0, portion: Portion::Whole };
        let Some(ranked) = self.rank_by((asked.client, &asked.wishes), &needs, MAX_LISTED) else { return Vec::new() };
        let states = ranked.ranking.iter().filter_map(|best| ranked.mirrors.members.get(best.index()));
        let source = |state: &MirrorState| {
            let base = state.base(asked.client.scheme)?;
            Some(Source { url: base.as_str().to_owned(), country: state.mirror.country })
        };
        states.filter_map(source).collect()
    }

    fn written(
        &self,
        asked: Asked<'_>,
        text: String,
        (media_type, why): (&'static str, &'static str),
        now: Timestamp,
    ) -> Response<Body> {
        let Some(mut response) = self.send_made(asked, (text.into_bytes(), media_type), None, now) else {
            return self.unavailable(asked);
        };
        self.makings.counts.other(Other::List);
        response.headers_mut().insert(CACHE_CONTROL, ASK_AGAIN_EACH);
        response.headers_mut().insert(X_REDIRECTOR, HeaderValue::from_static(why));
        response
    }
}

const HELD: &str = "This repository was withdrawn by the administrators of this site.";
const NO_REPOSITORY: &str = "There is no repository here.";
const NO_HOST: &str = "The Host header can't be read.";

/// Reads the file whole and makes all digests: it is small, and what clients check must be what is here now.
fn version(root: &Root, path: &TreePath<'_>) -> Result<(Version, Fingerprint), LookError> {
    use sha1::Digest as _;
    let opened = root.open_file(path)?;
    let seen = opened.fingerprint;
    if seen.size > MAX_REPOMD_BYTES {
        return Err(LookError::Absent);
    }
    let mut bytes = Vec::new();
    opened.file.take(MAX_REPOMD_BYTES).read_to_end(&mut bytes).map_err(LookError::Other)?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let version = Version {
        timestamp: seen.mtime_ns.div_euclid(1_000_000_000),
        size: bytes.len() as u64,
        md5: hex(&fast_md5::digest(&bytes)),
        sha1: hex(&sha1::Sha1::digest(&bytes)),
        sha256: hex(&sha2::Sha256::digest(&bytes)),
        sha512: hex(&sha2::Sha512::digest(&bytes)),
    };
    Ok((version, seen))
}
