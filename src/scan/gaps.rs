//! What a mirror lacks, by directory: written down by the scan, so that nobody who looks at it later has to go through the tree.
//!
//! Files come in the order of their paths' bytes, so that all that is below a directory comes together: what is kept at a time is
//! one directory a level, and the directories that lack the most. A directory of which nothing is there is told as one, with all that
//! is below it.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use roaring::RoaringBitmap;

use super::plan::{Pages, Plan};
use crate::inventory::{self, Gap, Gaps, Inventory, Share};
use crate::model::{Mirror, MirrorName, TreePath, VersionNumber};

/// How many directories are told: as many as one looks through.
const DIRECTORIES: usize = 50;
/// How many files of each are named.
const EXAMPLES: usize = 3;
/// Longer paths are not named: what is written down is to stay small.
const MAX_TEXT_BYTES: usize = 300;

/// What a mirror has and has not.
pub(super) struct Survey {
    /// How much it holds.
    pub(super) share: Share,
    /// What it lacks; `None` where that is as it was last time.
    pub(super) gaps: Option<Gaps>,
}

/// What a mirror need not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Excuses {
    /// Files of which became public what is there now after this time, in seconds since 1970: no client is sent to a mirror for them.
    pub(super) young_after: i64,
    /// Files larger than this: it is not used for them.
    pub(super) largest: u64,
}

impl Excuses {
    pub(super) fn new(mirror: &Mirror, now: Timestamp, min_age: Duration) -> Self {
        let min_age = i64::try_from(min_age.as_secs()).unwrap_or(i64::MAX);
        Self { young_after: now.as_second().saturating_sub(min_age), largest: mirror.max_file_size.unwrap_or(u64::MAX) }
    }
}

/// Surveys what a mirror holds of the plan's files; `stale` are those of which it has another copy. `None` when the plan is for a
/// part of the tree.
///
/// To find out what is lacking takes a walk through the inventory, so that is done only when it is something else than last time.
///
/// # Errors
/// When the inventory can't be read.
pub(super) async fn survey(
    mirror: &MirrorName,
    plan: &Plan,
    (held, stale): (&RoaringBitmap, &RoaringBitmap),
    excuses: Excuses,
    inventory: &Inventory,
) -> Result<Option<Survey>, inventory::Error> {
    if !plan.scope().is_root() {
        return Ok(None);
    }
    let lacking = plan.versions() - held;
    let (missing, stale) = (&lacking - stale, &lacking & stale);
    let mark = mark(&missing, &stale, excuses.largest);
    let is_as_it_was = |known: &Gaps| known.mark == mark && known.young_since.is_none_or(|since| excuses.young_after < since);
    let known = inventory.gaps(mirror.clone()).await?.filter(is_as_it_was);
    let is_known = known.is_some();
    let gaps = match known {
        Some(known) => known,
        None => Gaps { mark, ..gather(&missing, &stale, excuses, inventory).await? },
    };
    let excused_bytes = gaps.young_bytes.saturating_add(gaps.beyond_bytes);
    let lacking_bytes = gaps.missing_bytes.saturating_add(gaps.stale_bytes).saturating_add(excused_bytes);
    let share = Share {
        files: plan.files().saturating_sub(gaps.young + gaps.beyond),
        held: plan.files() - lacking.len(),
        bytes: plan.bytes().saturating_sub(excused_bytes),
        held_bytes: plan.bytes().saturating_sub(lacking_bytes),
    };
    Ok(Some(Survey { share, gaps: (!is_known).then_some(gaps) }))
}

/// Tells what is lacking from what was lacking at another time, or under another rule.
fn mark(missing: &RoaringBitmap, stale: &RoaringBitmap, largest: u64) -> u64 {
    let mut hasher = siphasher::sip::SipHasher13::new();
    largest.hash(&mut hasher);
    for set in [missing, stale] {
        set.len().hash(&mut hasher);
        set.iter().for_each(|number| number.hash(&mut hasher));
    }
    hasher.finish()
}

async fn gather(
    missing: &RoaringBitmap,
    stale: &RoaringBitmap,
    excuses: Excuses,
    inventory: &Inventory,
) -> Result<Gaps, inventory::Error> {
    let mut walk = Walk::default();
    let snapshot = inventory.snapshot();
    // A version that was replaced meanwhile is as young as any may be.
    let since = |path: &TreePath<'_>, version: VersionNumber| {
        snapshot.file(path).filter(|entry| entry.version == version).map_or(i64::MAX, |entry| entry.public_since)
    };
    if missing.is_empty() && stale.is_empty() {
        return Ok(walk.finish());
    }
    let mut pages = Pages::new(TreePath::root());
    while let Some(page) = pages.next(inventory).await? {
        for (path, version, size) in page.files() {
            let state = match version.0 {
                number if !missing.contains(number) && !stale.contains(number) => State::Held,
                _ if size > excuses.largest => State::Beyond,
                number => match since(&path, version) {
                    since if since > excuses.young_after => State::Young(since),
                    _ if stale.contains(number) => State::Stale,
                    _ => State::Missing,
                },
            };
            walk.see(&path, state, size);
        }
    }
    Ok(walk.finish())
}

