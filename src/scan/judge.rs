//! Judging the files of a listing: by what it says, and where that leaves doubt, by asking for the file itself. What the answers
//! teach about the mirror's time zone spares further questions.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::answer::Answer;
use super::findings::{Finding, Word};
use super::ground::{Answered, Questions, Sought};
use super::lots::Lots;
use super::matching::{Before, Listed, Verdict, ZoneLearner, judge_listed};
use super::session::Session;
use crate::model::TreePath;

/// Judges one mirror's listings.
pub(super) struct Judge<'a> {
    session: &'a Session,
    zone: Mutex<ZoneLearner>,
    sample: Mutex<Sample>,
}

/// Some of what counts as held by a listing's word alone.
pub(super) struct Sample {
    /// Of what was not known before.
    pub(super) fresh: Lots,
    /// Of what was.
    pub(super) known: Lots,
}

impl Sample {
    /// Draws so many of what was not known before, and fewer of the rest; another `salt` draws others of these.
    pub(super) const fn new(wanted: usize, salt: u64) -> Self {
        /// One for so many goes to what an earlier scan has found: it was checked then.
        const KNOWN: usize = 4;
        Self { fresh: Lots::new(wanted, 0), known: Lots::new(wanted.div_ceil(KNOWN), salt) }
    }

    /// Takes note of what counts as held by a listing's word alone.
    pub(super) fn put(&mut self, path: &TreePath<'_>, sought: Sought) {
        let lots = if sought.wanted.before == Before::Confirmed { &mut self.known } else { &mut self.fresh };
        lots.put(path, sought);
    }

    /// What was drawn.
    pub(super) fn drawn(&self) -> Vec<(TreePath<'static>, Sought)> {
        let mut drawn = self.fresh.drawn();
        drawn.extend(self.known.drawn());
        drawn
    }
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
    /// Asks by a session what listings leave open, and draws a sample of what they don't.
    pub(super) fn new(session: &'a Session, sample: Sample) -> Self {
        Self { session, zone: Mutex::default(), sample: Mutex::new(sample) }
    }

    /// The sample, drawn from all that was judged.
    pub(super) fn into_sample(self) -> Sample {
        self.sample.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn by_listing(&self, candidate: &Candidate, verdict: Verdict) -> Finding {
        if verdict == Verdict::Holds {
            self.sample.lock().unwrap_or_else(PoisonError::into_inner).put(&candidate.path, candidate.sought);
        }
        candidate.sought.finding(Word::Listing(verdict))
    }

    /// Judges the files of one listing: by the listing, and where that leaves doubt, by asking.
    pub(super) async fn judge(&self, candidates: Vec<Candidate>) -> Vec<Finding> {
        let mut findings = Vec::with_capacity(candidates.len());
        let mut doubts = VecDeque::new();
        for candidate in candidates {
            match judge_listed(&candidate.sought.wanted, &candidate.listed) {
                Verdict::Doubtful => doubts.push_back(candidate),
                verdict => findings.push(self.by_listing(&candidate, verdict)),
            }
        }
        // In small batches: what the first ones teach about the mirror's time zone spares questions about the rest.
        while !doubts.is_empty() {
            let mut batch = Vec::new();
            while batch.len() < self.session.connections() {
                let Some(doubt) = doubts.pop_front() else { break };
                match judge_listed(&doubt.sought.wanted, &self.with_zone(doubt.listed)) {
                    Verdict::Doubtful => batch.push(doubt),
                    verdict => findings.push(self.by_listing(&doubt, verdict)),
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
                self.zone.lock().unwrap_or_else(PoisonError::into_inner).learn(listed, exact.as_second());
            }
        }
        answers.into_iter().map(|answered| answered.finding).collect()
    }

    /// What an entry says, with what was learnt about the mirror's time zone.
    pub(super) fn with_zone(&self, listed: Listed) -> Listed {
        let zone = *self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        Listed { time: listed.time.map(|time| zone.applied_to(time)), ..listed }
    }
}
