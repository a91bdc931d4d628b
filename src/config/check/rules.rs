//! Fallback mirrors that lead back to us, and repositories whose lists could name us wrongly.

use super::mirrors::ourselves;
use super::{Finding, Severity};
use crate::config::Config;

pub(super) fn alone(config: &Config, findings: &mut Vec<Finding>) {
    for (index, fallback) in config.fallbacks.iter().enumerate() {
        for (key, base) in [("https", &fallback.https), ("http", &fallback.http)] {
            if let Some(base) = base.as_ref().filter(|base| ourselves(config, base) == Some(true)) {
                let key = format!("fallback[{index}].{key}");
                let text = format!("{base} is this server");
                findings.push(Finding::new(
                    Severity::Error,
                    config,
                    &key,
                    text,
                    "clients would be sent in a circle; remove it: files that no mirror can take are served from here anyway",
                ));
            }
        }
    }
    if !config.repositories.is_empty() && config.server.public_url.is_none() {
        let text = "lists for package managers name this server as each request does";
        let advice = "set `public-url`: behind a proxy, a request may say another name or scheme than clients use";
        findings.push(Finding::new(Severity::Hint, config, "server.public-url", text, advice));
    }
}
