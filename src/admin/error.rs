//! Why there is no admin endpoint, or why it cannot be talked to.

use core::fmt;
use std::io;
use std::path::PathBuf;

use haproxy_spoa::{BadAddress, BindAddress, StartError};

/// What is wrong with an admin endpoint.
#[derive(Debug)]
pub enum AdminError {
    /// It is no address.
    Address(String, BadAddress),
    /// Other machines could reach it.
    NotLocal(BindAddress),
    /// Another process has it.
    InUse(BindAddress),
    /// A UNIX socket's path holds something that is no socket.
    NotASocket(BindAddress),
    /// It cannot be had for another reason.
    Bind(BindAddress, io::Error),
    /// Another process could not hand it over.
    Start(StartError),
    /// The file with the token cannot be read.
    TokenFile(PathBuf, io::Error),
    /// The file holds no token, or one that is guessed too easily.
    Token(PathBuf, &'static str),
    /// No agent answers at the address.
    Connect(BindAddress, io::Error),
    /// What answers there is no admin endpoint, or broke off.
    Answer(BindAddress, String),
    /// The agent said no.
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said.
        why: String,
    },
}

impl AdminError {
    pub(super) fn listen(error: StartError) -> Self {
        match error {
            StartError::InUse { address, .. } => Self::InUse(address),
            StartError::NotASocket(address) => Self::NotASocket(address),
            StartError::Bind(address, error) => Self::Bind(address, error),
            other => Self::Start(other),
        }
    }
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(text, why) => write!(f, "{text:?}: {why}"),
            Self::NotLocal(address) => write!(
                f,
                "{address} can be reached from other machines; the admin endpoint is for this \
                 machine: 127.0.0.1, ::1 or unix:PATH"
            ),
            Self::InUse(address) => write!(
                f,
                "{address} is in use by another process; stop it, or choose another address"
            ),
            Self::NotASocket(address) => write!(
                f,
                "{address} exists and is not a socket; remove it or choose another path"
            ),
            Self::Bind(address @ BindAddress::Unix(_), error) => write!(
                f,
                "cannot listen on {address}: {error}; its folder has to exist and to be writable"
            ),
            Self::Bind(address, error) => write!(
                f,
                "cannot listen on {address}: {error}; check that the address is this machine's"
            ),
            Self::Start(error) => error.fmt(f),
            Self::TokenFile(path, error) => {
                write!(
                    f,
                    "the token file {} cannot be read: {error}",
                    path.display()
                )
            }
            Self::Token(path, why) => write!(f, "the token file {} {why}", path.display()),
            Self::Connect(address, error) => write!(
                f,
                "no agent answers at {address}: {error}; was it started with --admin?"
            ),
            Self::Answer(address, why) => {
                write!(f, "{address} does not answer as an agent would: {why}")
            }
            Self::Refused { status, why } => write!(f, "the agent answers {status}: {why}"),
        }
    }
}

impl core::error::Error for AdminError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Bind(_, error) | Self::TokenFile(_, error) | Self::Connect(_, error) => {
                Some(error)
            }
            Self::Address(_, error) => Some(error),
            Self::Start(error) => error.source(),
            _ => None,
        }
    }
}
