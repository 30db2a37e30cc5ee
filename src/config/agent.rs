//! `[agent]`: what the command line says too. A flag that was given counts more.

use core::time::Duration;

use serde::Deserialize;

use super::typed::{Mode, Name, Time, Within};
use super::values::{Cores, MaybeDuration, When, Workers};
use crate::host::log::{LogFormat, LogLevel};

/// The options of the agent that the file sets. What it leaves out is the command line's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentOptions {
    /// Addresses to listen on, as `--bind` takes them.
    pub bind: Option<Vec<String>>,
    /// How many workers.
    pub workers: Option<Workers>,
    /// The cores to pin workers to.
    pub cores: Option<Cores>,
    /// Permission bits of UNIX sockets.
    pub unix_mode: Option<u32>,
    /// Largest frame, in bytes without the length.
    pub max_frame_size: Option<u32>,
    /// Largest NOTIFY from fragments, in bytes.
    pub max_reassembly: Option<usize>,
    /// Most connections at once.
    pub max_connections: Option<usize>,
    /// Most connections of one source at once.
    pub max_connections_per_source: Option<usize>,
    /// How long a peer may take to send its HELLO.
    pub hello_timeout: Option<MaybeDuration>,
    /// Silence after which a connection is closed.
    pub idle_timeout: Option<MaybeDuration>,
    /// How long answers may stay unread.
    pub write_timeout: Option<MaybeDuration>,
    /// How long a worker looks for work before it sleeps.
    pub busy_poll: Option<MaybeDuration>,
    /// Answers slower than this are counted.
    pub slow_threshold: Option<Duration>,
    /// How long stopping may take.
    pub drain_timeout: Option<Duration>,
    /// Whether addresses are shared with a process that has them.
    pub takeover: Option<bool>,
    /// Whom to give root's rights up for: a user, or a user and a group.
    pub user: Option<String>,
    /// Whether files that are not needed are shut off.
    pub confine: Option<When>,
    /// How much is logged.
    pub log_level: Option<LogLevel>,
    /// What a line of the log looks like.
    pub log_format: Option<LogFormat>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct AgentTable {
    bind: Option<Vec<String>>,
    workers: Option<Workers>,
    cores: Option<Cores>,
    unix_mode: Option<Mode>,
    max_frame_size: Option<Within<256, 16_777_216>>,
    max_reassembly: Option<Within<0, { u32::MAX }>>,
    max_connections: Option<Within<1, { u32::MAX }>>,
    max_connections_per_source: Option<Within<0, { u32::MAX }>>,
    hello_timeout: Option<MaybeDuration>,
    idle_timeout: Option<MaybeDuration>,
    write_timeout: Option<MaybeDuration>,
    busy_poll: Option<MaybeDuration>,
    slow_threshold: Option<Time>,
    drain_timeout: Option<Time>,
    takeover: Option<bool>,
    user: Option<Name>,
    confine: Option<When>,
    log_level: Option<LogLevel>,
    log_format: Option<LogFormat>,
}

impl From<AgentTable> for AgentOptions {
    fn from(table: AgentTable) -> Self {
        Self {
            bind: table.bind,
            workers: table.workers,
            cores: table.cores,
            unix_mode: table.unix_mode.map(|mode| mode.0),
            max_frame_size: table.max_frame_size.map(|size| size.0),
            max_reassembly: table.max_reassembly.map(|size| size.0 as usize),
            max_connections: table.max_connections.map(|count| count.0 as usize),
            max_connections_per_source: table
                .max_connections_per_source
                .map(|count| count.0 as usize),
            hello_timeout: table.hello_timeout,
            idle_timeout: table.idle_timeout,
            write_timeout: table.write_timeout,
            busy_poll: table.busy_poll,
            slow_threshold: table.slow_threshold.map(|time| time.0),
            drain_timeout: table.drain_timeout.map(|time| time.0),
            takeover: table.takeover,
            user: table.user.map(|user| user.0),
            confine: table.confine,
            log_level: table.log_level,
            log_format: table.log_format,
        }
    }
}

impl AgentOptions {
    /// The keys whose values differ from `other`: none of them can change while the agent runs.
    #[must_use]
    pub fn changed(&self, other: &Self) -> Vec<&'static str> {
        let same = [
            ("bind", self.bind == other.bind),
            ("workers", self.workers == other.workers),
            ("cores", self.cores == other.cores),
            ("unix-mode", self.unix_mode == other.unix_mode),
            (
                "max-frame-size",
                self.max_frame_size == other.max_frame_size,
            ),
            (
                "max-reassembly",
                self.max_reassembly == other.max_reassembly,
            ),
            (
                "max-connections",
                self.max_connections == other.max_connections,
            ),
            (
                "max-connections-per-source",
                self.max_connections_per_source == other.max_connections_per_source,
            ),
            ("hello-timeout", self.hello_timeout == other.hello_timeout),
            ("idle-timeout", self.idle_timeout == other.idle_timeout),
            ("write-timeout", self.write_timeout == other.write_timeout),
            ("busy-poll", self.busy_poll == other.busy_poll),
            (
                "slow-threshold",
                self.slow_threshold == other.slow_threshold,
            ),
            ("drain-timeout", self.drain_timeout == other.drain_timeout),
            ("takeover", self.takeover == other.takeover),
            ("user", self.user == other.user),
            ("confine", self.confine == other.confine),
            ("log-level", self.log_level == other.log_level),
            ("log-format", self.log_format == other.log_format),
        ];
        let changed = same.into_iter().filter(|(_, same)| !same);
        changed.map(|(name, _)| name).collect()
    }
}
