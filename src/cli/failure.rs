//! What ends the program: one line on stderr that says what, where and what to do.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

use clap::error::ErrorKind;
use haproxy_spoa::{BindAddress, StartError, WorkerError};
#[cfg(feature = "admin")]
use iprep_spoa::admin::AdminError;
use iprep_spoa::config::ConfigError;
use iprep_spoa::host::identity::IdentityError;
use iprep_spoa::host::sockets::NotListening;
use tracing::error;

use super::args::Args;
use super::log;
use super::print::say;

/// The command line was wrong.
const USAGE: u8 = 2;
/// The agent could not start.
const START: u8 = 1;
/// The agent has a bug (`EX_SOFTWARE` of sysexits).
const SOFTWARE: u8 = 70;

/// Why the program ends other than well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// clap has something to say: a mistake, or the help that was asked for.
    Usage(clap::Error),
    /// A value that only makes sense, or does not, together with others.
    Value(String),
    /// The agent could not start; the line says why.
    Start(String),
    /// A worker ended other than by a shutdown.
    Worker(WorkerError),
}

impl Failure {
    pub(crate) fn bad(option: &str, why: impl AsRef<str>) -> Self {
        Self::Value(format!("{option}: {}", why.as_ref()))
    }

    pub(crate) fn entropy(error: impl core::fmt::Display) -> Self {
        Self::Start(format!(
            "no randomness from the operating system ({error}); give a --seed"
        ))
    }

    pub(crate) fn signals(error: &io::Error) -> Self {
        Self::Start(format!("cannot handle signals: {error}"))
    }

    #[cfg(feature = "documents")]
    pub(crate) fn documents(folder: &Path, error: &io::Error) -> Self {
        let folder = folder.display();
        Self::Start(format!("documents: cannot write them to {folder}: {error}"))
    }

    pub(crate) fn user(error: &IdentityError) -> Self {
        let remedy = match error {
            IdentityError::NotRoot => "start as root or as that user, or leave the option out",
            _ => "name a user of this machine",
        };
        Self::Start(format!("--user: {error}; {remedy}"))
    }

    pub(crate) fn unreadable(file: &Path, error: &io::Error) -> Self {
        let file = file.display();
        Self::Start(format!(
            "--user: {file}: {error}; let that user read it, or a reload will fail"
        ))
    }

    pub(crate) fn passed(error: &NotListening) -> Self {
        Self::Start(format!(
            "LISTEN_FDS: {error}; a .socket unit has to say ListenStream= and Accept=no"
        ))
    }

    pub(crate) fn confine(why: &impl core::fmt::Display) -> Self {
        Self::Start(format!(
            "--confine: {why}; start with --confine auto or off, or on a kernel that can (6.12 and later, \
             with landlock in its list of security modules)"
        ))
    }

    /// A configuration that cannot be used. Each thing that is wrong has a line.
    pub(crate) fn config(error: &ConfigError) -> Self {
        Self::Start(error.to_string())
    }

    pub(crate) fn feeds(why: &str) -> Self {
        Self::Start(format!("feeds guess: {why}"))
    }

    pub(crate) fn engine(error: impl core::fmt::Display) -> Self {
        Self::Start(format!("--config: {error}"))
    }

    #[expect(clippy::needless_pass_by_value, reason = "as map_err hands it over")]
    pub(crate) fn thread(error: io::Error) -> Self {
        Self::Start(format!("cannot start a thread: {error}"))
    }

    /// The admin endpoint, with the option that it is about.
    #[cfg(feature = "admin")]
    pub(crate) fn admin(option: &str, error: &AdminError) -> Self {
        Self::Start(format!("{option}: {error}"))
    }

