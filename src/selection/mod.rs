//! Which mirrors can serve a request, and in which order: pure.
//!
//! Three questions, one file each: may this mirror be used at all (`eligible`), how near is it to the client (`nearness`), and
//! who of the mirrors that are about as near comes first (`draw`). The [`Selector`] sorts the mirrors into [`Tiers`] for a place
//! once; a request then draws from the tiers, nearest first, until it has enough.

mod draw;
mod eligible;
mod fallback;
mod nearness;
mod networks;
mod selector;
mod tiers;

pub use draw::{Ranked, Ranking};
pub use eligible::{Refusal, Request, refusal, refusal_of_place, refusal_of_request};
pub use fallback::{Fallback, fall_back};
pub use nearness::Class;
pub use selector::{Nearness, PlaceKey, Selector};
pub use tiers::{Drawn, Member, Tier, Tiers};

#[cfg(test)]
mod tests;
