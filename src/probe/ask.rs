//! One probe of one mirror, and what the answers mean.

use std::time::Duration;

use http::StatusCode;

use super::health::Outcome;
use crate::clock::Clock;
use crate::model::{BaseUrl, FileRecord, Mirror, Ranges};
use crate::scan::answer::{Answer, Failure};
use crate::scan::matching::{Before, Verdict, Wanted, judge_copy};
use crate::scan::session::Session;
use crate::scan::{Clients, Limits};

/// What a probe came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// Whether the mirror works.
    pub(super) outcome: Outcome,
    /// Whether something that it should hold is not there.
    pub(super) lacks: bool,
    /// What was wrong, for people.
    pub(super) reason: Option<String>,
}

impl Finding {
    /// Whether all was as it should be.
    pub(super) fn is_good(&self) -> bool {
        self.outcome == Outcome::Success && !self.lacks
    }

    fn success() -> Self {
        Self { outcome: Outcome::Success, lacks: false, reason: None }
    }

    fn failure(reason: String) -> Self {
        Self { outcome: Outcome::Failure, lacks: false, reason: Some(reason) }
    }

    fn lacking(self) -> Self {
        Self { lacks: true, ..self }
    }
}

/// Asks, unless the mirror wants to be left alone. `None`: it says that we ask too much, which says nothing about how it serves
/// clients.
pub(super) async fn ask_politely(
    clients: &Clients,
    mirror: &Mirror,
    files: &[FileRecord],
    timeout: Duration,
    clock: &Clock,
) -> Option<Finding> {
    let manners = clients.manners(mirror);
    let is_too_much = || manners.rest().is_some_and(|rest| rest.status == StatusCode::TOO_MANY_REQUESTS);
    if is_too_much() {
        return None;
    }
    if let Some(rest) = manners.rest() {
        let minutes = rest.left().as_secs().div_ceil(60);
        return Some(Finding::failure(format!(
            "the server answers {} and wants to be left alone for {minutes} min",
            rest.status
        )));
    }
    let finding = ask(clients, mirror, files, timeout, clock).await;
    (finding.outcome == Outcome::Success || !is_too_much()).then_some(finding)
}

/// Asks over each URL that clients are sent to; the first failure counts.
async fn ask(clients: &Clients, mirror: &Mirror, files: &[FileRecord], timeout: Duration, clock: &Clock) -> Finding {
    // One question, one try: the next probe is the second try.
    let limits = Limits { retries: 0, ..Limits::default() };
    let mut lacks = false;
    for base in [&mirror.https, &mirror.http].into_iter().flatten() {
        let session = Session::new(clients, mirror, base, 1, &limits, clock);
        let finding = match tokio::time::timeout(timeout, ask_over(&session, files)).await {
            Ok(finding) => finding,
            Err(_) => Finding::failure("no answer in time".to_owned()),
        };
        lacks |= finding.lacks;
        if finding.outcome == Outcome::Failure {
            return Finding { lacks, ..named(base, finding) };
        }
    }
    Finding { lacks, ..Finding::success() }
}

fn named(base: &BaseUrl, finding: Finding) -> Finding {
    let reason = finding.reason.map(|reason| format!("{base}: {reason}"));
    Finding { reason, ..finding }
}

/// Asks for a part of a file over each URL that clients are sent to; the first one that ignores that counts.
pub(super) async fn ask_for_part(
    clients: &Clients,
    mirror: &Mirror,
    files: &[FileRecord],
    timeout: Duration,
    clock: &Clock,
) -> Ranges {
    let Some(file) = files.iter().find(|file| file.fingerprint.size > 1) else { return Ranges::Unknown };
    let limits = Limits { retries: 0, ..Limits::default() };
    let mut ranges = Ranges::Unknown;
    for base in [&mirror.https, &mirror.http].into_iter().flatten() {
        let session = Session::new(clients, mirror, base, 1, &limits, clock);
        match tokio::time::timeout(timeout, session.look_for_ranges(&file.path)).await {
            Ok(Ranges::Ignored) => return Ranges::Ignored,
            Ok(Ranges::Kept) => ranges = Ranges::Kept,
            Ok(Ranges::Unknown) | Err(_) => {}
        }
    }
    ranges
}

async fn ask_over(session: &Session, files: &[FileRecord]) -> Finding {
    let mut lacking = None;
    for file in files {
        let answer = session.look(&file.path).await;
        match judge(file, &answer) {
            Judged::Good => return if lacking.is_some() { Finding::success().lacking() } else { Finding::success() },
            Judged::Bad(reason) => return Finding::failure(format!("/{}: {reason}", file.path)),
            Judged::Lacks(what) => lacking = Some(format!("/{}: {what}", file.path)),
        }
    }
    match lacking {
        Some(reason) if files.len() > 1 => Finding::failure(reason).lacking(),
        // Its only file is not there: whether the mirror works at all, only its base can tell.
        Some(_) => judge_base(&session.look_at_base().await).lacking(),
        None => judge_base(&session.look_at_base().await),
    }
}

/// What an answer about a file means.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    /// All is well.
    Good,
    /// The mirror works, but has not this file.
    Lacks(&'static str),
    /// It does not work.
    Bad(String),
}

fn judge(file: &FileRecord, answer: &Answer) -> Judged {
    let mtime = file.version_mtime_ns.div_euclid(1_000_000_000);
    let wanted = Wanted { size: file.fingerprint.size, mtime, before: Before::Confirmed };
    match answer {
        Answer::Missing => Judged::Lacks("the file is missing"),
        Answer::Unclear(failure) => Judged::Bad(failure.to_string()),
        Answer::Copy(copy) => match judge_copy(&wanted, copy) {
            Verdict::Holds => Judged::Good,
            // A server that does not tell lengths serves files all the same.
            Verdict::Doubtful if copy.size.is_none() => Judged::Good,
            Verdict::Doubtful => Judged::Bad("the server answers with something else".to_owned()),
            Verdict::Mismatched => Judged::Lacks("the file is another one"),
        },
    }
}

/// A base URL need not be a page: any answer of a server that is well will do.
fn judge_base(answer: &Answer) -> Finding {
    match answer {
        Answer::Copy(_) | Answer::Missing => Finding::success(),
        Answer::Unclear(Failure::Status(status)) if status.is_client_error() && status.as_u16() != 429 => Finding::success(),
        Answer::Unclear(failure) => Finding::failure(failure.to_string()),
    }
}
