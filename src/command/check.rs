//! `redirector check`: all that can be wrong before it goes wrong, in the configurations and on this machine.

mod look;
mod survey;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::EXIT_CONFIGURATION;
use super::output::{print, print_json};
use crate::clock::Clock;
use crate::config::check::{self, Finding, Severity};
use crate::config::{Config, Problem};

/// What `check --help` says beyond its options.
pub(super) const HELP: &str = "\
It reads the configurations, and looks at this machine: trees, links, database, GeoIP files, limits. No \
mirror is asked. Errors keep things from working; warnings tell of what works otherwise than meant, or \
not now (a tree that is not mounted); hints of what could be better.

Exit status: 0 no errors, 1 errors (with --strict, warnings too), 78 a configuration can't be read.

Examples:
  redirector check
  redirector -c activities.toml -c testing.toml check --strict";

/// Tell all that is wrong, before it goes wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fail on warnings, too: for a check before a new configuration is put in place.
    #[arg(long)]
    strict: bool,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    /// What keeps a configuration from being read.
    problems: Vec<Problem>,
    /// What is wrong with those that could be read.
    findings: Vec<Finding>,
}

/// A file system that does not answer within this time is one that clients would wait for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Checks the configurations in these files.
pub(crate) async fn run(paths: &[PathBuf], args: &Args) -> anyhow::Result<ExitCode> {
    let (mut configs, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        match Config::read(path) {
            Ok(config) => configs.push(config),
            Err(more) => problems.extend(more.0),
        }
    }
    crate::config::tell_apart(&mut configs);
    let mut findings = check::all(&configs, &real);
    let clock = Clock::system();
    for config in &configs {
        findings.extend(patiently(config, &clock).await);
    }
    findings.sort_by_key(|finding| finding.severity);
    let report = Report { problems, findings };
    if args.json {
        print_json(&report)?
    } else {
        print(&text(&report, &configs)?)?
    }
    Ok(status(&report, args.strict))
}

fn status(report: &Report, strict: bool) -> ExitCode {
    let worst = if strict { Severity::Warning } else { Severity::Error };
    match () {
        () if !report.problems.is_empty() => ExitCode::from(EXIT_CONFIGURATION),
        () if report.findings.iter().any(|finding| finding.severity <= worst) => ExitCode::FAILURE,
        () => ExitCode::SUCCESS,
    }
}

/// Looks at the machine on a thread of its own, so that a file system that hangs does not keep the answer.
async fn patiently(config: &Config, clock: &Clock) -> Vec<Finding> {
    let (own, now) = (config.clone(), clock.now());
    let look = tokio::task::spawn_blocking(move || look::all(&own, now));
    match tokio::time::timeout(PATIENCE + survey::TIME, look).await {
        Ok(Ok(findings)) => findings,
        Ok(Err(error)) => {
            vec![Finding::new(Severity::Error, config, "tree", format!("the look at this machine failed: {error}"), "")]
        }
        Err(_) => {
            let text = format!("a file system did not answer within {} s", PATIENCE.as_secs());
            vec![Finding::new(Severity::Error, config, "tree", text, "is one of the folders on a server that is away?")]
        }
    }
}

/// Where a path really leads, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for ancestor in absolute.ancestors() {
        if let Ok(real) = ancestor.canonicalize() {
            let rest = absolute.strip_prefix(ancestor).unwrap_or(Path::new(""));
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    absolute
}

fn text(report: &Report, configs: &[Config]) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    for problem in &report.problems {
        writeln!(out, "{problem}\n")?;
    }
    for config in configs {
        let mirrors = config.mirrors.len();
        let plural = if mirrors == 1 { "" } else { "s" };
        writeln!(out, "{}: {} with {mirrors} mirror{plural}", config.path.display(), config.tree.prefix.encoded())?;
        let own: Vec<&Finding> = report.findings.iter().filter(|finding| finding.file == config.path).collect();
        for finding in &own {
            tell(&mut out, finding)?;
        }
        if own.is_empty() {
            writeln!(out, "  all is well")?;
        }
        writeln!(out)?;
    }
    writeln!(out, "{}", summary(report))?;
    Ok(out)
}

fn tell(out: &mut String, finding: &Finding) -> std::fmt::Result {
    let place = finding.position.map_or_else(String::new, |at| format!(", line {}", at.line));
    writeln!(out, "  {:7}  {}{place}: {}", finding.severity, finding.key, finding.text)?;
    if finding.advice.is_empty() { Ok(()) } else { writeln!(out, "           {}", finding.advice) }
}

fn summary(report: &Report) -> String {
    let count = |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
    let several = |number: usize, word: &str| match number {
        0 => format!("no {word}s"),
        1 => format!("1 {word}"),
        _ => format!("{number} {word}s"),
    };
    let errors = several(report.problems.len() + count(Severity::Error), "error");
    format!("{errors}, {}, {}", several(count(Severity::Warning), "warning"), several(count(Severity::Hint), "hint"))
}
