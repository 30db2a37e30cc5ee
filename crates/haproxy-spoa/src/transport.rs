//! A connected socket, TCP or UNIX, with TLS or without: bytes of the session in and out.
//!
//! ```text
//!  plain  socket ---------------------read--> buffers.input
//!         socket <--------------------write-- buffers.output
//!  TLS    socket --read--> buffers.sealed --open--> buffers.input;  handshake, alerts --> buffers.output
//!         socket <--write-- buffers.output <--swap-- buffers.sealing <--seal-- buffers.output
//! ```
//!
//! What [`Write`] writes is what the kernel gets: with TLS records, made by [`Transport::seal`] in the order in
//! which they leave.

use core::fmt;
use core::net::SocketAddr;
use std::io::{self, Read, Write};
use std::net::Shutdown;

use bytes::BytesMut;
use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::net::sockopt::socket_peercred;
use socket2::SockRef;

use super::limits::SEND_BUFFER;
use super::sources::{Origin, Permit};
#[cfg(feature = "tls")]
use super::tls::{Fault, Tls};

/// The buffers of a worker, used by one connection at a time.
#[derive(Debug)]
pub(super) struct Buffers {
    /// Room for what a connection has left over, and behind it for one read.
    pub(super) input: Vec<u8>,
    /// The answers of one connection's turn.
    pub(super) output: BytesMut,
    /// Room for one read of records, the tail of the last one in front. Empty without TLS.
    #[cfg(feature = "tls")]
    pub(super) sealed: Vec<u8>,
    /// The records that replace the output.
    #[cfg(feature = "tls")]
    pub(super) sealing: BytesMut,
}

/// A non-blocking connection.
#[derive(Debug)]
pub(super) struct Transport {
    socket: Socket,
    #[cfg(feature = "tls")]
    tls: Option<Box<Tls>>,
    /// Counts the connection for its source until it is closed.
    permit: Option<Permit>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What one read brought.
#[derive(Debug)]
pub(super) struct Received {
    /// Bytes for the session, in the input behind what is left over.
    pub(super) len: usize,
    /// Bytes that the kernel returned.
    pub(super) bytes: usize,
    /// The socket is empty, so the next event says when to read again.
    pub(super) is_drained: bool,
    /// A TLS handshake is complete.
    #[cfg(feature = "tls")]
    pub(super) is_new: bool,
    /// TLS cannot go on. What the peer is told about it is in the output.
    #[cfg(feature = "tls")]
    pub(super) fault: Option<Fault>,
}

impl Transport {
    pub(super) const fn tcp(stream: TcpStream) -> Self {
        Self {
            socket: Socket::Tcp(stream),
            #[cfg(feature = "tls")]
            tls: None,
            permit: None,
        }
    }

    pub(super) fn unix(stream: UnixStream) -> Self {
        // Unlike TCP sockets these inherit no buffer size. The default of the kernel is larger, so a
        // failure costs memory only.
        let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
        Self {
            socket: Socket::Unix(stream),
            #[cfg(feature = "tls")]
            tls: None,
            permit: None,
        }
    }

    #[cfg(feature = "tls")]
    pub(super) const fn tls(stream: TcpStream, tls: Box<Tls>) -> Self {
        Self {
            socket: Socket::Tcp(stream),
            tls: Some(tls),
            permit: None,
        }
    }

    /// Reads once. What is for the session goes to the input behind `held` bytes; what TLS itself has
    /// to answer becomes the output, which is empty otherwise. `None` at the end of the input.
    ///
    /// # Errors
    /// As `read`.
    #[inline]
    pub(super) fn receive(
        &mut self,
        held: usize,
        room: usize,
        buffers: &mut Buffers,
    ) -> io::Result<Option<Received>> {
        buffers.output.clear();
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return receive_sealed(&mut self.socket, tls, held, room, buffers);
        }
        let space = buffers.input.get_mut(held..held.saturating_add(room));
        debug_assert!(
            space.is_some(),
            "the input has room for a leftover and a read"
        );
        let bytes = self.socket.read(space.unwrap_or_default())?;
        if bytes == 0 {
            return Ok(None);
        }
        Ok(Some(Received {
            len: bytes,
            bytes,
            is_drained: bytes < room,
            #[cfg(feature = "tls")]
            is_new: false,
            #[cfg(feature = "tls")]
            fault: None,
        }))
    }

    /// Reads and discards once.
    pub(super) fn discard(&mut self, buffers: &mut Buffers) -> io::Result<usize> {
        self.socket.read(&mut buffers.input)
    }

