//! `redirector files`: what the inventory knows of a file, digests on demand, and orders not to hand one out.

mod hash;

use std::process::ExitCode;

use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;

use super::Context;
use super::output::{ago, grouped, print, print_facts, print_json, print_table, table, time};
use super::target::{self, Target};
use crate::http::signature::Key;
use crate::inventory::{Damage, Error, Hold, HoldEvent, Inventory};
use crate::model::{Digests, FileRecord, FileState, Sha256, Span};
use crate::tree::{ApplicationAccess, Root, Trees};

/// See and change what is known of files.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a file: its version, age, digest, and the mirrors that hold it.
    #[command(after_help = "Example:\n  redirector files show /activities/4030/etoys-113.xo")]
    Show {
        /// A URL, a path as a client asks for it (/activities/1/a.xo), or the path below the prefix (1/a.xo).
        path: String,
        /// Print JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Make digests that are missing, or verify files against those that were made.
    #[command(after_help = hash::HELP)]
    Hash(hash::Args),
    /// Stop handing out a file, or everything below a directory: within a second, clients get 410.
    #[command(after_help = "Example:\n  redirector files hold /activities/4030/ --because 'a wrong licence'")]
    Hold {
        /// A URL, a path as a client asks for it (/activities/1/a.xo), or the path below the prefix (1/a.xo).
        path: String,
        /// The reason; it is written down with the time (`files holds --history`).
        #[arg(long, value_name = "REASON", value_parser = target::reason)]
        because: String,
    },
    /// Hand out again what was on hold.
    #[command(after_help = "Example:\n  redirector files release /activities/4030/ --because 'put right'")]
    Release {
        /// The path that was put on hold, written in any of these ways.
        path: String,
        /// The reason; it is written down with the time (`files holds --history`).
        #[arg(long, value_name = "REASON", value_parser = target::reason)]
        because: String,
    },
    /// Print a link to a file that is not public, signed with the instance's key (`application-access = "signed"`).
    #[command(after_help = "Example:\n  redirector files sign /activities/4030/etoys-114.xo --for 2d")]
    Sign {
        /// A URL, a path as a client asks for it (/activities/1/a.xo), or the path below the prefix (1/a.xo).
        path: String,
        /// How long the link is good.
        #[arg(long = "for", value_name = "DURATION", default_value = "1h")]
        span: Span,
    },
    /// List what is on hold, with the reasons.
    #[command(after_help = "Example:\n  redirector files holds --history")]
    Holds {
        /// List what was held and released in the past, too.
        #[arg(long)]
        history: bool,
        /// Print JSON, for programs.
        #[arg(long)]
        json: bool,
    },
}

/// How far ahead a link may be good: what is longer is a slip, or should be public.
const LONGEST_LINK: Duration = Duration::from_secs(366 * 24 * 3600);

/// How many files of a directory are named to who asks for it as a file.
const NEAR: usize = 3;

/// How much of the past `files holds --history` shows.
const HISTORY: usize = 200;

pub(crate) async fn run(context: &Context, command: Command) -> anyhow::Result<ExitCode> {
    if let Command::Hash(args) = command {
        return hash::run(context, &args).await;
    }
    order(context, command).await.map(|()| ExitCode::SUCCESS)
}

async fn order(context: &Context, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Hash(_) => Ok(()),
        Command::Show { path, json } => show(context, &path, json).await,
        Command::Hold { path, because } => {
            let target = target::find(&context.configs, &path)?;
            let inventory = context.open_records(target.config).await?;
            let hold = Hold { path: target.path.clone(), because, at: context.clock.now() };
            insistently(|| inventory.hold(hold.clone())).await.context("the hold could not be written down")?;
            if !is_known(&inventory, &target).await {
                eprintln!(
                    "{path}: nothing is there now, neither a file nor a directory; is it spelt right? It is on hold all the same"
                );
            }
            inventory.close().await?;
            print(&format!("on hold: {}{}", target.config.tree.prefix.encoded(), target.path))
        }
        Command::Release { path, because } => {
            let target = target::find(&context.configs, &path)?;
            let inventory = context.open_records(target.config).await?;
            let release = || inventory.release(target.path.clone(), because.clone(), context.clock.now());
            let was_held = insistently(release).await.context("the release could not be written down")?;
            inventory.close().await?;
            anyhow::ensure!(was_held, "{:?} is not on hold itself; see `redirector files holds`", path);
            print(&format!("released: {}{}", target.config.tree.prefix.encoded(), target.path))
        }
        Command::Sign { path, span } => sign(context, &path, span),
        Command::Holds { history, json } => holds(context, history, json).await,
    }
}

/// Whether there is anything at a path, as far as can be told: a slip of the pen must not look like a hold of a file.
async fn is_known(inventory: &Inventory, target: &Target<'_>) -> bool {
    let in_trees = Trees::open(&target.config.tree).is_ok_and(|Trees { public, application, .. }| {
        let is_away = public.is_away() || application.as_ref().is_some_and(Root::is_away);
        is_away || public.look(&target.path).is_ok() || application.is_some_and(|root| root.look(&target.path).is_ok())
    });
    in_trees || !matches!(inventory.file(target.path.clone()).await, Ok(None))
}

