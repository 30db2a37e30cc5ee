//! What a worker has one of, whatever the number of its connections.

use bytes::BytesMut;

use super::report::LastPeer;
use super::timer::Timer;
use super::transport::Buffers;
use super::{Counters, Latency, Limits, Refusals, Replies};
use haproxy_spop::LENGTH_PREFIX;

#[cfg(feature = "tls")]
use super::tls::ROOM_LEAST;
#[cfg(feature = "trace")]
use super::trace::Trace;

/// Buffers, handler, counts and timer.
#[derive(Debug)]
pub(super) struct WorkerContext<H> {
    pub(super) buffers: Buffers,
    pub(super) handler: H,
    pub(super) replies: Replies,
    pub(super) counters: Counters,
    pub(super) refusals: Refusals,
    pub(super) over_source_limit: Option<LastPeer>,
    pub(super) unread: Option<LastPeer>,
    pub(super) latency: Latency,
    pub(super) limits: Limits,
    pub(super) timer: Timer,
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
            buffers: Buffers {
                input: vec![0; input_len(&limits)],
                output: BytesMut::with_capacity(output.saturating_add(frame)),
                #[cfg(feature = "tls")]
                sealed: Vec::new(),
                #[cfg(feature = "tls")]
                sealing: BytesMut::new(),
            },
            handler,
            replies,
            counters: Counters::default(),
            refusals: Refusals::default(),
            over_source_limit: None,
            unread: None,
            latency: Latency::new(limits.slow_threshold),
            limits,
            timer: Timer::default(),
            #[cfg(feature = "trace")]
            trace: None,
        }
    }

    /// Makes room for records.
    #[cfg(feature = "tls")]
    pub(super) fn expect_tls(&mut self) {
        self.limits.turn_bytes = self.limits.turn_bytes.max(ROOM_LEAST);
        self.buffers.input = vec![0; input_len(&self.limits)];
        self.buffers.sealed = vec![0; self.limits.turn_bytes];
    }
}

/// Room for one read behind what a connection can have left over: the tail of a frame and, if a turn
/// ended early, the input of that turn.
fn input_len(limits: &Limits) -> usize {
    let frame = LENGTH_PREFIX.saturating_add(limits.terms.max_frame_size as usize);
    frame.saturating_add(limits.turn_bytes)
}
