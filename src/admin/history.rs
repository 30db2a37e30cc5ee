//! The last minutes, second by second: rates, and the latencies of each second by itself.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use super::figures::{Figures, SAMPLE_INTERVAL};

/// Samples that are kept: two minutes of them.
pub(super) const SAMPLES_MAX: usize = 120;
/// After a gap of this length the history begins anew.
const GAP: Duration = SAMPLE_INTERVAL.saturating_mul(5);
/// Two samples are at least this far apart.
const LEAST: Duration = Duration::from_millis(200);

/// What happened between two looks.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// NOTIFYs a second.
    pub(super) rate: f64,
    /// NOTIFYs a second of each worker, by number.
    pub(super) workers: Vec<f64>,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) p999: Duration,
    /// Answers over the budget.
    pub(super) over_budget: u64,
}

#[derive(Debug, Default)]
pub(super) struct History {
    last: Option<Arc<Figures>>,
    samples: VecDeque<Sample>,
}

impl History {
    pub(super) const fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// The oldest first.
    pub(super) fn samples(&self) -> Vec<Sample> {
        self.samples.iter().cloned().collect()
    }

    /// Takes what happened since the last time.
    pub(super) fn add(&mut self, figures: &Arc<Figures>) {
        let last = self.last.as_ref();
        let passed = last.map(|last| figures.taken.saturating_duration_since(last.taken));
        if passed.is_some_and(|passed| passed < LEAST) {
            return;
        }
        if passed.is_some_and(|passed| passed > GAP) {
            self.samples.clear();
        } else if let Some(sample) = last.and_then(|last| between(last, figures)) {
            if self.samples.len() >= SAMPLES_MAX {
                self.samples.pop_front();
            }
            self.samples.push_back(sample);
        }
        self.last = Some(Arc::clone(figures));
    }
}

fn between(earlier: &Figures, later: &Figures) -> Option<Sample> {
    let seconds = later
        .taken
        .saturating_duration_since(earlier.taken)
        .as_secs_f64();
    let (before, after) = (earlier.all.as_ref()?, later.all.as_ref()?);
    let rate = |before: u64, after: u64| per_second(after.saturating_sub(before), seconds);
    let workers = later.report.workers.iter().map(|worker| {
        let same = |it: &&haproxy_spoa::WorkerReport| it.worker == worker.worker;
        let before = earlier.report.workers.iter().find(same);
        let before = before.map_or(0, |it| it.counters.notifies);
        rate(before, worker.counters.notifies)
    });
    let latency = after.latency.since(&before.latency);
    Some(Sample {
        rate: rate(before.counters.notifies, after.counters.notifies),
        workers: workers.collect(),
        p50: latency.percentile(50.0),
        p99: latency.percentile(99.0),
        p999: latency.percentile(99.9),
        over_budget: latency.over_budget(),
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate is not exact to the last of 16 digits"
)]
pub(super) fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}
