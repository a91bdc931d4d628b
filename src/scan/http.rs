//! The lister over HTTP: reads directory listings from the top, breadth first, and enters only directories that the public
//! tree has. What a listing leaves open about a file is settled by asking for the file.
//!
//! A directory that can't be read, or whose page was cut, is unknown: it proves nothing about what is below it.

use std::collections::VecDeque;
use std::time::Instant;

use futures_util::stream::{FuturesUnordered, StreamExt};
use reqwest::StatusCode;

use super::answer::Failure;
use super::fetched::{Fetched, Page};
use super::findings::{Extent, Finding, Findings, Word};
use super::ground::Ground;
use super::judge::{Candidate, Judge};
use super::listing::{self, Entry, Family, Kind, Listing, Zone};
use super::matching::{Listed, Time, Verdict};
use super::memory::{Known, Learnt, Recollection};
use super::progress::Step;
use super::session::Session;
use crate::model::{TreePath, VersionNumber};

/// Lists the mirror below the plan's scope, until all is seen or `deadline` has come.
pub(super) async fn list(
    ground: &Ground<'_>,
    session: &Session,
    (query, recollection): (Option<&str>, &Recollection),
    deadline: Instant,
    findings: &mut Findings,
) {
    let crawl = Crawl { ground, session, query, recollection, judge: Judge::new(session) };
    let mut queue = VecDeque::from([ground.plan.scope().clone()]);
    findings.coverage.set(ground.plan.scope(), Extent::Unknown);
    let mut visits = FuturesUnordered::new();
    loop {
        while visits.len() < session.connections() && crawl.may_go_on(findings) {
            let Some(directory) = queue.pop_front() else { break };
            visits.push(crawl.visit(directory));
        }
        let visit = match tokio::time::timeout_at(deadline.into(), visits.next()).await {
            Ok(Some(visit)) => visit,
            Ok(None) => break,
            Err(_) => {
                findings.troubles.add(|| "the scan took too long".to_owned());
                return;
            }
        };
        crawl.take(visit, findings, &mut queue);
    }
    if !queue.is_empty() {
        let left = queue.len();
        findings.troubles.add(|| format!("the scan was ended by its limits with {left} directories left to read"));
    }
}

struct Crawl<'a> {
    ground: &'a Ground<'a>,
    session: &'a Session,
    query: Option<&'a str>,
    recollection: &'a Recollection,
    judge: Judge<'a>,
}

/// One directory, read.
struct Visit {
    directory: TreePath<'static>,
    outcome: Result<Seen, Unread>,
}

/// What was in it.
struct Seen {
    findings: Vec<Finding>,
    below: Vec<TreePath<'static>>,
    entries: u64,
    extent: Extent,
    /// Versions that stay as they are known: the directory has not changed.
    rested: Vec<u32>,
    /// What is worth remembering.
    learnt: Option<Learnt>,
}

