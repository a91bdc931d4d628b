//! One walk for the command line, beside a running server or without one.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::intake::Intake;
use super::round::Round;
use super::watcher::{Ending, Report};
use super::{PATIENCE_AT_THE_END, patience};
use crate::clock::{self, Clock};
use crate::hash::Orders;
use crate::inventory::{self, Inventory};
use crate::model::TreePath;
use crate::tree::{Settings, Trees};

/// Walks through the public tree once. Files that are being written are waited for until they have stood still, or for as
/// long as the settings let a file settle.
///
/// # Errors
/// When the inventory fails.
pub async fn walk_once(
    trees: &Trees,
    inventory: &Inventory,
    settings: &Settings,
    clock: &Clock,
) -> Result<Report, inventory::Error> {
    let mut intake = Intake::new(trees.clone(), inventory.clone(), clock.clone(), patience(settings), Orders::for_nobody());
    intake.start().await?;
    let mut round = Round::begin(&mut intake, TreePath::root(), None, &CancellationToken::new());
    while let Some(batch) = round.next().await {
        round.take(&mut intake, batch).await?;
    }
    let (mut report, _) = round.finish(&mut intake).await?;
    settle(&mut intake).await?;
    if report.ending == Ending::Complete {
        intake.first_walk_is_done().await?;
    }
    report.moving = intake.moving.len() as u64;
    report.ended = intake.clock.now();
    Ok(report)
}

/// Waits for files that are being written.
async fn settle(intake: &mut Intake) -> Result<(), inventory::Error> {
    let longest = intake.patience.settle.max(intake.patience.settle_shrunken) + PATIENCE_AT_THE_END;
    let began = clock::instant();
    while !intake.moving.is_empty() && began.elapsed() < longest {
        sleep(GLANCE).await;
        intake.look_at_moving().await?;
    }
    Ok(())
}

/// How often files are looked at that are being written.
const GLANCE: Duration = Duration::from_millis(100);
