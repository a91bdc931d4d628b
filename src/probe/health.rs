//! From single answers to a mirror's health: several failures in a row before it is down, several successes before it is up again.

use crate::model::Health;

/// A mirror's health, and what counts towards changing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    health: Health,
    failures: u32,
    successes: u32,
}

/// How one probe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The mirror answered as it should.
    Success,
    /// It did not.
    Failure,
}

/// How many of a kind in a row make a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Failures before a mirror is down.
    pub failures: u32,
    /// Successes before a mirror that was down is up again.
    pub successes: u32,
}

impl Tally {
    /// Begins with what was known; a mirror that was down has to earn its return anew.
    #[must_use]
    pub const fn new(health: Health) -> Self {
        Self { health, failures: 0, successes: 0 }
    }

    /// What the mirror's health is now.
    #[must_use]
    pub const fn health(&self) -> Health {
        self.health
    }

    /// Takes in one probe.
    #[must_use]
    pub fn after(self, outcome: Outcome, thresholds: Thresholds) -> Self {
        match outcome {
            Outcome::Success => {
                let successes = self.successes.saturating_add(1);
                let is_back = self.health != Health::Down || successes >= thresholds.successes;
                Self { health: if is_back { Health::Up } else { Health::Down }, failures: 0, successes }
            }
            Outcome::Failure => {
                let failures = self.failures.saturating_add(1);
                let is_down = self.health == Health::Down || failures >= thresholds.failures;
                Self { health: if is_down { Health::Down } else { Health::Failing }, failures, successes: 0 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_changes_only_after_several_of_a_kind() {
        let thresholds = Thresholds { failures: 3, successes: 2 };
        for (start, outcomes, healths) in [
            (Health::Unknown, "s", "u"),
            (Health::Unknown, "fff", "??d"),
            (Health::Up, "ffsfff", "??u??d"),
            (Health::Up, "fffsfss", "??ddddu"),
            (Health::Down, "ss", "du"),
            (Health::Down, "sfsfss", "dddddu"),
            (Health::Failing, "s", "u"),
        ] {
            let mut tally = Tally::new(start);
            let mut seen = String::new();
            for outcome in outcomes.chars() {
                tally = tally.after(if outcome == 's' { Outcome::Success } else { Outcome::Failure }, thresholds);
                seen.push(match tally.health() {
                    Health::Up => 'u',
                    Health::Failing => '?',
                    Health::Down => 'd',
                    Health::Unknown => '-',
                });
            }
            assert_eq!(seen, healths, "{start:?} and then {outcomes}");
        }
    }

    #[test]
    fn one_failure_can_be_enough() {
        let tally = Tally::new(Health::Up).after(Outcome::Failure, Thresholds { failures: 1, successes: 1 });
        assert_eq!(tally.health(), Health::Down);
        assert_eq!(tally.after(Outcome::Success, Thresholds { failures: 1, successes: 1 }).health(), Health::Up);
    }
}
