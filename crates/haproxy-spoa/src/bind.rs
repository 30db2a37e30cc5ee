//! A `bind` line: an address, and who may come in by it. The words are those of HAProxy's `bind`.
//!
//! ```text
//!  192.0.2.1:12345 ssl crt agent.pem ca-file haproxy-ca.pem verify required
//!  192.0.2.1:12345 allow-from 198.51.100.0/24,2001:db8::/32
//! ```

use core::fmt;
use core::net::IpAddr;
use core::str::{FromStr, SplitAsciiWhitespace};
#[cfg(feature = "tls")]
use std::path::PathBuf;

use super::network::{BadNetwork, Network};
use super::{BadAddress, BindAddress, DEFAULT_PORT};

/// The words that can follow an address.
const KEYWORDS: &str = "ssl, crt, ca-file, crl-file, verify, allow-from";

/// Where to listen, and who may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// The address.
    pub address: BindAddress,
    /// Only from these networks; from everywhere if there is none. A UNIX socket has its mode instead.
    pub allow_from: Vec<Network>,
    /// Only over TLS, with these files.
    #[cfg(feature = "tls")]
    pub tls: Option<TlsFiles>,
}

/// The files of a bind with TLS.
#[cfg(feature = "tls")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The agent's certificate, those that lead to its CA, and its key: PEM. Without a key in it the
    /// key is in the file of the same name with `.key` behind it.
    pub certificate: PathBuf,
    /// The CAs of clients, PEM. A client without a certificate of one of them is refused. `None`:
    /// every client is let in.
    pub client_ca: Option<PathBuf>,
    /// Lists of the client certificates that are revoked, PEM. They have to be there for each CA on the
    /// way from the client's certificate to `client_ca`.
    pub revoked: Option<PathBuf>,
}

#[cfg(feature = "tls")]
impl TlsFiles {
    /// The file beside the certificate, for the key that is not in it.
    pub(super) fn beside(&self) -> PathBuf {
        let mut beside = self.certificate.clone().into_os_string();
        beside.push(".key");
        beside.into()
    }

    /// Every file that may be read.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        let own = [self.certificate.clone(), self.beside()];
        let others = self.client_ca.iter().chain(&self.revoked).cloned();
        own.into_iter().chain(others)
    }
}

impl From<BindAddress> for Bind {
    fn from(address: BindAddress) -> Self {
        Self {
            address,
            allow_from: Vec::new(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl FromStr for Bind {
    type Err = BadBind;

    fn from_str(text: &str) -> Result<Self, BadBind> {
        Self::parse(text, DEFAULT_PORT)
    }
}

impl Bind {
    /// Reads a line; an address without a port gets `port`. The files are read when the agent starts.
    ///
    /// # Errors
    /// What is wrong, and what can be written instead.
    pub fn parse(text: &str, port: u16) -> Result<Self, BadBind> {
        let mut words = text.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        if first.starts_with("unix") {
            return match words.find(|word| ["ssl", "allow-from"].contains(word)) {
                Some(word) => Err(BadBind::OverUnix(word.to_owned())),
                None => Ok(BindAddress::parse(text, port)?.into()),
            };
        }
        let mut bind = Self::from(BindAddress::parse(first, port)?);
        let mut ssl = Ssl::default();
        while let Some(word) = words.next() {
            match word {
                "allow-from" => bind.allow(value(word, &mut words)?)?,
                "ssl" => ssl.asked = true,
                _ => ssl.keyword(word, &mut words)?,
            }
        }
        #[cfg(feature = "tls")]
        {
            bind.tls = ssl.files()?;
        }
        #[cfg(not(feature = "tls"))]
        ssl.refuse()?;
        Ok(bind)
    }

    fn allow(&mut self, list: &str) -> Result<(), BadBind> {
        for text in list.split(',') {
            let network = text
                .parse()
                .map_err(|why| BadBind::Network(text.into(), why))?;
            self.allow_from.push(network);
        }
        Ok(())
    }

    /// Whether an address may connect.
    #[must_use]
    pub fn allows(&self, peer: IpAddr) -> bool {
        allows(&self.allow_from, peer)
    }

    /// Whether every machine that reaches the address may ask: no certificate is asked for, and no
    /// network named.
    #[must_use]
    pub fn is_open(&self) -> bool {
        #[cfg(feature = "tls")]
        if self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()) {
            return false;
        }
        !self.address.is_local() && self.allow_from.is_empty()
    }
}

/// Whether an address may connect, given the networks that may.
pub(super) fn allows(networks: &[Network], peer: IpAddr) -> bool {
    networks.is_empty() || networks.iter().any(|network| network.contains(peer))
}

fn value<'a>(keyword: &str, words: &mut SplitAsciiWhitespace<'a>) -> Result<&'a str, BadBind> {
    let next = words.next();
    next.ok_or_else(|| BadBind::NoValue(keyword.to_owned()))
}

/// What a line says about TLS.
#[derive(Debug, Default)]
struct Ssl<'a> {
    asked: bool,
    crt: Option<&'a str>,
    ca_file: Option<&'a str>,
    crl_file: Option<&'a str>,
    verify: Option<&'a str>,
}

