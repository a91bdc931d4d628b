//! The lister over rsync: one run of the `rsync` program lists everything below the plan's scope, read as it comes. Links that are
//! directories in the public tree are listed by runs of their own.
//!
//! A run that ends early, or not well, proves nothing about what it did not show.

mod child;
pub mod line;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Settings;
use super::entry::Kind;
use super::findings::{Extent, Findings};
use super::ground::{Ground, Sought};
use super::intake::{Entry, Intake};
use super::limits::Limits;
use super::listing::Family;
use super::matching::Time;
use super::progress::Step;
use super::remote::{Addresses, Remote};
use super::secret::Secret;
use super::session::Session;
use crate::clock;
use crate::model::{Mirror, TreePath};
use child::{Ended, Go, How, Order};
use line::Line;

/// The port that goes without saying.
const PORT: u16 = 873;
/// Links to directories that are followed: each costs a run of the program.
const MAX_LINKS: usize = 64;
/// Entries between two words about progress.
const STEP: u64 = 500;

/// Where one mirror is listed.
pub(super) struct Source {
    remote: Remote,
    addresses: Vec<SocketAddr>,
    password: Option<Secret>,
    program: PathBuf,
    silence: Duration,
}

impl Source {
    /// Finds out where a mirror is listed.
    ///
    /// # Errors
    /// When it can't be: the reason is for people.
    pub(super) async fn find(mirror: &Mirror, url: &str, settings: &Settings) -> Result<Self, String> {
        let remote = Remote::parse(url).map_err(|error| error.to_string())?;
        let password = mirror.scanning.rsync_password_file.as_deref().map(Secret::read).transpose();
        let password = password.map_err(|error| error.to_string())?;
        let addresses = remote.addresses(PORT, Addresses::by(settings)).await.map_err(|error| error.to_string())?;
        Ok(Self { remote, addresses, password, program: settings.rsync_program.clone(), silence: settings.timeout.0 })
    }

    /// The argument that names a directory at one of the addresses. `None`: the name has characters that a server would take for a
    /// pattern.
    fn url(&self, address: SocketAddr, directory: &TreePath<'_>) -> Option<OsString> {
        let mut url = b"rsync://".to_vec();
        if let Some(user) = &self.remote.user {
            url.extend_from_slice(user.as_bytes());
            url.push(b'@');
        }
        match address.ip() {
            IpAddr::V4(ip) => write!(url, "{ip}:{}/", address.port()).ok()?,
            IpAddr::V6(ip) => write!(url, "[{ip}]:{}/", address.port()).ok()?,
        }
        for part in [self.remote.path.as_slice(), directory.as_bytes()].into_iter().filter(|part| !part.is_empty()) {
            url.extend_from_slice(part);
            url.push(b'/');
        }
        (!url[8..].iter().any(|b| b"*?\\".contains(b)) && !directory.as_bytes().contains(&b'['))
            .then(|| OsString::from_vec(url))
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
    salt: u64,
    deadline: Instant,
    findings: &mut Findings,
) -> Result<Vec<(TreePath<'static>, Sought)>, String> {
    let mut intake = Intake::new(ground, session, salt);
    let scope = ground.plan.scope();
    let mut lister = Lister { source, limits: session.limits(), deadline, links: VecDeque::new(), bytes: 0 };
    match lister.directory(scope, &mut intake, ground, findings).await {
        Listed::Whole => findings.coverage.set(scope, Extent::Complete(Family::Rsync)),
        Listed::InPart(why) => {
            findings.coverage.set(scope, Extent::Unknown);
            findings.troubles.add(|| why);
        }
        Listed::Not(why) => return Err(why),
    }
    let mut followed = 0;
    while let Some(link) = lister.links.pop_front() {
        findings.coverage.set(&link, Extent::Unknown);
        followed += 1;
        let listed = if followed <= MAX_LINKS && deadline > clock::instant() {
            lister.directory(&link, &mut intake, ground, findings).await
        } else {
            Listed::Not("there are too many links to directories".to_owned())
        };
        match listed {
            Listed::Whole => findings.coverage.set(&link, Extent::Complete(Family::Rsync)),
            Listed::InPart(why) => findings.troubles.add(|| format!("/{link}: {why}")),
            // A link that leads out of the module: only the web server knows what is there.
            Listed::Not(_) => findings.blind.push(link),
        }
    }
    session.note_received(lister.bytes);
    Ok(intake.finish(deadline, findings).await)
}

/// What came of one run.
#[derive(Debug, PartialEq, Eq)]
enum Listed {
    Whole,
    InPart(String),
    Not(String),
}

struct Lister<'a> {
    source: &'a Source,
    limits: &'a Limits,
    deadline: Instant,
    /// Links to directories that wait.
    links: VecDeque<TreePath<'static>>,
    bytes: u64,
}

