//! One connection from `HAProxy` as a state machine: bytes in, bytes out (SPOE.txt 3.2.3).
//!
//! In scope: the order of frames, the terms of the connection, fragments, and which status code
//! answers which fault. Out of scope: sockets, clocks, threads, logs (the agent has them) and what a
//! message means (the [`Handler`] knows).
//!
//! ```text
//!              HAPROXY-HELLO            NOTIFY / ACK
//!  Connecting ---------------> Established --.  <---.
//!      |                           |         '------'
//!      | health check, fault       | DISCONNECT, fault, shutdown
//!      v                           v
//!    Closed <----------------------'
//! ```
//!
//! A whole conversation, without a socket:
//!
//! ```
//! use bytes::BytesMut;
//! use haproxy_spop::session::{Session, Terms};
//! use haproxy_spop::{Ack, Capabilities, FrameFull, HaproxyHello, Notify, NotifyWriter, Scope, Versions};
//!
//! let mut handler = |_: &Notify<'_>, ack: &mut Ack<'_>| -> Result<(), FrameFull> {
//!     ack.set_var(Scope::Session, "ip_score", 42_u32)
//! };
//! let hello = HaproxyHello {
//!     supported_versions: Some(Versions(b"2.0")),
//!     max_frame_size: Some(16380),
//!     capabilities: Some(Capabilities(b"pipelining")),
//!     ..HaproxyHello::default()
//! };
//! let mut input = BytesMut::new();
//! hello.write(&mut input, 16380)?;
//! NotifyWriter::begin(&mut input, 1, 1, 16380).finish();
//!
//! let mut session = Session::new(Terms::default());
//! let mut output = BytesMut::new();
//! let step = session.receive(&input, &mut output, &mut handler);
//! assert_eq!((step.consumed, step.acks, step.close), (input.len(), 1, None));
//! # Ok::<(), FrameFull>(())
//! ```

mod hello;
mod reassembly;
mod refusal;
mod terms;

use bytes::BytesMut;

pub use refusal::Refusal;
pub use terms::Terms;

use crate::Handler;
use crate::{Ack, Disconnect, Frame, FrameType, MAX_FRAME_SIZE_LEAST, Notify, Status, skim};
use reassembly::{Fragment, Reassembly};

/// What one call of [`Session::receive`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that are dealt with; the rest belongs in front of what comes next.
    pub consumed: usize,
    /// NOTIFYs answered.
    pub acks: u32,
    /// Frames of an unknown type, skipped.
    pub skipped: u32,
    /// NOTIFYs that were put together from fragments, whether or not they then turned out valid.
    pub reassembled: u32,
    /// Fragmented NOTIFYs that `HAProxy` gave up.
    pub aborted: u32,
    /// The connection was a health check, and is answered.
    pub health_check: bool,
    /// The output has reached [`Terms::output_high_water`]: whole frames may be left in the input.
    /// Send the output, then call again.
    pub paused: bool,
    /// The connection is to be closed once the output is sent, with this status. What the peer has
    /// to be told is in the output.
    pub close: Option<Status>,
    /// The fault, if it was one that ended the connection.
    pub refusal: Option<Refusal>,
}

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waiting for HAPROXY-HELLO.
    Connecting,
    /// HELLOs are exchanged.
    Established,
    /// A DISCONNECT or the answer to a health check was written; nothing follows.
    Closed,
}

/// How a frame that was understood leaves the connection.
enum Flow {
    Continue,
    Close(Status),
}

/// The agent's side of one connection.
///
/// Laws, whatever the peer sends: a valid NOTIFY gets one ACK with its ids; how the input is cut
/// into calls does not change the output; no output frame exceeds the negotiated max-frame-size;
/// what is kept between calls is bounded by [`Terms`].
#[derive(Debug)]
pub struct Session {
    terms: Terms,
    state: State,
    /// Our own until the HELLO, then the agreed one.
    max_frame_size: u32,
    /// Fragments of a NOTIFY that is not complete. Boxed: few connections ever have any.
    reassembly: Option<Box<Reassembly>>,
}

