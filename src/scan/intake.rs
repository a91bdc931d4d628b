//! Taking in what a mirror lists that is no web server, entry by entry: what is certain is noted at once, what is doubtful waits
//! until the listing has ended, and some of what counts as held is drawn for a check at the web server.

use std::time::Instant;

use super::entry::Kind;
use super::findings::{Finding, Findings, Word};
use super::ground::{Ground, Sought};
use super::judge::{Candidate, Judge, Sample};
use super::matching::{Listed, Time, Verdict, judge_listed};
use super::session::Session;
use crate::inventory::FileEntry;
use crate::model::TreePath;

/// An entry of a listing.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// Where it is in the tree.
    pub(super) path: TreePath<'a>,
    /// What it is.
    pub(super) kind: Kind,
    /// Its size, where the listing says it.
    pub(super) size: Option<u64>,
    /// Its time, where the listing says it.
    pub(super) time: Option<Time>,
}

/// What has to be looked into besides.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Nothing,
    /// A directory that has files of ours.
    Directory(TreePath<'static>),
    /// A link that is a directory in the public tree.
    Link(TreePath<'static>),
}

/// The most files whose doubts wait for a question: they are kept in memory, and as many questions take an hour.
const MAX_DOUBTS: usize = 100_000;

/// Takes in the entries of one mirror.
pub(super) struct Intake<'a> {
    ground: &'a Ground<'a>,
    session: &'a Session,
    doubts: Vec<Candidate>,
    sample: Sample,
}

impl<'a> Intake<'a> {
    /// Begins. Another `salt` draws other samples of what was known before.
    pub(super) fn new(ground: &'a Ground<'a>, session: &'a Session, salt: u64) -> Self {
        Self { ground, session, doubts: Vec::new(), sample: Sample::new(session.limits().sample, salt) }
    }

    /// Takes in one entry.
    pub(super) fn take(&mut self, entry: Entry<'_>, findings: &mut Findings) -> Next {
        // Where the tree has a directory, it has no file.
        if entry.kind == Kind::Directory && self.ground.plan.has_directory(&entry.path) {
            return Next::Directory(entry.path.into_owned());
        }
        let ours = self.ground.snapshot.file(&entry.path);
        self.take_found(entry, ours.as_ref(), findings)
    }

    /// Takes in entries of a listing that shows what is below its directories as well. What comes back are links that are
    /// directories in the public tree.
    pub(super) fn take_all(&mut self, entries: Vec<Entry<'_>>, findings: &mut Findings) -> Vec<TreePath<'static>> {
        let ours = self.ground.snapshot.files(&entries.iter().map(|entry| entry.path.borrowed()).collect::<Vec<_>>());
        let mut links = Vec::new();
        for (entry, ours) in entries.into_iter().zip(ours) {
            let is_ours = || ours.is_none() || self.ground.plan.has_directory(&entry.path);
            if entry.kind == Kind::Directory && is_ours() {
                continue;
            }
            if let Next::Link(link) = self.take_found(entry, ours.as_ref(), findings) {
                links.push(link);
            }
        }
        links
    }

    /// Takes in one entry, with what the tree has there.
    fn take_found(&mut self, entry: Entry<'_>, ours: Option<&FileEntry>, findings: &mut Findings) -> Next {
        let Some(sought) = ours.and_then(|ours| self.ground.sought_entry(ours)) else {
            return match entry.kind {
                Kind::Link if self.ground.plan.has_directory(&entry.path) => Next::Link(entry.path.into_owned()),
                _ => {
                    ours.and_then(Ground::unsettled_entry).iter().for_each(|finding| findings.note(finding));
                    Next::Nothing
                }
            };
        };
        match entry.kind {
            Kind::Directory | Kind::Other => findings.note(&sought.finding(Word::Listing(Verdict::Mismatched))),
            // Its size and time are the link's own.
            Kind::Link => self.doubt(Candidate { path: entry.path.into_owned(), sought, listed: Listed::default() }, findings),
            Kind::File => self.take_file(&entry, sought, findings),
        }
        Next::Nothing
    }

    fn take_file(&mut self, entry: &Entry<'_>, sought: Sought, findings: &mut Findings) {
        let time = entry.time.filter(|_| !self.session.is_clock_off());
        let listed = Listed { size: entry.size.map(|size| (size, size)), time };
        match judge_listed(&sought.wanted, &listed) {
            Verdict::Doubtful => self.doubt(Candidate { path: entry.path.clone().into_owned(), sought, listed }, findings),
            verdict => self.note(&entry.path, sought, sought.finding(Word::Listing(verdict)), findings),
        }
    }

    fn doubt(&mut self, candidate: Candidate, findings: &mut Findings) {
        if self.doubts.len() < MAX_DOUBTS {
            self.doubts.push(candidate);
        } else {
            findings.note(&candidate.sought.finding(Word::Listing(Verdict::Doubtful)));
            findings.troubles.add(|| format!("more than {MAX_DOUBTS} files are doubtful; the others were not asked for"));
        }
    }

    fn note(&mut self, path: &TreePath<'_>, sought: Sought, finding: Finding, findings: &mut Findings) {
        findings.note(&finding);
        if finding.word == Word::Listing(Verdict::Holds) {
            self.sample.put(path, sought);
        }
    }

    /// Asks for what was left open, until `deadline` has come. What comes back are the samples to check.
    pub(super) async fn finish(mut self, deadline: Instant, findings: &mut Findings) -> Vec<(TreePath<'static>, Sought)> {
        /// What is asked for at a time: between two of them it is looked whether there is still time.
        const BATCH: usize = 256;
        // The sample is drawn here, from what was certain at once as well.
        let judge = Judge::new(self.session, Sample::new(0, 0));
        while !self.doubts.is_empty() {
            let batch: Vec<_> = self.doubts.drain(self.doubts.len().saturating_sub(BATCH)..).collect();
            let sought: Vec<_> = batch.iter().map(|candidate| (candidate.path.clone(), candidate.sought)).collect();
            let Ok(judged) = tokio::time::timeout_at(deadline.into(), judge.judge(batch)).await else {
                findings.troubles.add(|| "the scan took too long".to_owned());
                let left = sought.into_iter().chain(self.doubts.drain(..).map(|left| (left.path, left.sought)));
                left.for_each(|(_, sought)| findings.note(&sought.finding(Word::Listing(Verdict::Doubtful))));
                break;
            };
            for finding in judged {
                let asked = sought.iter().find(|(_, sought)| sought.version == finding.version);
                let Some((path, sought)) = asked else { continue };
                self.note(path, *sought, finding, findings);
            }
        }
        self.sample.drawn()
    }
}
