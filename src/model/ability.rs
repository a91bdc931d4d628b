//! What a mirror can do for clients, as far as it was tried: parts of files, large files, a certificate, both kinds of addresses.

use std::net::IpAddr;

use jiff::Timestamp;

/// What requests are held against. Whatever was not tried yet is taken for granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Abilities {
    /// Whether it sends parts of files.
    pub ranges: Ranges,
    /// The size in bytes beyond which files did not come right.
    pub largest: Option<u64>,
    /// Whether its `https` URL has a certificate that clients accept.
    pub certificate: Trust,
    /// Whether it answers over IPv4.
    pub ipv4: Reached,
    /// Whether it answers over IPv6.
    pub ipv6: Reached,
}

impl Abilities {
    /// Whether files of this size come right.
    #[must_use]
    pub fn sends(&self, size: u64) -> bool {
        self.largest.is_none_or(|largest| size <= largest)
    }

    /// Whether it answers over the protocol of a client's address.
    #[must_use]
    pub fn answers(&self, client: IpAddr) -> bool {
        let reached = if client.to_canonical().is_ipv6() { self.ipv6 } else { self.ipv4 };
        reached != Reached::No
    }
}

/// Defines a kind of knowledge as words, the first of which is "nothing yet".
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, serde::Serialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name {
            $($(#[$what])* $variant),+
        }

        impl $name {
            /// The word for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// What a word says; `None` when it is none of ours.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                [$(Self::$variant),+].into_iter().find(|known| known.as_str() == word)
            }
        }
    };
}

words! {
    /// Whether a mirror sends a part of a file where a part is asked for (RFC 9110 section 14).
    Ranges {
        /// Not asked yet; taken for granted.
        #[default]
        Unknown = "unknown",
        /// It does.
        Kept = "kept",
        /// It sends the whole file instead. Who reads a file by parts and takes what comes for the part reads nonsense.
        Ignored = "ignored",
    }
}

words! {
    /// Whether a certificate is accepted.
    Trust {
        /// Not seen yet, or there is none.
        #[default]
        Unknown = "unknown",
        /// It is.
        Trusted = "trusted",
        /// It has expired, is another host's, or nobody vouches for it. Clients would only see a warning.
        Refused = "refused",
    }
}

words! {
    /// Whether a mirror answers over one version of the Internet Protocol.
    Reached {
        /// Not tried, or this machine can't try it.
        #[default]
        Unknown = "unknown",
        /// It does.
        Yes = "yes",
        /// It has no such address, or does not answer there.
        No = "no",
    }
}

impl Ranges {
    /// Whether clients that ask for a part are sent there.
    #[must_use]
    pub const fn are_usable(self) -> bool {
        !matches!(self, Self::Ignored)
    }
}

/// What came of trying what a mirror can do.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Checkup {
    /// When it was tried last.
    pub at: Timestamp,
    /// What it can do.
    #[serde(flatten)]
    pub abilities: Abilities,
    /// Until when its certificate is good.
    pub certificate_until: Option<Timestamp>,
    /// What was wrong, for people; one line each.
    pub notes: Vec<String>,
}

impl Checkup {
    /// How many whole days its certificate is still good; negative when it has ended.
    #[must_use]
    pub fn days_left(&self, now: Timestamp) -> Option<i64> {
        const DAY: i64 = 86_400;
        Some((self.certificate_until?.as_second() - now.as_second()).div_euclid(DAY))
    }

    /// The days that its certificate is still good, where those are so few that somebody should know.
    #[must_use]
    pub fn ends_soon(&self, now: Timestamp) -> Option<i64> {
        /// Certificates of 90 days are renewed 30 days before they end: with less than half of that, something is broken.
        const SOON: i64 = 14;
        self.days_left(now).filter(|days| *days < SOON && self.abilities.certificate == Trust::Trusted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_tried_is_taken_for_granted() {
        let unknown = Abilities::default();
        assert!(unknown.sends(u64::MAX) && unknown.answers([192, 0, 2, 1].into()) && unknown.ranges.are_usable());
        let old = Abilities { largest: Some(1 << 31), ipv6: Reached::No, ..unknown };
        assert_eq!([old.sends(1 << 31), old.sends((1 << 31) + 1)], [true, false]);
        for (client, answers) in [("2001:db8::1", false), ("192.0.2.1", true), ("::ffff:192.0.2.1", true)] {
            assert_eq!(old.answers(client.parse().expect("an address")), answers, "{client}");
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for ranges in [Ranges::Unknown, Ranges::Kept, Ranges::Ignored] {
            assert_eq!(Ranges::parse(ranges.as_str()), Some(ranges));
        }
        assert_eq!((Trust::parse("refused"), Reached::parse("maybe")), (Some(Trust::Refused), None));
    }

    #[test]
    fn a_certificate_that_ends_soon_is_told_in_whole_days() {
        let now: Timestamp = "2026-11-27T12:00:00Z".parse().expect("valid");
        let abilities = Abilities { certificate: Trust::Trusted, ..Abilities::default() };
        for (until, left, soon) in [
            ("2027-02-01T00:00:00Z", Some(65), None),
            ("2026-12-01T00:00:00Z", Some(3), Some(3)),
            ("2026-11-27T13:00:00Z", Some(0), Some(0)),
            ("2026-11-27T11:00:00Z", Some(-1), Some(-1)),
        ] {
            let checkup = Checkup { at: now, abilities, certificate_until: until.parse().ok(), notes: Vec::new() };
            assert_eq!((checkup.days_left(now), checkup.ends_soon(now)), (left, soon), "{until}");
        }
    }
}
