//! The decision about a request as a story: the place, each mirror with what speaks for and against it, and the answer. The
//! same for `?trace` and for `redirector explain`.

use std::net::IpAddr;

use http::Method;
use http::header::RANGE;
use jiff::Timestamp;
use serde::Serialize;

use super::ranker::Ranked;
use super::signature::Access;
use super::site::{Asked, Site};
use crate::decide::{Decision, Rules, Standing, Why};
use crate::inventory::{FileEntry, MirrorSet, MirrorState};
use crate::model::{ByteSize, ClientNetwork, Place, Scheme, Span, Trust};
use crate::selection::{self, Drawn, IpVersion, Request, Selector};

/// Everything that a decision hangs on.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The instance's name.
    pub instance: String,
    /// The path as a client writes it.
    pub path: String,
    /// Who asks.
    pub client: Client,
    /// What is known of the file, where it is public.
    pub file: Option<File>,
    /// What is answered.
    pub answer: Answer,
    /// Every mirror: those that can serve, best first, then those that were left out.
    pub mirrors: Vec<Line>,
}

/// Who asks, and where that is.
#[derive(Debug, Serialize)]
pub struct Client {
    /// The address.
    pub address: IpAddr,
    /// How the client came.
    pub scheme: Scheme,
    /// Where it is, or wishes to be.
    #[serde(flatten)]
    pub place: Place,
}

/// A public file.
#[derive(Debug, Serialize)]
pub struct File {
    /// The number of its version.
    pub version: u32,
    /// Bytes.
    pub size: u64,
    /// Since when this version is public.
    pub public_since: Timestamp,
    /// Whether the file is as the inventory has it.
    pub as_recorded: bool,
}

/// What is answered.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The reason, as the header has it.
    pub why: String,
    /// Where the client is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The same in a sentence.
    pub text: String,
}

/// A mirror, and what was made of it.
#[derive(Debug, Serialize)]
pub struct Line {
    /// 1 is where the client is sent.
    pub rank: Option<usize>,
    /// Its name.
    pub name: String,
    /// How it is related to the client.
    pub class: &'static str,
    /// The number of its tier, 0 is the nearest.
    pub tier: Option<usize>,
    /// How far it is, where that is known.
    pub distance_km: Option<f64>,
    /// Its share among equals.
    pub score: u32,
    /// Whether it was seen with this version.
    pub holds: bool,
    /// Whether it works; `disabled` where nobody asks it.
    pub health: &'static str,
    /// Why it was left out.
    pub left_out: Option<String>,
}

impl Explanation {
    /// Takes out what is the administrators' business alone: mirrors that are not in use.
    pub fn keep_public(&mut self) {
        self.mirrors.retain(|line| line.health != DISABLED);
    }
}

const DISABLED: &str = "disabled";

impl Site {
    /// Tells how a decision came about.
    #[must_use]
    pub fn explain(&self, asked: Asked<'_>, standing: Standing, decision: &Decision<Ranked, usize>) -> Explanation {
        let mirrors = self.makings.snapshot.mirrors();
        let client = Client {
            address: asked.client.address,
            scheme: asked.client.scheme,
            place: self.place(asked.client, &asked.wishes),
        };
        let (file, lines) = match standing {
            Standing::Public { entry, as_recorded } => {
                (Some(File::new(&entry, as_recorded)), lines(&mirrors, &client, asked, &entry, self.makings.answers.ip_version))
            }
            _ => (None, Vec::new()),
        };
        let slash = if asked.is_directory && !asked.path.is_root() { "/" } else { "" };
        Explanation {
            instance: self.name().to_owned(),
            path: self.route().prefix().encoded() + &asked.path.encoded() + slash,
            answer: self.told(asked, standing, decision),
            client,
            file,
            mirrors: lines,
        }
    }

    fn told(&self, asked: Asked<'_>, standing: Standing, decision: &Decision<Ranked, usize>) -> Answer {
        let plain =
            |status, why: &str, text: &str| Answer { status, why: why.to_owned(), location: None, text: text.to_owned() };
        match decision {
            Decision::Redirect { ranking, .. } => {
                let best = ranking.ranking.first();
                let state = best.and_then(|best| ranking.mirrors.members.get(best.index()));
                let base = state.and_then(|state| state.base(asked.client.scheme));
                let name = state.map_or("nobody", |state| state.mirror.name.as_str());
                let why = best.map_or("", |best| best.class.as_str());
                redirect(why, base.map(|base| base.url(asked.path)), format!("a redirect to {name}"))
            }
            Decision::Fallback { to, .. } => {
                let fallback = self.makings.fallbacks.list().get(*to);
                let base = fallback.and_then(|fallback| fallback.base(asked.client.scheme));
                let name = fallback.map_or("nobody", |fallback| fallback.name.as_str());
                let text = format!("a redirect to the fallback mirror {name}, since no mirror can take this client");
                redirect("fallback", base.map(|base| base.url(asked.path)), text)
            }
            Decision::Local(Why::NotPublic) if matches!(self.makings.application_access, Access::Signed(_)) => plain(
                200,
                Why::NotPublic.as_str(),
                "the file itself, which only the application tree has, to who has a signed link, else 403 (`redirector files sign`)",
            ),
            Decision::Local(why) => {
                let has_mirrors = !self.makings.snapshot.mirrors().members.is_empty();
                plain(200, why.as_str(), &format!("the file itself: {}", sentence(*why, &self.makings.rules, has_mirrors)))
            }
            Decision::Index if !self.makings.index => {
                plain(404, "index-off", "nothing: directories are not listed (tree.index)")
            }
            Decision::Index if !asked.is_directory => {
                plain(308, "slash", "a redirect to the same path with a slash: it is a directory")
            }
            Decision::Index => plain(200, "index", "a list of what is in the directory"),
            Decision::NotFound if standing == Standing::Hidden => {
                plain(404, "hidden", "nothing: the name is hidden (tree.hidden)")
            }
            Decision::NotFound => plain(404, "not-found", "nothing: no tree has it"),
            Decision::Gone => plain(410, "on-hold", "nothing: it is on hold (`redirector files holds` says why)"),
            Decision::Unavailable => plain(503, "tree-away", "nothing now: the tree in which it would be is not there"),
        }
    }
}

