//! Sockets that a supervisor passes (`LISTEN_FDS`, `LISTEN_PID`; `sd_listen_fds(3)`).

use core::fmt;
use std::io;

use listenfd::ListenFd;

use haproxy_spoa::PassedSocket;

/// The number of the first descriptor that is passed.
const FIRST: usize = 3;

/// The sockets that were passed to this process; none if nobody passed any. To be asked once.
///
/// # Errors
/// If one of them is no listening stream socket of TCP or with a path.
pub fn passed() -> Result<Vec<PassedSocket>, NotListening> {
    let mut listed = ListenFd::from_env();
    (0..listed.len())
        .map(|place| {
            let unusable = |why| NotListening {
                descriptor: FIRST + place,
                why,
            };
            take(&mut listed, place).map_err(unusable)
        })
        .collect()
}

fn take(listed: &mut ListenFd, place: usize) -> io::Result<PassedSocket> {
    if let Ok(Some(socket)) = listed.take_tcp_listener(place) {
        return PassedSocket::tcp(socket);
    }
    let socket = listed.take_unix_listener(place)?;
    let socket = socket.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    PassedSocket::unix(socket)
}

/// A descriptor was passed that no connection can be accepted from.
#[derive(Debug)]
pub struct NotListening {
    descriptor: usize,
    why: io::Error,
}

impl fmt::Display for NotListening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { descriptor, why } = self;
        write!(
            f,
            "descriptor {descriptor}, which was passed, is of no use: {why}"
        )
    }
}

impl core::error::Error for NotListening {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.why)
    }
}