/// Gives an order, again while other processes keep the database to themselves: a server that writes down much at once on a slow
/// disk may be faster to its lock for longer than the store waits.
async fn insistently<T>(order: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
    for _ in 1..MAX_TRIES {
        match order().await {
            Err(Error::Busy { .. }) => tracing::warn!("the database is busy; the order is given again"),
            done => return done,
        }
    }
    order().await
}

/// How often an order is given; the store waits some seconds each time.
const MAX_TRIES: usize = 10;

/// Neither asks for the file nor for the database: links may be made before the file is there, and on another machine.
fn sign(context: &Context, text: &str, span: Span) -> anyhow::Result<()> {
    let target = target::find(&context.configs, text)?;
    let (tree, server) = (&target.config.tree, &target.config.server);
    anyhow::ensure!(
        tree.application_access == ApplicationAccess::Signed,
        "{} gives files that are not public to {}; links are signed where `tree.application-access` is \"signed\"",
        target.config.path.display(),
        if tree.application_access == ApplicationAccess::Open { "everyone" } else { "nobody" }
    );
    anyhow::ensure!(!target.is_directory && !target.path.is_root(), "{text:?} is a directory; links lead to files");
    anyhow::ensure!(!span.0.is_zero() && span.0 <= LONGEST_LINK, "--for {span}: at least a second, at most 366 days");
    let key = tree.application_key_file.as_deref().context("tree.application-key-file is missing")?;
    let key = Key::read(key)?;
    let expires = context.clock.now().checked_add(span.0)?.as_second();
    let origin = match text.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.split('/').next().unwrap_or_default()),
        None => server.public_url.as_deref().unwrap_or("").trim_end_matches('/').to_owned(),
    };
    let address = tree.prefix.encoded() + &target.path.encoded();
    print(&format!("{origin}{address}?{}", key.query(&tree.prefix, &target.path, expires)))
}

#[derive(Serialize)]
struct Shown {
    path: String,
    on_hold: bool,
    version: u32,
    state: &'static str,
    size: u64,
    modified: Timestamp,
    copies_since: Timestamp,
    /// Whether a copy must have just that time.
    exact_time: bool,
    public_since: Timestamp,
    sha256: Option<Sha256>,
    digests: Option<ShownDigests>,
    damage: Option<Damage>,
    mirrors: Vec<ShownMirror>,
}

/// The digests besides the SHA-256.
#[derive(Serialize)]
struct ShownDigests {
    md5: String,
    sha1: String,
    sha512: String,
    piece_length: u32,
    pieces: usize,
    zsync: bool,
}

impl From<&Digests> for ShownDigests {
    fn from(digests: &Digests) -> Self {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            md5: hex(&digests.md5),
            sha1: hex(&digests.sha1),
            sha512: hex(&digests.sha512),
            piece_length: digests.pieces.length,
            pieces: digests.pieces.sha1s().len(),
            zsync: digests.zsync.is_some(),
        }
    }
}

#[derive(Serialize)]
struct ShownMirror {
    name: String,
    holds: bool,
    health: &'static str,
}

async fn show(context: &Context, text: &str, json: bool) -> anyhow::Result<()> {
    let target = target::find(&context.configs, text)?;
    let inventory = context.open_inventory(target.config).await?;
    let record = inventory.file(target.path.clone()).await?;
    let Some(record) = record else {
        let near = inventory.files(target.path.clone(), None, NEAR).await?;
        inventory.close().await?;
        let hint = if near.is_empty() {
            "; is it in the public tree? (`redirector explain` says what a client would get)".to_owned()
        } else {
            let names: Vec<String> = near.iter().map(|record| record.path.to_string()).collect();
            format!("; it is a directory, with files like {}", names.join(", "))
        };
        anyhow::bail!("the inventory has no file {:?}{hint}", target.path);
    };
    let digests = inventory.digests(&record.path, record.version).await?;
    let damage = inventory.damage(record.version).await?;
    let shown = Shown { digests: digests.map(|digests| (&*digests).into()), damage, ..describe(&inventory, &record) };
    inventory.close().await?;
    if json { print_json(&shown) } else { print_shown(&shown, context.clock.now()) }
}

fn describe(inventory: &Inventory, record: &FileRecord) -> Shown {
    let snapshot = inventory.snapshot();
    let mirrors = snapshot.mirrors();
    Shown {
        path: record.path.to_string(),
        on_hold: snapshot.is_held(&record.path),
        version: record.version.0,
        state: state_word(record.state),
        size: record.fingerprint.size,
        modified: record.fingerprint.mtime(),
        copies_since: record.version_time(),
        exact_time: record.exact_time,
        public_since: record.public_since,
        sha256: record.sha256,
        digests: None,
        damage: None,
        mirrors: mirrors
            .members
            .iter()
            .map(|member| ShownMirror {
                name: member.mirror.name.to_string(),
                holds: member.holds(record.version),
                health: member.health.as_str(),
            })
            .collect(),
    }
}

