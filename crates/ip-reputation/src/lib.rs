//! Scores: what an address is worth. Pure domain; it knows no SPOP and no socket.
//!
//! In scope: the score, and the sources that give one. Out of scope: which message asks, and in
//! which variable the answer goes.

#![forbid(unsafe_code)]

mod data;
mod entry;
pub mod formats;
mod payload;
mod prefix;
mod private;
mod random;
mod range_prefixes;
mod table;
mod text;

use core::net::IpAddr;

pub use data::{ENTRIES_PER_PREFIX_MAX, FeedData, FeedDataBuilder, FeedDataFull};
pub use entry::{Confidence, Entry};
pub use payload::{
    PAYLOAD_BYTES_MAX, PAYLOAD_RULES_MAX, Pattern, PayloadError, PayloadMatch, PayloadRule,
    PayloadRules,
};
pub use prefix::Prefix;
pub use private::private_space;
pub use random::Random;
pub use range_prefixes::RangePrefixes;
pub use table::{
    Combine, Contribution, ContributionStatus, FeedTerms, Label, Role, Table, TableBuilder,
    TableFull, Verdict,
};

/// A reputation: 0 is blacklisted, 100 is totally safe (SPOE.txt 2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(u8);

impl Score {
    /// Blacklisted.
    pub const WORST: Self = Self(0);
    /// Totally safe.
    pub const BEST: Self = Self(100);

    /// A score, if the number is one.
    #[must_use]
    pub const fn new(score: u8) -> Option<Self> {
        if score <= Self::BEST.0 {
            Some(Self(score))
        } else {
            None
        }
    }

    /// The score of a ratio: 0 is blacklisted, 1 totally safe. What lies outside is the nearest.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0..=100 first, and NaN casts to 0"
    )]
    pub fn ratio(ratio: f64) -> Self {
        Self((ratio.clamp(0.0, 1.0) * f64::from(Self::BEST.0)).round() as u8)
    }

    /// The number, 0 to 100.
    #[must_use]
    #[inline]
    pub const fn value(self) -> u8 {
        self.0
    }
}

/// A source of scores. It is owned by one worker.
pub trait Reputation {
    /// The score of an address. The address is canonical: `::ffff:a.b.c.d` has become IPv4.
    fn score(&mut self, address: IpAddr) -> Score;
}

/// The examples of README.md are tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use super::Score;

    #[test]
    fn a_score_is_0_to_100() {
        assert_eq!(Score::new(0), Some(Score::WORST));
        assert_eq!(Score::new(100), Some(Score::BEST));
        assert_eq!(Score::new(101), None);
    }
}
