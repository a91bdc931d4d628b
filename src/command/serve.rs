//! `redirector serve`.

use std::path::PathBuf;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::Context;
use crate::daemon;

pub(crate) async fn run(context: Context, paths: Vec<PathBuf>) -> anyhow::Result<()> {
    daemon::serve(context.configs, &paths, context.clock, CancellationToken::new()).await.context("can't serve")
}
