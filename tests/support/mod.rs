//! What the tests on real sockets share: the program, peers that play `HAProxy`, and patience.
//!
//! ```text
//!  Program   the real binary: its arguments, addresses, stderr, signals, report, exit code
//!  Peer      a client on a real socket, with the crate's own wire code
//!  frames    the bytes that a peer sends
//!  Endpoint  a client of the admin endpoint
//!  Server    an HTTP server that answers as a test tells it to
//!  Lapi      a LAPI of CrowdSec that plays every trap
//!  Load      threads of peers that ask without end and say what became of every question
//!  Process   what Linux tells of a process: descriptors, memory, CPU time, cores
//!  Clock     the time of day of one program, moved by a test
//!  debian    programs out of Debian's packages: Valkey, Redis, CrowdSec, fail2ban
//!  Scratch   a directory that goes away
//!  Authority a CA and its certificates, as files; Client: a peer that uses them
//! ```
//!
//! Nothing here sleeps: whatever takes time is waited for with a condition and a deadline. Ports are
//! the kernel's choice or belong to a loopback address that no other test uses, so that tests run
//! side by side.

#![allow(
    dead_code,
    unused_imports,
    reason = "every test file uses its own part of it"
)]

mod admin;
#[cfg(any(feature = "tls", feature = "http"))]
mod authority;
mod clock;
mod debian;
pub(crate) mod frames;
mod http;
#[cfg(feature = "http")]
pub(crate) mod lapi;
mod load;
mod patience;
mod peer;
mod process;
mod program;
mod report;
mod scratch;
#[cfg(feature = "tls")]
mod sealed;

pub(crate) use admin::{Answered, Endpoint, Metrics};
#[cfg(any(feature = "tls", feature = "http"))]
pub(crate) use authority::{Authority, Leaf, Life};
pub(crate) use clock::Clock;
pub(crate) use debian::debian;
pub(crate) use http::{Answer, Server};
pub(crate) use load::{Habit, Load};
pub(crate) use patience::{PATIENCE, eventually, throughout, until};
pub(crate) use peer::{Peer, Received};
pub(crate) use process::Process;
pub(crate) use program::{Ended, PASS, Program};
pub(crate) use report::{Line, Report};
pub(crate) use scratch::{Scratch, own_loopback};
#[cfg(feature = "tls")]
pub(crate) use sealed::{Client, Sealed};

pub(crate) use nix::sys::signal::Signal;
