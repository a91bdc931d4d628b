//! What another protocol lists counts only where the web server has it too: an rsync module or FTP folder may be laid out otherwise,
//! or be another machine altogether. And what a web server lists counts only where it sends it: its listings may be right, and its files
//! all one page for visitors who have not logged in. A sample tells.

use std::time::Instant;

use super::answer::Answer;
use super::findings::{Findings, Word};
use super::ground::{Answered, Ground, Questions, Sought};
use super::judge::Sample;
use super::matching::{Before, Verdict};
use super::opening::is_disproof;
use super::progress::Step;
use super::session::Session;
use crate::model::TreePath;

/// Asks the web server for a sample of what was listed.
///
/// # Errors
/// When it has not what was listed, or can't be asked; the reason is for people.
pub(super) async fn verify(
    ground: &Ground<'_>,
    session: &Session,
    sample: Vec<(TreePath<'static>, Sought)>,
) -> Result<(), String> {
    if sample.is_empty() {
        return Ok(());
    }
    ground.step(Step::Verifying);
    let answers = Questions::new(session, sample).all().await;
    let contradicted: Vec<&Answered> = answers.iter().filter(|answered| is_disproof(&answered.finding)).collect();
    if let Some(first) = contradicted.first() {
        let what = if matches!(first.answer, Answer::Missing) { "it does not have" } else { "it has otherwise" };
        return Err(format!(
            "what it lists is not what the web server has: of {} files that were asked for there, {} are missing or different, \
             like /{}, which {what}",
            answers.len(),
            contradicted.len(),
            first.path
        ));
    }
    let failures = answers.iter().filter_map(|answered| match &answered.answer {
        Answer::Unclear(failure) => Some((answered, failure)),
        Answer::Copy(_) | Answer::Missing => None,
    });
    let failures: Vec<_> = failures.collect();
    match failures.first() {
        // Some that can't be told apart from the others prove nothing; most of them, that nothing was checked.
        Some((first, failure)) if failures.len() * 2 > answers.len() => Err(format!(
            "what it lists can't be checked at the web server: of {} files that were asked for there, {} had no answer, like /{}: {failure}",
            answers.len(),
            failures.len(),
            first.path
        )),
        _ => Ok(()),
    }
}

/// So many files that are not as they were listed make a listing that is not believed, if they are most of those that were asked for:
/// fewer may have been replaced or taken away meanwhile.
const CONTRADICTIONS: usize = 3;

/// Asks the web server for some of what counts as held by its listings' word alone, and notes what it says. What comes back is why the
/// listings are not believed about files that were not known before.
pub(super) async fn weigh(
    ground: &Ground<'_>,
    session: &Session,
    sample: Sample,
    deadline: Instant,
    findings: &mut Findings,
) -> Option<String> {
    let sample = sample.drawn();
    if sample.is_empty() {
        return None;
    }
    ground.step(Step::Verifying);
    let mut questions = Questions::new(session, sample);
    let (mut asked, mut contradicted, mut first) = (0_usize, 0_usize, None);
    while let Ok(Some(answered)) = tokio::time::timeout_at(deadline.into(), questions.next()).await {
        asked += 1;
        if let Some(what) = contradiction(&answered) {
            contradicted += 1;
            first.get_or_insert_with(|| format!("/{}: {what}", answered.path));
            let is_known = answered.wanted.before == Before::Confirmed;
            // That a file is kept from us does not disprove that it is there.
            if is_disproof(&answered.finding) || !is_known {
                findings.note(&answered.finding);
            }
        }
    }
    let first = first.filter(|_| contradicted >= CONTRADICTIONS && contradicted * 2 > asked)?;
    Some(format!(
        "what the listings show is not what the server sends: of {asked} files that were asked for, {contradicted} are missing or \
         different, like {first}"
    ))
}

/// What speaks against a file that was listed. That the server has a bad day does not.
fn contradiction(answered: &Answered) -> Option<String> {
    match (&answered.answer, answered.finding.word) {
        (Answer::Missing, _) => Some("it is not there".to_owned()),
        (Answer::Copy(_), Word::Server(Verdict::Mismatched)) => Some("it is another one".to_owned()),
        (Answer::Unclear(failure), _) if !failure.is_of_the_server() => Some(failure.to_string()),
        (Answer::Copy(copy), Word::Server(Verdict::Doubtful)) if copy.indirect => {
            Some("the server answers with something else".to_owned())
        }
        _ => None,
    }
}
