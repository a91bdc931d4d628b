//! Which mirrors can serve a request, and in which order: pure.
//!
//! Four questions, one file each: may this mirror be used at all (`eligible`), how near is it to the client (`nearness`), who
//! of the mirrors that are about as near comes first (`draw`), and what if that one does not speak the client's version of the
//! Internet Protocol (`protocol`). The [`Selector`] sorts the mirrors into [`Tiers`] for a place
//! once; a request then draws from the tiers, nearest first, until it has enough.

mod draw;
mod eligible;
mod fallback;
mod nearness;
mod networks;
mod protocol;
mod selector;
mod tiers;

pub use draw::{Eligible, Ranked, Ranking};
pub use eligible::{Refusal, Request, refusal, refusal_of_place};
pub use fallback::{Fallback, fall_back};
pub use nearness::Class;
pub use protocol::IpVersion;
pub use selector::{Kinship, KinshipKey, Nearness, PlaceKey, Selector};
pub use tiers::{Drawn, Tier, Tiers};

#[cfg(test)]
mod tests;
