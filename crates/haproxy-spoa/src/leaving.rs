//! How a connection ends: answered, refused, too late, or because the agent stops.
//!
//! ```text
//!  DISCONNECT, health check answered    Close     close once all is sent
//!  fault, timeout, shutdown             Linger    AGENT-DISCONNECT, shut our side, discard, close
//! ```

use std::io::Read as _;
use std::time::Instant;

use super::connection::{Connection, Gone, Next, pass};
use super::desk::Desk;
use super::limits::LINGER_BYTES;
use crate::Handler;
use haproxy_spop::Status;

/// How a connection that is over leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The peer expects nothing more: close.
    Close,
    /// The peer may still be sending, and closing then would destroy our last frame on its way:
    /// close our side, and throw away what comes until the peer closes too.
    Linger {
        /// Whether our side is closed.
        shut: bool,
        /// Bytes thrown away.
        discarded: usize,
    },
}

pub(super) const LINGER: Ending = Ending::Linger {
    shut: false,
    discarded: 0,
};

impl Connection {
    /// In a shutdown a connection says goodbye together with an answer that leaves nothing open.
    pub(super) fn leave_if_draining<H>(&mut self, desk: &mut Desk<H>) {
        if desk.drain.is_some()
            && self.session.is_established()
            && !self.session.is_reassembling()
            && self.outstanding == 0
        {
            self.say(Status::NORMAL, desk);
        }
    }

    /// Appends AGENT-DISCONNECT to the output and ends the connection.
    pub(super) fn say<H>(&mut self, status: Status, desk: &mut Desk<H>) {
        #[cfg(feature = "trace")]
        let from = desk.output.len();
        self.session.disconnect(status, &mut desk.output);
        #[cfg(feature = "trace")]
        if let Some(trace) = &desk.trace {
            trace.step(
                self.serial,
                &[],
                desk.output.get(from..).unwrap_or_default(),
                None,
            );
        }
        self.ending = Some(LINGER);
        self.deadline = desk.deadline_in(desk.limits.linger_timeout);
    }

    /// Everything is sent and nothing more is wanted.
    pub(super) fn leave<H>(&mut self, ending: Ending, desk: &mut Desk<H>) -> Result<Next, Gone> {
        let Ending::Linger {
            shut,
            mut discarded,
        } = ending
        else {
            return Err(Gone::Ended);
        };
        if !shut {
            self.deadline = desk.deadline_in(desk.limits.linger_timeout);
            self.stream.shutdown_write().map_err(|_| Gone::Ended)?;
        }
        let room = desk.input.len();
        let next = match self.stream.read(&mut desk.input) {
            Ok(0) => return Err(Gone::Ended),
            Ok(read) => {
                discarded += read;
                if read == room {
                    Next::Turn
                } else {
                    Next::Event
                }
            }
            Err(error) => pass(&error).map_err(|_| Gone::Ended)?,
        };
        if discarded > LINGER_BYTES || (next == Next::Event && self.read_closed) {
            return Err(Gone::Ended);
        }
        self.ending = Some(Ending::Linger {
            shut: true,
            discarded,
        });
        Ok(next)
    }

    /// The deadline has passed.
    pub(super) fn expire(&mut self, desk: &mut Desk<impl Handler>) -> Result<Next, Gone> {
        self.deadline = None;
        if self.ending.is_some() {
            return Err(Gone::Ended);
        }
        let status = match desk.drain {
            Some(until) => {
                // What arrived in this very moment is still answered.
                let next = self.turn(desk)?;
                let open = self.owes() || next != Next::Event;
                if self.ending.is_some() || (open && Instant::now() < until) {
                    // Looked at again and again: what it owes may end without an answer.
                    self.drain(desk);
                    return Ok(next);
                }
                Status::NORMAL
            }
            None if self.outstanding > 0 => {
                // It is this side that is silent.
                let idle = desk.limits.idle_timeout;
                self.deadline = idle.and_then(|idle| desk.deadline_in(idle));
                return Ok(Next::Event);
            }
            None if self.session.is_established() => {
                desk.counters.idle_timeouts += 1;
                Status::TIMEOUT
            }
            None => {
                desk.counters.hello_timeouts += 1;
                Status::TIMEOUT
            }
        };
        self.farewell(status, desk)
    }

    /// A shutdown has begun: speak up now or be told goodbye.
    pub(super) fn drain<H>(&mut self, desk: &mut Desk<H>) {
        if self.ending.is_none() {
            self.deadline = desk.deadline_in(desk.limits.drain_grace);
        }
    }

    /// The time for everything is up.
    pub(super) fn cut_off<H>(&mut self, desk: &mut Desk<H>) {
        if self.ending.is_none() && self.backlog.is_none() {
            desk.output.clear();
            self.say(Status::NORMAL, desk);
            // It is closed in any case.
            let _ = self.send(0, Instant::now(), desk);
        }
    }

    /// Whether the peer has begun something that it is owed the end of.
    pub(super) fn owes(&self) -> bool {
        #[cfg(feature = "tls")]
        if self.owes_tls() {
            return true;
        }
        !self.leftover.is_empty()
            || self.backlog.is_some()
            || self.session.is_reassembling()
            || self.outstanding > 0
    }

    /// Says goodbye on our own account.
    pub(super) fn farewell(
        &mut self,
        status: Status,
        desk: &mut Desk<impl Handler>,
    ) -> Result<Next, Gone> {
        desk.output.clear();
        self.say(status, desk);
        self.send_behind(desk)?;
        self.turn(desk)
    }
}
