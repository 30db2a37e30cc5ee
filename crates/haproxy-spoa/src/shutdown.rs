//! How a connection ends: answered, refused, too late, or because the agent stops.
//!
//! ```text
//!  DISCONNECT, health check answered    Close     close once all is sent
//!  fault, timeout, shutdown             Linger    AGENT-DISCONNECT, shut our side, discard, close
//! ```

use std::io::Read as _;
use std::time::Instant;

use super::connection::{Connection, ConnectionEnd, WaitFor, pass};
use super::context::WorkerContext;
use super::limits::LINGER_BYTES;
use crate::Handler;
use haproxy_spop::Status;

/// How a connection that is over leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseMode {
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

pub(super) const LINGER: CloseMode = CloseMode::Linger {
    shut: false,
    discarded: 0,
};

impl Connection {
    /// In a shutdown a connection says goodbye together with an answer that leaves nothing open.
    pub(super) fn leave_if_draining<H>(&mut self, context: &mut WorkerContext<H>) {
        if context.drain.is_some()
            && self.session.is_established()
            && !self.session.is_reassembling()
            && self.outstanding == 0
        {
            self.queue_disconnect(Status::NORMAL, context);
        }
    }

    /// Appends AGENT-DISCONNECT to the output and ends the connection.
    pub(super) fn queue_disconnect<H>(&mut self, status: Status, context: &mut WorkerContext<H>) {
        #[cfg(feature = "trace")]
        let from = context.output.len();
        self.session.disconnect(status, &mut context.output);
        #[cfg(feature = "trace")]
        if let Some(trace) = &context.trace {
            trace.step(
                self.serial,
                &[],
                context.output.get(from..).unwrap_or_default(),
                None,
            );
        }
        self.ending = Some(LINGER);
        self.deadline = context.deadline_in(context.limits.linger_timeout);
    }

    /// Everything is sent and nothing more is wanted.
    pub(super) fn leave<H>(
        &mut self,
        ending: CloseMode,
        context: &mut WorkerContext<H>,
    ) -> Result<WaitFor, ConnectionEnd> {
        let CloseMode::Linger {
            shut,
            mut discarded,
        } = ending
        else {
            return Err(ConnectionEnd::Ended);
        };
        if !shut {
            self.deadline = context.deadline_in(context.limits.linger_timeout);
            self.stream
                .shutdown_write()
                .map_err(|_| ConnectionEnd::Ended)?;
        }
        let room = context.input.len();
        let next = match self.stream.read(&mut context.input) {
            Ok(0) => return Err(ConnectionEnd::Ended),
            Ok(read) => {
                discarded += read;
                if read == room {
                    WaitFor::Turn
                } else {
                    WaitFor::Event
                }
            }
            Err(error) => pass(&error).map_err(|_| ConnectionEnd::Ended)?,
        };
        if discarded > LINGER_BYTES || (next == WaitFor::Event && self.read_closed) {
            return Err(ConnectionEnd::Ended);
        }
        self.ending = Some(CloseMode::Linger {
            shut: true,
            discarded,
        });
        Ok(next)
    }

    /// The deadline has passed.
    pub(super) fn expire(
        &mut self,
        context: &mut WorkerContext<impl Handler>,
    ) -> Result<WaitFor, ConnectionEnd> {
        self.deadline = None;
        if self.ending.is_some() {
            return Err(ConnectionEnd::Ended);
        }
        let status = match context.drain {
            Some(until) => {
                // What arrived in this very moment is still answered.
                let next = self.turn(context)?;
                let open = self.has_pending() || next != WaitFor::Event;
                if self.ending.is_some() || (open && Instant::now() < until) {
                    // Checked again each time: what is pending may end without an answer.
                    self.drain(context);
                    return Ok(next);
                }
                Status::NORMAL
            }
            None if self.outstanding > 0 => {
                // It is this side that is silent.
                let idle = context.limits.idle_timeout;
                self.deadline = idle.and_then(|idle| context.deadline_in(idle));
                return Ok(WaitFor::Event);
            }
            None if self.session.is_established() => {
                context.counters.idle_timeouts += 1;
                Status::TIMEOUT
            }
            None => {
                context.counters.hello_timeouts += 1;
                Status::TIMEOUT
            }
        };
        self.disconnect_and_flush(status, context)
    }

    /// A shutdown has begun: speak up now or be told goodbye.
    pub(super) fn drain<H>(&mut self, context: &mut WorkerContext<H>) {
        if self.ending.is_none() {
            self.deadline = context.deadline_in(context.limits.drain_grace);
        }
    }

    /// The time for everything is up.
    pub(super) fn cut_off<H>(&mut self, context: &mut WorkerContext<H>) {
        if self.ending.is_none() && self.backlog.is_none() {
            context.output.clear();
            self.queue_disconnect(Status::NORMAL, context);
            // It is closed in any case.
            let _ = self.send(0, Instant::now(), context);
        }
    }

    /// Whether the peer has begun something that it is owed the end of.
    pub(super) fn has_pending(&self) -> bool {
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
    pub(super) fn disconnect_and_flush(
        &mut self,
        status: Status,
        context: &mut WorkerContext<impl Handler>,
    ) -> Result<WaitFor, ConnectionEnd> {
        context.output.clear();
        self.queue_disconnect(status, context);
        self.send_behind(context)?;
        self.turn(context)
    }
}
