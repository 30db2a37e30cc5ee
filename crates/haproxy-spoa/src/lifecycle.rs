//! The state of a connection, from its HELLO to its end, and the deadline of that state.
//!
//! ```text
//!  Connecting --HELLO--> Established --+-- DISCONNECT, health check answered --> Leaving(Close)
//!      |                               '-- fault, timeout, shutdown -----------> Leaving(Linger)
//!      '-- fault, health check, timeout --> Leaving
//!
//!  Close     close once all is sent
//!  Linger    AGENT-DISCONNECT, shut our side, discard input until the peer closes, close
//! ```

use std::time::Instant;

use super::limits::{LINGER_BYTES, Limits};
use super::timer::Timer;

/// How a connection that is over closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseMode {
    /// The peer expects nothing more: close.
    Close,
    /// The peer may still be sending. The kernel answers input after a close with a reset, which can
    /// destroy our last frame on its way. So close our side, and discard input until the peer closes.
    Linger {
        /// Whether our side is closed.
        is_shut: bool,
        /// Bytes discarded.
        discarded: usize,
    },
}

/// The start of [`CloseMode::Linger`].
pub(super) const LINGER: CloseMode = CloseMode::Linger {
    is_shut: false,
    discarded: 0,
};

/// What a connection waits for after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitFor {
    /// An event.
    Event,
    /// An event, writability among them.
    Writable,
    /// Another turn, after the other connections have had theirs.
    Turn,
}

/// Why a connection is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionEnd {
    /// It ended as the protocol says.
    Ended,
    /// The peer closed it without a DISCONNECT.
    Eof,
    /// The socket failed.
    Reset,
    /// The peer did not read its answers in time.
    Unread,
    /// The kernel did not register it for events.
    Unregistered,
}

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waiting for HAPROXY-HELLO.
    Connecting,
    /// HELLOs are exchanged.
    Established,
    /// Nothing more is answered.
    Leaving(CloseMode),
}

/// The state of one connection, and when it times out.
#[derive(Debug)]
pub(super) struct Lifecycle {
    phase: Phase,
    deadline: Option<Instant>,
}

impl Lifecycle {
    /// A connection that was just accepted.
    pub(super) fn new(limits: &Limits, timer: &mut Timer) -> Self {
        let wait = if timer.is_draining() {
            Some(limits.drain_grace)
        } else {
            limits.hello_timeout
        };
        Self {
            phase: Phase::Connecting,
            deadline: wait.and_then(|wait| timer.deadline_in(wait)),
        }
    }

    #[inline]
    pub(super) const fn phase(&self) -> Phase {
        self.phase
    }

