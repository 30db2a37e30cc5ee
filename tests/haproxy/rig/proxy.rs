//! A running HAProxy.

use core::net::IpAddr;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::client::is_refusal;
use super::log::{Traffic, spoe_status};
use super::{Connection, Folder, Lines, PATIENCE, Process, Response, Signal, Version};
use super::{origin, repository, within};

/// Ports that the kernel gives to nobody by itself.
const PORTS: core::ops::Range<u16> = 10_000..32_000;
/// How often another port is tried when one is taken between its choice and its use.
const ATTEMPTS: usize = 10;

/// Ports are kept apart when it starts, and not shared with another test's HAProxy by accident.
const SINGLE: &str = "global\n    noreuseport\n    stats socket \"${TEST_FOLDER}/stats\"\n";
/// Beside its successor after a reload it shares them.
const MASTER: &str = "global\n    stats socket \"${TEST_FOLDER}/stats\" expose-fd listeners\n";

/// How a HAProxy is to be started.
#[derive(Debug)]
pub(crate) struct Setup {
    version: Version,
    folder: Folder,
    files: Vec<PathBuf>,
    environment: Vec<(String, String)>,
    master: bool,
}

impl Setup {
    /// With a configuration of the test's own.
    pub(crate) fn own(version: Version, config: &str) -> Self {
        let folder = Folder::new();
        let files = vec![folder.write("haproxy.cfg", config)];
        Self {
            version,
            folder,
            files,
            environment: Vec::new(),
            master: false,
        }
    }

    /// With a file of haproxy-conf. Only the time for an answer differs: on a loaded machine no
    /// agent can be relied on to answer within 10 ms.
    pub(crate) fn sample(version: Version, name: &str) -> Self {
        let folder = Folder::new();
        let samples = repository().join("haproxy-conf");
        let spoe = std::fs::read_to_string(samples.join(format!("{name}.spoe"))).unwrap();
        let (before, after) = spoe.split_once("timeout processing 1").unwrap();
        let (time, after) = after.split_once("ms\n").unwrap();
        assert!(
            ["0", "5"].contains(&time),
            "the samples' time is 10 or 15 ms: 1{time}"
        );
        folder.write(
            &format!("{name}.spoe"),
            &format!("{before}timeout processing 5s\n{after}"),
        );
        let files = vec![samples.join(format!("{name}.cfg"))];
        let setup = Self {
            version,
            folder,
            files,
            environment: Vec::new(),
            master: false,
        };
        let conf = setup.folder.path().display().to_string();
        setup.set("SPOA_CONF", &conf)
    }

    /// A variable of HAProxy's environment.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// A file with this text in the folder of the test, `${TEST_FOLDER}`.
    pub(crate) fn with(self, name: &str, text: &str) -> Self {
        self.folder.write(name, text);
        self
    }

