//! On which terms a feed takes part, and what an entry of it is worth.

use core::time::Duration;
use std::sync::Arc;

use crate::data::Evidence;

/// What a feed is. Where several cover an address, the first of this order decides, whatever the
/// lengths of their prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The operator's allow list: the score is 100.
    Allow,
    /// The operator's deny list: the score is 0.
    Deny,
    /// Addresses that no feed can know: the score is that of an unknown address.
    Guard,
    /// A feed: the score is what its entries and those of other feeds make.
    Feed,
}

/// How feeds that cover the same address combine. Within a feed, and within a group of feeds, only the
/// strongest entry counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Combine {
    /// As independent witnesses: 1 - (1 - a)(1 - b)…
    #[default]
    NoisyOr,
    /// The worst of them.
    Worst,
}

/// On which terms a feed takes part.
#[derive(Debug, Clone)]
pub struct FeedTerms {
    /// Its name, as answers and explanations give it.
    pub name: Arc<str>,
    /// What it is.
    pub role: Role,
    /// How much it is trusted, 0 to 1. What lies outside is the nearest.
    pub weight: f64,
    /// After which age an entry counts half; none: it never ages.
    pub half_life: Option<Duration>,
    /// The category of entries that name none.
    pub category: Option<Arc<str>>,
    /// Feeds of one group are no independent witnesses: the worst of them counts for all.
    pub group: Option<Arc<str>>,
    /// Whether it only shows in the shadow score.
    pub shadow: bool,
    /// When its entries were seen that do not say so themselves, in seconds since 1970.
    pub as_of: Option<u32>,
}

impl FeedTerms {
    /// A feed that is trusted fully and never ages.
    pub fn new(name: impl Into<Arc<str>>, role: Role) -> Self {
        Self {
            name: name.into(),
            role,
            weight: 1.0,
            half_life: None,
            category: None,
            group: None,
            shadow: false,
            as_of: None,
        }
    }

    /// How bad an entry with this evidence makes an address, 0 to 1.
    pub(super) fn badness(&self, evidence: Evidence, now: u32) -> f64 {
        self.weight.clamp(0.0, 1.0) * evidence.confidence.as_ratio() * self.aged(evidence, now)
    }

    /// How much of an entry its age has left, 0 to 1.
    pub(super) fn aged(&self, evidence: Evidence, now: u32) -> f64 {
        let seen = evidence.seen().or(self.as_of);
        let age = seen.map_or(0, |seen| now.saturating_sub(seen));
        match self.half_life {
            Some(half_life) if age > 0 => (-f64::from(age) / half_life.as_secs_f64()).exp2(),
            _ => 1.0,
        }
    }
}
