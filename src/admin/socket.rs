//! The endpoint's listening socket: loopback or a UNIX socket, nothing else.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;

use socket2::{Domain, SockAddr, Socket as Raw, Type};

use super::{AdminError, AdminOptions};
use haproxy_spoa::{BindAddress, OwnPath, is_live, set_rights, temporary_name};

/// Connections that the kernel may queue.
const BACKLOG: i32 = 1024;

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Socket {
    /// With the port that the kernel gave.
    pub(super) address: BindAddress,
    pub(super) listening: Listening,
    /// Of a UNIX socket: to be removed in the end.
    pub(super) path: Option<OwnPath>,
}

/// What connections are taken from. Does not block.
#[derive(Debug)]
pub(super) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    pub(super) fn bind(options: &AdminOptions) -> Result<Self, AdminError> {
        let address = &options.address;
        if !address.is_local() {
            return Err(AdminError::NotLocal(address.clone()));
        }
        match address {
            BindAddress::Tcp(tcp) => bind_tcp(*tcp, options.takeover),
            BindAddress::Unix(path) => bind_unix(path, options),
        }
        .map_err(|error| AdminError::bind(address, error))
    }
}

/// Shared with a process that leaves, as the agent's own addresses are: the option is set before
/// `bind` only for a takeover, and afterwards so that a later process can.
fn bind_tcp(address: SocketAddr, takeover: bool) -> io::Result<Socket> {
    let socket = Raw::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    if takeover {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_reuse_port(true)?;
    let listener = TcpListener::from(socket);
    Ok(Socket {
        address: BindAddress::Tcp(listener.local_addr()?),
        listening: Listening::Tcp(listener),
        path: None,
    })
}

/// Bound under another name and renamed, so that it never exists with the wrong mode and a path that
/// answers never stops answering.
fn bind_unix(path: &Path, options: &AdminOptions) -> io::Result<Socket> {
    if is_live(path)? && !options.takeover {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let temporary = path.with_file_name(temporary_name());
    // A process of the same number may have died and left it.
    let _ = fs::remove_file(&temporary);
    let too_long = |_| io::Error::other("the path is too long for a UNIX socket");
    let socket = Raw::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(&temporary).map_err(too_long)?)?;
    let published = publish(&socket, &temporary, path, options);
    let own = published.inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    Ok(Socket {
        address: BindAddress::Unix(path.into()),
        listening: Listening::Unix(UnixListener::from(socket)),
        path: Some(own),
    })
}

fn publish(
    socket: &Raw,
    temporary: &Path,
    path: &Path,
    options: &AdminOptions,
) -> io::Result<OwnPath> {
    set_rights(temporary, options.unix_mode, options.unix_owner)?;
    socket.listen(BACKLOG)?;
    let own = OwnPath::new(path, temporary)?;
    fs::rename(temporary, path)?;
    Ok(own)
}
