//! What is decided about a request: what its query wishes, which mirrors there are for it, and what comes of that.

use http::header::{RANGE, USER_AGENT};
use http::{HeaderValue, Method};
use jiff::Timestamp;

use super::client::Client;
use super::ranker::{Needs, Portion, Ranked};
use super::redirect::{self, Redirect};
use super::site::{Asked, Makings, Site};
use super::wishes::{Trace, Wishes};
use super::{hints, local};
use crate::decide::{self, Decision, Standing};
use crate::inventory::{FileEntry, Offer, Sought};
use crate::model::{Place, SignatureKind, TreePath};

/// What is being looked for in memory, while other things are done.
pub(super) struct Seeking {
    pub(super) file: Sought,
    /// The file with a signature of it, where redirects tell of that.
    pub(super) signature: Option<Sought>,
}

/// What of a request a redirect hangs on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Errand<'a> {
    /// As [`Asked::path`].
    pub(super) path: &'a TreePath<'a>,
    /// Who asks.
    pub(super) client: Client,
    /// What the query wishes.
    pub(super) wishes: Wishes<'a>,
    /// Whether the file itself is asked for, and not only its headers.
    pub(super) is_get: bool,
    /// Whether there is a `Range`.
    pub(super) has_range: bool,
    /// What the client says it is.
    pub(super) user_agent: Option<&'a [u8]>,
    /// The host that the request names.
    pub(super) authority: Option<&'a str>,
}

impl<'a> From<Asked<'a>> for Errand<'a> {
    fn from(asked: Asked<'a>) -> Self {
        let headers = &asked.request.headers;
        Self {
            path: asked.path,
            client: asked.client,
            wishes: asked.wishes,
            is_get: asked.request.method == Method::GET,
            has_range: headers.contains_key(RANGE),
            user_agent: headers.get(USER_AGENT).map(HeaderValue::as_bytes),
            authority: hints::authority(asked.request),
        }
    }
}

impl Site {
    /// The request with what its query wishes. One for a directory has nothing to wish: it is a list of links.
    pub(super) fn heed<'a>(&self, asked: Asked<'a>, query: &'a str) -> Result<Asked<'a>, &'static str> {
        if asked.is_directory {
            return Ok(asked);
        }
        let wishes = Wishes::parse(query)?;
        let address = wishes.address.filter(|_| self.is_trusted(asked.client)).unwrap_or(asked.client.address);
        Ok(Asked { wishes, client: Client { address, ..asked.client }, ..asked })
    }

    /// Whether a client may ask as somebody else. It is the client's own address that counts, not its proxy's.
    fn is_trusted(&self, client: Client) -> bool {
        self.makings.answers.trusted.iter().any(|network| network.contains(&client.address))
    }

    /// Whether a client is told the whole decision.
    pub(super) fn may_trace(&self, client: Client) -> bool {
        match self.makings.answers.trace {
            Trace::Open => true,
            Trace::Trusted => self.is_trusted(client),
            Trace::Deny => false,
        }
    }

    /// Begins to look for what a redirect tells of a path.
    pub(super) fn seek(&self, path: &TreePath<'_>) -> Seeking {
        let Makings { snapshot, describe, .. } = &self.makings;
        if !describe.links {
            return Seeking { file: snapshot.seek(path), signature: None };
        }
        let (file, signature) = snapshot.seek_both(path, SignatureKind::Asc.suffix());
        Seeking { file, signature: Some(signature) }
    }

    /// What is answered, and why.
    #[must_use]
    pub fn decide(&self, standing: Standing, asked: Asked<'_>, now: Timestamp) -> Decision<Ranked, usize> {
        self.decide_errand(standing, &asked.into(), now)
    }

    /// The same for what of the request it hangs on.
    pub(super) fn decide_errand(&self, standing: Standing, errand: &Errand<'_>, now: Timestamp) -> Decision<Ranked, usize> {
        let Makings { rules, fallbacks, .. } = &self.makings;
        let request = decide::Request {
            path: errand.path,
            address: errand.client.address,
            user_agent: errand.user_agent,
            media_type: local::media_type,
        };
        let rank = |entry: &FileEntry| self.rank(errand, entry);
        let fall_back = || {
            let (client, wishes) = (errand.client, &errand.wishes);
            if fallbacks.list().is_empty() { None } else { fallbacks.choose(client, &self.place(client, wishes), wishes) }
        };
        decide::decide(standing, rules, &request, now.as_second(), (rank, fall_back))
    }

    /// Where the client is, or wishes to be.
    pub(super) fn place(&self, client: Client, wishes: &Wishes<'_>) -> Place {
        wishes.place(self.makings.locator.locate(client.address))
    }

    fn rank(&self, errand: &Errand<'_>, entry: &FileEntry) -> Option<Ranked> {
        let is_part = errand.is_get && errand.has_range;
        let portion = if is_part { Portion::Part } else { Portion::Whole };
        let needs = Needs::of_version(entry.version, entry.size, portion);
        self.rank_by((errand.client, &errand.wishes), &needs, redirect::MAX_LINES)
    }

    /// The best mirrors for a client out of those that can do what is needed.
    pub(super) fn rank_by(
        &self,
        (client, wishes): (Client, &Wishes<'_>),
        needs: &Needs<impl Fn(&Offer) -> bool>,
        wanted: usize,
    ) -> Option<Ranked> {
        let Makings { snapshot, counts, .. } = &self.makings;
        self.ranker.rank((snapshot, counts), (client, &self.place(client, wishes)), needs, wishes, wanted)
    }

    /// The redirect to the mirrors of a ranking.
    pub(super) fn redirect<'a>(
        &'a self,
        errand: &Errand<'a>,
        ranked: &'a Ranked,
        (entry, has_signature): (&FileEntry, impl FnOnce() -> bool),
        now: Timestamp,
    ) -> Redirect<'a> {
        Redirect {
            ranking: &ranked.ranking,
            mirrors: &ranked.mirrors,
            scheme: errand.client.scheme,
            path: errand.path,
            hints: self.hints(errand, entry, has_signature),
            stamp: self.makings.stamp.as_ref().map(|stamp| (stamp, now.as_second())),
            mirrorbrain: self.makings.answers.mirrorbrain_headers,
        }
    }

    /// Counts a redirect of so many bytes.
    pub(super) fn count_redirect(&self, ranked: &Ranked, bytes: u64) {
        if let (Some(best), Some(counts)) = (ranked.ranking.first(), ranked.counts_of_best()) {
            self.makings.counts.redirected(best.class, bytes, counts);
        }
    }

    /// Writes a request to the log, for who looks into one.
    pub(super) fn tell_of(&self, errand: &Errand<'_>, standing: &Standing) {
        tracing::debug!(
            instance = self.makings.name,
            path = %errand.path,
            client = %errand.client.address,
            standing = ?standing,
            "answering"
        );
    }
}
