//! What a load thread measures.
//!
//! Throughput is the right answers that arrive within the measured interval. Latency is that of the
//! NOTIFYs that were due within it, also of those that are answered after its end; those that never
//! are count with the time they have waited, so that a stall cannot improve a percentile.

use hdrhistogram::Histogram;

use crate::tally::{Kind, Tally};
use crate::units::SECOND;

/// The longest latency that is told from longer ones.
const LATENCY_NS_MAX: u64 = 600 * SECOND;

#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) latency: Histogram<u64>,
    /// From the connect to AGENT-HELLO.
    pub(crate) handshake: Histogram<u64>,
    pub(crate) answered: u64,
    /// NOTIFYs that were due but never sent, because every connection was at its depth.
    pub(crate) unsent: u64,
    pub(crate) tally: Tally,
    /// Whether what arrives now counts.
    counting: bool,
    /// What was sent before does not count.
    from: u64,
    /// Answers count only if their NOTIFY was sent after `from`.
    sent_only: bool,
    /// The latency seen last, and how often in a row: a batch has one.
    last: (u64, u64),
}

impl Meter {
    pub(crate) fn new() -> Result<Self, String> {
        let histogram =
            || Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).map_err(|error| error.to_string());
        Ok(Self {
            latency: histogram()?,
            handshake: histogram()?,
            answered: 0,
            unsent: 0,
            tally: Tally::default(),
            counting: false,
            from: u64::MAX,
            sent_only: false,
            last: (0, 0),
        })
    }

    /// The measured interval begins.
    pub(crate) const fn start(&mut self, now: u64, sent_only: bool) {
        self.counting = true;
        self.from = now;
        self.sent_only = sent_only;
    }

    /// The measured interval ends. Whether it had begun.
    pub(crate) const fn stop(&mut self) -> bool {
        std::mem::replace(&mut self.counting, false)
    }

    /// A right answer.
    #[inline]
    pub(crate) fn answer(&mut self, due: u64, now: u64) {
        let within = due >= self.from;
        if self.counting && (within || !self.sent_only) {
            self.answered += 1;
        }
        if within {
            let latency = now.saturating_sub(due);
            if latency != self.last.0 {
                self.flush();
                self.last = (latency, 0);
            }
            self.last.1 += 1;
        }
    }

    /// A NOTIFY that was due and is given up.
    pub(crate) fn give_up(&mut self, due: u64, now: u64) {
        if due >= self.from {
            self.latency.saturating_record(now.saturating_sub(due));
        }
    }

    pub(crate) fn connected(&mut self, since: u64, now: u64) {
        self.handshake.saturating_record(now.saturating_sub(since));
    }

    pub(crate) fn wrong(&mut self, kind: Kind, first: impl FnOnce() -> String) {
        self.tally.count(kind, 1, first);
    }

    /// Records what is held back. To be called once at the end.
    #[inline]
    pub(crate) fn flush(&mut self) {
        let (latency, count) = std::mem::take(&mut self.last);
        if count > 0 {
            self.latency.saturating_record_n(latency, count);
        }
    }

    /// Adds what another thread has measured.
    pub(crate) fn merge(&mut self, other: Self) -> Result<(), String> {
        let add = |error: hdrhistogram::AdditionError| error.to_string();
        self.latency.add(&other.latency).map_err(add)?;
        self.handshake.add(&other.handshake).map_err(add)?;
        self.answered += other.answered;
        self.unsent += other.unsent;
        self.tally.merge(other.tally);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_interval_counts() {
        let mut meter = Meter::new().unwrap();
        meter.answer(5, 9);
        meter.start(10, false);
        meter.answer(8, 12);
        meter.answer(11, 14);
        meter.answer(11, 14);
        meter.answer(12, 17);
        assert!(meter.stop());
        meter.answer(16, 26);
        meter.give_up(17, 117);
        meter.flush();
        assert_eq!(meter.answered, 4, "what arrives within the interval");
        assert_eq!(meter.latency.len(), 5, "what was due within the interval");
        assert_eq!((meter.latency.min(), meter.latency.max()), (3, 100));
    }

    #[test]
    fn a_counted_run_leaves_out_what_the_warm_up_sent() {
        let mut meter = Meter::new().unwrap();
        meter.start(10, true);
        meter.answer(8, 12);
        meter.answer(10, 12);
        assert_eq!(meter.answered, 1);
    }
}
