//! One connection of a worker: socket, session, and what could not be dealt with at once.
//!
//! ```text
//!             leftover   one read                      backlog   one write
//!  context.input [ cut fra | me frame frame fra ]  --->  [ unsent | answers ] context.output
//!                        Replies::serve, in place
//! ```
//!
//! A turn is one `read`, the session over all whole frames, one `write`. Only the tail of a frame
//! and unsent answers stay here; while there are unsent answers nothing more is read. A read that
//! does not fill its room has emptied the socket, so there is none to see that it is empty. (Urgent
//! data and descriptors end a read early; SPOP has neither, and who sends them waits for the next event.)

use std::io::{self, Read as _};
use std::time::Instant;

use mio::Token;

use super::context::WorkerContext;
use super::outbox::Backlog;
use super::refusals::Refused;
use super::replies::Served;
use super::report::States;
use super::shutdown::{CloseMode, LINGER};
use super::stream::Stream;
use super::worker::Late;
use crate::Handler;
use haproxy_spop::session::{Close, CloseReason, ProtocolError, Session};
use haproxy_spop::{FRAME_LEN_LEAST, LENGTH_PREFIX};

/// A leftover buffer of at most this size is kept for the next cut frame; a larger one is freed.
const LEFTOVER_KEPT: usize = 512;

/// One connection.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says one thing about the socket"
)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    pub(super) session: Session,
    /// Tells this connection from others that had or will have its place in the slab.
    pub(super) serial: u32,
    /// Input that waits for more input, or for the backlog to be sent.
    pub(super) leftover: Vec<u8>,
    /// `leftover` holds whole frames: the output was full.
    pub(super) held_back: bool,
    pub(super) backlog: Option<Box<Backlog>>,
    /// Nothing more is to be read; close once the backlog is sent.
    pub(super) ending: Option<CloseMode>,
    /// When `expire` is to be called.
    pub(super) deadline: Option<Instant>,
    /// The kernel has said that the peer sends nothing after what is in the socket.
    pub(super) read_closed: bool,
    /// Waiting in the worker's queue for another turn.
    pub(super) queued: bool,
    /// Registered for writability too.
    pub(super) watches_write: bool,
    /// By what the worker finds it.
    token: Token,
    /// NOTIFYs whose answers are deferred.
    pub(super) outstanding: u32,
}

/// What a connection waits for after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitFor {
    /// An event.
    Event,
    /// An event, writability among them.
    Writable,
    /// Another turn, after the others have had theirs.
    Turn,
}

/// Why a connection is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionEnd {
    /// It ended as the protocol says.
    Ended,
    /// The peer closed it without a DISCONNECT.
    Eof,
    /// The socket failed.
    Reset,
    /// The kernel did not register it for events.
    Unregistered,
}

impl Connection {
    pub(super) fn new<H>(
        stream: Stream,
        token: Token,
        serial: u32,
        context: &mut WorkerContext<H>,
    ) -> Self {
        let wait = match context.drain {
            Some(_) => Some(context.limits.drain_grace),
            None => context.limits.hello_timeout,
        };
        Self {
            stream,
            session: Session::new(context.limits.terms),
            serial,
            leftover: Vec::new(),
            held_back: false,
            backlog: None,
            ending: None,
            deadline: wait.and_then(|wait| context.deadline_in(wait)),
            read_closed: false,
            queued: false,
            watches_write: false,
            token,
            outstanding: 0,
        }
    }

    /// Counts it where it stands.
    pub(super) const fn count_state(&self, states: &mut States) {
        if self.ending.is_some() {
            states.leaving += 1;
        } else if self.session.is_established() {
            states.established += 1;
        } else {
            states.connecting += 1;
        }
    }

    /// One turn: unsent answers, one read, its answers.
    pub(super) fn turn(
        &mut self,
        context: &mut WorkerContext<impl Handler>,
    ) -> Result<WaitFor, ConnectionEnd> {
        if !self.send_backlog(context)? {
            return Ok(WaitFor::Writable);
        }
        if self.held_back {
            self.answer_leftover(context)?;
        }
        if self.backlog.is_some() {
            return Ok(WaitFor::Writable);
        }
        if let Some(ending) = self.ending {
            return self.leave(ending, context);
        }
        self.fill(context)
    }

