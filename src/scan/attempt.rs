//! One way to ask a mirror, tried: list, check, settle. Which ways there are and in which order, the mirror's configuration says.

use std::time::Instant;

use roaring::RoaringBitmap;

use super::answer::Failure;
use super::findings::Findings;
use super::ground::{Ground, Sought};
use super::head::Turn;
use super::judge::Sample;
use super::memory::Recollection;
use super::opening::{Opening, check_refusal, open};
use super::round::Scanner;
use super::session::Session;
use super::settle::{Settlement, settle};
use super::stamp::{Circumstances, Stamp};
use super::twin::{Likeness, compare};
use super::verify::{verify, weigh};
use super::{Settings, bucket, ftp, head, http, rsync};
use crate::cause::chain;
use crate::inventory::{self, Counts, Protocol, SeenStamp};
use crate::model::{BaseUrl, Mirror, Scheme, TreePath};

/// A way to ask a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way<'a> {
    /// Over rsync.
    Rsync(&'a str),
    /// Over FTP.
    Ftp(&'a str),
    /// By the listings below a URL, or, where it shows none and that is allowed, file by file.
    Listings(&'a BaseUrl, Unlisted),
    /// File by file.
    Heads(&'a BaseUrl),
}

/// What to do where a server shows no listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unlisted {
    /// Ask for file by file.
    Heads,
    /// Nothing: the configuration wants listings.
    Fail,
}

/// What one way of asking came to.
pub(super) struct Outcome {
    /// Which way it was in the end.
    pub(super) protocol: Protocol,
    /// What was found.
    pub(super) counts: Counts,
    /// What the mirror holds now.
    pub(super) holdings: RoaringBitmap,
    /// Versions of which it has other copies.
    pub(super) stale: RoaringBitmap,
    /// The one of its base URLs that was not seen to have that.
    pub(super) unseen: Option<Scheme>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
    /// Whether everything was seen.
    pub(super) complete: bool,
    /// Whether some files rested until their turn comes.
    pub(super) rested: bool,
    /// What is to be remembered of its listings.
    pub(super) listed: Option<inventory::Listed>,
}

/// The ways of a mirror, in order.
pub(super) fn ways(mirror: &Mirror) -> Vec<Way<'_>> {
    let bases = || [&mirror.https, &mirror.http].into_iter().flatten();
    let allowed = mirror.scanning.ways();
    let unlisted = if allowed.contains(&Protocol::Head) { Unlisted::Heads } else { Unlisted::Fail };
    let place = |wanted| allowed.iter().position(|way| *way == wanted);
    let mut ways = Vec::new();
    for way in allowed {
        match way {
            Protocol::Rsync => ways.extend(mirror.rsync.as_deref().map(Way::Rsync)),
            Protocol::Ftp => ways.extend(mirror.ftp.as_deref().map(Way::Ftp)),
            Protocol::Http => ways.extend(bases().map(|base| Way::Listings(base, unlisted))),
            // Listings end in questions for each file where there are none.
            Protocol::Head if place(Protocol::Http) < place(Protocol::Head) && place(Protocol::Http).is_some() => {}
            Protocol::Head => ways.extend(bases().map(Way::Heads)),
            Protocol::Stamp => {}
        }
    }
    ways
}

impl Way<'_> {
    /// What it is called.
    pub(super) const fn protocol(&self) -> Protocol {
        match self {
            Self::Rsync(_) => Protocol::Rsync,
            Self::Ftp(_) => Protocol::Ftp,
            Self::Listings(..) => Protocol::Http,
            Self::Heads(_) => Protocol::Head,
        }
    }

    /// How it is told to people.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Rsync(url) | Self::Ftp(url) => (*url).to_owned(),
            Self::Listings(base, _) | Self::Heads(base) => base.to_string(),
        }
    }
}

/// What a try needs to know.
pub(super) struct Attempt<'a> {
    /// Who asks.
    pub(super) scanner: &'a Scanner,
    /// Who is asked.
    pub(super) mirror: &'a Mirror,
    /// What for.
    pub(super) ground: &'a Ground<'a>,
    /// Which of the known files are asked for, where all have to be asked for one by one.
    pub(super) turn: Turn,
    /// When it has to have ended.
    pub(super) deadline: Instant,
}

