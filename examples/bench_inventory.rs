//! What `scripts/bench-scale` needs beside the server: a tree and a database of many files and mirrors, what a first walk costs, and how
//! a scan's result shows in a snapshot under load. All print `name value` lines.
//!
//! `site DIR` makes DIR/mirrors.toml and, below DIR/public, the first files of the site; `walk DIR` has the inventory take them in, as
//! the first walk of `serve` does; `look DIR` looks at the files that DIR/asked names as a request does; `fill DIR` adds the others through the store, in the order in which a walk meets files, and digests
//! and holdings of all; `sizes DIR` tells what the database is made of. `swap DIR` opens it, lets a thread look up files, and replaces
//! one mirror's holdings again and again.

#![expect(clippy::print_stdout, reason = "figures for a script")]

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{self, File, FileTimes};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use jiff::Timestamp;
use redirector::clock::{self, Clock};
use redirector::config::Config;
use redirector::index;
use redirector::inventory::sqlite::Sqlite;
use redirector::inventory::store::{MAX_PAGE, Page, PlanId, Store, Which};
use redirector::inventory::{Hashed, Inventory, Observation, ScanRecord, Seen};
use redirector::model::{Digests, FileRecord, Fingerprint, Mirror, Pieces, Sha256, TreePath, VersionNumber};
use redirector::tree::{Glance, Trees};
use roaring::RoaringBitmap;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make the configuration and the tree.
    Site {
        directory: PathBuf,
        #[arg(long)]
        files: u32,
        #[arg(long)]
        mirrors: usize,
        #[arg(long)]
        listen: String,
    },
    /// Walk through the tree once, into a new database.
    Walk { directory: PathBuf },
    /// Look once at each file that is asked for, as a request does.
    Look { directory: PathBuf },
    /// Add files that are not in the tree, digests and holdings.
    Fill {
        directory: PathBuf,
        /// Files that the tree has.
        #[arg(long)]
        from: u32,
        #[arg(long)]
        files: u32,
    },
    /// Tell what the database is made of.
    Sizes { directory: PathBuf },
    /// Replace one mirror's holdings while a thread looks files up.
    Swap {
        directory: PathBuf,
        #[arg(long, default_value_t = 40)]
        rounds: u32,
    },
}

/// The time of all files, in seconds since 1970: long ago.
const MODIFIED: u64 = 1_700_000_000;
/// Files that a transaction takes in.
const BATCH: u32 = 10_000;
const FILES_PER_DIRECTORY: u32 = 10;
const DIRECTORIES_PER_LETTER: u32 = 1 << 16;
/// One piece at the default length: each further one would add 52 bytes to its description.
const MAX_SIZE: u32 = 250_000;

fn main() -> anyhow::Result<()> {
    match Args::parse().what {
        What::Site { directory, files, mirrors, listen } => site(&directory, files, mirrors, &listen),
        What::Walk { directory } => block_on(walk(&directory)),
        What::Look { directory } => look(&directory),
        What::Fill { directory, from, files } => fill(&directory, from, files),
        What::Sizes { directory } => sizes(&directory),
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

/// A path as packages have it, about 60 bytes, in the order of numbers.
fn path(number: u32) -> String {
    let directory = number / FILES_PER_DIRECTORY;
    let letter = char::from(b'a' + (directory / DIRECTORIES_PER_LETTER % 26) as u8);
    let version = number % FILES_PER_DIRECTORY;
    format!("pool/main/{letter}/lib-{directory:010}/lib-{directory:010}_{version}.17.2-1_amd64.deb")
}

fn size(number: u32) -> u64 {
    (1000 + number.wrapping_mul(7919) % (MAX_SIZE - 1000)).into()
}

fn modified(number: u32) -> Duration {
    Duration::new(MODIFIED + u64::from(number % 10_000_000), number.wrapping_mul(7919) % 1_000_000_000)
}

fn site(directory: &Path, files: u32, mirrors: usize, listen: &str) -> anyhow::Result<()> {
    let public = directory.join("public");
    fs::create_dir_all(&public)?;
    redirector::durable::write(&directory.join("mirrors.toml"), configuration(mirrors, listen).as_bytes())?;
    let mut list = BufWriter::new(File::create(directory.join("paths"))?);
    for number in 0..files {
        let path = path(number);
        writeln!(list, "{path}")?;
        let place = public.join(path);
        if number.is_multiple_of(FILES_PER_DIRECTORY) {
            fs::create_dir_all(place.parent().context("a file without a folder")?)?;
        }
        let file = File::create(&place)?;
        file.set_len(size(number))?;
        file.set_times(FileTimes::new().set_modified(UNIX_EPOCH + modified(number)))?;
    }
    Ok(list.flush()?)
}

fn configuration(mirrors: usize, listen: &str) -> String {
    let mut text = format!(
        "[server]\nlisten = [\"{listen}\"]\nadmin-listen = \"127.0.0.1:0\"\n[tree]\npublic = \"public\"\nwalk-interval = \"30d\"\n[scan]\ninterval = \"30d\"\n[probe]\ninterval = \"30d\"\n"
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

async fn walk(directory: &Path) -> anyhow::Result<()> {
    let config = read_config(directory)?;
    let trees = Trees::open(&config.tree)?;
    let inventory = Inventory::open(&config.inventory, Vec::new(), Clock::system()).await?;
    let before = (ticks(None)?, ticks(Some("inventory"))?);
    let report = index::walk_once(&trees, &inventory, &config.tree, &Clock::system()).await?;
    // The thread of the inventory judges, writes, and shows what was written.
    let store = ticks(Some("inventory"))? - before.1;
    println!("walked_files {}", report.files);
    println!("walk_store_ms {}", store * TICK_MS);
    println!("walk_rest_ms {}", (ticks(None)? - before.0 - store) * TICK_MS);
    Ok(inventory.close().await?)
}

fn look(directory: &Path) -> anyhow::Result<()> {
    let trees = Trees::open(&read_config(directory)?.tree)?;
    let asked = fs::read(directory.join("asked"))?;
    let lines = asked.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let paths = lines.map(TreePath::parse).collect::<Result<Vec<_>, _>>()?;
    let before = own_nanoseconds()?;
    for path in paths.iter().cycle().take(LOOKS) {
        anyhow::ensure!(matches!(trees.public.glance(path), Glance::File(_)), "{path} is not there");
    }
    println!("{}", (own_nanoseconds()? - before) / LOOKS as u64);
    Ok(())
}

/// For a figure that the kernel's accounting tells.
const LOOKS: usize = 400_000;

/// CPU time of this thread so far.
fn own_nanoseconds() -> anyhow::Result<u64> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split(' ').next().context("a line without a figure")?.parse()?)
}

/// A tick of the kernel's accounting, on all systems that matter here.
const TICK_MS: u64 = 10;

/// CPU time of this process, or of its threads of one name, in ticks.
fn ticks(name: Option<&str>) -> anyhow::Result<u64> {
    let of = |stat: &str| -> anyhow::Result<u64> {
        let fields = stat.rsplit_once(") ").context("a process without a name")?.1.split(' ');
        fields.skip(11).take(2).map(|ticks| Ok(ticks.parse::<u64>()?)).sum()
    };
    let Some(name) = name else { return of(&fs::read_to_string("/proc/self/stat")?) };
    let mut sum = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm"))?.trim() == name {
            sum += of(&fs::read_to_string(task.join("stat"))?)?;
        }
    }
    Ok(sum)
}

