//! Where an agent listens, and a non-blocking socket to it.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::SockRef;

/// The address of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("expected a path after unix:".to_owned()),
                path => Ok(Self::Unix(path.into())),
            };
        }
        let mut found = text
            .to_socket_addrs()
            .map_err(|error| format!("expected HOST:PORT, [V6]:PORT or unix:PATH ({error})"))?;
        found
            .next()
            .map(Self::Tcp)
            .ok_or_else(|| "the name has no address".to_owned())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A socket to an agent.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Begins to connect, and asks to be told when that is done.
    pub(crate) fn connect(target: &Target, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut stream = match target {
            Target::Tcp(address) => Self::Tcp(TcpStream::connect(*address)?),
            Target::Unix(path) => Self::Unix(UnixStream::connect(path)?),
        };
        registry.register(stream.source(), token, Interest::WRITABLE)?;
        Ok(stream)
    }

    /// Whether the connection is made by now.
    pub(crate) fn is_connected(&self) -> io::Result<bool> {
        let (error, peer) = match self {
            Self::Tcp(stream) => (stream.take_error()?, stream.peer_addr().err()),
            Self::Unix(stream) => (stream.take_error()?, stream.peer_addr().err()),
        };
        match (error, peer) {
            (Some(error), _) => Err(error),
            (None, None) => Ok(true),
            (None, Some(peer)) if peer.kind() == io::ErrorKind::NotConnected => Ok(false),
            (None, Some(peer)) => Err(peer),
        }
    }

    /// Sends without delay, and asks to be told when there is something to read.
    pub(crate) fn established(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if let Self::Tcp(stream) = self {
            stream.set_nodelay(true)?;
        }
        self.listen_for(registry, token, Interest::READABLE)
    }

    /// Room to write is asked for only after a short write: on a UNIX socket every `read` of the
    /// peer would report it.
    pub(crate) fn listen_for(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        registry.reregister(self.source(), token, interest)
    }

    /// To be called before a connection is closed that has said goodbye: on TCP the close is a RST,
    /// as `HAProxy`'s often is, or the ports that wait for stray segments would run out.
    pub(crate) fn abandon(&self) {
        if let Self::Tcp(stream) = self {
            // If it fails, the port waits.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_addresses_or_paths() {
        let tcp = |text: &str| Ok(Target::Tcp(text.parse().unwrap()));
        assert_eq!("127.0.0.1:12345".parse(), tcp("127.0.0.1:12345"));
        assert_eq!("[::1]:1".parse(), tcp("[::1]:1"));
        assert_eq!("unix:/a b".parse(), Ok(Target::Unix("/a b".into())));
        for wrong in ["", "unix:", "127.0.0.1", "127.0.0.1:99999", "::1"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }
}
