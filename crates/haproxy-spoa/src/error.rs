//! Why an agent did not start, or did not go on.

use core::fmt;
use std::io;

#[cfg(feature = "tls")]
use super::TlsError;
use super::takeover::TakeoverError;
use super::{BadAddress, BindAddress};

/// Why [`Agent::bind`](super::Agent::bind) or [`Builder::run`](super::Builder::run) failed.
///
/// Its `Debug` is the sentence too: a `main` that returns it prints something to read.
pub enum Error {
    /// The text is no address.
    Address {
        /// The text.
        text: String,
        /// What is wrong with it.
        why: BadAddress,
    },
    /// The agent did not start.
    Start(StartError),
    /// Signals cannot be waited for.
    Signals(io::Error),
    /// A worker ended other than by a shutdown.
    Worker(WorkerError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { text, why } => write!(f, "cannot listen on \"{text}\": {why}"),
            Self::Start(error) => error.fmt(f),
            Self::Signals(error) => write!(f, "cannot wait for signals: {error}"),
            Self::Worker(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Address { why, .. } => Some(why),
            Self::Start(error) => error.source(),
            Self::Signals(error) => Some(error),
            Self::Worker(error) => error.source(),
        }
    }
}

impl From<StartError> for Error {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl From<WorkerError> for Error {
    fn from(error: WorkerError) -> Self {
        Self::Worker(error)
    }
}

/// Why an agent did not start.
#[derive(Debug)]
pub enum StartError {
    /// The builder was given no address.
    NoAddress,
    /// The builder was given no workers.
    NoWorkers,
    /// Another process has the address.
    InUse {
        /// The address.
        address: BindAddress,
        /// Whether it was to be taken over: that process hands nothing over.
        takeover: bool,
    },
    /// The process that has the address could not hand it over.
    Takeover(BindAddress, TakeoverError),
    /// A UNIX socket's path holds something that is no socket.
    NotASocket(BindAddress),
    /// An address could not be taken for another reason.
    Bind(BindAddress, io::Error),
    /// None of the cores that were asked for may be used, or the operating system told of none.
    NoCores,
    /// A worker could not be pinned to its core.
    Pin {
        /// The worker's number.
        worker: usize,
        /// The core, as the operating system numbers them.
        core: usize,
    },
    /// More connections were asked for than the process may open descriptors.
    Descriptors {
        /// The connections asked for; 0 for the default.
        connections: usize,
        /// The descriptor limit.
        limit: usize,
    },
    /// A worker's poll or thread could not be made.
    Worker(io::Error),
    /// The files of a bind with TLS cannot be used.
    #[cfg(feature = "tls")]
    Tls(TlsError),
}

impl StartError {
    pub(super) fn bind(address: BindAddress, error: io::Error, takeover: bool) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address, takeover },
            io::ErrorKind::AlreadyExists => Self::NotASocket(address),
            _ => Self::Bind(address, error),
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("no address to listen on"),
            Self::NoWorkers => f.write_str("no workers"),
            Self::InUse {
                address,
                takeover: false,
            } => {
                write!(f, "{address} is in use by another process")
            }
            Self::InUse {
                address,
                takeover: true,
            } => {
                write!(
                    f,
                    "{address} is in use by a process that does not hand it over"
                )
            }
            Self::Takeover(address, why) => write!(f, "cannot take over {address}: {why}"),
            Self::NotASocket(address) => write!(f, "{address} exists and is not a socket"),
            Self::Bind(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::NoCores => f.write_str("none of the cores may be used by this process"),
            Self::Pin { worker, core } => write!(f, "cannot pin worker {worker} to core {core}"),
            Self::Descriptors {
                connections: 0,
                limit,
            } => {
                write!(
                    f,
                    "the limit of {limit} open files leaves none for connections"
                )
            }
            Self::Descriptors { connections, limit } => {
                write!(
                    f,
                    "{connections} connections do not fit the limit of {limit} open files"
                )
            }
            Self::Worker(error) => write!(f, "cannot start a worker: {error}"),
            #[cfg(feature = "tls")]
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for StartError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Bind(_, error) | Self::Worker(error) => Some(error),
            Self::Takeover(_, why) => Some(why),
            #[cfg(feature = "tls")]
            Self::Tls(error) => error.source(),
            _ => None,
        }
    }
}

/// Why a worker ended other than by a shutdown. Its connections are gone.
#[derive(Debug)]
pub enum WorkerError {
    /// The worker panicked: a bug, in the handler or here.
    Panicked {
        /// The worker's number.
        worker: usize,
    },
    /// The worker cannot wait for events any more.
    Poll {
        /// The worker's number.
        worker: usize,
        /// The error of `epoll_wait`.
        error: io::Error,
    },
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked { worker } => write!(f, "worker {worker} panicked"),
            Self::Poll { worker, error } => {
                write!(f, "worker {worker} cannot wait for events: {error}")
            }
        }
    }
}

impl core::error::Error for WorkerError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Panicked { .. } => None,
            Self::Poll { error, .. } => Some(error),
        }
    }
}
