//! The threads that hash: how many there are, and how many of them have nothing of their own to do and can help with a
//! large file.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

/// How many threads may hash at a time, all files together. Clones count together.
#[derive(Debug, Clone)]
pub struct Crew {
    /// Below zero where more have something to do than should.
    idle: Arc<AtomicIsize>,
}

/// Threads that help, or have something of their own to do, until this is dropped.
#[derive(Debug)]
pub struct Help<'a> {
    crew: &'a Crew,
    count: isize,
}

impl Crew {
    /// A crew of so many that have nothing to do yet.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { idle: Arc::new(AtomicIsize::new(signed(threads))) }
    }

    /// Nobody ever helps.
    #[must_use]
    pub fn alone() -> Self {
        Self::new(0)
    }

    /// As many as are idle, and at most `most`.
    #[must_use]
    pub fn borrow(&self, most: usize) -> Help<'_> {
        let count = |idle: isize| idle.clamp(0, signed(most));
        let before = self.idle.fetch_update(Ordering::AcqRel, Ordering::Acquire, |idle| Some(idle - count(idle)));
        Help { crew: self, count: before.map_or(0, count) }
    }

    /// One has something to do, whether or not it was idle.
    #[must_use]
    pub fn occupy(&self) -> Help<'_> {
        self.idle.fetch_sub(1, Ordering::AcqRel);
        Help { crew: self, count: 1 }
    }
}

impl Help<'_> {
    /// How many help.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count.unsigned_abs()
    }
}

impl Drop for Help<'_> {
    fn drop(&mut self) {
        self.crew.idle.fetch_add(self.count, Ordering::AcqRel);
    }
}

fn signed(number: usize) -> isize {
    isize::try_from(number).unwrap_or(isize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_idle_helps_once_at_a_time() {
        let crew = Crew::new(5);
        let three = crew.borrow(3);
        let two = crew.clone();
        let two = two.borrow(9);
        assert_eq!((three.count(), two.count(), crew.borrow(1).count()), (3, 2, 0));
        drop(three);
        assert_eq!(crew.borrow(9).count(), 3);
        drop(two);
        assert_eq!(crew.borrow(9).count(), 5);
        let own = [(); 6].map(|()| crew.occupy());
        assert_eq!(crew.borrow(9).count(), 0);
        drop(own);
        assert_eq!(crew.borrow(9).count(), 5);
    }
}
