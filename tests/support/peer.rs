//! A client on a real socket: it plays `HAProxy` with the crate's own wire code.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use haproxy_spoa::BindAddress;
use haproxy_spop::{
    AckView, Action, AgentHello, Disconnect, Flags, Frame, FrameType, LENGTH_PREFIX, TypedData,
};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{PATIENCE, frames};

/// One connection.
#[derive(Debug)]
pub(crate) struct Peer<S = Socket> {
    pub(crate) socket: S,
    /// Received, not yet looked at.
    held: BytesMut,
    /// The frame-id of the last NOTIFY of `ask`.
    asked: u64,
}

/// A frame that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) kind: FrameType,
    pub(crate) flags: Flags,
    pub(crate) ids: (u64, u64),
    pub(crate) payload: Vec<u8>,
}

impl Peer {
    /// A socket for this kind of address that is not connected.
    pub(crate) fn socket(address: &BindAddress) -> (Socket, SockAddr) {
        let (domain, to) = match address {
            BindAddress::Tcp(tcp) => (Domain::for_address(*tcp), (*tcp).into()),
            BindAddress::Unix(path) => (Domain::UNIX, SockAddr::unix(path).unwrap()),
        };
        let socket = Socket::new(domain, Type::STREAM, None).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        (socket, to)
    }

    pub(crate) fn try_connect(address: &BindAddress) -> io::Result<Self> {
        let (socket, to) = Self::socket(address);
        socket.connect(&to)?;
        Ok(Self::over(socket))
    }

    /// A connection without a HELLO.
    pub(crate) fn connect(address: &BindAddress) -> Self {
        Self::try_connect(address).unwrap()
    }

    /// A connection after the handshake.
    pub(crate) fn greeted(address: &BindAddress) -> Self {
        let mut peer = Self::connect(address);
        peer.greet();
        peer
    }

    /// Whether nothing has arrived and the connection is open.
    pub(crate) fn is_silent(&self) -> bool {
        let mut byte = [core::mem::MaybeUninit::uninit()];
        self.socket.set_nonblocking(true).unwrap();
        let peeked = self.socket.peek(&mut byte);
        self.socket.set_nonblocking(false).unwrap();
        self.held.is_empty() && peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends no more, still receives.
    pub(crate) fn half_close(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        self.socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

impl<S: io::Read + io::Write> Peer<S> {
    pub(crate) fn over(socket: S) -> Self {
        Self {
            socket,
            held: BytesMut::new(),
            asked: 0,
        }
    }

    pub(crate) fn greet(&mut self) {
        self.send(&frames::hello());
        self.agent_hello();
    }

    /// Expects the AGENT-HELLO; its max-frame-size and capabilities.
    pub(crate) fn agent_hello(&mut self) -> (u32, String) {
        let answer = self.frame();
        let head = (answer.kind, answer.flags, answer.ids);
        assert_eq!(
            head,
            (FrameType::AGENT_HELLO, Flags::FIN, (0, 0)),
            "{answer:?}"
        );
        let hello = AgentHello::parse(&answer.payload).unwrap();
        assert_eq!(hello.version, b"2.0");
        let capabilities = String::from_utf8(hello.capabilities.0.to_vec()).unwrap();
        (hello.max_frame_size, capabilities)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Asks one question, waits for its score. It is one of 0 to 100.
    pub(crate) fn ask(&mut self) -> u32 {
        self.asked += 1;
        let ids = (7, self.asked);
        self.send(&frames::notify(ids.0, ids.1));
        let ack = self.frame();
        assert_eq!((ack.kind, ack.ids), (FrameType::ACK, ids), "{ack:?}");
        ack.score()
    }

    /// Asks one question after the other.
    pub(crate) fn asks(&mut self, questions: usize) {
        for _ in 0..questions {
            self.ask();
        }
    }

    /// A question of each of them.
    pub(crate) fn each_asks(peers: &mut [Self]) {
        for peer in peers {
            peer.ask();
        }
    }

    /// The next frame, or `None` at the end of the stream.
    pub(crate) fn receive(&mut self) -> io::Result<Option<Received>> {
        loop {
            if let Some(frame) = self.held_frame() {
                return Ok(Some(frame));
            }
            let mut chunk = [0; 16384];
            match self.socket.read(&mut chunk)? {
                0 if self.held.is_empty() => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.held.extend_from_slice(&chunk[..read]),
            }
        }
    }

    /// A frame that has been received already.
    pub(crate) fn held_frame(&mut self) -> Option<Received> {
        let (frame, rest) = Frame::split_first(&self.held, u32::MAX).unwrap()?;
        let used = self.held.len() - rest.len();
        let received = Received {
            kind: frame.kind,
            flags: frame.flags,
            ids: (frame.stream_id, frame.frame_id),
            payload: frame.payload.to_vec(),
        };
        assert!(used > LENGTH_PREFIX);
        self.held.advance(used);
        Some(received)
    }

    /// Expects a frame.
    pub(crate) fn frame(&mut self) -> Received {
        self.receive().unwrap().expect("a frame, not the end")
    }

    /// Expects the ACKs of NOTIFYs with these frame-ids, in order.
    pub(crate) fn acks(&mut self, frame_ids: core::ops::Range<u64>) {
        for frame_id in frame_ids {
            let ack = self.frame();
            assert_eq!((ack.kind, ack.ids.1), (FrameType::ACK, frame_id), "{ack:?}");
        }
    }

    /// Expects an AGENT-DISCONNECT with this status, and then the end: no reset, nothing more.
    pub(crate) fn dismissed(&mut self, status: u32) {
        assert_eq!(self.frame().status(), Some(status));
        self.ended();
    }

    /// Expects the end of the stream: no reset, nothing more.
    pub(crate) fn ended(&mut self) {
        assert_eq!(self.receive().unwrap(), None);
    }
}

impl Received {
    /// The status of an AGENT-DISCONNECT.
    pub(crate) fn status(&self) -> Option<u32> {
        let head = (self.kind, self.flags, self.ids);
        if head != (FrameType::AGENT_DISCONNECT, Flags::FIN, (0, 0)) {
            return None;
        }
        Disconnect::parse(&self.payload)
            .ok()
            .map(|goodbye| goodbye.status.0)
    }

    /// The score that an ACK sets: its only action, an unsigned 32-bit number from 0 to 100.
    pub(crate) fn score(&self) -> u32 {
        let (ids, payload) = (self.ids, &self.payload[..]);
        let frame = Frame {
            kind: self.kind,
            flags: self.flags,
            stream_id: ids.0,
            frame_id: ids.1,
            payload,
        };
        assert_eq!((self.kind, self.flags), (FrameType::ACK, Flags::FIN));
        let actions: Vec<_> = AckView::try_from(frame).unwrap().actions().collect();
        match actions[..] {
            [
                Action::SetVar {
                    name: b"ip_score",
                    value: TypedData::Uint32(score @ 0..=100),
                    ..
                },
            ] => score,
            _ => panic!("{actions:?}"),
        }
    }
}
