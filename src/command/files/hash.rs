//! `redirector files hash`: makes the digests that are missing, or sees whether files still are what they were.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::super::output::{grouped, print, print_json};
use super::super::{Context, target};
use crate::clock;
use crate::config::Config;
use crate::hash::{Amount, Once, Outcome, Task};
use crate::index;
use crate::inventory::Inventory;
use crate::model::{ByteSize, FileRecord, TreePath};
use crate::tree::Trees;

/// What `files hash --help` says beyond its options.
pub(super) const HELP: &str = "\
Without --verify, files get the digests that they lack, as `serve` would make them in time; files that \
have all are left alone, so it can be stopped and started again. With --verify, files that were hashed are \
read again: one whose bytes changed while its size and times did not is damaged (a bad disk, a bad copy). \
That is told, written down and shown by `files show`, and it stays the version that it was: mirrors that \
hold the good copy go on serving it. Restore the file from one of them; if the new content is what you \
want, `touch` the file.

It may run beside `serve`. Exit status: 0 all is well, 1 a file is damaged or could not be read.

Examples:
  redirector files hash
  redirector files hash /activities/4030/ --verify";

/// Hash files now.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files or directories (URLs, paths as a client asks for them, or paths below the prefix); left out: the whole tree.
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// Read again what was hashed, and find files whose bytes changed unnoticed.
    #[arg(long)]
    verify: bool,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// How many files are told of one by one with `--json`; all are counted.
const MAX_TOLD: usize = 10_000;

/// What came of it all.
#[derive(Debug, Default, Serialize)]
struct Summary {
    hashed: u64,
    same: u64,
    damaged: u64,
    changed: u64,
    failed: u64,
    bytes: u64,
    seconds: f64,
    /// Whether it was broken off.
    stopped: bool,
    /// Files of which there is something to say.
    files: Vec<Told>,
}

#[derive(Debug, Serialize)]
struct Told {
    path: String,
    #[serde(flatten)]
    outcome: Outcome,
}

/// A part of an instance's tree that is hashed.
struct Job<'a> {
    config: &'a Config,
    once: Once,
    inventory: Inventory,
    within: TreePath<'static>,
}

pub(super) async fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    let task = if args.verify { Task::Verify } else { Task::Missing };
    let stop = CancellationToken::new();
    let mut jobs = Vec::new();
    let mut total = Amount::default();
    for (config, within) in targets(context, &args.paths)? {
        let job = open(context, config, within, task).await?;
        let amount = job.once.survey(&job.within).await?;
        total = Amount { files: total.files + amount.files, bytes: total.bytes + amount.bytes };
        jobs.push(job);
    }
    let waiting = tokio::spawn(stop_on_signal(stop.clone()));
    let began = clock::instant();
    let mut summary = Summary::default();
    let bar = bar(total);
    for job in &jobs {
        let before = summary.bytes;
        let progress = tokio::spawn(follow(bar.clone(), before, job.once.bytes()));
        let told = job.once.run(&job.within, &stop, |record, outcome| {
            bar.suspend(|| summary.add(job.config, record, outcome, args.json));
        });
        let result = told.await;
        progress.abort();
        summary.bytes = before + job.once.bytes().get();
        result.with_context(|| format!("instance {}", job.config.name))?;
    }
    bar.finish_and_clear();
    waiting.abort();
    for job in jobs {
        job.inventory.close().await.ok(); // two jobs of one instance have an inventory each; the first may have ended both
    }
    summary.seconds = began.elapsed().as_secs_f64();
    summary.stopped = stop.is_cancelled();
    if args.json {
        print_json(&summary)?
    } else {
        print(&summary.line(task))?
    }
    let is_well = summary.damaged + summary.failed == 0 && !summary.stopped;
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn targets<'a>(context: &'a Context, paths: &[String]) -> anyhow::Result<Vec<(&'a Config, TreePath<'static>)>> {
    if paths.is_empty() {
        return Ok(context.configs.iter().map(|config| (config, TreePath::root())).collect());
    }
    let target = |path: &String| target::find(&context.configs, path).map(|target| (target.config, target.path));
    paths.iter().map(target).collect()
}

