//! Signals: SIGHUP reloads, SIGUSR1 reports, SIGTERM and SIGINT stop, a second one of these stops at once.
//!
//! Whoever reads our stderr may have stopped reading. Printing then blocks, so it has a thread of its
//! own, and a signal that stops the agent is acted on all the same.

use core::time::Duration;
use std::process;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::low_level::signal_name;
use spoa::agent::Control;
use spoa::control::{Remote, certificates};
use spoa::host::supervisor;

use super::failure::Failure;
use super::print::{self, say};

/// How long workers may take to answer a SIGUSR1. They need microseconds.
const REPORT_PATIENCE: Duration = Duration::from_secs(1);
/// What a shell adds to a signal's number for the status of a process that it ended.
const ENDED_BY_SIGNAL: i32 = 128;
/// What may wait to be printed. A report that finds no room is left out: one like it is before it.
const UNPRINTED_MAX: usize = 2;

/// What is to be printed.
enum Note {
    Report,
    Stopping(&'static str),
    NoReload,
    /// What became of the certificates.
    Renewal(String),
}

/// The signals that the agent handles, from the moment this is made.
pub(crate) struct Signals(signal_hook::iterator::Signals);

impl Signals {
    /// SIGHUP ends a process that has nothing to reload, as it does with others.
    pub(crate) fn new(reloads: bool) -> Result<Self, Failure> {
        let others = [SIGUSR1, SIGTERM, SIGINT];
        let signals = others.into_iter().chain(reloads.then_some(SIGHUP));
        signal_hook::iterator::Signals::new(signals)
            .map(Self)
            .map_err(|error| Failure::signals(&error))
    }

    /// Acts on signals until the process ends.
    pub(crate) fn serve(mut self, control: &Control, remote: Option<&Remote>) {
        let (printer, notes) = sync_channel(UNPRINTED_MAX);
        let reporter = control.clone();
        let status = remote.cloned();
        let printing = move || print_notes(&notes, &reporter, status.as_ref());
        let started = thread::Builder::new()
            .name("printer".into())
            .spawn(printing);
        if started.is_err() {
            say("cannot start a thread to print with; SIGUSR1 prints nothing");
        }
        let mut stopping = false;
        for signal in self.0.forever() {
            match signal {
                SIGUSR1 => print_later(&printer, Note::Report),
                SIGHUP => {
                    supervisor::reloading();
                    if let Some(came) = certificates::renew(control) {
                        let (Ok(line) | Err(line)) = came;
                        print_later(&printer, Note::Renewal(line));
                    }
                    let reloads = remote.map(Remote::reload);
                    if reloads.is_none() {
                        supervisor::ready("reloaded");
                    }
                    if reloads == Some(false) {
                        print_later(&printer, Note::NoReload);
                    }
                }
                _ if stopping => process::exit(ENDED_BY_SIGNAL + signal),
                _ => {
                    stopping = true;
                    supervisor::stopping();
                    control.drain();
                    print_later(
                        &printer,
                        Note::Stopping(signal_name(signal).unwrap_or("signal")),
                    );
                }
            }
        }
    }
}

fn print_later(printer: &SyncSender<Note>, note: Note) {
    // Full: nobody reads, and this is not worth waiting for.
    let _ = printer.try_send(note);
}

fn print_notes(notes: &Receiver<Note>, control: &Control, remote: Option<&Remote>) {
    for note in notes {
        match note {
            Note::Report => {
                let status = remote.map(Remote::status);
                print::report(&control.report(REPORT_PATIENCE), status.as_ref());
            }
            Note::NoReload => {
                say("SIGHUP: the control thread has ended, which is a bug; start again");
            }
            Note::Renewal(line) => say(format_args!("SIGHUP: {line}")),
            Note::Stopping(name) => {
                say(format_args!(
                    "{name}: answering what is in flight, then ending"
                ));
            }
        }
    }
}