impl Session {
    /// A connection that has just been accepted.
    #[must_use]
    pub const fn new(terms: Terms) -> Self {
        let max_frame_size = if terms.max_frame_size < MAX_FRAME_SIZE_LEAST {
            MAX_FRAME_SIZE_LEAST
        } else {
            terms.max_frame_size
        };
        let terms = Terms {
            max_frame_size,
            ..terms
        };
        Self {
            terms,
            state: State::Connecting,
            max_frame_size,
            reassembly: None,
        }
    }

    /// Whether HELLOs have been exchanged and the connection is open.
    #[must_use]
    pub const fn is_established(&self) -> bool {
        matches!(self.state, State::Established)
    }

    /// Whether nothing more will be read or written.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether part of a fragmented NOTIFY has arrived, so that its end is owed an ACK.
    #[must_use]
    pub const fn is_reassembling(&self) -> bool {
        self.reassembly.is_some()
    }

    /// The largest frame that either side may send now, in bytes without the length prefix.
    #[must_use]
    #[inline]
    pub const fn max_frame_size(&self) -> u32 {
        self.max_frame_size
    }

    /// Works through every whole frame of `input` and appends the answers to `output`.
    pub fn receive(
        &mut self,
        input: &[u8],
        output: &mut BytesMut,
        handler: &mut impl Handler,
    ) -> Step {
        let mut step = Step::default();
        let mut rest = input;
        let full = output
            .len()
            .saturating_add(self.terms.output_high_water.max(1));
        while !rest.is_empty() && !self.is_closed() {
            if output.len() >= full {
                step.paused = true;
                break;
            }
            if self.takes_whole_notify()
                && let Some((notify, tail)) = skim::notify(rest, self.max_frame_size)
            {
                rest = tail;
                self.notify(&notify, output, handler, &mut step);
                continue;
            }
            let Some(tail) = self.receive_other(rest, output, handler, &mut step) else {
                break;
            };
            rest = tail;
        }
        step.consumed = input.len() - rest.len();
        step
    }

    /// Whether a NOTIFY in one piece is welcome now.
    #[inline]
    const fn takes_whole_notify(&self) -> bool {
        self.is_established() && self.reassembly.is_none()
    }

