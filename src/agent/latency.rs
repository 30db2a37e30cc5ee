//! How long answers take.
//!
//! A latency starts when the `read` that completed a NOTIFY returns, and ends when the `write` that
//! sent its ACK returns. What it leaves out: the time before the `read`, in the kernel's queues and
//! behind other connections of the same turn, and the way back after the `write`.

use core::time::Duration;

use hdrhistogram::Histogram;

/// The longest latency told apart, in nanoseconds: a minute.
const LONGEST_NS: u64 = 60_000_000_000;
/// Decimal digits that a recorded latency keeps.
const DIGITS: u8 = 3;

/// The latencies of one worker, or of several put together.
#[derive(Debug, Clone)]
pub struct Latency {
    /// In nanoseconds. `None` only if the constants above were no legal histogram.
    histogram: Option<Histogram<u64>>,
    /// What a latency is measured against.
    budget: Duration,
    /// Answers that took longer than the budget.
    over_budget: u64,
}

impl Latency {
    /// No latency yet.
    #[must_use]
    pub fn new(budget: Duration) -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).ok();
        Self {
            histogram,
            budget,
            over_budget: 0,
        }
    }

    /// Records `count` answers that took this long.
    #[inline]
    pub fn record(&mut self, took: Duration, count: u32) {
        if took > self.budget {
            self.over_budget += u64::from(count);
        }
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(LONGEST_NS);
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record_n(took_ns, u64::from(count));
        }
    }

    /// Adds the latencies of another worker.
    pub fn add(&mut self, other: &Self) {
        self.over_budget += other.over_budget;
        if let (Some(own), Some(other)) = (&mut self.histogram, &other.histogram) {
            // Both have the same bounds, so that nothing of the other can be too large.
            let _ = own.add(other);
        }
    }

    /// Answers recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.as_ref().map_or(0, Histogram::len)
    }

    /// The latency that this percentage of answers did not exceed, to three digits.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Duration {
        let value = |histogram: &Histogram<u64>| histogram.value_at_percentile(percent);
        Duration::from_nanos(
            self.histogram
                .as_ref()
                .filter(|all| !all.is_empty())
                .map_or(0, value),
        )
    }

    /// The longest latency.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.histogram.as_ref().map_or(0, Histogram::max))
    }

    /// Answers that took longer than the processing budget.
    #[must_use]
    pub const fn over_budget(&self) -> u64 {
        self.over_budget
    }

    /// The processing budget.
    #[must_use]
    pub const fn budget(&self) -> Duration {
        self.budget
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_the_budget_are_those_of_what_was_recorded() {
        let mut latency = Latency::new(Duration::from_millis(10));
        latency.record(Duration::from_micros(5), 98);
        latency.record(Duration::from_millis(10), 1);
        latency.record(Duration::from_millis(11), 1);
        let near = |percent: f64, expected: Duration| {
            let found = latency.percentile(percent);
            assert!(
                found.abs_diff(expected) <= expected / 1000,
                "{percent}: {found:?}"
            );
        };
        near(50.0, Duration::from_micros(5));
        near(99.0, Duration::from_millis(10));
        near(100.0, Duration::from_millis(11));
        assert_eq!((latency.count(), latency.over_budget()), (100, 1));
    }

    #[test]
    fn nothing_recorded_is_zero_and_the_absurd_is_kept_at_the_end_of_the_scale() {
        let mut latency = Latency::new(Duration::from_millis(10));
        assert_eq!(
            (latency.percentile(99.0), latency.max()),
            (Duration::ZERO, Duration::ZERO)
        );
        latency.record(Duration::from_hours(1), 2);
        assert!(latency.max() >= Duration::from_mins(1));
        assert_eq!((latency.count(), latency.over_budget()), (2, 2));
    }

    #[test]
    fn two_workers_put_together_are_one() {
        let mut all = Latency::new(Duration::from_millis(10));
        let mut one = all.clone();
        one.record(Duration::from_millis(20), 3);
        all.add(&one);
        all.add(&one);
        assert_eq!((all.count(), all.over_budget()), (6, 6));
    }
}
