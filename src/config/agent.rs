//! `[agent]`: what the command line says too. A flag that was given counts more.

use core::time::Duration;

use haproxy_spoa::{Bind, DEFAULT_PORT};
use serde::Deserialize;
use toml::Spanned;

use super::Problems;
use super::typed::{Mode, Name, Time, Within};
use super::values::{Cores, MaybeDuration, When, Workers};
use crate::host::log::{LogFormat, LogLevel};

/// Makes the struct of the options and the list of their keys from one list.
macro_rules! agent_options {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)*) => {
        /// The options of the agent that the file sets. What it leaves out is the command line's.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct AgentOptions {
            $($(#[$doc])* pub $field: Option<$type>,)*
        }

        impl AgentOptions {
            /// The keys of `[agent]`. Each is also an option of the command line.
            pub const KEYS: &[&str] = &[$(stringify!($field)),*];

            /// Returns the keys whose values differ from `other`. None of them can change while the
            /// agent runs.
            #[must_use]
            pub fn changed(&self, other: &Self) -> Vec<String> {
                let same = [$(self.$field == other.$field),*];
                let keys = Self::KEYS.iter().zip(same);
                let changed = keys.filter(|(_, same)| !same);
                changed.map(|(key, _)| key.replace('_', "-")).collect()
            }
        }
    };
}

agent_options! {
    /// Addresses to listen on, as `--bind` takes them.
    bind: Vec<String>,
    /// How many workers.
    workers: Workers,
    /// The cores to pin workers to.
    cores: Cores,
    /// Permission bits of UNIX sockets.
    unix_mode: u32,
    /// Largest frame, in bytes without the length.
    max_frame_size: u32,
    /// Largest NOTIFY from fragments, in bytes.
    max_reassembly: usize,
    /// Most connections at once.
    max_connections: usize,
    /// Most connections of one source at once.
    max_connections_per_source: usize,
    /// How long a peer may take to send its HELLO.
    hello_timeout: MaybeDuration,
    /// Silence after which a connection is closed.
    idle_timeout: MaybeDuration,
    /// How long answers may stay unread.
    write_timeout: MaybeDuration,
    /// How long a worker looks for work before it sleeps.
    busy_poll: MaybeDuration,
    /// Answers slower than this are counted.
    slow_threshold: Duration,
    /// How long stopping may take.
    drain_timeout: Duration,
    /// Whether addresses are shared with a process that has them.
    takeover: bool,
    /// Whom to give root's rights up for: a user, or a user and a group.
    user: String,
    /// Whether files that are not needed are shut off.
    confine: When,
    /// How much is logged.
    log_level: LogLevel,
    /// What a line of the log looks like.
    log_format: LogFormat,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct AgentTable {
    bind: Option<Vec<Spanned<String>>>,
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

impl AgentTable {
    pub(super) fn check(self, problems: &mut Problems<'_>) -> AgentOptions {
        let table = self;
        for bind in table.bind.iter().flatten() {
            let text = bind.get_ref();
            if let Err(why) = Bind::parse(text, DEFAULT_PORT) {
                problems.add(bind.span(), format!("bind: \"{text}\": {why}"));
            }
        }
        let bind = table.bind.map(|binds| {
            let binds = binds.into_iter().map(Spanned::into_inner);
            binds.collect()
        });
        AgentOptions {
            bind,
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