fn fill(directory: &Path, from: u32, files: u32) -> anyhow::Result<()> {
    let config = read_config(directory)?;
    let plan = config.hash.plan_id();
    let mut store = Sqlite::open(&config.inventory.database)?;
    let now = Timestamp::from_second((MODIFIED + 20_000_000).cast_signed())?;
    for first in (from..files).step_by(BATCH as usize) {
        let batch =
            (first..files.min(first + BATCH)).map(|number| observation(number, now)).collect::<anyhow::Result<Vec<_>>>()?;
        store.observe(&batch)?;
    }
    store.set_indexed()?;
    // Hashing so many files takes days: the digests are made up.
    let mut page = Page { within: TreePath::root(), after: None, limit: MAX_PAGE };
    let mut path_bytes = 0;
    loop {
        let records = store.files(&page, Which::All)?;
        let Some(last) = records.last() else { break };
        page.after = Some(last.path.clone());
        path_bytes += records.iter().map(|record| record.path.as_bytes().len()).sum::<usize>();
        let batch: Vec<Hashed> = records.into_iter().map(|record| hashed(record, plan)).collect();
        store.record_hashed(&batch, now)?;
    }
    while store.require_plan(plan, page.after.as_ref())?.is_some() {}
    store.close()?;
    println!("path_bytes {path_bytes}");
    block_on(hold(&config, files))
}

fn observation(number: u32, now: Timestamp) -> anyhow::Result<Observation> {
    let path = TreePath::parse(path(number).into_bytes()).context("a path that is none")?;
    let mtime_ns = i64::try_from(modified(number).as_nanos())?;
    let ctime_ns = mtime_ns + 86_400_000_000_000;
    let fingerprint = Fingerprint { size: size(number), mtime_ns, ctime_ns, inode: 20_000_000 + u64::from(number) };
    Ok(Observation { path, fingerprint, at: now, kind: Seen::First })
}

/// Digests that say which version they are of, and nothing else.
fn hashed(record: FileRecord, plan: PlanId) -> Hashed {
    let digest = |salt: u64| -> [u8; 64] {
        let mut word = u64::from(record.version.0) + (salt << 32);
        let words = std::array::from_fn::<_, 8, _>(|_| {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            word.to_be_bytes()
        });
        let mut bytes = [0; 64];
        bytes.chunks_exact_mut(8).zip(words).for_each(|(part, word)| part.copy_from_slice(&word));
        bytes
    };
    let (mut md5, mut sha1, mut sha256) = ([0; 16], [0; 20], [0; 32]);
    md5.copy_from_slice(&digest(1)[..16]);
    sha1.copy_from_slice(&digest(2)[..20]);
    sha256.copy_from_slice(&digest(3)[..32]);
    let pieces = Pieces { length: 256 << 10, sha1: sha1.into(), sha256: sha256.into() };
    let (size, sha256) = (record.fingerprint.size, Sha256(sha256));
    let digests = Digests { size, md5, sha1, sha256, sha512: digest(4), pieces, zsync: None };
    Hashed { path: record.path, fingerprint: record.fingerprint, sha256, description: Some((Box::new(digests), plan)) }
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
    ScanRecord::new(mirror.name.clone(), (now, now), holdings)
}

/// By table: the bytes of all their pages.
fn sizes(directory: &Path) -> anyhow::Result<()> {
    let connection = rusqlite::Connection::open(read_config(directory)?.inventory.database)?;
    let mut statement =
        connection.prepare("SELECT name, pgsize, payload FROM dbstat WHERE aggregate = TRUE ORDER BY pgsize DESC")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, pages, payload): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        println!("table_{name} {pages}\npayload_{name} {payload}");
    }
    Ok(())
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
