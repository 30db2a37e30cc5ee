//! Clients that go on asking while something happens.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::{Connection, Proxy, Response};
use crate::support::PATIENCE;

/// Threads that ask.
const CLIENTS: u8 = 8;
/// What each of them waits after an answer, so that there is a core for those who are asked.
const PAUSE: Duration = Duration::from_millis(2);

/// Clients that ask, a connection for each request.
#[derive(Debug)]
pub(crate) struct Traffic {
    /// Dropped to stop them.
    stop: Vec<Sender<()>>,
    clients: Vec<JoinHandle<()>>,
    answers: Receiver<io::Result<Response>>,
    /// What has been looked at.
    seen: Vec<Response>,
}

impl Traffic {
    /// Starts asking a HAProxy with the configuration of `Open`.
    pub(crate) fn start(proxy: &Proxy) -> Self {
        let (to, answers) = mpsc::channel();
        let (mut stop, mut clients) = (Vec::new(), Vec::new());
        let port = proxy.port;
        for client in 0..CLIENTS {
            let (open, stopped) = mpsc::channel();
            let to = to.clone();
            let source = IpAddr::from([127, 0, 1, 1 + client]);
            let ask = move || {
                while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                    let answer = Connection::open(source, port)
                        .and_then(|mut connection| connection.ask("connection: close\r\n", b""));
                    // A test that has failed takes no more.
                    let _ = to.send(answer);
                }
            };
            stop.push(open);
            clients.push(thread::spawn(ask));
        }
        Self {
            stop,
            clients,
            answers,
            seen: Vec::new(),
        }
    }

    /// Waits until there are so many more answers that fulfil a condition.
    ///
    /// # Panics
    /// If there are not in time, or a client was not served.
    pub(crate) fn more(&mut self, count: usize, what: &str, holds: impl Fn(&Response) -> bool) {
        let until = Instant::now() + PATIENCE;
        // What is under way already is not what the caller waits for.
        while let Ok(answer) = self.answers.try_recv() {
            self.see(answer);
        }
        let mut found = 0;
        while found < count {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(answer) = self.answers.recv_timeout(left) else {
                panic!(
                    "not in time: {count} answers {what}; there are {found} of {:?}",
                    self.seen.last()
                );
            };
            found += usize::from(holds(self.see(answer)));
        }
    }

    fn see(&mut self, answer: io::Result<Response>) -> &Response {
        let answer = answer.expect("an answer for every client");
        assert_eq!(answer.status, 200, "{answer:?}");
        self.seen.push(answer);
        &self.seen[self.seen.len() - 1]
    }

    /// The processes that have answered, by number.
    pub(crate) fn pids(&self) -> BTreeSet<String> {
        let pids = self
            .seen
            .iter()
            .map(|answer| answer.header("x-pid").to_owned());
        pids.collect()
    }

    /// Stops asking, and returns every answer there was.
    ///
    /// # Panics
    /// If a client was not served.
    pub(crate) fn stop(mut self) -> Vec<Response> {
        self.stop.clear();
        for client in core::mem::take(&mut self.clients) {
            client.join().unwrap();
        }
        while let Ok(answer) = self.answers.try_recv() {
            self.see(answer);
        }
        self.seen
    }
}

/// How many were answered without a score; and a line for whoever reads the output of the test.
pub(crate) fn unscored(what: &str, answers: &[Response]) -> usize {
    let mut errors = BTreeMap::<_, usize>::new();
    for answer in answers
        .iter()
        .filter(|answer| answer.number("x-score").is_none())
    {
        *errors.entry(answer.header("x-error")).or_default() += 1;
    }
    let (some, all) = (errors.values().sum(), answers.len());
    println!("{what}: {some} of {all} requests without a score; by error {errors:?}");
    some
}
