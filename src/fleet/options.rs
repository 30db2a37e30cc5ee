//! `[fleet]` as the agent uses it.

use core::fmt;
use core::str::FromStr;
use std::path::PathBuf;

/// The port of Valkey and Redis.
const DEFAULT_PORT: u16 = 6379;
/// The port of Sentinel.
const SENTINEL_PORT: u16 = 26379;

/// The options of `[fleet]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetOptions {
    /// Where the log and the state are.
    pub url: FleetUrl,
    /// Where they are read, if that is another server.
    pub read_url: Option<FleetUrl>,
    /// The file with the password.
    pub password_file: Option<PathBuf>,
    /// The prefix of all keys.
    pub name: String,
    /// The name of this node. `None`: that of the host.
    pub node: Option<String>,
    /// The certificate authorities of the server. `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// The certificate of this node and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A host and a port.
pub type HostPort = (String, u16);

/// Where a server is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Servers {
    /// One server.
    One(HostPort),
    /// A UNIX socket.
    Unix(PathBuf),
    /// Sentinels, and the name of what they watch.
    Sentinel(Vec<HostPort>, String),
    /// Some servers of a cluster.
    Cluster(Vec<HostPort>),
}

/// The URL of a server. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct FleetUrl {
    /// Where it is found.
    pub servers: Servers,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
    /// The user of the ACL.
    pub user: Option<String>,
    /// The password, if the URL has one.
    pub password: Option<String>,
    /// The number of the database.
    pub database: u16,
}

/// A text that is no [`FleetUrl`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseFleetUrlError(String);

impl fmt::Display for ParseFleetUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for ParseFleetUrlError {}

impl fmt::Debug for FleetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for FleetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref();
        let user = user.map_or_else(String::new, |user| format!("{user}@"));
        let hosts = |hosts: &[HostPort]| {
            let shown = hosts.iter().map(|(host, port)| {
                if host.contains(':') {
                    format!("[{host}]:{port}")
                } else {
                    format!("{host}:{port}")
                }
            });
            shown.collect::<Vec<_>>().join(",")
        };
        let s = if self.is_tls { "s" } else { "" };
        let database = self.database;
        match &self.servers {
            Servers::One(host) => {
                write!(
                    f,
                    "redis{s}://{user}{}/{database}",
                    hosts(core::slice::from_ref(host))
                )
            }
            Servers::Unix(path) => write!(f, "redis+unix://{user}{}?db={database}", path.display()),
            Servers::Sentinel(at, master) => {
                write!(f, "sentinel{s}://{user}{}/{master}/{database}", hosts(at))
            }
            Servers::Cluster(at) => write!(f, "cluster{s}://{user}{}", hosts(at)),
        }
    }
}

impl FromStr for FleetUrl {
    type Err = ParseFleetUrlError;

    fn from_str(text: &str) -> Result<Self, ParseFleetUrlError> {
        let wrong = |why: &str| ParseFleetUrlError(why.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            wrong("expected a URL such as rediss://user@valkey.example.net:6379/0")
        })?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match scheme {
            // The path of a socket may have an @.
            "redis+unix" | "unix" => match rest.split_once('/') {
                Some((authority, path)) => (authority, format!("/{path}")),
                None => return Err(wrong("expected the path of a socket: redis+unix:///run/…")),
            },
            _ => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                (authority, path.to_owned())
            }
        };
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (user, password) = (decoded(user), decoded(password));
        let path_parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (servers, database) = match scheme {
            "redis" | "rediss" => {
                let mut hosts = self::hosts(hosts, DEFAULT_PORT)?;
                let one = hosts.pop().filter(|_| hosts.is_empty());
                let one = one.ok_or_else(|| {
                    wrong("expected one host; several are for sentinel:// and cluster://")
                })?;
                (Servers::One(one), path_parts.first().copied())
            }
            "redis+unix" | "unix" => {
                let database = query.split('&').find_map(|it| it.strip_prefix("db="));
                (Servers::Unix(path.into()), database)
            }
            "sentinel" | "sentinels" => {
                let master = path_parts.first();
                let master = master.ok_or_else(|| {
                    wrong("expected the name of the primary: sentinel://HOST:26379,HOST:26379/NAME")
                })?;
                let hosts = self::hosts(hosts, SENTINEL_PORT)?;
                let servers = Servers::Sentinel(hosts, decoded(master).unwrap_or_default());
                (servers, path_parts.get(1).copied())
            }
            "cluster" | "clusters" => (Servers::Cluster(self::hosts(hosts, DEFAULT_PORT)?), None),
            _ => {
                return Err(wrong(
                    "expected redis://, rediss://, redis+unix://, sentinel://, sentinels://, cluster:// or clusters://",
                ));
            }
        };
        let database = database.unwrap_or("0");
        let database = database.parse().map_err(|_| {
            ParseFleetUrlError(format!(
                "database \"{database}\": expected a number such as 0"
            ))
        })?;
        Ok(Self {
            servers,
            is_tls: matches!(scheme, "rediss" | "sentinels" | "clusters"),
            user,
            password,
            database,
        })
    }
}

