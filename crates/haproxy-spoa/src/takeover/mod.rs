//! Takeover: a new process gets the listening sockets of the one that runs, and polls the very same.
//!
//! ```text
//!           kernel: one queue per socket
//!            │                     │
//!  old   |== accept ===============│=|SIGTERM: close its copies, drain
//!  new        |- request, receive -|== accept ===========================
//! ```
//!
//! A socket and its queue live as long as any process has it open, so nothing that is queued is reset,
//! whichever process ends first and however. Each process has its own copies of
//!
//! - the listening sockets of an address;
//! - the write end of a pipe, the membership: the last process finds that the pipe has no writer left;
//! - the listener at an abstract name, where the next process requests all of these.
//!
//! A process that stops closes its membership first. If others are left, it closes its copies without
//! accepting, and leaves the path of a UNIX socket alone. If not, nobody can join any more, and it takes
//! what is queued before it closes. Two that stop at once may both find themselves the last, and then
//! both take from the queue.
//!
//! The newest process answers requests: one that has handed its sockets over does so again when the
//! other one is gone.

mod service;
mod wire;

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use socket2::{Domain, Socket};

use crate::BindAddress;
use crate::path::OwnPath;

pub(crate) use service::EventSink;
pub use service::{HandoverService, TakeoverEvent};

/// What sockets are for. Those of one purpose are not handed over for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Connections of `HAProxy`.
    Spop,
    /// An admin endpoint.
    Admin,
}

impl Purpose {
    const fn word(self) -> &'static str {
        match self {
            Self::Spop => "spop",
            Self::Admin => "admin",
        }
    }
}

/// What this process has of an address that other processes may have as well.
#[derive(Debug)]
pub struct SharedAddress {
    address: BindAddress,
    /// Has no writer any more when no process is left.
    members: OwnedFd,
    /// `None` once this process has left.
    offer: Mutex<Option<Offer>>,
    /// Set when it leaves: whether other processes are left.
    others: AtomicBool,
    path: Option<OwnPath>,
    /// Why no other process can request the sockets.
    unreachable: Option<io::Error>,
}

/// What is handed over to the next process.
#[derive(Debug)]
struct Offer {
    membership: OwnedFd,
    name: Option<OwnedFd>,
    sockets: Vec<OwnedFd>,
    /// The connection to the process that the sockets came from.
    lease: Option<Socket>,
}

impl SharedAddress {
    /// Offers sockets that this process has made or was passed. `file` is where a UNIX socket is now.
    pub(crate) fn new(
        purpose: Purpose,
        address: BindAddress,
        file: Option<&Path>,
        path: Option<OwnPath>,
        sockets: &[Socket],
    ) -> io::Result<Self> {
        let (members, membership) = pipe_with(PipeFlags::CLOEXEC)?;
        let name = match file {
            Some(file) => wire::name_of_file(purpose, file),
            None => wire::name_of(purpose, &address),
        };
        let listening = name.map(|name| wire::listen(&name)).transpose();
        let (name, unreachable) = match listening {
            Ok(name) => (name, None),
            Err(error) => (None, Some(error)),
        };
        let offer = Offer {
            membership,
            name,
            sockets: copies(sockets)?,
            lease: None,
        };
        Ok(Self {
            address,
            members,
            offer: Mutex::new(Some(offer)),
            others: AtomicBool::new(false),
            path,
            unreachable,
        })
    }

    /// Where the sockets listen.
    #[must_use]
    pub const fn address(&self) -> &BindAddress {
        &self.address
    }

    /// Why no other process can request the sockets: the abstract name is taken.
    #[must_use]
    pub const fn unreachable(&self) -> Option<&io::Error> {
        self.unreachable.as_ref()
    }

    /// Reports to the process that the sockets came from that they are served here as well.
    pub fn serve(&self) {
        if let Some(lease) = self.offer().as_ref().and_then(|offer| offer.lease.as_ref()) {
            wire::send_serving(lease);
        }
    }

    /// Takes no more part in the address. The path of a UNIX socket goes with the last process. Returns
    /// whether others are left, who take what is queued.
    pub fn leave(&self) -> bool {
        // Nothing is handed over meanwhile.
        let mut offer = self.offer();
        if let Some(Offer {
            membership, lease, ..
        }) = offer.take()
        {
            drop(membership);
            let others = !has_no_writer(&self.members);
            self.others.store(others, Ordering::Release);
            if !others && let Some(path) = &self.path {
                path.remove();
            }
            // After all else: the other process answers requests from then on.
            drop(lease);
        }
        self.has_others()
    }

