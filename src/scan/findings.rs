//! What a lister found on one mirror: the versions that were seen, those that were not, and how far its eyes went.

use std::hash::{BuildHasher, RandomState};

use roaring::RoaringBitmap;

use super::hashed::Hashed;
use super::listing::Family;
use super::matching::Verdict;
use super::memory::Lesson;
use crate::model::{TreePath, VersionNumber};

/// The result of listing one mirror: the one shape that every lister fills, whatever its protocol.
#[derive(Debug, Default)]
pub struct Findings {
    /// Versions that the mirror holds.
    pub seen: RoaringBitmap,
    /// Versions that the mirror was known to hold and that are not asked for this time: their turn comes.
    pub rested: RoaringBitmap,
    /// Versions of which a listing shows another copy.
    pub mismatched: RoaringBitmap,
    /// Versions whose file the server itself, asked for it, has not or has otherwise.
    pub disproved: RoaringBitmap,
    /// Versions about which nothing could be told.
    pub doubtful: RoaringBitmap,
    /// Entries in listings, or files asked for.
    pub entries: u64,
    /// Where a version that was not seen is known to be absent.
    pub coverage: Coverage,
    /// Directories of which the server shows no listing, with all that is below them.
    pub blind: Vec<TreePath<'static>>,
    /// What went wrong.
    pub troubles: Troubles,
    /// What was learnt about listings.
    pub(super) lesson: Lesson,
}

/// What was found about one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// The version.
    pub version: VersionNumber,
    /// What is known now.
    pub word: Word,
}

impl Finding {
    /// Whether the mirror was seen with the version.
    #[must_use]
    pub const fn is_holding(&self) -> bool {
        matches!(self.word, Word::Listing(Verdict::Holds) | Word::Server(Verdict::Holds))
    }
}

/// Whose word it is, and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// A listing's.
    Listing(Verdict),
    /// The server's, asked for the file itself.
    Server(Verdict),
    /// The server's: there is no such file.
    Missing,
}

impl Findings {
    /// Whether anything was found out about a version.
    #[must_use]
    pub fn tells_of(&self, version: VersionNumber) -> bool {
        [&self.seen, &self.mismatched, &self.disproved, &self.doubtful].iter().any(|set| set.contains(version.0))
    }

    /// Takes a finding in. A path that a hostile page shows twice counts as it was shown last.
    pub fn note(&mut self, finding: &Finding) {
        let number = finding.version.0;
        self.seen.remove(number);
        self.rested.remove(number);
        self.mismatched.remove(number);
        self.doubtful.remove(number);
        match finding.word {
            Word::Listing(Verdict::Holds) | Word::Server(Verdict::Holds) => {
                self.disproved.remove(number);
                self.seen.insert(number);
            }
            Word::Listing(Verdict::Mismatched) => _ = self.mismatched.insert(number),
            Word::Server(Verdict::Mismatched) => {
                self.mismatched.insert(number);
                self.disproved.insert(number);
            }
            Word::Missing => _ = self.disproved.insert(number),
            Word::Listing(Verdict::Doubtful) | Word::Server(Verdict::Doubtful) => _ = self.doubtful.insert(number),
        }
    }
}

/// What is known about directories: whether what they don't list is not there.
#[derive(Debug, Default)]
pub struct Coverage {
    hasher: RandomState,
    extents: Hashed<Extent>,
}

/// How much of a directory was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All that a server of this family shows.
    Complete(Family),
    /// Nothing, or not all: it proves nothing.
    Unknown,
    /// The server has no such directory.
    Absent,
}

impl Coverage {
    /// Notes how much of a directory was seen.
    pub fn set(&mut self, directory: &TreePath<'_>, extent: Extent) {
        self.extents.insert(self.hasher.hash_one(directory.as_bytes()), extent);
    }

    /// Whether the directory was seen, or is about to be.
    #[must_use]
    pub fn has(&self, directory: &TreePath<'_>) -> bool {
        self.extents.contains_key(&self.hasher.hash_one(directory.as_bytes()))
    }

    /// Whether a file that was not seen is absent, as far as listings tell: the nearest directory above it that was looked
    /// at was seen whole, and would have shown the way to it.
    #[must_use]
    pub fn shows_absence(&self, path: &TreePath<'_>) -> bool {
        let mut below = path.borrowed();
        while let Some(directory) = below.parent() {
            match self.extents.get(&self.hasher.hash_one(directory.as_bytes())) {
                Some(Extent::Complete(family)) => return !family.may_leave_out(below.name()),
                Some(Extent::Absent) => return true,
                Some(Extent::Unknown) => return false,
                None => below = directory.into_owned(),
            }
        }
        false
    }
}

/// What went wrong, bounded: a broken mirror may have a million ways to say the same.
#[derive(Debug, Default, Clone)]
pub struct Troubles {
    told: Vec<String>,
    count: u64,
}

impl Troubles {
    /// As many as a person reads.
    const TOLD: usize = 10;

    /// Notes one.
    pub fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.told.len() < Self::TOLD {
            self.told.push(what());
        }
    }

    /// Whether there was none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The first of them, and how many more there were.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let more = self.count.saturating_sub(self.told.len() as u64);
        let rest = (more > 0).then(|| format!("and {more} more"));
        self.told.iter().cloned().chain(rest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath<'static> {
        TreePath::parse(text.as_bytes().to_vec()).expect("valid")
    }

    #[test]
    fn only_what_a_whole_listing_leaves_out_is_absent() {
        let mut coverage = Coverage::default();
        for (directory, extent) in [
            ("", Extent::Complete(Family::Nginx)),
            ("whole", Extent::Complete(Family::Nginx)),
            ("cut", Extent::Unknown),
            ("away", Extent::Absent),
        ] {
            coverage.set(&path(directory), extent);
        }
        for (file, absent) in [
            ("a.xo", true),
            (".hidden", false),
            ("whole/a.xo", true),
            ("whole/.hidden/a.xo", false),
            ("whole/sub/deep/a.xo", true),
            ("cut/a.xo", false),
            ("cut/sub/a.xo", false),
            ("away/a.xo", true),
            ("away/.hidden", true),
            ("unseen/a.xo", true),
        ] {
            assert_eq!(coverage.shows_absence(&path(file)), absent, "{file}");
        }
        assert!(!Coverage::default().shows_absence(&path("a.xo")), "nothing was looked at");
    }

    #[test]
    fn a_path_shown_twice_counts_as_it_was_shown_last() {
        let mut findings = Findings::default();
        let mut note = |word| {
            findings.note(&Finding { version: VersionNumber(7), word });
            (findings.seen.len(), findings.mismatched.len(), findings.disproved.len(), findings.doubtful.len())
        };
        assert_eq!(note(Word::Listing(Verdict::Holds)), (1, 0, 0, 0));
        assert_eq!(note(Word::Listing(Verdict::Holds)), (1, 0, 0, 0));
        assert_eq!(note(Word::Listing(Verdict::Mismatched)), (0, 1, 0, 0));
        assert_eq!(note(Word::Server(Verdict::Doubtful)), (0, 0, 0, 1));
        assert_eq!(note(Word::Missing), (0, 0, 1, 0));
        assert_eq!(note(Word::Server(Verdict::Holds)), (1, 0, 0, 0));
    }
}
