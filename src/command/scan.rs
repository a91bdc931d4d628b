//! `redirector scan`: asks mirrors now what they have, and tells what came of it: a line per mirror.

mod bars;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::output::{grouped, print, print_json, print_table, table};
use crate::clock::Clock;
use crate::inventory::Inventory;
use crate::model::{ByteSize, Mirror, TreePath};
use crate::scan::{Clients, Mode, Report, Scanner, Settings};
use bars::Bars;

/// What `scan --help` says beyond its options.
pub(super) const HELP: &str = "\
It reads the public tree first, then asks each mirror by the first of its ways that works: rsync, FTP, \
listings over HTTP, or file by file. It may run beside `serve`, which knows the outcome within a second.

  FOUND       files that the mirror holds in their present version
  GONE        those of them that it held before and has no more
  MISMATCHED  copies with another size, or older ones
  DOUBTFUL    copies of which nothing can be said
  BYTES       what the mirror sent to tell this

A scan that fails, or is interrupted, takes nothing away. Exit status: 0 all were scanned, 1 some mirror was not.

Examples:
  redirector scan
  redirector scan nluug --dry-run
  redirector scan nluug --anew
  redirector scan --directory /activities/4030/";

/// Scan mirrors now.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The mirrors to scan; left out: all that are enabled.
    #[arg(value_name = "MIRROR")]
    pub(crate) mirrors: Vec<String>,
    /// Scan only what is below this directory (a URL, a path as a client asks for it, or the path below the prefix).
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<String>,
    /// Don't read the public tree first: what was indexed of it counts, which a running server keeps current. Without an index it
    /// is read all the same.
    #[arg(long)]
    pub(crate) skip_tree: bool,
    /// Ask for everything and judge it, whatever earlier scans remember of it.
    #[arg(long)]
    pub(crate) anew: bool,
    /// Write nothing down; tell, path by path, what would change.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON, for programs.
    #[arg(long)]
    pub(crate) json: bool,
}

/// One instance, as a scan needs it. Its tree is indexed.
pub(crate) struct Instance {
    /// What it is called; shown when there are several.
    pub(crate) name: String,
    /// All of its mirrors, completed from GeoIP or not.
    pub(crate) mirrors: Vec<Arc<Mirror>>,
    /// Its inventory.
    pub(crate) inventory: Inventory,
    /// How it scans.
    pub(crate) settings: Settings,
    /// The age at which files leave its tree.
    pub(crate) min_age: Duration,
    /// Who can be asked what this is, when the settings don't say.
    pub(crate) contact: Option<String>,
    /// The directory that is scanned.
    pub(crate) directory: TreePath<'static>,
}

/// Scans, and prints what came of it. Fails when any mirror did.
pub(crate) async fn run(args: &Args, instances: &[Instance], clock: &Clock) -> anyhow::Result<ExitCode> {
    check_names(&args.mirrors, instances)?;
    let bars = Bars::new(instances.iter().map(|instance| chosen(&args.mirrors, instance).len()).sum());
    // Whoever is dropped in the middle takes the programs along that it has started.
    let scanned = tokio::select! {
        scanned = scan_all(args, instances, &bars, clock) => Some(scanned?),
        interrupted = interruption() => interrupted.map(|()| None)?,
    };
    bars.clear();
    let Some(all) = scanned else {
        bail!("interrupted: mirrors whose scans had ended are known as they were seen, the others as before");
    };
    if all.iter().all(|(_, reports)| reports.is_empty()) {
        bail!("no mirror to scan: none is configured, or none is enabled");
    }
    if args.json {
        let reports = all.iter().flat_map(|(instance, reports)| reports.iter().map(|report| as_json(&instance.name, report)));
        print_json(&reports.collect::<Vec<_>>())?;
    } else {
        show(&all)?;
    }
    let failed = all.iter().flat_map(|(_, reports)| reports).any(|report| report.outcome.is_err());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn scan_all<'a>(
    args: &Args,
    instances: &'a [Instance],
    bars: &Bars,
    clock: &Clock,
) -> anyhow::Result<Vec<(&'a Instance, Vec<Report>)>> {
    let mut all = Vec::new();
    for instance in instances {
        let mirrors = chosen(&args.mirrors, instance);
        if !mirrors.is_empty() {
            all.push((instance, scan(args, instance, &mirrors, bars, clock).await?));
        }
    }
    Ok(all)
}

/// Waits until somebody wants this to end.
async fn interruption() -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// Refuses names that no instance has, with the likeliest right one.
fn check_names(names: &[String], instances: &[Instance]) -> anyhow::Result<()> {
    let known = || instances.iter().flat_map(|instance| &instance.mirrors).map(|mirror| mirror.name.as_str());
    for name in names {
        if !known().any(|known| known == name) {
            /// Below this, two names have nothing in common.
            const ALIKE: f64 = 0.7;
            let likeness = |other: &&str| strsim::jaro_winkler(name, other);
            let likely = known().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|other| likeness(other) > ALIKE);
            let listed = || "; `redirector mirrors list` names them".to_owned();
            let hint = likely.map_or_else(listed, |likely| format!("; did you mean {likely:?}?"));
            bail!("there is no mirror {name:?}{hint}");
        }
    }
    Ok(())
}

fn chosen(names: &[String], instance: &Instance) -> Vec<Arc<Mirror>> {
    let wanted = |mirror: &&Arc<Mirror>| {
        if names.is_empty() { mirror.enabled } else { names.iter().any(|name| *name == mirror.name.as_str()) }
    };
    instance.mirrors.iter().filter(wanted).map(Arc::clone).collect()
}

