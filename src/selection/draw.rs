//! Who of the mirrors of one tier comes first for a client network? Weighted rendezvous hashing.
//!
//! Each mirror gets a number in (0, 1) from a hash of its name and the client's network, and with it a waiting time: the minus
//! logarithm of the number, divided by the score. The shortest wait wins. Such times are exponentially distributed, so a mirror
//! wins in proportion to its score; and as nobody's time hangs on another's, a mirror that leaves takes only its own clients
//! along. (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998; with weights: Schindelhauer and
//! Schomaker, "Weighted distributed hash tables", 2005.)

use std::hint::black_box;
use std::ops::Deref;

use crate::model::{ClientNetwork, Mirror};

use super::nearness::Class;

/// A mirror with its rank for one client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ranked {
    /// Small: rankings are handed on by value.
    pub(super) index: u16,
    /// How it is related to the client: the `why` of the answer.
    pub class: Class,
}

impl Ranked {
    /// Its index in the list of mirrors.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index as usize
    }
}

/// The usable mirrors for one request, best first.
#[derive(Clone, Debug)]
pub struct Ranking {
    few: [Ranked; Self::INLINE],
    count: usize,
    /// All of them, once there are more than fit into `few`.
    many: Vec<Ranked>,
}

impl Ranking {
    /// So many are kept without an allocation. Answers name 5 mirrors, and a list for people or programs more.
    pub const INLINE: usize = 16;

    pub(super) fn push(&mut self, ranked: Ranked) {
        if let Some(place) = self.few.get_mut(self.count) {
            *place = ranked;
        } else {
            if self.many.is_empty() {
                self.many.reserve(4 * Self::INLINE);
                self.many.extend_from_slice(&self.few);
            }
            self.many.push(ranked);
        }
        self.count += 1;
    }
}

impl Default for Ranking {
    fn default() -> Self {
        let nobody = Ranked { index: 0, class: Class::World };
        Self { few: [nobody; Self::INLINE], count: 0, many: Vec::new() }
    }
}

impl Deref for Ranking {
    type Target = [Ranked];

    fn deref(&self) -> &[Ranked] {
        if self.many.is_empty() { &self.few[..self.count] } else { &self.many }
    }
}

impl PartialEq for Ranking {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

/// A client network's part in the draw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lot(pub(super) u64);

impl Lot {
    pub(super) const fn new(network: ClientNetwork) -> Self {
        Self(mix(network.key()))
    }
}

/// A mirror's part in the draw.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Contender {
    /// From its name, so that its place in the configuration plays no role.
    seed: u64,
    /// 1 / score; 1 for score 0: those are drawn among themselves.
    slowness: f64,
}

impl Contender {
    pub(super) fn new(mirror: &Mirror) -> Self {
        Self { seed: mix(fnv1a(mirror.name.as_str().as_bytes())), slowness: f64::from(mirror.score.max(1)).recip() }
    }

    /// A number in (0, 1), never one of its ends: 52 bits of the hash, and a half.
    fn number(self, lot: Lot) -> f64 {
        const SCALE: f64 = 1.0 / (1_u64 << 52) as f64;
        ((mix(self.seed ^ lot.0) >> 12) as f64 + 0.5) * SCALE
    }

    /// The waiting time: positive and finite.
    pub(super) fn time(self, lot: Lot) -> f64 {
        -self.number(lot).ln() * self.slowness
    }
}

/// Says which mirrors may win.
pub trait Eligible {
    /// Whether a mirror, by its index, can serve the request.
    fn is_usable(&mut self, index: usize) -> bool;

    /// Reads what [`Self::is_usable`] will look at, without a branch on what is read, so that the waits for several mirrors are one. What comes
    /// back hangs on all that was read.
    fn touch(&self, _index: usize) -> u64 {
        0
    }
}

impl<F: FnMut(usize) -> bool> Eligible for F {
    fn is_usable(&mut self, index: usize) -> bool {
        self(index)
    }
}

/// Gives `push` the best `room` (at most [`Ranking::INLINE`]) usable mirrors of a tier, best first.
pub(super) fn draw_few(
    contenders: &[Contender],
    tier: &[u16],
    lot: Lot,
    room: usize,
    eligible: &mut impl Eligible,
    mut push: impl FnMut(u16),
) {
    if let [only] = tier {
        if eligible.is_usable(usize::from(*only)) {
            push(*only);
        }
        return;
    }
    // Whether a mirror is usable is asked of as few as may be: for that, memory is looked at that nothing else looks at.
    let first = Fastest::of(contenders, tier, lot, Ranking::INLINE.min(room + SPARE), |_| true);
    black_box(first.iter().take(room).fold(0, |sum, index| sum ^ eligible.touch(usize::from(index))));
    let mut found = 0;
    for index in first.iter().filter(|index| eligible.is_usable(usize::from(*index))).take(room) {
        push(index);
        found += 1;
    }
    if found < room && first.count < tier.len() {
        let is_other = |index: u16| first.iter().all(|tried| tried != index) && eligible.is_usable(usize::from(index));
        Fastest::of(contenders, tier, lot, room - found, is_other).iter().for_each(push);
    }
}

/// How many are drawn besides those that there is room for: some of the first are not usable, but rarely more.
const SPARE: usize = 2;

/// The fastest of a tier.
struct Fastest {
    best: [(f64, u16); Ranking::INLINE],
    count: usize,
}

impl Fastest {
    /// The `room` (at most [`Ranking::INLINE`]) fastest that are `wanted`.
    fn of(contenders: &[Contender], tier: &[u16], lot: Lot, room: usize, mut wanted: impl FnMut(u16) -> bool) -> Self {
        let (mut best, mut count) = ([(0.0, 0); Ranking::INLINE], 0);
        for index in tier {
            let contender = contenders[usize::from(*index)];
            let number = contender.number(lot);
            let slowest = if count == room { best[count - 1].0 } else { f64::INFINITY };
            // -ln(x) is at least 1 - x: most of a large tier is told to be too slow without a logarithm.
            if (1.0 - number) * contender.slowness >= slowest {
                continue;
            }
            let time = contender.time(lot);
            if time >= slowest || !wanted(*index) {
                continue;
            }
            let place = best[..count].partition_point(|(other, _)| *other <= time);
            count = room.min(count + 1);
            best.copy_within(place..count - 1, place + 1);
            best[place] = (time, *index);
        }
        Self { best, count }
    }

    fn iter(&self) -> impl Iterator<Item = u16> {
        self.best[..self.count].iter().map(|(_, index)| *index)
    }
}

/// The same for any `room`, with an allocation.
pub(super) fn draw_all(
    contenders: &[Contender],
    tier: &[u16],
    lot: Lot,
    room: usize,
    eligible: &mut impl Eligible,
    push: impl FnMut(u16),
) {
    let mut times: Vec<(f64, u16)> = Vec::with_capacity(tier.len());
    let usable = tier.iter().filter(|index| eligible.is_usable(usize::from(**index)));
    times.extend(usable.map(|index| (contenders[usize::from(*index)].time(lot), *index)));
    times.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    times.into_iter().take(room).map(|(_, index)| index).for_each(push);
}

/// FNV-1a, 64 bits: names to numbers, the same on every machine and in every release. `mix` makes them look random.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Makes each bit of the result hang on every bit of the number: the finaliser of splitmix64 (Steele, Lea and Flood, 2014;
/// constants by David Stafford, "Mix13").
pub(super) const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