impl<'a> Ssl<'a> {
    fn keyword(&mut self, word: &str, words: &mut SplitAsciiWhitespace<'a>) -> Result<(), BadBind> {
        let place = match word {
            "crt" => &mut self.crt,
            "ca-file" => &mut self.ca_file,
            "crl-file" => &mut self.crl_file,
            "verify" => &mut self.verify,
            _ => return Err(BadBind::Keyword(word.to_owned())),
        };
        *place = Some(value(word, words)?);
        Ok(())
    }

    /// A keyword of TLS on a line that does not ask for TLS.
    fn stray(&self) -> Option<&'static str> {
        let given = [
            ("crt", self.crt),
            ("ca-file", self.ca_file),
            ("crl-file", self.crl_file),
            ("verify", self.verify),
        ];
        let stray = given.iter().find(|(_, value)| value.is_some());
        stray.map(|(keyword, _)| *keyword)
    }

    #[cfg(feature = "tls")]
    fn files(&self) -> Result<Option<TlsFiles>, BadBind> {
        if !self.asked {
            return self
                .stray()
                .map_or(Ok(None), |word| Err(BadBind::WithoutSsl(word)));
        }
        let certificate = self.crt.ok_or(BadBind::NoCertificate)?.into();
        let (client_ca, revoked) = match (self.verify, self.ca_file) {
            (None | Some("required"), Some(ca)) => (Some(ca.into()), self.crl_file.map(Into::into)),
            (None | Some("required"), None) => return Err(BadBind::NoClientCa),
            (Some("none"), None) if self.crl_file.is_none() => (None, None),
            (Some("none"), _) => return Err(BadBind::UselessCa),
            (Some(other), _) => return Err(BadBind::Verify(other.to_owned())),
        };
        Ok(Some(TlsFiles {
            certificate,
            client_ca,
            revoked,
        }))
    }

    #[cfg(not(feature = "tls"))]
    fn refuse(&self) -> Result<(), BadBind> {
        match self.stray() {
            _ if self.asked => Err(BadBind::NoTls),
            Some(word) => Err(BadBind::WithoutSsl(word)),
            None => Ok(()),
        }
    }
}

/// A text that is no [`Bind`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadBind {
    /// The address.
    Address(BadAddress),
    /// A network of `allow-from`.
    Network(String, BadNetwork),
    /// A word that means nothing here.
    Keyword(String),
    /// A keyword without what has to follow it.
    NoValue(String),
    /// A keyword that a UNIX socket does not have.
    OverUnix(String),
    /// A keyword of TLS without `ssl`.
    WithoutSsl(&'static str),
    /// `ssl`, in a program that was built without it.
    NoTls,
    /// `ssl` without `crt`.
    NoCertificate,
    /// `ssl` without a CA of clients.
    NoClientCa,
    /// Files about client certificates, which are not asked for.
    UselessCa,
    /// `verify` with another word than those that there are.
    Verify(String),
}

impl From<BadAddress> for BadBind {
    fn from(why: BadAddress) -> Self {
        Self::Address(why)
    }
}

