//! Payload rules: what the first bytes that a client sends say about it.
//!
//! In scope: a list of rules, each a byte pattern or a literal at the front, and which of them is the
//! first to match. Out of scope: where the bytes come from and which variable answers
//! ([`iprep`](crate::iprep)).
//!
//! ```text
//!  rules ──▶ lanes, a few for all rules together ────▶ the first rule that matches
//!            payload, at most `bytes_max` bytes ─────┘   time linear in these, whatever they are
//! ```
//!
//! The first rule *in the order of the list* that matches anywhere wins, not the one that matches
//! first in the payload.

mod automaton;
mod build;
mod chains;
mod error;
mod lane;
mod word;

pub use error::PayloadError;

use super::Score;
use build::build;
use lane::Lane;

/// How many bytes of a payload are looked at unless told otherwise.
pub const PAYLOAD_BYTES_MAX: usize = 4096;

/// The most rules of a list.
pub const PAYLOAD_RULES_MAX: usize = 1024;

/// What a rule looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// A regular expression over bytes, found anywhere unless it is anchored (`^`). There is no
    /// Unicode in it: `.` and `\w` stand for one byte.
    Regex(String),
    /// These bytes at the front.
    Prefix(Vec<u8>),
}

/// A rule of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadRule {
    /// The name that answers.
    pub name: String,
    /// What a payload that matches is worth.
    pub score: Score,
    /// What it looks for.
    pub pattern: Pattern,
}

/// The rule that a payload matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadMatch<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its score.
    pub score: Score,
}

/// A list of rules, made ready. It never changes; workers share it.
#[derive(Debug)]
pub struct PayloadRules {
    rules: Box<[PayloadRule]>,
    bytes_max: usize,
    /// The one with the first rule first.
    lanes: Box<[Lane]>,
}

impl PayloadRules {
    /// Rules in the order in which they are tried, and how many bytes of a payload they see.
    ///
    /// # Errors
    /// If a pattern is no regular expression or too large for a table, a prefix is empty, or there
    /// are more than [`PAYLOAD_RULES_MAX`] rules.
    pub fn new(rules: Vec<PayloadRule>, bytes_max: usize) -> Result<Self, PayloadError> {
        let lanes = build(&rules)?.into();
        Ok(Self {
            rules: rules.into(),
            bytes_max,
            lanes,
        })
    }

    /// How many rules there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How many bytes of a payload are looked at.
    #[must_use]
    pub const fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The first rule in the order of the list that the payload matches. What lies behind
    /// [`bytes_max`](Self::bytes_max) is not there: `$` matches at that point.
    #[must_use]
    pub fn first_match(&self, payload: &[u8]) -> Option<PayloadMatch<'_>> {
        let payload = payload.get(..self.bytes_max).unwrap_or(payload);
        let mut best = u16::MAX;
        for lane in &self.lanes {
            if lane.first_rule() < best {
                best = lane.lowest(payload, best);
            }
        }
        let rule = self.rules.get(usize::from(best))?;
        Some(PayloadMatch {
            name: &rule.name,
            score: rule.score,
        })
    }
}

#[cfg(test)]
mod tests;
