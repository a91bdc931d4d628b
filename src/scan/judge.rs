//! Judging the files of a listing: by what it says, and where that leaves doubt, by asking for the file itself. What the answers
//! teach about the mirror's time zone spares further questions.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::answer::Answer;
use super::findings::{Finding, Word};
use super::ground::{Answered, Questions, Sought};
use super::matching::{Listed, Verdict, ZoneLearner, judge_listed};
use super::session::Session;
use crate::model::TreePath;

/// Judges one mirror's listings.
pub(super) struct Judge<'a> {
    session: &'a Session,
    zone: Mutex<ZoneLearner>,
}

/// A file in a listing: what is looked for there, and what the listing says.
pub(super) struct Candidate {
    /// Where it is.
    pub(super) path: TreePath<'static>,
    /// The version.
    pub(super) sought: Sought,
    /// What the listing says.
    pub(super) listed: Listed,
}

impl<'a> Judge<'a> {
    /// Asks by a session what listings leave open.
    pub(super) fn new(session: &'a Session) -> Self {
        Self { session, zone: Mutex::default() }
    }

    /// Judges the files of one listing: by the listing, and where that leaves doubt, by asking.
    pub(super) async fn judge(&self, candidates: Vec<Candidate>) -> Vec<Finding> {
        let mut findings = Vec::with_capacity(candidates.len());
        let mut doubts = VecDeque::new();
        for candidate in candidates {
            match judge_listed(&candidate.sought.wanted, &candidate.listed) {
                Verdict::Doubtful => doubts.push_back(candidate),
                verdict => findings.push(candidate.sought.finding(Word::Listing(verdict))),
            }
        }
        // In small batches: what the first ones teach about the mirror's time zone spares questions about the rest.
        while !doubts.is_empty() {
            let mut batch = Vec::new();
            while batch.len() < self.session.connections() {
                let Some(doubt) = doubts.pop_front() else { break };
                match judge_listed(&doubt.sought.wanted, &self.with_zone(doubt.listed)) {
                    Verdict::Doubtful => batch.push(doubt),
                    verdict => findings.push(doubt.sought.finding(Word::Listing(verdict))),
                }
            }
            findings.extend(self.ask(batch).await);
        }
        findings
    }

    async fn ask(&self, batch: Vec<Candidate>) -> Vec<Finding> {
        let mut times = std::collections::HashMap::new();
        let mut files = Vec::with_capacity(batch.len());
        for doubt in batch {
            times.insert(doubt.sought.version, doubt.listed.time);
            files.push((doubt.path, doubt.sought));
        }
        let answers = Questions::new(self.session, files).all().await;
        for Answered { finding, answer, .. } in &answers {
            let Answer::Copy(copy) = answer else { continue };
            if let (Some(Some(listed)), Some(exact)) = (times.get(&finding.version), copy.modified)
                && listed.offset.is_none()
            {
                self.zone.lock().unwrap_or_else(std::sync::PoisonError::into_inner).learn(listed, exact.as_second());
            }
        }
        answers.into_iter().map(|answered| answered.finding).collect()
    }

    /// What an entry says, with what was learnt about the mirror's time zone.
    pub(super) fn with_zone(&self, listed: Listed) -> Listed {
        let zone = *self.zone.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Listed { time: listed.time.map(|time| zone.applied_to(time)), ..listed }
    }
}
