//! Listening sockets: taking an address, from another process or afresh.
//!
//! ```text
//!  takeover   the sockets of the process that has the address, as many as there are
//!  afresh     bind, listen, then SO_REUSEPORT: of two processes that try, one gets EADDRINUSE
//!  others     SO_REUSEPORT, bind, listen: one listener per worker, in the group of the first
//! ```
//!
//! A UNIX socket has no such groups: one worker listens, placement does the rest. It is bound under
//! another name, gets its mode and listens; once everything else has worked it is renamed into place,
//! so that a start that fails changes nothing.
//!
//! A socket that was passed is one listener as well, and its path is left to who made it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, Socket, TcpKeepalive, Type};

use super::bind::allows;
use super::limits::{BACKLOG, KEEPALIVE, RECEIVE_BUFFER, SEND_BUFFER};
use super::passed::{Passed, PassedSocket};
use super::path::{OwnPath, Unpublished, is_live, set_rights, temporary_name};
use super::takeover::{self, Purpose, SharedAddress};
#[cfg(feature = "tls")]
use super::tls::Tls;
use super::transport::Transport;
use super::{Bind, BindAddress, Network, StartError};

/// How long an address that is in use is tried again: a process that was refused it, or that hands it
/// over, needs a few system calls until its end, and one that stops its grace period.
const RETRY_TIMEOUT: Duration = Duration::from_millis(500);
/// How long to rest between two tries that depend on another process.
const RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// One worker's listening socket.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Accepting,
    /// After `accept` failed for want of descriptors: when to try again.
    pub(super) retry_at: Option<Instant>,
    /// More connections may be queued than were taken.
    pub(super) pending: bool,
    pub(super) door: AccessControl,
    pub(super) shared: Arc<SharedAddress>,
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
    Unix(UnixListener),
    /// Left to other processes.
    Closed,
}

/// How an address is taken.
#[derive(Debug)]
pub struct Taking {
    /// What the sockets are for.
    pub purpose: Purpose,
    /// How many sockets to make of a TCP address.
    pub sockets: usize,
    /// Whether another process that has the address is to hand it over.
    pub takeover: bool,
    /// The permission bits of a UNIX socket.
    pub unix_mode: u32,
    /// The user and the group that a UNIX socket is given to.
    pub unix_owner: Option<(u32, u32)>,
}

/// An address that has been taken.
#[derive(Debug)]
pub struct TakenAddress {
    /// The address with the port that the kernel gave.
    pub address: BindAddress,
    /// Its listening sockets. All have to be polled: the kernel spreads connections over them.
    pub sockets: Vec<Socket>,
    /// What other processes may have as well.
    pub shared: Arc<SharedAddress>,
    /// Whether another process has handed it over.
    pub is_taken_over: bool,
    /// What is left to be done when all else has worked.
    publication: Option<Publication>,
}

/// How a UNIX socket gets its path, or its rights.
#[derive(Debug)]
pub(super) enum Publication {
    Rename(Unpublished),
    /// It was handed over, and may have the rights that another configuration gave it.
    Rights {
        path: std::path::PathBuf,
        mode: u32,
        owner: Option<(u32, u32)>,
    },
}

impl Publication {
    pub(super) fn publish(self) -> Result<(), StartError> {
        match self {
            Self::Rename(unpublished) => unpublished.publish(),
            Self::Rights { path, mode, owner } => set_rights(&path, mode, owner)
                .map_err(|error| StartError::Bind(BindAddress::Unix(path), error)),
        }
    }
}

impl TakenAddress {
    /// Gives a UNIX socket its path and its rights.
    ///
    /// # Errors
    /// If another process has the path by now, or the system refuses.
    pub fn publish(&mut self) -> Result<(), StartError> {
        self.publication.take().map_or(Ok(()), Publication::publish)
    }
}

/// An address of an agent: its listeners, to be given to workers.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) address: BindAddress,
    pub(super) listeners: Vec<Listener>,
    pub(super) shared: Arc<SharedAddress>,
    pub(super) is_taken_over: bool,
    pub(super) publication: Option<Publication>,
}

