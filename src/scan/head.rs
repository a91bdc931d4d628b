//! The lister for mirrors, or directories of them, that show no listing: asks for each file of the tree, one question each, over
//! few connections.

use std::ops::ControlFlow;
use std::time::Instant;

use super::answer::Answer;
use super::findings::{Findings, Word};
use super::ground::{Answered, Ground, Questions, Sought};
use super::limits::Limits;
use super::lots::Lots;
use super::matching::Verdict;
use super::plan::Pages;
use super::progress::Step;
use super::session::Session;
use crate::inventory::{self, Inventory};
use crate::model::{TreePath, VersionNumber};

/// Whose turn it is among the files that a mirror was known to hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn(pub(super) u32);

impl Turn {
    /// Whether a version is asked for this time, of a mirror that was known to hold so many.
    fn is_of(self, version: VersionNumber, known: u64, limits: &Limits) -> bool {
        known <= limits.heads || version.0 % limits.turns.max(1) == self.0 % limits.turns.max(1)
    }
}

/// Asks for the files below `within`, until all are asked for, the mirror went away, or `deadline` has come: for those that the mirror
/// was not known to hold, and for those of the others whose turn it is. If it lacks one of these, for all.
///
/// # Errors
/// When the inventory can't be read.
pub(super) async fn list(
    ground: &Ground<'_>,
    session: &Session,
    inventory: &Inventory,
    within: TreePath<'static>,
    turn: Turn,
    deadline: Instant,
    findings: &mut Findings,
) -> Result<(), inventory::Error> {
    let known = ground.before.intersection_len(ground.plan.versions());
    let limits = session.limits();
    let rests = |version: VersionNumber| ground.before.contains(version.0) && !turn.is_of(version, known, limits);
    let done = ask_below(ground, session, inventory, within.clone(), deadline, findings, &|version| !rests(version)).await?;
    let lacks = !(&findings.disproved & ground.before).is_empty();
    if done.is_break() || !lacks {
        return Ok(());
    }
    let rested = std::mem::take(&mut findings.rested);
    let rest = |version: VersionNumber| rested.contains(version.0);
    _ = ask_below(ground, session, inventory, within, deadline, findings, &rest).await?;
    Ok(())
}

/// Asks for the `chosen` files below `within`; the others that were known rest.
async fn ask_below(
    ground: &Ground<'_>,
    session: &Session,
    inventory: &Inventory,
    within: TreePath<'static>,
    deadline: Instant,
    findings: &mut Findings,
    chosen: &(dyn Fn(VersionNumber) -> bool + Sync),
) -> Result<ControlFlow<()>, inventory::Error> {
    let mut pages = Pages::new(within);
    while let Some(page) = pages.next(inventory).await? {
        let mut files = Vec::new();
        for (path, ..) in page.files() {
            let Some(sought) = ground.sought(&path) else { continue };
            if chosen(sought.version) {
                files.push((path.into_owned(), sought));
            } else if ground.before.contains(sought.version.0) && !findings.tells_of(sought.version) {
                findings.rested.insert(sought.version.0);
            }
        }
        if ask_in_time(ground, session, files, deadline, findings).await.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        if session.is_given_up() {
            findings.troubles.add(|| "too many questions in a row had no answer".to_owned());
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// After a listing that was not whole: asks for the files that the mirror was known to hold and that it did not show, so that those
/// can go which are gone. Up to a limit, others each time; the rest stays as it was. What comes back is for people.
///
/// # Errors
/// When the inventory can't be read.
pub(super) async fn ask_unseen(
    ground: &Ground<'_>,
    session: &Session,
    inventory: &Inventory,
    salt: u64,
    deadline: Instant,
    findings: &mut Findings,
) -> Result<Option<String>, inventory::Error> {
    let known = ground.before & ground.plan.versions();
    let shown = &findings.seen | &findings.mismatched | &findings.disproved | &findings.doubtful;
    let unseen = known - shown;
    if unseen.is_empty() {
        return Ok(None);
    }
    let mut lots = Lots::new(session.limits().unlisted, salt);
    let mut pages = Pages::new(ground.plan.scope().clone());
    while let Some(page) = pages.next(inventory).await? {
        for (path, ..) in page.files().filter(|(_, version, _)| unseen.contains(version.0)) {
            ground.sought(&path).into_iter().for_each(|sought| lots.put(&path, sought));
        }
    }
    let files = lots.drawn();
    let note = format!(
        "the listing is not whole: of {} known files that it does not show, {} were asked for",
        unseen.len(),
        files.len()
    );
    _ = ask_in_time(ground, session, files, deadline, findings).await;
    Ok(Some(note))
}

/// After listings that are not believed: asks for all files that count as held by their word and were not known before. What comes back
/// is for people.
///
/// # Errors
/// When the inventory can't be read.
pub(super) async fn ask_doubted(
    ground: &Ground<'_>,
    session: &Session,
    inventory: &Inventory,
    deadline: Instant,
    findings: &mut Findings,
) -> Result<String, inventory::Error> {
    let fresh = &findings.seen - ground.before;
    // What there is no time for is not known to be there.
    findings.seen -= &fresh;
    findings.doubtful |= &fresh;
    let mut pages = Pages::new(ground.plan.scope().clone());
    while let Some(page) = pages.next(inventory).await? {
        let chosen = page.files().filter(|(_, version, _)| fresh.contains(version.0));
        let files = chosen.filter_map(|(path, ..)| ground.sought(&path).map(|sought| (path.into_owned(), sought))).collect();
        if ask_in_time(ground, session, files, deadline, findings).await.is_break() || session.is_given_up() {
            break;
        }
    }
    Ok(format!("all {} that were not known before were asked for one by one", fresh.len()))
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
    while let Some(Answered { path, finding, answer, .. }) = questions.next().await {
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
