//! The lister over FTP and FTPS: reads directories from the top, over several connections, and enters only those that the public tree
//! has.
//!
//! A directory that can't be read is unknown: it proves nothing about what is below it.

mod connection;
pub mod human;
pub mod machine;

use std::collections::VecDeque;
use std::time::Instant;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use jiff::Timestamp;

use super::Settings;
use super::entry::Kind;
use super::findings::{Extent, Findings};
use super::ground::{Ground, Sought};
use super::intake::{Entry, Intake, Next};
use super::limits::Limits;
use super::listing::Family;
use super::matching::Time;
use super::progress::Step;
use super::remote::{Addresses, Remote};
use super::secret::Secret;
use super::session::Session;
use crate::model::{Mirror, TreePath};
use connection::{ANONYMOUS, Connection, Door, Failure, Form, Tls};

/// What one line of a listing says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What the entry is.
    pub kind: Kind,
    /// Its size, where that is said.
    pub size: Option<u64>,
    /// Its time, where that is said.
    pub time: Option<Time>,
    /// Its name, as the server has it: not always one that a tree can hold.
    pub name: Vec<u8>,
}

const PORT: u16 = 21;
const IMPLICIT_PORT: u16 = 990;

/// Where one mirror is listed.
pub(super) struct Source {
    door: Door,
    path: Vec<u8>,
}

impl Source {
    /// Finds out where a mirror is listed.
    ///
    /// # Errors
    /// When it can't be: the reason is for people.
    pub(super) async fn find(mirror: &Mirror, url: &str, settings: &Settings) -> Result<Self, String> {
        let remote = Remote::parse(url).map_err(|error| error.to_string())?;
        let password = mirror.scanning.ftp_password_file.as_deref().map(Secret::read).transpose();
        let password = password.map_err(|error| error.to_string())?;
        let tls = match (url.starts_with("ftps:"), remote.port) {
            (false, _) => Tls::Off,
            (true, Some(IMPLICIT_PORT)) => Tls::Implicit,
            (true, _) => Tls::Explicit,
        };
        let addresses = remote.addresses(PORT, Addresses::by(settings)).await.map_err(|error| error.to_string())?;
        let Remote { user, host, path, .. } = remote;
        let user = user.unwrap_or_else(|| ANONYMOUS.to_owned());
        let (timeout, bytes) = (settings.timeout.0, settings.limits.page_bytes);
        Ok(Self { door: Door { host, addresses, tls, user, password, timeout, bytes }, path })
    }

    /// A directory below the home directory.
    fn path(&self, directory: &TreePath<'_>) -> Vec<u8> {
        let parts = [self.path.as_slice(), directory.as_bytes()].into_iter().filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join(&b'/')
    }
}

/// Lists the mirror below the plan's scope, until all is seen or `deadline` has come. What comes back is a sample of what it shows.
///
/// # Errors
/// When nothing could be listed; the reason is for people.
pub(super) async fn list(
    ground: &Ground<'_>,
    session: &Session,
    source: &Source,
    now: Timestamp,
    deadline: Instant,
    findings: &mut Findings,
) -> Result<Vec<(TreePath<'static>, Sought)>, String> {
    let scope = ground.plan.scope().clone();
    let mut crawl = Crawl {
        ground,
        source,
        limits: session.limits(),
        now,
        idle: Vec::new(),
        most: session.connections(),
        queue: VecDeque::from([(scope.clone(), 0)]),
        bytes: 0,
        last: None,
    };
    findings.coverage.set(&scope, Extent::Unknown);
    let mut intake = Intake::new(ground, session, now.as_second().cast_unsigned());
    let ran = tokio::time::timeout_at(deadline.into(), crawl.run(&mut intake, findings)).await;
    if ran.is_err() {
        findings.troubles.add(|| "the scan took too long".to_owned());
    }
    session.note_received(crawl.bytes);
    let (idle, last) = (std::mem::take(&mut crawl.idle), crawl.last.take());
    futures_util::future::join_all(idle.into_iter().map(Connection::close)).await;
    match last {
        Some(why) if findings.entries == 0 => Err(why),
        _ => Ok(intake.finish(deadline, findings).await),
    }
}

struct Crawl<'a> {
    ground: &'a Ground<'a>,
    source: &'a Source,
    limits: &'a Limits,
    now: Timestamp,
    /// Connections that wait for work.
    idle: Vec<Connection>,
    /// Connections at once; fewer when the server does not let so many in.
    most: usize,
    /// Directories to read, with how often that was tried.
    queue: VecDeque<(TreePath<'static>, u32)>,
    bytes: u64,
    /// What went wrong last.
    last: Option<String>,
}

/// One directory, read or not.
struct Visit {
    directory: TreePath<'static>,
    tries: u32,
    connection: Option<Connection>,
    outcome: Result<Page, Refusal>,
}

struct Page {
    bytes: Vec<u8>,
    form: Form,
}

/// What did not work.
enum Refusal {
    /// To be let in.
    Door(Failure),
    /// To read the directory.
    Directory(Failure),
}

