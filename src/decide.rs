//! The one decision: from what is known about a request to the kind of answer, with the reason.
//!
//! Pure. Who asks looks at the tree and the snapshot first and passes what was found; ranking mirrors is passed as a
//! function, because most of its work is wasted where no mirror may be used.

use std::time::Duration;

use crate::inventory::FileEntry;
use crate::model::{ByteSize, FileState, Span};

/// What an instance's configuration says about when mirrors may be used.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How long a version stays home after it became public.
    pub min_age: Duration,
    /// Smaller files stay home. Bytes.
    pub min_size: u64,
}

impl Rules {
    /// The rules as the configuration writes them.
    #[must_use]
    pub const fn new(min_age: Span, min_size: ByteSize) -> Self {
        Self { min_age: min_age.0, min_size: min_size.0 }
    }
}

/// What trees, holds and snapshot say about the requested path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// An administrator ordered not to hand it out.
    Held,
    /// Its name is one that nobody is shown.
    Hidden,
    /// The tree in which it would be is not there.
    Away,
    /// No tree has it.
    Absent,
    /// A directory.
    Directory,
    /// A file that only the application tree has.
    NotPublic,
    /// A file of the public tree that is not in the inventory yet.
    NotIndexed,
    /// A file of the public tree, and what the inventory knows of it.
    Public {
        /// The inventory's entry.
        entry: FileEntry,
        /// Whether the file is now as the entry says.
        as_recorded: bool,
    },
}

/// The kind of answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<R> {
    /// To a mirror: 302.
    Redirect {
        /// The mirrors, best first.
        ranking: R,
        /// The version that they hold.
        entry: FileEntry,
    },
    /// The file itself.
    Local(Why),
    /// A list of what is in the directory.
    Index,
    /// 404.
    NotFound,
    /// 410.
    Gone,
    /// 503.
    Unavailable,
}

/// Why a file is served from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// Its version became public less than `min-age` ago.
    Young,
    /// Only the application tree has it.
    NotPublic,
    /// No mirror that this client may use is known to hold its version.
    NoMirror,
    /// It is being written, or is not as it was when last looked at.
    Changing,
    /// It was written again with the same size; whether its content is the same is not known yet.
    Unconfirmed,
    /// It is smaller than `min-size`.
    TooSmall,
    /// It is new, and not in the inventory yet.
    NotIndexed,
}

impl Why {
    /// Every reason, in the order of the numbers that [`Why::index`] gives.
    pub const ALL: [Self; 7] =
        [Self::Young, Self::NotPublic, Self::NoMirror, Self::Changing, Self::Unconfirmed, Self::TooSmall, Self::NotIndexed];

    /// The word for it in headers, metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Young => "young",
            Self::NotPublic => "not-public",
            Self::NoMirror => "no-mirror",
            Self::Changing => "changing",
            Self::Unconfirmed => "unconfirmed",
            Self::TooSmall => "too-small",
            Self::NotIndexed => "not-indexed",
        }
    }

    /// Its place in [`Why::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Decides what is answered at `now` (seconds since 1970).
///
/// `rank` is asked only where a mirror may be used; `None` means that no mirror can.
pub fn decide<R>(standing: Standing, rules: Rules, now: i64, rank: impl FnOnce(&FileEntry) -> Option<R>) -> Decision<R> {
    let (entry, as_recorded) = match standing {
        Standing::Held => return Decision::Gone,
        Standing::Hidden | Standing::Absent => return Decision::NotFound,
        Standing::Away => return Decision::Unavailable,
        Standing::Directory => return Decision::Index,
        Standing::NotPublic => return Decision::Local(Why::NotPublic),
        Standing::NotIndexed => return Decision::Local(Why::NotIndexed),
        Standing::Public { entry, as_recorded } => (entry, as_recorded),
    };
    match reason_to_stay_home(&entry, as_recorded, rules, now) {
        Some(why) => Decision::Local(why),
        None => match rank(&entry) {
            Some(ranking) => Decision::Redirect { ranking, entry },
            None => Decision::Local(Why::NoMirror),
        },
    }
}

/// Why no mirror may be used for this file of the public tree, whatever mirrors hold; `None` if one may.
#[must_use]
pub fn reason_to_stay_home(entry: &FileEntry, as_recorded: bool, rules: Rules, now: i64) -> Option<Why> {
    let min_age = i64::try_from(rules.min_age.as_secs()).unwrap_or(i64::MAX);
    if !as_recorded || entry.state == FileState::Changing {
        Some(Why::Changing)
    } else if now.saturating_sub(entry.public_since) < min_age {
        Some(Why::Young)
    } else if entry.state == FileState::Unconfirmed {
        Some(Why::Unconfirmed)
    } else if entry.size < rules.min_size {
        Some(Why::TooSmall)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_numbered_as_they_are_listed() {
        for (index, why) in Why::ALL.into_iter().enumerate() {
            assert_eq!(why.index(), index);
        }
    }
}