    /// Adds the option and the remedy to what the agent says.
    pub(crate) fn start(error: &StartError, args: &Args) -> Self {
        let (option, remedy) = match error {
            StartError::InUse {
                takeover: false, ..
            } => (
                "--bind",
                "stop the other process, choose another --port or --bind, or start with --takeover",
            ),
            StartError::InUse { takeover: true, .. } => (
                "--takeover",
                "stop that process first; only an agent of the same version or later hands its sockets over",
            ),
            StartError::Takeover(..) => (
                "--takeover",
                "start as the user of that process, or stop it first",
            ),
            StartError::NotASocket(_) => ("--bind", "remove it or choose another path"),
            StartError::Bind(BindAddress::Unix(_), _) => (
                "--bind",
                "check the path: its folder has to exist and to be writable",
            ),
            StartError::Bind(..) => (
                "--bind",
                "check that the address is this machine's and may be used",
            ),
            StartError::NoAddress => ("--bind", "give an address"),
            StartError::NoWorkers => ("--workers", "ask for 1 or more"),
            StartError::NoCores | StartError::Pin { .. } if args.cores.is_some() => (
                "--cores",
                "name cores that the process may use, as taskset -p shows them",
            ),
            StartError::NoCores | StartError::Pin { .. } => (
                "--cores",
                "name the cores to use; the operating system tells of none",
            ),
            StartError::Descriptors { .. } => (
                "--max-connections",
                "lower it, or raise ulimit -n (LimitNOFILE= in systemd)",
            ),
            StartError::Worker(_) => ("--workers", "ask for fewer"),
            #[cfg(feature = "tls")]
            StartError::Tls(error) => ("--bind", error.remedy()),
        };
        Self::Start(format!("{option}: {error}; {remedy}"))
    }

    /// Prints the line and says how the program is to end.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Self::Usage(error) if is_help(error.kind()) => {
                // Nobody listens any more: nothing to do about it.
                let _ = error.print();
                ExitCode::SUCCESS
            }
            Self::Usage(error) => usage(&one_line(&error.to_string())),
            Self::Value(why) => usage(&why),
            Self::Start(why) => {
                if log::is_started() {
                    why.lines()
                        .for_each(|error| error!(error, "startup failed"));
                    log::flush();
                } else {
                    why.lines().for_each(say);
                }
                START.into()
            }
            Self::Worker(failed) => {
                match failed {
                    WorkerError::Panicked { .. } => {
                        let why = PANIC.lock().map(|why| why.clone()).unwrap_or_default();
                        error!(error = %failed, panic = why, hint = "report this bug", "worker panicked");
                    }
                    WorkerError::Poll { .. } => error!(error = %failed, "worker failed"),
                }
                log::flush();
                SOFTWARE.into()
            }
        }
    }
}

/// What the first panic said.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Keeps what a panic says, instead of printing it: a stderr that nobody reads would block the thread
/// that panics, and nobody would learn of it.
pub(crate) fn keep_panics() {
    std::panic::set_hook(Box::new(|panic| {
        if let Ok(mut why) = PANIC.lock()
            && why.is_empty()
        {
            *why = panic.to_string().replace('\n', " ");
        }
    }));
}

const fn is_help(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

fn usage(why: &str) -> ExitCode {
    if log::is_started() {
        error!(error = why, hint = "see spoa --help", "invalid options");
        log::flush();
    } else {
        say(format!("{why}; see spoa --help"));
    }
    USAGE.into()
}

/// clap explains itself in a paragraph; what matters fits a line.
fn one_line(paragraph: &str) -> String {
    let wanted = |line: &&str| !line.is_empty() && !line.starts_with("Usage:");
    let without_help = |line: &&str| !line.starts_with("For more information");
    let lines = paragraph
        .lines()
        .map(str::trim)
        .filter(wanted)
        .filter(without_help);
    let line = lines.collect::<Vec<_>>().join("; ").replace(":; ", ": ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn a_mistake_is_one_line_that_names_the_option() {
        for (line, option) in [
            (&["spoa", "-p", "x"][..], "--port"),
            (&["spoa", "-n", "0"], "--workers"),
            (&["spoa", "-m", "255"], "--max-frame-size"),
            (&["spoa", "--nonsense"], "--nonsense"),
            (&["spoa", "stray"], "stray"),
            (&["spoa", "--hello-timeout", "soon"], "--hello-timeout"),
            (&["spoa", "lookup", "192.0.2.1"], "not provided: --config"),
        ] {
            let text = one_line(&Args::try_parse_from(line).unwrap_err().to_string());
            assert!(text.contains(option) && !text.contains('\n'), "{text}");
            assert!(!text.starts_with("error"), "{text}");
        }
    }
}
