//! Threads and sockets: N workers, each with a core, a poll loop and connections of its own.
//!
//! ```text
//!        Agent: spawn, report, drain, join                    the caller's thread
//!           |  mailbox + waker
//!    +------+-------+--------------+
//!  worker 0       worker 1  ...  worker N-1                   one pinned thread each
//!  listener       listener       listener                     SO_REUSEPORT, one per TCP address
//!  poll loop      poll loop      poll loop                    mio (epoll), edge-triggered
//!  slab of connections, handler, buffers, histogram           owned, never shared
//!           '---- placement: an atomic count a worker ----'   who gets a new connection
//! ```
//!
//! In scope: sockets, threads, placement, timers, back-pressure, latencies. Out of scope: the
//! protocol ([`session`](haproxy_spop::session)), what is answered ([`Handler`]), signals and the command
//! line.

#![forbid(unsafe_code)]

mod accept;
mod address;
mod bind;
mod bound_agent;
mod builder;
mod connection;
mod context;
mod counters;
mod error;
mod handler;
mod inbox;
mod latency;
mod lifecycle;
mod limits;
mod listener;
mod mailbox;
mod network;
mod outbox;
mod passed;
mod path;
mod placement;
mod refusals;
mod replies;
mod reply;
mod report;
mod sources;
mod takeover;
mod timer;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "trace")]
mod trace;
mod transport;
mod worker;

use core::convert::Infallible;
use core::time::Duration;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

pub use address::{BadAddress, BindAddress, DEFAULT_PORT};
#[cfg(feature = "tls")]
pub use bind::TlsFiles;
pub use bind::{BadBind, Bind};
pub use bound_agent::BoundAgent;
pub use builder::{Builder, allowed_cores};
pub use counters::Counters;
pub use error::{Error, StartError, WorkerError};
pub use handler::{Handler, WorkerHooks, handler};
pub use haproxy_spop::{Message, Notify, Scope, TypedData, Variable};
pub use latency::Latency;
pub use limits::Limits;
#[doc(hidden)]
pub use listener::{TakenAddress, Taking, take};
pub use network::{BadNetwork, Network};
pub use passed::PassedSocket;
pub use refusals::{Refusals, Refused};
pub use replies::{Replies, Served};
pub use reply::{Deferred, Reply};
pub use report::{LastPeer, Report, States, Tally, WorkerReport};
#[doc(hidden)]
pub use takeover::{HandoverService, Purpose, SharedAddress};
pub use takeover::{TakeoverError, TakeoverEvent};
#[cfg(feature = "tls")]
pub use tls::TlsError;
#[cfg(feature = "trace")]
pub use trace::TraceSink;

use mailbox::{Mail, Mailbox};
use placement::Placement;

/// How a worker's thread ended.
#[derive(Debug)]
enum Exit {
    Done,
    Failed(WorkerError),
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    control: Control,
    exits: Receiver<Exit>,
    addresses: Vec<BindAddress>,
    taken_over: Vec<BindAddress>,
    exposed: Vec<BindAddress>,
    /// The core of each worker.
    cores: Vec<Option<usize>>,
    connections_max: usize,
}

/// Reaches the workers of an agent from any thread.
#[derive(Debug, Clone)]
pub struct Control {
    workers: Arc<[Mailbox]>,
    placement: Arc<Placement>,
    drain_timeout: Duration,
    drain_grace: Duration,
    shared: Arc<[Arc<SharedAddress>]>,
    /// Hands the sockets over, until a shutdown begins.
    handover: Arc<Mutex<Option<HandoverService>>>,
    /// The files of the binds with TLS, by the number of the bind.
    #[cfg(feature = "tls")]
    tls: Arc<[Option<TlsFiles>]>,
}

impl Agent {
    /// An agent with the default limits, one worker and no address yet.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// An agent that listens on this address, in one of the forms of [`BindAddress::parse`]; more can be
    /// set before [`Builder::run`].
    ///
    /// # Errors
    /// [`Error::Address`] if the text is no address.
    pub fn bind(address: impl AsRef<str>) -> Result<Builder, Error> {
        let address = address.as_ref();
        let parsed = address.parse().map_err(|why| Error::Address {
            text: address.to_owned(),
            why,
        })?;
        Ok(Self::builder().bind(parsed))
    }

    /// The addresses it listens on, with the ports that the kernel gave.
    #[must_use]
    pub fn addresses(&self) -> &[BindAddress] {
        &self.addresses
    }

    /// Those of its addresses that another process has handed over.
    #[must_use]
    pub fn taken_over(&self) -> &[BindAddress] {
        &self.taken_over
    }

    /// Those of its addresses that no other process can take over, and why: another process has the
    /// abstract UNIX socket at which that is requested.
    pub fn not_offered(&self) -> impl Iterator<Item = (&BindAddress, &std::io::Error)> {
        let shared = self.control.shared.iter();
        shared.filter_map(|shared| Some((shared.address(), shared.unreachable()?)))
    }

    /// Those of its addresses at which every machine that reaches them may ask: neither a certificate
    /// is asked for there nor a network named.
    #[must_use]
    pub fn exposed(&self) -> &[BindAddress] {
        &self.exposed
    }

    /// The core of each worker, by the worker's number; `None` if it is not pinned.
    #[must_use]
    pub fn cores(&self) -> &[Option<usize>] {
        &self.cores
    }

