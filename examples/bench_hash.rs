//! For `scripts/bench-hash`: how fast a file is hashed in one pass, by the clock and by the processor's time; or how fast one digest
//! alone is made of what is in memory, as `openssl speed` does.
//!
//! `bench_hash FILE THREADS [--zsync]`, or `bench_hash FILE 1 --only DIGEST`; one line: megabytes a second, megabytes a second of
//! processor time.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it saw")]

use std::fs::{self, File};
use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum};
use redirector::clock;
use redirector::hash::{Crew, Settings, digest};
use sha2::Digest as _;

#[derive(Parser)]
struct Args {
    file: PathBuf,
    threads: usize,
    /// Make zsync's block sums, too.
    #[arg(long)]
    zsync: bool,
    /// Nothing but this digest, of the whole.
    #[arg(long)]
    only: Option<Only>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Only {
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let context = || args.file.display().to_string();
    let (bytes, wall, processor) = match args.only {
        Some(only) => {
            let content = fs::read(&args.file).with_context(context)?;
            let (wall, processor) = timed(|| alone(only, &content))?;
            (content.len() as u64, wall, processor)
        }
        None => {
            let file = File::open(&args.file).with_context(context)?;
            let size = file.metadata()?.len();
            let crew = Crew::new(args.threads);
            let _this = crew.occupy();
            let plan = Settings { zsync: args.zsync, ..Settings::default() }.plan(size);
            let mut made = Ok(None);
            let (wall, processor) = timed(|| made = digest::describe(&file, &plan, &crew, |_| ControlFlow::Continue(())))?;
            ensure!(made?.is_some_and(|(digests, _)| digests.size == size), "the file changed");
            (size, wall, processor)
        }
    };
    let megabytes = bytes as f64 / 1e6;
    println!("{:.0} {:.0}", megabytes / wall, megabytes / processor);
    Ok(())
}

/// By what the hasher makes it with.
fn alone(only: Only, content: &[u8]) {
    match only {
        Only::Md5 => _ = black_box(fast_md5::digest(content)),
        Only::Sha1 => _ = black_box(sha1::Sha1::digest(content)),
        Only::Sha256 => _ = black_box(ring::digest::digest(&ring::digest::SHA256, content)),
        Only::Sha512 => _ = black_box(sha2::Sha512::digest(content)),
    }
}

/// Seconds by the clock, and of all threads together on processors.
fn timed(work: impl FnOnce()) -> anyhow::Result<(f64, f64)> {
    let (began, before) = (clock::instant(), processor_seconds()?);
    work();
    Ok((began.elapsed().as_secs_f64(), processor_seconds()? - before))
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
