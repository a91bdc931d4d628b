//! The mirrors as they are seen from one place: tiers of mirrors that are about as near, nearest first.

use std::sync::Arc;

use crate::model::ClientNetwork;

use super::draw::{Contender, Lot, Ranked, Ranking, draw_all, draw_few};
use super::nearness::Class;

/// The mirrors that may serve clients of one place, sorted into tiers. Small: four bytes a mirror, to be kept for many places.
#[derive(Clone, PartialEq, Debug)]
pub struct Tiers {
    contenders: Arc<[Contender]>,
    /// All mirrors, tier by tier; within a tier by name.
    slots: Box<[Slot]>,
    heads: Box<[Head]>,
}

/// Mirrors that are about as near: they share their clients by score.
#[derive(Clone, Copy, Debug)]
pub struct Tier<'a> {
    /// How they are related to the client.
    pub class: Class,
    /// Whether these are the mirrors of score 0, which come after all others.
    pub is_reserve: bool,
    slots: &'a [Slot],
}

/// A mirror in a tier.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Member {
    /// Its index in the list of mirrors.
    pub index: usize,
    /// As [`Nearness::distance_km`](super::Nearness::distance_km), in whole kilometres.
    pub distance_km: Option<f64>,
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
    /// As [`Member::distance_km`].
    pub distance_km: Option<f64>,
    /// What it drew: the greatest of a tier comes first.
    pub draw: f64,
}

impl Tiers {
    /// The best `wanted` mirrors for clients of this network out of those that are `usable` (by index), best first.
    ///
    /// Goes from tier to tier only as far as needed, and asks `usable` only of mirrors that would get a rank. Allocates nothing
    /// when at most [`Ranking::INLINE`] are wanted.
    #[must_use]
    pub fn draw(&self, network: ClientNetwork, mut usable: impl FnMut(usize) -> bool, wanted: usize) -> Ranking {
        let lot = Lot::new(network);
        let mut ranking = Ranking::default();
        for tier in self.iter() {
            let room = wanted - ranking.len();
            if room == 0 {
                break;
            }
            let push = |slot: Slot| ranking.push(slot.ranked(tier.class));
            if room <= Ranking::INLINE {
                draw_few(&self.contenders, tier.slots, lot, room, &mut usable, push);
            } else {
                draw_all(&self.contenders, tier.slots, lot, room, &mut usable, push);
            }
        }
        ranking
    }

    /// The whole order of one client network, best first, with what each mirror drew.
    #[must_use]
    pub fn drawn(&self, network: ClientNetwork) -> Vec<Drawn> {
        let lot = Lot::new(network);
        let tier_of = self.iter().enumerate().flat_map(|(number, tier)| tier.slots.iter().map(move |_| number));
        let order = self.draw(network, |_| true, self.slots.len());
        let rows = order.iter().zip(tier_of).enumerate();
        rows.map(|(rank, (ranked, tier))| Drawn {
            index: ranked.index,
            rank,
            tier,
            class: ranked.class,
            distance_km: ranked.distance_km,
            draw: self.contenders[ranked.index].time(lot).recip(),
        })
        .collect()
    }

    /// The tiers, nearest first.
    pub fn iter(&self) -> impl Iterator<Item = Tier<'_>> {
        let starts = std::iter::once(0).chain(self.heads.iter().map(|head| head.end));
        let spans = starts.zip(self.heads.iter());
        spans.map(|(start, head)| Tier {
            class: head.class,
            is_reserve: head.is_reserve,
            slots: &self.slots[start as usize..head.end as usize],
        })
    }

    /// How many mirrors may serve the place.
    #[must_use]
    pub fn mirror_count(&self) -> usize {
        self.slots.len()
    }
}

impl<'a> Tier<'a> {
    /// Its mirrors, by name.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Member> + use<'a> {
        self.slots.iter().map(|slot| Member { index: usize::from(slot.index), distance_km: slot.distance_km() })
    }
}

/// A mirror and its distance, packed: there are as many as mirrors for each cached place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slot {
    pub(super) index: u16,
    /// Whole kilometres; half round the Earth is 20,015. `u16::MAX`: unknown.
    km: u16,
}

impl Slot {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a distance on Earth")]
    pub(super) fn new(index: u16, km: Option<f64>) -> Self {
        Self { index, km: km.map_or(u16::MAX, |km| km.round() as u16) }
    }

    fn distance_km(self) -> Option<f64> {
        (self.km != u16::MAX).then_some(f64::from(self.km))
    }

    fn ranked(self, class: Class) -> Ranked {
        Ranked { index: usize::from(self.index), class, distance_km: self.distance_km() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Head {
    class: Class,
    is_reserve: bool,
    /// Where the tier ends in the slots; it starts where the one before ends.
    end: u32,
}

/// Collects mirrors, in the order of their names, and sorts them into tiers.
#[derive(Debug)]
pub(super) struct TiersBuilder {
    contenders: Arc<[Contender]>,
    entries: Vec<(Level, Slot)>,
}

/// What a tier is told by, and sorted by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Level {
    is_reserve: bool,
    stage: u8,
    rung: u16,
    class: Class,
}

impl TiersBuilder {
    pub(super) fn new(contenders: Arc<[Contender]>) -> Self {
        Self { entries: Vec::with_capacity(contenders.len()), contenders }
    }

    pub(super) fn add(&mut self, class: Class, rung: u16, is_reserve: bool, slot: Slot) {
        self.entries.push((Level { is_reserve, stage: class.stage(), rung, class }, slot));
    }

    pub(super) fn build(mut self) -> Tiers {
        self.entries.sort_by_key(|(level, _)| *level);
        let mut heads = Vec::new();
        let mut end = 0;
        for tier in self.entries.chunk_by(|(a, _), (b, _)| a == b) {
            let (level, _) = tier[0];
            end += u32::try_from(tier.len()).expect("a selector has at most 65,536 mirrors");
            heads.push(Head { class: level.class, is_reserve: level.is_reserve, end });
        }
        let slots = self.entries.iter().map(|(_, slot)| *slot).collect();
        Tiers { contenders: self.contenders, slots, heads: heads.into() }
    }
}
