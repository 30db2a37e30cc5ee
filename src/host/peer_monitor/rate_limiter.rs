//! One kind of thing that keeps happening, told now and then.

use core::time::Duration;
use std::time::Instant;

/// The least time between two lines about the same kind of thing.
const QUIET: Duration = Duration::from_secs(10);

/// What has been told of it.
#[derive(Debug, Default)]
pub(super) struct RateLimiter {
    /// How many of them.
    told: u64,
    last: Option<Instant>,
}

impl RateLimiter {
    /// How many there are to be told of now, if any: `total` is how many there have been.
    pub(super) fn due(&mut self, total: u64, now: Instant) -> Option<u64> {
        let is_quiet = |last: Instant| now.saturating_duration_since(last) < QUIET;
        let new = total.saturating_sub(self.told);
        if new == 0 || self.last.is_some_and(is_quiet) {
            return None;
        }
        self.told = total;
        self.last = Some(now);
        Some(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_rest_together() {
        let (mut tale, start) = (RateLimiter::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(tale.due(0, at(0)), None);
        assert_eq!(tale.due(2, at(1)), Some(2));
        assert_eq!(tale.due(500, at(2)), None);
        assert_eq!(tale.due(900, at(10)), None);
        assert_eq!(tale.due(1000, at(11)), Some(998));
        assert_eq!(tale.due(1000, at(30)), None);
        assert_eq!(tale.due(1001, at(31)), Some(1));
    }

    /// However many there are, the lines are few and the counts add up.
    #[test]
    fn a_flood_is_a_line_now_and_then() {
        let (mut tale, start) = (RateLimiter::default(), Instant::now());
        let told = (0..=100).filter_map(|second| {
            let total = if second < 90 {
                second * 1_000_000
            } else {
                90_000_000
            };
            tale.due(total, start + Duration::from_secs(second))
        });
        let told: Vec<_> = told.collect();
        assert_eq!(told.iter().sum::<u64>(), 90_000_000);
        assert!(told.len() <= 10, "{told:?}");
    }
}