    /// Turns the output into what the kernel is to get. With `is_last` TLS announces its end.
    ///
    /// # Errors
    /// If TLS cannot encrypt any more.
    #[cfg_attr(
        not(feature = "tls"),
        expect(
            clippy::unused_self,
            clippy::unnecessary_wraps,
            reason = "TLS alone seals"
        )
    )]
    #[inline]
    pub(super) fn seal(&mut self, buffers: &mut Buffers, is_last: bool) -> io::Result<()> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            buffers.sealing.clear();
            tls.seal(&buffers.output, &mut buffers.sealing, is_last)
                .map_err(io::Error::other)?;
            core::mem::swap(&mut buffers.output, &mut buffers.sealing);
        }
        #[cfg(not(feature = "tls"))]
        let _ = (buffers, is_last);
        Ok(())
    }

    /// Whether the peer has begun a handshake or a record.
    #[cfg_attr(
        not(feature = "tls"),
        expect(clippy::unused_self, reason = "only TLS has a handshake")
    )]
    pub(super) fn has_pending(&self) -> bool {
        #[cfg(feature = "tls")]
        let has_pending = self.tls.as_ref().is_some_and(|tls| tls.has_pending());
        #[cfg(not(feature = "tls"))]
        let has_pending = false;
        has_pending
    }

    /// Whether a frame can be sent without a handshake.
    #[cfg_attr(
        not(feature = "tls"),
        expect(clippy::unused_self, reason = "only TLS has a handshake")
    )]
    pub(super) const fn is_plain(&self) -> bool {
        #[cfg(feature = "tls")]
        let is_plain = self.tls.is_none();
        #[cfg(not(feature = "tls"))]
        let is_plain = true;
        is_plain
    }

    /// The peer's address, if it has one and is still there.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(stream) => stream.peer_addr().ok(),
            Socket::Unix(_) => None,
        }
    }

    /// Who opened the connection; `None` if the peer is gone.
    pub(super) fn origin(&self) -> Option<Origin> {
        match &self.socket {
            Socket::Tcp(stream) => Some(Origin::Ip(stream.peer_addr().ok()?.ip())),
            Socket::Unix(stream) => {
                let credentials = socket_peercred(stream).ok()?;
                Some(Origin::Unix(credentials.uid.as_raw()))
            }
        }
    }

    /// Holds the permit until the connection is closed.
    pub(super) fn hold(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// Has the kernel discard what is unsent when the socket is closed, and reset the connection. It
    /// would keep it for minutes otherwise if the peer does not read.
    pub(super) fn reset_on_close(&self) {
        if let Socket::Tcp(stream) = &self.socket {
            // The peer may be gone. Then there is nothing to reset.
            let _ = SockRef::from(stream).set_linger(Some(core::time::Duration::ZERO));
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match &mut self.socket {
            Socket::Tcp(stream) => stream,
            Socket::Unix(stream) => stream,
        }
    }

    pub(super) fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        registry.register(self.source(), token, interest)
    }

    pub(super) fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        registry.reregister(self.source(), token, interest)
    }
}

#[cfg(feature = "tls")]
fn receive_sealed(
    socket: &mut Socket,
    tls: &mut Tls,
    held: usize,
    room: usize,
    buffers: &mut Buffers,
) -> io::Result<Option<Received>> {
    if tls.is_closed() {
        return Ok(None);
    }
    let kept = tls.put_back(&mut buffers.sealed);
    let space = buffers.sealed.get_mut(kept..room);
    debug_assert!(
        space.is_some(),
        "a read has room behind the tail of a record"
    );
    let bytes = socket.read(space.unwrap_or_default())?;
    if bytes == 0 {
        return Ok(None);
    }
    let (Some(sealed), Some(plain)) = (
        buffers.sealed.get_mut(..kept + bytes),
        buffers.input.get_mut(held..),
    ) else {
        debug_assert!(false, "the input has room for a leftover and a read");
        return Ok(None);
    };
    let opened = tls.open(sealed, plain, &mut buffers.output);
    let is_emptied = bytes < room - kept;
    Ok(Some(match opened {
        Ok(opened) => Received {
            len: opened.len,
            bytes,
            is_drained: is_emptied && opened.is_drained,
            is_new: opened.is_new,
            fault: None,
        },
        Err(fault) => Received {
            len: 0,
            bytes,
            is_drained: is_emptied,
            is_new: false,
            fault: Some(fault),
        },
    }))
}

impl Read for Socket {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Transport {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.socket {
            Socket::Tcp(stream) => stream.write(bytes),
            Socket::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The peer, for a person to read.
impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = match &self.socket {
            Socket::Tcp(stream) => stream.peer_addr(),
            Socket::Unix(_) => return f.write_str("a UNIX socket"),
        };
        match peer {
            Ok(peer) => peer.fmt(f),
            Err(_) => f.write_str("a peer that is gone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::net::UnixStream as Blocking;

    use super::*;

    fn pair() -> (Transport, Blocking) {
        let (own, peer) = Blocking::pair().unwrap();
        own.set_nonblocking(true).unwrap();
        (Transport::unix(UnixStream::from_std(own)), peer)
    }

    fn buffers() -> Buffers {
        Buffers {
            input: vec![0; 8],
            output: BytesMut::from(&b"old"[..]),
            #[cfg(feature = "tls")]
            sealed: Vec::new(),
            #[cfg(feature = "tls")]
            sealing: BytesMut::new(),
        }
    }

    #[test]
    fn input_is_received_behind_what_is_left_over() {
        let ((mut transport, mut peer), mut buffers) = (pair(), buffers());
        let empty = transport.receive(3, 5, &mut buffers).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        peer.write_all(b"abcdefg").unwrap();
        let received = transport.receive(3, 5, &mut buffers).unwrap().unwrap();
        assert_eq!(
            (received.len, received.bytes, received.is_drained),
            (5, 5, false)
        );
        assert_eq!(buffers.input, *b"\0\0\0abcde");
        assert!(buffers.output.is_empty());
        let received = transport.receive(3, 5, &mut buffers).unwrap().unwrap();
        assert_eq!((received.len, received.is_drained), (2, true));
        drop(peer);
        assert!(transport.receive(3, 5, &mut buffers).unwrap().is_none());
    }

    #[test]
    fn a_plain_transport_seals_nothing() {
        let ((mut transport, _peer), mut buffers) = (pair(), buffers());
        transport.seal(&mut buffers, true).unwrap();
        assert_eq!(buffers.output, "old");
        assert!(transport.is_plain() && !transport.has_pending());
        assert_eq!(transport.peer(), None);
        assert_eq!(transport.to_string(), "a UNIX socket");
    }

    #[test]
    fn a_unix_peer_is_the_user_of_its_process() {
        let (transport, _peer) = pair();
        let user = std::fs::metadata("/proc/self").unwrap().uid();
        assert_eq!(transport.origin(), Some(Origin::Unix(user)));
    }
}
