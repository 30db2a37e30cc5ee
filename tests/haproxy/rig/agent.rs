//! The agent under test: the program, as its user runs it.

use std::collections::HashMap;
use std::process::Command;

use super::{Lines, PATIENCE, Process, Signal, within};

/// A running `spoa`.
#[derive(Debug)]
pub(crate) struct Agent {
    process: Process,
    /// As HAProxy's configuration names it: `address:port` or `unix@/path`.
    pub(crate) address: String,
}

impl Agent {
    /// Starts it with two workers and these options, and waits until it listens.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::try_start(options).unwrap_or_else(|said| panic!("the agent does not start: {said}"))
    }

    /// On a free port.
    pub(crate) fn any() -> Self {
        Self::start(&["-p", "0"])
    }

    /// Starts it, or returns what it says instead.
    pub(crate) fn try_start(options: &[&str]) -> Result<Self, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spoa"));
        let mut process = Process::spawn(command.args(["-n", "2"]).args(options));
        let said = process.said.clone();
        let address = within(PATIENCE, || match process.ended() {
            Some(status) => Some(Err(format!("{status}: {}", said.all().join("\n")))),
            None => said.all().iter().find_map(|line| listening(line)).map(Ok),
        });
        let address = address.unwrap_or_else(|| Err("it says nothing".into()))?;
        Ok(Self { process, address })
    }

    /// Its lines.
    pub(crate) fn said(&self) -> &Lines {
        &self.process.said
    }

    /// The counters of all workers together, by name, at this moment.
    pub(crate) fn counters(&self) -> HashMap<String, u64> {
        let from = self.said().len();
        self.process.signal(Signal::Usr1);
        self.said().find("the agent's counters", from, |line| {
            let values = line.strip_prefix("worker=all ")?.split(' ');
            let numbers = values.filter_map(|value| {
                let (name, number) = value.split_once('=')?;
                Some((name.to_owned(), number.parse().ok()?))
            });
            Some(numbers.collect())
        })
    }

    /// One counter.
    pub(crate) fn count(&self, counter: &str) -> u64 {
        let counters = self.counters();
        let count = counters.get(counter);
        *count.unwrap_or_else(|| panic!("no counter {counter} in {counters:?}"))
    }

    /// Keeps it from running, from now on.
    pub(crate) fn freeze(&self) {
        self.process.freeze();
    }

    /// Lets it run again.
    pub(crate) fn thaw(&self) {
        self.process.signal(Signal::Cont);
    }

    /// Asks it to end, and waits until it has, well.
    pub(crate) fn stop(mut self) {
        self.process.signal(Signal::Term);
        let status = self.process.wait("an agent that was told to stop");
        assert_eq!(status.code(), Some(0), "{}", self.said().all().join("\n"));
    }
}

/// The first address of the line that the agent starts with.
fn listening(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(" listening on ")?;
    let address = rest.split([',', ';']).next()?;
    Some(address.replace("unix:", "unix@"))
}
