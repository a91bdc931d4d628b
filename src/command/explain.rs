//! `redirector explain`: the answer that a client would get, and why: the whole way from the address to the mirror.

use std::net::IpAddr;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use super::output::{ago, grouped, print, print_facts, print_json, print_table, table, time};
use super::{Context, target};
use crate::daemon::instance::{self, Parts};
use crate::decide::{self, Decision, Rules, Standing};
use crate::http::Asked;
use crate::http::client as http_client;
use crate::inventory::{FileEntry, MirrorSet};
use crate::model::{ByteSize, ClientNetwork, Country, Place, Scheme, TreePath};
use crate::selection::{self, Drawn, Request, Selector};
use crate::tree::ApplicationAccess;

/// What `explain --help` says beyond its options.
pub(super) const HELP: &str = "\
It decides as the server does, from the same trees and the same database: the client's place, the \
answer, and every mirror with its class, distance, score, holding and health, and why it was ranked or \
left out.

Examples:
  redirector explain /activities/4030/etoys-113.xo --from 145.97.39.155
  redirector explain https://download.example.org/activities/4030/etoys-113.xo --from 2001:610::1";

/// Tell what a client would get, and why.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A URL, a path as a client asks for it (/activities/1/a.xo), or the path below the prefix (1/a.xo).
    path: String,
    /// The client's address.
    #[arg(long, value_name = "ADDRESS")]
    from: IpAddr,
    /// Explain it as if the client came by https (a URL says so by itself).
    #[arg(long)]
    https: bool,
    /// Show mirrors that were left out for want of room, too.
    #[arg(long)]
    all: bool,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// Everything that a decision hangs on.