impl Crawl<'_> {
    async fn run(&mut self, intake: &mut Intake<'_>, findings: &mut Findings) {
        let mut visits = FuturesUnordered::new();
        loop {
            while visits.len() < self.most && self.may_go_on(findings) {
                let Some((directory, tries)) = self.queue.pop_front() else { break };
                visits.push(visit(self.source, self.idle.pop(), directory, tries));
            }
            let Some(visit) = visits.next().await else { break };
            let others = visits.len();
            self.take(visit, others, intake, findings);
        }
        if !self.queue.is_empty() {
            let left = self.queue.len();
            findings.troubles.add(|| format!("the scan was ended by its limits with {left} directories left to read"));
        }
    }

    fn may_go_on(&self, findings: &Findings) -> bool {
        self.most > 0 && findings.entries < self.limits.entries && self.bytes < self.limits.total_bytes
    }

    /// Takes in what a visit found, while `others` are under way.
    fn take(&mut self, visit: Visit, others: usize, intake: &mut Intake<'_>, findings: &mut Findings) {
        let Visit { directory, tries, connection, outcome } = visit;
        self.idle.extend(connection);
        match outcome {
            Ok(page) => self.read(&directory, &page, intake, findings),
            Err(Refusal::Door(failure)) if others + self.idle.len() > 0 => {
                // The server lets in so many and no more.
                tracing::debug!(mirror = %self.ground.mirror, %failure, "one connection less");
                self.most = others + self.idle.len();
                self.queue.push_front((directory, tries));
            }
            Err(Refusal::Directory(failure))
                if failure.is_an_answer() && !directory.is_root() && findings.blind.len() < self.limits.blind =>
            {
                // No such directory, or none that we may read: one word for both. The web server knows.
                self.last = Some(failure.to_string());
                findings.blind.push(directory);
            }
            Err(Refusal::Directory(failure)) if !failure.is_an_answer() && tries < self.limits.retries => {
                self.last = Some(failure.to_string());
                self.queue.push_back((directory, tries + 1));
            }
            Err(Refusal::Door(failure)) if tries < self.limits.retries && findings.entries > 0 => {
                self.last = Some(failure.to_string());
                self.queue.push_back((directory, tries + 1));
            }
            Err(Refusal::Door(failure)) => {
                self.most = 0;
                self.last = Some(failure.to_string());
                findings.troubles.add(|| format!("/{directory}: {failure}"));
            }
            Err(Refusal::Directory(failure)) => {
                self.last = Some(failure.to_string());
                findings.troubles.add(|| format!("/{directory}: {failure}"));
            }
        }
    }

    fn read(&mut self, directory: &TreePath<'static>, page: &Page, intake: &mut Intake<'_>, findings: &mut Findings) {
        self.ground.step(Step::Directory);
        self.bytes += page.bytes.len() as u64;
        let mut files = 0;
        let mut strange = 0u64;
        for line in page.bytes.split(|&b| b == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let entry = match page.form {
                Form::Machine => machine::parse(line),
                Form::Human => human::parse(line, self.now),
            };
            let Some(Line { kind, size, time, name }) = entry else {
                strange += u64::from(!is_known(line));
                continue;
            };
            findings.entries += 1;
            // A name that is no segment of a path leads nowhere.
            let Ok(path) = directory.join(&name) else { continue };
            files += u64::from(kind == Kind::File);
            match intake.take(Entry { path, kind, size, time }, findings) {
                Next::Directory(path) | Next::Link(path) => self.enqueue(path, findings),
                Next::Nothing => {}
            }
        }
        self.ground.step(Step::Files(files));
        let extent = if strange == 0 { Extent::Complete(Family::Ftp) } else { Extent::Unknown };
        findings.coverage.set(directory, extent);
        if strange > 0 {
            let why = format!("/{directory}: {strange} lines of the listing can't be read");
            self.last = Some(why.clone());
            findings.troubles.add(|| why);
        }
    }

    fn enqueue(&mut self, directory: TreePath<'static>, findings: &mut Findings) {
        if !findings.coverage.has(&directory) && directory.segments().count() <= self.limits.depth {
            findings.coverage.set(&directory, Extent::Unknown);
            self.queue.push_back((directory, 0));
        }
    }
}

/// Whether a line that is no entry belongs to a listing: `total 12`, the directory itself and the one above.
fn is_known(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.is_empty() || line.starts_with(b"total ") || line.ends_with(b" .") || line.ends_with(b" ..") || {
        let lower = line.to_ascii_lowercase();
        [&b"type=cdir;"[..], b"type=pdir;"].iter().any(|fact| lower.windows(fact.len()).any(|window| window == *fact))
    }
}

/// Reads a directory over a connection, or a new one.
async fn visit(source: &Source, connection: Option<Connection>, directory: TreePath<'static>, tries: u32) -> Visit {
    let mut connection = match connection {
        Some(connection) => connection,
        None => match Connection::open(&source.door).await {
            Ok(connection) => connection,
            Err(failure) => return Visit { directory, tries, connection: None, outcome: Err(Refusal::Door(failure)) },
        },
    };
    match connection.list(&source.path(&directory)).await {
        Ok(bytes) => {
            let form = connection.form();
            Visit { directory, tries, connection: Some(connection), outcome: Ok(Page { bytes, form }) }
        }
        Err(failure) => {
            let connection = failure.is_an_answer().then_some(connection);
            Visit { directory, tries, connection, outcome: Err(Refusal::Directory(failure)) }
        }
    }
}
