//! One connection of a worker: its parts, and one turn over them.
//!
//! ```text
//!  transport --one read--> inbox, restored | input --session, handler--> output --one write--> transport
//!                                                                          '--> outbox: unsent
//! ```
//!
//! A turn is one `read`, the session over all whole frames, one `write`. Only the tail of a frame
//! and unsent answers stay here; while there are unsent answers nothing more is read. A read that
//! does not fill its room has emptied the socket, so there is none to see that it is empty. (Urgent
//! data and descriptors end a read early; SPOP has neither, and a peer that sends them waits for the
//! next event.)
//!
//! Each part owns its fields and is tested apart: [`Transport`] (socket, TLS), [`Inbox`] (what is left
//! over of a cut frame), [`Outbox`] (what is unsent), [`Lifecycle`] (state and deadline).

use std::io;
use std::time::Instant;

use mio::{Interest, Registry, Token};

use super::context::WorkerContext;
use super::inbox::Inbox;
use super::lifecycle::{CloseMode, ConnectionEnd, LINGER, Lifecycle, Phase, WaitFor};
use super::outbox::{Batch, Outbox, Sent};
use super::refusals::Refused;
use super::replies::{LateAnswer, Served};
use super::report::{LastPeer, States};
#[cfg(feature = "tls")]
use super::tls::Fault;
use super::transport::{Received, Transport};
use crate::Handler;
use haproxy_spop::Status;
use haproxy_spop::session::{Close, CloseReason, ProtocolError, Session};

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    transport: Transport,
    session: Session,
    inbox: Inbox,
    outbox: Outbox,
    lifecycle: Lifecycle,
    /// Tells this connection from others that had or will have its slot in the slab.
    pub(super) serial: u32,
    /// What the worker finds it by.
    token: Token,
    /// NOTIFYs whose answers are deferred.
    outstanding: u32,
    /// The kernel has reported that the peer sends nothing after what is in the socket.
    pub(super) is_read_closed: bool,
    /// Waiting in the worker's queue for another turn.
    pub(super) is_queued: bool,
    /// Registered for writability too.
    watches_write: bool,
}

impl Connection {
    pub(super) fn new<H>(
        transport: Transport,
        token: Token,
        serial: u32,
        context: &mut WorkerContext<H>,
    ) -> Self {
        Self {
            transport,
            session: Session::new(context.limits.terms),
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            lifecycle: Lifecycle::new(&context.limits, &mut context.timer),
            serial,
            token,
            outstanding: 0,
            is_read_closed: false,
            is_queued: false,
            watches_write: false,
        }
    }

    pub(super) fn register(&mut self, registry: &Registry) -> io::Result<()> {
        self.transport
            .register(registry, self.token, Interest::READABLE)
    }

    /// Has the kernel report when the socket takes output again.
    pub(super) fn watch_write(&mut self, registry: &Registry) -> io::Result<()> {
        if self.watches_write {
            return Ok(());
        }
        self.watches_write = true;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.transport.reregister(registry, self.token, both)
    }

    /// Counts it under its state.
    pub(super) const fn count_state(&self, states: &mut States) {
        match self.lifecycle.phase() {
            Phase::Connecting => states.connecting += 1,
            Phase::Established => states.established += 1,
            Phase::Leaving(_) => states.leaving += 1,
        }
    }

