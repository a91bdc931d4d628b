//! Whole-tree stamps: a file on the mirror that changes whenever the mirror does, like the trace files that Debian's mirrors keep or the
//! time stamps that mirmon reads. While it stands still and the tree has nothing new, nothing else is asked.
//!
//! A stamp is the mirror's own word, so it is believed within bounds only: not for long, not when a probe has said otherwise, and not
//! at once where the mirror lacked something (its copying may have been under way, the stamp copied first).

use std::fmt::Write as _;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::plan::Plan;
use super::session::Session;
use crate::inventory::SeenStamp;
use crate::model::{Mirror, TreePath};

/// A stamp, as it was read before a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(String);

/// How long a stamp that stands still is believed: files may get lost without it, and a day is how long that may go unseen.
const TRUST: Duration = Duration::from_secs(24 * 3600);
/// Complete scans that saw the same stamp before it is believed of a mirror that lacks something.
const SCANS: u32 = 2;

/// The stamp that a mirror has, if the configuration names one.
pub(super) fn path_of<'a>(mirror: &'a Mirror, general: Option<&'a TreePath<'static>>) -> Option<&'a TreePath<'static>> {
    mirror.scanning.stamp.as_ref().or(general)
}

/// What is known besides the stamp.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    /// The present time.
    pub(super) now: Timestamp,
    /// When a probe last said that something is wrong with the mirror.
    pub(super) contradicted: Option<Timestamp>,
    /// How many of the versions that are looked for it was not seen with.
    pub(super) lacking: u64,
    /// The largest version number that is looked for.
    pub(super) newest: u32,
}

impl Stamp {
    /// Reads it: its content, and what the server says about its age.
    ///
    /// # Errors
    /// When it can't be read; the reason is for people.
    pub(super) async fn read(session: &Session, path: &TreePath<'_>) -> Result<Self, String> {
        let file = session.file(path).await.map_err(|failure| format!("the stamp /{path} can't be read: {failure}"))?;
        let mut hasher = Sha256::new();
        hasher.update(&file.body);
        let mut text = String::new();
        for byte in hasher.finalize() {
            write!(text, "{byte:02x}").map_err(|error| error.to_string())?;
        }
        for header in [&file.modified, &file.tag] {
            text.push(' ');
            text.push_str(header.as_deref().unwrap_or("-"));
        }
        // Another URL may be another server.
        text.push_str(&format!(" {}", session.base()));
        Ok(Self(text))
    }

    /// Whether it stands still, so that nothing else needs to be asked.
    pub(super) fn stands_still(&self, seen: &SeenStamp, circumstances: &Circumstances) -> bool {
        let Circumstances { now, contradicted, lacking, newest } = *circumstances;
        let age = now.duration_since(seen.began);
        let is_recent = age >= SignedDuration::ZERO && age < SignedDuration::try_from(TRUST).unwrap_or_default();
        self.0 == seen.text
            && is_recent
            && newest <= seen.newest
            && contradicted.is_none_or(|at| at < seen.began)
            && (lacking == 0 || seen.scans >= SCANS)
    }

    /// What is kept of it after a complete scan.
    pub(super) fn after_scan(self, before: Option<&SeenStamp>, began: Timestamp, plan: &Plan) -> SeenStamp {
        let newest = plan.versions().max().unwrap_or_default();
        let same = before.filter(|seen| seen.text == self.0 && seen.newest == newest);
        let scans = same.map_or(1, |seen| seen.scans.saturating_add(1));
        SeenStamp { text: self.0, began, scans, newest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_795_400_000 + hour * 3600).expect("a time")
    }

    #[test]
    fn a_stamp_is_believed_within_bounds() {
        let usual = Circumstances { now: at(5), contradicted: None, lacking: 0, newest: 100 };
        let seen = SeenStamp { text: "a".to_owned(), began: at(0), scans: 1, newest: 100 };
        let twice = SeenStamp { scans: 2, ..seen.clone() };
        let circumstances = |change: fn(&mut Circumstances)| {
            let mut changed = usual;
            change(&mut changed);
            changed
        };
        for (what, stamp, seen, circumstances, still) in [
            ("nothing has happened", "a", &seen, usual, true),
            ("it has moved", "b", &seen, usual, false),
            ("a new version", "a", &seen, circumstances(|now| now.newest = 101), false),
            ("fewer versions", "a", &seen, circumstances(|now| now.newest = 50), true),
            ("a probe said otherwise since", "a", &seen, circumstances(|now| now.contradicted = Some(at(1))), false),
            ("a probe said otherwise before", "a", &seen, circumstances(|now| now.contradicted = Some(at(-1))), true),
            ("a day is over", "a", &seen, circumstances(|now| now.now = at(24)), false),
            ("the clock was set back", "a", &seen, circumstances(|now| now.now = at(-1)), false),
            ("it lacked something, seen once", "a", &seen, circumstances(|now| now.lacking = 1), false),
            ("it lacked something, seen twice", "a", &twice, circumstances(|now| now.lacking = 1), true),
        ] {
            assert_eq!(Stamp(stamp.to_owned()).stands_still(seen, &circumstances), still, "{what}");
        }
    }
}