/// How a file stands on the mirror.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Held,
    Missing,
    Stale,
    /// It lacks it, and need not have it yet: since when it is public.
    Young(i64),
    /// It lacks it, and need not have it.
    Beyond,
}

/// A walk through all files, in the order of their paths' bytes.
#[derive(Default)]
struct Walk {
    gaps: Gaps,
    /// The directories above the last file, from the root down.
    open: Vec<Open>,
    /// Those that were left and lack the most.
    top: Top,
}

/// A directory that is being walked.
#[derive(Default)]
struct Open {
    path: Vec<u8>,
    /// The files in it and below it.
    below: u64,
    missing_below: u64,
    /// What it lacks itself.
    own: Gap,
    /// Directories in it of which nothing is there.
    whole: Top,
}

/// The directories that lack the most, of any number.
#[derive(Default)]
struct Top {
    gaps: Vec<Gap>,
    more: u64,
}

impl Top {
    fn push(&mut self, gap: Gap) {
        self.gaps.push(gap);
        if self.gaps.len() >= 4 * DIRECTORIES {
            self.shrink();
        }
    }

    fn append(&mut self, other: Self) {
        self.more += other.more;
        other.gaps.into_iter().for_each(|gap| self.push(gap));
    }

    fn shrink(&mut self) {
        self.gaps.sort_by_key(|gap| std::cmp::Reverse(gap.missing + gap.stale));
        self.more += self.gaps.len().saturating_sub(DIRECTORIES) as u64;
        self.gaps.truncate(DIRECTORIES);
    }
}

impl Walk {
    fn see(&mut self, path: &TreePath<'_>, state: State, size: u64) {
        match state {
            State::Young(since) => {
                self.gaps.young += 1;
                self.gaps.young_bytes += size;
                self.gaps.young_since = Some(self.gaps.young_since.map_or(since, |first| first.min(since)));
                return;
            }
            State::Beyond => {
                self.gaps.beyond += 1;
                self.gaps.beyond_bytes += size;
                return;
            }
            State::Held | State::Missing | State::Stale => {}
        }
        let Some(parent) = path.parent() else { return };
        while self.open.last().is_some_and(|open| !is_above(&open.path, path.as_bytes())) {
            self.leave();
        }
        self.enter(parent.as_bytes());
        let Some(open) = self.open.last_mut() else { return };
        open.below += 1;
        match state {
            State::Held | State::Young(_) | State::Beyond => return,
            State::Missing => {
                open.missing_below += 1;
                open.own.missing += 1;
                self.gaps.missing += 1;
                self.gaps.missing_bytes += size;
            }
            State::Stale => {
                open.own.stale += 1;
                self.gaps.stale += 1;
                self.gaps.stale_bytes += size;
            }
        }
        if open.own.examples.len() < EXAMPLES && path.as_bytes().len() <= MAX_TEXT_BYTES {
            open.own.examples.push(path.to_string());
        }
    }

    /// Opens the directories from the last one that is open down to `directory`.
    fn enter(&mut self, directory: &[u8]) {
        if self.open.is_empty() {
            self.open.push(Open::default());
        }
        let known = self.open.last().map_or(0, |open| open.path.len());
        let start = if known == 0 { 0 } else { known + 1 };
        let ends = (start..directory.len()).filter(|&at| directory[at] == b'/').chain(Some(directory.len()));
        for end in ends.filter(|&end| end > known) {
            self.open.push(Open { path: directory[..end].to_vec(), ..Open::default() });
        }
    }

    /// Takes the last directory that is open as done.
    fn leave(&mut self) {
        let Some(mut open) = self.open.pop() else { return };
        open.own.directory = readable(&open.path);
        let is_whole = open.below > 0 && open.missing_below == open.below;
        if is_whole {
            // What is below it goes without saying; but it has examples, where it has no files of its own.
            let mut examples = std::mem::take(&mut open.own.examples);
            examples.extend(open.whole.gaps.drain(..).flat_map(|gap| gap.examples));
            examples.truncate(EXAMPLES);
            open.own = Gap { whole: true, missing: open.below, stale: 0, examples, ..open.own };
        }
        match (self.open.last_mut(), is_whole) {
            (Some(above), true) => above.whole.push(open.own),
            (None, true) => self.top.push(open.own),
            (_, false) => {
                self.top.append(open.whole);
                if open.own.missing + open.own.stale > 0 {
                    self.top.push(open.own);
                }
            }
        }
        if let Some(above) = self.open.last_mut() {
            above.below += open.below;
            above.missing_below += open.missing_below;
        }
    }

