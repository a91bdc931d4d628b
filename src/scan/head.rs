//! The lister for mirrors, or directories of them, that show no listing: asks for each file of the tree, one question each, over
//! few connections.

use std::ops::ControlFlow;
use std::time::Instant;

use super::answer::Answer;
use super::findings::{Findings, Word};
use super::ground::{Answered, Ground, Questions, Sought};
use super::matching::Verdict;
use super::plan::Pages;
use super::progress::Step;
use super::session::Session;
use crate::inventory::{self, Inventory};
use crate::model::TreePath;

/// Asks for every file below `within`, until all are asked for, the mirror went away, or `deadline` has come.
///
/// # Errors
/// When the inventory can't be read.
pub(super) async fn list(
    ground: &Ground<'_>,
    session: &Session,
    inventory: &Inventory,
    within: TreePath<'static>,
    deadline: Instant,
    findings: &mut Findings,
) -> Result<(), inventory::Error> {
    let mut pages = Pages::new(within);
    while let Some(page) = pages.next(inventory).await? {
        let files = page.into_iter().filter_map(|record| Some((record.path.clone(), ground.sought(&record.path)?))).collect();
        if ask_in_time(ground, session, files, deadline, findings).await.is_break() {
            return Ok(());
        }
        if session.is_given_up() {
            findings.troubles.add(|| "too many questions in a row had no answer".to_owned());
            return Ok(());
        }
    }
    Ok(())
}

/// Asks for some files, until `deadline` has come.
pub(super) async fn ask_in_time(
    ground: &Ground<'_>,
    session: &Session,
    files: Vec<(TreePath<'static>, Sought)>,
    deadline: Instant,
    findings: &mut Findings,
) -> ControlFlow<()> {
    match tokio::time::timeout_at(deadline.into(), ask_all(ground, session, files, findings)).await {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => {
            findings.troubles.add(|| "the scan took too long".to_owned());
            ControlFlow::Break(())
        }
    }
}

/// Asks for some files, and takes in each answer as it comes.
async fn ask_all(ground: &Ground<'_>, session: &Session, files: Vec<(TreePath<'static>, Sought)>, findings: &mut Findings) {
    let mut questions = Questions::new(session, files);
    while let Some(Answered { path, finding, answer }) = questions.next().await {
        findings.entries += 1;
        findings.note(&finding);
        ground.step(Step::Files(1));
        match answer {
            Answer::Unclear(failure) => findings.troubles.add(|| format!("/{path}: {failure}")),
            Answer::Copy(_) if finding.word == Word::Server(Verdict::Doubtful) => {
                findings.troubles.add(|| format!("/{path}: the server does not say enough about it"));
            }
            Answer::Copy(_) | Answer::Missing => {}
        }
        if session.is_given_up() {
            return;
        }
    }
}
