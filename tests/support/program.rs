//! The binary as a user runs it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use haproxy_spoa::BindAddress;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Process, Report, eventually};

/// Has a shell pass its standard input on as the first descriptor, as systemd passes a socket.
pub(crate) const PASS: &str =
    "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$; export LISTEN_FDS LISTEN_PID";

/// A running `spoa`; killed when dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    addresses: Vec<BindAddress>,
    workers: usize,
}

/// One that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: Vec<String>,
}

impl Program {
    /// The binary with these arguments, not started.
    pub(crate) fn command(args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spoa"));
        command.args(args);
        command
    }

    /// The same by way of a shell, which first runs `before`.
    pub(crate) fn shell(before: &str, args: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{before}; exec \"$0\" \"$@\"")]);
        command.arg(env!("CARGO_BIN_EXE_spoa")).args(args);
        command
    }

    /// Starts it on a free port of 127.0.0.1 with these further arguments.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_on(&["127.0.0.1:0"], args)
    }

    /// Starts it on a free port with a worker, a configuration, and these further arguments.
    pub(crate) fn configured(config: &Path, args: &[&str]) -> Self {
        let args = [&["-n", "1", "-f", config.to_str().unwrap()], args].concat();
        Self::start(&args)
    }

    /// Starts it on these addresses.
    pub(crate) fn start_on(addresses: &[&str], args: &[&str]) -> Self {
        let bind = addresses.iter().flat_map(|address| ["--bind", address]);
        let args: Vec<_> = bind.chain(args.iter().copied()).collect();
        Self::started(Self::command(&args))
    }

    /// Starts a command and waits for the line that says where it listens.
    pub(crate) fn started(command: Command) -> Self {
        Self::spawn(command).serving()
    }

    /// Starts a command with this as its standard input, and waits for the same.
    pub(crate) fn started_with(command: Command, stdin: Stdio) -> Self {
        Self::spawn_with(command, stdin).serving()
    }

    fn serving(mut self) -> Self {
        let program = &mut self;
        let line = eventually("the line at the start", || {
            assert_eq!(
                program.child.try_wait().unwrap(),
                None,
                "{:?}",
                program.lines()
            );
            program.lines().into_iter().find(|line| {
                line.contains("INFO listening ") || line.contains("\"event\":\"listening\"")
            })
        });
        program.addresses = addresses_of(&line);
        program.workers = workers_of(&line);
        self
    }

    /// Starts a command, and waits for nothing.
    pub(crate) fn spawn(command: Command) -> Self {
        Self::spawn_with(command, Stdio::null())
    }

    /// The same with this as its standard input.
    pub(crate) fn spawn_with(mut command: Command, stdin: Stdio) -> Self {
        command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let to = Arc::clone(&lines);
        let reader = thread::spawn(move || {
            for line in stderr.lines() {
                to.lock().unwrap().push(line.unwrap());
            }
        });
        Self {
            child,
            lines,
            reader: Some(reader),
            addresses: Vec::new(),
            workers: 0,
        }
    }

    /// Runs it with these arguments to an end that it is expected to come to by itself.
    pub(crate) fn run(args: &[&str]) -> Ended {
        Self::spawn(Self::command(args)).wait()
    }

    pub(crate) fn address(&self) -> &BindAddress {
        &self.addresses[0]
    }

    pub(crate) fn addresses(&self) -> &[BindAddress] {
        &self.addresses
    }

    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// What it has written to stderr so far, as it stands there.
    pub(crate) fn raw(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Returns the lines on stderr so far, without their times and with quotes unescaped.
    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines
            .iter()
            .map(|line| match timeless(line) {
                json if json.starts_with('{') => json.to_owned(),
                line => line.replace("\\\"", "\"").replace("\\\\", "\\"),
            })
            .collect()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits for a line on stderr.
    pub(crate) fn says(&self, what: &str) {
        eventually(what, || {
            self.lines()
                .iter()
                .any(|line| line.contains(what))
                .then_some(())
        });
    }

    /// What SIGUSR1 makes it print, with a line of every worker.
    pub(crate) fn report(&self) -> Report {
        self.report_of(self.workers)
    }

    /// The same with a line of this many workers at least: in a shutdown some have ended.
    pub(crate) fn report_of(&self, workers: usize) -> Report {
        let mut from = self.lines().len();
        self.signal(Signal::SIGUSR1);
        eventually("a report", || {
            let lines = self.lines();
            let found = Report::find(&lines[from..]).filter(|it| it.workers.len() >= workers);
            // On a machine that is loaded enough a worker may be too late for a report.
            if found.is_none()
                && lines[from..]
                    .iter()
                    .any(|line| line.contains("did not answer"))
            {
                from = lines.len();
                self.signal(Signal::SIGUSR1);
            }
            found
        })
    }

    /// The line of its report that starts like this.
    pub(crate) fn status(&self, start: &str) -> String {
        let from = self.lines().len();
        self.signal(Signal::SIGUSR1);
        eventually(start, || {
            let lines = self.lines();
            let found = lines[from..].iter().find(|line| line.starts_with(start));
            found.cloned()
        })
    }

    /// Waits until the line of its report that starts like this has this in it.
    pub(crate) fn shows(&self, start: &str, what: &str) {
        eventually(&format!("{start} {what}"), || {
            Some(self.status(start)).filter(|line| line.contains(what))
        });
    }

    /// How many lines on stderr have this in them.
    pub(crate) fn count(&self, what: &str) -> usize {
        let lines = self.lines();
        lines.iter().filter(|line| line.contains(what)).count()
    }

    /// Waits until its report is as it should be.
    pub(crate) fn reports(&self, what: &str, mut good: impl FnMut(&Report) -> bool) -> Report {
        eventually(what, || Some(self.report()).filter(&mut good))
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Ended {
        let status = eventually("the end of the program", || self.child.try_wait().unwrap());
        self.reader
            .take()
            .map(JoinHandle::join)
            .transpose()
            .unwrap();
        let mut stdout = String::new();
        let mut pipe = self.child.stdout.take().unwrap();
        pipe.read_to_string(&mut stdout).unwrap();
        Ended {
            code: status.code(),
            stdout,
            stderr: self.lines(),
        }
    }

    /// SIGTERM, and a good end.
    pub(crate) fn stop(self) {
        self.signal(Signal::SIGTERM);
        let ended = self.wait();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

impl Ended {
    /// Expects this code and one line on stderr, nothing on stdout.
    pub(crate) fn refusal(&self, code: i32) -> &str {
        assert_eq!((self.code, &self.stdout[..]), (Some(code), ""), "{self:?}");
        let [line] = &self.stderr[..] else {
            panic!("not one line: {self:?}")
        };
        line
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only if it has ended, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of the log without its time.
fn timeless(line: &str) -> &str {
    match line.split_once(' ') {
        Some((time, rest)) if time.len() == 24 && time.ends_with('Z') && time.contains('T') => rest,
        _ => line,
    }
}

/// Returns the value of a field without spaces, of a plain line or of one in JSON.
fn field(line: &str, name: &str) -> String {
    if let Ok(object) = serde_json::from_str::<serde_json::Value>(line) {
        let value = &object[name];
        let text = value.as_str().map(str::to_owned);
        return text.unwrap_or_else(|| value.to_string());
    }
    let mut words = line.split(' ');
    let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let value = value.unwrap_or_else(|| panic!("no {name} in {line}"));
    value.to_owned()
}

fn addresses_of(line: &str) -> Vec<BindAddress> {
    let list = field(line, "address");
    list.split(',')
        .map(|address| address.parse().unwrap())
        .collect()
}

fn workers_of(line: &str) -> usize {
    field(line, "workers").parse().unwrap()
}
