//! One connection of a worker: socket, session, and what could not be dealt with at once.
//!
//! ```text
//!             leftover   one read                      backlog   one write
//!  desk.input [ cut fra | me frame frame fra ]  --->  [ unsent | answers ] desk.output
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

use super::desk::Desk;
use super::leaving::{Ending, LINGER};
use super::refusals::Refused;
use super::replies::Served;
use super::report::States;
use super::sending::Backlog;
use super::stream::Stream;
use super::worker::Late;
use crate::Handler;
use haproxy_spop::session::{Close, CloseReason, Refusal, Session};
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
    pub(super) ending: Option<Ending>,
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
pub(super) enum Next {
    /// An event.
    Event,
    /// An event, writability among them.
    Writable,
    /// Another turn, after the others have had theirs.
    Turn,
}

/// Why a connection is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
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
    pub(super) fn new<H>(stream: Stream, token: Token, serial: u32, desk: &mut Desk<H>) -> Self {
        let wait = match desk.drain {
            Some(_) => Some(desk.limits.drain_grace),
            None => desk.limits.hello_timeout,
        };
        Self {
            stream,
            session: Session::new(desk.limits.terms),
            serial,
            leftover: Vec::new(),
            held_back: false,
            backlog: None,
            ending: None,
            deadline: wait.and_then(|wait| desk.deadline_in(wait)),
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
    pub(super) fn turn(&mut self, desk: &mut Desk<impl Handler>) -> Result<Next, Gone> {
        if !self.send_backlog(desk)? {
            return Ok(Next::Writable);
        }
        if self.held_back {
            self.answer_leftover(desk)?;
        }
        if self.backlog.is_some() {
            return Ok(Next::Writable);
        }
        if let Some(ending) = self.ending {
            return self.leave(ending, desk);
        }
        self.fill(desk)
    }

    /// One read, and the answers to what it brought.
    fn fill(&mut self, desk: &mut Desk<impl Handler>) -> Result<Next, Gone> {
        #[cfg(feature = "tls")]
        if self.stream.is_sealed() {
            return self.fill_sealed(desk);
        }
        let held = self.leftover.len();
        let room = desk.limits.turn_bytes;
        let Some(space) = desk.input.get_mut(held..held.saturating_add(room)) else {
            return Err(Gone::Reset);
        };
        let read = match self.stream.read(space) {
            Ok(0) => return Err(Gone::Eof),
            Ok(read) => read,
            Err(error) => return pass(&error),
        };
        let read_at = Instant::now();
        desk.counters.bytes_in += read as u64;
        self.postpone_idle(read_at, desk);
        self.digest(read, read < room, read_at, desk)
    }

    /// The answers to what was read behind the place of the leftover.
    pub(super) fn digest(
        &mut self,
        read: usize,
        drained: bool,
        read_at: Instant,
        desk: &mut Desk<impl Handler>,
    ) -> Result<Next, Gone> {
        let held = self.leftover.len();
        if self.is_still_cut(read, desk) {
            self.leftover
                .extend_from_slice(desk.input.get(held..held + read).unwrap_or_default());
        } else {
            self.take_in(desk);
            self.answer(held + read, drained, read_at, desk)?;
        }
        if self.backlog.is_some() {
            return Ok(Next::Writable);
        }
        match self.ending {
            Some(ending) => self.leave(ending, desk),
            None if !drained => Ok(Next::Turn),
            // What is left is the end itself, or what a read stops in front of: urgent data, or a
            // descriptor sent over a UNIX socket.
            None if self.read_closed => Ok(Next::Turn),
            None => Ok(Next::Event),
        }
    }

    /// Whether the frame that was cut still is, so that nothing needs to be moved or looked at. The
    /// session sees a length that is out of bounds at once.
    fn is_still_cut<H>(&self, read: usize, desk: &Desk<H>) -> bool {
        let held = self.leftover.len();
        if held == 0 {
            return false;
        }
        let fresh = desk.input.get(held..held + read).unwrap_or_default();
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
    fn take_in<H>(&mut self, desk: &mut Desk<H>) {
        if let Some(front) = desk.input.get_mut(..self.leftover.len()) {
            front.copy_from_slice(&self.leftover);
        }
        if self.leftover.capacity() > LEFTOVER_KEPT {
            self.leftover = Vec::new();
        }
        self.leftover.clear();
    }

    fn answer_leftover(&mut self, desk: &mut Desk<impl Handler>) -> Result<(), Gone> {
        self.held_back = false;
        let held = self.leftover.len();
        self.take_in(desk);
        self.answer(held, false, Instant::now(), desk)
    }

    /// Runs the session over the first `len` bytes of the input and sends the answers.
    fn answer(
        &mut self,
        len: usize,
        drained: bool,
        read_at: Instant,
        desk: &mut Desk<impl Handler>,
    ) -> Result<(), Gone> {
        let mut from = 0;
        loop {
            desk.output.clear();
            let connecting = !self.session.is_established();
            let input = desk.input.get(from..len).unwrap_or_default();
            let replies = &mut desk.replies;
            (replies.token, replies.outstanding) = (self.token, self.outstanding);
            let step = replies.serve(
                &mut self.session,
                input,
                &mut desk.output,
                &mut desk.handler,
            );
            self.outstanding = replies.outstanding;
            let refusal = step.close.and_then(refusal_of);
            #[cfg(feature = "trace")]
            if let Some(trace) = &desk.trace {
                trace.step(
                    self.serial,
                    input.get(..step.consumed).unwrap_or_default(),
                    &desk.output,
                    refusal,
                );
                trace.actions_dropped(self.serial, desk.replies.actions_dropped);
            }
            from += step.consumed;
            self.count(&step, read_at, desk);
            if step.close.is_some() {
                self.ending = Some(match refusal {
                    Some(why) => {
                        let peer = self.stream.peer();
                        let at = read_at;
                        desk.refusals.record(Refused { at, peer, why });
                        LINGER
                    }
                    None => Ending::Close,
                });
            } else if drained && from == len && step.acks > 0 {
                self.leave_if_draining(desk);
            }
            self.send(step.acks, read_at, desk)?;
            if connecting && self.session.is_established() {
                self.deadline = desk
                    .limits
                    .idle_timeout
                    .and_then(|idle| desk.deadline_in(idle));
                if desk.drain.is_some() {
                    self.drain(desk);
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
            .extend_from_slice(desk.input.get(from..len).unwrap_or_default());
        Ok(())
    }

    fn count<H>(&mut self, served: &Served, read_at: Instant, desk: &mut Desk<H>) {
        let (counters, replies) = (&mut desk.counters, &mut desk.replies);
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
            if let Some(deadline) = desk.replies.deadline_from(read_at) {
                desk.watch(deadline);
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
        desk: &mut Desk<impl Handler>,
    ) -> Result<Next, Gone> {
        desk.output.clear();
        for (outstanding, frame, dropped) in answers {
            debug_assert!(
                self.outstanding > 0,
                "each was counted when it was deferred"
            );
            self.outstanding = self.outstanding.saturating_sub(1);
            desk.replies.write(outstanding, frame, &mut desk.output);
            desk.counters.notifies += 1;
            desk.counters.actions_dropped += u64::from(*dropped);
            desk.latency.record(outstanding.since.elapsed(), 1);
            #[cfg(feature = "trace")]
            if let Some(trace) = &desk.trace {
                trace.actions_dropped(self.serial, *dropped);
            }
        }
        #[cfg(feature = "trace")]
        if let Some(trace) = &desk.trace {
            trace.step(self.serial, &[], &desk.output, None);
        }
        if self.leftover.is_empty() {
            self.leave_if_draining(desk);
        }
        self.send_behind(desk)?;
        match self.ending {
            _ if self.backlog.is_some() => Ok(Next::Writable),
            Some(ending) => self.leave(ending, desk),
            None => Ok(Next::Event),
        }
    }

    /// Whatever a peer sends shows that it is there.
    pub(super) fn postpone_idle<H>(&mut self, read_at: Instant, desk: &mut Desk<H>) {
        if let (Some(idle), None, None) = (desk.limits.idle_timeout, self.ending, desk.drain)
            && self.session.is_established()
        {
            self.deadline = read_at.checked_add(idle);
            self.deadline.into_iter().for_each(|at| desk.watch(at));
        }
    }
}

/// An error of `read`: nothing there, interrupted, or the end.
pub(super) fn pass(error: &io::Error) -> Result<Next, Gone> {
    match error.kind() {
        io::ErrorKind::WouldBlock => Ok(Next::Event),
        io::ErrorKind::Interrupted => Ok(Next::Turn),
        _ => Err(Gone::Reset),
    }
}

/// The fault that a connection was closed for.
const fn refusal_of(close: Close) -> Option<Refusal> {
    match close.reason {
        CloseReason::Refused(refusal) => Some(refusal),
        CloseReason::Disconnect | CloseReason::HealthCheck => None,
    }
}
