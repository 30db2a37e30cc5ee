//! Drives a `Session` as an agent does, without a socket, and checks at every call what holds
//! whatever the peer sends.
//!
//! ```text
//!  chunk -> [ tail | chunk ] ->  serve  -> [ output ] -> sent
//!               ^                  |
//!               '-- not consumed --'
//! ```

use bytes::BytesMut;
use haproxy_spoa::{Handler, Replies, Served};
use haproxy_spop::session::{CloseReason, ProtocolError, Session, SessionConfig, Statistics};
use haproxy_spop::{LENGTH_PREFIX, MAX_FRAME_SIZE_LEAST, Status};

/// What all calls together did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) consumed: usize,
    pub(crate) acks: u32,
    pub(crate) skipped: u32,
    pub(crate) reassembled: u32,
    pub(crate) aborted: u32,
    pub(crate) close: Option<Status>,
    pub(crate) refusal: Option<ProtocolError>,
}

/// A session, what it has not consumed and what it has answered.
#[derive(Debug)]
pub(crate) struct Driver {
    terms: SessionConfig,
    session: Session,
    replies: Replies,
    tail: Vec<u8>,
    output: BytesMut,
    /// So many bytes of output may still lie there, unsent, when the session is called again.
    hold: usize,
    sent: Vec<u8>,
    total: Total,
}

impl Driver {
    pub(crate) fn new(terms: SessionConfig, hold: usize) -> Self {
        Self {
            terms,
            session: Session::new(terms),
            replies: Replies::detached(),
            tail: Vec::new(),
            output: BytesMut::new(),
            hold,
            sent: Vec::new(),
            total: Total::default(),
        }
    }

    /// Everything that was answered so far.
    pub(crate) fn sent(&self) -> &[u8] {
        &self.sent
    }

    pub(crate) const fn total(&self) -> Total {
        self.total
    }

    /// The next bytes from the peer.
    pub(crate) fn feed(&mut self, chunk: &[u8], handler: &mut impl Handler) {
        self.tail.extend_from_slice(chunk);
        while self.receive(handler).paused {}
    }

    /// Ends the connection from this side.
    pub(crate) fn disconnect(&mut self, status: Status) {
        let before = self.output.len();
        self.session.disconnect(status, &mut self.output);
        self.send(before);
        assert!(self.session.is_closed());
    }

    fn receive(&mut self, handler: &mut impl Handler) -> Served {
        let before = self.output.len();
        let was_closed = self.session.is_closed();
        let (session, output) = (&mut self.session, &mut self.output);
        let step = self.replies.serve(session, &self.tail, output, handler);
        assert!(
            step.consumed <= self.tail.len(),
            "consumed more than there was"
        );
        self.tail.drain(..step.consumed);
        let appended = self.send(before);
        if was_closed {
            assert_eq!((step, appended), (Served::default(), 0), "after the close");
            let seen = self.session.take_statistics();
            assert_eq!(seen, Statistics::default());
        } else {
            self.check(step, appended);
            self.add(step);
        }
        if step.paused {
            self.output.clear();
        }
        step
    }

    /// What is bounded, whatever came in.
    fn check(&self, step: Served, appended: usize) {
        let frame_max =
            LENGTH_PREFIX + self.terms.max_frame_size.max(MAX_FRAME_SIZE_LEAST) as usize;
        let high_water = self.terms.output_high_water.max(1);
        assert!(
            appended < high_water + frame_max,
            "{appended} bytes in one call"
        );
        assert_eq!(self.session.is_closed(), step.close.is_some());
        if let Some(close) = step.close
            && let CloseReason::Refused(refusal) = close.reason
        {
            assert_eq!(close.status, refusal.status());
        }
        if step.paused {
            assert!(appended >= high_water && step.close.is_none());
        } else if step.close.is_none() {
            let tail = self.tail.len();
            let whole = LENGTH_PREFIX + self.session.max_frame_size() as usize;
            assert!(
                tail < whole,
                "{tail} bytes wait, a frame has {whole} at most"
            );
        }
    }

    fn send(&mut self, before: usize) -> usize {
        let fresh = &self.output[before..];
        let appended = fresh.len();
        self.sent.extend_from_slice(fresh);
        if self.output.len() > self.hold {
            self.output.clear();
        }
        appended
    }

    fn add(&mut self, step: Served) {
        let total = &mut self.total;
        total.consumed += step.consumed;
        total.acks += step.acks;
        let seen = self.session.take_statistics();
        total.skipped += seen.skipped;
        total.reassembled += seen.reassembled;
        total.aborted += seen.aborted;
        if let Some(close) = step.close {
            total.close = Some(close.status);
            if let CloseReason::Refused(refusal) = close.reason {
                total.refusal = Some(refusal);
            }
        }
    }
}