/// Opens the tree and the inventory. A tree that was never indexed is, first.
async fn open<'a>(context: &Context, config: &'a Config, within: TreePath<'static>, task: Task) -> anyhow::Result<Job<'a>> {
    let inventory = context.open_records(config).await?;
    let settings = config.tree.clone();
    let trees = tokio::task::spawn_blocking(move || Trees::open(&settings)).await??;
    anyhow::ensure!(!trees.public.is_away(), "the tree {} can't be read", config.tree.public.display());
    if !inventory.is_indexed().await? {
        index::walk_once(&trees, &inventory, &config.tree, &context.clock).await?;
    }
    let is_there = within.is_root() || !inventory.files(within.clone(), None, 1).await?.is_empty();
    anyhow::ensure!(is_there, "the inventory has nothing at {within:?}; is it in the public tree?");
    let once = Once::new(trees, inventory.clone(), config.hash.clone(), task);
    Ok(Job { config, once, inventory, within })
}

/// The first signal ends it in good order: what was read is written down.
async fn stop_on_signal(stop: CancellationToken) {
    if tokio::signal::ctrl_c().await.is_ok() {
        stop.cancel();
    }
}

fn bar(total: Amount) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:30} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta_precise} left  {msg}";
    let bar = ProgressBar::new(total.bytes);
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(format!("{} files", grouped(total.files)));
    bar
}

/// Moves the bar as bytes are read, also within one large file.
async fn follow(bar: ProgressBar, before: u64, bytes: crate::metrics::Counter) {
    loop {
        bar.set_position(before + bytes.get());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

impl Summary {
    /// Counts a file, and tells of it where there is something to tell.
    fn add(&mut self, config: &Config, record: &FileRecord, outcome: Outcome, json: bool) {
        let count = match &outcome {
            Outcome::Hashed => &mut self.hashed,
            Outcome::Same => &mut self.same,
            Outcome::Damaged { .. } => &mut self.damaged,
            Outcome::Changed => &mut self.changed,
            Outcome::Failed { .. } => &mut self.failed,
        };
        *count += 1;
        let path = format!("{}{}", config.tree.prefix.encoded(), record.path);
        match words(&outcome) {
            None => {}
            Some(words) if !json => drop(print(&format!("{path}: {words}"))),
            Some(_) if self.files.len() < MAX_TOLD => self.files.push(Told { path, outcome }),
            Some(_) => {}
        }
    }

    fn line(&self, task: Task) -> String {
        let (files, what) = match task {
            Task::Missing => (self.hashed, "hashed"),
            Task::Verify => (self.same, "as they were"),
        };
        let mut line = format!("{} files {what}, {} read in {:.1} s", grouped(files), ByteSize(self.bytes), self.seconds);
        let others = [(self.damaged, "damaged"), (self.changed, "changed meanwhile"), (self.failed, "not readable")];
        for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
            line.push_str(&format!("; {} {what}", grouped(count)));
        }
        if self.stopped {
            line.push_str("; stopped, the rest is left to do");
        }
        line
    }
}

/// What is to be said of a file, if anything.
fn words(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Hashed | Outcome::Same => None,
        Outcome::Damaged { expected, found } => {
            let expected = expected.map_or_else(|| "unknown".to_owned(), |digest| digest.to_string());
            Some(format!("DAMAGED: sha256 is {found}, was {expected}, with the same size and times"))
        }
        Outcome::Changed => Some("changed since it was indexed; hashed once the index has seen that".to_owned()),
        Outcome::Failed { reason } => Some(format!("can't be read: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Sha256;

    #[test]
    fn only_what_needs_attention_is_told() {
        assert_eq!(words(&Outcome::Hashed), None);
        assert_eq!(words(&Outcome::Same), None);
        let damaged = Outcome::Damaged { expected: Some(Sha256([1; 32])), found: Sha256([2; 32]) };
        let text = words(&damaged).expect("told");
        assert!(text.contains(&"01".repeat(32)) && text.contains(&"02".repeat(32)), "{text}");
    }

    #[test]
    fn the_last_line_counts() {
        let summary = Summary { same: 1200, damaged: 1, bytes: 3 << 20, seconds: 2.0, ..Summary::default() };
        assert_eq!(summary.line(Task::Verify), "1,200 files as they were, 3.0 MiB read in 2.0 s; 1 damaged");
        let summary = Summary { hashed: 2, stopped: true, ..Summary::default() };
        assert_eq!(summary.line(Task::Missing), "2 files hashed, 0 B read in 0.0 s; stopped, the rest is left to do");
    }
}