    /// One read, and the answers to what it brought.
    fn fill(
        &mut self,
        context: &mut WorkerContext<impl Handler>,
    ) -> Result<WaitFor, ConnectionEnd> {
        #[cfg(feature = "tls")]
        if self.stream.is_sealed() {
            return self.fill_sealed(context);
        }
        let held = self.leftover.len();
        let room = context.limits.turn_bytes;
        let Some(space) = context.input.get_mut(held..held.saturating_add(room)) else {
            return Err(ConnectionEnd::Reset);
        };
        let read = match self.stream.read(space) {
            Ok(0) => return Err(ConnectionEnd::Eof),
            Ok(read) => read,
            Err(error) => return pass(&error),
        };
        let read_at = Instant::now();
        context.counters.bytes_in += read as u64;
        self.postpone_idle(read_at, context);
        self.process_input(read, read < room, read_at, context)
    }

    /// The answers to what was read behind the place of the leftover.
    pub(super) fn process_input(
        &mut self,
        read: usize,
        drained: bool,
        read_at: Instant,
        context: &mut WorkerContext<impl Handler>,
    ) -> Result<WaitFor, ConnectionEnd> {
        let held = self.leftover.len();
        if self.is_still_cut(read, context) {
            self.leftover
                .extend_from_slice(context.input.get(held..held + read).unwrap_or_default());
        } else {
            self.restore_leftover(context);
            self.answer(held + read, drained, read_at, context)?;
        }
        if self.backlog.is_some() {
            return Ok(WaitFor::Writable);
        }
        match self.ending {
            Some(ending) => self.leave(ending, context),
            None if !drained => Ok(WaitFor::Turn),
            // What is left is the end itself, or what a read stops in front of: urgent data, or a
            // descriptor sent over a UNIX socket.
            None if self.read_closed => Ok(WaitFor::Turn),
            None => Ok(WaitFor::Event),
        }
    }

    /// Whether the frame that was cut still is, so that nothing needs to be moved or looked at. The
    /// session sees a length that is out of bounds at once.
    fn is_still_cut<H>(&self, read: usize, context: &WorkerContext<H>) -> bool {
        let held = self.leftover.len();
        if held == 0 {
            return false;
        }
        let fresh = context.input.get(held..held + read).unwrap_or_default();
        let mut prefix = [0; LENGTH_PREFIX];
        let mut known = 0;
        for (place, byte) in prefix.iter_mut().zip(self.leftover.iter().chain(fresh)) {
            *place = *byte;
            known += 1;
        }
        let len = u32::from_be_bytes(prefix);
        known < LENGTH_PREFIX
            || ((FRAME_LEN_LEAST..=self.session.max_frame_size()).contains(&len)
                && held + read < LENGTH_PREFIX.saturating_add(len as usize))
    }

    /// Puts the leftover back in front of what was read behind its place.
    fn restore_leftover<H>(&mut self, context: &mut WorkerContext<H>) {
        if let Some(front) = context.input.get_mut(..self.leftover.len()) {
            front.copy_from_slice(&self.leftover);
        }
        if self.leftover.capacity() > LEFTOVER_KEPT {
            self.leftover = Vec::new();
        }
        self.leftover.clear();
    }

    fn answer_leftover(
        &mut self,
        context: &mut WorkerContext<impl Handler>,
    ) -> Result<(), ConnectionEnd> {
        self.held_back = false;
        let held = self.leftover.len();
        self.restore_leftover(context);
        self.answer(held, false, Instant::now(), context)
    }