fn redirect(why: &str, location: Option<String>, text: String) -> Answer {
    Answer { status: 302, why: why.to_owned(), location, text }
}

impl File {
    fn new(entry: &FileEntry, as_recorded: bool) -> Self {
        Self {
            version: entry.version.0,
            size: entry.size,
            public_since: Timestamp::from_second(entry.public_since).unwrap_or_default(),
            as_recorded,
        }
    }
}

/// Why a mirror that holds a version may be of no use to a client.
const UNSEEN: &str = "its URL for this client was not seen to have the same files (the next scan looks again)";
/// Another reason.
const REFUSED: &str = "the certificate of its https URL is refused (`redirector mirrors show` says why)";

fn no_base(state: &MirrorState) -> &'static str {
    if state.abilities.certificate == Trust::Refused && state.unseen.is_none() { REFUSED } else { UNSEEN }
}

/// What a mirror can't do for this request.
fn inability(state: &MirrorState, asked: Asked<'_>, size: u64, rule: IpVersion) -> Option<String> {
    let abilities = &state.abilities;
    let is_part = asked.request.method == Method::GET && asked.request.headers.contains_key(RANGE);
    if let Some(largest) = abilities.largest.filter(|_| !abilities.sends(size)) {
        return Some(format!("files larger than {} did not come right from it", ByteSize(largest)));
    }
    if is_part && !abilities.ranges.are_usable() {
        return Some("it sends whole files, or other parts, where parts are asked for".to_owned());
    }
    let is_deaf = rule == IpVersion::Require && !abilities.answers(asked.client.address);
    is_deaf.then(|| "it does not answer over the client's version of the Internet Protocol".to_owned())
}

/// Every mirror: those that can serve in their order, then those that were left out.
fn lines(mirrors: &MirrorSet, client: &Client, asked: Asked<'_>, entry: &FileEntry, rule: IpVersion) -> Vec<Line> {
    let list: Vec<_> = mirrors.members.iter().map(|state| state.mirror.clone()).collect();
    let selector = Selector::new(&list);
    let key = selector.key(&client.place, client.address);
    let drawn = selector.tiers_by_key(&key).drawn(ClientNetwork::of(client.address));
    let request = Request { scheme: client.scheme, size: entry.size, place: &client.place, address: client.address };
    let mut order: Vec<(usize, Option<&Drawn>)> = drawn.iter().map(|drawn| (drawn.index, Some(drawn))).collect();
    let ranked: std::collections::HashSet<usize> = drawn.iter().map(|drawn| drawn.index).collect();
    order.extend((0..list.len()).filter(|index| !ranked.contains(index)).map(|index| (index, None)));
    let mut next_rank = 0;
    let mut lines: Vec<Line> = order
        .into_iter()
        .map(|(index, drawn)| {
            let state = &mirrors.members[index];
            let holds = state.holds(entry.version);
            let refusal = selection::refusal(&state.mirror, state.health, &request).map(|refusal| refusal.to_string());
            let left_out = refusal
                .or_else(|| (!holds).then(|| "is not known to hold this version".to_owned()))
                .or_else(|| state.base(client.scheme).is_none().then(|| no_base(state).to_owned()))
                .or_else(|| inability(state, asked, entry.size, rule))
                .or_else(|| asked.wishes.avoids(&state.mirror.name).then(|| "the request asks to avoid it".to_owned()));
            let nearness = selector.nearness(&key, index);
            next_rank += usize::from(left_out.is_none());
            Line {
                rank: left_out.is_none().then_some(next_rank),
                name: state.mirror.name.to_string(),
                class: nearness.map_or("world", |nearness| nearness.class.as_str()),
                tier: drawn.map(|drawn| drawn.tier),
                distance_km: nearness.and_then(|nearness| nearness.distance_km),
                score: state.mirror.score,
                holds,
                health: if state.mirror.enabled { state.health.as_str() } else { DISABLED },
                left_out,
            }
        })
        .collect();
    lines.sort_by_key(|line| line.rank.unwrap_or(usize::MAX));
    lines
}

fn sentence(why: Why, rules: &Rules, has_mirrors: bool) -> String {
    let text = match why {
        Why::Young => {
            return format!("its version became public less than {} ago (tree.min-age)", Span(rules.min_age));
        }
        Why::TooSmall => return format!("it is smaller than {} (tree.min-size)", ByteSize(rules.min_size)),
        Why::NotPublic => "only the application tree has it",
        Why::NoMirror if !has_mirrors => "there are no mirrors",
        Why::NoMirror => "no mirror that this client may use is known to hold this version",
        Why::Changing => "it is being written, or is not as it was when last looked at",
        Why::Unconfirmed => "it was written again with the same size, and is not hashed yet",
        Why::NotIndexed => "it is new; no walk or file event has told of it yet",
        Why::KeptPath => "a rule keeps files of this path here (keep.paths)",
        Why::KeptType => "a rule keeps files of this type here (keep.types)",
        Why::KeptUserAgent => "a rule keeps this user agent here (keep.user-agents)",
        Why::KeptNetwork => "a rule keeps this client's network here (keep.networks)",
        Why::Metadata => "it describes a repository, and comes from here with all that does (repository.metadata)",
    };
    text.to_owned()
}
