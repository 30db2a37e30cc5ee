//! What a worker knows of the answers that it gives: how many at once, and which are outstanding.
//!
//! It needs no socket, so a handler can be tested with it alone:
//!
//! ```
//! use core::time::Duration;
//!
//! use bytes::BytesMut;
//! use haproxy_spoa::{Replies, Scope, handler};
//! use haproxy_spop::{AckView, Frame, Notify, NotifyWriter};
//!
//! let mut handler = handler(|notify, mut reply| {
//!     if notify.messages().any(|message| message.name() == b"ping") {
//!         reply.set_var(Scope::Session, "pong", true);
//!     }
//! });
//! let mut frame = BytesMut::new();
//! let mut notify = NotifyWriter::begin(&mut frame, 1, 1, 16_380);
//! notify.message("ping", &[])?;
//! notify.finish();
//! let (frame, _) = Frame::split_first(&frame, 16_380)?.expect("a whole frame");
//!
//! let mut output = BytesMut::new();
//! let notify = Notify::try_from(frame)?;
//! Replies::detached().answer(&mut handler, &notify, 16_380, &mut output);
//! let (frame, _) = Frame::split_first(&output, 16_380)?.expect("an ACK");
//! assert_eq!(AckView::try_from(frame)?.actions().count(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use bytes::BytesMut;
use haproxy_spop::session::{Close, Event, Session};
use haproxy_spop::{Ack, Notify, Variable};
use mio::Token;
use slab::Slab;

use crate::reply::{Answer, Reply, Sink};
use crate::{Handler, Limits};

/// Names an outstanding NOTIFY. The serial number tells it from others in the same slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    slot: usize,
    serial: u32,
}

/// A NOTIFY whose answer is deferred.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outstanding {
    serial: u32,
    ids: (u64, u64),
    /// Its connection.
    pub(crate) token: Token,
    /// When the read that brought it returned.
    pub(crate) since: Instant,
}

/// A deferred answer on its way out.
#[derive(Debug)]
pub(crate) struct LateAnswer {
    pub(crate) outstanding: Outstanding,
    /// Its ACK, or nothing for one without actions.
    pub(crate) frame: BytesMut,
    /// Actions that did not fit.
    pub(crate) dropped: u32,
}

/// The clock is read after so many bytes of input: after each large frame, and not in a batch of 64 small
/// ones.
const CLOCK_INTERVAL: usize = 4 * 1024;

/// What one call of [`Replies::serve`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// Bytes of the input that are dealt with.
    pub consumed: usize,
    /// ACKs in the output.
    pub acks: u32,
    /// There is input left, and the output has reached
    /// [`SessionConfig::output_high_water`](haproxy_spop::session::SessionConfig::output_high_water) or the turn
    /// its [`Limits::turn_time`]. Send the output, then call again.
    pub paused: bool,
    /// It paused because of the time: other connections should have their turn first.
    pub is_over_time: bool,
    /// The connection is to be closed once the output is sent.
    pub close: Option<Close>,
}

/// What a worker knows of the answers that it gives.
pub struct Replies {
    slots: Slab<Outstanding>,
    serial: u32,
    timeout: Duration,
    max: usize,
    max_per_connection: u32,
    /// The connection that is served now, and how many answers it waits for.
    pub(crate) token: Token,
    pub(crate) outstanding: u32,
    /// When the turn of the connection that is served now began, and when it should end.
    turn_began: Option<Instant>,
    turn_ends: Option<Instant>,
    turn_time: Option<Duration>,
    /// Unsets this variable in an ACK that has no action.
    pub(crate) filler: Option<Variable>,
    pub(crate) sink: Sink,
    /// Counted since the worker looked last.
    pub(crate) acks: u32,
    pub(crate) actions_dropped: u32,
    pub(crate) deferred: u32,
    pub(crate) refused: u32,
    /// Those without a worker find their answers here.
    answers: Option<Receiver<Answer>>,
}

impl Replies {
    pub(crate) fn new(limits: &Limits, filler: Option<Variable>, sink: Sink) -> Self {
        Self {
            slots: Slab::new(),
            serial: 0,
            timeout: limits.deferred_timeout,
            max: limits.deferred_per_worker,
            max_per_connection: u32::try_from(limits.deferred_per_connection).unwrap_or(u32::MAX),
            token: Token(0),
            outstanding: 0,
            turn_began: None,
            turn_ends: None,
            turn_time: limits.turn_time,
            filler,
            sink,
            acks: 0,
            actions_dropped: 0,
            deferred: 0,
            refused: 0,
            answers: None,
        }
    }

