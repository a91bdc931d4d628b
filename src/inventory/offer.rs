//! What a mirror offers, as requests ask for it: all that decides whether it can serve one, in one piece. What is known of a mirror
//! otherwise lies scattered, and with hundreds of mirrors each look at it waits for memory.

use std::net::IpAddr;

use super::holdings::Holdings;
use super::snapshot::MirrorState;
use crate::model::{Reached, Scheme, VersionNumber};

/// What a mirror offers.
#[derive(Debug)]
#[repr(align(64))]
pub struct Offer {
    holdings: Holdings,
    /// The largest size in bytes that it serves, and that comes right from it.
    largest: u64,
    /// Whether clients are sent there that came in the clear.
    http: bool,
    /// Whether clients are sent there that came over TLS.
    https: bool,
    sends_parts: bool,
    ipv4: bool,
    ipv6: bool,
}

impl Offer {
    /// Whether it was seen with a copy of this version.
    #[must_use]
    pub fn holds(&self, version: VersionNumber) -> bool {
        self.holdings.contains(version)
    }

    /// Whether clients that came by this scheme can get files of so many bytes from it now.
    #[must_use]
    pub const fn serves(&self, scheme: Scheme, size: u64) -> bool {
        let has_base = match scheme {
            Scheme::Http => self.http,
            Scheme::Https => self.https,
        };
        has_base && size <= self.largest
    }

    /// Whether clients that ask for a part are sent there.
    #[must_use]
    pub const fn sends_parts(&self) -> bool {
        self.sends_parts
    }

    /// Whether it answers over the protocol of a client's address, as far as is known.
    #[must_use]
    pub fn answers(&self, client: IpAddr) -> bool {
        if client.to_canonical().is_ipv6() { self.ipv6 } else { self.ipv4 }
    }

    /// Reads what [`Self::holds`] will, without a branch on what is read: several can be waited for at once.
    #[must_use]
    pub fn touch(&self, version: VersionNumber) -> u64 {
        self.holdings.touch(version)
    }
}

impl From<&MirrorState> for Offer {
    fn from(state: &MirrorState) -> Self {
        let MirrorState { mirror, holdings, health, abilities, .. } = state;
        let serves = |scheme| health.is_usable() && mirror.serves(scheme) && state.base(scheme).is_some();
        let limits = [mirror.max_file_size, abilities.largest];
        Self {
            holdings: holdings.clone(),
            largest: limits.into_iter().flatten().min().unwrap_or(u64::MAX),
            http: serves(Scheme::Http),
            https: serves(Scheme::Https),
            sends_parts: abilities.ranges.are_usable(),
            ipv4: abilities.ipv4 != Reached::No,
            ipv6: abilities.ipv6 != Reached::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_one_line_of_the_cache() {
        assert_eq!(size_of::<Offer>(), 64);
    }
}