    /// Runs the session over the first `len` bytes of the input and sends the answers.
    fn answer(
        &mut self,
        len: usize,
        drained: bool,
        read_at: Instant,
        context: &mut WorkerContext<impl Handler>,
    ) -> Result<(), ConnectionEnd> {
        let mut from = 0;
        loop {
            context.output.clear();
            let connecting = !self.session.is_established();
            let input = context.input.get(from..len).unwrap_or_default();
            let replies = &mut context.replies;
            (replies.token, replies.outstanding) = (self.token, self.outstanding);
            let step = replies.serve(
                &mut self.session,
                input,
                &mut context.output,
                &mut context.handler,
            );
            self.outstanding = replies.outstanding;
            let refusal = step.close.and_then(refusal_of);
            #[cfg(feature = "trace")]
            if let Some(trace) = &context.trace {
                trace.step(
                    self.serial,
                    input.get(..step.consumed).unwrap_or_default(),
                    &context.output,
                    refusal,
                );
                trace.actions_dropped(self.serial, context.replies.actions_dropped);
            }
            from += step.consumed;
            self.count(&step, read_at, context);
            if step.close.is_some() {
                self.ending = Some(match refusal {
                    Some(why) => {
                        let peer = self.stream.peer();
                        let at = read_at;
                        context.refusals.record(Refused { at, peer, why });
                        LINGER
                    }
                    None => CloseMode::Close,
                });
            } else if drained && from == len && step.acks > 0 {
                self.leave_if_draining(context);
            }
            self.send(step.acks, read_at, context)?;
            if connecting && self.session.is_established() {
                self.deadline = context
                    .limits
                    .idle_timeout
                    .and_then(|idle| context.deadline_in(idle));
                if context.drain.is_some() {
                    self.drain(context);
                }
            }
            if self.ending.is_some() {
                return Ok(());
            }
            self.held_back = step.paused && self.backlog.is_some();
            if !step.paused || self.held_back {
                break;
            }
        }
        self.leftover
            .extend_from_slice(context.input.get(from..len).unwrap_or_default());
        Ok(())
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
                context.watch(deadline);
            }
        }
    }

    /// Whether an ACK may still follow.
    pub(super) const fn takes_answers(&self) -> bool {
        self.ending.is_none() && self.session.is_established()
    }

    /// Sends answers that were deferred, all with one write.
    pub(super) fn answer_later(
        &mut self,
        answers: &[Late],
        context: &mut WorkerContext<impl Handler>,
    ) -> Result<WaitFor, ConnectionEnd> {
        context.output.clear();
        for (outstanding, frame, dropped) in answers {
            debug_assert!(
                self.outstanding > 0,
                "each was counted when it was deferred"
            );
            self.outstanding = self.outstanding.saturating_sub(1);
            context
                .replies
                .write(outstanding, frame, &mut context.output);
            context.counters.notifies += 1;
            context.counters.actions_dropped += u64::from(*dropped);
            context.latency.record(outstanding.since.elapsed(), 1);
            #[cfg(feature = "trace")]
            if let Some(trace) = &context.trace {
                trace.actions_dropped(self.serial, *dropped);
            }
        }
        #[cfg(feature = "trace")]
        if let Some(trace) = &context.trace {
            trace.step(self.serial, &[], &context.output, None);
        }
        if self.leftover.is_empty() {
            self.leave_if_draining(context);
        }
        self.send_behind(context)?;
        match self.ending {
            _ if self.backlog.is_some() => Ok(WaitFor::Writable),
            Some(ending) => self.leave(ending, context),
            None => Ok(WaitFor::Event),
        }
    }

    /// Whatever a peer sends shows that it is there.
    pub(super) fn postpone_idle<H>(&mut self, read_at: Instant, context: &mut WorkerContext<H>) {
        if let (Some(idle), None, None) = (context.limits.idle_timeout, self.ending, context.drain)
            && self.session.is_established()
        {
            self.deadline = read_at.checked_add(idle);
            self.deadline.into_iter().for_each(|at| context.watch(at));
        }
    }
}

/// An error of `read`: nothing there, interrupted, or the end.
pub(super) fn pass(error: &io::Error) -> Result<WaitFor, ConnectionEnd> {
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