impl From<TakenAddress> for Bound {
    fn from(taken: TakenAddress) -> Self {
        let listener = |socket| Listener::new(socket, &taken.address, Arc::clone(&taken.shared));
        Self {
            listeners: taken.sockets.into_iter().map(listener).collect(),
            address: taken.address,
            shared: taken.shared,
            is_taken_over: taken.is_taken_over,
            publication: taken.publication,
        }
    }
}

/// Takes an address: from the process that has it, if that is asked for, or afresh.
///
/// # Errors
/// Another process that has the address keeps it.
pub fn take(address: &BindAddress, taking: &Taking) -> Result<TakenAddress, StartError> {
    let until = Instant::now() + RETRY_TIMEOUT;
    loop {
        if taking.takeover
            && let Some(taken) = take_over(address, taking)?
        {
            return Ok(taken);
        }
        let taken = match address {
            BindAddress::Tcp(tcp) => take_tcp(*tcp, taking),
            BindAddress::Unix(path) => take_unix(path, taking),
        };
        match taken {
            // A process that has it may have been about to stop, or about to hand it over.
            Err(error) if taking.takeover && is_taken(&error) && Instant::now() < until => {
                thread::park_timeout(RETRY_INTERVAL);
            }
            done => {
                return done
                    .map_err(|error| StartError::bind(address.clone(), error, taking.takeover));
            }
        }
    }
}

fn take_over(address: &BindAddress, taking: &Taking) -> Result<Option<TakenAddress>, StartError> {
    let user = taking.unix_owner.map(|(user, _)| user);
    let requested = takeover::request(taking.purpose, address, user);
    let failed = |why| StartError::Takeover(address.clone(), why);
    let Some((sockets, shared)) = requested.map_err(failed)? else {
        return Ok(None);
    };
    let publication = match address {
        BindAddress::Tcp(_) => None,
        BindAddress::Unix(path) => Some(Publication::Rights {
            path: path.clone(),
            mode: taking.unix_mode,
            owner: taking.unix_owner,
        }),
    };
    for socket in &sockets {
        prepared(socket, address).map_err(|error| StartError::Bind(address.clone(), error))?;
    }
    Ok(Some(TakenAddress {
        address: address.clone(),
        sockets,
        shared,
        is_taken_over: true,
        publication,
    }))
}

/// Takes a socket that listens already.
pub(super) fn adopt(passed: PassedSocket) -> Result<Bound, StartError> {
    let address = passed.address().clone();
    let socket = match passed.socket {
        Passed::Tcp(socket) => Socket::from(socket),
        Passed::Unix(socket) => Socket::from(socket),
    };
    share_passed(socket, address.clone())
        .map(Bound::from)
        .map_err(|error| StartError::Bind(address, error))
}

fn share_passed(socket: Socket, address: BindAddress) -> io::Result<TakenAddress> {
    prepared(&socket, &address)?;
    let sockets = vec![socket];
    let shared = SharedAddress::new(Purpose::Spop, address.clone(), None, None, &sockets)?;
    Ok(TakenAddress {
        address,
        sockets,
        shared: Arc::new(shared),
        is_taken_over: false,
        publication: None,
    })
}

/// Gives a socket that we have not made what we give our own.
fn prepared(socket: &Socket, address: &BindAddress) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    match address {
        BindAddress::Tcp(_) => inherited(socket),
        BindAddress::Unix(_) => Ok(()),
    }
}

fn take_tcp(wanted: SocketAddr, taking: &Taking) -> io::Result<TakenAddress> {
    let first = listen_alone(wanted)?;
    let address = first.local_addr()?.as_socket().unwrap_or(wanted);
    let mut sockets = vec![first];
    for _ in 1..taking.sockets {
        sockets.push(listen_beside(address)?);
    }
    let address = BindAddress::Tcp(address);
    let shared = SharedAddress::new(taking.purpose, address.clone(), None, None, &sockets)?;
    Ok(TakenAddress {
        address,
        sockets,
        shared: Arc::new(shared),
        is_taken_over: false,
        publication: None,
    })
}

