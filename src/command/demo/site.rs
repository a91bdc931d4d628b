//! The demo's files: a small activity library with real names and sizes, and what each of its mirrors has of it.

use std::fs::{self, File, FileTimes};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

/// Real activities: add-on id, status (P public, E experimental), file name, bytes.
const ACTIVITIES: &str = include_str!("activities.tsv");

/// One file of the library.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activity {
    pub(super) id: &'static str,
    pub(super) is_public: bool,
    pub(super) file: &'static str,
    pub(super) bytes: u64,
}

impl Activity {
    /// Its path below the prefix.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.id, self.file)
    }
}

/// What a mirror of the demo has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    /// Everything.
    Complete,
    /// Every second activity.
    Partial,
    /// Everything, but of every third activity an older upload of the same name.
    Stale,
    /// Nothing that can be read: its server answers 500.
    Failing,
}

impl Contents {
    /// Whether the mirror has the present version of the activity at this place in the list.
    pub(super) const fn has(self, index: usize) -> bool {
        match self {
            Self::Complete => true,
            Self::Partial => index.is_multiple_of(2),
            Self::Stale => !index.is_multiple_of(3),
            Self::Failing => false,
        }
    }
}

/// The library on disk.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) public: PathBuf,
    pub(super) application: PathBuf,
    /// In the public tree and older than 30 minutes, most downloaded first.
    pub(super) published: Vec<Activity>,
    /// In the public tree since now.
    pub(super) young: Activity,
    /// In the application tree only.
    pub(super) experimental: Activity,
}

/// When the published activities were uploaded, before now.
const AGE: Duration = Duration::from_secs(30 * 86_400);
/// When the older uploads on a stale mirror were made, before now.
const STALE_AGE: Duration = Duration::from_secs(60 * 86_400);

/// Writes the trees below `folder`.
pub(super) fn build(folder: &Path, now: Timestamp) -> io::Result<Site> {
    let (public, application) = (folder.join("public"), folder.join("application"));
    let (mut published, experimental): (Vec<Activity>, Vec<Activity>) = activities().partition(|activity| activity.is_public);
    let young = published.pop().ok_or_else(|| io::Error::other("the list of activities is empty"))?;
    let uploaded = SystemTime::from(now) - AGE;
    for activity in &published {
        let file = write(&application, activity, 0, uploaded)?;
        link(&file, &public.join(activity.path()))?;
    }
    for activity in &experimental {
        write(&application, activity, 0, uploaded)?;
    }
    write(&public, &young, 0, now.into())?;
    let experimental = *experimental.first().ok_or_else(|| io::Error::other("the list has no experimental activity"))?;
    Ok(Site { public, application, published, young, experimental })
}

impl Site {
    /// Writes what a mirror has into `folder`; equal files are hard links, so that the demo needs little room.
    pub(super) fn copy_to(&self, folder: &Path, contents: Contents, now: Timestamp) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        for (index, activity) in self.published.iter().enumerate() {
            if contents.has(index) {
                link(&self.public.join(activity.path()), &folder.join(activity.path()))?;
            } else if contents == Contents::Stale {
                let older = Activity { bytes: activity.bytes - activity.bytes / 8, ..*activity };
                write(folder, &older, 1, SystemTime::from(now) - STALE_AGE)?;
            }
        }
        Ok(())
    }
}

fn activities() -> impl Iterator<Item = Activity> {
    ACTIVITIES.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut fields = line.split('\t');
        let (id, status, file, bytes) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
        Some(Activity { id, is_public: status == "P", file, bytes })
    })
}

fn link(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::hard_link(from, to)
}

/// Writes a file of the right size with bytes that look random and are the same each time.
fn write(tree: &Path, activity: &Activity, edition: u64, modified: SystemTime) -> io::Result<PathBuf> {
    let path = tree.join(activity.path());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut out = BufWriter::new(File::create(&path)?);
    let seed = activity.file.bytes().fold(edition.wrapping_add(0x9E37_79B9_7F4A_7C15), |seed, byte| {
        (seed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    let mut state = seed | 1;
    let mut left = activity.bytes;
    while left > 0 {
        // xorshift64 (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = state.to_le_bytes();
        let count = usize::try_from(left.min(8)).unwrap_or(8);
        out.write_all(&word[..count])?;
        left -= count as u64;
    }
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.set_times(FileTimes::new().set_modified(modified))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_has_real_sizes_and_each_mirror_what_it_should() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let site = build(folder.path(), now).unwrap();
        assert!(site.published.len() > 50);
        let size = |tree: &Path, activity: &Activity| fs::metadata(tree.join(activity.path())).map(|m| m.len()).ok();
        for activity in &site.published {
            assert_eq!(size(&site.public, activity), Some(activity.bytes));
        }
        assert_eq!(size(&site.public, &site.experimental), None);
        assert_eq!(size(&site.application, &site.experimental), Some(site.experimental.bytes));
        for contents in [Contents::Complete, Contents::Partial, Contents::Stale] {
            let mirror = folder.path().join(format!("{contents:?}"));
            site.copy_to(&mirror, contents, now).unwrap();
            for (index, activity) in site.published.iter().enumerate() {
                assert_eq!(size(&mirror, activity) == Some(activity.bytes), contents.has(index), "{contents:?} {activity:?}");
            }
        }
    }
}
