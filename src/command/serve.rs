//! `redirector serve`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;

use super::{Context, EXIT_CONFIGURATION};
use crate::daemon;

/// What `serve --help` says beyond its options.
pub(super) const HELP: &str = "\
SIGHUP reads the configurations, and the files with keys, again without dropping a request; one that is wrong is told in the log, \
and the old one stays; of several instances, all take theirs or none does. SIGTERM and SIGINT let \
downloads under way end (server.drain-timeout).

Examples:
  redirector serve
  redirector -c activities.toml -c testing.toml serve       two instances in one process
  redirector --log-format json --log redirector::scan=debug serve";

pub(crate) async fn run(context: Context, paths: Vec<PathBuf>) -> anyhow::Result<ExitCode> {
    raise_file_limit();
    match daemon::serve(context.configs, &paths, context.clock, CancellationToken::new()).await {
        Err(daemon::Error::Configuration(problems)) => {
            eprintln!("{problems}");
            Ok(ExitCode::from(EXIT_CONFIGURATION))
        }
        served => served.context("can't serve").map(|()| ExitCode::SUCCESS),
    }
}

/// Each connection is an open file: takes as many as the system lets us have.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit on open files can't be raised");
    }
}
