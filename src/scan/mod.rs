//! Scanning: asking one mirror what it has.
//!
//! A [`Plan`] says what there is to find. For each mirror, a [`Scanner`] (`round`) reads its stamp, if it has one, and tries its ways in order
//! (`attempt`): `rsync`, `ftp`, `http` by directory listings, `head` file by file. A lister fills [`findings::Findings`]; over HTTP,
//! `opening` finds out whether the mirror's word can be relied on, and `verify` holds the other protocols' word against the web server's.
//! `settle` decides what is taken away, `twin` compares the mirror's other base URL; the result is recorded and reported, with what the next
//! scan needs to know of listings (`memory`, `written`). [`schedule`] does so again and again.

pub mod answer;
mod attempt;
mod bucket;
pub mod capacity;
pub mod changes;
pub mod client;
pub mod demand;
pub mod entry;
pub mod etiquette;
pub mod fetched;
pub mod findings;
pub mod ftp;
mod gaps;
mod ground;
mod hashed;
mod head;
mod http;
mod inquiry;
mod intake;
mod judge;
pub mod limits;
pub mod listing;
mod lots;
pub mod matching;
mod memory;
pub mod metrics;
mod opening;
pub mod part;
pub mod plan;
pub mod progress;
pub mod reach;
mod remote;
pub mod round;
pub mod rsync;
pub mod schedule;
mod secret;
pub mod session;
mod settle;
mod stamp;
mod twin;
mod validators;
mod verify;
mod written;

use std::path::PathBuf;

use serde::Deserialize;

pub use changes::Changes;
pub use client::{Clients, Error as ClientError};
pub use demand::{Demand, Redirectable};
pub use limits::Limits;
pub use metrics::Metrics;
pub use plan::Plan;
pub use progress::{Progress, Quiet, Step};
pub use round::{Mode, Report, Scanner};
pub use schedule::{Nudge, Scheduler};

use crate::model::{Span, TreePath, way};

/// `[scan]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// How often each mirror is scanned.
    pub interval: Span,
    /// How many mirrors are scanned at once.
    pub parallel: usize,
    /// How many connections one mirror is asked over at once, and how many questions are under way: over HTTP/2 these share one
    /// connection, and are no more, for a HEAD costs the mirror's disks the same over either.
    pub connections: usize,
    /// How many questions a second one mirror is asked, whoever asks.
    pub requests_per_second: u32,
    /// Where the mirrors' operators can ask what this is: a URL or an address, sent in the User-Agent.
    pub contact: Option<String>,
    /// How long one request to a mirror may take in all.
    pub timeout: Span,
    /// A file below each mirror's URL that changes whenever the mirror does, where the mirror itself names none.
    #[serde(deserialize_with = "way::path_below")]
    pub stamp: Option<TreePath<'static>>,
    /// The program that asks over rsync.
    pub rsync_program: PathBuf,
    /// Whether mirrors may be at private, loopback or link-local addresses (for tests and the demo).
    pub allow_private_addresses: bool,
    /// What one scan may cost; not in the configuration.
    #[serde(skip)]
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = |n| Span(std::time::Duration::from_secs(n));
        Self {
            interval: seconds(3600),
            parallel: 8,
            connections: 4,
            requests_per_second: 100,
            contact: None,
            stamp: None,
            rsync_program: PathBuf::from("rsync"),
            timeout: seconds(60),
            allow_private_addresses: false,
            limits: Limits::default(),
        }
    }
}
