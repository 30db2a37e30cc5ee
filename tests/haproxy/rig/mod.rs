//! What tests need to set the stage: HAProxy and its log, clients, traffic, an agent whose answers
//! are known. No test is in here. The agent under test is `support::Program`.

mod client;
mod lines;
mod log;
mod open;
mod oracle;
mod origin;
mod proxy;
mod setup;
mod traffic;
mod version;

pub(crate) use client::{Connection, Response, sources};
pub(crate) use lines::Lines;
pub(crate) use open::Open;
pub(crate) use oracle::Oracle;
pub(crate) use proxy::Proxy;
pub(crate) use setup::{Setup, free_port, repository};
pub(crate) use traffic::{Traffic, unscored};
pub(crate) use version::Version;

use crate::support::Program;

/// The agent on a free port, with two workers.
pub(crate) fn agent() -> Program {
    Program::start(&["-n", "2"])
}
