//! One request for sockets: the name, the users, the messages.
//!
//! ```text
//!  new                                      running
//!  connect to the abstract name ──────────▶ accept
//!  check the user (SO_PEERCRED)             check the user (SO_PEERCRED)
//!  REQUEST ───────────────────────────────▶
//!        ◀── SOCKETS, their number + membership (2), name       SCM_RIGHTS
//!        ◀── MORE                          + 64 sockets at most, again and again
//!  SERVING ───────────────────────────────▶ once its workers run
//! ```
//!
//! The messages are packets (`SOCK_SEQPACKET`), so none is cut. The connection stays open: its end tells
//! the running process that the other one is gone.

use core::mem::MaybeUninit;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg, sockopt,
};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{Purpose, TakeoverError};
use crate::BindAddress;

/// How long the running process may take to answer.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the new process may take to send its request once it is connected.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// Requests that the kernel may queue.
const BACKLOG: i32 = 16;
/// Sockets in one message. The kernel takes 253.
const SOCKETS_PER_MESSAGE: usize = 64;
/// Sockets of one address: more than there are workers in any process.
const MAX_SOCKETS: usize = 4096;
/// The longest message.
const MAX_MESSAGE: usize = 64;

const REQUEST: u8 = b'?';
const SOCKETS: u8 = b'S';
const MORE: u8 = b'+';
/// The other process runs as a user that may not have the sockets.
const REFUSED: u8 = b'R';
const SERVING: u8 = b'!';

/// The abstract name at which the sockets of an address are handed over. It is in the network namespace
/// of the port. A UNIX socket is named by its file (device and inode), whatever path leads to it. `None`
/// if there is no such file, or if the kernel is to choose a port.
pub(super) fn name_of(purpose: Purpose, address: &BindAddress) -> Option<String> {
    match address {
        BindAddress::Tcp(tcp) if tcp.port() == 0 => None,
        BindAddress::Tcp(tcp) => Some(prefixed(purpose, format_args!("tcp/{tcp}"))),
        BindAddress::Unix(path) => name_of_file(purpose, path),
    }
}

/// The same for a UNIX socket that is at `path` now, perhaps under a temporary name.
pub(super) fn name_of_file(purpose: Purpose, path: &Path) -> Option<String> {
    let file = fs::symlink_metadata(path).ok()?;
    let (device, inode) = (file.dev(), file.ino());
    Some(prefixed(purpose, format_args!("unix/{device:x}:{inode:x}")))
}

/// The number is that of the protocol.
fn prefixed(purpose: Purpose, rest: core::fmt::Arguments<'_>) -> String {
    let mut name = format!("\0haproxy-spoa/1/{}/", purpose.word());
    // Writing to a String cannot fail.
    let _ = name.write_fmt(rest);
    name
}

/// Listens at a name. Nobody else can then.
pub(super) fn listen(name: &str) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
    socket.bind(&SockAddr::unix(name)?)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// What a running process hands over.
#[derive(Debug)]
pub(super) struct Handed {
    /// Both ends of the pipe that counts processes.
    pub(super) membership: [OwnedFd; 2],
    /// The listener at the abstract name.
    pub(super) name: OwnedFd,
    pub(super) sockets: Vec<OwnedFd>,
    /// The connection, to be kept as long as the sockets are in use.
    pub(super) lease: Socket,
}

/// Requests the sockets of a name. `None` if no process hands them over, or if it is about to end.
///
/// # Errors
/// [`TakeoverError`]; the running process goes on as it was.
pub(super) fn request(name: &str, user: Option<u32>) -> Result<Option<Handed>, TakeoverError> {
    let lease = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
    lease.set_read_timeout(Some(REPLY_TIMEOUT))?;
    lease.set_write_timeout(Some(REPLY_TIMEOUT))?;
    match lease.connect(&SockAddr::unix(name)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(None),
        connected => connected?,
    }
    let own = rustix::process::geteuid().as_raw();
    let peer = sockopt::socket_peercred(&lease)?.uid.as_raw();
    if peer != own && peer != 0 && Some(peer) != user {
        // It is told why; should it be gone, the error is the same.
        let _ = send(&lease, &[REFUSED], &[]);
        return Err(TakeoverError::OtherUser { peer, own });
    }
    let received = send(&lease, &[REQUEST], &[]).and_then(|()| receive_all(&lease));
    match received {
        Ok(Reply::Sockets(mut descriptors)) => {
            let sockets = descriptors.split_off(descriptors.len().min(3));
            match <[OwnedFd; 3]>::try_from(descriptors) {
                Ok([read, write, name]) => Ok(Some(Handed {
                    membership: [read, write],
                    name,
                    sockets,
                    lease,
                })),
                Err(_) => Err(TakeoverError::Invalid),
            }
        }
        Ok(Reply::Refused) => Err(TakeoverError::Refused { peer, own }),
        Ok(Reply::Invalid) => Err(TakeoverError::Invalid),
        Ok(Reply::End) => Ok(None),
        Err(error) => match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Ok(None),
            _ => Err(error.into()),
        },
    }
}