/// Listens on an address that nobody else has, and lets others of this process join.
///
/// Two processes can bind it while neither listens, and then each may fail for the other. So one that
/// fails only to listen tries again; one that cannot bind has met a listener, and fails.
fn listen_alone(address: SocketAddr) -> io::Result<Socket> {
    let until = Instant::now() + RETRY_TIMEOUT;
    loop {
        let socket = bound(address, false)?;
        match socket.listen(BACKLOG) {
            Err(error) if is_taken(&error) && Instant::now() < until => thread::yield_now(),
            done => {
                done?;
                socket.set_reuse_port(true)?;
                return Ok(socket);
            }
        }
    }
}

/// Listens on an address on which this process listens already, so that it is its own. While another one
/// that wants it fails, the kernel sees a listener in it for a moment that shares nothing.
fn listen_beside(address: SocketAddr) -> io::Result<Socket> {
    let until = Instant::now() + RETRY_TIMEOUT;
    loop {
        let socket = bound(address, true).and_then(|socket| {
            socket.listen(BACKLOG)?;
            Ok(socket)
        });
        match socket {
            Err(error) if is_taken(&error) && Instant::now() < until => thread::yield_now(),
            done => return done,
        }
    }
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
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

fn take_unix(path: &Path, taking: &Taking) -> io::Result<TakenAddress> {
    if is_live(path)? {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let temporary = path.with_file_name(temporary_name());
    let too_long = |_| io::Error::other("the path is too long for a UNIX socket");
    let name = SockAddr::unix(&temporary).map_err(too_long)?;
    // A process of the same number may have died and left it.
    let _ = fs::remove_file(&temporary);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&name)?;
    let unpublished = Unpublished {
        temporary,
        path: path.into(),
        takeover: taking.takeover,
    };
    let temporary = &unpublished.temporary;
    set_rights(temporary, taking.unix_mode, taking.unix_owner)?;
    socket.listen(BACKLOG)?;
    let own = OwnPath::new(path, temporary)?;
    let address = BindAddress::Unix(path.into());
    let sockets = vec![socket];
    let shared = SharedAddress::new(
        taking.purpose,
        address.clone(),
        Some(temporary),
        Some(own),
        &sockets,
    )?;
    Ok(TakenAddress {
        address,
        sockets,
        shared: Arc::new(shared),
        is_taken_over: false,
        publication: Some(Publication::Rename(unpublished)),
    })
}

impl Listener {
    fn new(socket: Socket, address: &BindAddress, shared: Arc<SharedAddress>) -> Self {
        let socket = match address {
            BindAddress::Tcp(_) => Accepting::Tcp(TcpListener::from_std(socket.into())),
            BindAddress::Unix(_) => Accepting::Unix(UnixListener::from_std(socket.into())),
        };
        Self {
            socket,
            retry_at: None,
            pending: false,
            door: AccessControl::default(),
            shared,
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            Accepting::Tcp(listener) => registry.register(listener, token, Interest::READABLE),
            Accepting::Unix(listener) => registry.register(listener, token, Interest::READABLE),
            Accepting::Closed => Ok(()),
        }
    }

    /// Closes this process's copy of the socket. The socket may live on in another process, and then it
    /// would stay in this poll, too.
    pub(super) fn close(&mut self, registry: &Registry) {
        let closed = match &mut self.socket {
            Accepting::Tcp(listener) => registry.deregister(listener),
            Accepting::Unix(listener) => registry.deregister(listener),
            Accepting::Closed => Ok(()),
        };
        debug_assert!(closed.is_ok(), "{closed:?}");
        self.socket = Accepting::Closed;
        self.retry_at = None;
        self.pending = false;
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
            Accepting::Unix(listener) => listener
                .accept()
                .map(|(stream, _)| Some(Transport::unix(stream))),
            Accepting::Closed => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}