    #[inline]
    pub(super) const fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving(_))
    }

    #[inline]
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// HELLOs are exchanged. In a shutdown the connection gets the grace time that others got when
    /// the shutdown began.
    pub(super) fn establish(&mut self, limits: &Limits, timer: &mut Timer) {
        if self.phase != Phase::Connecting {
            return;
        }
        self.phase = Phase::Established;
        let wait = if timer.is_draining() {
            Some(limits.drain_grace)
        } else {
            limits.idle_timeout
        };
        self.deadline = wait.and_then(|wait| timer.deadline_in(wait));
    }

    /// Restarts the idle timeout at `now`: whatever a peer sends shows that it is alive.
    #[inline]
    pub(super) fn restart_idle(&mut self, now: Instant, limits: &Limits, timer: &mut Timer) {
        if let (Some(idle), Phase::Established) = (limits.idle_timeout, self.phase)
            && !timer.is_draining()
        {
            self.deadline = now.checked_add(idle);
            if let Some(at) = self.deadline {
                timer.watch(at);
            }
        }
    }

    /// Ends the connection. What is unsent is still sent.
    pub(super) const fn leave(&mut self, mode: CloseMode) {
        self.phase = Phase::Leaving(mode);
    }

    /// Starts the time that a connection that is over has for its next step.
    pub(super) fn start_linger(&mut self, limits: &Limits, timer: &mut Timer) {
        debug_assert!(self.is_leaving());
        self.deadline = timer.deadline_in(limits.linger_timeout);
    }

    /// Records input that was discarded after our side was shut. Returns false at the limit.
    pub(super) const fn discard(&mut self, bytes: usize) -> bool {
        let before = match self.phase {
            Phase::Leaving(CloseMode::Linger { discarded, .. }) => discarded,
            _ => 0,
        };
        let discarded = before + bytes;
        self.phase = Phase::Leaving(CloseMode::Linger {
            is_shut: true,
            discarded,
        });
        discarded <= LINGER_BYTES
    }

    /// A shutdown has begun: the peer is disconnected after its next answer, or after the grace time.
    pub(super) fn drain(&mut self, limits: &Limits, timer: &mut Timer) {
        if !self.is_leaving() {
            self.deadline = timer.deadline_in(limits.drain_grace);
        }
    }

    /// The deadline has passed: there is none until another one is set.
    pub(super) const fn clear_deadline(&mut self) {
        self.deadline = None;
    }

    /// Waits for the idle timeout once more, although the peer sent nothing.
    pub(super) fn extend_idle(&mut self, limits: &Limits, timer: &mut Timer) {
        self.deadline = limits.idle_timeout.and_then(|idle| timer.deadline_in(idle));
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn limits() -> Limits {
        Limits {
            hello_timeout: Some(HOUR),
            idle_timeout: Some(2 * HOUR),
            drain_grace: 3 * HOUR,
            linger_timeout: 4 * HOUR,
            ..Limits::default()
        }
    }

    /// Whole hours from `start` to the deadline.
    fn hours(lifecycle: &Lifecycle, start: Instant) -> Option<u64> {
        let left = lifecycle.deadline()?.saturating_duration_since(start);
        Some(left.as_secs() / 3600)
    }

    #[test]
    fn every_phase_has_its_deadline() {
        let (limits, mut timer, start) = (limits(), Timer::default(), Instant::now());
        let mut lifecycle = Lifecycle::new(&limits, &mut timer);
        assert_eq!(hours(&lifecycle, start), Some(1));
        lifecycle.establish(&limits, &mut timer);
        assert_eq!(hours(&lifecycle, start), Some(2));
        lifecycle.restart_idle(start + 5 * HOUR, &limits, &mut timer);
        assert_eq!(hours(&lifecycle, start), Some(7));
        lifecycle.leave(LINGER);
        lifecycle.start_linger(&limits, &mut timer);
        assert_eq!(hours(&lifecycle, start), Some(4));
        lifecycle.restart_idle(start, &limits, &mut timer);
        lifecycle.drain(&limits, &mut timer);
        assert_eq!(hours(&lifecycle, start), Some(4), "it is over");
        assert!(timer.earliest().is_some_and(|at| at <= start + 2 * HOUR));
    }

    #[test]
    fn a_shutdown_replaces_the_other_deadlines() {
        let (limits, mut timer, start) = (limits(), Timer::default(), Instant::now());
        let mut before = Lifecycle::new(&limits, &mut timer);
        timer.drain_by(start + 24 * HOUR);
        before.drain(&limits, &mut timer);
        assert_eq!(hours(&before, start), Some(3));
        let mut during = Lifecycle::new(&limits, &mut timer);
        assert_eq!(hours(&during, start), Some(3));
        during.clear_deadline();
        during.establish(&limits, &mut timer);
        assert_eq!(hours(&during, start), Some(3));
        during.restart_idle(start + HOUR, &limits, &mut timer);
        assert_eq!(hours(&during, start), Some(3), "silence is no reason now");
    }

    #[test]
    fn a_timeout_that_is_off_sets_no_deadline() {
        let limits = Limits {
            hello_timeout: None,
            ..Limits::default()
        };
        let mut timer = Timer::default();
        let mut lifecycle = Lifecycle::new(&limits, &mut timer);
        lifecycle.establish(&limits, &mut timer);
        lifecycle.restart_idle(Instant::now(), &limits, &mut timer);
        assert_eq!((lifecycle.deadline(), timer.earliest()), (None, None));
    }

    #[test]
    fn discarded_input_is_limited() {
        let mut lifecycle = Lifecycle::new(&Limits::default(), &mut Timer::default());
        lifecycle.leave(LINGER);
        assert!(lifecycle.discard(LINGER_BYTES));
        assert!(!lifecycle.discard(1));
    }
}
