//! `spop-bench`: a load generator that plays `HAProxy` against any SPOP agent.
//!
//! In scope: HELLO, NOTIFY and DISCONNECT as `HAProxy` sends them, on TCP or UNIX sockets; a check of
//! every ACK; throughput, latency, and what the agent paid for it. Out of scope: HTTP (a benchmark
//! through a real `HAProxy` is another program), fragmentation, and what a score means.
//!
//! ```text
//!  options --> plan --> run ----------- phases, /proc samples ----------> report
//!                        | spawns                                  text, JSON, .hgrm, SVG
//!                  load thread 0 .. N-1
//!                  pace, asker, meter
//!                        | owns
//!                  connection = socket + dialogue (what HAProxy would say next)
//! ```
//!
//! A load thread shares nothing but a phase and a few gauges. Its turn is an agent's mirrored: one
//! `poll`, then for every ready connection one `read`, a check of all whole ACKs, as many new
//! NOTIFYs, one `write`.

#![forbid(unsafe_code)]

mod addresses;
mod asker;
mod connection;
mod control;
mod dialogue;
mod line;
mod lines;
mod load;
mod meter;
mod options;
mod outstanding;
mod pace;
mod plan;
mod process;
mod question;
mod report;
mod run;
mod stream;
mod tally;
mod units;

use std::process::ExitCode;

use clap::Parser as _;

use options::{Command, Options};
use plan::Plan;

/// The exit code of a wrong command line, as clap has it.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(Command::Plot(plot)) = &options.command {
        return finish(report::plot(plot).map(|()| true));
    }
    let plan = match Plan::from_options(&options) {
        Ok(plan) => plan,
        Err(message) => {
            eprintln!("spop-bench: {message}");
            return ExitCode::from(USAGE);
        }
    };
    finish(run::run(&plan).and_then(|outcome| {
        report::write(&plan, &outcome, &options)?;
        Ok(outcome.is_clean())
    }))
}

/// Success only if the agent did everything right.
fn finish(clean: Result<bool, String>) -> ExitCode {
    match clean {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("spop-bench: {message}");
            ExitCode::FAILURE
        }
    }
}
