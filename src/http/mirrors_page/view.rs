//! What the pages on mirrors say, as values; and how they look as HTML and JSON.

use askama::Template;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::plot::{self, Point};
use crate::geo::Credit;
use crate::inventory::{Gaps, HealthChange, MirrorState, Protocol, ScanSummary, Share};
use crate::model::people::{ago, can_do, grouped, percent, without_credentials};
use crate::model::{ByteSize, Checkup, Country, Health, Mirror, MirrorName, Only};

/// All mirrors at a glance.
#[derive(Template, Serialize, Debug)]
#[template(path = "mirrors.html", config = "src/http/templates/askama.toml")]
pub(super) struct Overview {
    /// The site's path, with slashes at both ends, as people read it.
    pub(super) path: String,
    /// The same, percent-encoded.
    #[serde(skip)]
    pub(super) href: String,
    /// When this was put together.
    pub(super) at: Timestamp,
    /// The files of the tree.
    pub(super) files: u64,
    /// The mirrors, in the order of the configuration; those that are not in use are left out.
    pub(super) mirrors: Vec<Row>,
    /// What the licence of a GeoIP database wants pages to say.
    #[serde(skip)]
    pub(super) credit: Option<Credit>,
}

/// A mirror in the overview.
#[derive(Serialize, Debug)]
pub(super) struct Row {
    name: MirrorName,
    operator: Option<String>,
    country: Option<Country>,
    health: Health,
    last_scan: Option<Scan>,
    /// At the end of the last scan that told it.
    share: Option<Share>,
    #[serde(skip)]
    plot: String,
}

/// One mirror, as its operator should see it.
#[derive(Template, Serialize, Debug)]
#[template(path = "mirror.html", config = "src/http/templates/askama.toml")]
pub(super) struct Page {
    path: String,
    #[serde(skip)]
    href: String,
    at: Timestamp,
    name: MirrorName,
    operator: Option<String>,
    enabled: bool,
    https: Option<String>,
    http: Option<String>,
    country: Option<Country>,
    /// Whom it serves, in sentences.
    serves: Vec<String>,
    health: Health,
    /// What it can do, if that was tried.
    checkup: Option<Checkup>,
    share: Option<Share>,
    gaps: Option<Gaps>,
    scans: Vec<Scan>,
    health_changes: Vec<HealthChange>,
    #[serde(skip)]
    plot: String,
    #[serde(skip)]
    credit: Option<Credit>,
}

/// A scan, as pages tell it.
#[derive(Serialize, Debug, Clone)]
pub(super) struct Scan {
    began: Timestamp,
    ended: Timestamp,
    protocol: Protocol,
    complete: bool,
    share: Option<Share>,
    found: Option<u64>,
    gone: Option<u64>,
    mismatched: Option<u64>,
    doubtful: Option<u64>,
    failure: Option<String>,
}

/// What is known of a mirror besides its state: newest first.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) scans: Vec<ScanSummary>,
    pub(super) health: Vec<HealthChange>,
    pub(super) gaps: Option<Gaps>,
    pub(super) checkup: Option<Checkup>,
}

/// How many scans a page lists; the plot shows more.
const SCANS: usize = 20;

impl From<&ScanSummary> for Scan {
    fn from(scan: &ScanSummary) -> Self {
        let counts = scan.outcome.as_ref().ok();
        Self {
            began: scan.began,
            ended: scan.ended,
            protocol: scan.protocol,
            complete: scan.complete,
            share: scan.share,
            found: counts.map(|counts| counts.found),
            gone: counts.map(|counts| counts.gone),
            mismatched: counts.map(|counts| counts.mismatched),
            doubtful: counts.map(|counts| counts.doubtful),
            failure: scan.outcome.as_ref().err().map(|reason| without_credentials(reason)),
        }
    }
}

impl Scan {
    fn result(&self) -> &str {
        match &self.failure {
            Some(reason) => reason,
            None if self.complete => "complete",
            None => "in part",
        }
    }

    fn seconds(&self) -> String {
        format!("{:.1} s", self.ended.duration_since(self.began).as_secs_f64())
    }

    fn held(&self) -> String {
        self.share.map_or_else(String::new, |share| percent(share.of_files()))
    }

    fn age(&self, now: &Timestamp) -> String {
        ago(self.ended, *now)
    }

    fn time(&self) -> String {
        time_for_people(self.ended)
    }
}

impl Row {
    pub(super) fn new(state: &MirrorState, scans: &[ScanSummary]) -> Self {
        let mirror = &state.mirror;
        Self {
            name: mirror.name.clone(),
            operator: mirror.operator.clone(),
            country: mirror.country,
            health: state.health,
            last_scan: scans.first().map(Scan::from),
            share: Share::last(scans),
            plot: plot::small(&points(scans)),
        }
    }

    fn country_name(&self) -> Option<String> {
        self.country.map(country_for_people)
    }

    fn share_held(&self) -> Option<String> {
        self.share.map(|share| percent(share.of_files()))
    }

    fn share_width(&self) -> String {
        self.share.map_or_else(String::new, |share| format!("{:.1}", share.of_files() * 100.0))
    }
}

impl Overview {
    fn time_of(&self, at: &Timestamp) -> String {
        time_for_people(*at)
    }

    fn summary(&self) -> String {
        let all = self.mirrors.len();
        let whole = self.mirrors.iter().filter(|row| row.share.is_some_and(|share| share.held >= share.files)).count();
        let down = self.mirrors.iter().filter(|row| row.health == Health::Down).count();
        let mut text = format!("{all} {}", if all == 1 { "mirror" } else { "mirrors" });
        if all > 0 {
            text.push_str(&format!(", {whole} with all of {} files", grouped(self.files)));
        }
        if down > 0 {
            text.push_str(&format!(", {down} down"));
        }
        text
    }
}

