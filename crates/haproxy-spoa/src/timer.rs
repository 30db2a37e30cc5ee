//! The earliest deadline of a worker, and the end of its shutdown.
//!
//! Deadlines are kept by those that have them. The worker knows only the earliest one, and looks at
//! all of them when it has come. Without a deadline the clock is not read.

use core::time::Duration;
use std::time::Instant;

/// When a worker has to look at deadlines.
#[derive(Debug, Default)]
pub(super) struct Timer {
    earliest: Option<Instant>,
    drain: Option<Instant>,
}

impl Timer {
    /// A deadline from now on, and the promise to look at it. `None` if the clock cannot express it.
    pub(super) fn deadline_in(&mut self, after: Duration) -> Option<Instant> {
        let at = Instant::now().checked_add(after)?;
        self.watch(at);
        Some(at)
    }

    /// Has deadlines looked at by then.
    #[inline]
    pub(super) fn watch(&mut self, at: Instant) {
        self.earliest = Some(self.earliest.map_or(at, |earliest| earliest.min(at)));
    }

    /// No deadline is earlier.
    #[inline]
    pub(super) const fn earliest(&self) -> Option<Instant> {
        self.earliest
    }

    /// The deadlines are looked at now. Those that have not passed are watched again.
    pub(super) const fn reset(&mut self) {
        self.earliest = None;
    }

    /// Starts a shutdown that ends by `until`.
    pub(super) fn drain_by(&mut self, until: Instant) {
        self.drain = Some(until);
        self.watch(until);
    }

    /// When the shutdown ends, if there is one.
    #[inline]
    pub(super) const fn drain(&self) -> Option<Instant> {
        self.drain
    }

    /// Whether a shutdown has begun.
    #[inline]
    pub(super) const fn is_draining(&self) -> bool {
        self.drain.is_some()
    }
}
