//! What the main thread and the load threads share: a phase one way, a few numbers the other.

use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use mio::Waker;

use crate::units;

/// The phases of a run, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Connections are made.
    Opening,
    /// Load that does not count.
    WarmingUp,
    /// Load that counts.
    Measuring,
    /// Answers are awaited, connections are closed.
    Draining,
}

/// What a load thread has to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// All its connections are open.
    Opened,
    /// Its share of `--count` is answered.
    Done,
    /// It cannot go on.
    GaveUp,
}

#[derive(Debug)]
pub(crate) struct Control {
    phase: AtomicU8,
    wakers: Vec<Waker>,
    pub(crate) gauges: Vec<Gauge>,
    pub(crate) clock: Clock,
}

/// What a load thread has counted so far, for the progress line.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    pub(crate) open: AtomicU64,
    pub(crate) answered: AtomicU64,
    pub(crate) wrong: AtomicU64,
}

impl Control {
    pub(crate) fn new(wakers: Vec<Waker>) -> Self {
        Self {
            phase: AtomicU8::new(Phase::Opening as u8),
            gauges: wakers.iter().map(|_| Gauge::default()).collect(),
            wakers,
            clock: Clock(Instant::now()),
        }
    }

    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Opening,
            1 => Phase::WarmingUp,
            2 => Phase::Measuring,
            _ => Phase::Draining,
        }
    }

    /// Begins a phase, and tells every load thread.
    pub(crate) fn enter(&self, phase: Phase) -> io::Result<()> {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.wakers.iter().try_for_each(Waker::wake)
    }

    /// A number of all load threads together.
    pub(crate) fn sum(&self, of: impl Fn(&Gauge) -> &AtomicU64) -> u64 {
        let gauges = self.gauges.iter();
        gauges.map(|gauge| of(gauge).load(Ordering::Relaxed)).sum()
    }
}

/// Nanoseconds since the run began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    #[inline]
    pub(crate) fn now(self) -> u64 {
        let elapsed = self.0.elapsed();
        elapsed.as_secs() * units::SECOND + u64::from(elapsed.subsec_nanos())
    }
}
