//! One probe of one mirror, and what the answers mean.

use std::time::Duration;

use http::StatusCode;

use super::checkup::Certificate;
use super::health::Outcome;
use crate::clock::Clock;
use crate::model::{BaseUrl, FileRecord, Mirror, Scheme};
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
    /// What was seen of the certificate.
    pub(super) certificate: Certificate,
}

impl Finding {
    /// Whether all was as it should be.
    pub(super) fn is_good(&self) -> bool {
        self.outcome == Outcome::Success && !self.lacks
    }

    fn success() -> Self {
        Self { outcome: Outcome::Success, lacks: false, reason: None, certificate: Certificate::NotSeen }
    }

    pub(super) fn failure(reason: String) -> Self {
        Self { outcome: Outcome::Failure, lacks: false, reason: Some(reason), certificate: Certificate::NotSeen }
    }

    /// A failure to show who the server is.
    fn untrusted(reason: String) -> Self {
        Self { certificate: Certificate::Refused(reason.clone()), ..Self::failure(reason) }
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

/// Asks over each URL that clients are sent to; the first failure counts. But for a certificate that is refused: no client is sent
/// to that URL then, and what counts is the other one.
async fn ask(clients: &Clients, mirror: &Mirror, files: &[FileRecord], timeout: Duration, clock: &Clock) -> Finding {
    // One question, one try: the next probe is the second try.
    let limits = Limits { retries: 0, ..Limits::default() };
    let (mut lacks, mut certificate) = (false, Certificate::NotSeen);
    for base in [&mirror.https, &mirror.http].into_iter().flatten() {
        let session = Session::new(clients, mirror, base, 1, &limits, clock);
        let finding = match tokio::time::timeout(timeout, ask_over(&session, files)).await {
            Ok(finding) => finding,
            Err(_) => Finding::failure("no answer in time".to_owned()),
        };
        lacks |= finding.lacks;
        let finding = named(base, finding);
        if let (Certificate::Refused(_), Some(_)) = (&finding.certificate, &mirror.http) {
            certificate = finding.certificate;
            continue;
        }
        if finding.outcome == Outcome::Failure {
            let seen = if finding.certificate == Certificate::NotSeen { certificate } else { finding.certificate };
            return Finding { lacks, certificate: seen, ..finding };
        }
        if base.scheme() == Scheme::Https {
            certificate = Certificate::Trusted;
        }
    }
    Finding { lacks, certificate, ..Finding::success() }
}

fn named(base: &BaseUrl, finding: Finding) -> Finding {
    let reason = finding.reason.map(|reason| format!("{base}: {reason}"));
    let certificate = match finding.certificate {
        Certificate::Refused(reason) => Certificate::Refused(format!("{base}: {reason}")),
        other => other,
    };
    Finding { reason, certificate, ..finding }
}

async fn ask_over(session: &Session, files: &[FileRecord]) -> Finding {
    let mut lacking = None;
    for file in files {
        let answer = session.look(&file.path).await;
        match judge(file, &answer) {
            Judged::Good => return if lacking.is_some() { Finding::success().lacking() } else { Finding::success() },
            Judged::Untrusted(reason) => return Finding::untrusted(reason),
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
    /// It can't show who it is.
    Untrusted(String),
}

fn judge(file: &FileRecord, answer: &Answer) -> Judged {
    let wanted = Wanted::of(&file.into(), Before::Confirmed);
    match answer {
        Answer::Missing => Judged::Lacks("the file is missing"),
        Answer::Unclear(failure @ Failure::Untrusted(_)) => Judged::Untrusted(failure.to_string()),
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
        Answer::Unclear(failure @ Failure::Untrusted(_)) => Finding::untrusted(failure.to_string()),
        Answer::Unclear(failure) => Finding::failure(failure.to_string()),
    }
}
