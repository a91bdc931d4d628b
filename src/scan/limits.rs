//! What one mirror may cost: every limit of a scan, with the reason for its number.

use std::time::Duration;

use crate::tree::MAX_DEPTH;

/// Limits on one scan of one mirror. Not in the configuration: nobody should have to know them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one page, unpacked: a directory of 200,000 files in Apache's wordiest form.
    pub page_bytes: usize,
    /// Bytes of all pages, unpacked: a tree of 20 million files.
    pub total_bytes: u64,
    /// Directories below one another: as deep as the public tree is indexed, so that no file of it is passed over.
    pub depth: usize,
    /// Entries in all, ours and others': three times the largest tree that this program is made for.
    pub entries: u64,
    /// How long one scan may take: enough for a million questions at 50 ms over four connections, and few enough hours that
    /// slow mirrors don't keep the others waiting for a day.
    pub duration: Duration,
    /// Redirects for one question: as many as browsers of old followed.
    pub redirects: usize,
    /// Second tries after a failure that may pass.
    pub retries: u32,
    /// The wait before the first second try; it doubles for each further one.
    pub back_off: Duration,
    /// The longest single wait that a server may ask for (`Retry-After`): beyond it, the next scan is soon enough.
    pub pause: Duration,
    /// All waits together that a server may ask for in one scan.
    pub patience: Duration,
    /// Failed questions in a row after which a mirror is not asked any more: it went away in the middle.
    pub failures_in_a_row: u32,
    /// After how many scans a directory is read and judged anew, whatever its validators and times say: twice a day, with a scan an
    /// hour. With 1, nothing is remembered.
    pub reread: u64,
    /// How many of the files that seem to be gone are asked for one by one before anything is taken away. With 32, a mirror
    /// that still has a tenth of them is found out in 29 of 30 cases.
    pub sample: usize,
    /// Files whose names listings tend to leave out (dot files) that are asked for one by one.
    pub unlisted: usize,
    /// Directories without a listing whose files are asked for one by one.
    pub blind: usize,
    /// Confirmed files of a mirror that lists nothing, so few that all of them are asked for each time: it takes seconds.
    pub heads: u64,
    /// In so many scans, each confirmed file of such a mirror is asked for once: with a scan an hour, in a day. A probe a minute
    /// watches over it meanwhile.
    pub turns: u32,
    /// Changed paths that a report names; beyond them it counts.
    pub told: usize,
    /// How far a mirror's clock may be off before its times are no evidence: more than any time zone.
    pub clock: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            page_bytes: 32 << 20,
            total_bytes: 4 << 30,
            depth: MAX_DEPTH,
            entries: 30_000_000,
            duration: Duration::from_secs(4 * 3600),
            redirects: 5,
            retries: 2,
            back_off: Duration::from_millis(500),
            pause: Duration::from_secs(60),
            patience: Duration::from_secs(300),
            failures_in_a_row: 20,
            reread: 12,
            sample: 32,
            unlisted: 1000,
            blind: 10_000,
            heads: 1000,
            turns: 24,
            told: 1000,
            clock: Duration::from_secs(36 * 3600),
        }
    }
}
