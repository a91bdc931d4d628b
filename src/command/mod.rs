//! The command line: arguments, what they mean, and one file for each sub-command.
//!
//! Data goes to standard output, everything else to standard error. Exit status: 0 done, 1 failed, 2 usage, 78 configuration
//! (`EX_CONFIG` of `sysexits.h`).

mod check;
mod demo;
mod explain;
mod files;
mod geoip;
mod mirrors;
mod output;
mod repositories;
mod scan;
mod serve;
mod target;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;

use anyhow::Context as _;
use clap::builder::Resettable;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use tokio::runtime::Builder;
use tracing_subscriber::EnvFilter;

use crate::clock::Clock;
use crate::config::{self, Config};
use crate::daemon::instance::Parts;
use crate::geo;
use crate::index;
use crate::inventory::Inventory;
use crate::model::TreePath;
use crate::tree::Trees;

/// Sends each download to the closest mirror that is known to hold that very version of the file.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true, max_term_width = 100, after_long_help = EPILOGUE)]
struct Cli {
    /// The configuration; several make several instances, which share nothing. Left out: mirrors.toml here, else
    /// /etc/redirector/mirrors.toml.
    #[arg(
        short,
        long = "config",
        value_name = "FILE",
        env = "REDIRECTOR_CONFIG",
        value_delimiter = ',',
        global = true,
        help_heading = EVERYWHERE
    )]
    config: Vec<PathBuf>,

    /// What to tell on standard error: error, warn, info, debug or trace, or that of single parts, like
    /// "warn,redirector::scan=debug". Left out: info for `serve`, warn for all else.
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", global = true, hide_env_values = true, help_heading = EVERYWHERE)]
    log: Option<String>,

    /// How to tell it.
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t = LogFormat::Text,
        global = true,
        help_heading = EVERYWHERE
    )]
    log_format: LogFormat,

    #[command(subcommand)]
    command: Command,
}

/// The heading of the options that every command has.
const EVERYWHERE: &str = "Options of every command";

const EPILOGUE: &str = "\
Examples:
  redirector demo                           watch it at work; needs no configuration
  redirector check                          what is wrong with mirrors.toml and this machine
  redirector serve                          answer downloads
  redirector explain /a/b.xo --from 192.0.2.1
                                            what this client would get, and why

Exit status:
   0  done
   1  failed; what went wrong is on standard error
   2  the command line can't be understood
  78  the configuration is wrong

Data goes to standard output, all else to standard error.";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer downloads; watch the trees, scan and probe the mirrors.
    #[command(after_help = serve::HELP)]
    Serve,
    /// Ask mirrors now what they hold.
    #[command(after_help = scan::HELP)]
    Scan(scan::Args),
    /// Tell all that is wrong, before it goes wrong.
    #[command(after_help = check::HELP)]
    Check(check::Args),
    /// Tell what a client would get for a path, and why.
    #[command(after_help = explain::HELP)]
    Explain(explain::Args),
    /// See what is known of mirrors.
    #[command(subcommand)]
    Mirrors(mirrors::Command),
    /// See and change what is known of files.
    #[command(subcommand)]
    Files(files::Command),
    /// Give orders about repositories of packages.
    #[command(subcommand)]
    Repositories(repositories::Command),
    /// Look up where addresses are.
    #[command(subcommand)]
    Geoip(geoip::Command),
    /// Try it all with a small site on loopback; needs no configuration.
    #[command(after_help = demo::HELP)]
    Demo(demo::Args),
}

/// What every command starts from.
struct Context {
    configs: Vec<Config>,
    clock: Clock,
}

impl Context {
    /// Opens an instance's inventory with its mirrors where they are: looks up their names.
    async fn open_inventory(&self, config: &Config) -> anyhow::Result<Inventory> {
        let parts = Parts::open(config, &self.clock).await;
        Ok(parts.with_context(|| format!("instance {}", config.name))?.inventory)
    }

    /// Opens an instance's inventory for orders and records: neither looks up names nor loads what requests need.
    async fn open_records(&self, config: &Config) -> anyhow::Result<Inventory> {
        let opened = Inventory::open_without_files(&config.inventory, Vec::new(), self.clock.clone()).await;
        opened.with_context(|| format!("the inventory of {} can't be used", config.name))
    }
}

/// `EX_CONFIG` of `sysexits.h`.
const EXIT_CONFIGURATION: u8 = 78;

/// Runs the program with the arguments of this process.
#[must_use]
pub fn run() -> ExitCode {
    let cli = arguments();
    let is_server = matches!(cli.command, Command::Serve);
    let is_scan = matches!(cli.command, Command::Scan(_));
    start_log(cli.log.as_deref().unwrap_or(if is_server { "info" } else { "warn" }), cli.log_format);
    // A scan sends many small questions: to hand each of them to another thread and back costs more than to ask it.
    let mut builder = if is_scan { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::new(error).context("no threads could be started")),
    };
    let status = runtime.block_on(dispatch(cli));
    // What still blocks (a file system that does not answer) may not keep the process.
    runtime.shutdown_background();
    status
}