    /// Whether this process has left the address to others.
    #[must_use]
    pub fn has_others(&self) -> bool {
        self.others.load(Ordering::Acquire)
    }

    fn offer(&self) -> std::sync::MutexGuard<'_, Option<Offer>> {
        // No code that holds it panics half-way.
        self.offer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SharedAddress {
    fn drop(&mut self) {
        self.leave();
    }
}

fn has_no_writer(members: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(members, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let ready = poll(&mut polled, Some(&now));
    let [polled] = polled;
    ready.is_ok() && polled.revents().contains(PollFlags::HUP)
}

fn copies(sockets: &[Socket]) -> io::Result<Vec<OwnedFd>> {
    sockets
        .iter()
        .map(|socket| socket.try_clone().map(OwnedFd::from))
        .collect()
}

/// The sockets of an address that another process has handed over.
pub(crate) type Received = (Vec<Socket>, Arc<SharedAddress>);

/// Requests the sockets of an address from the process that has them. `user` is a user beside root and
/// our own that they may come from. `None` if no process hands them over.
///
/// # Errors
/// [`TakeoverError`]; the running process goes on as it was.
pub(crate) fn request(
    purpose: Purpose,
    address: &BindAddress,
    user: Option<u32>,
) -> Result<Option<Received>, TakeoverError> {
    let Some(name) = wire::name_of(purpose, address) else {
        return Ok(None);
    };
    let Some(handed) = wire::request(&name, user)? else {
        return Ok(None);
    };
    let sockets: Vec<_> = handed.sockets.into_iter().map(Socket::from).collect();
    if !sockets.iter().all(|socket| listens_at(socket, address)) {
        return Err(TakeoverError::Invalid);
    }
    let path = match address {
        BindAddress::Tcp(_) => None,
        BindAddress::Unix(path) => Some(OwnPath::new(path, path)?),
    };
    let [members, membership] = handed.membership;
    let offer = Offer {
        membership,
        name: Some(handed.name),
        sockets: copies(&sockets)?,
        lease: Some(handed.lease),
    };
    let shared = SharedAddress {
        address: address.clone(),
        members,
        offer: Mutex::new(Some(offer)),
        others: AtomicBool::new(false),
        path,
        unreachable: None,
    };
    Ok(Some((sockets, Arc::new(shared))))
}

/// Whether a socket is a listening one of this address. The path of a UNIX socket may have another
/// spelling, and is not compared.
fn listens_at(socket: &Socket, address: &BindAddress) -> bool {
    let is_same = match address {
        BindAddress::Tcp(tcp) => {
            let local = socket.local_addr().ok().and_then(|local| local.as_socket());
            local == Some(*tcp)
        }
        BindAddress::Unix(_) => socket.domain().is_ok_and(|domain| domain == Domain::UNIX),
    };
    is_same && socket.is_listener().unwrap_or(false)
}

/// Why the sockets of a running process cannot be taken over. That process goes on as it was.
#[derive(Debug)]
pub enum TakeoverError {
    /// It is a process of a user that is not trusted.
    OtherUser {
        /// Its user.
        peer: u32,
        /// Our user.
        own: u32,
    },
    /// It does not hand its sockets to our user.
    Refused {
        /// Its user.
        peer: u32,
        /// Our user.
        own: u32,
    },
    /// It answered something else, or with other sockets.
    Invalid,
    /// The request failed: no answer in time, or no descriptors left.
    Io(io::Error),
}

impl From<io::Error> for TakeoverError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustix::io::Errno> for TakeoverError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

impl fmt::Display for TakeoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherUser { peer, own } => write!(
                f,
                "it belongs to a process of user {peer}, and user {own} takes over from itself and root"
            ),
            Self::Refused { peer, own } => write!(
                f,
                "the process of user {peer} that has it does not hand it over to user {own}"
            ),
            Self::Invalid => f.write_str("the process that has it sent an invalid answer"),
            Self::Io(error) if error.kind() == io::ErrorKind::WouldBlock => {
                f.write_str("the process that has it does not answer")
            }
            Self::Io(error) => write!(f, "requesting its sockets failed: {error}"),
        }
    }
}

impl core::error::Error for TakeoverError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}
