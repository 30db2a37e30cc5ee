//! When NOTIFYs are due in an open loop.

/// Picoseconds in a second: fine enough that a rate keeps its time over days.
const SECOND_PS: u64 = 1_000_000_000_000;

/// The schedule of one load thread. It goes on whether answers keep up or not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Nanoseconds.
    start: u64,
    period_ps: u64,
    /// From `start`.
    next_ps: u64,
}

impl Pace {
    /// The share of the `index`-th of `threads` in `rate` NOTIFYs a second, from `start` on. All
    /// shares together are evenly spaced.
    pub(crate) fn new(rate: u64, index: usize, threads: usize, start: u64) -> Self {
        let step_ps = SECOND_PS / rate.max(1);
        Self {
            start,
            period_ps: step_ps.saturating_mul(threads as u64),
            next_ps: step_ps.saturating_mul(index as u64),
        }
    }

    /// When the next one is due, in nanoseconds.
    #[inline]
    pub(crate) const fn next(&self) -> u64 {
        self.start.saturating_add(self.next_ps / 1000)
    }

    #[inline]
    pub(crate) const fn advance(&mut self) {
        self.next_ps = self.next_ps.saturating_add(self.period_ps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_a_rate_evenly() {
        let mut paces = [Pace::new(3000, 0, 2, 100), Pace::new(3000, 1, 2, 100)];
        let mut due = Vec::new();
        for _ in 0..3 {
            for pace in &mut paces {
                due.push(pace.next() - 100);
                pace.advance();
            }
        }
        assert_eq!(due, [0, 333_333, 666_666, 999_999, 1_333_333, 1_666_666]);
    }
}
