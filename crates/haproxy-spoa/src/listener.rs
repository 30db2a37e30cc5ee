//! Listening sockets: taking an address, alone or beside a process that is about to leave it.
//!
//! ```text
//!  alone      bind, listen, then SO_REUSEPORT: of two processes that try, one gets EADDRINUSE
//!  takeover   SO_REUSEPORT, bind, listen: the port is shared until the other process stops
//!  others     SO_REUSEPORT, bind, listen: one listener a worker, in the group of the first
//! ```
//!
//! A UNIX socket has no such groups: one worker listens, placement does the rest. It is bound under
//! another name, gets its mode and listens; once everything else has worked it is renamed into place,
//! so that a path that answers never stops answering, and a start that fails changes nothing.
//!
//! A socket that somebody passed is one listener as well, and its path is left to who made it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};

use super::bind::allows;
use super::closing::Group;
use super::limits::{BACKLOG, KEEPALIVE, RECEIVE_BUFFER, SEND_BUFFER};
use super::passed::{Passed, PassedSocket};
use super::path::{OwnPath, Unpublished, is_live, set_rights, temporary_name};
#[cfg(feature = "tls")]
use super::tls::Tls;
use super::transport::Transport;
use super::{Bind, BindAddress, Network, StartError, steer};

/// How long another process may take to be turned down: the system calls between its `bind` and its end.
const TURNING_DOWN: Duration = Duration::from_millis(500);

/// One worker's listening socket.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Accepting,
    /// After `accept` failed for want of descriptors: when to try again.
    pub(super) retry_at: Option<Instant>,
    /// More connections may be queued than were taken.
    pub(super) pending: bool,
    pub(super) door: AccessControl,
}

/// Who may come in by a listener.
#[derive(Debug, Clone, Default)]
pub(super) struct AccessControl {
    allow_from: Arc<[Network]>,
    /// The number of its bind.
    #[cfg(feature = "tls")]
    pub(super) bind: usize,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
}