impl Page {
    /// The page on a mirror. `path` and `href` lead to the site.
    pub(super) fn new(
        state: &MirrorState,
        history: &History,
        (path, href): (String, String),
        (at, credit): (Timestamp, Option<Credit>),
    ) -> Self {
        let mirror = &state.mirror;
        let changes = history
            .health
            .iter()
            .map(|change| HealthChange { reason: change.reason.as_deref().map(without_credentials), ..change.clone() });
        Self {
            path,
            href,
            at,
            name: mirror.name.clone(),
            operator: mirror.operator.clone(),
            enabled: mirror.enabled,
            https: mirror.https.as_ref().map(ToString::to_string),
            http: mirror.http.as_ref().map(ToString::to_string),
            country: mirror.country,
            serves: serves(mirror),
            health: state.health,
            checkup: history.checkup.clone().map(|checkup| Checkup {
                notes: checkup.notes.iter().map(|note| without_credentials(note)).collect(),
                ..checkup
            }),
            share: Share::last(&history.scans),
            gaps: history.gaps.clone(),
            scans: history.scans.iter().take(SCANS).map(Scan::from).collect(),
            health_changes: changes.collect(),
            plot: if history.scans.len() > 1 { plot::large(&points(&history.scans)) } else { String::new() },
            credit,
        }
    }

    fn country_name(&self) -> Option<String> {
        self.country.map(country_for_people)
    }

    fn holds(&self) -> Option<String> {
        let share = self.share?;
        let (files, bytes) = (percent(share.of_files()), percent(share.of_bytes()));
        let of_files = format!("{} of {}", grouped(share.held), grouped(share.files));
        let of_bytes = format!("{} of {}", ByteSize(share.held_bytes), ByteSize(share.bytes));
        Some(format!("{files} of the files ({of_files}), {bytes} of the bytes ({of_bytes})"))
    }

    fn counted(&self, number: &u64) -> String {
        grouped(*number)
    }

    fn time_of(&self, at: &Timestamp) -> String {
        time_for_people(*at)
    }

    /// What it can do, in lines: what about, and how that is.
    fn abilities(&self) -> Vec<(&'static str, String)> {
        self.checkup.as_ref().map(|checkup| can_do(checkup, self.at)).unwrap_or_default()
    }

    fn lacks(&self) -> Option<String> {
        let gaps = self.gaps.as_ref()?;
        let size = |bytes| ByteSize(bytes).to_string();
        let mut parts = Vec::new();
        if gaps.missing > 0 {
            let files = if gaps.missing == 1 { "file" } else { "files" };
            parts.push(format!("{} {files} missing ({})", grouped(gaps.missing), size(gaps.missing_bytes)));
        }
        if gaps.stale > 0 {
            let copies = if gaps.stale == 1 { "copy is" } else { "copies are" };
            parts.push(format!("{} {copies} not ours ({})", grouped(gaps.stale), size(gaps.stale_bytes)));
        }
        Some(if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") })
    }

    /// What it has not and need not have.
    fn excused(&self) -> Option<String> {
        self.gaps.as_ref()?.excused()
    }
}

/// The scans for a plot, oldest first. Scans of a part of the tree tell no share, and are left out.
fn points(scans: &[ScanSummary]) -> Vec<Point> {
    let point = |scan: &ScanSummary| match (&scan.outcome, scan.share) {
        (Ok(_), Some(share)) => Some(Point { at: scan.ended, held: Some(share.of_files()) }),
        (Err(_), _) => Some(Point { at: scan.ended, held: None }),
        (Ok(_), None) => None,
    };
    scans.iter().rev().filter_map(point).collect()
}

/// Whom a mirror serves, in sentences.
fn serves(mirror: &Mirror) -> Vec<String> {
    let country = mirror.country.map_or_else(|| "its country".to_owned(), country_for_people);
    let countries = |list: &[Country]| list.iter().copied().map(country_for_people).collect::<Vec<_>>().join(", ");
    let mut told = Vec::new();
    if !mirror.enabled || mirror.score == 0 {
        told.push(
            if mirror.enabled { "Clients for whom there is no other mirror." } else { "Nobody: it is switched off." }
                .to_owned(),
        );
    }
    told.push(match mirror.only {
        Some(Only::Network) => "Only clients of its own networks.".to_owned(),
        Some(Only::As) => "Only clients of its autonomous system.".to_owned(),
        Some(Only::Country) => format!("Only clients in {country}."),
        Some(Only::Continent) => "Only clients on its continent.".to_owned(),
        None => format!("Clients in {country} first, then those of its continent, then others, by distance."),
    });
    if !mirror.networks.is_empty() {
        let networks: Vec<String> = mirror.networks.iter().take(20).map(ToString::to_string).collect();
        told.push(format!("Before all others: clients in {}.", networks.join(", ")));
    }
    if !mirror.also_countries.is_empty() {
        told.push(format!("Also clients in {}, where they have no nearer mirror.", countries(&mirror.also_countries)));
    }
    if !mirror.exclude_countries.is_empty() {
        told.push(format!("No clients in {}.", countries(&mirror.exclude_countries)));
    }
    if let Some(most) = mirror.max_file_size {
        told.push(format!("Files up to {}.", ByteSize(most)));
    }
    told
}

fn country_for_people(country: Country) -> String {
    country.name().map_or_else(|| country.to_string(), str::to_owned)
}

fn time_for_people(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M").to_string()
}
