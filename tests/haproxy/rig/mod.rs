//! What tests need to set the stage: processes, their lines, clients, traffic. No test is in here.

mod agent;
mod client;
mod folder;
mod lines;
mod log;
mod open;
mod oracle;
mod origin;
mod process;
mod proxy;
mod traffic;
mod version;

use core::time::Duration;
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

pub(crate) use agent::Agent;
pub(crate) use client::{Connection, Response, sources};
pub(crate) use folder::Folder;
pub(crate) use lines::Lines;
pub(crate) use open::Open;
pub(crate) use oracle::Oracle;
pub(crate) use process::{Process, Signal};
pub(crate) use proxy::{Proxy, Setup, free_port};
pub(crate) use traffic::{Traffic, unscored};
pub(crate) use version::Version;

/// How long anything may take. A loaded machine is slow; a test that passes does not wait for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How often what tells nobody of a change is asked about it.
const ASK_INTERVAL: Duration = Duration::from_millis(5);

/// The repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Asks until there is an answer.
///
/// # Panics
/// If there is none in time; `what` says what was hoped for.
pub(crate) fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, ask).unwrap_or_else(|| panic!("not in time: {what}"))
}

/// Asks until there is an answer or the time is over.
pub(crate) fn within<T>(time: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + time;
    let (_open, silence) = mpsc::channel::<()>();
    loop {
        let answer = ask();
        if answer.is_some() || Instant::now() >= until {
            return answer;
        }
        // Nobody sends: this is the pause between two questions.
        let _ = silence.recv_timeout(ASK_INTERVAL);
    }
}
