//! Doubts about mirrors: what requests give away about mirrors, told to whoever asks them. Nothing here waits, and a request pays for one look into
//! a small table of numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::deciding::Errand;
use super::ranker::Ranked;
use crate::decide::{Decision, Standing, Why};
use crate::model::{ClientNetwork, MirrorName, Question, TreePath, VersionNumber};

/// Where doubts go, and what keeps them few.
#[derive(Debug)]
pub struct Doubts {
    questions: mpsc::Sender<Question>,
    /// Versions that were asked for of late.
    told: Box<[AtomicU64]>,
    /// Who was sent where for what, of late.
    sent: Box<[AtomicU64]>,
}

/// Versions that are remembered to have been told. Two that share a place are told in turn: that costs a little, and loses nothing.
const TOLD: usize = 1 << 10;
/// Redirects that are remembered: 128 KiB, which at ten redirects a second are half an hour.
const SENT: usize = 1 << 14;
/// The same is told again after so many seconds: the answer to a question takes about as long.
const AGAIN_SECONDS: u64 = 10;
/// Who comes back for the same file within so many seconds, and not at once, seems not to have got it. At once come programs that
/// open several connections.
const BACK_SECONDS: std::ops::RangeInclusive<u64> = 2..=300;

impl Doubts {
    /// They go to `questions`; when there is no room, they are dropped.
    #[must_use]
    pub fn new(questions: mpsc::Sender<Question>) -> Self {
        let table = |size: usize| (0..size).map(|_| AtomicU64::new(0)).collect();
        Self { questions, told: table(TOLD), sent: table(SENT) }
    }

    /// Takes from a request and its answer what they give away about mirrors: that no near one holds the file, or that the best one
    /// may be broken.
    pub(super) fn take(&self, errand: &Errand<'_>, standing: &Standing, decision: &Decision<Ranked, usize>, now: Timestamp) {
        match (decision, standing) {
            (Decision::Local(Why::NoMirror) | Decision::Fallback { .. }, Standing::Public { entry, .. }) => {
                self.unheld(errand.path, entry.version, now);
            }
            (Decision::Redirect { ranking, entry }, _) => {
                if ranking.is_far {
                    self.unheld(errand.path, entry.version, now);
                }
                // Parts of a file, and HEAD, come again as a matter of course.
                let is_whole = errand.is_get && !errand.has_range;
                if is_whole && let Some((best, state)) = ranking.best() {
                    let network = ClientNetwork::of(errand.client.address);
                    self.sent(network, (errand.path, entry.version), (best.index(), &state.mirror.name), now);
                }
            }
            _ => {}
        }
    }

    /// No mirror near the client holds this version.
    fn unheld(&self, path: &TreePath<'_>, version: VersionNumber, now: Timestamp) {
        if self.is_news(u64::from(version.0), now) {
            self.questions.try_send(Question::WhoHolds(path.clone().into_owned())).ok();
        }
    }

    /// A client of this network is sent to a mirror, known by its index, for all of a file.
    fn sent(
        &self,
        network: ClientNetwork,
        (path, version): (&TreePath<'_>, VersionNumber),
        (mirror, name): (usize, &MirrorName),
        now: Timestamp,
    ) {
        let key = mix(network.key() ^ mix(u64::from(version.0)));
        let place = &self.sent[(key % SENT as u64) as usize];
        let entry = Sent { tag: key >> 40, mirror: mirror as u64 & 0xffff, second: seconds(now) & 0xff_ffff };
        let before = Sent::from(place.swap(entry.into(), Ordering::Relaxed));
        let passed = entry.second.wrapping_sub(before.second) & 0xff_ffff;
        let is_back = before.tag == entry.tag && before.mirror == entry.mirror && BACK_SECONDS.contains(&passed);
        if is_back && self.is_news(key, now) {
            self.questions.try_send(Question::DoesHold(path.clone().into_owned(), name.clone())).ok();
        }
    }

    /// Whether this was not told just now.
    fn is_news(&self, key: u64, now: Timestamp) -> bool {
        let key = mix(key);
        let place = &self.told[(key % TOLD as u64) as usize];
        // The upper half tells which one it was, the lower half when.
        let (tag, second) = (key >> 32, seconds(now) & 0xffff_ffff);
        let before = place.load(Ordering::Relaxed);
        if before >> 32 == tag && second.wrapping_sub(before & 0xffff_ffff) & 0xffff_ffff < AGAIN_SECONDS {
            return false;
        }
        place.store(tag << 32 | second, Ordering::Relaxed);
        true
    }
}

/// A redirect in a number: 24 bits of who and what, 16 of where, 24 of when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sent {
    tag: u64,
    mirror: u64,
    second: u64,
}