/// What is known of a mirror besides its stamp.
pub(super) struct Known<'a> {
    /// The stamp before the last complete scan.
    pub(super) seen: Option<&'a SeenStamp>,
    /// What else counts.
    pub(super) circumstances: Circumstances,
}

/// What was listed, by which way, with what a person should know.
struct Listed {
    protocol: Protocol,
    session: Session,
    findings: Findings,
    notes: Vec<String>,
    /// What was remembered of its listings.
    recollection: Option<Recollection>,
    /// Whether some files rested until their turn comes to be asked for.
    rested: bool,
}

impl Attempt<'_> {
    /// Tries one way.
    ///
    /// # Errors
    /// When nothing can be said by it; the reason is for people.
    pub(super) async fn by(&self, way: &Way<'_>) -> Result<Outcome, String> {
        let listed = match way {
            Way::Rsync(url) => self.by_rsync(url).await?,
            Way::Ftp(url) => self.by_ftp(url).await?,
            Way::Listings(base, unlisted) => self.by_listings(base, *unlisted).await?,
            Way::Heads(base) => {
                let session = self.session(base);
                check_refusal(&session).await?;
                self.by_heads(session, Vec::new()).await?
            }
        };
        self.conclude(listed).await
    }

    /// Whether the mirror's stamp says that there is nothing to ask; and what it says, to be kept after a scan.
    ///
    /// # Errors
    /// When it can't be read; the reason is for people.
    pub(super) async fn by_stamp(&self, path: &TreePath<'_>, known: Known<'_>) -> Result<(Stamp, Option<Outcome>), String> {
        let session = self.web().await?;
        let stamp = Stamp::read(&session, path).await?;
        let stands = known.seen.is_some_and(|seen| stamp.stands_still(seen, &known.circumstances));
        let (before, versions) = (self.ground.before, self.ground.plan.versions());
        let outcome = stands.then(|| Outcome {
            protocol: Protocol::Stamp,
            counts: Counts { found: before.intersection_len(versions), bytes: session.received(), ..Counts::default() },
            holdings: before.clone(),
            stale: RoaringBitmap::new(),
            unseen: None,
            notes: Vec::new(),
            complete: true,
            rested: false,
            listed: None,
        });
        Ok((stamp, outcome))
    }

    fn session(&self, base: &BaseUrl) -> Session {
        let Scanner { clients, clock, settings: Settings { connections, limits, .. }, .. } = self.scanner;
        Session::new(clients, self.mirror, base, *connections, limits, clock)
    }

    /// The web server that clients are sent to, which has the last word: over the first of its URLs that works.
    async fn web(&self) -> Result<Session, String> {
        let mut reasons = Vec::new();
        for base in [&self.mirror.https, &self.mirror.http].into_iter().flatten() {
            let session = self.session(base);
            match check_refusal(&session).await {
                Ok(()) => return Ok(session),
                Err(reason) => reasons.push(format!("{base}: {reason}")),
            }
        }
        Err(format!("the web server can't be asked: {}", reasons.join("; ")))
    }

    async fn by_rsync(&self, url: &str) -> Result<Listed, String> {
        let source = rsync::Source::find(self.mirror, url, &self.scanner.settings).await?;
        let session = self.web().await?;
        let mut findings = Findings::default();
        let salt = self.salt();
        let sample = rsync::list(self.ground, &session, &source, salt, self.deadline, &mut findings).await?;
        self.checked(Protocol::Rsync, session, findings, sample).await
    }

    async fn by_ftp(&self, url: &str) -> Result<Listed, String> {
        let source = ftp::Source::find(self.mirror, url, &self.scanner.settings).await?;
        let session = self.web().await?;
        let mut findings = Findings::default();
        let now = self.scanner.clock.now();
        let sample = ftp::list(self.ground, &session, &source, now, self.deadline, &mut findings).await?;
        self.checked(Protocol::Ftp, session, findings, sample).await
    }

    /// Another sample of what is known each time.
    fn salt(&self) -> u64 {
        self.scanner.clock.now().as_second().cast_unsigned()
    }

    /// What another protocol than the clients' listed, once a sample of it was found at the web server.
    async fn checked(
        &self,
        protocol: Protocol,
        session: Session,
        mut findings: Findings,
        sample: Vec<(TreePath<'static>, Sought)>,
    ) -> Result<Listed, String> {
        verify(self.ground, &session, sample).await?;
        let mut notes = Vec::new();
        if !findings.troubles.is_empty() {
            let inventory = &self.scanner.inventory;
            let asked = head::ask_unseen(self.ground, &session, inventory, self.salt(), self.deadline, &mut findings);
            notes.extend(asked.await.map_err(refused)?);
        }
        let note = self.ask_blind(&session, &mut findings).await.map_err(refused)?;
        let rested = note.is_some();
        notes.extend(note);
        Ok(Listed { protocol, session, findings, notes, recollection: None, rested })
    }

    async fn by_listings(&self, base: &BaseUrl, unlisted: Unlisted) -> Result<Listed, String> {
        let session = self.session(base);
        match open(self.ground, &session).await? {
            Opening::Listing(query) => {
                let place = format!("{base} {}", query.unwrap_or_default());
                let recollection = self.scanner.recollection(&self.mirror.name, &place, self.ground.plan).await;
                let mut findings = Findings::default();
                let limits = (self.deadline, self.salt());
                let sample = http::list(self.ground, &session, (query, &recollection), limits, &mut findings).await;
                self.ask_unlisted(&session, &mut findings).await;
                let mut notes = self.weighed(&session, sample, &mut findings).await?;
                let note = self.ask_blind(&session, &mut findings).await.map_err(refused)?;
                let rested = note.is_some();
                notes.extend(note);
                let recollection = Some(recollection);
                Ok(Listed { protocol: Protocol::Http, session, findings, notes, recollection, rested })
            }
            Opening::Bucket(door) => {
                let mut findings = Findings::default();
                let mut sample = Sample::new(session.limits().sample, self.salt());
                bucket::list(self.ground, &session, &door, self.deadline, (&mut findings, &mut sample)).await;
                let notes = self.weighed(&session, sample, &mut findings).await?;
                Ok(Listed { protocol: Protocol::Http, session, findings, notes, recollection: None, rested: false })
            }
            Opening::Heads(why) if unlisted == Unlisted::Heads => {
                self.by_heads(session, vec![format!("file by file: {why}")]).await
            }
            Opening::Heads(why) => Err(why),
        }
    }

    /// What the web server's own listings show, once some of it was asked for. What comes back is for people.
    async fn weighed(&self, session: &Session, sample: Sample, findings: &mut Findings) -> Result<Vec<String>, String> {
        let Some(doubt) = weigh(self.ground, session, sample, self.deadline, findings).await else { return Ok(Vec::new()) };
        let inventory = &self.scanner.inventory;
        let asked = head::ask_doubted(self.ground, session, inventory, self.deadline, findings).await.map_err(refused)?;
        Ok(vec![format!("{doubt}; {asked}")])
    }

    async fn by_heads(&self, session: Session, notes: Vec<String>) -> Result<Listed, String> {
        let mut findings = Findings::default();
        let scope = self.ground.plan.scope().clone();
        let inventory = &self.scanner.inventory;
        head::list(self.ground, &session, inventory, scope, self.turn, self.deadline, &mut findings).await.map_err(refused)?;
        let rested = !findings.rested.is_empty();
        Ok(Listed { protocol: Protocol::Head, session, findings, notes, recollection: None, rested })
    }

    /// What is to be made of what was listed.
    async fn conclude(&self, listed: Listed) -> Result<Outcome, String> {
        let Listed { protocol, session, mut findings, mut notes, recollection, rested } = listed;
        notes.extend(findings.troubles.told());
        if session.is_given_up() && findings.troubles.is_empty() {
            notes.push(Failure::GivenUp.to_string());
        }
        if findings.entries == 0 && !findings.troubles.is_empty() || session.is_given_up() && findings.seen.is_empty() {
            return Err(notes.join("; "));
        }
        let settlement = settle(self.ground, &session, &self.scanner.inventory, &findings).await.map_err(refused)?;
        notes.extend(settlement.objection.clone());
        let complete = findings.troubles.is_empty() && settlement.objection.is_none();
        let has_nothing = settlement.holdings.is_empty() && findings.mismatched.is_empty() && findings.doubtful.is_empty();
        if complete && has_nothing && self.ground.plan.scope().is_root() {
            notes.push(format!("nothing of the public tree is there: is {} the right place?", session.base()));
        }
        let (unseen, note) = self.compare_twin(session.base(), &settlement.holdings).await.map_err(refused)?;
        notes.extend(note);
        let lesson = std::mem::take(&mut findings.lesson);
        let remember = |recollection: Recollection| recollection.after(lesson, self.ground.plan, &settlement.holdings);
        Ok(Outcome {
            protocol,
            listed: recollection.filter(|_| complete).map(remember),
            counts: counts(&session, &findings, &settlement),
            stale: &findings.mismatched - &settlement.holdings,
            holdings: settlement.holdings,
            unseen,
            notes,
            complete,
            rested,
        })
    }

    /// Whether the mirror's other base URL has to be left out, and why: it has not what was found at `base`, or was never seen
    /// to have it. One that can't be asked now keeps what was known of it.
    async fn compare_twin(
        &self,
        base: &BaseUrl,
        holdings: &RoaringBitmap,
    ) -> Result<(Option<Scheme>, Option<String>), inventory::Error> {
        let Some(twin) = [&self.mirror.http, &self.mirror.https].into_iter().flatten().find(|other| *other != base) else {
            return Ok((None, None));
        };
        let reason = match compare(self.ground, &self.session(twin), &self.scanner.inventory, holdings).await? {
            Likeness::Same => return Ok((None, None)),
            Likeness::Unclear(_) if self.was_seen_at(twin.scheme()) => return Ok((None, None)),
            Likeness::Different(reason) | Likeness::Unclear(reason) => reason,
        };
        let note = format!("clients are not sent to {twin} before it is seen to have the same files: {reason}");
        Ok((Some(twin.scheme()), Some(note)))
    }

    /// Whether what the mirror is known to hold was seen at its base URL of this scheme.
    fn was_seen_at(&self, scheme: Scheme) -> bool {
        let mirrors = self.ground.snapshot.mirrors();
        let state = mirrors.members.iter().find(|state| state.mirror.name == self.mirror.name);
        state.is_some_and(|state| state.unseen != Some(scheme) && !state.holdings.is_empty())
    }

    /// Asks for the files below directories that are not listed.
    async fn ask_blind(&self, session: &Session, findings: &mut Findings) -> Result<Option<String>, inventory::Error> {
        let blind = std::mem::take(&mut findings.blind);
        let Some(first) = blind.first() else { return Ok(None) };
        let note = format!("{} directories show no listing, like /{first}; their files were asked for one by one", blind.len());
        for directory in blind {
            head::list(self.ground, session, &self.scanner.inventory, directory, self.turn, self.deadline, findings).await?;
        }
        Ok(Some(note))
    }

    /// Asks for the files that listings tend to leave out, if they were not listed after all.
    async fn ask_unlisted(&self, session: &Session, findings: &mut Findings) {
        let sought = |path: &TreePath<'static>| Some((path.clone(), self.ground.sought(path)?));
        let listed = &findings.seen | &findings.mismatched;
        let unseen = |(_, sought): &(TreePath<'_>, Sought)| !listed.contains(sought.version.0);
        let files: Vec<_> = self.ground.plan.unlisted().iter().filter_map(sought).filter(unseen).collect();
        // What there was no time for stays as it was.
        _ = head::ask_in_time(self.ground, session, files, self.deadline, findings).await;
    }
}

fn refused(error: inventory::Error) -> String {
    format!("the inventory can't be read: {}", chain(&error))
}

fn counts(session: &Session, findings: &Findings, settlement: &Settlement) -> Counts {
    Counts {
        found: (&findings.seen | &findings.rested).len(),
        gone: (&settlement.lost - &findings.mismatched).len(),
        mismatched: findings.mismatched.len(),
        doubtful: (&findings.doubtful - &settlement.holdings).len() + settlement.kept,
        bytes: session.received(),
        entries: findings.entries,
    }
}
