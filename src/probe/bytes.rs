//! Now and then, some bytes of what a mirror holds are compared with those of the tree. A copy may have the right size and time and other
//! bytes: a page for visitors who have not logged in, or what a bad disk has made of it. No listing and no HEAD tells.
//!
//! One answer proves nothing: what differs is asked for again. A file that is wrong twice is none of the mirror's holdings until its bytes
//! were seen to be right. When most of what was compared is wrong, the mirror does not work.

use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::FileExt as _;

use roaring::RoaringBitmap;

use super::checkup::Patient;
use crate::inventory::{self, Adjustment};
use crate::model::{BaseUrl, FileRecord, FileState, Scheme, TreePath, VersionNumber};
use crate::scan::capacity::Trial;
use crate::scan::part::Part;
use crate::tree::Root;

/// How many bytes are compared: as many as a disk reads at once.
const PART_BYTES: u64 = 4096;
/// How many others are compared when a file was found to be wrong.
const OTHERS: usize = 8;
/// How many of those that were wrong are looked at again at a time.
const AGAIN: usize = 4;
/// Files among which others are looked for.
const PAGE: usize = 200;
/// So many wrong files, if they are most of those that were compared, are more than a bad disk.
const TOO_MANY: usize = 3;

/// What came of comparing.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// What was seen to be wrong.
    wrong: Vec<(TreePath<'static>, VersionNumber)>,
    /// What was seen to be right.
    pub(super) right: Vec<VersionNumber>,
    /// How many of both were not known to be wrong.
    drawn: Tally,
    /// The mirror holds something besides.
    holds_more: bool,
}

/// How many were wrong, and how many right.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    wrong: usize,
    right: usize,
}

impl Tally {
    const fn is_too_bad(self) -> bool {
        self.wrong >= TOO_MANY && self.wrong > self.right
    }
}

impl Compared {
    /// Why the mirror does not work, if that is so. What was known to be wrong counts only where the mirror holds nothing else: a bad disk
    /// may have many such files.
    pub(super) fn failure(&self) -> Option<String> {
        let all = Tally { wrong: self.wrong.len(), right: self.right.len() };
        let counts = if self.holds_more { self.drawn } else { all };
        let (first, _) = self.wrong.first().filter(|_| counts.is_too_bad())?;
        let compared = counts.wrong + counts.right;
        let wrong = counts.wrong;
        Some(format!("of {compared} files that were compared, {wrong} have other bytes than they should, like /{first}"))
    }

    fn note(&mut self, file: &FileRecord, is_same: Option<bool>) {
        match is_same {
            Some(true) => self.right.push(file.version),
            Some(false) => self.wrong.push((file.path.clone(), file.version)),
            None => {}
        }
    }

    fn note_drawn(&mut self, file: &FileRecord, is_same: Option<bool>) {
        self.drawn.wrong += usize::from(is_same == Some(false));
        self.drawn.right += usize::from(is_same == Some(true));
        self.note(file, is_same);
    }
}

/// Compares with one mirror.
pub(super) struct Comparison<'a> {
    patient: &'a Patient<'a>,
    trial: Trial<'a>,
    root: &'a Root,
    bases: Vec<&'a BaseUrl>,
}

impl<'a> Comparison<'a> {
    /// Over these URLs, with the tree at `root`.
    pub(super) fn new(patient: &'a Patient<'a>, root: &'a Root, bases: Vec<&'a BaseUrl>) -> Self {
        Self { patient, trial: patient.trial(), root, bases }
    }

    /// Compares one of the files, and some of those that were wrong; where that is wrong, some others. Writes down what is news.
    ///
    /// # Errors
    /// When the inventory fails.
    pub(super) async fn run(&self, files: &[FileRecord], unseen: Option<Scheme>) -> Result<Compared, inventory::Error> {
        let Patient { inventory, mirror, clock, .. } = self.patient;
        let began = clock.now();
        let mut compared = Compared { holds_more: !self.patient.holdings.is_empty(), ..Compared::default() };
        let known = inventory.wrong(mirror.name.clone()).await?;
        // Others each time, of many.
        let skipped = began.as_second().unsigned_abs() as usize % known.len().max(1);
        for (path, version) in known.iter().cycle().skip(skipped).take(AGAIN.min(known.len())) {
            let file = inventory.file(path.clone()).await?.filter(|file| file.version == *version);
            if let Some(file) = file {
                compared.note(&file, self.is_same(&file).await);
            }
        }
        let right: RoaringBitmap = compared.right.iter().map(|version| version.0).collect();
        let Some(file) = files.iter().find(|file| file.fingerprint.size > 0) else {
            return self.keep(compared, right, began, unseen).await;
        };
        compared.note_drawn(file, self.is_same(file).await);
        if compared.drawn.wrong > 0 {
            for other in self.others(file).await? {
                compared.note_drawn(&other, self.is_same(&other).await);
            }
        }
        self.keep(compared, right, began, unseen).await
    }

