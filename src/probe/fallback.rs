//! Asking fallback mirrors whether they work. What they hold is an administrator's word; whether they answer is seen.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Settings;
use super::ask::ask_politely;
use super::health::{Tally, Thresholds};
use crate::clock::Clock;
use crate::model::{Health, Mirror};
use crate::scan::Clients;

/// How soon after the start the first question is asked.
const FIRST: Duration = Duration::from_secs(1);

/// Asks each of the servers for its base URL, again and again, and tells (by index) what became of its health. The servers are asked
/// side by side, so that one that hangs delays no other.
pub async fn watch(
    servers: Vec<Mirror>,
    settings: &Settings,
    (clients, clock): (&Clients, &Clock),
    tell: impl Fn(usize, Health),
    stop: CancellationToken,
) {
    let tell = Arc::new(tell);
    let watches = servers.iter().enumerate().map(|(index, server)| {
        let tell = Arc::clone(&tell);
        async move {
            let thresholds = Thresholds { failures: settings.failures, successes: settings.successes };
            let mut tally = Tally::new(Health::Unknown);
            let mut pause = FIRST.min(settings.interval.0);
            loop {
                tokio::time::sleep(pause).await;
                pause = settings.interval.0;
                let Some(finding) = ask_politely(clients, server, &[], settings.timeout.0, clock).await else { continue };
                let before = tally.health();
                tally = tally.after(finding.outcome, thresholds);
                if before.is_usable() != tally.health().is_usable() {
                    let reason = finding.reason.unwrap_or_default();
                    match tally.health().is_usable() {
                        true => tracing::info!(fallback = %server.name, "the fallback mirror works again"),
                        false => tracing::warn!(fallback = %server.name, reason, "the fallback mirror is down"),
                    }
                }
                tell(index, tally.health());
            }
        }
    });
    let watches = futures_util::future::join_all(watches);
    stop.run_until_cancelled(watches).await;
    // Without servers there is nothing to do until the end.
    stop.cancelled().await;
}
