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

use core::sync::atomic::{AtomicUsize, Ordering};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, Socket, TcpKeepalive, Type};

use super::bind::allows;
use super::limits::{BACKLOG, KEEPALIVE};
use super::stream::Stream;
#[cfg(feature = "tls")]
use super::tls::Tls;
use super::{Bind, BindAddress, Network, StartError, steer};

/// One worker's listening socket.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Accepting,
    /// After `accept` failed for want of descriptors: when to try again.
    pub(super) retry_at: Option<Instant>,
    /// More connections may be queued than were taken.
    pub(super) pending: bool,
    pub(super) door: Door,
}

/// Who may come in by a listener.
#[derive(Debug, Clone, Default)]
pub(super) struct Door {
    allow_from: Arc<[Network]>,
    /// The number of its bind.
    #[cfg(feature = "tls")]
    pub(super) bind: usize,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
}

impl Door {
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
    Unix(UnixListener, OwnPath),
}

/// The listeners that share a TCP address, by their inodes.
#[derive(Debug)]
pub(super) struct Group {
    address: SocketAddr,
    /// Another handle on one of them. As long as it is there the kernel queues connections.
    handle: std::net::TcpListener,
    /// Those of other processes that were there before.
    before: Vec<u64>,
    own: Vec<u64>,
}

impl Group {
    /// Turns new connections away to whoever shares the address, if anybody does. What is queued
    /// here stays. Reading who that is takes long on a busy machine, so no worker does it.
    pub(super) fn turn_away(self) {
        let Some(now) = steer::listening_on(self.address) else {
            return;
        };
        if let Some(others) = steer::choose(&now, &self.before, &self.own) {
            // On a kernel that refuses, connections go on coming here until the end.
            let _ = steer::spread_over(&self.handle, others);
        }
    }
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
    unix_mode: u32,
) -> Result<Bound, StartError> {
    match address {
        BindAddress::Tcp(tcp) => bind_tcp(*tcp, workers, takeover),
        BindAddress::Unix(path) => bind_unix(path, takeover, unix_mode),
    }
    .map_err(|error| StartError::bind(address.clone(), error, takeover))
}

fn bind_tcp(wanted: SocketAddr, workers: usize, takeover: bool) -> io::Result<Bound> {
    let before = if takeover {
        steer::listening_on(wanted)
    } else {
        None
    };
    let mut sockets = vec![listen_tcp(wanted, takeover)?];
    let address = sockets
        .first()
        .map_or(Ok(wanted), std::net::TcpListener::local_addr)?;
    for _ in 1..workers {
        sockets.push(listen_tcp(address, true)?);
    }
    let own = sockets.iter().map(inode).collect::<io::Result<_>>()?;
    let handle = sockets
        .first()
        .map(std::net::TcpListener::try_clone)
        .transpose()?;
    let before = before.unwrap_or_default();
    let group = handle.map(|handle| Group {
        address,
        handle,
        before,
        own,
    });
    let listeners = sockets.into_iter().map(Listener::tcp).collect();
    Ok(Bound {
        address: BindAddress::Tcp(address),
        listeners,
        group,
        unpublished: None,
    })
}

fn inode(socket: &std::net::TcpListener) -> io::Result<u64> {
    let descriptor = OwnedFd::from(socket.try_clone()?);
    Ok(fs::File::from(descriptor).metadata()?.ino())
}

fn listen_tcp(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Accepted sockets inherit these: no system call for each. A host that has vanished would
    // otherwise keep its connections, and their places, for ever.
    socket.set_tcp_nodelay(true)?;
    let interval = Duration::from_secs(10);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(interval),
    )?;
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
    fs::set_permissions(temporary, fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    let own = OwnPath::new(path, temporary)?;
    let socket = Accepting::Unix(UnixListener::from_std(socket.into()), own);
    let listeners = vec![Listener {
        socket,
        retry_at: None,
        pending: false,
        door: Door::default(),
    }];
    let address = BindAddress::Unix(path.into());
    Ok(Bound {
        address,
        listeners,
        group: None,
        unpublished: Some(unpublished),
    })
}

/// A name that no other socket of this process has, and that hides from a plain `ls`.
fn temporary_name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!(
        ".{}.{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A UNIX socket that listens under its temporary name.
#[derive(Debug)]
pub(super) struct Unpublished {
    temporary: PathBuf,
    path: PathBuf,
    takeover: bool,
}

impl Unpublished {
    /// Renames it into place. Of two processes that try at once, the second finds the first.
    pub(super) fn publish(self) -> Result<(), StartError> {
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let published =
            fs::File::open(folder.unwrap_or_else(|| Path::new("."))).and_then(|folder| {
                // Held until the end of this scope. A file system without locks is no reason to stop.
                let _ = folder.lock();
                if !self.takeover && is_live(&self.path)? {
                    return Err(io::ErrorKind::AddrInUse.into());
                }
                fs::rename(&self.temporary, &self.path)
            });
        published.map_err(|error| {
            StartError::bind(BindAddress::Unix(self.path.clone()), error, self.takeover)
        })
    }
}

impl Drop for Unpublished {
    /// Nothing is there any more once it is published.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Whether a process listens at this path. What is there and no socket, or only points to one, is left
/// alone.
fn is_live(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
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
    fn tcp(listener: std::net::TcpListener) -> Self {
        let socket = Accepting::Tcp(TcpListener::from_std(listener));
        Self {
            socket,
            retry_at: None,
            pending: false,
            door: Door::default(),
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            Accepting::Tcp(listener) => registry.register(listener, token, Interest::READABLE),
            Accepting::Unix(listener, _) => registry.register(listener, token, Interest::READABLE),
        }
    }

    /// Takes one connection off the kernel's queue; nothing of one that may not come in.
    pub(super) fn accept(&self) -> io::Result<Option<Stream>> {
        match &self.socket {
            Accepting::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                if !allows(&self.door.allow_from, peer.ip()) {
                    return Ok(None);
                }
                #[cfg(feature = "tls")]
                if let Some(config) = &self.door.tls {
                    let tls = Tls::new(config).map_err(io::Error::other)?;
                    return Ok(Some(Stream::Tls(stream, tls)));
                }
                Ok(Some(Stream::Tcp(stream)))
            }
            Accepting::Unix(listener, _) => listener
                .accept()
                .map(|(stream, _)| Some(Stream::Unix(stream))),
        }
    }

    /// Takes the path of a UNIX socket away, so that nobody new connects.
    pub(super) fn hide(&self) {
        if let Accepting::Unix(_, own) = &self.socket {
            own.remove();
        }
    }
}
