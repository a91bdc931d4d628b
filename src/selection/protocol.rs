//! Mirrors that answer over the client's version of the Internet Protocol come before those that do not.
//!
//! A client whose address is IPv6 mostly has IPv4 as well, or a gateway to it (NAT64), so it need not lose a near mirror for that;
//! but one that has nothing else can't use a mirror without IPv6 at all. So by default such mirrors only stand back behind others
//! that are about as near, which costs nobody anything; and where a site has many clients with IPv6 alone, they are left out.

use std::ops::ControlFlow;

use serde::Deserialize;

use super::draw::{Eligible, Ranked, Ranking};
use super::tiers::Tiers;
use crate::model::ClientNetwork;

/// `answers.ip-version`: what becomes of mirrors that do not answer over the client's version of the Internet Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IpVersion {
    /// They stand back behind others that are about as near.
    #[default]
    Prefer,
    /// They are not used for such clients.
    Require,
}

impl Tiers {
    /// As [`Self::draw_eligible`], with regard to who `answers` over the client's version of the Internet Protocol.
    #[must_use]
    pub fn draw_reachable(
        &self,
        network: ClientNetwork,
        rule: IpVersion,
        eligible: &mut impl Eligible,
        answers: impl Fn(usize) -> bool,
        wanted: usize,
    ) -> Ranking {
        if rule == IpVersion::Require {
            return self.draw(network, |index| answers(index) && eligible.is_usable(index), wanted);
        }
        let ranking = self.draw_eligible(network, eligible, wanted);
        // Nearly always: nothing else is looked at then.
        let Some(best) = ranking.first().copied().filter(|best| !answers(best.index())) else { return ranking };
        let reachable = self.draw(network, |index| answers(index) && eligible.is_usable(index), 1);
        match reachable.first() {
            Some(other) if self.are_as_near(best.index(), other.index()) => with_first(&ranking, *other, wanted),
            _ => ranking,
        }
    }

    /// Whether two mirrors are of one tier.
    fn are_as_near(&self, one: usize, other: usize) -> bool {
        let meets = self.iter().try_for_each(|tier| {
            let has = |index: usize| tier.members().any(|member| member == index);
            match (has(one), has(other)) {
                (false, false) => ControlFlow::Continue(()),
                (one, other) => ControlFlow::Break(one && other),
            }
        });
        meets == ControlFlow::Break(true)
    }
}

/// A ranking with `other` put first.
fn with_first(ranking: &Ranking, other: Ranked, wanted: usize) -> Ranking {
    let mut changed = Ranking::default();
    changed.push(other);
    ranking.iter().filter(|ranked| ranked.index() != other.index()).take(wanted - 1).for_each(|ranked| changed.push(*ranked));
    changed
}
