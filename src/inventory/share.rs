//! How much of the tree a mirror holds, and what it lacks, directory by directory: what a scan of the whole tree leaves behind for
//! people.

use serde::{Deserialize, Serialize};

use super::record::ScanSummary;
use crate::model::ByteSize;
use crate::model::people::grouped;

/// How much of the tree a mirror held at the end of a scan. What it lacks and need not have (see [`Gaps`]) is left out of all counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize)]
pub struct Share {
    /// The files that it should have had.
    pub files: u64,
    /// Those of them that the mirror held.
    pub held: u64,
    /// The bytes of all files.
    pub bytes: u64,
    /// The bytes of those that the mirror held.
    pub held_bytes: u64,
}

impl Share {
    /// That at the end of the last scan that told it, out of scans from the newest on: those that failed or were of a part of the tree tell none.
    #[must_use]
    pub fn last(scans: &[ScanSummary]) -> Option<Self> {
        scans.iter().find_map(|scan| scan.share)
    }

    /// The part of the files, from 0 to 1.
    #[must_use]
    pub fn of_files(&self) -> f64 {
        part(self.held, self.files)
    }

    /// The part of the bytes, from 0 to 1.
    #[must_use]
    pub fn of_bytes(&self) -> f64 {
        part(self.held_bytes, self.bytes)
    }
}

/// Of nothing, everything is there.
fn part(some: u64, all: u64) -> f64 {
    if all == 0 { 1.0 } else { some.min(all) as f64 / all as f64 }
}

/// What a mirror lacks.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Gaps {
    /// Tells this from other gaps: the same for the same versions. Means nothing to others.
    #[serde(skip)]
    pub mark: u64,
    /// Files that were not seen there.
    pub missing: u64,
    /// Their bytes.
    pub missing_bytes: u64,
    /// Files of which another copy is there: of another size, or older.
    pub stale: u64,
    /// Their bytes, as they should be.
    pub stale_bytes: u64,
    /// Files that it lacks, or has otherwise, and need not have yet: they became public less than `min-age` before.
    pub young: u64,
    /// Their bytes.
    pub young_bytes: u64,
    /// Since when the first of them is public, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub young_since: Option<i64>,
    /// Files that it lacks, or has otherwise, and that it is not used for: they are larger than its `max-file-size`.
    pub beyond: u64,
    /// Their bytes.
    pub beyond_bytes: u64,
    /// Where the missing and stale ones are: the directories that lack the most, most first.
    pub directories: Vec<Gap>,
    /// How many more directories lack something.
    pub more: u64,
}

impl Gaps {
    /// What a mirror has not and need not have, for people.
    #[must_use]
    pub fn excused(&self) -> Option<String> {
        let told = |count: u64, bytes: u64, why: &str| {
            let what = if count == 1 { "file that is" } else { "files that are" };
            (count > 0).then(|| format!("{} {what} {why} ({})", grouped(count), ByteSize(bytes)))
        };
        let young = told(self.young, self.young_bytes, "too new for any mirror");
        let parts: Vec<String> =
            [young, told(self.beyond, self.beyond_bytes, "larger than it takes")].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// What a mirror lacks in one directory.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Gap {
    /// The directory, as people read it; empty: the root.
    pub directory: String,
    /// Whether nothing at all of it is there, and the counts are of all that is below it.
    pub whole: bool,
    /// Files that were not seen there.
    pub missing: u64,
    /// Files of which another copy is there.
    pub stale: u64,
    /// Some of them, as people read them.
    pub examples: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_nothing_all_is_held() {
        for (held, files, part) in [(0, 0, 1.0), (0, 3, 0.0), (1, 2, 0.5), (4, 3, 1.0)] {
            let share = Share { files, held, ..Share::default() };
            assert_eq!(share.of_files(), part, "{held} of {files}");
        }
    }
}
