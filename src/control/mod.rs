//! The control plane: what may block, allocate and print while the workers answer.
//!
//! ```text
//!  spoa.toml ──▶ config ──▶ source (files, URLs, cache) ──▶ load (formats, guards) ──▶ snapshot
//!                                ▲                                                        │
//!              SIGHUP, inotify, timers                             published to the workers
//! ```
//!
//! In scope: the configuration file, where feeds come from, and when they are read again. Out of
//! scope: what a line of a feed means ([`reputation`](crate::reputation)) and what is answered
//! ([`iprep`](crate::iprep)).

#[cfg(feature = "admin")]
pub mod admin;
mod aside;
pub mod certificates;
mod clock;
pub mod config;
mod databases;
mod engine;
pub mod explain;
mod fetch;
pub mod lists;
pub mod load;
pub mod log;
pub mod lookout;
mod note;
pub mod once;
mod outcome;
mod schedule;
mod shelf;
mod snapshot;
pub mod source;
pub mod status;
mod touches;
mod watch;

pub use clock::now;
pub use engine::{Done, Engine, Remote};
pub use snapshot::MakeError;
pub use touches::touches;