const fn state_word(state: FileState) -> &'static str {
    match state {
        FileState::Settled => "settled",
        FileState::Unconfirmed => "unconfirmed: written again with the same size, to be hashed",
        FileState::Changing => "changing: it is being written",
    }
}

fn print_shown(shown: &Shown, now: Timestamp) -> anyhow::Result<()> {
    let holders = shown.mirrors.iter().filter(|mirror| mirror.holds).count();
    let mut facts = vec![("path", shown.path.clone())];
    if shown.on_hold {
        facts.push(("on hold", "yes: clients get 410 (`redirector files holds` says why)".to_owned()));
    }
    facts.extend([
        ("version", shown.version.to_string()),
        ("state", shown.state.to_owned()),
        ("size", format!("{} bytes", grouped(shown.size))),
        ("modified", format!("{} ({})", time(shown.modified), ago(shown.modified, now))),
        ("public since", format!("{} ({})", time(shown.public_since), ago(shown.public_since, now))),
    ]);
    if shown.exact_time && shown.copies_since <= shown.modified {
        let why = "others may be of what was here before, by size and time";
        facts.push(("copies count", format!("of just that time, and from {} on: {why}", time(shown.public_since))));
    } else if shown.copies_since > shown.modified {
        let why = "an older one may be of what was here before, by size and time; `touch` the file where mirrors keep times";
        facts.push(("copies count", format!("from {} on: {why}", time(shown.copies_since))));
    }
    facts.extend([("sha256", shown.sha256.map_or_else(|| "not hashed yet".to_owned(), |digest| digest.to_string()))]);
    if let Some(digests) = &shown.digests {
        let zsync = if digests.zsync { ", and zsync's block sums" } else { "" };
        facts.extend([
            ("md5", digests.md5.clone()),
            ("sha1", digests.sha1.clone()),
            ("sha512", digests.sha512.clone()),
            ("pieces", format!("{} of {} bytes{zsync}", grouped(digests.pieces as u64), grouped(digests.piece_length.into()))),
        ]);
    } else if shown.sha256.is_some() {
        facts.push(("others", "not made yet; `redirector files hash` makes them now".to_owned()));
    }
    if let Some(Damage { found, at }) = &shown.damage {
        let when = format!("{} ({})", time(*at), ago(*at, now));
        facts.push(("DAMAGED", format!("noticed {when}: the file has sha256 {found}, with the size and times that it had")));
    }
    facts.extend([("mirrors", format!("{holders} of {} hold this version", shown.mirrors.len()))]);
    print_facts(facts)?;
    if shown.mirrors.is_empty() {
        return Ok(());
    }
    let mut mirrors = table(["MIRROR", "HOLDS IT", "HEALTH"]);
    for mirror in &shown.mirrors {
        mirrors.add_row([mirror.name.as_str(), if mirror.holds { "yes" } else { "no" }, mirror.health]);
    }
    print("")?;
    print_table(&mirrors)
}

#[derive(Serialize)]
struct ShownHold {
    prefix: String,
    path: String,
    because: String,
    at: Timestamp,
}

/// A hold that was set or lifted.
#[derive(Serialize)]
struct ShownEvent {
    prefix: String,
    path: String,
    what: &'static str,
    because: String,
    at: Timestamp,
}

fn event_of(prefix: &str, event: HoldEvent) -> ShownEvent {
    ShownEvent {
        prefix: prefix.to_owned(),
        path: event.path.to_string(),
        what: event.action.as_str(),
        because: event.because,
        at: event.at,
    }
}

async fn holds(context: &Context, history: bool, json: bool) -> anyhow::Result<()> {
    let mut standing = Vec::new();
    let mut past = Vec::new();
    for config in &context.configs {
        let inventory = context.open_records(config).await?;
        let prefix = config.tree.prefix.encoded();
        let shown =
            |hold: Hold| ShownHold { prefix: prefix.clone(), path: hold.path.to_string(), because: hold.because, at: hold.at };
        standing.extend(inventory.holds().await?.into_iter().map(shown));
        if history {
            past.extend(inventory.hold_history(HISTORY).await?.into_iter().map(|event| event_of(&prefix, event)));
        }
        inventory.close().await?;
    }
    if json {
        return print_json(&serde_json::json!({ "holds": standing, "history": past }));
    }
    if standing.is_empty() {
        print("nothing is on hold")?;
    } else {
        let mut rows = table(["PATH", "SINCE", "BECAUSE"]);
        for hold in &standing {
            rows.add_row([format!("{}{}", hold.prefix, hold.path), time(hold.at), hold.because.clone()]);
        }
        print_table(&rows)?;
    }
    if !past.is_empty() {
        let mut rows = table(["WHEN", "WHAT", "PATH", "BECAUSE"]);
        for event in &past {
            rows.add_row([
                time(event.at),
                event.what.to_owned(),
                format!("{}{}", event.prefix, event.path),
                event.because.clone(),
            ]);
        }
        print("")?;
        print_table(&rows)?;
    }
    Ok(())
}
