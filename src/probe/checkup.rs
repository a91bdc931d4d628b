//! Now and then, it is tried what a mirror can do for clients, and what came of it is remembered.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Clock;
use crate::inventory::{self, Holdings, Inventory};
use crate::model::{BaseUrl, ByteSize, Checkup, FileRecord, FileState, Mirror, MirrorName, Ranges, Reached, Scheme, Trust};
use crate::scan::Clients;
use crate::scan::capacity::Trial;

/// Sizes at which servers fail, and the files that show it: what 31 bits can count, and what 32 can.
const STEPS: [(u64, RangeInclusive<u64>); 2] =
    [(1 << 31, (1 << 31) + 1..=1 << 32), (1 << 32, (1 << 32) + 1..=i64::MAX.cast_unsigned())];
/// Large files that are read from the inventory, to find one that the mirror holds.
const LARGE_FILES: usize = 1000;

/// What a check-up needs.
pub(super) struct Patient<'a> {
    pub(super) clients: &'a Clients,
    pub(super) inventory: &'a Inventory,
    pub(super) mirror: &'a Arc<Mirror>,
    pub(super) holdings: &'a Holdings,
    pub(super) timeout: Duration,
    pub(super) clock: &'a Clock,
}

/// What the last probe said about the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Certificate {
    /// The mirror has no `https`, or did not answer there.
    NotSeen,
    /// It is accepted.
    Trusted,
    /// It is not, for this reason.
    Refused(String),
}

impl Certificate {
    /// What it makes of what was known.
    pub(super) fn trust(&self, before: Trust) -> Trust {
        match self {
            Self::NotSeen => before,
            Self::Trusted => Trust::Trusted,
            Self::Refused(_) => Trust::Refused,
        }
    }
}

impl Patient<'_> {
    /// Tries everything. What can't be told now stays as it was.
    ///
    /// # Errors
    /// When the inventory can't be read.
    pub(super) async fn check_up(
        &self,
        files: &[FileRecord],
        certificate: &Certificate,
        before: Option<&Checkup>,
    ) -> Result<Checkup, inventory::Error> {
        let at = self.clock.now();
        let known = before.map(|before| before.abilities).unwrap_or_default();
        let (mut abilities, mut notes) = (known, Vec::new());
        abilities.certificate = certificate.trust(known.certificate);
        if let Certificate::Refused(reason) = certificate {
            notes.push(reason.clone());
        }
        let trial = self.trial();
        let bases = self.bases(abilities.certificate);
        if let Some(file) = files.iter().find(|file| file.fingerprint.size > 1) {
            abilities.ranges = or(trial.ranges(&bases, file).await, Ranges::Unknown, known.ranges);
        }
        if abilities.ranges == Ranges::Ignored {
            notes.push("sends whole files, or other parts, where parts are asked for".to_owned());
        }
        abilities.largest = self.try_large(&trial, &bases, known.largest, &mut notes).await?;
        let mut certificate_until = before.and_then(|before| before.certificate_until);
        if let Some(base) = bases.first() {
            let ([v4, v6], until) = trial.reached(base, files.first()).await;
            abilities.ipv4 = or(v4, Reached::Unknown, known.ipv4);
            abilities.ipv6 = or(v6, Reached::Unknown, known.ipv6);
            certificate_until = until.or(certificate_until);
        }
        Ok(Checkup { at, abilities, certificate_until, notes })
    }

    /// How something is tried.
    pub(super) fn trial(&self) -> Trial<'_> {
        Trial { clients: self.clients, mirror: self.mirror, timeout: self.timeout, clock: self.clock }
    }

    /// The URLs that clients are sent to.
    pub(super) fn bases(&self, certificate: Trust) -> Vec<&BaseUrl> {
        let bases = [&self.mirror.https, &self.mirror.http].into_iter().flatten();
        bases.filter(|base| base.scheme() != Scheme::Https || certificate != Trust::Refused).collect()
    }

    /// The size beyond which files do not come right, if there is one.
    async fn try_large(
        &self,
        trial: &Trial<'_>,
        bases: &[&BaseUrl],
        known: Option<u64>,
        notes: &mut Vec<String>,
    ) -> Result<Option<u64>, inventory::Error> {
        let mut largest = None;
        for (step, sizes) in STEPS {
            let files = self.inventory.large_files(sizes, LARGE_FILES).await?;
            let is_held = |file: &&FileRecord| file.state == FileState::Settled && self.holdings.contains(file.version);
            let Some(file) = files.iter().find(is_held) else {
                // A mirror that is no longer known to hold such a file keeps its name for it.
                largest = largest.or(known.filter(|known| *known == step));
                continue;
            };
            match trial.end_of(bases, file).await {
                Ok(true) => {}
                Ok(false) => largest = largest.or(known.filter(|known| *known == step)),
                Err(wrong) => {
                    notes.push(format!("files larger than {} do not come right: {wrong}", ByteSize(step)));
                    largest = largest.or(Some(step));
                }
            }
        }
        Ok(largest)
    }
}

/// What is new, unless that is nothing.
fn or<T: PartialEq>(new: T, nothing: T, known: T) -> T {
    if new == nothing { known } else { new }
}

/// Tells administrators what they should know of a check-up, once.
pub(super) fn tell(mirror: &MirrorName, before: Option<&Checkup>, after: &Checkup, now: Timestamp) {
    let known = before.map(|before| before.abilities).unwrap_or_default();
    let abilities = after.abilities;
    let notes = after.notes.join("; ");
    if abilities.certificate != known.certificate {
        match abilities.certificate {
            Trust::Refused => {
                tracing::warn!(%mirror, notes, "the certificate of a mirror is refused: no client is sent to its https URL")
            }
            Trust::Trusted if known.certificate == Trust::Refused => {
                tracing::info!(%mirror, "the certificate of a mirror is good again");
            }
            Trust::Trusted | Trust::Unknown => {}
        }
    }
    // Once a day: when the number of whole days becomes another one.
    let told = before.and_then(|before| before.ends_soon(before.at));
    if let Some(days) = after.ends_soon(now).filter(|days| told != Some(*days)) {
        tracing::warn!(%mirror, days, "the certificate of a mirror ends soon");
    }
    if abilities.ranges != known.ranges {
        match abilities.ranges {
            Ranges::Ignored => {
                tracing::info!(%mirror, "a mirror sends whole files, or other parts, where parts are asked for; who asks for parts is sent elsewhere")
            }
            Ranges::Kept if known.ranges == Ranges::Ignored => tracing::info!(%mirror, "a mirror sends parts of files again"),
            Ranges::Kept | Ranges::Unknown => {}
        }
    }
    if abilities.largest != known.largest {
        match abilities.largest {
            Some(_) => tracing::warn!(%mirror, notes, "a mirror can't send large files; who asks for them is sent elsewhere"),
            None => tracing::info!(%mirror, "a mirror sends large files again"),
        }
    }
    for (version, old, new) in [("IPv4", known.ipv4, abilities.ipv4), ("IPv6", known.ipv6, abilities.ipv6)] {
        if old != new {
            let (before, now) = (old.as_str(), new.as_str());
            tracing::info!(%mirror, version, before, now, "whether a mirror answers over a version of the Internet Protocol is news");
        }
    }
}
