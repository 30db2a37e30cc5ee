//! What a worker does because its time has come: listeners that rested, connections past their
//! deadline, and how long to sleep until then.

use core::time::Duration;
use std::time::Instant;

use bytes::BytesMut;

use super::limits::SWEEP_INTERVAL;
use super::worker::Worker;
use crate::{Handler, WorkerHooks};

impl<H: Handler + WorkerHooks> Worker<H> {
    /// How long poll may sleep.
    pub(super) fn timeout(&self) -> Option<Duration> {
        if self.overdue.is_some()
            || !self.pending.is_empty()
            || self.listeners.iter().any(|listener| listener.pending)
        {
            return Some(Duration::ZERO);
        }
        let earliest = self.context.earliest?;
        Some(earliest.saturating_duration_since(Instant::now()))
    }

    /// Whatever waits for a moment that has come. In the steady state nothing does, and the clock is
    /// not read.
    ///
    /// Between the latest poll and now this thread may have been held up for any time, by a stop of the
    /// process or by other ones. What peers have said by the moment that is seen here counts: it is
    /// acted on after another poll.
    pub(super) fn due(&mut self) {
        let Some(earliest) = self.context.earliest else {
            return;
        };
        let Some(now) = self.overdue.take() else {
            let now = Instant::now();
            self.overdue = (earliest <= now).then_some(now);
            return;
        };
        self.context.earliest = None;
        self.due_listeners(now);
        let mut next: Option<Instant> = self.context.drain;
        for place in self.due_connections(now, &mut next) {
            if let Some(connection) = self.connections.get_mut(place) {
                let expired = connection.expire(&mut self.context);
                self.settle(place, expired);
            }
        }
        self.give_up(now);
        let waiting = next
            .into_iter()
            .chain(self.context.replies.deadline())
            .chain(self.context.earliest)
            .min();
        // However close together the deadlines are, a look at all of them is paid for only so often.
        self.context.earliest = waiting.map(|at| at.max(now + SWEEP_INTERVAL));
    }

    /// The connections whose deadline has passed; `next` learns of the others'.
    fn due_connections(&self, now: Instant, next: &mut Option<Instant>) -> Vec<usize> {
        let mut due = Vec::new();
        for (place, connection) in &self.connections {
            match connection.deadline {
                Some(at) if at <= now => due.push(place),
                Some(at) => *next = Some(next.map_or(at, |next| next.min(at))),
                None => {}
            }
        }
        due
    }

    /// Answers the deferred NOTIFYs whose time is over without an action.
    fn give_up(&mut self, now: Instant) {
        let expired = self.context.replies.expire(now);
        self.context.counters.expired += expired.len() as u64;
        let empty = expired.into_iter().map(|it| (it, BytesMut::new(), 0));
        self.answers.extend(empty);
        self.deliver();
    }

    fn due_listeners(&mut self, now: Instant) {
        for index in 0..self.listeners.len() {
            let Some(listener) = self.listeners.get_mut(index) else {
                return;
            };
            match listener.retry_at {
                Some(at) if at <= now => {
                    listener.retry_at = None;
                    self.accept(index);
                }
                Some(at) => self.context.watch(at),
                None => {}
            }
        }
    }
}
