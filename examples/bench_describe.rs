//! What a description costs beside a redirect: CPU time of the server for one answer, with 60 mirrors that all hold the file. `wrk`
//! asks, over kept-alive connections; the rounds of all kinds come in turn.
//!
//! `cargo run --release --example bench_describe [ROUNDS]`

#[path = "../tests/world/mod.rs"]
mod world;

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context as _, ensure};
use world::{Content, World};

const PATH: &str = "4078/labyrinth-7.xo";
/// A bundle of usual size: three pieces.
const SIZE: u64 = 676_401;
const MIRRORS: usize = 60;
const COUNTRIES: [&str; 12] = ["de", "nl", "fr", "us", "br", "jp", "au", "za", "in", "uy", "se", "gb"];
/// What is asked for, the redirect first.
const KINDS: [(&str, &str); 7] = [
    ("redirect", ""),
    ("meta4, by suffix", ".meta4"),
    ("meta4, by query", "?meta4"),
    ("metalink 3", "?metalink"),
    ("mirrors as a page", "?mirrorlist&format=html"),
    ("torrent", "?torrent"),
    ("sha256", "?sha256"),
];

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> anyhow::Result<()> {
    let rounds: usize = std::env::args().nth(1).map_or(Ok(5), |rounds| rounds.parse())?;
    let world = site().await;
    let mut costs = vec![Vec::new(); KINDS.len()];
    for _ in 0..rounds {
        for ((_, what), costs) in KINDS.iter().zip(&mut costs) {
            let url = format!("http://{}/activities/{PATH}{what}", world.address);
            costs.push(tokio::task::spawn_blocking(move || cost(&url)).await??);
        }
    }
    let median = |costs: &mut Vec<f64>| {
        costs.sort_by(f64::total_cmp);
        costs[costs.len() / 2]
    };
    let medians: Vec<f64> = costs.iter_mut().map(median).collect();
    let mut out = String::new();
    for ((name, _), cost) in KINDS.iter().zip(&medians) {
        out += &format!("{name:<20} {cost:>7.1} us  {:>5.2} redirects\n", cost / medians[0]);
    }
    std::io::Write::write_all(&mut std::io::stdout(), out.as_bytes())?;
    Ok(())
}

async fn site() -> World {
    let mut world = World::new().await;
    world.place("192.0.2.0/24", "de");
    let yesterday = world.clock.now() - std::time::Duration::from_secs(86_400);
    let instance = world.instance();
    instance.write("public", PATH, &Content::Size(SIZE), yesterday);
    instance.index(PATH, yesterday);
    instance.hash(PATH);
    for number in 0..MIRRORS {
        let name = format!("mirror-{number}");
        instance.add_mirror(world::mirror(&name, COUNTRIES[number % COUNTRIES.len()], &BTreeMap::new()));
        instance.let_hold(&name, PATH);
    }
    world.publish();
    world
}

/// Microseconds of CPU time for one answer.
fn cost(url: &str) -> anyhow::Result<f64> {
    let before = cpu_seconds()?;
    let output = Command::new("wrk").args(["-t1", "-c16", "-d2s", "-H", "X-Forwarded-For: 192.0.2.7", url]).output();
    let output = output.context("wrk (Debian: wrk)")?;
    let spent = cpu_seconds()? - before;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && !text.contains("Socket errors"), "{text}");
    let requests = text.split_whitespace().zip(text.split_whitespace().skip(1)).find(|(_, next)| *next == "requests");
    let requests: f64 = requests.context("wrk counts requests")?.0.parse()?;
    Ok(spent * 1e6 / requests)
}

/// What this process has used, in user and system mode; its children are not in it.
fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit_once(") ").context("a name in parentheses")?.1.split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / 100.0)
}
