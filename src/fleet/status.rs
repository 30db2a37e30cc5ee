//! How the fleet is, for people and for monitoring.

use core::time::Duration;

use crate::host::now_micros;

/// How the fleet is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FleetStatus {
    /// The server, without a password.
    pub url: String,
    /// The prefix of all keys.
    pub name: String,
    /// This node.
    pub node: String,
    /// Whether the log is read and written.
    pub is_connected: bool,
    /// Why not.
    pub error: Option<String>,
    /// When the log was last read to its end, in microseconds since 1970; 0: never.
    pub caught_up: u64,
    /// The id of the last entry that was read.
    pub position: String,
    /// Changes that wait to be written.
    pub queue: u64,
    /// Changes that did not fit into the queue.
    pub dropped: u64,
    /// Entries of the log that were read.
    pub read: u64,
    /// Changes that were written.
    pub written: u64,
    /// Entries that make no sense, and were skipped.
    pub garbage: u64,
    /// How often the log did not reach back to where this node was.
    pub gaps: u64,
    /// How often the store has lost something.
    pub losses: u64,
    /// Differences to the state that were mended.
    pub differences: u64,
    /// How often the connection was made.
    pub connects: u64,
    /// Nodes that the fleet has seen.
    pub nodes: Vec<FleetNode>,
}

impl FleetStatus {
    /// How long ago the log was last read to its end; none if it never was.
    #[must_use]
    pub fn lag(&self) -> Option<Duration> {
        let lag = now_micros().saturating_sub(self.caught_up);
        (self.caught_up > 0).then(|| Duration::from_micros(lag))
    }
}

/// A node that the fleet has seen; times are seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetNode {
    /// Its name.
    pub name: String,
    /// When it gave a sign of life.
    pub seen: u32,
    /// When it last changed something.
    pub changed: Option<u32>,
}
