//! Pages on mirrors, for whoever runs one: `?mirrors` on the site's root for all of them, `?mirror=NAME` for one. A query can't
//! shadow a file.
//!
//! They are put together from the snapshot and the history that the inventory keeps, at most once in some seconds each, and never
//! on the way of a download.

mod plot;
mod view;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use tokio::sync::Mutex;

use super::accept::Form;
use crate::clock;
use crate::geo::Credit;
use crate::inventory::{self, Inventory, MirrorState};
use crate::model::{MirrorName, Prefix};
use view::{History, Overview, Page, Row};

/// Which page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The mirror; none: all.
    name: Option<String>,
    /// Whether the link asks for JSON, whatever the client likes.
    json: bool,
}

impl Wanted {
    /// Reads the query of a request for the root; `None` when it is about something else.
    #[must_use]
    pub fn parse(query: &str) -> Option<Self> {
        let mut parts = query.split('&');
        let name = match parts.next()?.split_once('=').unwrap_or((query.split('&').next()?, "")) {
            ("mirrors", "") => None,
            ("mirror", name) => Some(percent_decode_str(name).decode_utf8().ok()?.into_owned()),
            _ => return None,
        };
        Some(Self { name, json: parts.any(|part| part == "json") })
    }

    /// The form in which the page is sent to a client that likes `form`.
    #[must_use]
    pub fn form(&self, form: Form) -> Form {
        if self.json || form != Form::Html { Form::Json } else { Form::Html }
    }
}

/// Why there is no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No mirror is called so.
    NoSuchMirror,
    /// The database does not answer.
    Unavailable,
}

/// The pages of one instance.
#[derive(Debug)]
pub struct Pages {
    inventory: Inventory,
    prefix: Prefix,
    /// One page is put together at a time.
    kept: Mutex<Kept>,
}

/// Pages that were put together.
#[derive(Debug, Default)]
struct Kept {
    pages: HashMap<(Option<MirrorName>, bool), Made>,
    /// When the database last did not answer.
    failed: Option<Instant>,
}

#[derive(Debug)]
struct Made {
    at: Instant,
    text: Bytes,
}

/// How long a page is good: scans come every hour, probes every minute.
const GOOD: Duration = Duration::from_secs(5);
/// For how long a page is sent, though it is no longer good, while the database does not answer.
const KEPT: Duration = Duration::from_secs(3600);
/// How long the database is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// Scans in the plot of the overview, and in a mirror's own: two days and a week of hourly scans.
const SCANS: (usize, usize) = (48, 168);
/// Changes of health on a mirror's own page.
const HEALTH_CHANGES: usize = 20;

impl Pages {
    /// The pages of the instance at `prefix`.
    #[must_use]
    pub fn new(inventory: Inventory, prefix: Prefix) -> Self {
        Self { inventory, prefix, kept: Mutex::default() }
    }

    /// A page, and the form that it has.
    ///
    /// # Errors
    /// When there is no such mirror, or nothing can be said.
    pub async fn page(
        &self,
        wanted: &Wanted,
        form: Form,
        now: Timestamp,
        credit: Option<Credit>,
    ) -> Result<(Bytes, Form), Refusal> {
        let form = wanted.form(form);
        let name = wanted.name.as_ref().map(|name| self.known(name).ok_or(Refusal::NoSuchMirror)).transpose()?;
        let key = (name, form == Form::Json);
        let mut kept = self.kept.lock().await;
        let is_younger = |at: Instant, than: Duration| at.elapsed() < than;
        let made = kept.pages.get(&key).filter(|made| is_younger(made.at, KEPT));
        if let Some(made) = made.filter(|made| is_younger(made.at, GOOD) || kept.failed.is_some_and(|at| is_younger(at, GOOD)))
        {
            return Ok((made.text.clone(), form));
        }
        if kept.failed.is_some_and(|at| is_younger(at, GOOD)) {
            return Err(Refusal::Unavailable);
        }
        match tokio::time::timeout(PATIENCE, self.make(key.0.as_ref(), form, now, credit)).await {
            Ok(Ok(text)) => {
                kept.failed = None;
                kept.pages.retain(|_, made| is_younger(made.at, KEPT));
                kept.pages.insert(key, Made { at: clock::instant(), text: text.clone() });
                Ok((text, form))
            }
            Ok(Err(_)) | Err(_) => {
                kept.failed = Some(clock::instant());
                let last = kept.pages.get(&key).filter(|made| is_younger(made.at, KEPT));
                last.map(|made| (made.text.clone(), form)).ok_or(Refusal::Unavailable)
            }
        }
    }

    /// The mirror of this name, if there is one.
    fn known(&self, name: &str) -> Option<MirrorName> {
        let mirrors = self.inventory.snapshot().mirrors();
        mirrors.members.iter().map(|state| &state.mirror.name).find(|known| known.as_str() == name).cloned()
    }

    async fn make(
        &self,
        name: Option<&MirrorName>,
        form: Form,
        now: Timestamp,
        credit: Option<Credit>,
    ) -> Result<Bytes, inventory::Error> {
        let members = self.inventory.snapshot().mirrors().members.clone();
        let href = format!("{}/", self.prefix.encoded()).replace("//", "/");
        let path = format!("{}/", self.prefix).replace("//", "/");
        let of_one = name.and_then(|name| members.iter().find(|state| state.mirror.name == *name));
        let text = match of_one {
            Some(state) => {
                let history = self.history(state).await?;
                render(Page::new(state, &history, (path, href), (now, credit)), form).await
            }
            None => {
                let mut mirrors = Vec::with_capacity(members.len());
                for state in members.iter().filter(|state| state.mirror.enabled) {
                    let scans = self.inventory.scans(state.mirror.name.clone(), SCANS.0).await?;
                    mirrors.push(Row::new(state, &scans));
                }
                let files = self.inventory.snapshot().file_count();
                render(Overview { path, href, at: now, files, mirrors, credit }, form).await
            }
        };
        text.ok_or(inventory::Error::Internal)
    }

    async fn history(&self, state: &MirrorState) -> Result<History, inventory::Error> {
        let name = || state.mirror.name.clone();
        Ok(History {
            scans: self.inventory.scans(name(), SCANS.1).await?,
            health: self.inventory.health_history(name(), HEALTH_CHANGES).await?,
            gaps: self.inventory.gaps(name()).await?,
            checkup: self.inventory.checkup(name()).await?,
        })
    }
}

/// Prints a page on a thread where that holds nobody up. `None` when that has a bug.
async fn render<P: askama::Template + serde::Serialize + Send + 'static>(page: P, form: Form) -> Option<Bytes> {
    let print = move || match form {
        Form::Json => serde_json::to_string_pretty(&page).ok(),
        Form::Html | Form::Text => page.render().ok(),
    };
    tokio::task::spawn_blocking(print).await.ok().flatten().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_queries_that_mean_a_page_are_taken() {
        let all = |json| Some(Wanted { name: None, json });
        let one = |name: &str, json| Some(Wanted { name: Some(name.to_owned()), json });
        for (query, wanted) in [
            ("mirrors", all(false)),
            ("mirrors&json", all(true)),
            ("mirrors=", all(false)),
            ("mirror=nluug", one("nluug", false)),
            ("mirror=nlu%75g&json", one("nluug", true)),
            ("mirror=a&mirrors", one("a", false)),
            ("mirror", one("", false)),
            ("mirror=%ff", None),
            ("mirrors=x", None),
            ("mirrorlist", None),
            ("x&mirrors", None),
            ("", None),
        ] {
            assert_eq!(Wanted::parse(query), wanted, "{query}");
        }
    }
}
