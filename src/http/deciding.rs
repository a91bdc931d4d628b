//! What is decided about a request: what its query wishes, which mirrors there are for it, and what comes of that.

use http::header::{RANGE, USER_AGENT};
use http::{HeaderValue, Method};
use jiff::Timestamp;

use super::client::Client;
use super::local;
use super::ranker::{Needs, Portion, Ranked};
use super::response;
use super::site::{Asked, Makings, Site};
use super::wishes::{Trace, Wishes};
use crate::decide::{self, Decision, Standing};
use crate::inventory::{FileEntry, MirrorState};
use crate::model::Place;

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

    /// What is answered, and why.
    #[must_use]
    pub fn decide(&self, standing: Standing, asked: Asked<'_>, now: Timestamp) -> Decision<Ranked, usize> {
        let Makings { rules, fallbacks, .. } = &self.makings;
        let request = decide::Request {
            path: asked.path,
            address: asked.client.address,
            user_agent: asked.request.headers.get(USER_AGENT).map(HeaderValue::as_bytes),
            media_type: local::media_type,
        };
        let rank = |entry: &FileEntry| self.rank(asked, entry);
        let fall_back = || {
            let client = asked.client;
            if fallbacks.list().is_empty() { None } else { fallbacks.choose(client, &self.place(asked), &asked.wishes) }
        };
        decide::decide(standing, rules, &request, now.as_second(), (rank, fall_back))
    }

    /// Where the client is, or wishes to be.
    pub(super) fn place(&self, asked: Asked<'_>) -> Place {
        asked.wishes.place(self.makings.locator.locate(asked.client.address))
    }

    fn rank(&self, asked: Asked<'_>, entry: &FileEntry) -> Option<Ranked> {
        let is_part = asked.request.method == Method::GET && asked.request.headers.contains_key(RANGE);
        let portion = if is_part { Portion::Part } else { Portion::Whole };
        let needs = Needs { holds: |state: &MirrorState| state.holds(entry.version), size: entry.size, portion };
        self.rank_by(asked, &needs, response::MAX_LINES)
    }

    /// The best mirrors for a client out of those that can do what is needed.
    pub(super) fn rank_by(
        &self,
        asked: Asked<'_>,
        needs: &Needs<impl Fn(&MirrorState) -> bool>,
        wanted: usize,
    ) -> Option<Ranked> {
        let Makings { snapshot, counts, .. } = &self.makings;
        self.ranker.rank((snapshot, counts), (asked.client, &self.place(asked)), needs, &asked.wishes, wanted)
    }
}