enum Reply {
    Sockets(Vec<OwnedFd>),
    Refused,
    /// The process is ending.
    End,
    Invalid,
}

fn receive_all(connection: &Socket) -> io::Result<Reply> {
    let mut descriptors = Vec::new();
    let first = receive(connection, &mut descriptors)?;
    let total = match first.split_first() {
        None => return Ok(Reply::End),
        Some((&REFUSED, _)) => return Ok(Reply::Refused),
        Some((&SOCKETS, total)) => total.try_into().map(u32::from_le_bytes).ok(),
        Some(_) => None,
    };
    let Some(total) = total.and_then(|total| usize::try_from(total).ok()) else {
        return Ok(Reply::Invalid);
    };
    if !(1..=MAX_SOCKETS).contains(&total) || descriptors.len() != 3 {
        return Ok(Reply::Invalid);
    }
    while descriptors.len() < 3 + total {
        let before = descriptors.len();
        let more = receive(connection, &mut descriptors)?;
        match more.first() {
            None => return Ok(Reply::End),
            Some(&MORE) if descriptors.len() > before => {}
            Some(_) => return Ok(Reply::Invalid),
        }
    }
    Ok(Reply::Sockets(descriptors))
}

/// One message; empty at the end of the connection. Its descriptors are appended.
fn receive(connection: &impl AsFd, descriptors: &mut Vec<OwnedFd>) -> io::Result<Vec<u8>> {
    let mut bytes = [0; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_PER_MESSAGE))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = retry(|| {
        recvmsg(
            connection,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )
    })?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        // The kernel leaves out what this process may not open.
        return Err(Errno::MFILE.into());
    }
    Ok(bytes.get(..received.bytes).unwrap_or_default().to_vec())
}

fn send(connection: &impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_PER_MESSAGE))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let fits = ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
        debug_assert!(fits, "{} descriptors in one message", descriptors.len());
    }
    let bytes = [IoSlice::new(bytes)];
    retry(|| sendmsg(connection, &bytes, &mut ancillary, SendFlags::NOSIGNAL))?;
    Ok(())
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done.map_err(io::Error::from),
        }
    }
}

/// Tells the process that the sockets came from that they are served here as well.
pub(super) fn send_serving(lease: &Socket) {
    // It may have ended meanwhile, which changes nothing.
    let _ = send(lease, &[SERVING], &[]);
}

/// A request that has been accepted.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) connection: OwnedFd,
    /// The user and the process that it comes from.
    pub(super) uid: u32,
    pub(super) pid: i32,
}

/// What a request comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It is to be answered.
    Sockets,
    /// The other process runs as a user that may not have them, and has been told.
    OtherUser,
    /// The other process does not take sockets from this user.
    Declined,
    /// Something else, or nothing in time.
    Nothing,
}

impl Request {
    /// Takes the next request. `None` if there is none: another process may have taken it.
    pub(super) fn accept(name: &OwnedFd) -> Option<Self> {
        let flags = rustix::net::SocketFlags::CLOEXEC;
        let connection = retry(|| rustix::net::accept_with(name, flags)).ok()?;
        let peer = sockopt::socket_peercred(&connection).ok()?;
        Some(Self {
            uid: peer.uid.as_raw(),
            pid: peer.pid.as_raw_nonzero().get(),
            connection,
        })
    }

    /// Checks the user and reads the request.
    pub(super) fn read(&self) -> Asked {
        let own = rustix::process::geteuid().as_raw();
        if self.uid != own && self.uid != 0 {
            // Its end is the same answer.
            let _ = send(&self.connection, &[REFUSED], &[]);
            return Asked::OtherUser;
        }
        let socket = socket2::SockRef::from(&self.connection);
        let read = socket
            .set_read_timeout(Some(REQUEST_TIMEOUT))
            .and_then(|()| socket.set_write_timeout(Some(REQUEST_TIMEOUT)))
            .and_then(|()| receive(&self.connection, &mut Vec::new()));
        match read.as_deref() {
            Ok([REQUEST]) => Asked::Sockets,
            Ok([REFUSED]) => Asked::Declined,
            _ => Asked::Nothing,
        }
    }

    /// Hands the sockets over.
    ///
    /// # Errors
    /// If the other process does not read, or the kernel refuses. It has then got nothing that it uses.
    pub(super) fn answer(&self, first: [&OwnedFd; 3], sockets: &[OwnedFd]) -> io::Result<()> {
        let total = u32::try_from(sockets.len()).map_err(io::Error::other)?;
        let [a, b, c, d] = total.to_le_bytes();
        send(
            &self.connection,
            &[SOCKETS, a, b, c, d],
            &first.map(AsFd::as_fd),
        )?;
        for some in sockets.chunks(SOCKETS_PER_MESSAGE) {
            let some: Vec<_> = some.iter().map(AsFd::as_fd).collect();
            send(&self.connection, &[MORE], &some)?;
        }
        Ok(())
    }
}

/// Whether the other process serves now; `None` if it is gone.
pub(super) fn read_serving(lease: &OwnedFd) -> Option<bool> {
    let message = receive(lease, &mut Vec::new()).ok()?;
    Some(*message.first()? == SERVING)
}
