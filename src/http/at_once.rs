//! Plain requests that are answered at once: by a redirect, or with a file that is at hand. What is promised of those that wait holds
//! here as well.

use jiff::Timestamp;

use super::body::Body;
use super::deciding::{Errand, Seeking};
use super::local;
use super::site::{Makings, Site};
use crate::decide::{Decision, Standing, Why};
use crate::inventory::FileEntry;

impl Site {
    /// Answers a plain request by memory and one look at the file, and appends the head; conditional are those with conditions on the
    /// client's copy. `None` where it takes more; then nothing is counted, whatever was appended.
    pub(super) fn answer_at_once(
        &self,
        errand: &Errand<'_>,
        Seeking { file, signature }: Seeking,
        is_conditional: bool,
        out: &mut Vec<u8>,
    ) -> Option<Body> {
        let Makings { packages, doubts, clock, locator, .. } = &self.makings;
        if !packages.repositories.is_empty() && packages.repositories.find(errand.path, false, None).is_some() {
            return None;
        }
        let now = clock.now();
        locator.prefetch(errand.client.address);
        let standing = self.standing_of_file(errand.path, file)?;
        let Standing::Public { entry, as_recorded: true } = standing else { return None };
        let decision = self.decide_errand(standing, errand, now);
        let body = match &decision {
            Decision::Redirect { ranking, entry } => {
                self.count_redirect(ranking, if errand.is_get { entry.size } else { 0 });
                let has_signature =
                    || signature.is_none_or(|sought| sought.find().is_some()) && self.has_signature(errand.path);
                self.redirect(errand, ranking, (entry, has_signature), now).head_into(out);
                Body::empty()
            }
            Decision::Local(why) if !is_conditional => self.file_at_once(errand, &entry, *why, now, out)?,
            _ => return None,
        };
        self.tell_of(errand, &standing);
        doubts.take(errand, &standing, &decision, now);
        Some(body)
    }

    /// The whole of a file that is as the inventory has it, and not of another machine that would let us wait.
    fn file_at_once(
        &self,
        errand: &Errand<'_>,
        entry: &FileEntry,
        why: Why,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> Option<Body> {
        let Makings { trees, counts, .. } = &self.makings;
        if trees.public.is_remote() {
            return None;
        }
        let opened = trees.public.open_file(errand.path).ok()?;
        if !entry.matches(&opened.fingerprint) {
            return None;
        }
        counts.local(why);
        let body =
            local::whole_into(opened, errand.path, (why, entry.sha256), (counts, &self.threads, &self.sending), now, out);
        Some(if errand.is_get { body } else { Body::empty() })
    }
}
