//! Why a feed's bytes cannot be had.

use core::fmt;
use core::time::Duration;
use std::io;
use std::path::PathBuf;

/// Why a feed's bytes cannot be had. None of these says anything that is secret.
#[derive(Debug)]
pub enum SourceError {
    /// The file cannot be opened or read.
    Io {
        /// What was to be read.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The file system takes too long to open the file.
    Hung {
        /// The path.
        path: PathBuf,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// What was fetched cannot be unpacked.
    Bytes(io::Error),
    /// What stands at the path is no regular file.
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// More bytes than `max-size`.
    TooBig {
        /// The limit.
        max: u64,
    },
    /// The file was written to while it was read, again and again.
    Changing {
        /// The path.
        path: PathBuf,
    },
    /// The value of a header cannot be had.
    Header {
        /// The header.
        name: String,
        /// Why not.
        why: String,
    },
    /// The CAs that the server's certificate is to be of cannot be had.
    Authorities(String),
    /// The server did not answer as HTTP asks for, or not in time.
    Http(String),
    /// The server answered with this status.
    Status {
        /// The status.
        status: u16,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// This binary cannot fetch.
    WithoutHttp,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Hung { path, timeout } => write!(
                f,
                "{}: its file system has not opened it within {timeout:?}; it is tried again",
                path.display()
            ),
            Self::Bytes(error) => error.fmt(f),
            Self::NotAFile { path, what } => {
                write!(f, "{} is {what}; expected a regular file", path.display())
            }
            Self::TooBig { max } => write!(f, "more than {max} bytes; raise max-size if it is so"),
            Self::Changing { path } => write!(
                f,
                "{} was written to while it was read; write a new file and rename it into place",
                path.display()
            ),
            Self::Header { name, why } => write!(f, "header {name}: {why}"),
            Self::Authorities(why) => write!(f, "ca-file: {why}"),
            Self::Http(why) => f.write_str(why),
            Self::Status { status, .. } => write!(f, "the server answers with status {status}"),
            Self::WithoutHttp => f.write_str("this binary was built without the feature http"),
        }
    }
}

impl core::error::Error for SourceError {}

impl SourceError {
    /// Whether the same file may be readable a moment later, though nobody touches it: descriptors and
    /// memory come back, and what cannot be reached is reached again.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        use io::ErrorKind::{
            InvalidFilename, IsADirectory, NotADirectory, NotFound, PermissionDenied,
        };
        match self {
            // Who mends these touches the path, and that is seen. What is no error of the system is one
            // of the bytes.
            Self::Io { error, .. } => {
                let is_paths = matches!(
                    error.kind(),
                    NotFound | PermissionDenied | NotADirectory | IsADirectory | InvalidFilename
                );
                error.raw_os_error().is_some() && !is_paths
            }
            Self::Hung { .. } => true,
            _ => false,
        }
    }

    /// When the server wants to be asked again, if it said so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
