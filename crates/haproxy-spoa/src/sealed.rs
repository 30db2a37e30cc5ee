//! A turn of a connection with TLS: one read of records, the session over what is in them, one write
//! of records.
//!
//! What is unsent, the backlog, is always records: they are sealed in the order in which they leave.
//! While TLS itself has something unsent, what has been opened waits in the leftover, as it does when
//! answers are unsent.

use std::io::Read as _;
use std::time::Instant;

use super::connection::{Connection, Gone, Next, pass};
use super::desk::Desk;
use super::leaving::{Ending, LINGER};
use super::tls::{Fault, Opened, Tls};
use crate::Handler;

impl Connection {
    /// One read, and the answers to what it brought.
    pub(super) fn fill_sealed(&mut self, desk: &mut Desk<impl Handler>) -> Result<Next, Gone> {
        let room = desk.limits.turn_bytes;
        let kept = match self.stream.tls() {
            Some(tls) if tls.is_closed() => return self.say_closed(desk),
            Some(tls) => tls.put_back(&mut desk.sealed),
            None => return Err(Gone::Reset),
        };
        let Some(space) = desk.sealed.get_mut(kept..room) else {
            return Err(Gone::Reset);
        };
        let read = match self.stream.read(space) {
            Ok(0) => return Err(Gone::Eof),
            Ok(read) => read,
            Err(error) => return pass(&error),
        };
        let read_at = Instant::now();
        let drained = read < room - kept;
        desk.counters.bytes_in += read as u64;
        self.postpone_idle(read_at, desk);
        let opened = self.open(kept + read, desk);
        self.send_raw(0, read_at, desk)?;
        match opened {
            Ok(opened) => self.opened(opened, drained, read_at, desk),
            Err(fault) => self.fault(&fault, desk),
        }
    }

    /// The peer has ended TLS, and is told that we do, if that is possible at once.
    fn say_closed<H>(&mut self, desk: &mut Desk<H>) -> Result<Next, Gone> {
        desk.output.clear();
        self.ending = Some(Ending::Close);
        self.seal(desk)?;
        self.send_raw(0, Instant::now(), desk)?;
        Err(Gone::Eof)
    }

    /// Opens the first `len` bytes of what was read. What TLS has to say becomes the output.
    fn open<H>(&mut self, len: usize, desk: &mut Desk<H>) -> Result<Opened, Fault> {
        desk.output.clear();
        let held = self.leftover.len();
        let sealed = desk.sealed.get_mut(..len).unwrap_or_default();
        let plain = desk.input.get_mut(held..).unwrap_or_default();
        match self.stream.tls() {
            Some(tls) => tls.open(sealed, plain, &mut desk.output),
            None => Err(Fault::TooLong),
        }
    }

    fn opened(
        &mut self,
        opened: Opened,
        drained: bool,
        read_at: Instant,
        desk: &mut Desk<impl Handler>,
    ) -> Result<Next, Gone> {
        desk.counters.tls_handshakes += u64::from(opened.is_new);
        if self.backlog.is_some() {
            let held = self.leftover.len();
            let fresh = desk.input.get(held..held + opened.len);
            self.leftover.extend_from_slice(fresh.unwrap_or_default());
            self.held_back = opened.len > 0;
            return Ok(Next::Writable);
        }
        let drained = drained && opened.is_drained;
        if opened.len > 0 {
            return self.digest(opened.len, drained, read_at, desk);
        }
        if drained && !self.read_closed {
            Ok(Next::Event)
        } else {
            Ok(Next::Turn)
        }
    }

    /// The peer has been told what is wrong, as far as TLS has words for it.
    fn fault(&mut self, fault: &Fault, desk: &mut Desk<impl Handler>) -> Result<Next, Gone> {
        match fault {
            Fault::Certificate(_) => desk.counters.tls_refused += 1,
            Fault::Protocol(_) | Fault::TooLong => desk.counters.tls_faults += 1,
        }
        #[cfg(feature = "trace")]
        if let Some(trace) = &desk.trace {
            trace.fault(self.serial, &self.stream, fault);
        }
        self.leftover = Vec::new();
        self.ending = Some(LINGER);
        self.deadline = desk.deadline_in(desk.limits.linger_timeout);
        if self.backlog.is_some() {
            return Ok(Next::Writable);
        }
        self.leave(LINGER, desk)
    }

    /// Makes records of the output, if this connection has any; the last ones if it is ending.
    pub(super) fn seal<H>(&mut self, desk: &mut Desk<H>) -> Result<(), Gone> {
        let is_last = self.ending.is_some();
        let Some(tls) = self.stream.tls() else {
            return Ok(());
        };
        desk.sealing.clear();
        tls.seal(&desk.output, &mut desk.sealing, is_last)
            .map_err(|_| Gone::Reset)?;
        core::mem::swap(&mut desk.output, &mut desk.sealing);
        Ok(())
    }

    /// Whether the peer has begun a handshake or a record.
    pub(super) fn owes_tls(&self) -> bool {
        self.stream.tls_ref().is_some_and(Tls::owes)
    }
}
