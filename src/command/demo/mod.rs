//! `redirector demo`: a complete small site on loopback, with nothing to install or configure, and commands to try.

mod mirror;
mod site;
mod steps;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::pin::pin;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::output::print;
use super::{Context, scan};
use crate::clock::Clock;
use crate::config;
use crate::daemon;
use crate::durable;
use crate::http::Server;

use mirror::Mirror;
use site::{Contents, Site};

/// What `demo --help` says beyond its options.
pub(super) const HELP: &str = "\
It makes a site with real names and sizes, and five mirrors as real servers on loopback addresses of \
their own; it scans them, serves, and prints commands to try, each with what will happen. Ctrl-C ends it.

Examples:
  redirector demo
  redirector demo --directory /tmp/demo --port 9000";

/// Try it all with a small site on loopback.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to put the site; it is kept then. Left out: a temporary folder, removed at the end.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// The port of the redirector on 127.0.0.1; if it is taken, another that is free.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Print JSON, for programs: two documents, what the scan found and then the commands to try.
    #[arg(long)]
    json: bool,
}

/// A mirror of the demo.
struct Plan {
    name: &'static str,
    operator: &'static str,
    country: &'static str,
    latitude: f64,
    longitude: f64,
    contents: Contents,
}

/// Five mirrors in five countries: two complete, a partial, a stale and a broken one.
const MIRRORS: [Plan; 5] = [
    Plan {
        name: "enschede",
        operator: "complete",
        country: "nl",
        latitude: 52.22,
        longitude: 6.89,
        contents: Contents::Complete,
    },
    Plan {
        name: "rochester",
        operator: "partial: every second activity",
        country: "us",
        latitude: 43.16,
        longitude: -77.61,
        contents: Contents::Partial,
    },
    Plan {
        name: "frankfurt",
        operator: "stale: older uploads of every third activity",
        country: "de",
        latitude: 50.11,
        longitude: 8.68,
        contents: Contents::Stale,
    },
    Plan {
        name: "brisbane",
        operator: "complete",
        country: "au",
        latitude: -27.47,
        longitude: 153.03,
        contents: Contents::Complete,
    },
    Plan {
        name: "tokyo",
        operator: "broken: answers 500 to everything",
        country: "jp",
        latitude: 35.68,
        longitude: 139.69,
        contents: Contents::Failing,
    },
];

/// The demo under way.
struct Demo {
    folder: PathBuf,
    config: PathBuf,
    address: SocketAddr,
    admin: SocketAddr,
    site: Site,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let clock = Clock::system();
    let (folder, temporary) = folder(args.directory)?;
    let site = site::build(&folder, clock.now())
        .with_context(|| format!("the demo's site can't be written to {}", folder.display()))?;
    let mut servers = Vec::new();
    let mut entries = String::new();
    for (number, plan) in (11..).zip(&MIRRORS) {
        let copy = folder.join("mirrors").join(plan.name);
        site.copy_to(&copy, plan.contents, clock.now())?;
        let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, number));
        let (server, address) = Mirror::serve(&copy, address, plan.contents == Contents::Failing, &clock)?;
        servers.push(server);
        write!(entries, "\n{}", entry(plan, address))?;
    }
    let (address, admin) = (free(args.port)?, free(if args.port == 0 { 0 } else { args.port.saturating_add(1) })?);
    let config = folder.join("mirrors.toml");
    durable::write(&config, configuration(&site, address, admin, &entries).as_bytes())?;
    let demo = Demo { folder, config, address, admin, site };
    let ended = show(&demo, args.json, &clock).await;
    stop(servers).await;
    if let Some(temporary) = temporary {
        temporary.close().context("the demo's folder could not be removed")?;
    }
    ended
}

/// Scans, serves and prints what to try, until it is interrupted.
async fn show(demo: &Demo, json: bool, clock: &Clock) -> anyhow::Result<()> {
    let configs = config::read_all(std::slice::from_ref(&demo.config)).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let context = Context { configs, clock: clock.clone() };
    if !json {
        print(&format!(
            "A site of {} activities, with five mirrors, in {}\n",
            demo.site.published.len(),
            demo.folder.display()
        ))?;
        print("$ redirector scan\n")?;
    }
    // The broken mirror makes the scan's status a failure; here that is as it should be.
    super::scan_now(
        &context,
        &scan::Args { mirrors: Vec::new(), directory: None, skip_tree: false, anew: false, dry_run: false, json },
    )
    .await?;
    let stop = CancellationToken::new();
    let paths = [demo.config.clone()];
    let mut serving = pin!(daemon::serve(context.configs.clone(), &paths, clock.clone(), stop.clone()));
    tokio::select! {
        served = &mut serving => return served.context("the demo can't serve"),
        () = await_start(demo.address) => {}
    }
    let told = steps::print_all(demo, json);
    if told.is_err() {
        stop.cancel();
    }
    serving.await.context("the demo can't serve")?;
    told
}

/// Waits until the redirector listens; `serve` ends by itself when it can't.
async fn await_start(address: SocketAddr) {
    for _ in 0..200 {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn stop(servers: Vec<Server>) {
    futures_util::future::join_all(servers.into_iter().map(Server::stop)).await;
}

fn folder(wanted: Option<PathBuf>) -> anyhow::Result<(PathBuf, Option<tempfile::TempDir>)> {
    let Some(folder) = wanted else {
        let temporary = tempfile::Builder::new().prefix("redirector-demo-").tempdir()?;
        return Ok((temporary.path().to_owned(), Some(temporary)));
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
    let is_empty = std::fs::read_dir(&folder)?.next().is_none();
    anyhow::ensure!(is_empty, "{} is not empty; the demo wants a folder of its own", folder.display());
    Ok((std::path::absolute(&folder)?, None))
}

/// The wished-for port of 127.0.0.1, or another one where that is taken.
fn free(port: u16) -> std::io::Result<SocketAddr> {
    let at = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    at(port).or_else(|_| at(0))?.local_addr()
}

fn configuration(site: &Site, address: SocketAddr, admin: SocketAddr, mirrors: &str) -> String {
    let (public, application) = (quoted(&site.public), quoted(&site.application));
    format!(
        r#"# Written by `redirector demo`.
[server]
listen = ["{address}"]
admin-listen = "{admin}"
trusted-proxies = ["127.0.0.0/8"]       # so that X-Forwarded-For can play clients from everywhere

[tree]
prefix = "/activities"
public = {public}
application = {application}

[scan]
interval = "1m"

[probe]
interval = "5s"
timeout = "3s"
{mirrors}"#
    )
}

fn entry(plan: &Plan, address: SocketAddr) -> String {
    let Plan { name, operator, country, latitude, longitude, .. } = plan;
    format!(
        r#"[[mirror]]
name = "{name}"
operator = "{operator}"
http = "http://{address}/"
country = "{country}"
latitude = {latitude:?}
longitude = {longitude:?}
"#
    )
}

/// A path as a TOML string.
fn quoted(path: &Path) -> String {
    let escaped: String =
        path.to_string_lossy().chars().flat_map(|c| (c == '\\' || c == '"').then_some('\\').into_iter().chain([c])).collect();
    format!("\"{escaped}\"")
}
