//! What `scripts/bench-scale` needs of the inventory beside the server: a database of many files and mirrors, and how a scan's result
//! shows in a snapshot under load.
//!
//! `bench_inventory make DIR --files N --mirrors N --listen ADDRESS` makes DIR/mirrors.toml and DIR/redirector.sqlite, through the store,
//! in the order in which a walk meets files; all have digests. `bench_inventory swap DIR` opens it, lets a thread look up files, and
//! replaces one mirror's holdings again and again. `bench_inventory open DIR` only opens it, as `serve` does. All print `name value` lines.

#![expect(clippy::print_stdout, reason = "figures for a script")]

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use jiff::Timestamp;
use redirector::clock::{self, Clock};
use redirector::config::Config;
use redirector::inventory::sqlite::Sqlite;
use redirector::inventory::store::Store as _;
use redirector::inventory::{Counts, Inventory, Observation, Protocol, ScanRecord, Seen};
use redirector::model::{Fingerprint, Mirror, TreePath, VersionNumber};
use roaring::RoaringBitmap;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a database.
    Make {
        directory: PathBuf,
        #[arg(long)]
        files: u32,
        #[arg(long)]
        mirrors: usize,
        #[arg(long, default_value = "127.0.0.1:18084")]
        listen: String,
        #[arg(long, default_value = "127.0.0.1:18085")]
        admin: String,
    },
    /// Open a database, and close it.
    Open { directory: PathBuf },
    /// Replace one mirror's holdings while a thread looks files up.
    Swap {
        directory: PathBuf,
        #[arg(long, default_value_t = 40)]
        rounds: u32,
    },
}

/// The time of all files, in seconds since 1970: long ago.
const MODIFIED: i64 = 1_700_000_000;
/// Files that a transaction takes in.
const BATCH: u32 = 10_000;
const FILES_PER_DIRECTORY: u32 = 3;
/// A walk goes through one letter after the other.
const DIRECTORIES_PER_LETTER: u32 = 1 << 17;

fn main() -> anyhow::Result<()> {
    match Args::parse().what {
        What::Make { directory, files, mirrors, listen, admin } => make(&directory, files, mirrors, &listen, &admin),
        What::Open { directory } => block_on(async {
            let began = clock::instant();
            let inventory = open(&directory).await?;
            println!("open_ms {}", began.elapsed().as_millis());
            println!("files {}", inventory.snapshot().file_count());
            Ok(inventory.close().await?)
        }),
        What::Swap { directory, rounds } => block_on(swap(&directory, rounds)),
    }
}

fn block_on(future: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

fn read_config(directory: &Path) -> anyhow::Result<Config> {
    Config::read(&directory.join("mirrors.toml")).map_err(|problems| anyhow::anyhow!("{problems}"))
}

async fn open(directory: &Path) -> anyhow::Result<Inventory> {
    let config = read_config(directory)?;
    Ok(Inventory::open(&config.inventory, config.mirrors(&|_| None), Clock::system()).await?)
}

/// A path as packages have it, about 60 bytes; directories come in no order, as file systems list them.
fn path(number: u32) -> String {
    let directory = number / FILES_PER_DIRECTORY;
    let letter = char::from(b'a' + (directory / DIRECTORIES_PER_LETTER % 26) as u8);
    let (package, version) = (directory.wrapping_mul(0x9e37_79b1), number % FILES_PER_DIRECTORY);
    format!("pool/main/{letter}/lib-{package:010}/lib-{package:010}_{version}.17.2-1_amd64.deb")
}

fn make(directory: &Path, files: u32, mirrors: usize, listen: &str, admin: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)?;
    redirector::durable::write(&directory.join("mirrors.toml"), configuration(mirrors, listen, admin).as_bytes())?;
    let config = read_config(directory)?;
    let database = &config.inventory.database;
    let mut store = Sqlite::open(database)?;
    let now = Timestamp::from_second(MODIFIED + 10_000_000)?;
    let mut path_bytes = 0;
    for first in (0..files).step_by(BATCH as usize) {
        let batch: Vec<Observation> =
            (first..files.min(first + BATCH)).map(|number| observation(number, now)).collect::<Result<_, _>>()?;
        path_bytes += batch.iter().map(|seen| seen.path.as_bytes().len()).sum::<usize>();
        store.observe(&batch)?;
    }
    store.set_indexed()?;
    store.close()?;
    println!("path_bytes {}", path_bytes as u64 / u64::from(files.max(1)));
    // Hashing so many files takes days; the digests are made up, and lie where the hasher would have put them.
    let plan = config.hash.plan_id().0;
    let connection = rusqlite::Connection::open(database)?;
    connection.execute("UPDATE file SET sha256 = randomblob(32), described = ?", [plan])?;
    connection.execute("INSERT OR REPLACE INTO fact (name, value) VALUES ('plan', ?)", [plan])?;
    drop(connection);
    block_on(hold(&config, files))
}

fn observation(number: u32, now: Timestamp) -> anyhow::Result<Observation> {
    let path = TreePath::parse(path(number).into_bytes()).context("a path that is none")?;
    let mtime_ns =
        (MODIFIED + i64::from(number % 10_000_000)) * 1_000_000_000 + i64::from(number.wrapping_mul(7919) % 1_000_000_000);
    let fingerprint = Fingerprint {
        size: 1000 + u64::from(number.wrapping_mul(7919) % 5_000_000),
        mtime_ns,
        ctime_ns: mtime_ns + 86_400_000_000_000,
        inode: 20_000_000 + u64::from(number),
    };
    Ok(Observation { path, fingerprint, at: now, kind: Seen::First })
}

