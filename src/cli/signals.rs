//! Signals: SIGHUP reloads, SIGUSR1 reports, SIGTERM and SIGINT stop, a second one of these stops at once.
//!
//! A report is made on a thread of its own: workers may take their time to answer, and a signal that
//! stops the agent is acted on all the same.

use core::time::Duration;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, sync_channel};
use std::{panic, process, thread};

use haproxy_spoa::Control;
use iprep_spoa::feeds::Remote;
use iprep_spoa::host::{certificates, supervisor};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::low_level::signal_name;
use tracing::{info, warn};

use super::failure::Failure;
use super::print;

/// How long workers may take to answer a SIGUSR1. They need microseconds.
const REPORT_PATIENCE: Duration = Duration::from_secs(1);
/// What a shell adds to a signal's number for the status of a process that it ended.
const ENDED_BY_SIGNAL: i32 = 128;
/// Reports that may wait to be made. One that finds no room is left out: one like it is before it.
const WAITING_MAX: usize = 2;

/// A report that is asked for.
struct Wanted;

/// How often signals are looked for while something else is waited for.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(20);

/// The signals that the agent handles, from the moment this is made.
pub(crate) struct Signals {
    signals: signal_hook::iterator::Signals,
    /// Signals that came during the start and are acted on after it.
    early: Vec<i32>,
}

impl Signals {
    /// SIGHUP ends a process that has nothing to reload, as it does with others.
    pub(crate) fn new(reloads: bool) -> Result<Self, Failure> {
        let others = [SIGUSR1, SIGTERM, SIGINT];
        let signals = others.into_iter().chain(reloads.then_some(SIGHUP));
        signal_hook::iterator::Signals::new(signals)
            .map(|signals| Self {
                signals,
                early: Vec::new(),
            })
            .map_err(|error| Failure::signals(&error))
    }

    /// Runs a part of the start on a thread of its own. Returns `None` if SIGTERM or SIGINT comes
    /// first: the process is then to end, and the thread with it.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(crate) fn during<T: Send + 'static>(
        &mut self,
        start: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>, Failure> {
        let (sender, done) = mpsc::channel();
        let run = move || {
            // The receiver is gone if a signal came first.
            let _ = sender.send(start());
        };
        let started = thread::Builder::new().name("start".into()).spawn(run);
        let starting = started.map_err(Failure::thread)?;
        loop {
            for signal in self.signals.pending() {
                if matches!(signal, SIGTERM | SIGINT) {
                    let name = signal_name(signal).unwrap_or("signal");
                    info!(reason = name, "startup interrupted");
                    supervisor::stopping();
                    return Ok(None);
                }
                self.early.push(signal);
            }
            match done.recv_timeout(SIGNAL_INTERVAL) {
                Ok(result) => return Ok(Some(result)),
                Err(RecvTimeoutError::Timeout) => {}
                // The thread panicked.
                Err(RecvTimeoutError::Disconnected) => {
                    let panic = starting.join().err();
                    panic::resume_unwind(panic.unwrap_or_else(|| Box::new("no result")));
                }
            }
        }
    }

    /// Acts on signals until the process ends.
    pub(crate) fn serve(mut self, control: &Control, remote: Option<&Remote>) {
        let (reporter, wanted) = sync_channel(WAITING_MAX);
        let workers = control.clone();
        let lists = remote.cloned();
        let report = move || print_reports(&wanted, &workers, lists.as_ref());
        let started = thread::Builder::new().name("reporter".into()).spawn(report);
        if let Err(error) = started {
            warn!(%error, hint = "SIGUSR1 prints nothing", "report thread not started");
        }
        let mut stopping = false;
        let early = core::mem::take(&mut self.early);
        for signal in early.into_iter().chain(self.signals.forever()) {
            match signal {
                // Full: one like it is about to be made.
                SIGUSR1 => drop(reporter.try_send(Wanted)),
                SIGHUP => {
                    supervisor::reloading();
                    let certificates = certificates::renew(control);
                    let Some(remote) = remote else {
                        supervisor::reloaded(&certificates);
                        continue;
                    };
                    remote.reload(Box::new(move |lists| {
                        supervisor::reloaded(certificates.iter().chain([&lists]));
                    }));
                }
                _ if stopping => process::exit(ENDED_BY_SIGNAL + signal),
                _ => {
                    stopping = true;
                    let name = signal_name(signal).unwrap_or("signal");
                    info!(reason = name, "shutdown started");
                    supervisor::stopping();
                    control.drain();
                }
            }
        }
    }
}

fn print_reports(wanted: &Receiver<Wanted>, control: &Control, remote: Option<&Remote>) {
    for Wanted in wanted {
        let status = remote.map(Remote::status);
        print::report(&control.report(REPORT_PATIENCE), status.as_ref());
    }
}
