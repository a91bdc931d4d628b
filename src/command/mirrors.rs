//! `redirector mirrors`: what the instance knows of its mirrors.

mod plot;

use std::sync::Arc;

use clap::Subcommand;
use comfy_table::CellAlignment;
use jiff::Timestamp;
use serde::Serialize;

use super::Context;
use super::output::{ago, grouped, print, print_facts, print_json, print_table, table, time};
use super::scan::printable;
use crate::inventory::{Counts, Gaps, HealthChange, Inventory, MirrorState, ScanSummary, Share};
use crate::model::people::{can_do, percent};
use crate::model::{ByteSize, Checkup, Mirror, MirrorName};

/// See what is known of mirrors.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List all mirrors: where they are, how much they hold, whether they work.
    #[command(after_help = "Example:\n  redirector mirrors list")]
    List {
        /// Print JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Show one mirror with the history of its scans and its health.
    #[command(after_help = "Example:\n  redirector mirrors show nluug --last 3")]
    Show {
        /// The mirror's name in the configuration.
        name: String,
        /// How many scans and changes of health to show.
        #[arg(long, value_name = "NUMBER", default_value_t = 10)]
        last: usize,
        /// Print JSON, for programs.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) async fn run(context: &Context, command: Command) -> anyhow::Result<()> {
    match command {
        Command::List { json } => list(context, json).await,
        Command::Show { name, last, json } => show(context, &name, last, json).await,
    }
}

#[derive(Serialize)]
struct Row {
    instance: String,
    name: MirrorName,
    enabled: bool,
    health: &'static str,
    country: Option<String>,
    continent: Option<String>,
    score: u32,
    /// Of the files that it should have, at the end of the last scan that told it; before there was one, of all.
    holds: u64,
    /// How many it should have; none before a scan has told it.
    of: Option<u64>,
    /// The same and more, as the mirrors' pages have it.
    share: Option<Share>,
    last_scan: Option<Timestamp>,
    last_scan_error: Option<String>,
}

async fn list(context: &Context, json: bool) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for config in &context.configs {
        let inventory = context.open_inventory(config).await?;
        let members = inventory.snapshot().mirrors().members.clone();
        for member in members {
            let scans = inventory.scans(member.mirror.name.clone(), plot::WIDTH).await?;
            rows.push(row(&config.name, &member, &scans));
        }
        inventory.close().await?;
    }
    if json {
        return print_json(&rows);
    }
    if rows.is_empty() {
        return print("no mirrors are configured; add a [[mirror]] to the configuration");
    }
    let now = context.clock.now();
    let several = context.configs.len() > 1;
    let mut shown = table(["MIRROR", "PLACE", "SCORE", "HEALTH", "HOLDS", "SHARE", "LAST SCAN", ""]);
    for index in [2, 4, 5] {
        if let Some(column) = shown.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for row in &rows {
        let name = if several { format!("{}/{}", row.instance, row.name) } else { row.name.to_string() };
        shown.add_row([
            name,
            row.country.clone().or_else(|| row.continent.clone()).unwrap_or_else(|| "?".to_owned()),
            row.score.to_string(),
            if row.enabled { row.health.to_owned() } else { "disabled".to_owned() },
            grouped(row.holds),
            row.share.map_or_else(|| "-".to_owned(), |share| percent(share.of_files())),
            row.last_scan.map_or_else(|| "never".to_owned(), |at| ago(at, now)),
            row.last_scan_error.as_ref().map_or_else(String::new, |_| "failed".to_owned()),
        ]);
    }
    print_table(&shown)?;
    for row in &rows {
        if let Some(error) = &row.last_scan_error {
            print(&format!("{}: the last scan failed: {error}", row.name))?;
        }
    }
    Ok(())
}

/// `scans` are the last ones, newest first.
fn row(instance: &str, member: &MirrorState, scans: &[ScanSummary]) -> Row {
    let mirror = &member.mirror;
    let (last, share) = (scans.first(), Share::last(scans));
    Row {
        instance: instance.to_owned(),
        name: mirror.name.clone(),
        enabled: mirror.enabled,
        health: member.health.as_str(),
        country: mirror.country.map(|country| country.to_string()),
        continent: mirror.continent.map(|continent| continent.to_string()),
        score: mirror.score,
        holds: share.map_or(member.holdings.len(), |share| share.held),
        of: share.map(|share| share.files),
        share,
        last_scan: last.map(|scan| scan.ended),
        last_scan_error: last.and_then(|scan| scan.outcome.clone().err()),
    }
}

impl Row {
    fn held(&self) -> String {
        match self.share {
            Some(share) => format!("{} of {} files ({})", grouped(share.held), grouped(share.files), percent(share.of_files())),
            None => format!("{} files; of how many, no scan has told yet", grouped(self.holds)),
        }
    }
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    row: Row,
    http: Option<String>,
    https: Option<String>,
    rsync: Option<String>,
    ftp: Option<String>,
    operator: Option<String>,
    /// What it can do for clients, if that was tried.
    checkup: Option<Checkup>,
    /// What it lacked then.
    gaps: Option<Gaps>,
    scans: Vec<Scan>,
    health_changes: Vec<Change>,
    /// For the plot, oldest first.
    #[serde(skip)]
    held: Vec<(Timestamp, Option<f64>)>,
}

/// A scan, as programs read it.
#[derive(Serialize)]
struct Scan {
    began: Timestamp,
    ended: Timestamp,
    protocol: &'static str,
    complete: bool,
    notes: String,
    share: Option<Share>,
    #[serde(flatten)]
    counts: Option<Counts>,
    error: Option<String>,
}

impl From<ScanSummary> for Scan {
    fn from(scan: ScanSummary) -> Self {
        let ScanSummary { began, ended, protocol, outcome, complete, notes, share } = scan;
        let (counts, error) = match outcome {
            Ok(counts) => (Some(counts), None),
            Err(reason) => (None, Some(reason)),
        };
        Self { began, ended, protocol: protocol.as_str(), complete, notes, share, counts, error }
    }
}

/// A change of health, as programs read it.
#[derive(Serialize)]
struct Change {
    at: Timestamp,
    health: &'static str,
    reason: Option<String>,
}

async fn show(context: &Context, name: &str, last: usize, json: bool) -> anyhow::Result<()> {
    let mut found = false;
    for config in &context.configs {
        let inventory = context.open_inventory(config).await?;
        let member = inventory.snapshot().mirrors().members.iter().find(|m| m.mirror.name.as_str() == name).cloned();
        if let Some(member) = member {
            found = true;
            let shown = describe(&config.name, &inventory, &member, last).await?;
            if json { print_json(&shown)? } else { print_shown(&shown, &member.mirror, context.clock.now())? }
        }
        inventory.close().await?;
    }
    anyhow::ensure!(found, "no mirror is called {name:?}; `redirector mirrors list` names them");
    Ok(())
}

async fn describe(instance: &str, inventory: &Inventory, member: &MirrorState, last: usize) -> anyhow::Result<Shown> {
    let mirror = &member.mirror;
    let mut scans = inventory.scans(mirror.name.clone(), last.max(plot::WIDTH)).await?;
    let held = |scan: &ScanSummary| match (&scan.outcome, scan.share) {
        (Err(_), _) => Some((scan.ended, None)),
        (Ok(_), share) => share.map(|share| (scan.ended, Some(share.of_files()))),
    };
    let held: Vec<_> = scans.iter().take(plot::WIDTH).rev().filter_map(held).collect();
    let row = row(instance, member, &scans);
    scans.truncate(last);
    Ok(Shown {
        row,
        http: mirror.http.as_ref().map(ToString::to_string),
        https: mirror.https.as_ref().map(ToString::to_string),
        rsync: mirror.rsync.clone(),
        ftp: mirror.ftp.clone(),
        operator: mirror.operator.clone(),
        checkup: inventory.checkup(mirror.name.clone()).await?,
        gaps: inventory.gaps(mirror.name.clone()).await?,
        held,
        scans: scans.into_iter().map(Scan::from).collect(),
        health_changes: inventory
            .health_history(mirror.name.clone(), last)
            .await?
            .into_iter()
            .map(|HealthChange { health, at, reason }| Change { at, health: health.as_str(), reason })
            .collect(),
    })
}

fn print_shown(shown: &Shown, mirror: &Arc<Mirror>, now: Timestamp) -> anyhow::Result<()> {
    let place = mirror.country.map_or_else(|| "unknown".to_owned(), |c| format!("{} ({c})", c.name().unwrap_or("?")));
    let point = mirror.point.map_or_else(String::new, |p| format!(", {:.2}, {:.2}", p.latitude, p.longitude));
    let Row { name, score, enabled, health, .. } = &shown.row;
    let mut facts = vec![("mirror", name.to_string())];
    for (key, value) in [
        ("operator", &shown.operator),
        ("https", &shown.https),
        ("http", &shown.http),
        ("rsync", &shown.rsync),
        ("ftp", &shown.ftp),
    ] {
        facts.extend(value.clone().map(|value| (key, value)));
    }
    facts.extend([
        ("place", format!("{place}{point}")),
        ("score", score.to_string()),
        ("health", if *enabled { health } else { "disabled" }.to_owned()),
        ("holds", shown.row.held()),
    ]);
    facts.extend(shown.row.share.map(|share| ("bytes", bytes_held(&share))));
    facts.extend(shown.gaps.as_ref().and_then(Gaps::excused).map(|excused| ("need not have", excused)));
    if let Some(checkup) = &shown.checkup {
        facts.extend(can_do(checkup, now).into_iter().map(|(what, how)| (key(what), how)));
        facts.extend(checkup.notes.iter().map(|note| ("wrong", printable(note))));
        facts.push(("tried", ago(checkup.at, now)));
    }
    print_facts(facts)?;
    print_plot(&shown.held, now)?;
    print_scans(&shown.scans, now)?;
    print_gaps(shown.gaps.as_ref())?;
    print_health(&shown.health_changes)
}

/// As this program's other facts are written: small, but for what has a name.
fn key(what: &'static str) -> &'static str {
    match what {
        "Ranges" => "ranges",
        "Large files" => "large files",
        "Certificate" => "certificate",
        name => name,
    }
}

fn bytes_held(share: &Share) -> String {
    format!("{} of {} ({})", ByteSize(share.held_bytes), ByteSize(share.bytes), percent(share.of_bytes()))
}

/// The share over time, where there is more than one scan to compare.
fn print_plot(held: &[(Timestamp, Option<f64>)], now: Timestamp) -> anyhow::Result<()> {
    let [(first, _), .., (last, _)] = held else { return Ok(()) };
    if held.iter().all(|(_, held)| held.is_none()) {
        return Ok(());
    }
    let columns: Vec<Option<f64>> = held.iter().map(|(_, held)| *held).collect();
    let failed = if columns.contains(&None) { "; × failed" } else { "" };
    let span = format!("{} to {}", ago(*first, now), ago(*last, now));
    print(&format!("\nshare of files held, {} scans, {span}{failed}\n{}", columns.len(), plot::plot(&columns)))
}

fn print_scans(scans: &[Scan], now: Timestamp) -> anyhow::Result<()> {
    if scans.is_empty() {
        return Ok(());
    }
    print("")?;
    let mut rows = table(["SCAN", "BY", "SECONDS", "HELD", "FOUND", "GONE", "MISMATCHED", "DOUBTFUL", "RESULT"]);
    for scan in scans {
        let seconds = format!("{:.1}", scan.ended.duration_since(scan.began).as_secs_f64());
        let held = scan.share.map_or_else(|| "-".to_owned(), |share| percent(share.of_files()));
        let (numbers, result) = match (&scan.counts, &scan.error) {
            (Some(c), _) => {
                let result = if scan.complete { "complete" } else { "in part" };
                ([c.found, c.gone, c.mismatched, c.doubtful].map(grouped), result.to_owned())
            }
            (None, _) => (["-"; 4].map(str::to_owned), "failed".to_owned()),
        };
        let head = [ago(scan.began, now), scan.protocol.to_owned(), seconds, held];
        rows.add_row(head.into_iter().chain(numbers).chain([result]));
    }
    print_table(&rows)?;
    for scan in scans.iter().filter(|scan| !scan.notes.is_empty()) {
        print(&format!("{}: {}", ago(scan.began, now), printable(&scan.notes)))?;
    }
    print_failures(scans, now)
}

/// Why scans failed; what several in a row failed of is told once.
fn print_failures(scans: &[Scan], now: Timestamp) -> anyhow::Result<()> {
    let failed: Vec<(&Scan, &str)> = scans.iter().filter_map(|scan| Some((scan, scan.error.as_deref()?))).collect();
    for alike in failed.chunk_by(|(_, one), (_, other)| one == other) {
        let [(scan, error), earlier @ ..] = alike else { continue };
        let times = if earlier.is_empty() { String::new() } else { format!(", and {} before", times(earlier.len())) };
        print(&format!("failed {}{times}: {error}", ago(scan.began, now)))?;
    }
    Ok(())
}

fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// How many directories a person looks through; programs get all that are known.
const DIRECTORIES: usize = 10;

fn print_gaps(gaps: Option<&Gaps>) -> anyhow::Result<()> {
    let Some(gaps) = gaps.filter(|gaps| !gaps.directories.is_empty()) else { return Ok(()) };
    print("")?;
    let mut rows = table(["LACKS IN", "MISSING", "STALE", "FOR EXAMPLE"]);
    for gap in gaps.directories.iter().take(DIRECTORIES) {
        let whole = if gap.whole { " (all of it)" } else { "" };
        let example = gap.examples.first().cloned().unwrap_or_default();
        rows.add_row([format!("/{}{whole}", gap.directory), grouped(gap.missing), grouped(gap.stale), example]);
    }
    print_table(&rows)?;
    let more = gaps.more + gaps.directories.len().saturating_sub(DIRECTORIES) as u64;
    if more > 0 { print(&format!("and in {} more directories", grouped(more))) } else { Ok(()) }
}

fn print_health(changes: &[Change]) -> anyhow::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    print("")?;
    let mut rows = table(["HEALTH", "SINCE", "BECAUSE"]);
    for change in changes {
        rows.add_row([change.health.to_owned(), time(change.at), change.reason.clone().unwrap_or_default()]);
    }
    print_table(&rows)
}
