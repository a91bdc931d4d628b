//! The lister over HTTP: reads directory listings from the top, depth first, and enters only directories that the public
//! tree has. What a listing leaves open about a file is settled by asking for the file.
//!
//! A directory that was judged at the last scan, and of which nothing has changed since as far as can be told, stands as it did (`memory`).
//!
//! A directory that can't be read, or whose page was cut, is unknown: it proves nothing about what is below it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures_util::stream::{FuturesUnordered, StreamExt};
use reqwest::StatusCode;

use super::answer::Failure;
use super::fetched::{Fetched, Page};
use super::findings::{Extent, Finding, Findings, Word};
use super::ground::Ground;
use super::judge::{Candidate, Judge, Sample};
use super::listing::{self, Entry, Family, Kind, Listing, Zone};
use super::matching::{Before, Listed, Time, Verdict};
use super::memory::{Below, Known, Recollection};
use super::opening::is_disproof;
use super::plan::Folder;
use super::progress::Step;
use super::session::Session;
use super::validators::Validators;
use crate::model::{TreePath, VersionNumber};

/// Lists the mirror below the plan's scope, until all is seen or `deadline` has come. What comes back is some of what counts as held
/// by the listings' word alone; another `salt` draws others.
pub(super) async fn list(
    ground: &Ground<'_>,
    session: &Session,
    (query, recollection): (Option<&str>, &Recollection),
    (deadline, salt): (Instant, u64),
    findings: &mut Findings,
) -> Sample {
    let times = AtomicBool::new(recollection.believes_times());
    let judge = Judge::new(session, Sample::new(session.limits().sample, salt));
    let crawl = Crawl { ground, session, query, recollection, times, judge };
    let mut queue = Queue::new(ground.plan.scope());
    findings.coverage.set(ground.plan.scope(), Extent::Unknown);
    let mut visits = FuturesUnordered::new();
    loop {
        while visits.len() < session.connections() && crawl.may_go_on(findings) {
            let Some(stop) = queue.next_to_ask(&crawl, findings).await else { break };
            visits.push(crawl.visit(stop));
        }
        let visit = match tokio::time::timeout_at(deadline.into(), visits.next()).await {
            Ok(Some(visit)) => visit,
            Ok(None) => break,
            Err(_) => {
                findings.troubles.add(|| "the scan took too long".to_owned());
                // There is no time to ask for any.
                return Sample::new(0, 0);
            }
        };
        crawl.take(visit, findings, &mut queue);
    }
    if !queue.waiting.is_empty() {
        let left = queue.waiting.len();
        findings.troubles.add(|| format!("the scan was ended by its limits with {left} directories left to read"));
    }
    drop(visits);
    crawl.judge.into_sample()
}

struct Crawl<'a> {
    ground: &'a Ground<'a>,
    session: &'a Session,
    query: Option<&'a str>,
    recollection: &'a Recollection,
    /// Whether a directory is believed to be as it was when the listing above it shows the same time.
    times: AtomicBool,
    judge: Judge<'a>,
}

/// A directory to look at.
#[derive(Clone)]
struct Stop {
    directory: TreePath<'static>,
    /// The time that the listing above shows of it, where that tells one state from the next.
    shown: Option<i64>,
}

/// The directories that are left.
struct Queue {
    /// The next one last: of a large tree, those of one branch wait at a time.
    waiting: Vec<Stop>,
    /// Those that were believed to be as they were, because of their times, with the number of entries.
    believed: Vec<(Stop, u64)>,
}

/// One directory, read.
struct Visit {
    stop: Stop,
    outcome: Result<Seen, Unread>,
}

/// What was in it.
struct Seen {
    findings: Vec<Finding>,
    below: Vec<Stop>,
    entries: u64,
    extent: Extent,
    /// Versions that stay as they are known: the directory has not changed.
    rested: Vec<u32>,
    /// What is worth remembering.
    learnt: Option<Known>,
    /// It had changed, although it shows the same time.
    time_lied: bool,
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
    fn take(&self, visit: Visit, findings: &mut Findings, queue: &mut Queue) {
        self.ground.step(Step::Directory);
        let Visit { stop: Stop { directory, .. }, outcome } = visit;
        let seen = match outcome {
            Ok(seen) => seen,
            Err(Unread::Failure(failure)) if is_absent(&failure) => {
                findings.coverage.set(&directory, Extent::Absent);
                return;
            }
            Err(unread) if unread.shows_no_listing() && findings.blind.len() < self.session.limits().blind => {
                findings.blind.push(directory);
                return;
            }
            Err(trouble) => {
                findings.troubles.add(|| format!("/{directory}: {trouble}"));
                return;
            }
        };
        findings.entries += seen.entries;
        self.ground.step(Step::Files(seen.findings.len() as u64));
        findings.rested.extend(seen.rested);
        seen.findings.iter().for_each(|finding| findings.note(finding));
        for stop in seen.below.into_iter().rev() {
            if !findings.coverage.has(&stop.directory) && stop.directory.segments().count() <= self.session.limits().depth {
                findings.coverage.set(&stop.directory, Extent::Unknown);
                queue.waiting.push(stop);
            }
        }
        findings.coverage.set(&directory, seen.extent);
        if seen.extent == Extent::Unknown {
            findings.troubles.add(|| format!("/{directory}: the listing is not whole"));
        }
        if let Some(known) = seen.learnt {
            findings.lesson.add(&directory, known, (self.ground.plan, self.recollection));
        }
        if seen.time_lied {
            self.times.store(false, Ordering::Relaxed);
            findings.lesson.times_lied = true;
            queue.doubt(self.ground, findings);
        }
    }