/// The arguments of this process. A variable that is set to nothing is as good as none: so do compose files and units leave them out.
fn arguments() -> Cli {
    let is_empty = |name| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let mut command = Cli::command();
    for (name, argument) in [("REDIRECTOR_CONFIG", "config"), ("RUST_LOG", "log")] {
        if is_empty(name) {
            command = command.mut_arg(argument, |argument| argument.env(Resettable::Reset));
        }
    }
    Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

async fn dispatch(cli: Cli) -> ExitCode {
    let needs_none = matches!(cli.command, Command::Demo(_) | Command::Geoip(_));
    let given = |paths: &[PathBuf]| config::find(paths);
    let paths = match given(&cli.config) {
        _ if matches!(cli.command, Command::Demo(_)) => Vec::new(),
        Ok(paths) => paths,
        Err(_) if needs_none => Vec::new(),
        Err(problems) => return misconfigured(&problems),
    };
    if let Command::Check(args) = cli.command {
        return finished(check::run(&paths, &args).await);
    }
    let configs = match config::read_all(&paths) {
        Ok(configs) => configs,
        Err(problems) => return misconfigured(&problems),
    };
    let context = Context { configs, clock: Clock::system() };
    finished(match cli.command {
        Command::Serve => serve::run(context, paths).await,
        Command::Scan(args) => scan_now(&context, &args).await,
        Command::Explain(args) => explain::run(&context, args).await.map(|()| ExitCode::SUCCESS),
        Command::Mirrors(command) => mirrors::run(&context, command).await.map(|()| ExitCode::SUCCESS),
        Command::Files(command) => files::run(&context, command).await,
        Command::Repositories(command) => repositories::run(&context, command).await.map(|()| ExitCode::SUCCESS),
        Command::Geoip(command) => geoip::run(&geoip_settings(&context.configs), &command).map(|()| ExitCode::SUCCESS),
        Command::Demo(args) => demo::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Check(_) => Ok(ExitCode::SUCCESS),
    })
}

/// Brings the index of each instance's tree up to date, unless that is not wanted, then scans.
async fn scan_now(context: &Context, args: &scan::Args) -> anyhow::Result<ExitCode> {
    let within = args.directory.as_deref().map(|directory| target::find(&context.configs, directory)).transpose()?;
    let concerned = |config: &&Config| within.as_ref().is_none_or(|target| std::ptr::eq(target.config, *config));
    let mut instances = Vec::new();
    for config in context.configs.iter().filter(concerned) {
        let (inventory, trees) = open_for_scan(config, &context.clock).await?;
        if !(args.skip_tree && inventory.is_indexed().await?) {
            read_tree(config, &trees, &inventory, &context.clock).await?;
        }
        instances.push(scan::Instance {
            name: config.name.clone(),
            mirrors: config.mirrors(&|_| None),
            inventory,
            settings: config.scan.clone(),
            min_age: config.tree.min_age.0,
            contact: config.server.public_url.clone(),
            directory: within.as_ref().map_or_else(TreePath::root, |target| target.path.clone()),
        });
    }
    let status = scan::run(args, &instances, &context.clock).await;
    for instance in instances {
        instance.inventory.close().await?;
    }
    status
}

/// Opens what a scan needs, which is not interested in where mirrors and clients are.
async fn open_for_scan(config: &Config, clock: &Clock) -> anyhow::Result<(Inventory, Trees)> {
    let inventory = Inventory::open(&config.inventory, config.mirrors(&|_| None), clock.clone()).await;
    let inventory = inventory.with_context(|| format!("the inventory of {} can't be used", config.name))?;
    let (settings, is_known) = (config.tree.clone(), inventory.snapshot().file_count() > 0);
    let open = move || Trees::open(&settings).inspect(|trees| _ = is_known && trees.public.expect_files());
    // A file system may not answer.
    let trees = tokio::task::spawn_blocking(open).await?;
    Ok((inventory, trees.with_context(|| format!("the trees of {} can't be used", config.name))?))
}

/// Brings the index of a tree up to date.
async fn read_tree(config: &Config, trees: &Trees, inventory: &Inventory, clock: &Clock) -> anyhow::Result<()> {
    if trees.public.is_away() {
        let path = config.tree.public.display();
        tracing::warn!(%path, "the public tree is not there; mirrors are asked for the files that were known of it");
    }
    let walked = index::walk_once(trees, inventory, &config.tree, clock).await;
    walked.map(drop).with_context(|| format!("the public tree of {} can't be indexed", config.name))
}

/// Each instance's `[geoip]`; without a configuration, the built-in databases.
fn geoip_settings(configs: &[Config]) -> Vec<(&str, &geo::Settings)> {
    static BUILT_IN: LazyLock<geo::Settings> = LazyLock::new(geo::Settings::default);
    match configs {
        [] => vec![("built in", &BUILT_IN)],
        configs => configs.iter().map(|config| (&*config.name, &config.geoip)).collect(),
    }
}

fn finished(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| failed(&error))
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("redirector: {error:#}");
    ExitCode::FAILURE
}

fn misconfigured(problems: &config::Problems) -> ExitCode {
    eprintln!("{problems}");
    ExitCode::from(EXIT_CONFIGURATION)
}

fn start_log(filter: &str, format: LogFormat) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|error| {
        eprintln!("redirector: the log filter {filter:?} can't be read ({error}); using \"info\"");
        EnvFilter::new("info")
    });
    // It logs as an error what it returns as one, and what the scan tells of then.
    let filter = match "rustls_platform_verifier=off".parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let started = match format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    // A second start, in tests, keeps the first.
    drop(started);
}
