//! The one decision: from what is known about a request to the kind of answer, with the reason.
//!
//! Pure. Who asks looks at the tree and the snapshot first and passes what was found; ranking mirrors is passed as a
//! function, because most of its work is wasted where no mirror may be used.

mod keep;

use std::time::Duration;

use crate::inventory::FileEntry;
use crate::model::{ByteSize, FileState, Fingerprint, Span};

pub use keep::{Keep, Metadata, Request, Settings};

/// What an instance's configuration says about when mirrors may be used.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How long a version stays home after it became public.
    pub min_age: Duration,
    /// Smaller files stay home. Bytes.
    pub min_size: u64,
    /// Which files, and whose, stay home besides.
    pub keep: Keep,
}

impl Rules {
    /// The rules as the configuration writes them, without those of `[keep]`.
    #[must_use]
    pub fn new(min_age: Span, min_size: ByteSize) -> Self {
        Self { min_age: min_age.0, min_size: min_size.0, keep: Keep::default() }
    }

    fn min_age_seconds(&self) -> i64 {
        i64::try_from(self.min_age.as_secs()).unwrap_or(i64::MAX)
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
    NotIndexed {
        /// How it looks.
        seen: Fingerprint,
    },
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
pub enum Decision<R, F> {
    /// To a mirror: 302.
    Redirect {
        /// The mirrors, best first.
        ranking: R,
        /// The version that they hold.
        entry: FileEntry,
    },
    /// To a fallback mirror, since no mirror can: 302.
    Fallback {
        /// The fallback mirror.
        to: F,
        /// How many bytes the file has.
        size: u64,
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
    /// `keep.paths` names it.
    KeptPath,
    /// `keep.types` names its media type.
    KeptType,
    /// `keep.user-agents` names who asks.
    KeptUserAgent,
    /// `keep.networks` has the client.
    KeptNetwork,
    /// It describes a repository, and is to agree with the other files that do.
    Metadata,
}

impl Why {
    /// Every reason, in the order of the numbers that [`Why::index`] gives.
    pub const ALL: [Self; 12] = [
        Self::Young,
        Self::NotPublic,
        Self::NoMirror,
        Self::Changing,
        Self::Unconfirmed,
        Self::TooSmall,
        Self::NotIndexed,
        Self::KeptPath,
        Self::KeptType,
        Self::KeptUserAgent,
        Self::KeptNetwork,
        Self::Metadata,
    ];

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
            Self::KeptPath => "kept-path",
            Self::KeptType => "kept-type",
            Self::KeptUserAgent => "kept-user-agent",
            Self::KeptNetwork => "kept-network",
            Self::Metadata => "metadata",
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
/// `rank` is asked only where a mirror may be used; `None` means that no mirror can. `fall_back` is asked only then.
pub fn decide<R, F>(
    standing: Standing,
    rules: &Rules,
    request: &Request<'_>,
    now: i64,
    (rank, fall_back): (impl FnOnce(&FileEntry) -> Option<R>, impl FnOnce() -> Option<F>),
) -> Decision<R, F> {
    let (entry, as_recorded) = match standing {
        Standing::Held => return Decision::Gone,
        Standing::Hidden | Standing::Absent => return Decision::NotFound,
        Standing::Away => return Decision::Unavailable,
        Standing::Directory => return Decision::Index,
        Standing::NotPublic => return Decision::Local(Why::NotPublic),
        Standing::NotIndexed { seen } => return not_indexed(&seen, rules, request, now, fall_back),
        Standing::Public { entry, as_recorded } => (entry, as_recorded),
    };
    if let Some(why) = reason_to_stay_home(&entry, as_recorded, rules, now).or_else(|| rules.keep.why(request)) {
        return Decision::Local(why);
    }
    if let Some(ranking) = rank(&entry) {
        return Decision::Redirect { ranking, entry };
    }
    match fall_back() {
        Some(to) => Decision::Fallback { to, size: entry.size },
        None => Decision::Local(Why::NoMirror),
    }
}

/// No mirror is known to hold a file that is in no inventory, as after the loss of the database. A fallback mirror may have
/// it, if it is old enough by what the file system alone tells: nobody can set a ctime back.
fn not_indexed<R, F>(
    seen: &Fingerprint,
    rules: &Rules,
    request: &Request<'_>,
    now: i64,
    fall_back: impl FnOnce() -> Option<F>,
) -> Decision<R, F> {
    let changed = seen.mtime_ns.max(seen.ctime_ns).div_euclid(1_000_000_000);
    let is_old = now.saturating_sub(changed) >= rules.min_age_seconds().max(SURELY_WRITTEN);
    let may_leave = is_old && seen.size >= rules.min_size && rules.keep.why(request).is_none();
    match may_leave.then(fall_back).flatten() {
        Some(to) => Decision::Fallback { to, size: seen.size },
        None => Decision::Local(Why::NotIndexed),
    }
}

/// How long a file that nobody has watched must have stood still to count as written. Seconds.
const SURELY_WRITTEN: i64 = 60;

/// Why no mirror may be used for this file of the public tree, whatever mirrors hold; `None` if one may.
#[must_use]
pub fn reason_to_stay_home(entry: &FileEntry, as_recorded: bool, rules: &Rules, now: i64) -> Option<Why> {
    if !as_recorded || entry.state == FileState::Changing {
        Some(Why::Changing)
    } else if now.saturating_sub(entry.public_since) < rules.min_age_seconds() {
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
    use crate::inventory::trail::Copies;
    use crate::model::{TreePath, VersionNumber};

    const DAY: i64 = 86_400;

    fn decided(standing: Standing, rules: &Rules, now: i64) -> Decision<(), &'static str> {
        let path = TreePath::parse(&b"a.iso"[..]).expect("a path");
        let request =
            Request { path: &path, address: [192, 0, 2, 1].into(), user_agent: None, media_type: |_| "application/x-iso" };
        decide(standing, rules, &request, now, (|_: &FileEntry| None, || Some("fallback")))
    }

    #[test]
    fn a_fallback_takes_only_what_is_public_and_old_enough() {
        let rules = Rules::new(Span(Duration::from_secs(1800)), ByteSize(100));
        let second = 1_000_000_000;
        let seen = |age: i64, size| Fingerprint { size, mtime_ns: 0, ctime_ns: (DAY - age) * second, inode: 1 };
        let entry = |age: i64, size, state| {
            FileEntry::new(VersionNumber(1), &seen(0, size), Copies::from(0), (DAY - age) * second, state, None)
        };
        let public = |age, size, state| Standing::Public { entry: entry(age, size, state), as_recorded: true };
        let to = |size| Decision::Fallback { to: "fallback", size };
        for (standing, expected) in [
            (public(3600, 500, FileState::Settled), to(500)),
            (public(60, 500, FileState::Settled), Decision::Local(Why::Young)),
            (public(3600, 50, FileState::Settled), Decision::Local(Why::TooSmall)),
            (public(3600, 500, FileState::Unconfirmed), Decision::Local(Why::Unconfirmed)),
            (public(3600, 500, FileState::Changing), Decision::Local(Why::Changing)),
            (Standing::NotIndexed { seen: seen(3600, 500) }, to(500)),
            (Standing::NotIndexed { seen: seen(60, 500) }, Decision::Local(Why::NotIndexed)),
            (Standing::NotIndexed { seen: seen(3600, 50) }, Decision::Local(Why::NotIndexed)),
            (Standing::NotPublic, Decision::Local(Why::NotPublic)),
            (Standing::Held, Decision::Gone),
            (Standing::Hidden, Decision::NotFound),
        ] {
            assert_eq!(decided(standing, &rules, DAY), expected, "{standing:?}");
        }
        let kept = Settings { paths: vec!["*.iso".to_owned()], ..Settings::default() };
        let rules = Rules { keep: Keep::new(&kept, Vec::new()).expect("rules"), ..rules };
        assert_eq!(decided(public(3600, 500, FileState::Settled), &rules, DAY), Decision::Local(Why::KeptPath));
        let standing = Standing::NotIndexed { seen: seen(3600, 500) };
        assert_eq!(decided(standing, &rules, DAY), Decision::Local(Why::NotIndexed));
    }

    #[test]
    fn reasons_are_numbered_as_they_are_listed() {
        for (index, why) in Why::ALL.into_iter().enumerate() {
            assert_eq!(why.index(), index);
        }
    }
}