fn configuration(mirrors: usize, listen: &str, admin: &str) -> String {
    let mut text = format!(
        "[server]\nlisten = [\"{listen}\"]\nadmin-listen = \"{admin}\"\n[tree]\npublic = \"public\"\n[scan]\ninterval = \"30d\"\n[probe]\ninterval = \"30d\"\n"
    );
    for number in 0..mirrors {
        let country = ["de", "us", "jp", "br", "za", "au", "fr", "in"][number % 8];
        let write = write!(
            text,
            "[[mirror]]\nname = \"mirror-{number}\"\nhttp = \"http://127.0.2.1:9/m{number:03}/\"\ncountry = \"{country}\"\n"
        );
        write.unwrap_or_else(|_| unreachable!("a string takes everything"));
    }
    text
}

/// Every third mirror holds 70 % of the files, spread so that they don't compress; the others all.
async fn hold(config: &Config, files: u32) -> anyhow::Result<()> {
    let mirrors = config.mirrors(&|_| None);
    let inventory = Inventory::open_without_files(&config.inventory, mirrors.clone(), Clock::system()).await?;
    let all: RoaringBitmap = (1..=files).collect();
    for (number, mirror) in mirrors.iter().enumerate() {
        let holdings = if number % 3 == 2 { part(files, number as u32) } else { all.clone() };
        inventory.record_scan(scanned(mirror, holdings)).await?;
    }
    Ok(inventory.close().await?)
}

/// 70 % of the numbers, others each turn.
fn part(files: u32, turn: u32) -> RoaringBitmap {
    (1..=files).filter(|number| (number.wrapping_mul(0x9e37_79b1).wrapping_add(turn) >> 8) % 10 < 7).collect()
}

fn scanned(mirror: &Mirror, holdings: RoaringBitmap) -> ScanRecord {
    let now = Clock::system().now();
    ScanRecord {
        mirror: mirror.name.clone(),
        began: now,
        ended: now,
        protocol: Protocol::Http,
        outcome: Ok(Counts { found: holdings.len(), ..Counts::default() }),
        complete: true,
        notes: String::new(),
        holdings: Some(holdings),
        before: None,
        unseen: None,
        share: None,
        gaps: None,
        listed: None,
    }
}

async fn swap(directory: &Path, rounds: u32) -> anyhow::Result<()> {
    let inventory = open(directory).await?;
    let files = u32::try_from(inventory.snapshot().file_count())?;
    let mirror = Arc::clone(&inventory.snapshot().mirrors().members.last().context("no mirrors")?.mirror);
    let parts: Vec<RoaringBitmap> = (0..2).map(|turn| part(files, turn)).collect();
    tell(
        "look-up alone",
        &watched(&inventory, files, async || {
            tokio::time::sleep(Duration::from_secs(3)).await;
            Ok(())
        })
        .await?,
    );
    let mut visible = Vec::new();
    let looks = watched(&inventory, files, async || {
        for round in 0..rounds {
            let record = scanned(&mirror, parts[round as usize % 2].clone());
            let began = clock::instant();
            inventory.record_scan(record).await?;
            visible.push(began.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    });
    let looks = looks.await?;
    tell("look-up during scans' results", &looks);
    visible.sort_unstable();
    println!("visible_ms_median {:.1}", visible[visible.len() / 2].as_secs_f64() * 1e3);
    println!("visible_ms_max {:.1}", visible[visible.len() - 1].as_secs_f64() * 1e3);
    Ok(inventory.close().await?)
}

/// How long each of a thread's look-ups took while something happens, in nanoseconds, sorted.
async fn watched(
    inventory: &Inventory,
    files: u32,
    happen: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<u64>> {
    let (snapshot, stop) = (Arc::clone(inventory.snapshot()), Arc::new(AtomicBool::new(false)));
    let thread = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let (mut looks, mut number, mut held) = (Vec::new(), 1_u32, HashSet::new());
            while !stop.load(Ordering::Relaxed) {
                number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let path = TreePath::parse(path(number % files).into_bytes()).expect("is one");
                let began = clock::instant();
                let version = snapshot.file(&path).map_or(VersionNumber(0), |entry| entry.version);
                let mirrors = snapshot.mirrors();
                let holds = mirrors.members.iter().rev().take(5).filter(|member| member.holds(version)).count();
                drop(mirrors);
                looks.push(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
                held.insert(holds);
            }
            looks
        }
    });
    happen().await?;
    stop.store(true, Ordering::Relaxed);
    let mut looks = thread.join().map_err(|_| anyhow::anyhow!("the thread that looks up failed"))?;
    looks.sort_unstable();
    Ok(looks)
}

fn tell(what: &str, looks: &[u64]) {
    let at = |share: f64| looks[((looks.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    let name = what.replace([' ', '\''], "_");
    println!("{name}_count {}", looks.len());
    println!(
        "{name}_us_p50 {:.2}\n{name}_us_p99.9 {:.2}\n{name}_us_p99.99 {:.2}\n{name}_us_max {:.0}",
        at(0.5),
        at(0.999),
        at(0.9999),
        at(1.0)
    );
}
