//! `HAProxy`'s side of one connection, without a socket: what it says next, and what it accepts.
//!
//! ```text
//!            AGENT-HELLO          ACK                 AGENT-DISCONNECT
//!  Greeting ------------> Open --. .-> Open --> Leaving -------------> Over
//!                               '-'     DISCONNECT
//! ```

use bytes::BytesMut;
use haproxy_spop::{
    AgentHello, Capabilities, Disconnect, Flags, Frame, FrameFull, FrameType, HaproxyHello,
    MAX_FRAME_SIZE_LEAST, Status, VERSION, Versions,
};

use crate::asker::Asker;
use crate::meter::Meter;
use crate::outstanding::{Outstanding, Unmatched, Waiting};
use crate::tally::Kind;

/// Why a connection cannot go on.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) kind: Kind,
    pub(crate) detail: String,
}

impl Broken {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { kind, detail }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// HELLO is sent.
    Greeting,
    /// NOTIFYs may be sent.
    Open,
    /// DISCONNECT is sent.
    Leaving,
    /// The agent has said goodbye. As `HAProxy` does, the connection is closed without waiting.
    Over,
}

#[derive(Debug)]
pub(crate) struct Dialogue {
    pub(crate) state: State,
    pub(crate) outstanding: Outstanding,
    /// What was offered, then what was negotiated.
    max_frame_size: u32,
    /// NOTIFYs sent.
    pub(crate) asked: u64,
    depth: usize,
}

impl Dialogue {
    /// Begins with HAPROXY-HELLO (SPOE.txt 3.2.4), as 3.1 and later send it.
    pub(crate) fn greet(depth: usize, max_frame_size: u32, out: &mut BytesMut) -> Self {
        let hello = HaproxyHello {
            supported_versions: Some(Versions(VERSION.as_bytes())),
            max_frame_size: Some(max_frame_size),
            capabilities: Some(Capabilities(b"pipelining")),
            healthcheck: false,
            engine_id: Some(b"spop-bench"),
        };
        // It measures some 90 bytes, and 256 are the least that can be offered.
        let _ = hello.write(out, max_frame_size);
        Self {
            state: State::Greeting,
            outstanding: Outstanding::new(depth),
            max_frame_size,
            asked: 0,
            depth,
        }
    }

    /// Whether one more NOTIFY may be in flight.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.state == State::Open && self.outstanding.count() < self.depth
    }

    #[inline]
    pub(crate) fn ask(
        &mut self,
        asker: &mut Asker,
        waiting: Waiting,
        out: &mut BytesMut,
    ) -> Result<(), Broken> {
        self.asked += 1;
        asker
            .ask(waiting, &mut self.outstanding, out, self.max_frame_size)
            .map_err(|FrameFull| {
                let max = self.max_frame_size;
                Broken::new(
                    Kind::TooBig,
                    format!("the agent takes frames of up to {max} bytes"),
                )
            })
    }

    /// HAPROXY-DISCONNECT (SPOE.txt 3.2.8).
    pub(crate) fn leave(&mut self, out: &mut BytesMut) {
        let disconnect = Disconnect {
            status: Status::NORMAL,
            message: Status::NORMAL.message().as_bytes(),
        };
        // It measures some 40 bytes.
        let _ = disconnect.write(FrameType::HAPROXY_DISCONNECT, out, self.max_frame_size);
        self.state = State::Leaving;
    }

    /// Works through every whole frame; gives how many bytes that were.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        input: &[u8],
        now: u64,
        asker: &Asker,
        meter: &mut Meter,
    ) -> Result<usize, Broken> {
        let mut rest = input;
        loop {
            match Frame::split_first(rest, self.max_frame_size) {
                Ok(None) => return Ok(input.len() - rest.len()),
                Ok(Some((frame, tail))) => {
                    rest = tail;
                    if frame.kind == FrameType::ACK && self.state != State::Greeting {
                        self.ack(frame, now, asker, meter);
                    } else {
                        self.other(frame, meter)?;
                    }
                }
                Err(malformed) => return Err(Broken::new(Kind::Garbage, malformed.to_string())),
            }
        }
    }

    #[inline]
    fn ack(&mut self, frame: Frame<'_>, now: u64, asker: &Asker, meter: &mut Meter) {
        let (stream_id, frame_id) = (frame.stream_id, frame.frame_id);
        let matched = self.outstanding.take(stream_id, frame_id);
        match (matched, asker.question.check(frame)) {
            (Ok(waiting), Ok(())) => meter.answer(waiting.due, now),
            (Ok(_), Err((kind, detail))) => meter.wrong(kind, || detail),
            (Err(unmatched), _) => {
                let kind = match unmatched {
                    Unmatched::Repeated => Kind::AckRepeated,
                    Unmatched::Unknown => Kind::AckUnknown,
                };
                meter.wrong(kind, || {
                    format!("stream-id {stream_id}, frame-id {frame_id}")
                });
            }
        }
    }

    /// Any frame but an ACK.
    fn other(&mut self, frame: Frame<'_>, meter: &mut Meter) -> Result<(), Broken> {
        match (frame.kind, self.state) {
            (FrameType::AGENT_HELLO, State::Greeting) => self.hello(frame),
            (FrameType::AGENT_DISCONNECT, State::Greeting) => {
                Err(farewell(Kind::HelloRefused, frame))
            }
            (FrameType::AGENT_DISCONNECT, State::Open) => Err(farewell(Kind::Disconnected, frame)),
            (FrameType::AGENT_DISCONNECT, State::Leaving) => {
                self.state = State::Over;
                Ok(())
            }
            (kind, State::Greeting) => {
                let detail = format!("{kind} in place of AGENT-HELLO");
                Err(Broken::new(Kind::UnexpectedFrame, detail))
            }
            (kind, _) => {
                meter.wrong(Kind::UnexpectedFrame, || kind.to_string());
                Ok(())
            }
        }
    }

    /// AGENT-HELLO (SPOE.txt 3.2.5): it has to keep within the offer.
    fn hello(&mut self, frame: Frame<'_>) -> Result<(), Broken> {
        let wrong = |detail: String| Err(Broken::new(Kind::HelloTerms, detail));
        let hello = match AgentHello::parse(frame.payload) {
            Ok(hello) => hello,
            Err(malformed) => return wrong(malformed.to_string()),
        };
        let version = String::from_utf8_lossy(hello.version);
        if version.trim() != VERSION {
            return wrong(format!("version {version:?}"));
        }
        if !(MAX_FRAME_SIZE_LEAST..=self.max_frame_size).contains(&hello.max_frame_size) {
            let offered = self.max_frame_size;
            return wrong(format!(
                "max-frame-size {} for {offered}",
                hello.max_frame_size
            ));
        }
        if frame.flags != Flags::FIN || (frame.stream_id, frame.frame_id) != (0, 0) {
            return wrong("flags other than FIN, or ids other than 0".to_owned());
        }
        if self.depth > 1 && !hello.capabilities.contains("pipelining") {
            return wrong("no pipelining: only --depth 1 is possible".to_owned());
        }
        self.max_frame_size = hello.max_frame_size;
        self.state = State::Open;
        Ok(())
    }
}

fn farewell(kind: Kind, frame: Frame<'_>) -> Broken {
    Broken::new(
        kind,
        match Disconnect::parse(frame.payload) {
            Ok(Disconnect { status, message }) => {
                format!(
                    "status {}: {}",
                    status.0,
                    String::from_utf8_lossy(message).escape_debug()
                )
            }
            Err(malformed) => malformed.to_string(),
        },
    )
}

#[cfg(test)]
mod tests;