fn hosts(text: &str, default_port: u16) -> Result<Vec<HostPort>, ParseFleetUrlError> {
    text.split(',')
        .map(|host| host_port(host, default_port))
        .collect()
}

fn host_port(text: &str, default_port: u16) -> Result<HostPort, ParseFleetUrlError> {
    let wrong = || ParseFleetUrlError(format!("\"{text}\": expected a host, or HOST:PORT"));
    let (host, port) = match text.strip_prefix('[') {
        Some(v6) => {
            let (host, rest) = v6.split_once(']').ok_or_else(wrong)?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = port.map_or(Ok(default_port), |port| port.parse().map_err(|_| wrong()))?;
    if host.is_empty() || port == 0 || host.contains(char::is_whitespace) {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

/// A part of a URL without its escapes; none if it is empty.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.split_at_checked(2).filter(|_| *first == b'%');
        let code = code.and_then(|(code, tail)| {
            let code = u8::from_str_radix(str::from_utf8(code).ok()?, 16).ok()?;
            Some((code, tail))
        });
        let (byte, tail) = code.unwrap_or((*first, tail));
        bytes.push(byte);
        rest = tail;
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_as_they_are_read_without_their_passwords() {
        for (text, shown) in [
            ("redis://valkey", "redis://valkey:6379/0"),
            (
                "rediss://edge@valkey.example.net:7000/2",
                "rediss://edge@valkey.example.net:7000/2",
            ),
            (
                "redis://edge:s%40cret@[2001:db8::1]:7000",
                "redis://edge@[2001:db8::1]:7000/0",
            ),
            (
                "redis+unix:///run/valkey.sock?db=1",
                "redis+unix:///run/valkey.sock?db=1",
            ),
            ("sentinel://a,b:7/main", "sentinel://a:26379,b:7/main/0"),
            ("sentinels://u@a/main/3", "sentinels://u@a:26379/main/3"),
            ("cluster://a:1,b:2", "cluster://a:1,b:2"),
        ] {
            assert_eq!(text.parse::<FleetUrl>().unwrap().to_string(), shown);
        }
        let url: FleetUrl = "redis://edge:s%40cret@a".parse().unwrap();
        assert_eq!(url.password.as_deref(), Some("s@cret"));
        assert!(!format!("{url:?}").contains("cret"));
    }

    #[test]
    fn a_wrong_url_is_refused() {
        for text in [
            "",
            "valkey:6379",
            "http://valkey",
            "redis://",
            "redis://a,b",
            "redis://a:x",
            "redis://a:0",
            "redis://a/x",
            "redis+unix://x",
            "sentinel://a",
            "redis://a b",
        ] {
            let error = text.parse::<FleetUrl>().unwrap_err();
            assert!(error.to_string().contains("expected"), "{text}: {error}");
        }
    }
}
