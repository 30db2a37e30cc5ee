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
    /// All latencies added up, in nanoseconds: 584 years of them.
    sum_ns: u64,
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
            sum_ns: 0,
        }
    }

    /// Records `count` answers that took this long.
    #[inline]
    pub fn record(&mut self, took: Duration, count: u32) {
        if took > self.budget {
            self.over_budget += u64::from(count);
        }
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(LONGEST_NS);
        let all_ns = took_ns.wrapping_mul(u64::from(count));
        self.sum_ns = self.sum_ns.wrapping_add(all_ns);
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record_n(took_ns, u64::from(count));
        }
    }

    /// Adds the latencies of another worker.
    pub fn add(&mut self, other: &Self) {
        self.over_budget += other.over_budget;
        self.sum_ns = self.sum_ns.wrapping_add(other.sum_ns);
        if let (Some(own), Some(other)) = (&mut self.histogram, &other.histogram) {
            // Both have the same bounds, so that nothing of the other can be too large.
            let _ = own.add(other);
        }
    }

    /// What was recorded after `earlier`, an older state of the same latencies.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        since.over_budget = self.over_budget.saturating_sub(earlier.over_budget);
        since.sum_ns = self.sum_ns.wrapping_sub(earlier.sum_ns);
        if let (Some(own), Some(earlier)) = (&mut since.histogram, &earlier.histogram) {
            // If it is not an older state of the same, all of this one is new.
            let _ = own.subtract(earlier);
        }
        since
    }

    /// How many answers took no longer than each of these bounds, which have to ascend. Exact but for
    /// latencies that share three digits with a bound, which may count as longer.
    #[must_use]
    pub fn cumulative(&self, bounds: &[Duration]) -> Vec<u64> {
        let mut recorded = self
            .histogram
            .iter()
            .flat_map(Histogram::iter_recorded)
            .peekable();
        let mut count = 0;
        let up_to = |bound: &Duration| {
            let bound_ns = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
            while let Some(value) = recorded.next_if(|it| it.value_iterated_to() <= bound_ns) {
                count += value.count_since_last_iteration();
            }
            count
        };
        bounds.iter().map(up_to).collect()
    }

    /// All latencies added up.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns)
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
    fn a_later_state_less_an_earlier_one_is_what_came_between() {
        let mut latency = Latency::new(Duration::from_millis(10));
        latency.record(Duration::from_micros(7), 100);
        let earlier = latency.clone();
        latency.record(Duration::from_millis(20), 3);
        let since = latency.since(&earlier);
        assert_eq!((since.count(), since.over_budget()), (3, 3));
        assert_eq!(since.sum(), Duration::from_millis(60));
        assert!(since.percentile(1.0) > Duration::from_millis(19));
        assert_eq!(earlier.since(&latency).count(), 100);
    }

    #[test]
    fn bounds_count_all_that_took_no_longer() {
        let mut latency = Latency::new(Duration::from_millis(10));
        for (us, count) in [(1, 1), (5, 10), (999, 100), (70_000_000, 1000)] {
            latency.record(Duration::from_micros(us), count);
        }
        let bounds = [1, 2, 4, 6, 1000, 1_000_000].map(Duration::from_micros);
        // One microsecond shares its three digits with others that are a little longer.
        assert_eq!(latency.cumulative(&bounds), [1, 1, 1, 11, 111, 111]);
        let none = Latency::new(Duration::ZERO);
        assert_eq!(none.cumulative(&bounds), [0; 6]);
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
