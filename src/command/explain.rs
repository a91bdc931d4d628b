//! `redirector explain`: the answer that a client would get, and why: the whole way from the address to the mirror.

use std::net::IpAddr;

use jiff::Timestamp;

use super::output::{ago, grouped, print, print_facts, print_json, print_table, table, time};
use super::{Context, target};
use crate::daemon::instance::Parts;
use crate::daemon::making;
use crate::http::explain::{Explanation, Line};
use crate::http::{Asked, Client, Wishes};
use crate::model::{Country, Place, Scheme, TreePath};

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

/// Mirrors that are shown of those that could serve; all that were left out for a reason of their own are counted.
const SHOWN: usize = 12;

pub(crate) async fn run(context: &Context, args: Args) -> anyhow::Result<()> {
    let target = target::find(&context.configs, &args.path)?;
    let parts = Parts::open(target.config, &context.clock).await?;
    let scheme = if args.https { Scheme::Https } else { target.scheme };
    let explanation = explain(&parts, &target.path, target.is_directory, args.from, scheme, context.clock.now()).await;
    let credit = parts.locator.credit();
    parts.inventory.close().await?;
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
) -> Explanation {
    let site = making::site(parts);
    let request = http::Request::new(()).into_parts().0;
    let client = Client { address: from.to_canonical(), scheme };
    let asked = Asked { request: &request, path, is_directory, client, wishes: Wishes::default() };
    let standing = site.standing(asked).await;
    let decision = site.decide(standing, asked, now);
    site.explain(asked, standing, &decision)
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
