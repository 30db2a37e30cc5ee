//! Taking connections off the kernel's queue and giving each to a worker.

use std::io;
use std::time::Instant;

use bytes::BytesMut;
use rustix::io::Errno;

use super::limits::{ACCEPT_BATCH, ACCEPT_FAILURES, ACCEPT_RETRY};
use super::mailbox::Mail;
use super::report::LastPeer;
use super::sources::Admission;
use super::transport::Transport;
use super::worker::Worker;
use crate::{Handler, WorkerHooks};
use haproxy_spop::Status;
use haproxy_spop::session::Session;

/// What an error of `accept` means. None of them ends a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The queue is empty.
    Empty,
    /// It may be about one connection, which is gone; the next one may be fine.
    Connection,
    /// The process or the machine is out of descriptors or memory: trying again at once would spin.
    Starved,
}

impl Trouble {
    fn of(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::WouldBlock {
            return Self::Empty;
        }
        match Errno::from_io_error(error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::INVAL) => {
                Self::Starved
            }
            _ => Self::Connection,
        }
    }
}

impl<H: Handler + WorkerHooks> Worker<H> {
    /// Takes a batch of connections from one listener.
    pub(super) fn accept(&mut self, index: usize) {
        let mut failures = 0;
        for _ in 0..ACCEPT_BATCH {
            let Some(listener) = self.listeners.get_mut(index) else {
                return;
            };
            listener.pending = false;
            match listener.accept().map_err(|error| Trouble::of(&error)) {
                Ok(Some(stream)) => {
                    failures = 0;
                    self.place(stream);
                }
                Ok(None) => {
                    failures = 0;
                    self.context.counters.not_allowed += 1;
                }
                Err(Trouble::Empty) => return,
                Err(Trouble::Connection) => {
                    failures += 1;
                    self.context.counters.accept_aborted += 1;
                    if failures == ACCEPT_FAILURES {
                        listener.retry_at = self.context.timer.deadline_in(ACCEPT_RETRY);
                        return;
                    }
                }
                Err(Trouble::Starved) => {
                    self.context.counters.accept_starved += 1;
                    listener.retry_at = self.context.timer.deadline_in(ACCEPT_RETRY);
                    return;
                }
            }
        }
        if let Some(listener) = self.listeners.get_mut(index) {
            listener.pending = true;
        }
    }

    /// Keeps a connection or hands it to the worker with the fewest.
    fn place(&mut self, mut stream: Transport) {
        self.context.counters.accepted += 1;
        if !self.sources.is_off()
            && let Some(origin) = stream.origin()
        {
            match self.sources.admit(origin) {
                Admission::Unlimited => {}
                Admission::Permitted(permit) => stream.hold(permit),
                Admission::Refused => {
                    self.context.counters.over_source_limit += 1;
                    self.context.over_source_limit = Some(LastPeer {
                        at: Instant::now(),
                        address: stream.peer(),
                    });
                    return self.turn_down(stream, "its source has as many as it may have");
                }
            }
        }
        let Some(worker) = self.placement.claim(self.number) else {
            self.context.counters.over_cap += 1;
            return self.turn_down(stream, "the connection cap is reached");
        };
        if worker == self.number {
            return self.adopt(stream);
        }
        let unsent = match self.workers.get(worker) {
            Some(mailbox) => mailbox.send(Mail::Adopt(stream)),
            None => Err(Mail::Adopt(stream)),
        };
        // A worker that has stopped cannot serve it; this one still can.
        if let Err(Mail::Adopt(stream)) = unsent {
            self.placement.hand_back(worker, self.number);
            self.adopt(stream);
        }
    }

    /// Closes a connection that is too much. The peer gets the status, if the socket takes it at once.
    #[cfg_attr(
        not(feature = "trace"),
        expect(unused_variables, reason = "the reason is traced only")
    )]
    fn turn_down(&self, mut stream: Transport, why: &str) {
        #[cfg(feature = "trace")]
        if let Some(trace) = &self.context.trace {
            trace.turned_down(&stream, why);
        }
        if !stream.is_plain() {
            // A handshake costs as much as serving it.
            return;
        }
        let mut output = BytesMut::new();
        Session::new(self.context.limits.terms).disconnect(Status::RESOURCES, &mut output);
        // Best effort: the connection is closed in any case.
        let _ = io::Write::write(&mut stream, &output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_of_accept_is_mistaken_for_another() {
        let of = |code: Errno| Trouble::of(&code.into());
        assert_eq!(of(Errno::AGAIN), Trouble::Empty);
        for code in [
            Errno::CONNABORTED,
            Errno::PROTO,
            Errno::INTR,
            Errno::PERM,
            Errno::NETDOWN,
        ] {
            assert_eq!(of(code), Trouble::Connection, "{code}");
        }
        for code in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert_eq!(of(code), Trouble::Starved, "{code}");
        }
    }
}
