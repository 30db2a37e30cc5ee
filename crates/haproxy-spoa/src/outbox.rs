//! What a connection writes: the output of a turn at once, and later what the socket did not take of it.

use std::io::{self, Write as _};
use std::time::Instant;

use super::connection::{Connection, ConnectionEnd};
use super::context::WorkerContext;
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
        context: &mut WorkerContext<H>,
    ) -> Result<(), ConnectionEnd> {
        #[cfg(feature = "tls")]
        self.seal(context)?;
        self.send_raw(acks, read_at, context)
    }

    /// Sends the output, or appends it to what is unsent already.
    pub(super) fn send_behind<H>(
        &mut self,
        context: &mut WorkerContext<H>,
    ) -> Result<(), ConnectionEnd> {
        if self.backlog.is_some() {
            #[cfg(feature = "tls")]
            self.seal(context)?;
        }
        if let Some(backlog) = &mut self.backlog {
            backlog.bytes.extend_from_slice(&context.output);
            return Ok(());
        }
        self.send(0, Instant::now(), context)
    }

    /// Sends the output as it is.
    pub(super) fn send_raw<H>(
        &mut self,
        acks: u32,
        read_at: Instant,
        context: &mut WorkerContext<H>,
    ) -> Result<(), ConnectionEnd> {
        if context.output.is_empty() {
            return Ok(());
        }
        let sent = write(&mut self.stream, &context.output)?;
        context.counters.bytes_out += sent as u64;
        if sent == context.output.len() {
            record(acks, read_at, context);
            return Ok(());
        }
        context.counters.paused += 1;
        if self.ending.is_some() {
            self.deadline = context.deadline_in(context.limits.linger_timeout);
        }
        let bytes = context.output.get(sent..).unwrap_or_default().to_vec();
        self.backlog = Some(Box::new(Backlog {
            bytes,
            sent: 0,
            read_at,
            acks,
        }));
        Ok(())
    }

    /// Sends unsent answers. Whether none is left.
    pub(super) fn send_backlog<H>(
        &mut self,
        context: &mut WorkerContext<H>,
    ) -> Result<bool, ConnectionEnd> {
        let Some(mut backlog) = self.backlog.take() else {
            return Ok(true);
        };
        let unsent = backlog.bytes.get(backlog.sent..).unwrap_or_default();
        let sent = write(&mut self.stream, unsent)?;
        context.counters.bytes_out += sent as u64;
        if sent == unsent.len() {
            record(backlog.acks, backlog.read_at, context);
            return Ok(true);
        }
        backlog.sent += sent;
        self.backlog = Some(backlog);
        if sent > 0 && self.ending.is_some() {
            // A peer that still fetches its answers gets the time for it.
            self.deadline = context.deadline_in(context.limits.linger_timeout);
        }
        Ok(false)
    }
}

/// One write, which may take part of the bytes or none.
fn write(stream: &mut Stream, bytes: &[u8]) -> Result<usize, ConnectionEnd> {
    loop {
        match stream.write(bytes) {
            Ok(sent) => return Ok(sent),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(_) => return Err(ConnectionEnd::Reset),
        }
    }
}

/// All answers of a batch are with the kernel.
fn record<H>(acks: u32, read_at: Instant, context: &mut WorkerContext<H>) {
    if acks > 0 {
        context.latency.record(read_at.elapsed(), acks);
    }
}