impl fmt::Display for BadBind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(why) => why.fmt(f),
            Self::Network(text, why) => write!(f, "allow-from {text}: {why}"),
            Self::Keyword(word) => write!(f, "no keyword {word}; there are {KEYWORDS}"),
            Self::NoValue(word) => write!(f, "{word} has to be followed by its value"),
            Self::OverUnix(word) => write!(
                f,
                "a UNIX socket takes no {word}; its permission bits (--unix-mode) say who may connect"
            ),
            Self::WithoutSsl(word) => write!(f, "{word} means nothing without ssl in front of it"),
            Self::NoTls => {
                f.write_str("ssl: this binary was built without the feature tls")
            }
            Self::NoCertificate => f.write_str(
                "ssl has to be followed by crt FILE: the agent's certificate and its key, PEM",
            ),
            Self::NoClientCa => f.write_str(
                "ssl has to be followed by ca-file FILE, the CA of the certificates that let HAProxy in; \
                 or by verify none, which lets everybody in",
            ),
            Self::UselessCa => f.write_str(
                "ca-file and crl-file mean nothing after verify none; leave that out to ask for certificates",
            ),
            Self::Verify(word) => {
                write!(f, "verify {word}: expected required (the default) or none")
            }
        }
    }
}

impl core::error::Error for BadBind {}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        Bind::parse(text, 9).unwrap_err().to_string()
    }

    #[test]
    fn an_address_alone_lets_everybody_in() {
        let bind = Bind::parse("192.0.2.1", 9).unwrap();
        assert_eq!(bind, BindAddress::parse("192.0.2.1", 9).unwrap().into());
        assert!(bind.is_open() && bind.allows([198, 51, 100, 1].into()));
        assert!(!Bind::parse("127.0.0.1", 9).unwrap().is_open());
        let spaced = Bind::parse("unix:/run/a b", 9).unwrap();
        assert_eq!(spaced.address, BindAddress::Unix("/run/a b".into()));
    }

    #[test]
    fn networks_add_up() {
        let line = "192.0.2.1:7 allow-from 198.51.100.0/24,2001:db8::/32 allow-from 203.0.113.7";
        let bind = Bind::parse(line, 9).unwrap();
        assert!(!bind.is_open());
        for (peer, allowed) in [
            ("198.51.100.9", true),
            ("::ffff:198.51.100.9", true),
            ("2001:db8::1", true),
            ("203.0.113.7", true),
            ("203.0.113.8", false),
            ("2001:db9::1", false),
        ] {
            assert_eq!(bind.allows(peer.parse().unwrap()), allowed, "{peer}");
        }
    }

    #[test]
    fn what_is_wrong_names_the_word() {
        for (text, words) in [
            ("192.0.2.1 nossl", "no keyword nossl"),
            ("192.0.2.1 allow-from", "allow-from has to be followed"),
            (
                "192.0.2.1 allow-from 192.0.2.1/24",
                "192.0.2.0/24 is meant?",
            ),
            ("192.0.2.1 crt a.pem", "crt means nothing without ssl"),
            ("unix:/run/a ssl crt b", "a UNIX socket takes no ssl"),
            ("x allow-from 192.0.2.1", "expected ADDRESS"),
        ] {
            assert!(why(text).contains(words), "{text}: {}", why(text));
        }
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn a_program_without_tls_says_so() {
        assert!(why("192.0.2.1 ssl crt a.pem ca-file b.pem").contains("feature tls"));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn tls_asks_for_certificates_unless_told_not_to() {
        let files = |line: &str| {
            let bind = Bind::parse(&format!("192.0.2.1 ssl {line}"), 9).unwrap();
            (bind.is_open(), bind.tls.unwrap())
        };
        let (open, strict) = files("crt a.pem ca-file b.pem crl-file c.pem verify required");
        assert_eq!((open, strict.revoked), (false, Some("c.pem".into())));
        assert_eq!(strict.client_ca, Some("b.pem".into()));
        assert_eq!(files("crt a.pem ca-file b.pem").1.revoked, None);
        assert_eq!(files("crt a.pem verify none").1.client_ca, None);
        assert!(files("crt a.pem verify none").0);
        assert!(!files("crt a.pem verify none allow-from 192.0.2.0/24").0);
        for (line, words) in [
            ("", "followed by crt"),
            ("crt a.pem", "followed by ca-file"),
            (
                "crt a.pem ca-file b.pem verify none",
                "mean nothing after verify none",
            ),
            ("crt a.pem ca-file b.pem verify optional", "verify optional"),
        ] {
            let why = why(&format!("192.0.2.1 ssl {line}"));
            assert!(why.contains(words), "{line}: {why}");
        }
    }
}
