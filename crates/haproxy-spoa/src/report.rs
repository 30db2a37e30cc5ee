//! What a worker tells about itself when asked.

use core::net::SocketAddr;
use std::time::Instant;

use super::{Counters, Latency, Refusals};

/// The state of one worker at one moment.
#[derive(Debug, Clone)]
pub struct WorkerReport {
    /// The worker's number, from 0.
    pub worker: usize,
    /// The core it is pinned to, as the operating system numbers them.
    pub core: Option<usize>,
    /// Its open connections.
    pub open: usize,
    /// How far these are.
    pub states: States,
    /// What it has counted.
    pub counters: Counters,
    /// What it has refused.
    pub refusals: Refusals,
    /// The latest peer that was refused because its source had too many connections.
    pub over_source_limit: Option<LastPeer>,
    /// The latest peer that was reset because it did not read its answers.
    pub unread: Option<LastPeer>,
    /// What its handler has counted.
    pub tallies: Vec<Tally>,
    /// How long its answers took.
    pub latency: Latency,
}

/// The latest peer of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LastPeer {
    /// When it was seen.
    pub at: Instant,
    /// Its address; `None` for a UNIX socket, and if it was gone.
    pub address: Option<SocketAddr>,
}

/// How many connections are how far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct States {
    /// Without a HELLO yet.
    pub connecting: usize,
    /// Asking and being answered.
    pub established: usize,
    /// Over: sending what is left, or waiting for the peer to close.
    pub leaving: usize,
}

/// Something that a handler counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// What kind of thing it is.
    pub kind: &'static str,
    /// Which one.
    pub name: String,
    /// How many there were.
    pub count: u64,
}

/// The state of all workers, each at its own time: a connection that is handed to another worker in
/// between is counted as accepted, but not yet as adopted or open.
#[derive(Debug, Clone)]
pub struct Report {
    /// The workers that answered in time, by number.
    pub workers: Vec<WorkerReport>,
    /// The workers that did not.
    pub silent: Vec<usize>,
}