/// Why a directory could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// No page came.
    #[error("{0}")]
    Failure(#[from] Failure),
    /// The page is something else.
    #[error("{0}")]
    NoListing(#[from] listing::Error),
    /// The reader of listings has a bug.
    #[error("reading the listing failed")]
    Died,
}

impl Unread {
    /// Whether the server has something there, but shows no listing of it: its files can still be asked for one by one.
    pub(super) fn shows_no_listing(&self) -> bool {
        match self {
            Self::NoListing(_) => true,
            Self::Failure(Failure::Status(status)) => matches!(status.as_u16(), 401 | 403 | 405 | 406),
            Self::Failure(_) | Self::Died => false,
        }
    }
}

impl<'a> Crawl<'a> {
    fn may_go_on(&self, findings: &Findings) -> bool {
        let limits = self.session.limits();
        !self.session.is_given_up() && findings.entries < limits.entries && self.session.received() < limits.total_bytes
    }

    /// Takes in what a visit found.
    fn take(&self, visit: Visit, findings: &mut Findings, queue: &mut VecDeque<TreePath<'static>>) {
        self.ground.step(Step::Directory);
        let seen = match visit.outcome {
            Ok(seen) => seen,
            Err(Unread::Failure(failure)) if is_absent(&failure) => {
                findings.coverage.set(&visit.directory, Extent::Absent);
                return;
            }
            Err(unread) if unread.shows_no_listing() && findings.blind.len() < self.session.limits().blind => {
                findings.blind.push(visit.directory);
                return;
            }
            Err(trouble) => {
                findings.troubles.add(|| format!("/{}: {trouble}", visit.directory));
                return;
            }
        };
        findings.entries += seen.entries;
        self.ground.step(Step::Files(seen.findings.len() as u64));
        findings.rested.extend(seen.rested);
        seen.findings.iter().for_each(|finding| findings.note(finding));
        findings.lesson.learnt.extend(seen.learnt);
        for directory in seen.below {
            if !findings.coverage.has(&directory) && directory.segments().count() <= self.session.limits().depth {
                findings.coverage.set(&directory, Extent::Unknown);
                queue.push_back(directory);
            }
        }
        findings.coverage.set(&visit.directory, seen.extent);
        if seen.extent == Extent::Unknown {
            findings.troubles.add(|| format!("/{}: the listing is not whole", visit.directory));
        }
    }

    async fn visit(&self, directory: TreePath<'static>) -> Visit {
        let outcome = self.read(&directory).await;
        Visit { directory, outcome }
    }

    async fn read(&self, directory: &TreePath<'static>) -> Result<Seen, Unread> {
        let versions = self.ground.plan.folder(directory).map_or(&[][..], |folder| &folder.versions);
        let known = self.recollection.of(directory, versions, self.ground.before);
        let validators = known.map(|known| known.validators.clone()).unwrap_or_default();
        let page = match (self.session.page_unless(directory, self.query, &validators).await?, known) {
            (Fetched::Unchanged, Some(known)) => return Ok(self.rest(known, versions)),
            (Fetched::Unchanged, None) => return Err(Failure::Status(StatusCode::NOT_MODIFIED).into()),
            (Fetched::Page(page), _) => page,
        };
        let state = (page.validators.clone(), self.recollection.digest(&page.body));
        if let Some(known) = known.filter(|known| known.body == state.1) {
            let renamed = known.validators != state.0;
            let known = Known::new(state, known.mismatched.clone(), known.below.clone(), (known.entries, known.family));
            let seen = self.rest(&known, versions);
            let learnt = renamed.then(|| Learnt { directory: directory.clone(), versions: versions.into(), known });
            return Ok(Seen { learnt, ..seen });
        }
        let listing = parse(page).await?;
        let mut candidates = Vec::new();
        let mut below = Vec::new();
        let mut findings = Vec::new();
        let entries = listing.entries.len() as u64;
        for entry in &listing.entries {
            // A name that is no segment of a path leads nowhere.
            let Ok(path) = directory.join(&entry.name) else { continue };
            match (self.ground.sought(&path), entry.kind) {
                (Some(sought), Kind::Directory) => findings.push(sought.finding(Word::Listing(Verdict::Mismatched))),
                (Some(sought), Kind::File | Kind::Unknown) => {
                    candidates.push(Candidate { path, sought, listed: self.listed(entry) })
                }
                (None, Kind::Directory | Kind::Unknown) if self.ground.plan.has_directory(&path) => below.push(path),
                (None, _) => findings.extend(self.ground.unsettled(&path)),
            }
        }
        // A page of unknown make that shows nothing of ours may be any page with links.
        let is_strange = listing.family == Family::Generic && candidates.is_empty() && below.is_empty();
        let extent = if listing.complete && !is_strange { Extent::Complete(listing.family) } else { Extent::Unknown };
        findings.extend(self.judge.judge(candidates).await);
        let is_clear =
            |finding: &Finding| !matches!(finding.word, Word::Listing(Verdict::Doubtful) | Word::Server(Verdict::Doubtful));
        let learnt = (matches!(extent, Extent::Complete(_)) && findings.iter().all(is_clear)).then(|| {
            let mismatched = findings.iter().filter(|finding| finding.word == Word::Listing(Verdict::Mismatched));
            let mismatched = mismatched.map(|finding| finding.version.0).collect();
            let known = Known::new(state, mismatched, below.clone().into(), (entries, listing.family));
            Learnt { directory: directory.clone(), versions: versions.into(), known }
        });
        Ok(Seen { findings, below, entries, extent, rested: Vec::new(), learnt })
    }

    /// What there is to say of a directory that has not changed since it was judged: the same as then.
    fn rest(&self, known: &Known, versions: &[u32]) -> Seen {
        let other = known
            .mismatched
            .iter()
            .map(|version| Finding { version: VersionNumber(*version), word: Word::Listing(Verdict::Mismatched) });
        Seen {
            findings: other.collect(),
            below: known.below.to_vec(),
            entries: known.entries,
            extent: Extent::Complete(known.family),
            rested: versions.iter().copied().filter(|version| self.ground.before.contains(*version)).collect(),
            learnt: None,
        }
    }

    /// What an entry says, as evidence. Times of a mirror whose clock is far off are none.
    fn listed(&self, entry: &Entry) -> Listed {
        let size = entry.size.map(|size| (size.least, size.most));
        let time = entry.time.filter(|_| !self.session.is_clock_off()).map(|time| Time {
            seconds: time.at.as_second(),
            precision: i64::try_from(time.precision.as_secs()).unwrap_or(i64::MAX / 4),
            offset: (time.zone == Zone::Known).then_some(0),
            doubt: 0,
        });
        self.judge.with_zone(Listed { size, time })
    }
}

/// Whether the server says that there is no such directory.
fn is_absent(failure: &Failure) -> bool {
    matches!(failure, Failure::Status(status) if matches!(status.as_u16(), 404 | 410))
}

/// Reads a page as a listing; a large one on a thread where that holds nobody up.
pub(super) async fn parse(page: Page) -> Result<Listing, Unread> {
    /// Reading this much takes well below a millisecond.
    const SMALL: usize = 64 * 1024;
    if page.body.len() <= SMALL {
        return parse_here(&page);
    }
    tokio::task::spawn_blocking(move || parse_here(&page)).await.unwrap_or(Err(Unread::Died))
}

fn parse_here(page: &Page) -> Result<Listing, Unread> {
    let base = listing::Base::parse(page.url.as_str())?;
    Ok(listing::parse(&page.body, page.content_type.as_deref(), &base)?)
}
