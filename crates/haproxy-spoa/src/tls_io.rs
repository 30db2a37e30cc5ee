//! A turn of a connection with TLS: one read of records, the session over what is in them, one write
//! of records.
//!
//! What is unsent, the backlog, is always records: they are sealed in the order in which they leave.
//! While TLS itself has something unsent, what has been opened waits in the leftover, as it does when
//! answers are unsent.

use std::io::Read as _;
use std::time::Instant;

use super::connection::{Connection, ConnectionEnd, WaitFor, pass};
use super::context::WorkerContext;
use super::shutdown::{CloseMode, LINGER};
use super::tls::{Fault, Opened, Tls};
use crate::Handler;

impl Connection {
    /// One read, and the answers to what it brought.
    pub(super) fn fill_sealed(
        &mut self,
        context: &mut WorkerContext<impl Handler>,
    ) -> Result<WaitFor, ConnectionEnd> {
        let room = context.limits.turn_bytes;
        let kept = match self.stream.tls() {
            Some(tls) if tls.is_closed() => return self.say_closed(context),
            Some(tls) => tls.put_back(&mut context.sealed),
            None => return Err(ConnectionEnd::Reset),
        };
        let Some(space) = context.sealed.get_mut(kept..room) else {
            return Err(ConnectionEnd::Reset);
        };
        let read = match self.stream.read(space) {
            Ok(0) => return Err(ConnectionEnd::Eof),
            Ok(read) => read,
            Err(error) => return pass(&error),
        };
        let read_at = Instant::now();
        let drained = read < room - kept;
        context.counters.bytes_in += read as u64;
        self.postpone_idle(read_at, context);
        let opened = self.open(kept + read, context);
        self.send_raw(0, read_at, context)?;
        match opened {
            Ok(opened) => self.opened(opened, drained, read_at, context),
            Err(fault) => self.fault(&fault, context),
        }
    }

    /// The peer has ended TLS, and is told that we do, if that is possible at once.
    fn say_closed<H>(&mut self, context: &mut WorkerContext<H>) -> Result<WaitFor, ConnectionEnd> {
        context.output.clear();
        self.ending = Some(CloseMode::Close);
        self.seal(context)?;
        self.send_raw(0, Instant::now(), context)?;
        Err(ConnectionEnd::Eof)
    }

    /// Opens the first `len` bytes of what was read. What TLS has to say becomes the output.
    fn open<H>(&mut self, len: usize, context: &mut WorkerContext<H>) -> Result<Opened, Fault> {
        context.output.clear();
        let held = self.leftover.len();
        let sealed = context.sealed.get_mut(..len).unwrap_or_default();
        let plain = context.input.get_mut(held..).unwrap_or_default();
        match self.stream.tls() {
            Some(tls) => tls.open(sealed, plain, &mut context.output),
            None => Err(Fault::TooLong),
        }
    }

    fn opened(
        &mut self,
        opened: Opened,
        drained: bool,
        read_at: Instant,
        context: &mut WorkerContext<impl Handler>,
    ) -> Result<WaitFor, ConnectionEnd> {
        context.counters.tls_handshakes += u64::from(opened.is_new);
        if self.backlog.is_some() {
            let held = self.leftover.len();
            let fresh = context.input.get(held..held + opened.len);
            self.leftover.extend_from_slice(fresh.unwrap_or_default());
            self.held_back = opened.len > 0;
            return Ok(WaitFor::Writable);
        }
        let drained = drained && opened.is_drained;
        if opened.len > 0 {
            return self.process_input(opened.len, drained, read_at, context);
        }
        if drained && !self.read_closed {
            Ok(WaitFor::Event)
        } else {
            Ok(WaitFor::Turn)
        }
    }

    /// The peer has been told what is wrong, as far as TLS has words for it.
    fn fault(
        &mut self,
        fault: &Fault,
        context: &mut WorkerContext<impl Handler>,
    ) -> Result<WaitFor, ConnectionEnd> {
        match fault {
            Fault::Certificate(_) => context.counters.tls_refused += 1,
            Fault::Protocol(_) | Fault::TooLong => context.counters.tls_faults += 1,
        }
        #[cfg(feature = "trace")]
        if let Some(trace) = &context.trace {
            trace.fault(self.serial, &self.stream, fault);
        }
        self.leftover = Vec::new();
        self.ending = Some(LINGER);
        self.deadline = context.deadline_in(context.limits.linger_timeout);
        if self.backlog.is_some() {
            return Ok(WaitFor::Writable);
        }
        self.leave(LINGER, context)
    }

    /// Makes records of the output, if this connection has any; the last ones if it is ending.
    pub(super) fn seal<H>(&mut self, context: &mut WorkerContext<H>) -> Result<(), ConnectionEnd> {
        let is_last = self.ending.is_some();
        let Some(tls) = self.stream.tls() else {
            return Ok(());
        };
        context.sealing.clear();
        tls.seal(&context.output, &mut context.sealing, is_last)
            .map_err(|_| ConnectionEnd::Reset)?;
        core::mem::swap(&mut context.output, &mut context.sealing);
        Ok(())
    }

    /// Whether the peer has begun a handshake or a record.
    pub(super) fn owes_tls(&self) -> bool {
        self.stream.tls_ref().is_some_and(Tls::has_pending)
    }
}
