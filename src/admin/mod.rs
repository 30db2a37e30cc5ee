//! The admin endpoint: figures, a status page and a few commands over HTTP/1, for this machine only.
//!
//! ```text
//!  TCP on loopback ─▶┐                     ┌▶ figures: one report of the workers, kept for a moment
//!  UNIX socket ─────▶┤ thread "admin" ─────┤▶ metrics, page, json: the same figures as text
//!   (64 connections, │ one tokio runtime   └▶ commands: engine (reload), workers (drain)
//!    timeouts)       └ no worker ever runs any of it
//! ```
//!
//! In scope: what people and Prometheus see, and who may tell the agent to do something. Out of scope:
//! how the figures come about ([`agent`](haproxy_spoa), [`Engine`](crate::feeds::Engine)).
//!
//! A UNIX socket's mode says who may do what. Over TCP anybody on the machine may look, and a command
//! takes the token of a file.

pub mod client;
mod crowdsec;
mod decisions;
mod error;
mod exposition;
mod figures;
mod fleet;
mod form;
mod history;
mod json;
mod metrics;
mod page;
mod process;
mod reply;
mod routes;
mod serve;
mod socket;
mod text;
mod token;

use core::time::Duration;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};
use std::{io, thread};

pub use error::AdminError;
pub use routes::{COMMANDS, LOOKS};
pub use token::Token;

use crate::feeds::Remote;
use crate::host::log::LogDial;
use crate::live::Live;
use crate::policy::PolicyCell;
use figures::Snapshotter;
use haproxy_spoa::{Agent, BindAddress, Control, HandoverService, SharedAddress, TakeoverEvent};
use socket::Socket;
use tokio::sync::watch;

/// The port, unless another is asked for.
pub const DEFAULT_ADMIN_PORT: u16 = 12346;
/// Connections at once. One that comes when they are all taken gets the place of the oldest.
const CONNECTIONS_MAX: usize = 64;
/// Files that the endpoint has open at the most: connections, a listener, the runtime's own.
pub const ADMIN_DESCRIPTORS: usize = CONNECTIONS_MAX + 8;
/// How long workers may take to tell their figures. They need microseconds.
const REPORT_PATIENCE: Duration = Duration::from_millis(250);

/// Where to listen, and who may do more than look.
#[derive(Debug, Clone)]
pub struct AdminOptions {
    /// The address: loopback or a UNIX socket.
    pub address: BindAddress,
    /// Permission bits of a UNIX socket.
    pub unix_mode: u32,
    /// The user and the group that a UNIX socket is given to, as numbers. `None`: those of the process.
    pub unix_owner: Option<(u32, u32)>,
    /// What a command over TCP has to bring.
    pub token: Option<Token>,
    /// Whether the address may be shared with a process that is about to leave it.
    pub takeover: bool,
}

/// What the endpoint tells of and acts on.
#[derive(Clone)]
pub struct Subject {
    control: Control,
    addresses: Vec<BindAddress>,
    connections_max: usize,
    budget: Duration,
    engine: Option<(Remote, PolicyCell)>,
    live: Option<Live>,
    log: LogDial,
}

impl core::fmt::Debug for Subject {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Subject")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Subject {
    /// A running agent, and what feeds it if anything does. `log` says how much is logged.
    #[must_use]
    pub fn new(
        agent: &Agent,
        budget: Duration,
        engine: Option<(Remote, PolicyCell)>,
        live: Option<Live>,
        log: LogDial,
    ) -> Self {
        Self {
            control: agent.control(),
            addresses: agent.addresses().to_vec(),
            connections_max: agent.connections_max(),
            budget,
            engine,
            live,
            log,
        }
    }
}

/// An endpoint that has its address.
#[derive(Debug)]
pub struct Admin {
    socket: Socket,
    token: Option<Token>,
}

/// An endpoint that answers. Dropped, it removes the path of its UNIX socket, unless another process has
/// the socket as well; its thread ends with the process.
#[derive(Debug)]
pub struct Serving {
    address: BindAddress,
    subject: Arc<OnceLock<Subject>>,
    shared: Arc<SharedAddress>,
    /// Whether connections are accepted: the newest process of a takeover does.
    gate: watch::Sender<bool>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.shared.leave();
    }
}

impl Admin {
    /// Takes the address.
    ///
    /// # Errors
    /// If others than this machine could reach it, or it cannot be had.
    pub fn bind(options: AdminOptions) -> Result<Self, AdminError> {
        Ok(Self {
            socket: Socket::bind(&options)?,
            token: options.token,
        })
    }

    /// The address, with the port that the kernel gave.
    #[must_use]
    pub const fn address(&self) -> &BindAddress {
        &self.socket.address
    }

    /// Answers, on a thread of its own: that it is not ready, until there is something to tell of. If
    /// another process has handed the address over, that one answers until then; and it does so again
    /// if this one ends first.
    ///
    /// # Errors
    /// If there is no thread or no poll to be had.
    pub fn serve(self) -> io::Result<Serving> {
        let subject = Arc::<OnceLock<Subject>>::default();
        let Socket {
            address,
            listening,
            shared,
            is_taken_over,
        } = self.socket;
        let (gate, gated) = watch::channel(!is_taken_over);
        let newer = gate.clone();
        let events = move |event| match event {
            TakeoverEvent::Serving { .. } => drop(newer.send_replace(false)),
            TakeoverEvent::Ended {
                had_served: true, ..
            } => drop(newer.send_replace(true)),
            _ => {}
        };
        // It ends with the process.
        let _handover = HandoverService::start(vec![Arc::clone(&shared)], Arc::new(events))?;
        let is_unix = matches!(address, BindAddress::Unix(_));
        let desk = Snapshotter::new(Arc::clone(&subject), Instant::now(), SystemTime::now());
        let office = routes::AdminState {
            desk: Arc::new(desk),
            token: self.token,
            is_unix,
            form_key: page::nonce(),
        };
        let runtime = serve::runtime()?;
        thread::Builder::new()
            .name("admin".into())
            .spawn(move || serve::run(&runtime, listening, gated, office))?;
        Ok(Serving {
            address,
            subject,
            shared,
            gate,
        })
    }
}

impl Serving {
    /// The address, with the port that the kernel gave.
    #[must_use]
    pub const fn address(&self) -> &BindAddress {
        &self.address
    }

    /// The agent is up and this is it.
    pub fn tell_of(&self, subject: Subject) {
        // There is one agent in a process.
        let _ = self.subject.set(subject);
        self.gate.send_replace(true);
        self.shared.serve();
    }
}
