//! How live decisions rank among lists and feeds.
//!
//! ```text
//!  1 [allow]  2 live allow  3 [deny]  4 live ban  5 ignore-private  6 live challenge  7 feeds
//! ```
//!
//! A decision of `crowdsec` or `behavior` does not count where `ignore-private` does.

use crate::live::{Hit, Hits, Kind};
use ip_reputation::{Role, Score};

/// The live decision that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveDecision {
    /// What it does.
    pub kind: Kind,
    /// Its prefix, origin and end.
    pub hit: Hit,
    /// The score.
    pub score: Score,
}

/// Returns the live decision that decides, if one does: `ruled_by` is what decides without them, and
/// `score` the score without them.
#[must_use]
pub fn decided(
    hits: &Hits,
    ruled_by: Option<Role>,
    score: Score,
    challenge_score: Score,
) -> Option<LiveDecision> {
    let with_foreign = ruled_by != Some(Role::Guard);
    let of = |kind, score| {
        let hit = hits.of(kind, with_foreign)?;
        Some(LiveDecision { kind, hit, score })
    };
    match ruled_by {
        Some(Role::Allow) => None,
        Some(Role::Deny) => of(Kind::Allow, Score::BEST),
        Some(Role::Guard | Role::Feed) | None => of(Kind::Allow, Score::BEST)
            .or_else(|| of(Kind::Ban, Score::WORST))
            .or_else(|| of(Kind::Challenge, challenge_score).filter(|_| challenge_score < score)),
    }
}
