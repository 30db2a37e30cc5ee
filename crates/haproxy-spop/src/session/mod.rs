//! One connection from `HAProxy` as a state machine: bytes in, bytes out (SPOE.txt 3.2.3).
//!
//! In scope: the order of frames, the terms of the connection, fragments, and which status code
//! answers which fault. Out of scope: sockets, clocks, threads, logs, and what a message means. The
//! caller pulls: [`Session::next`] returns the next NOTIFY, and the caller appends its ACK.
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
//! use haproxy_spop::session::{Event, Session, SessionConfig};
//! use haproxy_spop::{Ack, Capabilities, FrameFull, HaproxyHello, NotifyWriter, Scope, Versions};
//!
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
//! let (mut session, mut output) = (Session::new(SessionConfig::default()), BytesMut::new());
//! let (mut consumed, mut acks) = (0, 0);
//! loop {
//!     let max = session.max_frame_size();
//!     let step = session.next(&input[consumed..], &mut output);
//!     consumed += step.consumed;
//!     match step.event {
//!         Event::Notify(notify) => {
//!             let mut ack = Ack::begin(&mut output, notify.stream_id, notify.frame_id, max);
//!             ack.set_var(Scope::Session, "ip_score", 42_u32)?;
//!             ack.finish();
//!             acks += 1;
//!         }
//!         Event::Established => {}
//!         Event::NeedMore | Event::Closed(_) => break,
//!     }
//! }
//! assert_eq!((consumed, acks), (input.len(), 1));
//! # Ok::<(), FrameFull>(())
//! ```

mod config;
mod error;
mod hello;
mod reassembly;

use bytes::BytesMut;

pub use config::SessionConfig;
pub use error::ProtocolError;

use crate::{Disconnect, Frame, FrameType, MAX_FRAME_SIZE_LEAST, Notify, Status};
use reassembly::{Fragment, Reassembly};

/// What one call of [`Session::next`] did.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// Bytes of the input that are dealt with; the rest belongs in front of what comes next.
    pub consumed: usize,
    /// What the caller has to act on.
    pub event: Event<'a>,
}

/// What the caller of [`Session::next`] has to act on.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A NOTIFY. It gets exactly one ACK, now or later, of at most [`Session::max_frame_size`] bytes.
    Notify(Notify<'a>),
    /// HELLOs are exchanged. The max-frame-size is the agreed one from now on.
    Established,
    /// There is no whole frame in the input.
    NeedMore,
    /// The connection is to be closed once the output is sent. What the peer has to be told is in
    /// the output.
    Closed(Close),
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// The status that the peer was told; 0 after a health check.
    pub status: Status,
    /// Why.
    pub reason: CloseReason,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer sent a DISCONNECT, which is answered.
    Disconnect,
    /// The connection was a health check, and is answered.
    HealthCheck,
    /// The peer made a mistake.
    Refused(ProtocolError),
}

/// What a session has seen that needs no answer of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Frames of an unknown type, skipped.
    pub skipped: u32,
    /// NOTIFYs that were put together from fragments, whether or not they then turned out valid.
    pub reassembled: u32,
    /// Fragmented NOTIFYs that `HAProxy` gave up.
    pub aborted: u32,
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

/// What a frame that was understood leads to.
enum Flow<'a> {
    Continue,
    Established,
    Notify(Notify<'a>),
    /// The NOTIFY in [`Session::reassembly`].
    Reassembled,
    Close(Status, CloseReason),
}

/// The agent's side of one connection.
///
/// Laws, whatever the peer sends: a valid NOTIFY is returned once; how the input is cut
/// into calls does not change the output; no frame that it appends exceeds the negotiated max-frame-size;
/// what is kept between calls is bounded by [`SessionConfig`].
#[derive(Debug)]
pub struct Session {
    terms: SessionConfig,
    state: State,
    /// Our own until the HELLO, then the agreed one.
    max_frame_size: u32,
    /// Fragments of a NOTIFY that is not complete. Boxed: few connections ever have any.
    reassembly: Option<Box<Reassembly>>,
    statistics: Statistics,
}