    /// When [`expire`](Self::expire) is to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let lifecycle = self.lifecycle.deadline();
        lifecycle.into_iter().chain(self.outbox.deadline()).min()
    }

    /// One turn: unsent answers, one read, its answers.
    pub(super) fn turn(
        &mut self,
        context: &mut WorkerContext<impl Handler>,
    ) -> Result<WaitFor, ConnectionEnd> {
        if self.outbox.has_unsent() {
            self.flush(context)?;
        }
        if self.outbox.has_unsent() {
            return Ok(WaitFor::Writable);
        }
        if self.inbox.is_held_back() {
            self.answer(0, false, Instant::now(), context)?;
        }
        if let Phase::Leaving(mode) = self.lifecycle.phase()
            && !self.outbox.has_unsent()
        {
            return self.leave(mode, context);
        }
        if self.outbox.has_unsent() {
            return Ok(WaitFor::Writable);
        }
        if self.inbox.is_held_back() {
            return Ok(WaitFor::Turn);
        }
        self.fill(context)
    }

    /// One read, and the answers to what it brought.
    fn fill(
        &mut self,
        context: &mut WorkerContext<impl Handler>,
    ) -> Result<WaitFor, ConnectionEnd> {
        let room = context.limits.turn_bytes;
        let received = self
            .transport
            .receive(self.inbox.len(), room, &mut context.buffers);
        let received = match received {
            Ok(Some(received)) => received,
            Ok(None) => return Err(self.end_of_input(context)),
            Err(error) => return wait_after(&error),
        };
        let read_at = Instant::now();
        context.counters.bytes_in += received.bytes as u64;
        self.lifecycle
            .restart_idle(read_at, &context.limits, &mut context.timer);
        if !context.buffers.output.is_empty() {
            // A handshake, or an alert.
            self.send_sealed(Batch::without_acks(), context)?;
        }
        #[cfg(feature = "tls")]
        if let Some(fault) = &received.fault {
            return self.tls_fault(fault, context);
        }
        #[cfg(feature = "tls")]
        {
            context.counters.tls_handshakes += u64::from(received.is_new);
        }
        self.process(&received, read_at, context)
    }

    /// The answers to what was received behind what is left over.
    #[inline]
    fn process(
        &mut self,
        received: &Received,
        read_at: Instant,
        context: &mut WorkerContext<impl Handler>,
    ) -> Result<WaitFor, ConnectionEnd> {
        let held = self.inbox.len();
        let fresh = context.buffers.input.get(held..held + received.len);
        debug_assert!(fresh.is_some(), "what was received is in the input");
        let fresh = fresh.unwrap_or_default();
        if self.outbox.has_unsent() {
            // The handshake is not sent: what came with it waits.
            self.inbox.keep(fresh, true);
            return Ok(WaitFor::Writable);
        }
        if fresh.is_empty()
            || self
                .inbox
                .is_still_cut(fresh, self.session.max_frame_size())
        {
            self.inbox.keep(fresh, false);
        } else {
            self.answer(received.len, received.is_drained, read_at, context)?;
        }
        if self.outbox.has_unsent() {
            return Ok(WaitFor::Writable);
        }
        match self.lifecycle.phase() {
            Phase::Leaving(mode) => self.leave(mode, context),
            _ if !received.is_drained || self.inbox.is_held_back() => Ok(WaitFor::Turn),
            // What is left is the end itself, or what a read stops in front of: urgent data, or a
            // descriptor sent over a UNIX socket.
            _ if self.is_read_closed => Ok(WaitFor::Turn),
            _ => Ok(WaitFor::Event),
        }
    }

    /// The peer has closed its side. TLS answers that if the socket takes it at once.
    fn end_of_input<H>(&mut self, context: &mut WorkerContext<H>) -> ConnectionEnd {
        context.buffers.output.clear();
        if self.transport.seal(&mut context.buffers, true).is_ok()
            && !context.buffers.output.is_empty()
        {
            // It is closed in any case.
            let _ = self.send_sealed(Batch::without_acks(), context);
        }
        ConnectionEnd::Eof
    }

    /// TLS cannot go on; the peer was sent an alert if there is one for it.
    #[cfg(feature = "tls")]
    fn tls_fault(
        &mut self,
        fault: &Fault,
        context: &mut WorkerContext<impl Handler>,
    ) -> Result<WaitFor, ConnectionEnd> {
        match fault {
            Fault::Certificate(_) => context.counters.tls_refused += 1,
            Fault::Protocol(_) | Fault::TooLong => context.counters.tls_faults += 1,
        }
        #[cfg(feature = "trace")]
        if let Some(trace) = &context.trace {
            trace.fault(self.serial, &self.transport, fault);
        }
        self.inbox.discard();
        self.lifecycle.leave(LINGER);
        self.lifecycle
            .start_linger(&context.limits, &mut context.timer);
        if self.outbox.has_unsent() {
            return Ok(WaitFor::Writable);
        }
        self.leave(LINGER, context)
    }

    /// Runs the session over what is left over and `fresh` bytes behind it, and sends the answers.
    fn answer(
        &mut self,
        fresh: usize,
        is_drained: bool,
        read_at: Instant,
        context: &mut WorkerContext<impl Handler>,
    ) -> Result<(), ConnectionEnd> {
        let len = self.inbox.restore(&mut context.buffers.input) + fresh;
        context.replies.start_turn(read_at);
        let mut from = 0;
        loop {
            let (served, refusal) = self.serve(from..len, read_at, context);
            from += served.consumed;
            match (served.close, refusal) {
                (Some(_), None) => self.lifecycle.leave(CloseMode::Close),
                (Some(_), Some(_)) => self.lifecycle.leave(LINGER),
                (None, _) if is_drained && from == len && served.acks > 0 => {
                    self.leave_if_draining(context);
                }
                (None, _) => {}
            }
            let batch = Batch {
                read_at,
                acks: served.acks,
            };
            self.send(batch, context)?;
            if self.session.is_established() {
                self.lifecycle
                    .establish(&context.limits, &mut context.timer);
            }
            if self.lifecycle.is_leaving() {
                return Ok(());
            }
            // A full output that was sent makes room; without time left others go first.
            let hold_back = served.paused && (self.outbox.has_unsent() || served.is_over_time);
            if !served.paused || hold_back {
                let rest = context.buffers.input.get(from..len);
                debug_assert!(rest.is_some(), "no more is consumed than there is");
                self.inbox.keep(rest.unwrap_or_default(), hold_back);
                return Ok(());
            }
        }
    }

    /// One call of the session over part of the input. What it did, and the fault of the peer.
    fn serve(
        &mut self,
        input: core::ops::Range<usize>,
        read_at: Instant,
        context: &mut WorkerContext<impl Handler>,
    ) -> (Served, Option<ProtocolError>) {
        let buffers = &mut context.buffers;
        buffers.output.clear();
        let input = buffers.input.get(input);
        debug_assert!(input.is_some(), "the input holds what was read");
        let input = input.unwrap_or_default();
        let replies = &mut context.replies;
        (replies.token, replies.outstanding) = (self.token, self.outstanding);
        let served = replies.serve(
            &mut self.session,
            input,
            &mut buffers.output,
            &mut context.handler,
        );
        self.outstanding = replies.outstanding;
        let refusal = served.close.and_then(refusal_of);
        #[cfg(feature = "trace")]
        if let Some(trace) = &context.trace {
            let consumed = input.get(..served.consumed).unwrap_or_default();
            trace.step(self.serial, consumed, &buffers.output, refusal);
            trace.actions_dropped(self.serial, context.replies.actions_dropped);
        }
        self.count(&served, read_at, context);
        if let Some(why) = refusal {
            let peer = self.transport.peer();
            let at = read_at;
            context.refusals.record(Refused { at, peer, why });
        }
        (served, refusal)
    }

    fn count<H>(&mut self, served: &Served, read_at: Instant, context: &mut WorkerContext<H>) {
        let (counters, replies) = (&mut context.counters, &mut context.replies);
        counters.notifies += u64::from(served.acks);
        counters.actions_dropped += u64::from(replies.take_actions_dropped());
        let deferred = core::mem::take(&mut replies.deferred);
        counters.deferred += u64::from(deferred);
        counters.deferred_refused += u64::from(core::mem::take(&mut replies.refused));
        let seen = self.session.take_statistics();
        counters.unknown_frames += u64::from(seen.skipped);
        counters.reassembled += u64::from(seen.reassembled);
        counters.aborted += u64::from(seen.aborted);
        match served.close.map(|close| close.reason) {
            None => {}
            Some(CloseReason::Refused(_)) => counters.refused += 1,
            Some(CloseReason::HealthCheck) => counters.health_checks += 1,
            Some(CloseReason::Disconnect) => counters.disconnects += 1,
        }
        if deferred > 0 {
            // Not earlier than the deadline of the first of them.
            if let Some(deadline) = context.replies.deadline_from(read_at) {
                context.timer.watch(deadline);
            }
        }
    }

    /// Whether an ACK may still follow.
    pub(super) const fn takes_answers(&self) -> bool {
        matches!(self.lifecycle.phase(), Phase::Established)
    }

    /// Sends answers that were deferred, all with one write.
    pub(super) fn answer_later(
        &mut self,
        answers: &[LateAnswer],
        context: &mut WorkerContext<impl Handler>,
    ) -> Result<WaitFor, ConnectionEnd> {
        context.buffers.output.clear();
        let now = Instant::now();
        for answer in answers {
            debug_assert!(
                self.outstanding > 0,
                "each was counted when it was deferred"
            );
            self.outstanding -= 1;
            let output = &mut context.buffers.output;
            context
                .replies
                .write(&answer.outstanding, &answer.frame, output);
            context.counters.notifies += 1;
            context.counters.actions_dropped += u64::from(answer.dropped);
            let took = now.saturating_duration_since(answer.outstanding.since);
            context.latency.record(took, 1);
            #[cfg(feature = "trace")]
            if let Some(trace) = &context.trace {
                trace.actions_dropped(self.serial, answer.dropped);
            }
        }
        #[cfg(feature = "trace")]
        if let Some(trace) = &context.trace {
            trace.step(self.serial, &[], &context.buffers.output, None);
        }
        if self.inbox.is_empty() {
            self.leave_if_draining(context);
        }
        self.send(Batch::without_acks(), context)?;
        match self.lifecycle.phase() {
            _ if self.outbox.has_unsent() => Ok(WaitFor::Writable),
            Phase::Leaving(mode) => self.leave(mode, context),
            _ => Ok(WaitFor::Event),
        }
    }

    /// Sends the output; what the socket does not take is sent later.
    #[inline]
    fn send<H>(
        &mut self,
        batch: Batch,
        context: &mut WorkerContext<H>,
    ) -> Result<(), ConnectionEnd> {
        let is_last = self.lifecycle.is_leaving();
        self.transport
            .seal(&mut context.buffers, is_last)
            .map_err(|_| ConnectionEnd::Reset)?;
        self.send_sealed(batch, context)
    }

    /// Sends the output as it is.
    #[inline]
    fn send_sealed<H>(
        &mut self,
        batch: Batch,
        context: &mut WorkerContext<H>,
    ) -> Result<(), ConnectionEnd> {
        if context.buffers.output.is_empty() {
            return Ok(());
        }
        let had_unsent = self.outbox.has_unsent();
        let sent = self
            .outbox
            .send(&mut self.transport, &context.buffers.output, batch)
            .map_err(|_| ConnectionEnd::Reset)?;
        record(sent, context);
        if !had_unsent && self.outbox.has_unsent() {
            context.counters.paused += 1;
            let timeout = context.limits.write_timeout;
            let deadline = timeout.and_then(|timeout| context.timer.deadline_in(timeout));
            self.outbox.set_deadline(deadline);
            if self.lifecycle.is_leaving() {
                self.lifecycle
                    .start_linger(&context.limits, &mut context.timer);
            }
        }
        Ok(())
    }

    /// Sends unsent answers.
    fn flush<H>(&mut self, context: &mut WorkerContext<H>) -> Result<(), ConnectionEnd> {
        let sent = self
            .outbox
            .flush(&mut self.transport)
            .map_err(|_| ConnectionEnd::Reset)?;
        record(sent, context);
        if self.outbox.has_unsent() && sent.bytes > 0 && self.lifecycle.is_leaving() {
            // A peer that still reads its answers gets the time for it, up to the deadline of the
            // outbox.
            self.lifecycle
                .start_linger(&context.limits, &mut context.timer);
        }
        Ok(())
    }

    /// In a shutdown a connection is disconnected together with an answer that leaves nothing open.
    fn leave_if_draining<H>(&mut self, context: &mut WorkerContext<H>) {
        if context.timer.is_draining()
            && self.session.is_established()
            && !self.session.is_reassembling()
            && self.outstanding == 0
        {
            self.queue_disconnect(Status::NORMAL, context);
        }
    }

    /// Appends AGENT-DISCONNECT to the output and ends the connection.
    fn queue_disconnect<H>(&mut self, status: Status, context: &mut WorkerContext<H>) {
        let output = &mut context.buffers.output;
        #[cfg(feature = "trace")]
        let from = output.len();
        self.session.disconnect(status, output);
        #[cfg(feature = "trace")]
        if let Some(trace) = &context.trace {
            let appended = output.get(from..).unwrap_or_default();
            trace.step(self.serial, &[], appended, None);
        }
        self.lifecycle.leave(LINGER);
        self.lifecycle
            .start_linger(&context.limits, &mut context.timer);
    }

    /// Everything is sent and nothing more is wanted.
    fn leave<H>(
        &mut self,
        mode: CloseMode,
        context: &mut WorkerContext<H>,
    ) -> Result<WaitFor, ConnectionEnd> {
        let CloseMode::Linger { is_shut, .. } = mode else {
            return Err(ConnectionEnd::Ended);
        };
        if !is_shut {
            self.lifecycle
                .start_linger(&context.limits, &mut context.timer);
            self.transport
                .shutdown_write()
                .map_err(|_| ConnectionEnd::Ended)?;
        }
        let room = context.buffers.input.len();
        let (discarded, next) = match self.transport.discard(&mut context.buffers) {
            Ok(0) => return Err(ConnectionEnd::Ended),
            Ok(read) if read == room => (read, WaitFor::Turn),
            Ok(read) => (read, WaitFor::Event),
            Err(error) => (0, wait_after(&error).map_err(|_| ConnectionEnd::Ended)?),
        };
        let may_go_on = self.lifecycle.discard(discarded);
        if !may_go_on || (next == WaitFor::Event && self.is_read_closed) {
            return Err(ConnectionEnd::Ended);
        }
        Ok(next)
    }

    /// A deadline has passed by `now`.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        context: &mut WorkerContext<impl Handler>,
    ) -> Result<WaitFor, ConnectionEnd> {
        if self.outbox.deadline().is_some_and(|at| at <= now) {
            self.transport.reset_on_close();
            context.unread = Some(LastPeer {
                at: now,
                address: self.transport.peer(),
            });
            return Err(ConnectionEnd::Unread);
        }
        self.lifecycle.clear_deadline();
        if self.lifecycle.is_leaving() {
            // It had its time. What is unsent would stay in the kernel.
            self.transport.reset_on_close();
            return Err(ConnectionEnd::Ended);
        }
        let status = match context.timer.drain() {
            Some(until) => {
                // What has arrived by now is still answered.
                let next = self.turn(context)?;
                let is_open = self.has_pending() || next != WaitFor::Event;
                if self.lifecycle.is_leaving() || (is_open && Instant::now() < until) {
                    // Checked again each time: what is pending may end without an answer.
                    self.drain(context);
                    return Ok(next);
                }
                Status::NORMAL
            }
            None if self.outstanding > 0 => {
                // It is this side that is silent.
                self.lifecycle
                    .extend_idle(&context.limits, &mut context.timer);
                return Ok(WaitFor::Event);
            }
            None if self.lifecycle.phase() == Phase::Established => {
                context.counters.idle_timeouts += 1;
                Status::TIMEOUT
            }
            None => {
                context.counters.hello_timeouts += 1;
                Status::TIMEOUT
            }
        };
        context.buffers.output.clear();
        self.queue_disconnect(status, context);
        self.send(Batch::without_acks(), context)?;
        self.turn(context)
    }

    /// A shutdown has begun.
    pub(super) fn drain<H>(&mut self, context: &mut WorkerContext<H>) {
        self.lifecycle.drain(&context.limits, &mut context.timer);
    }

    /// A shutdown's time is over.
    pub(super) fn cut_off<H>(&mut self, context: &mut WorkerContext<H>) {
        if !self.lifecycle.is_leaving() && !self.outbox.has_unsent() {
            context.buffers.output.clear();
            self.queue_disconnect(Status::NORMAL, context);
            // It is closed in any case.
            let _ = self.send(Batch::without_acks(), context);
        }
    }

    /// Whether the peer has begun something that is not complete.
    fn has_pending(&self) -> bool {
        self.transport.has_pending()
            || !self.inbox.is_empty()
            || self.outbox.has_unsent()
            || self.session.is_reassembling()
            || self.outstanding > 0
    }
}

/// Counts what was written. Latency is that of whole batches.
#[inline]
fn record<H>(sent: Sent, context: &mut WorkerContext<H>) {
    context.counters.bytes_out += sent.bytes as u64;
    if let Some(Batch { read_at, acks }) = sent.complete
        && acks > 0
    {
        context.latency.record(read_at.elapsed(), acks);
    }
}

/// What to do after an error of `read`.
fn wait_after(error: &io::Error) -> Result<WaitFor, ConnectionEnd> {
    match error.kind() {
        io::ErrorKind::WouldBlock => Ok(WaitFor::Event),
        io::ErrorKind::Interrupted => Ok(WaitFor::Turn),
        _ => Err(ConnectionEnd::Reset),
    }
}

/// The fault that a connection was closed for.
const fn refusal_of(close: Close) -> Option<ProtocolError> {
    match close.reason {
        CloseReason::Refused(refusal) => Some(refusal),
        CloseReason::Disconnect | CloseReason::HealthCheck => None,
    }
}
