//! Builds a site for `scripts/bench`: sparse files, mirrors all over the world, a GeoIP database with coordinates, and an inventory that
//! knows who holds what, so that nothing has to be scanned. Every third mirror holds 70 % of the files, the others all.
//!
//! `bench_site DIR --paths FILE --mirrors N --listen ADDRESS`; FILE has a path and a size in each line, with a tab between.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{self, File, FileTimes};
use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use clap::Parser;
use ipnet::Ipv4Net;
use mmdb_writer::{IpVersion, Value, Writer};
use redirector::clock::Clock;
use redirector::config::Config;
use redirector::daemon::instance::Parts;
use redirector::geo::{self, Locator};
use redirector::index;
use redirector::inventory::ScanRecord;
use redirector::model::{Digests, Mirror, Pieces, Sha256, TreePath};
use roaring::RoaringBitmap;

#[derive(Parser)]
struct Args {
    /// Where the site goes; made if it is not there.
    directory: PathBuf,
    /// A path and a size a line.
    #[arg(long)]
    paths: PathBuf,
    #[arg(long, default_value_t = 60)]
    mirrors: usize,
    #[arg(long, default_value = "127.0.0.1:18080")]
    listen: String,
}

/// Real cities with coordinates, as the simulation of selection uses them.
const CITIES: &str = include_str!("../tests/data/mirrors.tsv");
/// The time of all files: long ago.
const MODIFIED: Duration = Duration::from_secs(1_700_000_000);
/// Files a page of the inventory.
const PAGE: usize = 10_000;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let files = build_tree(&args.directory.join("public"), &args.paths)?;
    redirector::durable::write(&args.directory.join(CITY_FILE), &cities()?)?;
    let config = args.directory.join("mirrors.toml");
    redirector::durable::write(&config, configuration(&args).as_bytes())?;
    let config = Config::read(&config).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(fill(&config, files))
}

fn build_tree(root: &Path, list: &Path) -> anyhow::Result<u64> {
    let (mut count, mut folders) = (0, HashSet::new());
    for line in BufReader::new(File::open(list).with_context(|| format!("{}", list.display()))?).lines() {
        let line = line?;
        let (path, size) = line.split_once('\t').context("a line without a tab")?;
        let path = root.join(path);
        let folder = path.parent().context("a path without a folder")?;
        if folders.insert(folder.to_owned()) {
            fs::create_dir_all(folder)?;
        }
        let file = File::create(&path)?;
        file.set_len(size.parse()?)?;
        file.set_times(FileTimes::new().set_modified(UNIX_EPOCH + MODIFIED))?;
        count += 1;
    }
    Ok(count)
}

fn configuration(args: &Args) -> String {
    let cities: Vec<Vec<&str>> =
        CITIES.lines().filter(|line| !line.starts_with('#')).skip(1).map(|line| line.split('\t').collect()).collect();
    let mut text = format!(
        "[server]\nlisten = [\"{}\"]\nadmin-listen = \"127.0.0.1:0\"\n[tree]\npublic = \"public\"\nwalk-interval = \"30d\"\n[geoip]\nlocation = \"{CITY_FILE}\"\n[scan]\ninterval = \"30d\"\n[probe]\ninterval = \"30d\"\n",
        args.listen
    );
    for number in 0..args.mirrors {
        let city = &cities[number % cities.len()];
        let [name, _, country, _, latitude, longitude] = city[..] else { continue };
        let write = write!(
            text,
            "[[mirror]]\nname = \"{name}-{number}\"\nhttp = \"http://127.0.2.1:9/m{number:03}/debian/\"\ncountry = \"{country}\"\nlatitude = {latitude}\nlongitude = {longitude}\n"
        );
        write.unwrap_or_else(|_| unreachable!("a string takes everything"));
    }
    text
}

