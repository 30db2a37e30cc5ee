//! What a worker has one of, whatever the number of its connections.

use core::time::Duration;
use std::time::Instant;

use bytes::BytesMut;

use super::{Counters, Latency, Limits, Refusals, Replies};
use haproxy_spop::LENGTH_PREFIX;

#[cfg(feature = "tls")]
use super::tls::ROOM_LEAST;
#[cfg(feature = "trace")]
use super::trace::Trace;

/// One input and one output buffer, the handler, the counts and the clock's next appointment.
#[derive(Debug)]
pub(super) struct WorkerContext<H> {
    /// Room for what a connection has left over, and behind it for one read.
    pub(super) input: Vec<u8>,
    /// The answers of one connection's turn.
    pub(super) output: BytesMut,
    /// Room for one read of records, what is kept of the last one in front. Empty without TLS.
    #[cfg(feature = "tls")]
    pub(super) sealed: Vec<u8>,
    /// The records that take the place of the output.
    #[cfg(feature = "tls")]
    pub(super) sealing: BytesMut,
    pub(super) handler: H,
    pub(super) replies: Replies,
    pub(super) counters: Counters,
    pub(super) refusals: Refusals,
    pub(super) latency: Latency,
    pub(super) limits: Limits,
    /// Set by a shutdown: the moment by which all has to be over.
    pub(super) drain: Option<Instant>,
    /// No deadline is earlier.
    pub(super) earliest: Option<Instant>,
    #[cfg(feature = "trace")]
    pub(super) trace: Option<Trace>,
}

impl<H> WorkerContext<H> {
    pub(super) fn new(handler: H, replies: Replies, mut limits: Limits) -> Self {
        // A turn that may read nothing would not see that there is something.
        limits.turn_bytes = limits.turn_bytes.max(1);
        let frame = LENGTH_PREFIX.saturating_add(limits.terms.max_frame_size as usize);
        let output = limits.terms.output_high_water;
        Self {
            input: vec![0; frame.saturating_add(limits.turn_bytes)],
            output: BytesMut::with_capacity(output.saturating_add(frame)),
            #[cfg(feature = "tls")]
            sealed: Vec::new(),
            #[cfg(feature = "tls")]
            sealing: BytesMut::new(),
            handler,
            replies,
            counters: Counters::default(),
            refusals: Refusals::default(),
            latency: Latency::new(limits.slow_threshold),
            limits,
            drain: None,
            earliest: None,
            #[cfg(feature = "trace")]
            trace: None,
        }
    }

    /// Makes room for records.
    #[cfg(feature = "tls")]
    pub(super) fn expect_tls(&mut self) {
        self.limits.turn_bytes = self.limits.turn_bytes.max(ROOM_LEAST);
        let frame = LENGTH_PREFIX.saturating_add(self.limits.terms.max_frame_size as usize);
        self.input = vec![0; frame.saturating_add(self.limits.turn_bytes)];
        self.sealed = vec![0; self.limits.turn_bytes];
    }

    /// A deadline from now on, and the promise to look at it.
    pub(super) fn deadline_in(&mut self, after: Duration) -> Option<Instant> {
        let at = Instant::now().checked_add(after)?;
        self.watch(at);
        Some(at)
    }

    /// Has the clock looked at by then.
    pub(super) fn watch(&mut self, at: Instant) {
        self.earliest = Some(self.earliest.map_or(at, |earliest| earliest.min(at)));
    }
}