    async fn visit(&self, stop: Stop) -> Visit {
        let outcome = self.read(&stop).await;
        Visit { stop, outcome }
    }

    /// What there is to say of a directory that the listing above shows as it was: nothing was put there or taken away since, and it
    /// has all that it should have, so there is nothing to gain from asking.
    fn believed(&self, stop: &Stop) -> Option<Seen> {
        let folder = self.ground.plan.folder(&stop.directory)?;
        if !self.times.load(Ordering::Relaxed) || self.recollection.is_turn(&stop.directory) {
            return None;
        }
        let known = self.recollection.of(&stop.directory, folder, self.ground.before)?;
        self.looks_the_same(stop, known, folder).then(|| self.rest(&stop.directory, known, folder))
    }

    fn looks_the_same(&self, stop: &Stop, known: &Known, folder: &Folder) -> bool {
        let is_leaf = known.below.is_empty() && folder.below == 0;
        let holds = |version: &u32| self.ground.before.contains(*version);
        let is_same = stop.shown.is_some() && stop.shown == known.shown;
        is_same && is_leaf && known.mismatched.is_empty() && folder.versions.iter().all(holds)
    }

    async fn read(&self, stop: &Stop) -> Result<Seen, Unread> {
        let (directory, nothing) = (&stop.directory, Folder::default());
        let folder = self.ground.plan.folder(directory).unwrap_or(&nothing);
        let stands = self.recollection.of(directory, folder, self.ground.before);
        let known = stands.filter(|_| !self.recollection.is_turn(directory));
        let validators = known.map(|known| known.validators.clone()).unwrap_or_default();
        let again = |known: &Known, validators: Validators| {
            let now = Known { validators, shown: stop.shown, ..known.clone() };
            Seen { learnt: (now != *known).then_some(now), ..self.rest(directory, known, folder) }
        };
        let page = match (self.session.page_unless(directory, self.query, &validators).await?, known) {
            (Fetched::Unchanged, Some(known)) => return Ok(again(known, validators)),
            (Fetched::Unchanged, None) => return Err(Failure::Status(StatusCode::NOT_MODIFIED).into()),
            (Fetched::Page(page), _) => page,
        };
        let (validators, body) = (page.validators.clone(), self.recollection.digest(&page.body));
        if let Some(known) = known.filter(|known| known.body == body) {
            return Ok(again(known, validators));
        }
        let listing = parse(page).await?;
        let mut seen = self.judged(directory, &listing).await;
        let is_whole = matches!(seen.extent, Extent::Complete(_));
        let is_doubtful =
            |finding: &Finding| matches!(finding.word, Word::Listing(Verdict::Doubtful) | Word::Server(Verdict::Doubtful));
        let doubtful = seen.findings.iter().filter(|finding| is_doubtful(finding)).count();
        let held = seen.findings.iter().filter(|finding| finding.is_holding()).count();
        let would_be_believed = |known: &&Known| is_whole && self.looks_the_same(stop, known, folder);
        seen.time_lied = stands.filter(would_be_believed).is_some_and(|known| held + doubtful < known.held);
        // What the server itself has said against a copy does not stand in the page: another copy may come without changing that.
        let is_told = seen.findings.iter().all(|finding| !is_disproof(finding));
        seen.learnt = (is_whole && doubtful == 0 && is_told).then(|| {
            let mismatched = seen.findings.iter().filter(|finding| finding.word == Word::Listing(Verdict::Mismatched));
            let mismatched = mismatched.map(|finding| finding.version.0).collect();
            let below = seen.below.iter().map(|stop| Below { name: stop.directory.name().into(), shown: stop.shown }).collect();
            let (entries, family) = (seen.entries, listing.family);
            Known { validators, body, mark: 0, mismatched, below, entries, held, family, shown: stop.shown }
        });
        // What stands is not written down once more.
        seen.learnt = seen.learnt.filter(|learnt| !stands.is_some_and(|known| known.says_the_same_as(learnt)));
        Ok(seen)
    }