impl Lister<'_> {
    /// Lists a directory with all below it, from the first of the host's addresses that answers.
    async fn directory<'g>(
        &mut self,
        directory: &TreePath<'static>,
        intake: &mut Intake<'g>,
        ground: &'g Ground<'g>,
        findings: &mut Findings,
    ) -> Listed {
        let mut listed = Listed::Not("it has no address".to_owned());
        for &address in &self.source.addresses {
            let Some(url) = self.source.url(address, directory) else {
                return Listed::Not("its name would be taken for a pattern".to_owned());
            };
            let order = Order {
                program: &self.source.program,
                url,
                password: self.source.password.as_ref(),
                silence: self.source.silence,
                deadline: self.deadline,
                bytes: self.limits.total_bytes.saturating_sub(self.bytes),
            };
            let before = findings.entries;
            let mut reader = Reader { directory, limits: self.limits, links: &mut self.links, intake, ground, findings };
            let ended = match child::run(&order, &mut |lines| reader.take(lines)).await {
                Ok(ended) => ended,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Listed::Not(format!("there is no program {}: install rsync", self.source.program.display()));
                }
                Err(error) => return Listed::Not(format!("the program rsync can't be run: {error}")),
            };
            self.bytes += ended.bytes;
            ground.step(Step::Files((findings.entries - before) % STEP));
            let entries = findings.entries - before;
            listed = judge(&ended, entries);
            if !(is_unreached(&ended) && entries == 0) {
                break;
            }
        }
        listed
    }
}

/// Whether no connection was made: another address of the host may do better.
fn is_unreached(ended: &Ended) -> bool {
    const SOCKET: i32 = 10;
    const CONNECT_TIMEOUT: i32 = 35;
    matches!(ended.how, How::Exit(Some(SOCKET | CONNECT_TIMEOUT)))
}

/// What a run has come to (rsync(1), "EXIT VALUES").
fn judge(ended: &Ended, entries: u64) -> Listed {
    let Ended { how, complaint, .. } = ended;
    let why = match how {
        How::Exit(Some(0)) => return Listed::Whole,
        How::Exit(Some(23)) => "some of it could not be read".to_owned(),
        How::Exit(Some(24)) => "some of it vanished meanwhile".to_owned(),
        How::Exit(Some(30 | 35)) => "no answer in time".to_owned(),
        How::Exit(Some(10)) => "can't connect, or the connection broke".to_owned(),
        How::Exit(Some(12)) => "the connection broke, or speaks something else".to_owned(),
        How::Exit(Some(5)) => "the server refuses".to_owned(),
        How::Exit(Some(code)) => format!("rsync failed with code {code}"),
        How::Exit(None) => "rsync was killed".to_owned(),
        How::TooLong => "the scan took too long".to_owned(),
        How::TooMuch => "it lists more bytes than a scan may take".to_owned(),
        How::LongLine => "it lists a name that is longer than any may be".to_owned(),
        How::Enough => "it lists more entries than a scan may take".to_owned(),
    };
    let why = if complaint.is_empty() { why } else { format!("{why} ({complaint})") };
    if entries == 0 { Listed::Not(why) } else { Listed::InPart(why) }
}

/// Takes in the lines of one run.
struct Reader<'a, 'b> {
    directory: &'a TreePath<'static>,
    limits: &'a Limits,
    links: &'a mut VecDeque<TreePath<'static>>,
    intake: &'a mut Intake<'b>,
    ground: &'a Ground<'b>,
    findings: &'a mut Findings,
}

