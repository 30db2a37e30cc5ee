//! Live decisions that all nodes share, by a log and a state in Valkey or Redis.
//!
//! ```text
//!  Live ── what this node decides ──▶ thread "fleet": Node ── change.lua ──▶ log + state
//!    ▲                                     │  ▲                               │
//!    └──────── what others decided ────────┘  └── every 100 ms, from an id ───┘
//! ```
//!
//! [`Node`](node::Node) is the logic: no socket, no clock, no thread. [`link`] is the connection, `service`
//! the thread. Workers and the live thread never wait for either.

#[cfg(feature = "fleet")]
mod entry;
mod options;
#[cfg(feature = "fleet")]
mod link;
#[cfg(feature = "fleet")]
mod node;
#[cfg(feature = "fleet")]
mod pending;
#[cfg(feature = "fleet")]
mod points;
#[cfg(feature = "fleet")]
mod service;

#[cfg(not(feature = "fleet"))]
pub use no_service::Fleet;
#[cfg(feature = "fleet")]
pub use service::{Fleet, FleetNode, FleetStatus};
pub use options::{FleetOptions, FleetUrl, HostPort, ParseFleetUrlError, Servers};
