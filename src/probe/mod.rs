//! Probing: asking a mirror a small question, to know whether it works right now.

use serde::Deserialize;

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
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = |n| Span(std::time::Duration::from_secs(n));
        Self { interval: seconds(60), timeout: seconds(10), failures: 3, successes: 2 }
    }
}