    fn finish(mut self) -> Gaps {
        while !self.open.is_empty() {
            self.leave();
        }
        self.top.shrink();
        Gaps { directories: self.top.gaps, more: self.top.more, ..self.gaps }
    }
}

fn is_above(directory: &[u8], path: &[u8]) -> bool {
    directory.is_empty() || path.strip_prefix(directory).is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// The beginning of a directory's path for people.
fn readable(path: &[u8]) -> String {
    if path.len() <= MAX_TEXT_BYTES {
        return String::from_utf8_lossy(path).into_owned();
    }
    format!("{}...", String::from_utf8_lossy(&path[..MAX_TEXT_BYTES]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked<'f>(files: impl IntoIterator<Item = (&'f str, State)>) -> Gaps {
        let mut files: Vec<_> = files.into_iter().collect();
        files.sort_by_key(|(path, _)| path.as_bytes());
        let mut walk = Walk::default();
        for (path, state) in files {
            walk.see(&TreePath::parse(path.as_bytes().to_vec()).expect("valid"), state, 10);
        }
        walk.finish()
    }

    fn told(gaps: &Gaps) -> Vec<(&str, bool, u64, u64)> {
        gaps.directories.iter().map(|gap| (gap.directory.as_str(), gap.whole, gap.missing, gap.stale)).collect()
    }

    #[test]
    fn what_lacks_is_told_by_directory_and_most_first() {
        use State::{Held, Missing, Stale};
        let gaps = walked([
            ("a/1", Held),
            ("a/2", Missing),
            ("a/c/x", Held),
            ("a/z", Stale),
            ("a-b/x", Stale),
            ("gone/1", Missing),
            ("gone/deep/er/1", Missing),
            ("gone/deep/er/2", Missing),
            ("part/gone/1", Missing),
            ("part/here/1", Held),
            ("top", Missing),
        ]);
        assert_eq!(
            told(&gaps),
            [("gone", true, 3, 0), ("a", false, 1, 1), ("a-b", false, 0, 1), ("part/gone", true, 1, 0), ("", false, 1, 0)]
        );
        assert_eq!((gaps.missing, gaps.missing_bytes, gaps.stale, gaps.stale_bytes, gaps.more), (6, 60, 2, 20, 0));
        assert_eq!(gaps.directories[0].examples, ["gone/1", "gone/deep/er/1", "gone/deep/er/2"]);
    }

    #[test]
    fn what_it_need_not_have_is_counted_and_not_told_by_directory() {
        use State::{Beyond, Held, Missing, Young};
        let gaps = walked([("a/1", Young(9)), ("a/2", Missing), ("a/3", Young(7)), ("b/1", Beyond), ("c", Held)]);
        assert_eq!(told(&gaps), [("a", true, 1, 0)], "all that it should have of it is missing");
        assert_eq!((gaps.young, gaps.young_bytes, gaps.young_since, gaps.beyond, gaps.beyond_bytes), (2, 20, Some(7), 1, 10));
        assert_eq!(
            gaps.excused().as_deref(),
            Some("2 files that are too new for any mirror (20 B), 1 file that is larger than it takes (10 B)")
        );
        assert_eq!(walked([("a/2", Missing)]).excused(), None);
    }

    #[test]
    fn a_mirror_without_anything_lacks_the_root() {
        let gaps = walked([("a/1", State::Missing), ("b/c/2", State::Missing)]);
        assert_eq!(told(&gaps), [("", true, 2, 0)]);
        assert_eq!(gaps.directories[0].examples, ["a/1", "b/c/2"]);
        assert_eq!(walked([("a/1", State::Held)]), Gaps::default());
    }

    #[test]
    fn what_is_written_down_is_bounded() {
        let names: Vec<String> = (0..2000).flat_map(|n| [format!("d{n:04}/gone"), format!("d{n:04}/here")]).collect();
        let state = |name: &str| if name.ends_with("gone") { State::Missing } else { State::Held };
        let long = format!("e/{}/{}", "x".repeat(250), "y".repeat(250));
        let files = names.iter().map(|name| (name.as_str(), state(name)));
        let gaps =
            walked(files.chain([(long.as_str(), State::Missing), ("e/here", State::Held), ("d0007/more", State::Missing)]));
        assert_eq!((gaps.directories.len(), gaps.more, gaps.missing), (DIRECTORIES, 2001 - DIRECTORIES as u64, 2002));
        assert_eq!(told(&gaps)[0], ("d0007", false, 2, 0));
        assert!(serde_json::to_string(&gaps).expect("JSON").len() < 16 * 1024);
    }
}
