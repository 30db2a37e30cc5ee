//! One connection: a socket and the dialogue on it.

use std::io::ErrorKind::{Interrupted, WouldBlock};

use bytes::{Buf as _, BytesMut};
use mio::{Interest, Registry, Token};

use crate::dialogue::{Broken, Dialogue, State};
use crate::lines::Tools;
use crate::outstanding::Waiting;
use crate::stream::Stream;
use crate::tally::Kind;

/// Where a socket is registered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) token: Token,
}

/// Whether a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Open,
    Ended,
}

#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    pub(crate) dialogue: Dialogue,
    /// The head of a frame whose end has not arrived.
    head: Vec<u8>,
    out: BytesMut,
    /// Whether the last write was short.
    blocked: bool,
    /// When the connection came into the state it is in.
    pub(crate) since: u64,
}

impl Connection {
    /// Says HELLO on a socket that is connected.
    pub(crate) fn greet(stream: Stream, site: Site<'_>, tools: &Tools<'_>) -> Result<Self, Broken> {
        let mut out = BytesMut::new();
        let (depth, max_frame_size) = (tools.plan.depth(), tools.plan.max_frame_size);
        let mut connection = Self {
            stream,
            dialogue: Dialogue::greet(depth, max_frame_size, &mut out),
            head: Vec::new(),
            out,
            blocked: false,
            since: tools.clock.now(),
        };
        let Self { stream, .. } = &mut connection;
        stream
            .established(site.registry, site.token)
            .map_err(|error| Broken::new(Kind::Connect, error.to_string()))?;
        connection.flush(site)?;
        Ok(connection)
    }

    /// Reads until the socket is drained. A short read means that it is, unless the agent has closed.
    pub(crate) fn read(&mut self, closed: bool, tools: &mut Tools<'_>) -> Result<Flow, Broken> {
        loop {
            let kept = self.head.len();
            let Some((head, room)) = tools.input.split_at_mut_checked(kept) else {
                return Err(Broken::new(Kind::Garbage, "a frame above every limit"));
            };
            head.copy_from_slice(&self.head);
            let read = match self.stream.read(room) {
                Ok(0) => return Err(self.closed()),
                Ok(read) => read,
                Err(error) if error.kind() == WouldBlock => return Ok(Flow::Open),
                Err(error) if error.kind() == Interrupted => continue,
                Err(error) => return Err(Broken::new(Kind::Reset, error.to_string())),
            };
            let drained = read < room.len() && !closed;
            let now = tools.clock.now();
            let input = tools.input.get(..kept + read).unwrap_or_default();
            let before = self.dialogue.state;
            let consumed = self
                .dialogue
                .receive(input, now, &tools.asker, &mut tools.meter)?;
            self.head.clear();
            self.head
                .extend_from_slice(input.get(consumed..).unwrap_or_default());
            if self.dialogue.state != before {
                if before == State::Greeting {
                    tools.meter.connected(self.since, now);
                }
                self.since = now;
            }
            if self.dialogue.state == State::Over {
                self.stream.abandon();
                return Ok(Flow::Ended);
            }
            if drained {
                return Ok(Flow::Open);
            }
        }
    }

    /// The agent has closed its side.
    fn closed(&self) -> Broken {
        let detail = if self.head.is_empty() {
            ""
        } else {
            "inside a frame"
        };
        let kind = match self.dialogue.state {
            State::Greeting => Kind::HelloClosed,
            State::Open => Kind::Closed,
            State::Leaving | State::Over => Kind::DisconnectUnanswered,
        };
        Broken::new(kind, detail)
    }

    /// Asks what may be asked, or leaves if this connection has had its share.
    pub(crate) fn go_on(&mut self, site: Site<'_>, tools: &mut Tools<'_>) -> Result<(), Broken> {
        if self.dialogue.state != State::Open {
            return Ok(());
        }
        if !tools.plan.is_open_loop() && tools.asker.may_ask() {
            let now = tools.clock.now();
            let waiting = Waiting {
                due: now,
                sent: now,
            };
            while self.has_room(tools) && tools.asker.may_ask() {
                self.dialogue
                    .ask(&mut tools.asker, waiting, &mut self.out)?;
            }
        }
        let spent = tools.draining || tools.plan.is_spent(self.dialogue.asked);
        if spent && self.dialogue.outstanding.count() == 0 {
            self.dialogue.leave(&mut self.out);
            self.since = tools.clock.now();
        }
        self.flush(site)
    }

    /// Whether one more NOTIFY may be sent on this connection.
    #[inline]
    pub(crate) fn has_room(&self, tools: &Tools<'_>) -> bool {
        self.dialogue.has_room() && !tools.plan.is_spent(self.dialogue.asked)
    }

    /// Queues one NOTIFY. Whether the connection has to be flushed now.
    #[inline]
    pub(crate) fn ask(&mut self, waiting: Waiting, tools: &mut Tools<'_>) -> Result<bool, Broken> {
        let first = self.out.is_empty();
        self.dialogue
            .ask(&mut tools.asker, waiting, &mut self.out)?;
        Ok(first)
    }

    /// Writes what is queued: all of it at once, if the socket takes it.
    #[inline]
    pub(crate) fn flush(&mut self, site: Site<'_>) -> Result<(), Broken> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(written) if written == self.out.len() => self.out.clear(),
                Ok(written) => self.out.advance(written),
                Err(error) if error.kind() == Interrupted => {}
                Err(error) if error.kind() == WouldBlock => {
                    return self.wait_for_room(true, site);
                }
                Err(error) => return Err(self.broken_pipe(&error)),
            }
        }
        if self.blocked {
            return self.wait_for_room(false, site);
        }
        Ok(())
    }

    fn wait_for_room(&mut self, blocked: bool, site: Site<'_>) -> Result<(), Broken> {
        if self.blocked == blocked {
            return Ok(());
        }
        self.blocked = blocked;
        let interest = if blocked {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        self.stream
            .listen_for(site.registry, site.token, interest)
            .map_err(|error| Broken::new(Kind::Reset, error.to_string()))
    }

    fn broken_pipe(&self, error: &std::io::Error) -> Broken {
        let kind = match self.dialogue.state {
            State::Greeting => Kind::HelloClosed,
            _ => Kind::Reset,
        };
        Broken::new(kind, error.to_string())
    }
}
