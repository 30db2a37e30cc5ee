//! Why the files of a bind with TLS cannot be used, and what to do about it.

use core::fmt;
use std::io;
use std::path::PathBuf;

/// Files of a bind with TLS that cannot be used.
#[derive(Debug)]
pub enum TlsError {
    /// A file that cannot be read.
    Read(PathBuf, io::Error),
    /// A file without a certificate.
    NoCertificate(PathBuf),
    /// A file with something that cannot be used, and why not.
    Unusable(PathBuf, String),
    /// The agent's certificate has expired; days ago.
    Expired(PathBuf, u64),
    /// The agent's certificate is for later.
    NotValidYet(PathBuf),
    /// Every CA of clients in the file has expired.
    AuthoritiesExpired(PathBuf),
    /// No key in the certificate's file, nor beside it.
    NoKey {
        /// The file of the certificate.
        certificate: PathBuf,
        /// Where a key was looked for as well.
        beside: PathBuf,
    },
    /// A key that needs a passphrase.
    EncryptedKey(PathBuf),
    /// A key that cannot be used, and why not.
    Key(PathBuf, String),
    /// A key that is not the certificate's.
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// The library refuses to work.
    Library(String),
}

impl TlsError {
    /// What an operator can do.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Read(..) => "check the path, and that the agent's user may read the file",
            Self::NoCertificate(_) => "it has to be PEM, with BEGIN CERTIFICATE",
            Self::Unusable(..) => {
                "check it with openssl x509 -text (a list with openssl crl -text)"
            }
            Self::Expired(..) | Self::AuthoritiesExpired(_) => "renew it",
            Self::NotValidYet(_) => "check the clock of this machine",
            Self::NoKey { .. } => "put the key into one of them, PEM",
            Self::EncryptedKey(_) => {
                "take the passphrase off with openssl pkey -in FILE -out FILE, and guard the file"
            }
            Self::Key(..) => {
                "check it with openssl pkey -check; RSA, ECDSA (P-256, P-384) and Ed25519 \
                 can be used"
            }
            Self::Mismatch { .. } => "put the key there that the certificate was made for",
            Self::Library(_) => "report it",
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "{}: {error}", path.display()),
            Self::NoCertificate(path) => write!(f, "{}: no certificate in it", path.display()),
            Self::Unusable(path, why) | Self::Key(path, why) => {
                write!(f, "{}: {why}", path.display())
            }
            Self::Expired(path, 0) => {
                write!(f, "{}: the certificate has expired today", path.display())
            }
            Self::Expired(path, days) => write!(
                f,
                "{}: the certificate has expired {days} day{} ago",
                path.display(),
                if *days == 1 { "" } else { "s" }
            ),
            Self::NotValidYet(path) => {
                write!(f, "{}: the certificate is not valid yet", path.display())
            }
            Self::AuthoritiesExpired(path) => {
                write!(f, "{}: every CA in it has expired", path.display())
            }
            Self::NoKey {
                certificate,
                beside,
            } => write!(
                f,
                "{}: no private key in it, nor in {}",
                certificate.display(),
                beside.display()
            ),
            Self::EncryptedKey(path) => write!(f, "{}: the key is encrypted", path.display()),
            Self::Mismatch { certificate, key } => write!(
                f,
                "{}: the key is not that of the certificate in {}",
                key.display(),
                certificate.display()
            ),
            Self::Library(why) => f.write_str(why),
        }
    }
}

impl core::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Read(_, error) => Some(error),
            _ => None,
        }
    }
}
