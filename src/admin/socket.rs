//! The endpoint's listening socket: loopback or a UNIX socket, nothing else.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use super::{AdminError, AdminOptions};
use haproxy_spoa::{BindAddress, Purpose, SharedAddress, Taking, take};

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Socket {
    /// With the port that the kernel gave.
    pub(super) address: BindAddress,
    pub(super) listening: Listening,
    /// What another process may have as well.
    pub(super) shared: Arc<SharedAddress>,
    /// Whether another process has handed it over, and answers until this one is up.
    pub(super) is_taken_over: bool,
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
        let taking = Taking {
            purpose: Purpose::Admin,
            sockets: 1,
            takeover: options.takeover,
            unix_mode: options.unix_mode,
            unix_owner: options.unix_owner,
        };
        let mut taken = take(address, &taking).map_err(AdminError::listen)?;
        taken.publish().map_err(AdminError::listen)?;
        // An endpoint never has more than the one that it makes.
        let only = <[_; 1]>::try_from(taken.sockets);
        let [socket] = only.map_err(|_| AdminError::InUse(address.clone()))?;
        let listening = match address {
            BindAddress::Tcp(_) => Listening::Tcp(socket.into()),
            BindAddress::Unix(_) => Listening::Unix(socket.into()),
        };
        Ok(Self {
            address: taken.address,
            listening,
            shared: taken.shared,
            is_taken_over: taken.is_taken_over,
        })
    }
}
