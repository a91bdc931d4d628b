//! `redirector serve`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::{Context, EXIT_CONFIGURATION};
use crate::daemon;

pub(crate) async fn run(context: Context, paths: Vec<PathBuf>) -> anyhow::Result<ExitCode> {
    match daemon::serve(context.configs, &paths, context.clock, CancellationToken::new()).await {
        Err(daemon::Error::Configuration(problems)) => {
            eprintln!("{problems}");
            Ok(ExitCode::from(EXIT_CONFIGURATION))
        }
        served => served.context("can't serve").map(|()| ExitCode::SUCCESS),
    }
}