    /// Replies that belong to no agent, with the default limits: to test a handler without a socket.
    #[must_use]
    pub fn detached() -> Self {
        Self::detached_with(&Limits::default())
    }

    /// As [`detached`](Self::detached), with these limits.
    #[must_use]
    pub fn detached_with(limits: &Limits) -> Self {
        let (queue, answers) = mpsc::channel();
        // If this is gone, so is the one who would read the answer.
        let sink: Sink = Arc::new(move |answer| drop(queue.send(answer)));
        let mut replies = Self::new(limits, None, sink);
        replies.answers = Some(answers);
        replies
    }

    /// Has the handler answer one NOTIFY. The ACK, of at most `max` bytes, is appended to `output`
    /// unless it is deferred.
    #[inline]
    pub fn answer(
        &mut self,
        handler: &mut impl Handler,
        notify: &Notify<'_>,
        max: u32,
        output: &mut BytesMut,
    ) {
        let ids = (notify.stream_id, notify.frame_id);
        handler.notify(notify, Reply::new(output, ids, max, self));
    }

    /// Runs a session over the whole frames of `input`, and has the handler answer its NOTIFYs.
    #[inline]
    pub fn serve(
        &mut self,
        session: &mut Session,
        input: &[u8],
        output: &mut BytesMut,
        handler: &mut impl Handler,
    ) -> Served {
        let mut served = Served::default();
        let full = output
            .len()
            .saturating_add(session.terms().output_high_water.max(1));
        let mut rest = input;
        self.acks = 0;
        let mut unchecked = input.len().saturating_sub(CLOCK_INTERVAL);
        loop {
            if rest.len() < unchecked {
                unchecked = rest.len().saturating_sub(CLOCK_INTERVAL);
                if !rest.is_empty() && self.is_over_time() {
                    served.is_over_time = true;
                    served.paused = true;
                    break;
                }
            }
            if output.len() >= full && !rest.is_empty() {
                served.paused = true;
                break;
            }
            let max = session.max_frame_size();
            let step = session.next(rest, output);
            let tail = rest.get(step.consumed..);
            debug_assert!(tail.is_some(), "no more is consumed than there is");
            rest = tail.unwrap_or_default();
            match step.event {
                Event::Notify(notify) => self.answer(handler, &notify, max, output),
                Event::Established => {}
                Event::NeedMore => break,
                Event::Closed(close) => {
                    served.close = Some(close);
                    break;
                }
            }
        }
        served.acks = self.acks;
        served.consumed = input.len() - rest.len();
        served
    }

    /// A turn begins: [`serve`](Self::serve) pauses when its time is over.
    pub(crate) fn start_turn(&mut self, now: Instant) {
        self.turn_began = Some(now);
        self.turn_ends = self.turn_time.and_then(|time| now.checked_add(time));
    }

    #[cold]
    fn is_over_time(&self) -> bool {
        self.turn_ends.is_some_and(|end| Instant::now() >= end)
    }