    /// A variable that names a file with this text.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.folder.write(name, text).display().to_string();
        self.set(name, &path)
    }

    /// Where the agent is, as a configuration names it.
    pub(crate) fn agent(self, address: &str) -> Self {
        self.set("SPOA_AGENT", address)
    }

    /// As a master with workers, which can be reloaded.
    pub(crate) fn master(mut self) -> Self {
        self.master = true;
        self
    }

    /// Starts it and waits until it takes connections.
    pub(crate) fn start(self) -> Proxy {
        let log = Lines::syslog();
        origin::start(&self.folder.join("origin"));
        let common = if self.master { MASTER } else { SINGLE };
        let common = self.folder.write("common.cfg", common);
        for _ in 0..ATTEMPTS {
            let port = free_port();
            let mut process = self.spawn(&common, port, log.1);
            let socket = self.folder.join("stats");
            let started = within(PATIENCE, || match process.ended() {
                Some(_) => Some(false),
                None => UnixStream::connect(&socket).ok().map(|_| true),
            });
            if started == Some(true) {
                return Proxy {
                    process,
                    folder: self.folder,
                    log: log.0,
                    port,
                };
            }
            let said = process.said.all().join("\n");
            assert!(
                said.contains("cannot bind"),
                "HAProxy {} does not start:\n{said}",
                self.version
            );
        }
        panic!("no free port in {ATTEMPTS} attempts");
    }

    fn spawn(&self, common: &Path, port: u16, log_port: u16) -> Process {
        let mut command = Command::new(self.version.program());
        command.arg("-dW").current_dir(repository());
        for file in self.files.iter().map(PathBuf::as_path).chain([common]) {
            command.arg("-f").arg(file);
        }
        command
            .env("TEST_FOLDER", self.folder.path())
            .env("SPOA_FRONTEND", format!("127.0.0.1:{port},[::1]:{port}"))
            .env(
                "SPOA_ORIGIN",
                format!("unix@{}", self.folder.join("origin").display()),
            )
            .env("SPOA_LOG", format!("127.0.0.1:{log_port}"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        if self.master {
            Process::spawn_master(command.arg("-W"))
        } else {
            Process::spawn(command.arg("-db"))
        }
    }
}

/// A port that is free on both loopback addresses.
pub(crate) fn free_port() -> u16 {
    let random = RandomState::new().build_hasher().finish();
    let span = u64::from(PORTS.end - PORTS.start);
    let first = u16::try_from(random % span).unwrap();
    let mut ports = (first..PORTS.end - PORTS.start).chain(0..first);
    let free = |port: &u16| {
        TcpListener::bind(("127.0.0.1", *port)).is_ok() && TcpListener::bind(("::1", *port)).is_ok()
    };
    ports
        .find_map(|offset| Some(PORTS.start + offset).filter(free))
        .expect("a free port")
}

/// A running HAProxy. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Proxy {
    process: Process,
    pub(crate) folder: Folder,
    /// What it logs.
    pub(crate) log: Lines,
    pub(crate) port: u16,
}

/// A client's request and what became of it.
#[derive(Debug)]
pub(crate) struct Visit {
    /// `None` if the connection was closed without an answer.
    pub(crate) response: Option<Response>,
    /// What HAProxy logged about it.
    pub(crate) log: Traffic,
}

impl Proxy {
    pub(crate) fn connect(&self, source: IpAddr) -> Connection {
        Connection::open(source, self.port).unwrap()
    }

    /// One request on a connection of its own, from this address.
    pub(crate) fn visit(&self, source: IpAddr) -> Visit {
        let mut connection = self.connect(source);
        let response = match connection.ask("connection: close\r\n", b"") {
            Ok(response) => Some(response),
            Err(error) => {
                assert!(is_refusal(&error), "a client of {source}: {error}");
                None
            }
        };
        let name = connection.name.clone();
        // In mode tcp HAProxy logs when both sides have closed.
        drop(connection);
        Visit {
            response,
            log: self.logged(&name),
        }
    }

    /// Waits for the line about a client.
    pub(crate) fn logged(&self, client: &str) -> Traffic {
        self.log
            .find(&format!("a log line about {client}"), 0, |line| {
                Traffic::read(line).filter(|line| line.client == client)
            })
    }

    /// Waits until so many events and groups are logged; none so far was without an answer.
    pub(crate) fn assert_all_answered(&self, at_least: usize) {
        let what = format!("{at_least} events answered");
        let mut answered = 0;
        self.log.find(&what, 0, |line| {
            let status = spoe_status(line)?;
            assert_eq!(status, 0, "{line}");
            answered += 1;
            (answered == at_least).then_some(())
        });
    }

    /// A column of `show stat` for a server.
    pub(crate) fn stat(&self, backend: &str, server: &str, column: &str) -> io::Result<String> {
        let mut socket = UnixStream::connect(self.folder.join("stats"))?;
        socket.write_all(b"show stat\n")?;
        let mut table = String::new();
        socket.read_to_string(&mut table)?;
        let mut rows = table.lines().map(|row| row.split(',').collect::<Vec<_>>());
        let names = rows.next().ok_or(io::ErrorKind::UnexpectedEof)?;
        let column = names
            .iter()
            .position(|name| name.trim_start_matches("# ") == column);
        let row = rows.find(|row| row.starts_with(&[backend, server]));
        let value = row.zip(column).and_then(|(row, at)| row.get(at).copied());
        Ok(value.ok_or(io::ErrorKind::NotFound)?.to_owned())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }
}