    /// Works through a frame that is something else, or that something is wrong with. What follows it,
    /// if it is whole.
    #[cold]
    fn receive_other<'a>(
        &mut self,
        input: &'a [u8],
        output: &mut BytesMut,
        handler: &mut impl Handler,
        step: &mut Step,
    ) -> Option<&'a [u8]> {
        let (frame, rest) = match Frame::split_first(input, self.max_frame_size) {
            Ok(split) => split?,
            Err(malformed) => {
                self.refuse(malformed.into(), output, step);
                return None;
            }
        };
        match self.frame(frame, output, handler, step) {
            Ok(Flow::Continue) => {}
            Ok(Flow::Close(status)) => step.close = Some(status),
            Err(refusal) => self.refuse(refusal, output, step),
        }
        Some(rest)
    }

    /// Ends the connection from this side: appends AGENT-DISCONNECT (SPOE.txt 3.2.9).
    pub fn disconnect(&mut self, status: Status, output: &mut BytesMut) {
        if self.is_closed() {
            return;
        }
        // The least max-frame-size holds every message of ours, so this cannot be FrameFull.
        let _ = Disconnect::from(status).write(
            FrameType::AGENT_DISCONNECT,
            output,
            self.max_frame_size,
        );
        self.state = State::Closed;
        self.reassembly = None;
    }

    fn refuse(&mut self, refusal: Refusal, output: &mut BytesMut, step: &mut Step) {
        let status = refusal.status();
        self.disconnect(status, output);
        step.close = Some(status);
        step.refusal = Some(refusal);
    }

    fn frame(
        &mut self,
        frame: Frame<'_>,
        output: &mut BytesMut,
        handler: &mut impl Handler,
        step: &mut Step,
    ) -> Result<Flow, Refusal> {
        match (frame.kind, self.state) {
            (FrameType::NOTIFY, State::Established) => {
                self.other_notify(frame, output, handler, step)
            }
            (FrameType::UNSET, State::Established) => self.fragment(frame, output, handler, step),
            (FrameType::HAPROXY_HELLO, State::Connecting) => self.hello(frame, output, step),
            (FrameType::HAPROXY_DISCONNECT, _) => self.haproxy_disconnect(frame, output),
            (FrameType::NOTIFY | FrameType::UNSET, _) => Err(Refusal::BeforeHello(frame.kind)),
            (FrameType::HAPROXY_HELLO, _) => Err(Refusal::SecondHello),
            _ => {
                step.skipped += 1;
                Ok(Flow::Continue)
            }
        }
    }

    /// Answers one NOTIFY: exactly one ACK, whatever the handler says.
    #[inline(never)]
    fn notify(
        &self,
        notify: &Notify<'_>,
        output: &mut BytesMut,
        handler: &mut impl Handler,
        step: &mut Step,
    ) {
        let mut ack = Ack::begin(
            output,
            notify.stream_id,
            notify.frame_id,
            self.max_frame_size,
        );
        if handler.notify(notify, &mut ack).is_err() {
            ack.clear();
        }
        ack.finish();
        step.acks += 1;
    }

    fn hello(
        &mut self,
        frame: Frame<'_>,
        output: &mut BytesMut,
        step: &mut Step,
    ) -> Result<Flow, Refusal> {
        let accepted = hello::accept(frame, &self.terms, output)?;
        if accepted.healthcheck {
            self.state = State::Closed;
            step.health_check = true;
            return Ok(Flow::Close(Status::NORMAL));
        }
        self.max_frame_size = accepted.max_frame_size;
        self.state = State::Established;
        Ok(Flow::Continue)
    }

    /// SPOE.txt 3.2.8: the agent answers a DISCONNECT with its own. It repeats the status code, any
    /// value: that is how the code reaches the SPOE log of `HAProxy`.
    fn haproxy_disconnect(
        &mut self,
        frame: Frame<'_>,
        output: &mut BytesMut,
    ) -> Result<Flow, Refusal> {
        if !frame.flags.is_fin() {
            return Err(Refusal::Fragmented);
        }
        let status = Disconnect::parse(frame.payload)?.status;
        self.disconnect(status, output);
        Ok(Flow::Close(status))
    }

    /// A NOTIFY that is not whole, not valid, or not of the common kind.
    fn other_notify(
        &mut self,
        frame: Frame<'_>,
        output: &mut BytesMut,
        handler: &mut impl Handler,
        step: &mut Step,
    ) -> Result<Flow, Refusal> {
        // SPOE.txt 3.2: ABORT means nothing on a frame that is not fragmented.
        if frame.flags.is_fin() && self.takes_whole_notify() {
            self.notify(&Notify::try_from(frame)?, output, handler, step);
            return Ok(Flow::Continue);
        }
        self.begin_fragments(frame)
    }

    /// A NOTIFY without FIN, or any NOTIFY while another one is incomplete.
    fn begin_fragments(&mut self, frame: Frame<'_>) -> Result<Flow, Refusal> {
        if self.reassembly.is_some() {
            return Err(Refusal::Interlaced);
        }
        if !self.terms.fragmentation {
            return Err(Refusal::Fragmented);
        }
        let begun = Reassembly::begin(frame, self.terms.reassembly_max)?;
        self.reassembly = Some(Box::new(begun));
        Ok(Flow::Continue)
    }

    fn fragment(
        &mut self,
        frame: Frame<'_>,
        output: &mut BytesMut,
        handler: &mut impl Handler,
        step: &mut Step,
    ) -> Result<Flow, Refusal> {
        let Some(mut reassembly) = self.reassembly.take() else {
            return Err(Refusal::UnknownFrameId);
        };
        match reassembly.add(frame, self.terms.reassembly_max)? {
            Fragment::More => self.reassembly = Some(reassembly),
            Fragment::Aborted => step.aborted += 1,
            Fragment::Complete => {
                step.reassembled += 1;
                self.notify(&reassembly.notify()?, output, handler, step);
            }
        }
        Ok(Flow::Continue)
    }
}

#[cfg(test)]
mod tests;