    /// The most connections that it holds at once.
    #[must_use]
    pub const fn connections_max(&self) -> usize {
        self.connections_max
    }

    /// The way to its workers, for other threads.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Waits until every worker has stopped, which [`Control::drain`] makes them do.
    ///
    /// # Errors
    /// As soon as a worker panics, or its `epoll_wait` fails. The others still run then; ending the
    /// process is the caller's decision.
    pub fn join(self) -> Result<(), WorkerError> {
        for _ in &self.cores {
            if let Ok(Exit::Failed(error)) = self.exits.recv() {
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Control {
    /// Asks every worker for its counters and histogram, and waits for at most `patience`. No worker
    /// stops for it: each copies its own between two turns.
    #[must_use]
    pub fn report(&self, patience: Duration) -> Report {
        let (to, from) = mpsc::channel();
        for worker in self.workers.iter() {
            // One that has stopped is found missing below.
            let _ = worker.send(Mail::Report(to.clone()));
        }
        drop(to);
        let until = after(patience);
        let mut workers = Vec::with_capacity(self.workers.len());
        let left = || until.saturating_duration_since(Instant::now());
        while let Ok(report) = from.recv_timeout(left()) {
            workers.push(report);
        }
        workers.sort_by_key(|report: &WorkerReport| report.worker);
        let missing = |number: &usize| !workers.iter().any(|report| report.worker == *number);
        let silent = (0..self.workers.len()).filter(missing).collect();
        Report { workers, silent }
    }

    /// Reads the certificates, keys and CAs of all binds with TLS again. New connections get them;
    /// those that are open go on. How many binds there are with TLS.
    ///
    /// # Errors
    /// If any of the files cannot be used. Then all stay as they are.
    #[cfg(feature = "tls")]
    pub fn renew_certificates(&self) -> Result<usize, TlsError> {
        let load = |files: &Option<TlsFiles>| files.as_ref().map(TlsFiles::load).transpose();
        let renewed: mailbox::Renewed = self.tls.iter().map(load).collect::<Result<_, _>>()?;
        for worker in self.workers.iter() {
            // One that has stopped takes no connections.
            let _ = worker.send(Mail::Renew(Arc::clone(&renewed)));
        }
        Ok(renewed.iter().flatten().count())
    }

    /// Has every worker call [`WorkerHooks::refresh`], between two turns.
    pub fn refresh(&self) {
        for worker in self.workers.iter() {
            // One that has stopped keeps nothing.
            let _ = worker.send(Mail::Refresh);
        }
    }

    /// The open connections of each worker at this moment.
    #[must_use]
    pub fn open(&self) -> Vec<usize> {
        (0..self.workers.len())
            .map(|worker| self.placement.open(worker))
            .collect()
    }

    /// Whether a shutdown has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.placement.is_draining()
    }

    /// Shuts down: what the kernel has queued is taken, what is in flight is answered, every peer
    /// gets AGENT-DISCONNECT 0, all within [`Limits::drain_timeout`]. Calling it again changes
    /// nothing.
    pub fn drain(&self) {
        if self.placement.drain() {
            return;
        }
        for shared in self.shared.iter() {
            shared.leave();
        }
        let until = after(self.drain_timeout);
        for worker in self.workers.iter() {
            // One that has stopped needs no telling.
            let _ = worker.send(Mail::Drain(until));
        }
        let closing = Closing {
            workers: Arc::clone(&self.workers),
            handover: self.handover().take(),
            grace: self.drain_grace,
            until,
        };
        // If there is no thread to be had, the listeners close when the time is up.
        let _ = thread::Builder::new()
            .name("closing".into())
            .spawn(move || closing.run());
    }

    fn set_handover(&self, service: HandoverService) {
        *self.handover() = Some(service);
    }

    fn handover(&self) -> std::sync::MutexGuard<'_, Option<HandoverService>> {
        // No code that holds it panics half-way.
        self.handover.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is left to be done about listeners once a shutdown has begun. It waits, so it has a thread of its
/// own.
struct Closing {
    workers: Arc<[Mailbox]>,
    handover: Option<HandoverService>,
    /// How long the listeners stay open that no other process has.
    grace: Duration,
    /// By then the shutdown is over.
    until: Instant,
}

impl Closing {
    fn run(self) {
        // Before the listeners close: a process that finds an address free finds its name free as well.
        if let Some(handover) = self.handover {
            handover.stop();
        }
        // Workers need some time to take what came last.
        let now = Instant::now();
        let grace = now.checked_add(self.grace).unwrap_or(self.until);
        sleep_until(grace.min(self.until));
        let (done, closed) = mpsc::channel::<Infallible>();
        for worker in self.workers.iter() {
            // One that has stopped has no listener.
            let _ = worker.send(Mail::Close(done.clone()));
        }
        drop(done);
        let left = self.until.saturating_duration_since(Instant::now());
        // When the last worker has closed its own, or when the time is up.
        let (Ok(_) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout)) =
            closed.recv_timeout(left);
        for worker in self.workers.iter() {
            // One that has stopped has left.
            let _ = worker.send(Mail::ListenersClosed);
        }
    }
}

fn sleep_until(until: Instant) {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::park_timeout(left);
    }
}

/// A moment from now on; one that the clock cannot tell is a day away.
fn after(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time)
        .unwrap_or(now + Duration::from_hours(24))
}

/// The examples of README.md are tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