    /// Appends the deferred answers that come within `wait`, up to the first that does not; only for
    /// replies that are [`detached`](Self::detached). Returns how many there were.
    pub fn receive(&mut self, wait: Duration, output: &mut BytesMut) -> usize {
        let until = Instant::now() + wait;
        let mut received = 0;
        while !self.slots.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            let Some(Ok(answer)) = self.answers.as_ref().map(|queue| queue.recv_timeout(left))
            else {
                break;
            };
            if let Some(outstanding) = self.take(answer.ticket) {
                self.outstanding = self.outstanding.saturating_sub(1);
                self.actions_dropped += answer.dropped;
                self.write(&outstanding, &answer.frame, output);
                received += 1;
            }
        }
        received
    }

    /// Actions that did not fit their ACK, since the last call of this.
    pub const fn take_actions_dropped(&mut self) -> u32 {
        core::mem::replace(&mut self.actions_dropped, 0)
    }

    /// Whether there are deferred answers on their way.
    #[inline]
    pub(crate) fn has_outstanding(&self) -> bool {
        !self.slots.is_empty()
    }

    /// A slot for a NOTIFY whose answer is deferred. `None` at a limit.
    pub(crate) fn admit(&mut self, ids: (u64, u64)) -> Option<Ticket> {
        if self.slots.len() >= self.max || self.outstanding >= self.max_per_connection {
            self.refused += 1;
            return None;
        }
        self.deferred += 1;
        self.outstanding += 1;
        self.serial = self.serial.wrapping_add(1);
        let serial = self.serial;
        let slot = self.slots.insert(Outstanding {
            serial,
            ids,
            token: self.token,
            since: self.turn_began.unwrap_or_else(Instant::now),
        });
        Some(Ticket { slot, serial })
    }

    /// The NOTIFY that an answer is for, which is not outstanding any more; `None` if it was given up.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<Outstanding> {
        let outstanding = self.slots.get(ticket.slot)?;
        if outstanding.serial != ticket.serial {
            return None;
        }
        self.slots.try_remove(ticket.slot)
    }

    /// Appends an ACK. An empty `frame` is one without actions.
    pub(crate) fn write(&self, of: &Outstanding, frame: &[u8], output: &mut BytesMut) {
        if frame.is_empty() {
            self.write_empty(of, output);
        } else {
            output.extend_from_slice(frame);
        }
    }

    fn write_empty(&self, of: &Outstanding, output: &mut BytesMut) {
        // Every frame that can be agreed on holds this much.
        let mut ack = Ack::begin(
            output,
            of.ids.0,
            of.ids.1,
            haproxy_spop::MAX_FRAME_SIZE_LEAST,
        );
        if let Some(filler) = &self.filler {
            let _ = ack.unset(filler);
        }
        ack.finish();
    }

    /// The NOTIFYs whose time is over, none of which is outstanding any more.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Outstanding> {
        let timeout = self.timeout;
        let mut expired = Vec::new();
        self.slots.retain(|_, it| {
            let is_over = now.saturating_duration_since(it.since) >= timeout;
            if is_over {
                expired.push(*it);
            }
            !is_over
        });
        expired
    }

    /// When the time of the oldest one is over.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let oldest = self.slots.iter().map(|(_, it)| it.since).min()?;
        oldest.checked_add(self.timeout)
    }

    /// When the time of one that is deferred now is over.
    pub(crate) fn deadline_from(&self, now: Instant) -> Option<Instant> {
        now.checked_add(self.timeout)
    }
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies")
            .field("outstanding", &self.slots.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use haproxy_spop::session::SessionConfig;
    use haproxy_spop::{Capabilities, HaproxyHello, NotifyWriter, Versions};

    use super::*;

    /// A connection after its HELLO, and `notifies` NOTIFYs of `len` bytes of payload or more.
    fn established(notifies: u64, len: usize) -> (Session, BytesMut) {
        let (mut session, mut bytes) = (Session::new(SessionConfig::default()), BytesMut::new());
        let hello = HaproxyHello {
            supported_versions: Some(Versions(b"2.0")),
            max_frame_size: Some(16_380),
            capabilities: Some(Capabilities(b"pipelining")),
            ..HaproxyHello::default()
        };
        hello.write(&mut bytes, 16_380).unwrap();
        session.next(&bytes, &mut BytesMut::new());
        let mut input = BytesMut::new();
        let name = "m".repeat(len);
        for id in 0..notifies {
            let mut notify = NotifyWriter::begin(&mut input, id, id, 16_380);
            notify.message(&name, &[]).unwrap();
            notify.finish();
        }
        (session, input)
    }

    fn served(turn_time: Option<Duration>, (mut session, input): (Session, BytesMut)) -> Served {
        let limits = Limits {
            turn_time,
            ..Limits::default()
        };
        let mut replies = Replies::detached_with(&limits);
        replies.start_turn(Instant::now());
        let mut handler = crate::handler(|_, _| ());
        replies.serve(&mut session, &input, &mut BytesMut::new(), &mut handler)
    }

    #[test]
    fn a_turn_without_time_left_ends_at_the_next_check() {
        let small = served(Some(Duration::ZERO), established(1000, 10));
        assert!(small.paused && small.is_over_time, "{small:?}");
        assert!((100..200).contains(&small.acks), "{small:?}");
        let large = served(Some(Duration::ZERO), established(8, 16_000));
        assert!(large.paused && large.acks <= 2, "{large:?}");
    }

    #[test]
    fn a_turn_with_time_left_or_nothing_left_to_do_does_not_pause() {
        for (turn_time, notifies) in [
            (None, 1000),
            (Some(Duration::from_hours(1)), 1000),
            (Some(Duration::ZERO), 64),
        ] {
            let served = served(turn_time, established(notifies, 10));
            assert!(!served.paused && !served.is_over_time, "{served:?}");
            assert_eq!(u64::from(served.acks), notifies);
        }
    }
}
