//! Where an agent listens, as a user writes it.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::str::FromStr;
use std::path::PathBuf;

/// The port of the C example agent.
pub const DEFAULT_PORT: u16 = 12345;

/// The longest path that a UNIX socket address holds, in bytes.
const UNIX_PATH_MAX: usize = 107;

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BindAddress {
    /// A TCP address. Port 0 asks the kernel for a free one.
    Tcp(SocketAddr),
    /// The path of a UNIX socket.
    Unix(PathBuf),
}

impl BindAddress {
    /// Reads an address; one without a port gets `port`.
    ///
    /// `127.0.0.1`, `127.0.0.1:12345`, `::1`, `[::1]`, `[::1]:12345`, `*`, `*:12345`,
    /// `unix:PATH` or `unix@PATH`.
    ///
    /// # Errors
    /// What is wrong, and which forms are taken.
    pub fn parse(text: &str, port: u16) -> Result<Self, BadAddress> {
        if let Some(path) = text
            .strip_prefix("unix:")
            .or_else(|| text.strip_prefix("unix@"))
        {
            return Self::unix(path);
        }
        let text = text.trim();
        let bracketed = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        if let Ok(address) = bracketed.unwrap_or(text).parse::<IpAddr>() {
            let as_written = bracketed.is_none() || address.is_ipv6();
            return if as_written {
                Ok(Self::tcp(SocketAddr::new(address, port)))
            } else {
                Err(BadAddress::Form)
            };
        }
        if let Some(rest) = text.strip_prefix('*') {
            let port = match rest.strip_prefix(':') {
                Some(port) => port.parse().map_err(|_| BadAddress::Port)?,
                None if rest.is_empty() => port,
                None => return Err(BadAddress::Form),
            };
            return Ok(Self::Tcp(SocketAddr::new(
                Ipv4Addr::UNSPECIFIED.into(),
                port,
            )));
        }
        text.parse().map(Self::tcp).map_err(|_| Self::why(text))
    }

    /// `::ffff:a.b.c.d` is the IPv4 address.
    fn tcp(address: SocketAddr) -> Self {
        Self::Tcp(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    fn unix(path: &str) -> Result<Self, BadAddress> {
        match path.len() {
            0 => Err(BadAddress::EmptyPath),
            len if len > UNIX_PATH_MAX => Err(BadAddress::LongPath(len)),
            _ if path.contains('\0') => Err(BadAddress::Form),
            _ => Ok(Self::Unix(path.into())),
        }
    }

    /// A host that is an address followed by something that is no port, or no address at all.
    fn why(text: &str) -> BadAddress {
        let host = text
            .rsplit_once(':')
            .map(|(host, _)| host.trim_matches(['[', ']']));
        match host.map(str::parse::<IpAddr>) {
            Some(Ok(_)) => BadAddress::Port,
            _ => BadAddress::Form,
        }
    }

    /// Whether only processes of this machine can reach the address.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl FromStr for BindAddress {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        Self::parse(text, DEFAULT_PORT)
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A text that is no [`BindAddress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadAddress {
    /// No address that we know.
    Form,
    /// An address with a wrong port.
    Port,
    /// A UNIX socket without a path.
    EmptyPath,
    /// A UNIX socket's path of this many bytes.
    LongPath(usize),
}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str(
                "expected ADDRESS, ADDRESS:PORT, [V6]:PORT or unix:PATH, \
                 with a numeric address such as 127.0.0.1 or ::1",
            ),
            Self::Port => f.write_str("the port has to be a number from 0 to 65535"),
            Self::EmptyPath => f.write_str("unix: has to be followed by the path of the socket"),
            Self::LongPath(len) => {
                write!(
                    f,
                    "the path has {len} bytes; a UNIX socket takes {UNIX_PATH_MAX}"
                )
            }
        }
    }
}

impl core::error::Error for BadAddress {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_form_is_understood() {
        for (text, shown) in [
            ("127.0.0.1", "127.0.0.1:9"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("::1", "[::1]:9"),
            ("[::1]", "[::1]:9"),
            ("[::1]:80", "[::1]:80"),
            ("*", "0.0.0.0:9"),
            ("*:80", "0.0.0.0:80"),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80"),
            ("unix:/run/spoa.sock", "unix:/run/spoa.sock"),
            ("unix@/run/spoa.sock", "unix:/run/spoa.sock"),
        ] {
            assert_eq!(BindAddress::parse(text, 9).unwrap().to_string(), shown);
        }
        assert_eq!(
            "127.0.0.1".parse(),
            Ok(BindAddress::Tcp(([127, 0, 0, 1], 12345).into()))
        );
    }

    #[test]
    fn anything_else_says_what_is_wrong() {
        for (text, fault) in [
            ("", BadAddress::Form),
            ("localhost", BadAddress::Form),
            ("localhost:80", BadAddress::Form),
            ("[127.0.0.1]", BadAddress::Form),
            ("127.0.0", BadAddress::Form),
            ("*x", BadAddress::Form),
            ("127.0.0.1:", BadAddress::Port),
            ("127.0.0.1:65536", BadAddress::Port),
            ("127.0.0.1:http", BadAddress::Port),
            ("[::1]:x", BadAddress::Port),
            ("*:x", BadAddress::Port),
            ("unix:", BadAddress::EmptyPath),
        ] {
            assert_eq!(BindAddress::parse(text, 9), Err(fault), "{text:?}");
        }
        let long = format!("unix:/{}", "x".repeat(107));
        assert_eq!(BindAddress::parse(&long, 9), Err(BadAddress::LongPath(108)));
    }

    #[test]
    fn loopback_and_unix_are_local() {
        for (text, local) in [
            ("127.9.9.9", true),
            ("::1", true),
            ("unix:x", true),
            ("*", false),
            ("::", false),
        ] {
            assert_eq!(
                BindAddress::parse(text, 9).unwrap().is_local(),
                local,
                "{text}"
            );
        }
    }
}