impl From<Sent> for u64 {
    fn from(sent: Sent) -> Self {
        sent.tag << 40 | sent.mirror << 24 | sent.second
    }
}

impl From<u64> for Sent {
    fn from(number: u64) -> Self {
        Self { tag: number >> 40, mirror: number >> 24 & 0xffff, second: number & 0xff_ffff }
    }
}

fn seconds(now: Timestamp) -> u64 {
    now.as_second().unsigned_abs()
}

/// Makes each bit of the result hang on every bit of the number (the finaliser of MurmurHash3, 64 bits).
const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let number = (number ^ (number >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ (number >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("valid")
    }

    fn path() -> TreePath<'static> {
        TreePath::parse(&b"a.xo"[..]).expect("valid")
    }

    fn told(questions: &mut mpsc::Receiver<Question>) -> usize {
        std::iter::from_fn(|| questions.try_recv().ok()).count()
    }

    #[test]
    fn a_thousand_requests_for_one_version_are_few_hints() {
        let (sender, mut questions) = mpsc::channel(10_000);
        let doubts = Doubts::new(sender);
        for request in 0..1000 {
            doubts.unheld(&path(), VersionNumber(7), at(request / 100));
        }
        assert_eq!(told(&mut questions), 1, "within ten seconds");
        doubts.unheld(&path(), VersionNumber(7), at(10));
        doubts.unheld(&path(), VersionNumber(8), at(10));
        assert_eq!(told(&mut questions), 2, "later, and another one");
    }

    #[test]
    fn who_comes_back_soon_for_the_same_file_hints_at_the_mirror() {
        let (sender, mut questions) = mpsc::channel(10_000);
        let doubts = Doubts::new(sender);
        let network = |text: &str| ClientNetwork::of(text.parse().expect("an address"));
        let (here, there) = (network("192.0.2.1"), network("198.51.100.1"));
        let names = ["near", "far"].map(|name| MirrorName::parse(name).expect("valid"));
        let mut sent = |network, version, mirror: usize, second| {
            doubts.sent(network, (&path(), VersionNumber(version)), (mirror, &names[mirror]), at(second));
            let told = std::iter::from_fn(|| questions.try_recv().ok()).collect::<Vec<_>>();
            told.into_iter().next()
        };
        assert_eq!(sent(here, 7, 0, 0), None);
        assert_eq!(sent(here, 7, 0, 1), None, "at once: the same program");
        assert_eq!(sent(there, 7, 0, 5), None, "somebody else");
        assert_eq!(sent(here, 8, 0, 5), None, "something else");
        assert_eq!(sent(here, 7, 0, 30), Some(Question::DoesHold(path(), names[0].clone())));
        assert_eq!(sent(here, 7, 0, 33), None, "it was told just now");
        assert_eq!(sent(here, 7, 1, 60), None, "another mirror");
        assert_eq!(sent(here, 7, 1, 361), None, "too late");
        assert_eq!(sent(here, 7, 1, 400), Some(Question::DoesHold(path(), names[1].clone())));
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        for sent in [
            Sent { tag: 0, mirror: 0, second: 0 },
            Sent { tag: 0xff_ffff, mirror: 0xffff, second: 0xff_ffff },
            Sent { tag: 5, mirror: 6, second: 7 },
        ] {
            assert_eq!(Sent::from(u64::from(sent)), sent);
        }
    }
}
