//! A running HAProxy, seen by its clients and through its log.

use core::net::IpAddr;
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Instant;

use super::client::is_refusal;
use super::log::{Traffic, spoe_status};
use super::{Connection, Lines, Response};
use crate::support::{PATIENCE, Program, Scratch, Signal, until};

/// A running HAProxy. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(super) process: Program,
    /// It has workers, which it ends when it is asked to end.
    pub(super) master: bool,
    pub(super) folder: Scratch,
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

impl Visit {
    /// Whether the origin answered.
    pub(crate) fn is_served(&self) -> bool {
        self.response
            .as_ref()
            .is_some_and(|response| response.status == 200)
    }
}

impl Proxy {
    /// A client on its UNIX socket.
    pub(crate) fn connect_unix(&self) -> Connection {
        Connection::open_unix(&self.folder.path("front")).unwrap()
    }

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
        let mut socket = UnixStream::connect(self.folder.path("stats"))?;
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

    /// Reloads the configuration: a new worker instead of the old one. Its first answers may come
    /// before this returns.
    pub(crate) fn reload(&self) {
        assert!(self.master, "only a master reloads");
        // A master that is not done with the last time may lose the signal, or die of it: seen on a
        // loaded machine.
        until("the master has loaded", || self.loaded() > 0);
        let loaded = self.loaded();
        self.process.signal(Signal::SIGUSR2);
        until("the master has loaded again", || self.loaded() > loaded);
    }

    /// How often a master has said that it is done.
    fn loaded(&self) -> usize {
        let lines = self.process.lines();
        let done = lines
            .iter()
            .filter(|line| line.ends_with("Loading success."));
        done.count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if self.master && !self.process.has_ended() {
            self.process.signal(Signal::SIGTERM);
            // One that does not end is killed; its workers see that it is gone.
            let until = Instant::now() + PATIENCE;
            while !self.process.has_ended() && Instant::now() < until {
                thread::park_timeout(Duration::from_millis(2));
            }
        }
    }
}
