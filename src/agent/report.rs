//! What a worker tells about itself when asked.

use super::{Counters, Latency};

/// The state of one worker at one moment.
#[derive(Debug, Clone)]
pub struct WorkerReport {
    /// The worker's number, from 0.
    pub worker: usize,
    /// The core it is pinned to, as the operating system numbers them.
    pub core: Option<usize>,
    /// Its open connections.
    pub open: usize,
    /// What it has counted.
    pub counters: Counters,
    /// How long its answers took.
    pub latency: Latency,
}

/// The state of all workers, each at its own moment.
#[derive(Debug, Clone)]
pub struct Report {
    /// The workers that answered in time, by number.
    pub workers: Vec<WorkerReport>,
    /// The workers that did not.
    pub silent: Vec<usize>,
}
