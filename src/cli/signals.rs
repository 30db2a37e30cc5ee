//! Signals: SIGUSR1 reports, SIGTERM and SIGINT stop, a second one of these stops at once.

use core::time::Duration;
use std::process;

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::low_level::signal_name;
use spoa::agent::Control;

use super::failure::Failure;
use super::print::{self, say};

/// How long workers may take to answer a SIGUSR1. They need microseconds.
const REPORT_PATIENCE: Duration = Duration::from_secs(1);
/// What a shell adds to a signal's number for the status of a process that it ended.
const ENDED_BY_SIGNAL: i32 = 128;

/// The signals that the agent handles, from the moment this is made.
pub(crate) struct Signals(signal_hook::iterator::Signals);

impl Signals {
    pub(crate) fn new() -> Result<Self, Failure> {
        signal_hook::iterator::Signals::new([SIGUSR1, SIGTERM, SIGINT])
            .map(Self)
            .map_err(|error| Failure::signals(&error))
    }

    /// Acts on signals until the process ends.
    pub(crate) fn serve(mut self, control: &Control) {
        let mut stopping = false;
        for signal in self.0.forever() {
            let name = signal_name(signal).unwrap_or("signal");
            match signal {
                SIGUSR1 => print::report(&control.report(REPORT_PATIENCE)),
                _ if stopping => {
                    say(format_args!("{name} again: ending at once"));
                    process::exit(ENDED_BY_SIGNAL + signal);
                }
                _ => {
                    stopping = true;
                    say(format_args!(
                        "{name}: answering what is in flight, then ending"
                    ));
                    control.drain();
                }
            }
        }
    }
}
