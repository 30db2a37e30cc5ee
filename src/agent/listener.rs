//! Listening sockets: taking an address, alone or beside a process that is about to leave it.
//!
//! ```text
//!  alone      bind, listen, then SO_REUSEPORT: of two processes that try, one gets EADDRINUSE
//!  takeover   SO_REUSEPORT, bind, listen: the port is shared until the other process stops
//!  others     SO_REUSEPORT, bind, listen: one listener a worker, in the group of the first
//! ```
//!
//! A UNIX socket has no such groups: one worker listens, placement does the rest. It is bound under
//! another name, gets its mode, listens, and is then renamed into place, so that a path that answers
//! never stops answering.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, Socket, Type};

use super::limits::BACKLOG;
use super::stream::Stream;
use super::{BindAddress, StartError, steer};

/// One worker's listening socket.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Accepting,
    /// The listeners of this process that share the address.
    group: usize,
    /// After `accept` failed for want of descriptors: when to try again.
    pub(super) retry_at: Option<Instant>,
    /// More connections may be queued than were taken.
    pub(super) pending: bool,
}

#[derive(Debug)]
enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener, OwnPath),
}

/// An address that has been taken: a listener for each worker, or one for all.
#[derive(Debug)]
pub(super) struct Bound {
    /// The address with the port that the kernel gave.
    pub(super) address: BindAddress,
    pub(super) listeners: Vec<Listener>,
}

/// Takes an address for a number of workers.
pub(super) fn bind(
    address: &BindAddress,
    workers: usize,
    takeover: bool,
    unix_mode: u32,
) -> Result<Bound, StartError> {
    match address {
        BindAddress::Tcp(tcp) => bind_tcp(*tcp, workers, takeover),
        BindAddress::Unix(path) => bind_unix(path, takeover, unix_mode),
    }
    .map_err(|error| StartError::bind(address.clone(), error, takeover))
}

fn bind_tcp(wanted: SocketAddr, workers: usize, takeover: bool) -> io::Result<Bound> {
    let first = listen_tcp(wanted, takeover)?;
    let address = first.local_addr()?;
    let mut listeners = vec![Listener::tcp(first, workers)];
    for _ in 1..workers {
        listeners.push(Listener::tcp(listen_tcp(address, true)?, workers));
    }
    Ok(Bound {
        address: BindAddress::Tcp(address),
        listeners,
    })
}

fn listen_tcp(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Accepted sockets inherit it: a system call less for each.
    socket.set_tcp_nodelay(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    if !shared {
        socket.set_reuse_port(true)?;
    }
    Ok(socket.into())
}

fn bind_unix(path: &Path, takeover: bool, mode: u32) -> io::Result<Bound> {
    if is_live(path)? && !takeover {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let temporary = path.with_file_name(format!(".{}", std::process::id()));
    // A process of the same number may have died and left it.
    let _ = fs::remove_file(&temporary);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(&temporary)?)?;
    let published = fs::set_permissions(&temporary, fs::Permissions::from_mode(mode))
        .and_then(|()| socket.listen(BACKLOG))
        .and_then(|()| OwnPath::new(path, &temporary))
        .and_then(|own| fs::rename(&temporary, path).map(|()| own));
    let own = published.inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })?;
    let socket = Accepting::Unix(UnixListener::from_std(socket.into()), own);
    let listeners = vec![Listener {
        socket,
        group: 1,
        retry_at: None,
        pending: false,
    }];
    Ok(Bound {
        address: BindAddress::Unix(path.into()),
        listeners,
    })
}

/// Whether a process listens at this path. What is there and no socket is left alone.
fn is_live(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        // Connected, or its queue is full: somebody is there.
        _ => Ok(true),
    }
}

/// A socket's path, to be removed only while it is still ours.
#[derive(Debug)]
struct OwnPath {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl OwnPath {
    fn new(path: &Path, temporary: &Path) -> io::Result<Self> {
        let found = fs::metadata(temporary)?;
        Ok(Self {
            path: path.into(),
            device: found.dev(),
            inode: found.ino(),
        })
    }

    fn remove(&self) {
        let found = fs::metadata(&self.path).map(|found| (found.dev(), found.ino()));
        if found.is_ok_and(|found| found == (self.device, self.inode)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for OwnPath {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Listener {
    fn tcp(listener: std::net::TcpListener, group: usize) -> Self {
        let socket = Accepting::Tcp(TcpListener::from_std(listener));
        Self {
            socket,
            group,
            retry_at: None,
            pending: false,
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            Accepting::Tcp(listener) => registry.register(listener, token, Interest::READABLE),
            Accepting::Unix(listener, _) => registry.register(listener, token, Interest::READABLE),
        }
    }

    /// Takes one connection off the kernel's queue.
    pub(super) fn accept(&self) -> io::Result<Stream> {
        match &self.socket {
            Accepting::Tcp(listener) => listener.accept().map(|(stream, _)| Stream::Tcp(stream)),
            Accepting::Unix(listener, _) => {
                listener.accept().map(|(stream, _)| Stream::Unix(stream))
            }
        }
    }

    /// Turns new connections away to whoever shares the address, if anybody does. What is queued
    /// here stays.
    pub(super) fn turn_away(&self) {
        match &self.socket {
            // Without a successor, or on a kernel that refuses, connections go on coming here until
            // the socket is closed.
            Accepting::Tcp(listener) => {
                let _ = steer::to_index(listener, self.group);
            }
            Accepting::Unix(_, own) => own.remove(),
        }
    }
}
