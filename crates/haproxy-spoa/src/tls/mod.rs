//! TLS between hosts: the records of one connection, opened and sealed in the worker's buffers.
//!
//! ```text
//!  socket --> context.sealed [ cut rec | record record rec ] --open--> context.input, as if read
//!  socket <-- context.output <--swap-- context.sealing <--seal-- context.output [ answers ]
//! ```
//!
//! There is no I/O in here: whoever has the socket reads before [`Tls::open`] and writes what `open`
//! and [`Tls::seal`] have produced. Of a connection only the tail of a record is kept.

mod error;
mod files;

use std::sync::Arc;

use bytes::BytesMut;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{Error, ServerConfig};

pub use error::TlsError;

/// The most bytes of records that are kept because their end, or the end of the handshake message that
/// they are part of, has not arrived. A record has at most 16,645; a handshake message with the
/// certificates of a client seldom more than 10,000.
pub(super) const KEPT_MAX: usize = 32 * 1024;
/// The least room for one read: what is kept goes before it.
pub(super) const ROOM_LEAST: usize = 2 * KEPT_MAX;
/// Larger buffers for the tail of a record are freed when they are empty.
const TAIL_KEPT: usize = 512;

/// The agent's side of TLS on one connection.
pub(super) struct Tls {
    connection: UnbufferedServerConnection,
    /// Input that waits for more of it.
    tail: Vec<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing has come.
    Silent,
    Handshaking,
    Open,
    /// The peer sends no more: it said so.
    PeerClosed,
    /// A fault: nothing can be read or sealed.
    Broken,
}

/// What was in some records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opened {
    /// Bytes for the session.
    pub(super) len: usize,
    /// The handshake came to its end.
    pub(super) is_new: bool,
    /// Nothing is left to be opened, and more may come.
    pub(super) is_drained: bool,
}

/// Why a connection cannot go on.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fault {
    /// The client has no certificate, or none that counts.
    Certificate(Error),
    /// Anything else: no TLS, or broken.
    Protocol(Error),
    /// A message that is too long.
    TooLong,
}

impl core::fmt::Debug for Tls {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tls")
            .field("state", &self.state)
            .field("tail", &self.tail.len())
            .finish_non_exhaustive()
    }
}

impl Tls {
    pub(super) fn new(config: &Arc<ServerConfig>) -> Result<Box<Self>, Error> {
        let connection = UnbufferedServerConnection::new(Arc::clone(config))?;
        Ok(Box::new(Self {
            connection,
            tail: Vec::new(),
            state: State::Silent,
        }))
    }

    /// Puts what is kept back in front of the place of the next read. Its length.
    pub(super) fn put_back(&self, sealed: &mut [u8]) -> usize {
        match sealed.get_mut(..self.tail.len()) {
            Some(front) => {
                front.copy_from_slice(&self.tail);
                front.len()
            }
            None => 0,
        }
    }

    /// Opens all whole records of `sealed`, which begins with what was put back. What is in them goes
    /// to `plain`, which is no smaller; what TLS has to say to the peer is appended to `reply`, also if
    /// this fails.
    pub(super) fn open(
        &mut self,
        sealed: &mut [u8],
        plain: &mut [u8],
        reply: &mut BytesMut,
    ) -> Result<Opened, Fault> {
        if self.state == State::Silent {
            self.state = State::Handshaking;
        }
        let was_handshaking = self.state == State::Handshaking;
        let opened = self.open_all(sealed, plain, reply);
        let (len, used) = opened.inspect_err(|_| {
            self.state = State::Broken;
            self.tail = Vec::new();
        })?;
        self.keep(sealed.get(used..).unwrap_or_default())?;
        if was_handshaking && !self.connection.is_handshaking() && self.state == State::Handshaking
        {
            self.state = State::Open;
        }
        Ok(Opened {
            len,
            is_new: was_handshaking && !self.connection.is_handshaking(),
            is_drained: self.tail.is_empty() && self.state != State::PeerClosed,
        })
    }