impl Session {
    /// A connection that has just been accepted.
    #[must_use]
    pub const fn new(terms: SessionConfig) -> Self {
        let max_frame_size = if terms.max_frame_size < MAX_FRAME_SIZE_LEAST {
            MAX_FRAME_SIZE_LEAST
        } else {
            terms.max_frame_size
        };
        let terms = SessionConfig {
            max_frame_size,
            ..terms
        };
        Self {
            terms,
            state: State::Connecting,
            max_frame_size,
            reassembly: None,
            statistics: Statistics {
                skipped: 0,
                reassembled: 0,
                aborted: 0,
            },
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
    pub fn is_reassembling(&self) -> bool {
        self.reassembly
            .as_ref()
            .is_some_and(|reassembly| !reassembly.is_complete())
    }

    /// The terms that it was made with.
    #[must_use]
    #[inline]
    pub const fn terms(&self) -> &SessionConfig {
        &self.terms
    }

    /// What it has seen since the last call of this.
    #[inline]
    pub const fn take_statistics(&mut self) -> Statistics {
        core::mem::replace(
            &mut self.statistics,
            Statistics {
                skipped: 0,
                reassembled: 0,
                aborted: 0,
            },
        )
    }

    /// The largest frame that either side may send now, in bytes without the length prefix.
    #[must_use]
    #[inline]
    pub const fn max_frame_size(&self) -> u32 {
        self.max_frame_size
    }

    /// Returns the next event of `input`, and appends what the protocol itself has to answer
    /// (AGENT-HELLO, AGENT-DISCONNECT) to `output`.
    ///
    /// Call it again with what is left of the input until it returns [`Event::NeedMore`] or
    /// [`Event::Closed`].
    #[inline]
    pub fn next<'a>(&'a mut self, input: &'a [u8], output: &mut BytesMut) -> Step<'a> {
        if self.takes_whole_notify()
            && let Some((notify, rest)) = Notify::split_first(input, self.max_frame_size)
        {
            return Step {
                consumed: input.len() - rest.len(),
                event: Event::Notify(notify),
            };
        }
        if input.is_empty() && self.reassembly.is_none() {
            return Step {
                consumed: 0,
                event: Event::NeedMore,
            };
        }
        self.next_other(input, output)
    }

    /// Whether a NOTIFY in one piece is welcome now.
    #[inline]
    const fn takes_whole_notify(&self) -> bool {
        self.is_established() && self.reassembly.is_none()
    }

    /// The next event if the head of the input is something else than a NOTIFY in one piece, or if
    /// something is wrong with it.
    #[cold]
    fn next_other<'a>(&'a mut self, input: &'a [u8], output: &mut BytesMut) -> Step<'a> {
        if !self.is_reassembling() {
            // One that is complete was handed out by the call before.
            self.reassembly = None;
        }
        let mut rest = input;
        let flow = loop {
            if self.is_closed() {
                break Ok(None);
            }
            let (frame, tail) = match Frame::split_first(rest, self.max_frame_size) {
                Ok(None) => break Ok(None),
                Ok(Some(split)) => split,
                Err(malformed) => break Err(malformed.into()),
            };
            rest = tail;
            match self.frame(frame, output) {
                Ok(Flow::Continue) => {}
                Ok(flow) => break Ok(Some(flow)),
                Err(refusal) => break Err(refusal),
            }
        };
        let event = match flow {
            Ok(None | Some(Flow::Continue)) => Event::NeedMore,
            Ok(Some(Flow::Established)) => Event::Established,
            Ok(Some(Flow::Notify(notify))) => Event::Notify(notify),
            Ok(Some(Flow::Reassembled)) => {
                let complete = self.reassembly.as_ref().and_then(|it| it.notify());
                debug_assert!(complete.is_some(), "checked when it was complete");
                complete.map_or(Event::NeedMore, Event::Notify)
            }
            Ok(Some(Flow::Close(status, reason))) => Event::Closed(Close { status, reason }),
            Err(refusal) => Event::Closed(self.refuse(refusal, output)),
        };
        Step {
            consumed: input.len() - rest.len(),
            event,
        }
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

    fn refuse(&mut self, refusal: ProtocolError, output: &mut BytesMut) -> Close {
        let status = refusal.status();
        self.disconnect(status, output);
        Close {
            status,
            reason: CloseReason::Refused(refusal),
        }
    }

    fn frame<'a>(
        &mut self,
        frame: Frame<'a>,
        output: &mut BytesMut,
    ) -> Result<Flow<'a>, ProtocolError> {
        match (frame.kind, self.state) {
            (FrameType::NOTIFY, State::Established) => self.notify(frame),
            (FrameType::UNSET, State::Established) => self.fragment(frame),
            (FrameType::HAPROXY_HELLO, State::Connecting) => self.hello(frame, output),
            (FrameType::HAPROXY_DISCONNECT, _) => self.haproxy_disconnect(frame, output),
            (FrameType::NOTIFY | FrameType::UNSET, _) => {
                Err(ProtocolError::BeforeHello(frame.kind))
            }
            (FrameType::HAPROXY_HELLO, _) => Err(ProtocolError::SecondHello),
            _ => {
                self.statistics.skipped += 1;
                Ok(Flow::Continue)
            }
        }
    }

    fn hello(
        &mut self,
        frame: Frame<'_>,
        output: &mut BytesMut,
    ) -> Result<Flow<'static>, ProtocolError> {
        let accepted = hello::accept(frame, &self.terms, output)?;
        if accepted.healthcheck {
            self.state = State::Closed;
            return Ok(Flow::Close(Status::NORMAL, CloseReason::HealthCheck));
        }
        self.max_frame_size = accepted.max_frame_size;
        self.state = State::Established;
        Ok(Flow::Established)
    }

