//! `[crowdsec]` as the agent uses it.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::path::{Path, PathBuf};

/// The scopes that can be followed.
pub const SCOPES: [&str; 4] = ["ip", "range", "as", "country"];

/// The options of `[crowdsec]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrowdSecOptions {
    /// The LAPI.
    pub url: Url,
    /// What it is shown.
    pub credentials: Credentials,
    /// The CAs that may have signed its certificate. `None`: public ones.
    pub ca_file: Option<PathBuf>,
    /// How often it is polled.
    pub interval: Duration,
    /// Those of [`SCOPES`] that are followed.
    pub scopes: Vec<String>,
    /// CrowdSec's own origins that are followed, in lower case. Empty: all.
    pub origins: Vec<String>,
}

impl CrowdSecOptions {
    /// The files that are read again and again.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let (first, second) = match &self.credentials {
            Credentials::Key(file) => (file, None),
            Credentials::Certificate { cert, key } => (cert, Some(key)),
        };
        let all = core::iter::once(first).chain(second).chain(&self.ca_file);
        all.map(PathBuf::as_path)
    }
}

/// How a bouncer proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// `api-key-file`.
    Key(PathBuf),
    /// `cert-file` and `key-file`.
    Certificate {
        /// The certificate, and what leads to its CA.
        cert: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}

/// Where a LAPI is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Url {
    /// An http or https URL without a slash at its end.
    Http(String),
    /// The path of a UNIX socket.
    Unix(PathBuf),
}

impl Url {
    /// Whether it is https.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Http(url) if url.starts_with("https://"))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => f.write_str(url),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A text that is no [`Url`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseUrlError;

impl fmt::Display for ParseUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "invalid url: expected http://HOST:PORT, https://HOST:PORT or unix:/PATH, \
             such as http://127.0.0.1:8080",
        )
    }
}

impl core::error::Error for ParseUrlError {}

impl FromStr for Url {
    type Err = ParseUrlError;

    fn from_str(text: &str) -> Result<Self, ParseUrlError> {
        if let Some(path) = text.strip_prefix("unix:") {
            let is_path = path.starts_with('/') && path.len() > 1;
            return is_path
                .then(|| Self::Unix(path.into()))
                .ok_or(ParseUrlError);
        }
        let rest = ["http://", "https://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        let rest = rest.ok_or(ParseUrlError)?;
        let host = rest.split('/').next().unwrap_or_default();
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#@\"<>\\^`{|}".contains(&byte);
        if host.is_empty() || !rest.bytes().all(is_plain) {
            return Err(ParseUrlError);
        }
        Ok(Self::Http(text.trim_end_matches('/').to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lapi_is_a_url_or_a_socket() {
        for (text, shown) in [
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("https://lapi.example.net", "https://lapi.example.net"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("unix:/run/crowdsec.sock", "unix:/run/crowdsec.sock"),
        ] {
            assert_eq!(text.parse::<Url>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "127.0.0.1:8080",
            "http://",
            "http:///v1",
            "ftp://x",
            "unix:run",
            "unix:/",
            "http://a b",
            "http://user:pass@host",
            "http://host?x",
        ] {
            assert_eq!(text.parse::<Url>(), Err(ParseUrlError), "{text}");
        }
    }
}
