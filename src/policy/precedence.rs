//! How live decisions rank among lists and feeds.
//!
//! ```text
//!  1 [allow]  2 live allow  3 [deny]  4 live ban  5 ignore-private  6 live challenge  7 feeds, points
//! ```
//!
//! A decision of `crowdsec` or `behavior` does not count where `ignore-private` does, and points do not.

use crate::live::{Hit, Hits, Kind};
use ip_reputation::{Role, Score, Verdict};

/// Points that are a score of 0.
const WHOLE: f64 = 100.0;

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

/// How bad points make an address, 0 to 1.
pub(super) fn badness_of(points: f64) -> f64 {
    (points / WHOLE).min(1.0)
}

/// Returns the score with the points of an address, which are one more piece of evidence beside feeds;
/// none where something else than feeds decides, or there are no points. An address that no feed has is
/// never better for being reported: `score` is what it has without points.
#[must_use]
pub fn with_points(
    verdict: Option<&Verdict<'_>>,
    now: u32,
    score: Score,
    points: f64,
) -> Option<Score> {
    if points <= 0.0 {
        return None;
    }
    let badness = badness_of(points);
    match verdict.map(|it| (it, it.ruled_by(now))) {
        None | Some((_, None)) => Some(Score::ratio(1.0 - badness).min(score)),
        Some((verdict, Some(Role::Feed))) => Some(verdict.score_with(now, badness)),
        Some(_) => None,
    }
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