    /// SPOE.txt 3.2.8: the agent answers a DISCONNECT with its own. It repeats the status code, any
    /// value: that is how the code reaches the SPOE log of `HAProxy`.
    fn haproxy_disconnect(
        &mut self,
        frame: Frame<'_>,
        output: &mut BytesMut,
    ) -> Result<Flow<'static>, ProtocolError> {
        if !frame.flags.is_fin() {
            return Err(ProtocolError::Fragmented);
        }
        let status = Disconnect::parse(frame.payload)?.status;
        self.disconnect(status, output);
        Ok(Flow::Close(status, CloseReason::Disconnect))
    }

    fn notify<'a>(&mut self, frame: Frame<'a>) -> Result<Flow<'a>, ProtocolError> {
        // SPOE.txt 3.2: ABORT means nothing on a frame that is not fragmented.
        if frame.flags.is_fin() && self.takes_whole_notify() {
            return Ok(Flow::Notify(Notify::try_from(frame)?));
        }
        self.begin_fragments(frame)
    }

    /// A NOTIFY without FIN, or any NOTIFY while another one is incomplete.
    fn begin_fragments(&mut self, frame: Frame<'_>) -> Result<Flow<'static>, ProtocolError> {
        if self.reassembly.is_some() {
            return Err(ProtocolError::Interlaced);
        }
        if !self.terms.fragmentation {
            return Err(ProtocolError::Fragmented);
        }
        let begun = Reassembly::begin(frame, self.terms.reassembly_max)?;
        self.reassembly = Some(Box::new(begun));
        Ok(Flow::Continue)
    }

    fn fragment(&mut self, frame: Frame<'_>) -> Result<Flow<'static>, ProtocolError> {
        let Some(mut reassembly) = self.reassembly.take() else {
            return Err(ProtocolError::UnknownFrameId);
        };
        Ok(match reassembly.add(frame, self.terms.reassembly_max)? {
            Fragment::More => {
                self.reassembly = Some(reassembly);
                Flow::Continue
            }
            Fragment::Aborted => {
                self.statistics.aborted += 1;
                Flow::Continue
            }
            Fragment::Complete => {
                self.statistics.reassembled += 1;
                reassembly.check()?;
                self.reassembly = Some(reassembly);
                Flow::Reassembled
            }
        })
    }
}

#[cfg(test)]
mod tests;
