//! What another protocol lists counts only where the web server has it too: an rsync module or FTP folder may be laid out otherwise,
//! or be another machine altogether. A sample tells.

use super::answer::Answer;
use super::ground::{Answered, Ground, Questions, Sought};
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
