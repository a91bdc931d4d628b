//! The ground that a scan stands on: what the tree has, what this mirror was known to hold, and how one file is asked for.

use futures_util::stream::{self, StreamExt};
use roaring::RoaringBitmap;

use super::findings::{Finding, Word};
use super::matching::{Before, Verdict, Wanted, judge_copy};
use super::plan::Plan;
use super::progress::{Progress, Step};
use super::session::{Answer, Session};
use crate::inventory::{FileEntry, Snapshot};
use crate::model::{FileState, MirrorName, TreePath, VersionNumber};

/// What a lister needs besides its own connection.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// Which mirror it is.
    pub mirror: &'a MirrorName,
    /// What there is to find.
    pub plan: &'a Plan,
    /// The versions that the tree has now.
    pub snapshot: &'a Snapshot,
    /// The versions that the mirror was known to hold.
    pub before: &'a RoaringBitmap,
    /// Who is told how far it is.
    pub progress: &'a dyn Progress,
}

/// A version that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sought {
    /// Its number.
    pub version: VersionNumber,
    /// What a copy must be like.
    pub wanted: Wanted,
}

impl Ground<'_> {
    /// What is looked for at a path, if there is a file of ours which is not being written.
    #[must_use]
    pub fn sought(&self, path: &TreePath<'_>) -> Option<Sought> {
        self.snapshot.file(path).and_then(|entry| self.sought_entry(&entry))
    }

    fn sought_entry(&self, entry: &FileEntry) -> Option<Sought> {
        let before = if self.before.contains(entry.version.0) { Before::Confirmed } else { Before::Unknown };
        let wanted = Wanted { size: entry.size, mtime: entry.version_mtime, before };
        (entry.state != FileState::Changing).then_some(Sought { version: entry.version, wanted })
    }

    /// Tells of progress.
    pub fn step(&self, step: Step) {
        self.progress.step(self.mirror, step);
    }
}

impl Sought {
    /// The finding that a word about it makes.
    #[must_use]
    pub const fn finding(&self, word: Word) -> Finding {
        Finding { version: self.version, word }
    }

    /// What the server's answer about the file itself means. Times of a mirror whose clock is far off prove nothing.
    #[must_use]
    pub fn judge(&self, answer: &Answer, session: &Session) -> Finding {
        self.finding(match answer {
            Answer::Missing => Word::Missing,
            Answer::Unclear(_) => Word::Server(Verdict::Doubtful),
            Answer::Copy(copy) => match judge_copy(&self.wanted, copy) {
                Verdict::Mismatched if session.is_clock_off() && copy.size == Some(self.wanted.size) => Word::Server(Verdict::Doubtful),
                verdict => Word::Server(verdict),
            },
        })
    }
}

/// Asks for many files, one question each, as many at once as the session has connections.
pub async fn ask_each(session: &Session, files: Vec<(TreePath<'static>, Sought)>) -> Vec<(Finding, Answer)> {
    let questions = files.into_iter().map(|(path, sought)| async move {
        let answer = session.look(&path).await;
        (sought.judge(&answer, session), answer)
    });
    stream::iter(questions).buffer_unordered(session.connections()).collect().await
}
