//! What a service and its host owe each other: sockets passed by a supervisor, word to it of how
//! things stand, the user to run as, and the few files that are left to be touched.
//!
//! ```text
//!  confine     the files that are left          before any thread and any list
//!  sockets     LISTEN_FDS -> listeners          in place of addresses of our own
//!  identity    the user to run as               after the addresses are taken
//!  supervisor  ready, reloading, stopping, and a watchdog's food while the workers answer
//! ```
//!
//! In scope: what systemd and the Linux kernel offer every service. Out of scope: printing, and when
//! any of it is done; the command line decides.

pub mod certificates;
mod clock;
pub mod confine;
pub mod file;
pub mod identity;
pub mod log;
pub mod peer_monitor;
pub mod sockets;
pub mod supervisor;
pub mod vital;

pub use clock::{now, now_micros};