    async fn keep(
        &self,
        compared: Compared,
        right: RoaringBitmap,
        began: jiff::Timestamp,
        unseen: Option<Scheme>,
    ) -> Result<Compared, inventory::Error> {
        let mirror = &self.patient.mirror.name;
        if compared.wrong.is_empty() && right.is_empty() {
            return Ok(compared);
        }
        let news = compared.wrong.iter().filter(|(_, version)| self.patient.holdings.contains(*version));
        if let Some((path, _)) = news.clone().next() {
            let files = news.count();
            tracing::warn!(%mirror, %path, files, "a mirror has other bytes than the tree; nobody is sent there for these files");
        }
        let wrong = compared.wrong.clone();
        let adjustment = Adjustment { wrong, right, unseen, ..Adjustment::of(mirror.clone(), began) };
        self.patient.inventory.adjust_holdings(adjustment).await?;
        Ok(compared)
    }

    /// Some more files that the mirror holds.
    async fn others(&self, file: &FileRecord) -> Result<Vec<FileRecord>, inventory::Error> {
        let Patient { inventory, holdings, .. } = self.patient;
        let mut page = inventory.files(TreePath::root(), Some(file.path.clone()), PAGE).await?;
        if page.len() < OTHERS {
            page.extend(inventory.files(TreePath::root(), None, PAGE).await?);
        }
        let is_fit = |other: &FileRecord| {
            holdings.contains(other.version)
                && other.state == FileState::Settled
                && other.fingerprint.size > 0
                && other.path != file.path
        };
        page.retain(is_fit);
        page.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        page.dedup_by(|a, b| a.path == b.path);
        let step = page.len().div_ceil(OTHERS).max(1);
        Ok(page.into_iter().step_by(step).collect())
    }

    /// Whether the mirror sends what the tree has. `None`: it can't be told.
    async fn is_same(&self, file: &FileRecord) -> Option<bool> {
        let part = part_of(file, self.patient.clock.now().as_nanosecond());
        let own = self.own(file, part).await?;
        let mut told = None;
        for base in &self.bases {
            match self.trial.part(base, &file.path, part).await {
                Some(sent) if sent == own => told = Some(true),
                Some(_) => {
                    let again = self.trial.part(base, &file.path, part).await?;
                    if again != own && self.own(file, part).await.is_some_and(|now| now == own) {
                        return Some(false);
                    }
                    return None;
                }
                None => {}
            }
        }
        told
    }

    /// A part of the file in the tree, if that is the one that the inventory knows.
    async fn own(&self, file: &FileRecord, part: Part) -> Option<Vec<u8>> {
        let (root, path, fingerprint) = (self.root.clone(), file.path.clone(), file.fingerprint);
        let read = move || {
            let open = root.open_file(&path).ok().filter(|open| open.fingerprint == fingerprint)?;
            let mut bytes = vec![0; usize::try_from(part.count).ok()?];
            open.file.read_exact_at(&mut bytes, part.first).ok()?;
            open.fingerprint_now().is_ok_and(|now| now == fingerprint).then_some(bytes)
        };
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }
}

/// Which bytes of a file are compared: others each time.
fn part_of(file: &FileRecord, salt: i128) -> Part {
    let size = file.fingerprint.size;
    let count = size.min(PART_BYTES);
    let mut hasher = siphasher::sip::SipHasher13::new();
    (file.path.as_bytes(), salt).hash(&mut hasher);
    let first = hasher.finish() % (size - count).saturating_add(1);
    Part { first, count, size }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What came of comparing files that were known to be wrong, and others: how many of each are wrong, and right.
    fn compared((wrong, right): (usize, usize), drawn: (usize, usize), holds_more: bool) -> Compared {
        let path = TreePath::parse(b"a/b.xo".to_vec()).expect("valid");
        Compared {
            wrong: vec![(path, VersionNumber(7)); wrong + drawn.0],
            right: vec![VersionNumber(8); right + drawn.1],
            drawn: Tally { wrong: drawn.0, right: drawn.1 },
            holds_more,
        }
    }

    #[test]
    fn a_bad_disk_is_no_broken_mirror_and_a_page_for_everything_is() {
        for (known, drawn, holds_more, fails) in [
            ((0, 0), (0, 9), true, false),
            ((0, 0), (2, 0), true, false),
            ((0, 0), (3, 3), true, false),
            ((0, 0), (4, 3), true, true),
            ((0, 0), (9, 0), true, true),
            ((4, 0), (0, 1), true, false),
            ((4, 0), (1, 8), true, false),
            ((4, 0), (0, 0), true, false),
            ((0, 4), (9, 0), true, true),
            ((4, 0), (0, 0), false, true),
            ((2, 2), (0, 0), false, false),
        ] {
            let failure = compared(known, drawn, holds_more).failure();
            assert_eq!(failure.is_some(), fails, "known {known:?}, drawn {drawn:?}, {failure:?}");
        }
    }
}
