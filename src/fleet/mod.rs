//! Live decisions that all nodes share, by a log and a state in Valkey or Redis.
//!
//! ```text
//!  Live ── what this node decides ──▶ thread "fleet": Node ── change.lua ──▶ log + state
//!    ▲                                     │  ▲                               │
//!    └──────── what others decided ────────┘  └── every 100 ms, from an id ───┘
//! ```
//!
//! `node` is the logic: no socket, no clock, no thread. `link` is the connection, `service` the thread. Workers and the live thread never wait for either.

#[cfg(feature = "fleet")]
mod entry;
#[cfg(feature = "fleet")]
mod link;
#[cfg(feature = "fleet")]
mod node;
mod options;
#[cfg(feature = "fleet")]
mod pending;
#[cfg(feature = "fleet")]
mod points;
#[cfg(feature = "fleet")]
mod service;
#[cfg(not(feature = "fleet"))]
#[path = "no_service.rs"]
mod service;

#[cfg(all(test, feature = "fleet"))]
mod simulation;
mod status;

pub use options::{FleetOptions, FleetUrl, HostPort, ParseFleetUrlError, Servers};
pub use service::Fleet;
pub use status::{FleetNode, FleetStatus};