/// Scans an instance's mirrors, a few at once. The reports come in the order of the mirrors.
async fn scan(
    args: &Args,
    instance: &Instance,
    mirrors: &[Arc<Mirror>],
    bars: &Bars,
    clock: &Clock,
) -> anyhow::Result<Vec<Report>> {
    let clients = Clients::new(&instance.settings, instance.contact.as_deref())?;
    let mut settings = instance.settings.clone();
    if args.anew {
        settings.limits.reread = 1;
    }
    let scanner = Scanner::new(instance.inventory.clone(), settings, clients, clock.clone()).of_age(instance.min_age);
    mirrors.iter().filter(|_| args.anew).for_each(|mirror| scanner.distrust(&mirror.name));
    let plan = scanner.plan(instance.directory.clone()).await.context("can't read what there is to find")?;
    let mode = if args.dry_run { Mode::DryRun } else { Mode::Record };
    let (scanner, plan) = (&scanner, &plan);
    let mut waiting = mirrors.iter().enumerate();
    let mut running = FuturesUnordered::new();
    let mut reports = Vec::new();
    loop {
        while running.len() < instance.settings.parallel.max(1)
            && let Some((position, mirror)) = waiting.next()
        {
            running.push(async move { (position, scanner.scan(mirror, plan, mode, bars).await) });
        }
        let Some(report) = running.next().await else { break };
        reports.push(report);
    }
    reports.sort_by_key(|(position, _)| *position);
    Ok(reports.into_iter().map(|(_, report)| report).collect())
}

fn show(all: &[(&Instance, Vec<Report>)]) -> anyhow::Result<()> {
    let several = all.len() > 1;
    let mut lines = table(["MIRROR", "FOUND", "GONE", "MISMATCHED", "DOUBTFUL", "BYTES", "SECONDS", "BY", "RESULT"]);
    for (instance, reports) in all {
        for report in reports {
            let name = if several { format!("{}/{}", instance.name, report.mirror) } else { report.mirror.to_string() };
            lines.add_row(line(name, report));
        }
    }
    print_table(&lines)?;
    for report in all.iter().flat_map(|(_, reports)| reports) {
        if let Err(reason) = &report.outcome {
            print(&format!("{} failed: {reason}", report.mirror))?;
        }
    }
    for report in all.iter().flat_map(|(_, reports)| reports) {
        show_changes(report)?;
    }
    for report in all.iter().flat_map(|(_, reports)| reports) {
        report.notes.iter().for_each(|note| eprintln!("{}: {}", report.mirror, printable(note)));
    }
    Ok(())
}

fn line(name: String, report: &Report) -> Vec<String> {
    let seconds = format!("{:.1}", report.took.as_secs_f64());
    let mut cells = vec![name];
    match &report.outcome {
        Ok(counts) => {
            cells.extend([counts.found, counts.gone, counts.mismatched, counts.doubtful].map(grouped));
            cells.extend([ByteSize(counts.bytes).to_string(), seconds, report.protocol.as_str().to_owned()]);
            cells.push(if report.complete { "complete" } else { "in part" }.to_owned());
        }
        Err(_) => {
            cells.extend(["-"; 5].map(str::to_owned));
            cells.extend([seconds, "-".to_owned(), "failed".to_owned()]);
        }
    }
    cells
}

/// What a dry run would change, path by path.
fn show_changes(report: &Report) -> anyhow::Result<()> {
    let Some(changes) = &report.changes else { return Ok(()) };
    let (gained, lost) = (changes.gained.len() as u64, changes.lost.len() as u64);
    if gained + lost == 0 {
        return print(&format!("{}: nothing would change", report.mirror));
    }
    let mut text = format!("{} would gain {} and lose {}", report.mirror, files(gained), files(lost));
    if changes.untold > 0 {
        text.push_str(&format!(", and {} more of both that are not told here", grouped(changes.untold)));
    }
    text.push('\n');
    let marked = changes.gained.iter().map(|path| ('+', path)).chain(changes.lost.iter().map(|path| ('-', path)));
    for (mark, path) in marked {
        text.push_str(&format!("{mark} {}\n", printable(&path.to_string())));
    }
    print(&text)
}

fn files(count: u64) -> String {
    format!("{} {}", grouped(count), if count == 1 { "file" } else { "files" })
}

/// What came from outside, without characters that a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn as_json(instance: &str, report: &Report) -> Value {
    let (counts, error) = match &report.outcome {
        Ok(counts) => (Some(counts), None),
        Err(reason) => (None, Some(reason)),
    };
    let paths = |paths: &[TreePath<'static>]| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
    let changes = report
        .changes
        .as_ref()
        .map(|changes| json!({ "gained": paths(&changes.gained), "lost": paths(&changes.lost), "untold": changes.untold }));
    json!({
        "instance": instance,
        "mirror": report.mirror,
        "began": report.began,
        "seconds": report.took.as_secs_f64(),
        "protocol": counts.map(|_| report.protocol.as_str()),
        "complete": report.complete,
        "found": counts.map(|counts| counts.found),
        "gone": counts.map(|counts| counts.gone),
        "mismatched": counts.map(|counts| counts.mismatched),
        "doubtful": counts.map(|counts| counts.doubtful),
        "bytes": counts.map(|counts| counts.bytes),
        "entries": counts.map(|counts| counts.entries),
        "error": error,
        "notes": report.notes,
        "changes": changes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mirror_says_does_not_reach_the_terminal_as_an_order() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
