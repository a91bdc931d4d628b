//! One walk for the command line, beside a running server or without one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::intake::Intake;
use super::round::Round;
use super::status::{Ending, Report};
use super::{PATIENCE_AT_THE_END, patience};
use crate::clock::Clock;
use crate::inventory::{self, Inventory, Seen};
use crate::model::TreePath;
use crate::tree::{Settings, Trees};

/// Walks through the public tree, or what is below a directory of it, once. Files that are being written are waited for
/// until they have stood still, or for as long as the settings let a file settle.
///
/// # Errors
/// When the inventory fails.
pub async fn walk_once(
    trees: Arc<Trees>,
    inventory: Inventory,
    settings: &Settings,
    clock: Clock,
    below: TreePath<'static>,
    stop: &CancellationToken,
) -> Result<Report, inventory::Error> {
    if inventory.snapshot().file_count() > 0 {
        let trees = Arc::clone(&trees);
        tokio::task::spawn_blocking(move || trees.public.expect_files()).await.ok();
    }
    let mut intake = Intake::new(trees, inventory, clock, patience(settings), Seen::Later);
    intake.find_out_occasion().await?;
    let is_whole = below.is_root();
    let mut round = Round::begin(&mut intake, below, None, stop);
    while let Some(batch) = round.next().await {
        if stop.is_cancelled() {
            break;
        }
        round.take(&mut intake, batch).await?;
    }
    let (mut report, _) = round.finish(&mut intake).await?;
    settle(&mut intake, stop).await?;
    if is_whole && report.ending == Ending::Complete {
        intake.first_walk_is_done().await?;
    }
    report.moving = intake.moving.len() as u64;
    report.ended = intake.clock.now();
    Ok(report)
}

/// Waits for files that are being written.
async fn settle(intake: &mut Intake, stop: &CancellationToken) -> Result<(), inventory::Error> {
    let longest = intake.patience.settle.max(intake.patience.settle_shrunken) + PATIENCE_AT_THE_END;
    let deadline = Instant::now() + longest;
    while !intake.moving.is_empty() && !stop.is_cancelled() && Instant::now() < deadline {
        sleep(GLANCE).await;
        intake.look_at_moving().await?;
    }
    Ok(())
}

/// How often files are looked at that are being written.
const GLANCE: Duration = Duration::from_millis(100);
