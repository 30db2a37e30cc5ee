//! Feeds: where lists come from, when they are read again, and the table that is made of them.
//!
//! ```text
//!  config ──▶ source (files, URLs, cache) ──▶ load (formats, guards) ──▶ snapshot ──▶ policy
//!                    ▲                                                                  │
//!     SIGHUP, inotify, timers                                        published to the workers
//! ```
//!
//! In scope: fetching, caching, guarding and combining lists, on the control thread and its helper. Out
//! of scope: the configuration file ([`config`](crate::config)), what a line of a feed means
//! ([`ip_reputation`]) and what is answered ([`policy`](crate::policy)).

mod background;
mod databases;
mod engine;
pub mod explain;
mod fetch;
pub mod guess;
pub mod lists;
pub mod load;
mod note;
pub mod offline_check;
mod outcome;
mod probe;
mod schedule;
mod snapshot;
pub mod source;
pub mod status;
mod store;
mod watch;

pub use engine::{Done, Engine, Remote};
pub use snapshot::MakeError;