#[derive(Debug, Serialize)]
struct Explanation {
    instance: String,
    path: String,
    client: Client,
    file: Option<File>,
    answer: Answer,
    mirrors: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Client {
    address: IpAddr,
    scheme: Scheme,
    #[serde(flatten)]
    place: Place,
}

#[derive(Debug, Serialize)]
struct File {
    version: u32,
    size: u64,
    public_since: Timestamp,
    as_recorded: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    status: u16,
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    /// The same in a sentence.
    text: String,
}

/// A mirror, and what was made of it.
#[derive(Debug, Serialize)]
struct Line {
    /// 1 is where the client is sent.
    rank: Option<usize>,
    name: String,
    class: &'static str,
    tier: Option<usize>,
    distance_km: Option<f64>,
    score: u32,
    holds: bool,
    health: &'static str,
    /// Why it was left out.
    left_out: Option<String>,
}

/// Mirrors that are shown of those that could serve; all that were left out for a reason of their own are counted.
const SHOWN: usize = 12;

pub(crate) async fn run(context: &Context, args: Args) -> anyhow::Result<()> {
    let target = target::find(&context.configs, &args.path)?;
    let parts = Parts::open(target.config, &context.clock).await?;
    let scheme = if args.https { Scheme::Https } else { target.scheme };
    let explanation = explain(&parts, &target.path, target.is_directory, args.from, scheme, context.clock.now()).await;
    let credit = parts.locator.credit();
    parts.inventory.close().await?;
    let explanation = explanation?;
    if args.json {
        return print_json(&explanation);
    }
    show(&explanation, args.all, context.clock.now())?;
    credit.map_or(Ok(()), |credit| print(&format!("\n{}: {}", credit.text, credit.url)))
}

async fn explain(
    parts: &Parts,
    path: &TreePath<'static>,
    is_directory: bool,
    from: IpAddr,
    scheme: Scheme,
    now: Timestamp,
) -> anyhow::Result<Explanation> {
    let config = &parts.config;
    let site = instance::site(parts);
    let request = http::Request::new(()).into_parts().0;
    let client = http_client::Client { address: from.to_canonical(), scheme };
    let standing = site.standing(Asked { request: &request, path, is_directory, client }).await;
    let place = parts.locator.locate(from);
    let mirrors = parts.inventory.snapshot().mirrors();
    let entry = match standing {
        Standing::Public { entry, .. } => Some(entry),
        _ => None,
    };
    let client = Client { address: from.to_canonical(), scheme, place };
    let lines = lines(&mirrors, &client, entry.as_ref());
    let best = lines.iter().find(|line| line.rank == Some(1)).map(|line| line.name.clone());
    let rules = Rules::new(config.tree.min_age, config.tree.min_size);
    let decision = decide::decide(standing, rules, now.as_second(), |_| best);
    let lines = if matches!(decision, Decision::Redirect { .. } | Decision::Local(decide::Why::NoMirror)) || entry.is_some() {
        lines
    } else {
        Vec::new()
    };
    let shown = config.tree.prefix.encoded() + &path.encoded() + if is_directory && !path.is_root() { "/" } else { "" };
    let file = match standing {
        Standing::Public { entry, as_recorded } => Some(File {
            version: entry.version.0,
            size: entry.size,
            public_since: Timestamp::from_second(entry.public_since).context("the age of the file is out of range")?,
            as_recorded,
        }),
        _ => None,
    };
    Ok(Explanation {
        instance: config.name.clone(),
        path: shown,
        answer: answer(&decision, standing, &lines, &mirrors, (path, is_directory), scheme, parts),
        client,
        file,
        mirrors: lines,
    })
}

/// Why a mirror that holds a version may be of no use to a client over TLS.
const UNSEEN: &str = "its https URL was not seen to have the same files (the next scan looks again)";

/// Every mirror: those that can serve in their order, then those that were left out.
fn lines(mirrors: &MirrorSet, client: &Client, entry: Option<&FileEntry>) -> Vec<Line> {
    let list: Vec<_> = mirrors.members.iter().map(|state| state.mirror.clone()).collect();
    let selector = Selector::new(&list);
    let tiers = selector.tiers(&client.place, client.address);
    let drawn = tiers.drawn(ClientNetwork::of(client.address));
    let request = Request {
        scheme: client.scheme,
        size: entry.map_or(0, |entry| entry.size),
        place: &client.place,
        address: client.address,
    };
    let mut order: Vec<(usize, Option<&Drawn>)> = drawn.iter().map(|drawn| (drawn.index, Some(drawn))).collect();
    let ranked: std::collections::HashSet<usize> = drawn.iter().map(|drawn| drawn.index).collect();
    order.extend((0..list.len()).filter(|index| !ranked.contains(index)).map(|index| (index, None)));
    let mut next_rank = 0;
    let mut lines: Vec<Line> = order
        .into_iter()
        .map(|(index, drawn)| {
            let state = &mirrors.members[index];
            let holds = entry.is_some_and(|entry| state.holds(entry.version));
            let refusal = selection::refusal(&state.mirror, state.health, &request).map(|refusal| refusal.to_string());
            let left_out = refusal
                .or_else(|| (!holds).then(|| "is not known to hold this version".to_owned()))
                .or_else(|| state.base(client.scheme).is_none().then(|| UNSEEN.to_owned()));
            let nearness = selector.nearness(&client.place, client.address, index);
            if left_out.is_none() {
                next_rank += 1;
            }
            Line {
                rank: left_out.is_none().then_some(next_rank),
                name: state.mirror.name.to_string(),
                class: nearness.map_or("world", |nearness| nearness.class.as_str()),
                tier: drawn.map(|drawn| drawn.tier),
                distance_km: nearness.and_then(|nearness| nearness.distance_km),
                score: state.mirror.score,
                holds,
                health: if state.mirror.enabled { state.health.as_str() } else { "disabled" },
                left_out,
            }
        })
        .collect();
    lines.sort_by_key(|line| line.rank.unwrap_or(usize::MAX));
    lines
}

fn answer(
    decision: &Decision<String>,
    standing: Standing,
    lines: &[Line],
    mirrors: &MirrorSet,
    (path, is_directory): (&TreePath<'_>, bool),
    scheme: Scheme,
    parts: &Parts,
) -> Answer {
    let plain = |status, why: &str, text: &str| Answer { status, why: why.to_owned(), location: None, text: text.to_owned() };
    match decision {
        Decision::Redirect { ranking: name, .. } => {
            let member = mirrors.members.iter().find(|state| state.mirror.name.as_str() == name);
            let location = member.and_then(|state| state.base(scheme)).map(|base| base.url(path));
            let class = lines.iter().find(|line| line.rank == Some(1)).map_or("world", |line| line.class);
            Answer { status: 302, why: class.to_owned(), location, text: format!("a redirect to {name}") }
        }
        Decision::Local(why) => plain(200, why.as_str(), &format!("the file itself: {}", sentence(*why, lines, parts))),
        Decision::Index if !is_directory => plain(308, "slash", "a redirect to the same path with a slash: it is a directory"),
        Decision::Index if !parts.config.tree.index => {
            plain(404, "index-off", "nothing: directories are not listed (tree.index)")
        }
        Decision::Index => plain(200, "index", "a list of what is in the directory"),
        Decision::NotFound if standing == Standing::Hidden => plain(404, "hidden", "nothing: the name is hidden (tree.hidden)"),
        Decision::NotFound => plain(404, "not-found", "nothing: no tree has it"),
        Decision::Gone => plain(410, "on-hold", "nothing: it is on hold (`redirector files holds` says why)"),
        Decision::Unavailable => plain(503, "tree-away", "nothing now: the tree in which it would be is not there"),
    }
}

fn sentence(why: decide::Why, lines: &[Line], parts: &Parts) -> String {
    match why {
        decide::Why::Young => format!("its version became public less than {} ago (tree.min-age)", parts.config.tree.min_age),
        decide::Why::NotPublic if parts.config.tree.application_access == ApplicationAccess::Signed => {
            "only the application tree has it, and clients need a signed link, else they get 403 (`redirector files sign`)"
                .to_owned()
        }
        decide::Why::NotPublic => "only the application tree has it".to_owned(),
        decide::Why::NoMirror if lines.is_empty() => "there are no mirrors".to_owned(),
        decide::Why::NoMirror => "no mirror that this client may use is known to hold this version".to_owned(),
        decide::Why::Changing => "it is being written, or is not as it was when last looked at".to_owned(),
        decide::Why::Unconfirmed => "it was written again with the same size, and is not hashed yet".to_owned(),
        decide::Why::TooSmall => format!("it is smaller than {} (tree.min-size)", ByteSize(parts.config.tree.min_size.0)),
        decide::Why::NotIndexed => "it is new; no walk or file event has told of it yet".to_owned(),
    }
}

fn show(explanation: &Explanation, all: bool, now: Timestamp) -> anyhow::Result<()> {
    let Explanation { client, answer, .. } = explanation;
    let request = format!("{} ({}, instance {})", explanation.path, scheme_word(client.scheme), explanation.instance);
    let mut facts = vec![("request", request), ("client", format!("{}, {}", client.address, place_text(&client.place)))];
    if let Some(file) = &explanation.file {
        let since = format!("{} ({})", time(file.public_since), ago(file.public_since, now));
        let change = if file.as_recorded { "" } else { "; on disk it is not as recorded" };
        facts.push(("file", format!("version {}, {} bytes, public since {since}{change}", file.version, grouped(file.size))));
    }
    facts.push(("answer", format!("{} why={}: {}", answer.status, answer.why, answer.text)));
    facts.extend(answer.location.clone().map(|location| ("location", location)));
    print_facts(facts)?;
    if explanation.mirrors.is_empty() {
        return Ok(());
    }
    let mut rows = table(["RANK", "MIRROR", "CLASS", "TIER", "KM", "SCORE", "HOLDS", "HEALTH", ""]);
    let limit = if all { usize::MAX } else { SHOWN };
    let (usable, left_out): (Vec<&Line>, Vec<&Line>) = explanation.mirrors.iter().partition(|line| line.rank.is_some());
    for line in usable.iter().take(limit).chain(left_out.iter().take(limit)) {
        rows.add_row([
            line.rank.map_or_else(|| "-".to_owned(), |rank| rank.to_string()),
            line.name.clone(),
            line.class.to_owned(),
            line.tier.map_or_else(|| "-".to_owned(), |tier| (tier + 1).to_string()),
            line.distance_km.map_or_else(|| "-".to_owned(), |km| grouped(rounded(km))),
            line.score.to_string(),
            if line.holds { "yes" } else { "no" }.to_owned(),
            line.health.to_owned(),
            line.left_out.as_ref().map_or_else(String::new, |why| format!("left out: {why}")),
        ]);
    }
    print("")?;
    print_table(&rows)?;
    let hidden = usable.len().saturating_sub(limit) + left_out.len().saturating_sub(limit);
    if hidden > 0 { print(&format!("and {hidden} more; --all shows them")) } else { Ok(()) }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most half the Earth's circumference")]
fn rounded(km: f64) -> u64 {
    km.round() as u64
}

const fn scheme_word(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    }
}

fn place_text(place: &Place) -> String {
    let mut parts = Vec::new();
    if let Some(country) = place.country {
        parts.push(format!("{} ({country})", country.name().unwrap_or("a country")));
    }
    if let Some(continent) = place.continent.or_else(|| place.country.and_then(Country::continent)) {
        parts.push(format!("continent {continent}"));
    }
    if let Some(point) = place.point {
        parts.push(format!("{:.2}, {:.2}", point.latitude, point.longitude));
    }
    if let Some(asn) = place.asn {
        parts.push(format!("AS{asn}"));
    }
    if parts.is_empty() { "of unknown place".to_owned() } else { parts.join(", ") }
}
