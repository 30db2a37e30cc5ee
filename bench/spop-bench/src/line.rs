//! A place for a connection: it is down, being connected, or up; and how long it may be so.

use std::io::ErrorKind;

use mio::event::Event;

use crate::connection::{Connection, Flow, Site};
use crate::dialogue::{Broken, State};
use crate::lines::Tools;
use crate::stream::Stream;
use crate::tally::Kind;
use crate::units;

#[derive(Debug)]
pub(crate) enum Line {
    Down,
    Connecting { stream: Stream, since: u64 },
    Up(Connection),
}

impl Line {
    /// Begins to connect. False if the agent's queue is full (on UNIX sockets) and it is to be tried
    /// again.
    pub(crate) fn open(&mut self, site: Site<'_>, tools: &Tools<'_>) -> Result<bool, Broken> {
        let since = tools.clock.now();
        match Stream::connect(&tools.plan.target, site.registry, site.token) {
            Ok(stream) => {
                *self = Self::Connecting { stream, since };
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(Broken::new(Kind::Connect, error.to_string())),
        }
    }

    pub(crate) fn ready(
        &mut self,
        event: &Event,
        site: Site<'_>,
        tools: &mut Tools<'_>,
    ) -> Result<Flow, Broken> {
        match self {
            Self::Down => Ok(Flow::Open),
            Self::Connecting { .. } => self.connected(site, tools),
            Self::Up(connection) => {
                if event.is_writable() {
                    connection.flush(site)?;
                }
                let flow = connection.read(event.is_read_closed(), tools)?;
                connection.go_on(site, tools)?;
                Ok(flow)
            }
        }
    }

    fn connected(&mut self, site: Site<'_>, tools: &Tools<'_>) -> Result<Flow, Broken> {
        let Self::Connecting { stream, since } = std::mem::replace(self, Self::Down) else {
            return Ok(Flow::Open);
        };
        match stream.is_connected() {
            Ok(true) => {
                let mut connection = Connection::greet(stream, site, tools)?;
                connection.since = since;
                *self = Self::Up(connection);
            }
            Ok(false) => *self = Self::Connecting { stream, since },
            Err(error) => return Err(Broken::new(Kind::Connect, error.to_string())),
        }
        Ok(Flow::Open)
    }

    /// Whether NOTIFYs can be sent.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self, Self::Up(connection) if matches!(connection.dialogue.state, State::Open))
    }

    pub(crate) const fn is_down(&self) -> bool {
        matches!(self, Self::Down)
    }

    /// Whether HELLO is still to be answered.
    pub(crate) const fn is_opening(&self) -> bool {
        match self {
            Self::Down => false,
            Self::Connecting { .. } => true,
            Self::Up(connection) => matches!(connection.dialogue.state, State::Greeting),
        }
    }

    /// NOTIFYs that wait for their ACK.
    pub(crate) const fn in_flight(&self) -> usize {
        match self {
            Self::Up(connection) => connection.dialogue.outstanding.count(),
            _ => 0,
        }
    }

    /// Whether the agent has had its time.
    pub(crate) fn check(&self, now: u64, tools: &Tools<'_>) -> Result<Flow, Broken> {
        let limits = &tools.plan.timeouts;
        let over = |since: u64, limit| now.saturating_sub(since) > units::nanos(limit);
        match self {
            Self::Connecting { since, .. } if over(*since, limits.connect) => {
                Err(Broken::new(Kind::ConnectTimeout, ""))
            }
            Self::Up(connection) => match connection.dialogue.state {
                State::Greeting if over(connection.since, limits.hello) => {
                    Err(Broken::new(Kind::HelloTimeout, ""))
                }
                State::Open => {
                    let late = |sent| over(sent, limits.response);
                    let mut waiting = connection.dialogue.outstanding.iter();
                    if waiting.any(|waiting| late(waiting.sent)) {
                        return Err(Broken::new(Kind::Unanswered, ""));
                    }
                    Ok(Flow::Open)
                }
                State::Leaving if over(connection.since, limits.response) => {
                    Err(Broken::new(Kind::DisconnectUnanswered, "timed out"))
                }
                _ => Ok(Flow::Open),
            },
            _ => Ok(Flow::Open),
        }
    }

    /// Closes, and counts what the agent owes.
    pub(crate) fn give_up(&mut self, broken: Broken, now: u64, tools: &mut Tools<'_>) {
        let meter = &mut tools.meter;
        let mut unanswered = 0;
        if let Self::Up(connection) = self {
            let timeout = units::nanos(tools.plan.timeouts.response);
            let mut lost = 0;
            for waiting in connection.dialogue.outstanding.iter() {
                meter.give_up(waiting.due, now);
                if now.saturating_sub(waiting.sent) > timeout {
                    unanswered += 1;
                } else {
                    lost += 1;
                }
            }
            meter
                .tally
                .count(Kind::Lost, lost, || broken.kind.to_string());
            meter.tally.count(Kind::Unanswered, unanswered, String::new);
        }
        if broken.kind != Kind::Unanswered {
            meter.wrong(broken.kind, || broken.detail);
        }
        *self = Self::Down;
    }
}
