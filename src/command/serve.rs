//! `redirector serve`.

use std::path::PathBuf;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;

use super::Context;
use crate::daemon;

pub(crate) async fn run(context: Context, paths: Vec<PathBuf>) -> anyhow::Result<()> {
    raise_file_limit();
    daemon::serve(context.configs, &paths, context.clock, CancellationToken::new()).await.context("can't serve")
}

/// Each connection is an open file: takes as many as the system lets us have.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit on open files can't be raised");
    }
}
