//! One connection to the agent, and the questions whose answers are known.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::frames::{self, Received};

/// How long an answer may take before it counts as none.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the agent listens.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

pub(crate) struct Peer {
    stream: Stream,
    held: Vec<u8>,
    frame_id: u64,
}

/// An address, and the scores that are right for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) address: Ipv4Addr,
    scores: &'static [u64],
}

/// How far apart the entries of the lists are.
pub(crate) const STEP: u32 = 97;
/// How many entries a part of a list has.
pub(crate) const ENTRIES: u32 = 20_000;

/// The `number`-th entry of the part of a list below this first byte.
pub(crate) fn entry(first: u8, number: u32) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(first) << 24) + number * STEP)
}

/// In every version of the list; in one of them; in the list and allowed; in none; in that of the URL.
pub(crate) const ALWAYS: u8 = 11;
pub(crate) const ONE: u8 = 12;
pub(crate) const TWO: u8 = 13;
pub(crate) const ALLOWED: u8 = 15;
pub(crate) const NONE: u8 = 14;
pub(crate) const URL: u8 = 16;

/// What to ask about, the `number`-th time.
pub(crate) fn known(number: u64) -> Known {
    let kinds: [(u8, &[u64]); 6] = [
        (ALWAYS, &[0]),
        (NONE, &[100]),
        (ONE, &[0, 100]),
        (ALLOWED, &[100]),
        (TWO, &[0, 100]),
        (URL, &[0]),
    ];
    let (first, scores) = kinds[(number % 6) as usize];
    let address = entry(
        first,
        (number.wrapping_mul(7919) % u64::from(ENTRIES)) as u32,
    );
    Known { address, scores }
}

impl Known {
    /// Whether this is the answer to that question.
    pub(crate) fn check(&self, ack: &Received, frame_id: u64) -> Result<(), String> {
        if ack.kind != frames::ACK {
            return Err(format!("frame type {} instead of an ACK", ack.kind));
        }
        if ack.frame_id != frame_id {
            return Err("the ACK of another NOTIFY".to_owned());
        }
        let score = frames::score(&ack.payload)?;
        match self.scores.contains(&score) {
            true => Ok(()),
            false => Err(format!(
                "score {score} of {}.0.0.0/8",
                self.address.octets()[0]
            )),
        }
    }
}

fn words(error: io::Error) -> String {
    format!("{:?}", error.kind())
}

impl Peer {
    /// A connection on which nothing is said yet.
    pub(crate) fn connect(target: &Target) -> Result<Self, String> {
        let stream = match target {
            Target::Tcp(address) => {
                TcpStream::connect_timeout(address, PATIENCE).and_then(|stream| {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(PATIENCE))?;
                    stream.set_write_timeout(Some(PATIENCE))?;
                    Ok(Stream::Tcp(stream))
                })
            }
            Target::Unix(path) => UnixStream::connect(path).and_then(|stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Stream::Unix(stream))
            }),
        };
        let stream = stream.map_err(|error| format!("connect: {}", words(error)))?;
        Ok(Self {
            stream,
            held: Vec::new(),
            frame_id: 0,
        })
    }

    /// One after the handshake.
    pub(crate) fn greeted(target: &Target) -> Result<Self, String> {
        let mut peer = Self::connect(target)?;
        peer.send(&frames::hello())?;
        peer.is_greeted()?;
        Ok(peer)
    }

    pub(crate) fn is_greeted(&mut self) -> Result<(), String> {
        match self.receive()?.map(|frame| frame.kind) {
            Some(frames::AGENT_HELLO) => Ok(()),
            other => Err(format!("HELLO answered with {other:?}")),
        }
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        self.frame_id += 1;
        self.frame_id
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.try_send(bytes)
            .map_err(|error| format!("send: {}", words(error)))
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }

    /// Writes what fits, without waiting. `None` if nothing does.
    pub(crate) fn send_some(&mut self, bytes: &[u8]) -> Result<Option<usize>, String> {
        let (blocks, written) = match &mut self.stream {
            Stream::Tcp(stream) => (stream.set_nonblocking(true), stream.write(bytes)),
            Stream::Unix(stream) => (stream.set_nonblocking(true), stream.write(bytes)),
        };
        let again = match &self.stream {
            Stream::Tcp(stream) => stream.set_nonblocking(false),
            Stream::Unix(stream) => stream.set_nonblocking(false),
        };
        blocks.and(again).map_err(words)?;
        match written {
            Ok(len) => Ok(Some(len)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(format!("send: {}", words(error))),
        }
    }

    /// The next frame, or `None` at the end of the stream.
    pub(crate) fn receive(&mut self) -> Result<Option<Received>, String> {
        loop {
            if let Some(frame) = frames::split(&mut self.held)? {
                return Ok(Some(frame));
            }
            let mut chunk = [0; 16384];
            let read = match &mut self.stream {
                Stream::Tcp(stream) => stream.read(&mut chunk),
                Stream::Unix(stream) => stream.read(&mut chunk),
            };
            match read.map_err(|error| format!("receive: {}", words(error)))? {
                0 if self.held.is_empty() => return Ok(None),
                0 => return Err("the end inside a frame".to_owned()),
                len => self.held.extend_from_slice(&chunk[..len]),
            }
        }
    }

    pub(crate) fn frame(&mut self) -> Result<Received, String> {
        self.receive()?
            .ok_or_else(|| "the end instead of an answer".to_owned())
    }

    /// Asks this many questions at once and checks every answer.
    pub(crate) fn ask(&mut self, count: u64) -> Result<(), String> {
        let (mut bytes, mut asked) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let id = self.next_id();
            let question = known(id);
            bytes.extend(frames::notify(id, question.address));
            asked.push((question, id));
        }
        self.send(&bytes)?;
        for (question, id) in asked {
            question.check(&self.frame()?, id)?;
        }
        Ok(())
    }

    /// Expects an AGENT-DISCONNECT with this status, or any if `None`, and the end.
    pub(crate) fn dismissed(&mut self, status: Option<u64>) -> Result<(), String> {
        let frame = self.frame()?;
        let said = frames::status(&frame.payload);
        if frame.kind != frames::AGENT_DISCONNECT || (status.is_some() && said != status) {
            return Err(format!("frame type {}, status {said:?}", frame.kind));
        }
        match self.receive()? {
            None => Ok(()),
            Some(_) => Err("more after the DISCONNECT".to_owned()),
        }
    }

    /// Says goodbye and expects the same.
    pub(crate) fn leave(mut self) -> Result<(), String> {
        self.send(&frames::disconnect())?;
        self.dismissed(Some(0))
    }

    /// Another handle to the same connection, to read with.
    pub(crate) fn reader(&self) -> Result<Self, String> {
        let stream = match &self.stream {
            Stream::Tcp(stream) => stream.try_clone().map(Stream::Tcp),
            Stream::Unix(stream) => stream.try_clone().map(Stream::Unix),
        };
        Ok(Self {
            stream: stream.map_err(words)?,
            held: Vec::new(),
            frame_id: 0,
        })
    }

    /// No more in either direction.
    pub(crate) fn shut(&self) {
        let _ = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}
