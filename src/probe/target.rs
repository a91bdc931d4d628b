//! What to ask a mirror for: a file that it should hold, another one each time.

use std::hash::{Hash, Hasher};

use crate::inventory::{self, Holdings, Inventory};
use crate::model::{FileRecord, FileState, TreePath};

/// Files that a probe asks for: the second is asked for when the first one is not there.
const WANTED: usize = 2;
/// Files read from the inventory at once.
const PAGE: usize = 500;
/// Pages read for one probe. A mirror that holds few files of many is asked for its base URL when these show none of them, and the
/// next probe goes on from there.
const PAGES: usize = 4;
/// Sizes that say most: smaller files are often pages or stamps that a front answers from memory, larger ones live on other disks.
const TELLING: std::ops::RangeInclusive<u64> = 4 << 10..=64 << 20;

/// Where the last choice among a mirror's files ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Cursor {
    after: Option<TreePath<'static>>,
    round: u64,
}

impl Cursor {
    /// Chooses files out of what the mirror holds, going round through the tree.
    ///
    /// # Errors
    /// When the inventory can't be read.
    pub(super) async fn choose(
        &mut self,
        inventory: &Inventory,
        holdings: &Holdings,
    ) -> Result<Vec<FileRecord>, inventory::Error> {
        self.round += 1;
        let mut held: Vec<FileRecord> = Vec::new();
        for _ in 0..PAGES {
            if holdings.is_empty() || held.iter().filter(|file| is_telling(file)).count() >= WANTED {
                break;
            }
            let page = inventory.files(TreePath::root(), self.after.take(), PAGE).await?;
            self.after = page.last().filter(|_| page.len() == PAGE).map(|file| file.path.clone());
            held.extend(page.into_iter().filter(|file| holdings.contains(file.version) && file.state == FileState::Settled));
        }
        held.sort_by_cached_key(|file| (!is_telling(file), self.lot(&file.path)));
        held.dedup_by(|a, b| a.path == b.path);
        held.truncate(WANTED);
        Ok(held)
    }

    /// Another order in each round, so that neighbours of a page get their turn.
    fn lot(&self, path: &TreePath<'_>) -> u64 {
        let mut hasher = siphasher::sip::SipHasher13::new_with_keys(self.round, 0);
        path.as_bytes().hash(&mut hasher);
        hasher.finish()
    }
}

fn is_telling(file: &FileRecord) -> bool {
    TELLING.contains(&file.fingerprint.size)
}