/// A database in MaxMind's layout with made-up cities in the countries that the built-in one has: a network in 4096 addresses.
fn cities() -> anyhow::Result<Vec<u8>> {
    let (locator, _) = Locator::open(&geo::Settings::default())?;
    let mut writer = Writer::builder("Bench-City").ip_version(IpVersion::V4).build();
    for number in 0..1_u32 << CITY_PREFIX {
        let first = Ipv4Addr::from_bits(number << (32 - CITY_PREFIX));
        let Some(country) = locator.locate(first.into()).country else { continue };
        let (Some(point), Some(continent)) = (country.point(), country.continent()) else { continue };
        // Golden ratio: the cities of a country lie evenly around its main point.
        let (turn, part) = (f64::from(number % CITIES_OF_COUNTRY) * 2.399_963, f64::from(number % CITIES_OF_COUNTRY + 1));
        let degrees = country.radius_km() / 111.0 * (part / f64::from(CITIES_OF_COUNTRY)).sqrt();
        let latitude = (point.latitude + degrees * turn.sin()).clamp(-89.0, 89.0);
        let longitude = (point.longitude + degrees * turn.cos()).clamp(-179.0, 179.0);
        let record = Value::map([
            ("city", Value::map([("names", Value::map([("en", format!("City {}", number % CITIES_OF_COUNTRY))]))])),
            ("continent", Value::map([("code", continent.as_str())])),
            ("country", Value::map([("iso_code", country.as_str().to_uppercase())])),
            ("location", Value::map([("latitude", latitude), ("longitude", longitude)])),
        ]);
        writer.insert_value(Ipv4Net::new(first, CITY_PREFIX as u8)?, record)?;
    }
    Ok(writer.to_bytes()?)
}

const CITY_FILE: &str = "city.mmdb";
/// A million networks, about as many as have an address of their own in free city databases.
const CITY_PREFIX: u32 = 20;
const CITIES_OF_COUNTRY: u32 = 64;

/// Stands in for what reading the file would give.
fn digests_of_nothing(size: u64) -> Digests {
    const PIECE: u32 = 64 << 20;
    let pieces = size.div_ceil(PIECE.into()) as usize;
    Digests {
        size,
        md5: [0; 16],
        sha1: [0; 20],
        sha256: Sha256([1; 32]),
        sha512: [0; 64],
        pieces: Pieces { length: PIECE, sha1: vec![0; 20 * pieces].into(), sha256: vec![0; 32 * pieces].into() },
        zsync: None,
    }
}

async fn fill(config: &Config, files: u64) -> anyhow::Result<()> {
    let clock = Clock::system();
    let parts = Parts::open(config, &clock).await?;
    index::walk_once(&parts.trees, &parts.inventory, &config.tree, &clock).await?;
    let inventory = &parts.inventory;
    ensure!(inventory.snapshot().file_count() == files, "{} of {files} files were indexed", inventory.snapshot().file_count());
    let (mut all, mut some) = (RoaringBitmap::new(), RoaringBitmap::new());
    let mut after = None;
    loop {
        let page = inventory.files(TreePath::root(), after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.path.clone());
        for record in &page {
            all.insert(record.version.0);
            if record.version.0 % 10 < 7 {
                some.insert(record.version.0);
            }
            // Or `serve` would begin to hash terabytes of nothing.
            let digests = digests_of_nothing(record.fingerprint.size);
            inventory.record_digests(record.path.clone(), record.fingerprint, digests, config.hash.plan_id()).await?;
        }
    }
    for (number, mirror) in parts.mirrors().into_iter().enumerate() {
        record(&parts, &mirror, if number % 3 == 2 { some.clone() } else { all.clone() }, &clock).await?;
    }
    parts.inventory.close().await?;
    Ok(())
}

async fn record(parts: &Parts, mirror: &Mirror, holdings: RoaringBitmap, clock: &Clock) -> anyhow::Result<()> {
    let now = clock.now();
    Ok(parts.inventory.record_scan(ScanRecord::new(mirror.name.clone(), (now, now), holdings)).await?)
}
