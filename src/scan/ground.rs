//! The ground that a scan stands on: what the tree has, what this mirror was known to hold, and how one file is asked for.

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use roaring::RoaringBitmap;

use super::answer::Answer;
use super::findings::{Finding, Word};
use super::matching::{Before, Verdict, Wanted, judge_copy};
use super::plan::Plan;
use super::progress::{Progress, Step};
use super::session::Session;
use crate::inventory::{FileEntry, Snapshot};
use crate::model::{FileState, MirrorName, TreePath, VersionNumber};

/// What a lister needs besides its own connection.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    /// Which mirror it is.
    pub(super) mirror: &'a MirrorName,
    /// What there is to find.
    pub(super) plan: &'a Plan,
    /// The versions that the tree has now.
    pub(super) snapshot: &'a Snapshot,
    /// The versions that the mirror was known to hold.
    pub(super) before: &'a RoaringBitmap,
    /// Who is told how far it is.
    pub(super) progress: &'a dyn Progress,
}

/// A version that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sought {
    /// Its number.
    pub(super) version: VersionNumber,
    /// What a copy must be like.
    pub(super) wanted: Wanted,
}

impl Ground<'_> {
    /// What is looked for at a path, if there is a file of ours which is not being written.
    #[must_use]
    pub(super) fn sought(&self, path: &TreePath<'_>) -> Option<Sought> {
        self.snapshot.file(path).and_then(|entry| self.sought_entry(&entry))
    }

    /// What any word about a path means while the file of ours there is being written: nothing.
    #[must_use]
    pub(super) fn unsettled(&self, path: &TreePath<'_>) -> Option<Finding> {
        self.snapshot.file(path).as_ref().and_then(Self::unsettled_entry)
    }

    /// The same of what the tree has there.
    pub(super) fn unsettled_entry(entry: &FileEntry) -> Option<Finding> {
        let finding = Finding { version: entry.version, word: Word::Listing(Verdict::Doubtful) };
        (entry.state == FileState::Changing).then_some(finding)
    }

    /// What is looked for where the tree has this file, unless it is being written.
    pub(super) fn sought_entry(&self, entry: &FileEntry) -> Option<Sought> {
        Sought::of(entry, if self.before.contains(entry.version.0) { Before::Confirmed } else { Before::Unknown })
    }

    /// Tells of progress.
    pub(super) fn step(&self, step: Step) {
        self.progress.step(self.mirror, step);
    }
}

impl Sought {
    /// What is looked for where the tree has this file, unless it is being written.
    #[must_use]
    pub(super) fn of(entry: &FileEntry, before: Before) -> Option<Self> {
        let wanted = Wanted::of(entry, before);
        (entry.state != FileState::Changing).then_some(Self { version: entry.version, wanted })
    }

    /// The finding that a word about it makes.
    #[must_use]
    pub(super) const fn finding(&self, word: Word) -> Finding {
        Finding { version: self.version, word }
    }

    /// What the server's answer about the file itself means. Times of a mirror whose clock is far off prove nothing.
    #[must_use]
    pub(super) fn judge(&self, answer: &Answer, session: &Session) -> Finding {
        self.finding(match answer {
            Answer::Missing => Word::Missing,
            Answer::Unclear(_) => Word::Server(Verdict::Doubtful),
            Answer::Copy(copy) => match judge_copy(&self.wanted, copy) {
                Verdict::Mismatched if session.is_clock_off() && copy.size == Some(self.wanted.size) => {
                    Word::Server(Verdict::Doubtful)
                }
                verdict => Word::Server(verdict),
            },
        })
    }
}

/// Asks for many files, one question each, as many at once as the session has connections; the answers come as they come.
pub(super) struct Questions<'a> {
    session: &'a Session,
    waiting: std::vec::IntoIter<(TreePath<'static>, Sought)>,
    asked: FuturesUnordered<BoxFuture<'a, Answered>>,
}

/// A question that was answered.
pub(super) struct Answered {
    /// What was asked for.
    pub(super) path: TreePath<'static>,
    /// What it should be like.
    pub(super) wanted: Wanted,
    /// What the answer means.
    pub(super) finding: Finding,
    /// The answer.
    pub(super) answer: Answer,
}

impl<'a> Questions<'a> {
    /// Begins to ask.
    #[must_use]
    pub(super) fn new(session: &'a Session, files: Vec<(TreePath<'static>, Sought)>) -> Self {
        Self { session, waiting: files.into_iter(), asked: FuturesUnordered::new() }
    }

    /// The next answer.
    pub(super) async fn next(&mut self) -> Option<Answered> {
        while self.asked.len() < self.session.connections()
            && let Some((path, sought)) = self.waiting.next()
        {
            self.asked.push(Box::pin(ask(self.session, path, sought)));
        }
        self.asked.next().await
    }

    /// All answers.
    pub(super) async fn all(mut self) -> Vec<Answered> {
        let mut answers = Vec::new();
        while let Some(answered) = self.next().await {
            answers.push(answered);
        }
        answers
    }
}

async fn ask(session: &Session, path: TreePath<'static>, sought: Sought) -> Answered {
    let answer = session.look(&path).await;
    Answered { path, wanted: sought.wanted, finding: sought.judge(&answer, session), answer }
}