    /// How much was opened, and of how much.
    fn open_all(
        &mut self,
        sealed: &mut [u8],
        plain: &mut [u8],
        reply: &mut BytesMut,
    ) -> Result<(usize, usize), Fault> {
        let (mut len, mut used) = (0, 0);
        loop {
            let rest = sealed.get_mut(used..).unwrap_or_default();
            let UnbufferedStatus { mut discard, state } = self.connection.process_tls_records(rest);
            let mut is_done = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(Fault::Protocol)?;
                        let to = plain.get_mut(len..len + record.payload.len());
                        to.ok_or(Fault::TooLong)?.copy_from_slice(record.payload);
                        len += record.payload.len();
                        discard += record.discard;
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, reply)?,
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.state = State::PeerClosed,
                Ok(_) => is_done = true,
                Err(error) => {
                    let rest = sealed.get_mut(used + discard..).unwrap_or_default();
                    self.last_words(rest, reply);
                    return Err(error.into());
                }
            }
            used += discard;
            if is_done {
                return Ok((len, used));
            }
        }
    }

    /// The alert that says what was wrong, if there is one. The library gives out what it has to send
    /// before it looks at `rest`, but it may look.
    fn last_words(&mut self, rest: &mut [u8], reply: &mut BytesMut) {
        let state = self.connection.process_tls_records(rest).state;
        if let Ok(ConnectionState::EncodeTlsData(mut data)) = state {
            // Whoever broke the rules is owed no explanation.
            let _ = encode(&mut data, reply);
        }
    }

    fn keep(&mut self, rest: &[u8]) -> Result<(), Fault> {
        if rest.len() > KEPT_MAX {
            self.state = State::Broken;
            return Err(Fault::TooLong);
        }
        if self.tail.capacity() > TAIL_KEPT {
            self.tail = Vec::new();
        }
        self.tail.clear();
        if self.state != State::PeerClosed {
            self.tail.extend_from_slice(rest);
        }
        Ok(())
    }

    /// Appends `plain` to `sealed` as records; then, if it is the last of it, that it is. Before the
    /// handshake is over, and after a fault, there is nobody to say anything to.
    pub(super) fn seal(
        &mut self,
        plain: &[u8],
        sealed: &mut BytesMut,
        is_last: bool,
    ) -> Result<(), EncryptError> {
        if !matches!(self.state, State::Open | State::PeerClosed) {
            return Ok(());
        }
        // Nothing can be opened in it, but the library wants to see it again.
        let mut tail = core::mem::take(&mut self.tail);
        let state = self.connection.process_tls_records(&mut tail).state;
        let written = match state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                write(&mut traffic, plain, sealed, is_last)
            }
            _ => Err(EncryptError::EncryptExhausted),
        };
        self.tail = tail;
        written
    }

    /// The peer has said that it sends no more.
    pub(super) fn is_closed(&self) -> bool {
        self.state == State::PeerClosed
    }

    /// Whether the peer has begun something.
    pub(super) fn has_pending(&self) -> bool {
        self.state == State::Handshaking || !self.tail.is_empty()
    }
}

fn encode(
    data: &mut EncodeTlsData<'_, ServerConnectionData>,
    reply: &mut BytesMut,
) -> Result<(), Fault> {
    let from = reply.len();
    let mut room = 0;
    loop {
        reply.resize(from + room, 0);
        match data.encode(reply.get_mut(from..).unwrap_or_default()) {
            Ok(written) => {
                reply.truncate(from + written);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(least)) if least.required_size > room => {
                room = least.required_size;
            }
            Err(_) => return Err(Fault::TooLong),
        }
    }
}

/// Asks the library for the size that it needs, and then for the records.
fn write(
    traffic: &mut WriteTraffic<'_, ServerConnectionData>,
    plain: &[u8],
    sealed: &mut BytesMut,
    is_last: bool,
) -> Result<(), EncryptError> {
    append(sealed, |room| traffic.encrypt(plain, room))?;
    if is_last {
        append(sealed, |room| traffic.queue_close_notify(room))?;
    }
    Ok(())
}

fn append(
    sealed: &mut BytesMut,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), EncryptError> {
    let from = sealed.len();
    let mut room = 0;
    loop {
        sealed.resize(from + room, 0);
        match write(sealed.get_mut(from..).unwrap_or_default()) {
            Ok(written) => {
                sealed.truncate(from + written);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(least)) if least.required_size > room => {
                room = least.required_size;
            }
            Err(error) => return Err(error),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::NoCertificatesPresented
            | Error::InvalidCertificate(_)
            | Error::InvalidCertRevocationList(_) => Self::Certificate(error),
            error => Self::Protocol(error),
        }
    }
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Certificate(error) | Self::Protocol(error) => error.fmt(f),
            Self::TooLong => f.write_str("a message that is too long"),
        }
    }
}

#[cfg(test)]
mod tests;
