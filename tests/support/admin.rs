//! A client of the admin endpoint that is not the program's own: raw bytes over TCP or a UNIX socket,
//! and Prometheus' text format read back.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};

use haproxy_spoa::BindAddress;
use socket2::Socket;

use super::{Peer, Program, eventually};

/// An admin endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint(pub(crate) BindAddress);

/// What it answered.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Endpoint {
    /// That of a running program, as it says.
    pub(crate) fn of(agent: &Program) -> Self {
        let text = eventually("the line about the admin endpoint", || {
            let lines = agent.lines();
            let found = lines
                .iter()
                .find_map(|line| line.split_once("admin endpoint listening address="));
            found.map(|(_, address)| address.to_owned())
        });
        Self(text.parse().unwrap())
    }

    /// A connection on which nothing is said yet.
    pub(crate) fn connect(&self) -> Socket {
        let (socket, to) = Peer::socket(&self.0);
        socket.connect(&to).unwrap();
        socket
    }

    /// Sends these bytes and reads until the other side closes.
    pub(crate) fn raw(&self, bytes: &[u8]) -> io::Result<Answered> {
        let mut socket = self.connect();
        // It may have seen enough before all of it is sent.
        let _ = socket.write_all(bytes);
        let mut answer = Vec::new();
        let read = socket.read_to_end(&mut answer);
        let parsed = Answered::parse(&answer);
        parsed.ok_or_else(|| {
            read.err()
                .unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())
        })
    }

    pub(crate) fn request(&self, method: &str, path: &str, headers: &[&str]) -> Answered {
        let headers: Vec<_> = headers.iter().map(|header| [header, "\r\n"]).collect();
        let headers = headers.as_flattened().concat();
        let host = if headers.contains("Host:") {
            ""
        } else {
            "Host: localhost\r\n"
        };
        let request =
            format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n");
        self.raw(request.as_bytes()).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Answered {
        self.request("GET", path, &[])
    }

    pub(crate) fn post(&self, path: &str, headers: &[&str]) -> Answered {
        self.request("POST", path, headers)
    }

    /// The samples of `/metrics`. Whatever is wrong with the format fails here.
    pub(crate) fn metrics(&self) -> Metrics {
        let answer = self.get("/metrics");
        assert_eq!(answer.status, 200, "{answer:?}");
        Metrics::parse(&answer.body)
    }
}

impl Answered {
    fn parse(answer: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(answer);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self {
            status,
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        })
    }
}

/// Samples by name and labels as they stand there, and the help of each family.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) samples: BTreeMap<String, f64>,
    pub(crate) families: BTreeMap<String, (String, String)>,
}

impl Metrics {
    fn parse(text: &str) -> Self {
        let (mut samples, mut families) = (BTreeMap::new(), BTreeMap::new());
        let mut help = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                help = rest.split_once(' ');
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                let (of, help) = help.take().unwrap();
                assert_eq!(of, name);
                let old = families.insert(name.to_owned(), (kind.to_owned(), help.to_owned()));
                assert!(old.is_none(), "{name} twice");
            } else {
                let (key, value) = line.rsplit_once(' ').unwrap();
                let old = samples.insert(key.to_owned(), value.parse().unwrap());
                assert!(old.is_none(), "{key} twice");
            }
        }
        Self { samples, families }
    }

    /// The sum of all samples of this name whose labels have all of these in them.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let is_it = |key: &&String| {
            let own = key.split('{').next().unwrap();
            own == name && labels.iter().all(|label| key.contains(label))
        };
        self.samples
            .iter()
            .filter(|(key, _)| is_it(key))
            .map(|(_, value)| value)
            .sum()
    }

    /// The same, of what counts.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of tests are small"
    )]
    pub(crate) fn count(&self, name: &str, labels: &[&str]) -> u64 {
        self.sum(name, labels).round() as u64
    }
}
