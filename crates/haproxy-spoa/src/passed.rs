//! Sockets that listen before the agent starts: whoever started the process bound them, as systemd
//! does with a `.socket` unit. They outlive the process, and so do the connections queued at them.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use socket2::{SockRef, Socket};

use super::BindAddress;

/// A listening socket from somewhere else.
#[derive(Debug)]
pub struct PassedSocket {
    address: BindAddress,
    pub(super) socket: Passed,
}

#[derive(Debug)]
pub(super) enum Passed {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl PassedSocket {
    /// A TCP socket.
    ///
    /// # Errors
    /// If it does not listen.
    pub fn tcp(socket: TcpListener) -> io::Result<Self> {
        listens(&SockRef::from(&socket))?;
        let local = socket.local_addr()?;
        let address = BindAddress::Tcp((local.ip().to_canonical(), local.port()).into());
        let socket = Passed::Tcp(socket);
        Ok(Self { address, socket })
    }

    /// A UNIX socket. Its file is left alone when the agent ends.
    ///
    /// # Errors
    /// If it does not listen, or has no path, as one in the abstract name space.
    pub fn unix(socket: UnixListener) -> io::Result<Self> {
        listens(&SockRef::from(&socket))?;
        let local = socket.local_addr()?;
        let path = local.as_pathname();
        let path = path.ok_or_else(|| io::Error::other("the UNIX socket has no path"))?;
        Ok(Self {
            address: BindAddress::Unix(path.into()),
            socket: Passed::Unix(socket),
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> &BindAddress {
        &self.address
    }
}

fn listens(socket: &Socket) -> io::Result<()> {
    if socket.is_listener()? {
        Ok(())
    } else {
        Err(io::Error::other("it does not listen"))
    }
}
