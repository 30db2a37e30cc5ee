//! `spoa`: the IP reputation agent for `HAProxy`. What it does stands in the library; here it is
//! started from a command line and told of signals.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
