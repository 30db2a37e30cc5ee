//! A child process: its lines, its signals, its end.

use core::fmt::Display;
use std::fs;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use super::{Lines, PATIENCE, eventually, within};

/// A signal that tests send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The agent reports.
    Usr1,
    /// HAProxy reloads.
    Usr2,
    Term,
    Stop,
    Cont,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
            Self::Term => "TERM",
            Self::Stop => "STOP",
            Self::Cont => "CONT",
        }
    }
}

/// A child process. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// What it says on stderr.
    pub(crate) said: Lines,
    reader: Option<JoinHandle<()>>,
    /// Has children of its own, which it ends when it is asked to end.
    has_children: bool,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {:?}: {error}", command.get_program()));
        let (said, reader) = Lines::read(child.stderr.take().unwrap());
        Self {
            child,
            said,
            reader: Some(reader),
            has_children: false,
        }
    }

    /// Of a program that ends its own children when it is asked to end.
    pub(crate) fn spawn_master(command: &mut Command) -> Self {
        let mut process = Self::spawn(command);
        process.has_children = true;
        process
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal. The number is the child's as long as nobody has seen it end.
    pub(crate) fn signal(&self, signal: Signal) {
        let script = "kill -\"$0\" \"$1\"";
        let arguments = [signal.name(), &self.id().to_string()].map(str::to_owned);
        let status = Command::new("sh")
            .args(["-c", script])
            .args(arguments)
            .status();
        assert!(status.unwrap().success(), "kill -{}", signal.name());
    }

    /// Stops every thread of it, and waits until they have.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::Stop);
        let tasks = format!("/proc/{}/task", self.id());
        eventually("a stopped process", || {
            let mut threads = fs::read_dir(&tasks).unwrap();
            let stopped = threads.all(|thread| {
                let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
                stat.contains(") T ")
            });
            stopped.then_some(())
        });
    }

    /// How it ended, if it has. Its last words are in `said` then.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let ended = self.child.try_wait().unwrap()?;
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        Some(ended)
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, who: impl Display) -> ExitStatus {
        eventually(&format!("the end of {who}"), || self.ended())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.has_children && matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::Term);
            // One that does not end is killed; its children see that it is gone.
            let _ = within(PATIENCE, || self.child.try_wait().ok().flatten());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
