//! Probing: asking a mirror a small question, to know whether it works right now.
//!
//! The question is a HEAD on a file that the mirror should hold, over each of the URLs that clients are sent to. What an answer
//! means is decided here (`ask`), what several of them mean in [`health`], and [`Prober`] asks again and again.
//!
//! Now and then it is also tried what a mirror can do for clients (`checkup`): parts of files, large files, both versions of the
//! Internet Protocol, and how long its certificate is good. That is remembered.
//!
//! Then some bytes of a file are compared with those of the tree as well (`bytes`).
//!
//! A mirror that answers, but lacks the file, works: then a second file is asked for, and only when that fails too is the probe a
//! failure. In both cases a scan is wished for, which takes away what is really gone, with all the care that scans take.

mod ask;
mod bytes;
mod checkup;
mod fallback;
pub mod health;
mod metrics;
mod prober;
mod target;

use serde::Deserialize;

pub use fallback::watch;
pub use metrics::Metrics;
pub use prober::Prober;

use crate::model::Span;

/// `[probe]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// How often each mirror is probed.
    pub interval: Span,
    /// How long an answer may take.
    pub timeout: Span,
    /// After how many failures in a row a mirror is down.
    pub failures: u32,
    /// After how many successes in a row a mirror that was down is up again.
    pub successes: u32,
    /// Whether some bytes of what mirrors hold are compared with those of the tree, now and then.
    pub compare_bytes: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = |n| Span(std::time::Duration::from_secs(n));
        Self { interval: seconds(60), timeout: seconds(10), failures: 3, successes: 2, compare_bytes: true }
    }
}
