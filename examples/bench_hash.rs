//! For `scripts/bench-hash`: hashes a file in one pass and prints how fast that was: by the clock, and by the processor's time.
//!
//! `bench_hash FILE THREADS`; one line: megabytes a second, megabytes a second of processor time.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it saw")]

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Parser;
use redirector::clock;
use redirector::hash::{Crew, Settings, digest};

#[derive(Parser)]
struct Args {
    file: PathBuf,
    threads: usize,
    /// Make zsync's block sums, too.
    #[arg(long)]
    zsync: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let file = File::open(&args.file).with_context(|| args.file.display().to_string())?;
    let size = file.metadata()?.len();
    let crew = Crew::new(args.threads);
    let _this = crew.occupy();
    let plan = Settings { zsync: args.zsync, ..Settings::default() }.plan(size);
    let (began, before) = (clock::instant(), processor_seconds()?);
    let made = digest::describe(&file, &plan, &crew, |_| ControlFlow::Continue(()))?;
    ensure!(made.is_some_and(|(digests, _)| digests.size == size), "the file changed");
    let (wall, processor) = (began.elapsed().as_secs_f64(), processor_seconds()? - before);
    let megabytes = size as f64 / 1e6;
    println!("{:.0} {:.0}", megabytes / wall, megabytes / processor);
    Ok(())
}

/// What all threads of this process have used so far, those that ended too (proc_pid_stat(5)).
fn processor_seconds() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).context("no such field")?.parse::<f64>().context("no number");
    /// `sysconf(_SC_CLK_TCK)` is 100 on every Linux.
    const TICKS: f64 = 100.0;
    Ok((ticks(11)? + ticks(12)?) / TICKS)
}
