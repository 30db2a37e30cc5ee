//! What a connection writes: the output of a turn at once, and later what the socket did not take of it.

use std::io::{self, Write as _};
use std::time::Instant;

use super::connection::{Connection, Gone};
use super::desk::Desk;
use super::stream::Stream;

/// Answers that the socket did not take.
#[derive(Debug)]
pub(super) struct Backlog {
    pub(super) bytes: Vec<u8>,
    sent: usize,
    /// When the read that asked for them returned, and how many they are.
    read_at: Instant,
    acks: u32,
}

impl Connection {
    /// Sends the output; what the socket does not take becomes the backlog.
    pub(super) fn send<H>(
        &mut self,
        acks: u32,
        read_at: Instant,
        desk: &mut Desk<H>,
    ) -> Result<(), Gone> {
        #[cfg(feature = "tls")]
        self.seal(desk)?;
        self.send_raw(acks, read_at, desk)
    }

    /// Sends the output, or appends it to what is unsent already.
    pub(super) fn send_behind<H>(&mut self, desk: &mut Desk<H>) -> Result<(), Gone> {
        if self.backlog.is_some() {
            #[cfg(feature = "tls")]
            self.seal(desk)?;
        }
        if let Some(backlog) = &mut self.backlog {
            backlog.bytes.extend_from_slice(&desk.output);
            return Ok(());
        }
        self.send(0, Instant::now(), desk)
    }

    /// Sends the output as it is.
    pub(super) fn send_raw<H>(
        &mut self,
        acks: u32,
        read_at: Instant,
        desk: &mut Desk<H>,
    ) -> Result<(), Gone> {
        if desk.output.is_empty() {
            return Ok(());
        }
        let sent = write(&mut self.stream, &desk.output)?;
        desk.counters.bytes_out += sent as u64;
        if sent == desk.output.len() {
            record(acks, read_at, desk);
            return Ok(());
        }
        desk.counters.paused += 1;
        if self.ending.is_some() {
            self.deadline = desk.deadline_in(desk.limits.linger_timeout);
        }
        let bytes = desk.output.get(sent..).unwrap_or_default().to_vec();
        self.backlog = Some(Box::new(Backlog {
            bytes,
            sent: 0,
            read_at,
            acks,
        }));
        Ok(())
    }

    /// Sends unsent answers. Whether none is left.
    pub(super) fn send_backlog<H>(&mut self, desk: &mut Desk<H>) -> Result<bool, Gone> {
        let Some(mut backlog) = self.backlog.take() else {
            return Ok(true);
        };
        let unsent = backlog.bytes.get(backlog.sent..).unwrap_or_default();
        let sent = write(&mut self.stream, unsent)?;
        desk.counters.bytes_out += sent as u64;
        if sent == unsent.len() {
            record(backlog.acks, backlog.read_at, desk);
            return Ok(true);
        }
        backlog.sent += sent;
        self.backlog = Some(backlog);
        if sent > 0 && self.ending.is_some() {
            // A peer that still fetches its answers gets the time for it.
            self.deadline = desk.deadline_in(desk.limits.linger_timeout);
        }
        Ok(false)
    }
}

/// One write, which may take part of the bytes or none.
fn write(stream: &mut Stream, bytes: &[u8]) -> Result<usize, Gone> {
    loop {
        match stream.write(bytes) {
            Ok(sent) => return Ok(sent),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(_) => return Err(Gone::Reset),
        }
    }
}

/// All answers of a batch are with the kernel.
fn record<H>(acks: u32, read_at: Instant, desk: &mut Desk<H>) {
    if acks > 0 {
        desk.latency.record(read_at.elapsed(), acks);
    }
}
