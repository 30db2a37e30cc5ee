//! Every limit of the agent: a name, a unit, a default.

use core::time::Duration;

use rustix::process::{Resource, getrlimit};

use haproxy_spop::session::SessionConfig;

/// The limits of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// What is agreed on with each peer, and kept for it.
    pub terms: SessionConfig,
    /// Open connections of all workers together. `None`: what the descriptor limit allows.
    pub connections_max: Option<usize>,
    /// Bytes read from one connection before the others have their turn. Default 65,536.
    pub turn_bytes: usize,
    /// The time after which a turn of a connection ends at the next check, so that costly NOTIFYs of one
    /// connection do not delay the others for long. It is checked every 4 KiB of input. `None`: no limit. Default 1 ms.
    pub turn_time: Option<Duration>,
    /// Open connections of one source: an IPv4 address, the /64 of an IPv6 address, the user of a process
    /// at a UNIX socket. `Some(0)`: no limit. `None`: 1,024 for remote addresses, and no limit for
    /// loopback addresses and UNIX sockets. Default `None`.
    pub connections_per_source: Option<usize>,
    /// How long output may stay unsent because the peer does not read. The connection is then reset.
    /// Reading a part of it does not extend the time. `None`: for ever. Default 10 s.
    pub write_timeout: Option<Duration>,
    /// How long a peer may take to send its HELLO. `None`: for ever. Default 5 s.
    pub hello_timeout: Option<Duration>,
    /// How long a connection may be silent after its HELLO. Default `None`, for ever: closing an
    /// idle connection races with its reuse by 3.1 and later, and costs the stream an error.
    pub idle_timeout: Option<Duration>,
    /// How long a shutdown may take. Default 5 s.
    pub drain_timeout: Duration,
    /// How long a shutdown lets a silent connection speak up before it says goodbye, and how long
    /// its listeners stay open at least. Default 50 ms.
    pub drain_grace: Duration,
    /// How long a connection that is over may take to fetch our last frame. Default 2 s.
    pub linger_timeout: Duration,
    /// Answers that took longer than this are counted. Default 10 ms, the `timeout processing` of
    /// the sample configurations.
    pub slow_threshold: Duration,
    /// How long a worker that has nothing to do looks for work before it sleeps. It buys the time
    /// that the kernel takes to wake a thread, and pays with its core. Default 0: it sleeps at once.
    pub busy_poll: Duration,
    /// Answers that may be deferred at once on one connection; beyond it a NOTIFY is answered without
    /// an action. The unsent answers of a connection are bounded by this many frames more. Default
    /// 1,024.
    pub deferred_per_connection: usize,
    /// Answers that may be deferred at once by one worker. Default 65,536.
    pub deferred_per_worker: usize,
    /// After how long a deferred answer is given up: the ACK then has no action. Default 1 s.
    pub deferred_timeout: Duration,
    /// The permission bits of a UNIX socket. Default 0o660.
    pub unix_mode: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            terms: SessionConfig::default(),
            connections_max: None,
            turn_bytes: 64 * 1024,
            turn_time: Some(Duration::from_millis(1)),
            connections_per_source: None,
            write_timeout: Some(Duration::from_secs(10)),
            hello_timeout: Some(Duration::from_secs(5)),
            idle_timeout: None,
            drain_timeout: Duration::from_secs(5),
            drain_grace: Duration::from_millis(50),
            linger_timeout: Duration::from_secs(2),
            slow_threshold: Duration::from_millis(10),
            busy_poll: Duration::ZERO,
            deferred_per_connection: 1024,
            deferred_per_worker: 65_536,
            deferred_timeout: Duration::from_secs(1),
            unix_mode: 0o660,
        }
    }
}

/// Open connections of one remote source, if no limit is configured.
pub(super) const CONNECTIONS_PER_SOURCE: usize = 1024;
/// The send buffer of a connection, in bytes. Linux doubles it for its own overhead, and then does not grow
/// it. Two batches of 64 answers take a tenth of it.
pub(super) const SEND_BUFFER: usize = 64 * 1024;
/// The receive buffer of a TCP connection, in bytes. Linux doubles it as well.
pub(super) const RECEIVE_BUFFER: usize = 64 * 1024;
/// Connections taken from one listener in a row when a shutdown empties it.
pub(super) const ACCEPT_ALL: usize = BACKLOG.cast_unsigned() as usize;
/// Connections accepted from one listener before the others have their turn.
pub(super) const ACCEPT_BATCH: usize = 64;
/// How long a TCP connection is silent before the kernel asks whether its peer still exists.
pub(super) const KEEPALIVE: Duration = Duration::from_mins(1);
/// Failures of `accept` in a row after which a listener rests, if each may be about one connection only.
pub(super) const ACCEPT_FAILURES: usize = 8;
/// How long a listener rests after `accept` failed.
pub(super) const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Connections that the kernel may queue at a listener (it takes the lower of this and
/// `net.core.somaxconn`).
pub(super) const BACKLOG: i32 = 4096;
/// The least time between two looks at all deadlines, so that no peer can buy more of them.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_millis(20);
/// Bytes that a connection that is over may still send before it is cut off.
pub(super) const LINGER_BYTES: usize = 4 * 1024 * 1024;
/// Events taken from the kernel at once.
pub(super) const EVENTS: usize = 1024;

/// Descriptors that are not connections: standard streams, a poll and a waker per worker, what an address
/// has for takeovers, its sockets twice (a copy is handed over), and some for a library's caller.
fn descriptors_reserved(workers: usize, addresses: usize, sockets: usize) -> usize {
    const OTHERS: usize = 32;
    OTHERS + 3 * workers + 6 * addresses + 2 * sockets
}

/// How many connections the process can hold, and how many descriptors it may open.
pub(super) fn connections_possible(
    workers: usize,
    addresses: usize,
    sockets: usize,
) -> (usize, usize) {
    // Without a limit the kernel's own is far away.
    let soft = getrlimit(Resource::Nofile).current;
    let limit = soft.map_or(usize::MAX, |soft| {
        usize::try_from(soft).unwrap_or(usize::MAX)
    });
    let reserved = descriptors_reserved(workers, addresses, sockets);
    (limit.saturating_sub(reserved), limit)
}
