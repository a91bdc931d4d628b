//! Samples drawn by lot.

use super::ground::Sought;
use crate::model::TreePath;
use std::collections::BinaryHeap;

/// A sample drawn by lot, the lots being hashes of the versions' numbers: the same for the same files, and nothing that a mirror could
/// foresee, which does not know the numbers.
#[derive(Debug)]
pub(super) struct Lots {
    wanted: usize,
    /// Another one draws others.
    salt: u64,
    heap: BinaryHeap<Lot>,
}

#[derive(Debug)]
struct Lot {
    number: u64,
    path: TreePath<'static>,
    sought: Sought,
}

impl PartialEq for Lot {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Lot {}

impl PartialOrd for Lot {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Lot {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.number.cmp(&other.number)
    }
}

impl Lots {
    /// Draws so many.
    pub(super) const fn new(wanted: usize, salt: u64) -> Self {
        Self { wanted, salt, heap: BinaryHeap::new() }
    }

    /// Keeps the lowest lots.
    pub(super) fn put(&mut self, path: &TreePath<'_>, sought: Sought) {
        let number = siphasher::sip::SipHasher13::new_with_keys(self.salt, 0).hash(&sought.version.0.to_le_bytes());
        if self.heap.len() >= self.wanted && self.heap.peek().is_none_or(|highest| highest.number <= number) {
            return;
        }
        self.heap.push(Lot { number, path: path.clone().into_owned(), sought });
        if self.heap.len() > self.wanted {
            self.heap.pop();
        }
    }

    /// Whether as many as wanted were put in.
    pub(super) fn is_full(&self) -> bool {
        self.heap.len() >= self.wanted
    }

    /// What was drawn.
    pub(super) fn drawn(&self) -> Vec<(TreePath<'static>, Sought)> {
        self.heap.iter().map(|lot| (lot.path.clone(), lot.sought)).collect()
    }
}