impl AccessControl {
    pub(super) fn new(bind: &Bind) -> Self {
        Self {
            allow_from: bind.allow_from.clone().into(),
            #[cfg(feature = "tls")]
            bind: 0,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

#[derive(Debug)]
enum Accepting {
    Tcp(TcpListener),
    /// Without a path of ours if it was passed.
    Unix(UnixListener, Option<OwnPath>),
}

/// What a UNIX socket that we make is to allow.
#[derive(Debug)]
pub(super) struct UnixRights {
    /// Its permission bits.
    pub(super) mode: u32,
    /// The user and the group that it is given to.
    pub(super) owner: Option<(u32, u32)>,
}

/// An address that has been taken: a listener for each worker, or one for all.
#[derive(Debug)]
pub(super) struct Bound {
    /// The address with the port that the kernel gave.
    pub(super) address: BindAddress,
    pub(super) listeners: Vec<Listener>,
    pub(super) group: Option<Group>,
    /// What is left to be done when all else has worked.
    pub(super) unpublished: Option<Unpublished>,
}

/// Takes an address for a number of workers.
pub(super) fn bind(
    address: &BindAddress,
    workers: usize,
    takeover: bool,
    unix: &UnixRights,
) -> Result<Bound, StartError> {
    match address {
        BindAddress::Tcp(tcp) => bind_tcp(*tcp, workers, takeover),
        BindAddress::Unix(path) => bind_unix(path, takeover, unix),
    }
    .map_err(|error| StartError::bind(address.clone(), error, takeover))
}

/// Takes a socket that listens already.
pub(super) fn adopt(passed: PassedSocket) -> Result<Bound, StartError> {
    let address = passed.address().clone();
    let listener = match passed.socket {
        Passed::Tcp(socket) => ready(&socket).map(|()| Listener::tcp(socket)),
        Passed::Unix(socket) => socket
            .set_nonblocking(true)
            .map(|()| Listener::unix(socket, None)),
    };
    let listener = listener.map_err(|error| StartError::Bind(address.clone(), error))?;
    Ok(Bound {
        address,
        listeners: vec![listener],
        group: None,
        unpublished: None,
    })
}

/// Gives a TCP socket what we give those that we make.
fn ready(socket: &std::net::TcpListener) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    inherited(&SockRef::from(socket))
}

fn bind_tcp(wanted: SocketAddr, workers: usize, takeover: bool) -> io::Result<Bound> {
    let before = if takeover {
        steer::listening_on(wanted)
    } else {
        None
    };
    let first = if takeover {
        listen_shared(wanted)?
    } else {
        listen_alone(wanted)?
    };
    let mut sockets = vec![first];
    let address = sockets
        .first()
        .map_or(Ok(wanted), std::net::TcpListener::local_addr)?;
    for _ in 1..workers {
        sockets.push(listen_beside(address)?);
    }
    let group = Group::new(address, &sockets, before.unwrap_or_default())?;
    let listeners = sockets.into_iter().map(Listener::tcp).collect();
    Ok(Bound {
        address: BindAddress::Tcp(address),
        listeners,
        group: Some(group),
        unpublished: None,
    })
}

/// Listens on an address that nobody else has, and lets others of this process join.
///
/// Two processes can bind it while neither listens, and then each may fail for the other. So one that
/// fails only to listen tries again; one that cannot bind has met a listener, and is turned down.
fn listen_alone(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let until = Instant::now() + TURNING_DOWN;
    loop {
        let socket = bound(address, false)?;
        match socket.listen(BACKLOG) {
            Err(error) if is_taken(&error) && Instant::now() < until => thread::yield_now(),
            done => {
                done?;
                socket.set_reuse_port(true)?;
                return Ok(socket.into());
            }
        }
    }
}

/// Listens on an address on which this process listens already, so that it is its own. While another one
/// that wants it is being turned down, the kernel sees a listener in it for a moment that shares nothing.
fn listen_beside(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let until = Instant::now() + TURNING_DOWN;
    loop {
        match listen_shared(address) {
            Err(error) if is_taken(&error) && Instant::now() < until => thread::yield_now(),
            done => return done,
        }
    }
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

fn listen_shared(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = bound(address, true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bound(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    inherited(&socket)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Accepted sockets inherit these: no system call for each. A host that has vanished would otherwise
/// keep its connections, and their places, for ever. A peer that does not read, or whose requests are not
/// read, would have the kernel grow its buffers to megabytes.
fn inherited(socket: &Socket) -> io::Result<()> {
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_tcp_nodelay(true)?;
    let interval = Duration::from_secs(10);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(interval),
    )
}

fn bind_unix(path: &Path, takeover: bool, unix: &UnixRights) -> io::Result<Bound> {
    if is_live(path)? && !takeover {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let temporary = path.with_file_name(temporary_name());
    let too_long = |_| io::Error::other("the path is too long for a UNIX socket");
    let address = SockAddr::unix(&temporary).map_err(too_long)?;
    // A process of the same number may have died and left it.
    let _ = fs::remove_file(&temporary);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address)?;
    let unpublished = Unpublished {
        temporary,
        path: path.into(),
        takeover,
    };
    let temporary = &unpublished.temporary;
    set_rights(temporary, unix.mode, unix.owner)?;
    socket.listen(BACKLOG)?;
    let own = OwnPath::new(path, temporary)?;
    let listeners = vec![Listener::unix(socket.into(), Some(own))];
    let address = BindAddress::Unix(path.into());
    Ok(Bound {
        address,
        listeners,
        group: None,
        unpublished: Some(unpublished),
    })
}

impl Listener {
    fn tcp(listener: std::net::TcpListener) -> Self {
        let socket = Accepting::Tcp(TcpListener::from_std(listener));
        Self {
            socket,
            retry_at: None,
            pending: false,
            door: AccessControl::default(),
        }
    }

    fn unix(listener: std::os::unix::net::UnixListener, own: Option<OwnPath>) -> Self {
        Self {
            socket: Accepting::Unix(UnixListener::from_std(listener), own),
            retry_at: None,
            pending: false,
            door: AccessControl::default(),
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            Accepting::Tcp(listener) => registry.register(listener, token, Interest::READABLE),
            Accepting::Unix(listener, _) => registry.register(listener, token, Interest::READABLE),
        }
    }

    /// Takes one connection off the kernel's queue; nothing of one that may not come in.
    pub(super) fn accept(&self) -> io::Result<Option<Transport>> {
        match &self.socket {
            Accepting::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                if !allows(&self.door.allow_from, peer.ip()) {
                    return Ok(None);
                }
                #[cfg(feature = "tls")]
                if let Some(config) = &self.door.tls {
                    let tls = Tls::new(config).map_err(io::Error::other)?;
                    return Ok(Some(Transport::tls(stream, tls)));
                }
                Ok(Some(Transport::tcp(stream)))
            }
            Accepting::Unix(listener, _) => listener
                .accept()
                .map(|(stream, _)| Some(Transport::unix(stream))),
        }
    }

    /// Takes the path of a UNIX socket away, so that nobody new connects.
    pub(super) fn hide(&self) {
        if let Accepting::Unix(_, Some(own)) = &self.socket {
            own.remove();
        }
    }
}