    /// What a listing comes to.
    async fn judged(&self, directory: &TreePath<'static>, listing: &Listing) -> Seen {
        let mut candidates = Vec::new();
        let mut below = Vec::new();
        let mut findings = Vec::new();
        for entry in &listing.entries {
            // A name that is no segment of a path leads nowhere.
            let Ok(path) = directory.join(&entry.name) else { continue };
            match (self.ground.sought(&path), entry.kind) {
                (Some(sought), Kind::Directory) => findings.push(sought.finding(Word::Listing(Verdict::Mismatched))),
                (Some(mut sought), Kind::File | Kind::Unknown) => {
                    let listed = self.listed(entry);
                    // A name alone does not tell that a copy was cut short meanwhile: now and then, the file itself is asked for.
                    if listed == Listed::default() && self.recollection.is_turn(directory) {
                        sought.wanted.before = Before::Unknown;
                    }
                    candidates.push(Candidate { path, sought, listed })
                }
                (None, Kind::Directory | Kind::Unknown) if self.ground.plan.has_directory(&path) => {
                    below.push(Stop { directory: path, shown: self.telling(entry, listing.family) })
                }
                (None, _) => findings.extend(self.ground.unsettled(&path)),
            }
        }
        // A page of unknown make that shows nothing of ours may be any page with links.
        let is_strange = listing.family == Family::Generic && candidates.is_empty() && below.is_empty();
        let extent = if listing.complete && !is_strange { Extent::Complete(listing.family) } else { Extent::Unknown };
        findings.extend(self.judge.judge(candidates).await);
        let entries = listing.entries.len() as u64;
        Seen { findings, below, entries, extent, rested: Vec::new(), learnt: None, time_lied: false }
    }

    /// The time of a directory, where that tells one state from the next: it changes with what is in it, and so long ago that what
    /// comes after it has another one, in whatever time zone.
    fn telling(&self, entry: &Entry, family: Family) -> Option<i64> {
        /// A time zone and a season, and a day for mirrors that give directories the times of those that they copy.
        const SETTLED_SECONDS: i64 = 48 * 3600;
        let is_of_use = family.shows_times_of_directories() && !self.session.is_clock_off();
        let shown = entry.time.filter(|_| is_of_use)?.at.as_second();
        (shown < self.session.now().as_second() - SETTLED_SECONDS).then_some(shown)
    }

    /// What there is to say of a directory that has not changed since it was judged: the same as then.
    fn rest(&self, directory: &TreePath<'static>, known: &Known, folder: &Folder) -> Seen {
        let other = known
            .mismatched
            .iter()
            .map(|version| Finding { version: VersionNumber(*version), word: Word::Listing(Verdict::Mismatched) });
        let stop = |below: &Below| Some(Stop { directory: directory.join(&below.name).ok()?, shown: below.shown });
        let held = |version: &u32| self.ground.before.contains(*version);
        Seen {
            findings: other.collect(),
            below: known.below.iter().filter_map(stop).collect(),
            entries: known.entries,
            extent: Extent::Complete(known.family),
            rested: folder.versions.iter().copied().filter(held).collect(),
            learnt: None,
            time_lied: false,
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

impl Queue {
    fn new(first: &TreePath<'static>) -> Self {
        Self { waiting: vec![Stop { directory: first.clone(), shown: None }], believed: Vec::new() }
    }

    /// The next directory that has to be asked for; what is believed before it is taken in.
    async fn next_to_ask(&mut self, crawl: &Crawl<'_>, findings: &mut Findings) -> Option<Stop> {
        /// After so many directories others get their turn on this thread.
        const BREATH: usize = 500;
        while let Some(stop) = self.waiting.pop() {
            let Some(seen) = crawl.believed(&stop) else { return Some(stop) };
            self.believed.push((stop.clone(), seen.entries));
            crawl.take(Visit { stop, outcome: Ok(seen) }, findings, self);
            if self.believed.len().is_multiple_of(BREATH) {
                tokio::task::yield_now().await;
            }
        }
        None
    }

    /// Times have told nothing: what was believed because of them is asked for after all.
    fn doubt(&mut self, ground: &Ground<'_>, findings: &mut Findings) {
        for (stop, entries) in self.believed.drain(..) {
            findings.entries -= entries;
            let versions = ground.plan.folder(&stop.directory).into_iter().flat_map(|folder| &folder.versions);
            versions.for_each(|version| _ = findings.rested.remove(*version));
            findings.coverage.set(&stop.directory, Extent::Unknown);
            self.waiting.push(stop);
        }
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
