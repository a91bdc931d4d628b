//! Scanning: asking one mirror what it has.

pub mod listing;

use serde::Deserialize;

use crate::model::Span;

/// `[scan]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// How often each mirror is scanned.
    pub interval: Span,
    /// How many mirrors are scanned at once.
    pub parallel: usize,
    /// How many connections one mirror is asked over at once.
    pub connections: usize,
    /// Where the mirrors' operators can ask what this is: a URL or an address, sent in the User-Agent.
    pub contact: Option<String>,
    /// How long one request to a mirror may take in all.
    pub timeout: Span,
    /// Whether mirrors may be at private, loopback or link-local addresses (for tests and the demo).
    pub allow_private_addresses: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = |n| Span(std::time::Duration::from_secs(n));
        Self {
            interval: seconds(3600),
            parallel: 8,
            connections: 4,
            contact: None,
            timeout: seconds(60),
            allow_private_addresses: false,
        }
    }
}