impl Reader<'_, '_> {
    fn take(&mut self, lines: &[&[u8]]) -> Go {
        let (mut entries, mut go) = (Vec::with_capacity(lines.len()), Go::On);
        // A banner stands before the entries.
        for line in lines.iter().filter_map(|line| line::parse(line)).filter(|line| *line.name != *b".") {
            self.findings.entries += 1;
            if self.findings.entries > self.limits.entries {
                go = Go::Enough;
                break;
            }
            if self.findings.entries.is_multiple_of(STEP) {
                self.ground.step(Step::Files(STEP));
            }
            if line.kind == Kind::Directory {
                self.ground.step(Step::Directory);
            }
            entries.extend(self.entry(line));
        }
        let links = self.intake.take_all(entries, self.findings);
        self.links.extend(links.into_iter().filter(|link| link.segments().count() <= self.limits.depth));
        go
    }

    fn entry<'l>(&self, line: Line<'l>) -> Option<Entry<'l>> {
        let short = line.without_target().map(|name| Cow::Owned(name.to_vec()));
        let whole = path_below(self.directory, line.name);
        let path = match short {
            // The whole name of a link first, if it is one of ours.
            Some(short) => whole.filter(|path| self.is_ours(path)).or_else(|| path_below(self.directory, short)),
            None => whole,
        }?;
        let time = line.modified.map(|seconds| Time { seconds, precision: 1, offset: Some(0), doubt: 0 });
        Some(Entry { path, kind: line.kind, size: Some(line.size), time })
    }

    fn is_ours(&self, path: &TreePath<'_>) -> bool {
        self.ground.sought(path).is_some() || self.ground.plan.has_directory(path)
    }
}

/// The path of an entry of a directory. A name that is none leads nowhere.
fn path_below<'n>(directory: &TreePath<'_>, name: Cow<'n, [u8]>) -> Option<TreePath<'n>> {
    if directory.is_root() {
        return TreePath::parse(name).ok();
    }
    TreePath::parse([directory.as_bytes(), b"/", &name].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(url: &str) -> Source {
        let remote = Remote::parse(url).expect("a URL");
        let program = PathBuf::from("rsync");
        Source { remote, addresses: Vec::new(), password: None, program, silence: Duration::from_secs(1) }
    }

    fn path(text: &str) -> TreePath<'static> {
        TreePath::parse(text.as_bytes().to_vec()).expect("valid")
    }

    #[test]
    fn the_checked_address_stands_in_the_place_of_the_name() {
        let v4: SocketAddr = "192.0.2.1:873".parse().expect("an address");
        let v6: SocketAddr = "[2001:db8::1]:8873".parse().expect("an address");
        for (url, address, directory, expected) in [
            ("rsync://a.example/m/", v4, "", Some("rsync://192.0.2.1:873/m/")),
            ("rsync://me@a.example/m/pub/", v6, "a b", Some("rsync://me@[2001:db8::1]:8873/m/pub/a b/")),
            ("rsync://a.example/m%20x/", v4, "4078/ü", Some("rsync://192.0.2.1:873/m x/4078/ü/")),
            ("rsync://a.example/m/", v4, "a*", None),
            ("rsync://a.example/m/", v4, "a[1]", None),
            ("rsync://a.example/m/", v4, "what?", None),
        ] {
            let found = source(url).url(address, &path(directory));
            assert_eq!(found, expected.map(OsString::from), "{url} {directory}");
        }
    }

    #[test]
    fn only_a_run_that_ended_well_shows_all() {
        let ended = |how| Ended { how, complaint: "oops".to_owned(), bytes: 0 };
        assert_eq!(judge(&ended(How::Exit(Some(0))), 0), Listed::Whole);
        for how in [Some(23), Some(24), Some(12), Some(30), Some(99), None] {
            assert!(matches!(judge(&ended(How::Exit(how)), 5), Listed::InPart(why) if why.contains("oops")), "{how:?}");
            assert!(matches!(judge(&ended(How::Exit(how)), 0), Listed::Not(_)), "{how:?}");
        }
        assert!(matches!(judge(&ended(How::TooMuch), 5), Listed::InPart(_)));
    }
}
