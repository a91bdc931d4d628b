//! The mirrors as they are seen from one place: tiers of mirrors that are about as near, nearest first.

use std::sync::Arc;

use crate::model::ClientNetwork;

use super::draw::{Contender, Eligible, Lot, Ranked, Ranking, draw_all, draw_few};
use super::nearness::Class;

/// The mirrors that may serve clients of one place, sorted into tiers. Small: two bytes a mirror and four a tier, to be kept for many
/// places.
#[derive(Clone, PartialEq, Debug)]
pub struct Tiers {
    contenders: Arc<[Contender]>,
    /// For each tier where it ends among the mirrors, and its kind; then the mirrors, tier by tier, within a tier by name. All in one
    /// piece, as memory is what a look at it waits for.
    words: Box<[u16]>,
    count: usize,
}

/// Mirrors that are about as near: they share their clients by score.
#[derive(Clone, Copy, Debug)]
pub struct Tier<'a> {
    /// How they are related to the client.
    pub class: Class,
    /// Whether these are the mirrors of score 0, which come after all others.
    pub is_reserve: bool,
    members: &'a [u16],
}

/// A mirror in the whole order of one client network, as `explain` shows it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Drawn {
    /// Its index in the list of mirrors.
    pub index: usize,
    /// Its rank among all mirrors that may serve the place; 0 is the best.
    pub rank: usize,
    /// The number of its tier; 0 is the nearest.
    pub tier: usize,
    /// How it is related to the client.
    pub class: Class,
    /// What it drew: the greatest of a tier comes first.
    pub draw: f64,
}

impl Tiers {
    /// Sorts mirrors (by index), which come in the order of their names.
    pub(super) fn new(contenders: Arc<[Contender]>, leveled: impl Iterator<Item = (Level, u16)>) -> Self {
        let mut mirrors = Vec::with_capacity(contenders.len());
        // A number tells level and name at once, and is sorted in no time.
        let mut order = Vec::with_capacity(contenders.len());
        for (level, index) in leveled {
            order.push(u32::from(level.0) << u16::BITS | mirrors.len() as u32);
            mirrors.push(index);
        }
        order.sort_unstable();
        let level = |number: u32| (number >> u16::BITS) as u16;
        let is_last = |at: usize| order.get(at + 1).is_none_or(|next| level(*next) != level(order[at]));
        let count = (0..order.len()).filter(|at| is_last(*at)).count();
        let mut words = Vec::with_capacity(2 * count + order.len());
        for at in (0..order.len()).filter(|at| is_last(*at)) {
            words.extend([at as u16 + 1, level(order[at])]);
        }
        words.extend(order.iter().map(|number| mirrors[usize::from(*number as u16)]));
        Self { contenders, words: words.into(), count }
    }

    /// The best `wanted` mirrors for clients of this network out of those that are `usable` (by index), best first.
    #[must_use]
    pub fn draw(&self, network: ClientNetwork, mut usable: impl FnMut(usize) -> bool, wanted: usize) -> Ranking {
        self.draw_eligible(network, &mut usable, wanted)
    }

    /// The same out of those that are `eligible`.
    ///
    /// Goes from tier to tier only as far as needed, and asks only of mirrors that would get a rank. Allocates nothing
    /// when at most [`Ranking::INLINE`] are wanted.
    #[must_use]
    pub fn draw_eligible(&self, network: ClientNetwork, eligible: &mut impl Eligible, wanted: usize) -> Ranking {
        let lot = Lot::new(network);
        let mut ranking = Ranking::default();
        for tier in self.iter() {
            let room = wanted - ranking.len();
            if room == 0 {
                break;
            }
            let push = |index: u16| ranking.push(Ranked { index, class: tier.class });
            if room <= Ranking::INLINE {
                draw_few(&self.contenders, tier.members, lot, room, eligible, push);
            } else {
                draw_all(&self.contenders, tier.members, lot, room, eligible, push);
            }
        }
        ranking
    }

    /// The whole order of one client network, best first, with what each mirror drew.
    #[must_use]
    pub fn drawn(&self, network: ClientNetwork) -> Vec<Drawn> {
        let lot = Lot::new(network);
        let tier_of = self.iter().enumerate().flat_map(|(number, tier)| tier.members.iter().map(move |_| number));
        let order = self.draw(network, |_| true, self.mirror_count());
        let rows = order.iter().zip(tier_of).enumerate();
        rows.map(|(rank, (ranked, tier))| Drawn {
            index: ranked.index(),
            rank,
            tier,
            class: ranked.class,
            draw: self.contenders[ranked.index()].time(lot).recip(),
        })
        .collect()
    }

    /// The tiers, nearest first.
    pub fn iter(&self) -> impl Iterator<Item = Tier<'_>> {
        let (heads, members) = self.words.split_at(2 * self.count);
        let mut start = 0;
        heads.chunks_exact(2).map(move |head| {
            let (end, level) = (usize::from(head[0]), Level(head[1]));
            let tier = Tier { class: level.class(), is_reserve: level.is_reserve(), members: &members[start..end] };
            start = end;
            tier
        })
    }

    /// How many mirrors may serve the place.
    #[must_use]
    pub fn mirror_count(&self) -> usize {
        self.words.len() - 2 * self.count
    }
}

impl<'a> Tier<'a> {
    /// Its mirrors, as indices in the list of mirrors, by name.
    pub fn members(&self) -> impl ExactSizeIterator<Item = usize> + use<'a> {
        self.members.iter().map(|index| usize::from(*index))
    }
}

/// What a tier is told by, and sorted by: whether it is in reserve, the stage of its class, the rung, and the class, from the upper bit
/// to the lowest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Level(u16);

const CLASS_BITS: u32 = 3;
/// Prefixes of networks have up to 128 bits, and so has a network up to 129 rungs.
const RUNG_BITS: u32 = 8;
const STAGE_BITS: u32 = 3;

impl Level {
    pub(super) const fn new(is_reserve: bool, class: Class, rung: u8) -> Self {
        let upper = (is_reserve as u16) << STAGE_BITS | class.stage() as u16;
        Self(upper << (RUNG_BITS + CLASS_BITS) | (rung as u16) << CLASS_BITS | class as u16)
    }

    /// The same on another rung than 0.
    pub(super) const fn on_rung(self, rung: u8) -> Self {
        Self(self.0 | (rung as u16) << CLASS_BITS)
    }

    fn class(self) -> Class {
        Class::ALL[usize::from(self.0 & ((1 << CLASS_BITS) - 1))]
    }

    const fn is_reserve(self) -> bool {
        self.0 >> (STAGE_BITS + RUNG_BITS + CLASS_BITS) != 0
    }
}
