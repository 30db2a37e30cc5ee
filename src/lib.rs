//! `spoa`: a Stream Processing Offload Agent for `HAProxy`, and the library to write one.
//!
//! The layers, each of which uses only what stands below it:
//!
//! | module | what it is |
//! |---|---|
//! | [`control`] | the configuration, feeds and their reload |
//! | [`agent`] | threads and sockets: a pinned worker per core, its poll loop and connections |
//! | [`host`] | what a service and its host owe each other: passed sockets, readiness, confinement |
//! | [`iprep`] | where SPOP and reputation meet: a [`Handler`] over a [`reputation::Reputation`] |
//! | [`session`] | one `HAProxy` connection as a state machine, without a socket |
//! | [`Handler`] | what a policy implements |
//! | [`spop`] | the wire: bytes to borrowed views and back |
//! | [`reputation`] | scores and their sources; knows no SPOP |
//!
//! # An agent of one's own
//!
//! ```no_run
//! use spoa::Agent;
//! use spoa::spop::{Ack, FrameFull, Notify, Scope};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let agent = Agent::builder().bind("127.0.0.1:12345".parse()?).workers(2).spawn(|_worker| {
//!         |notify: &Notify<'_>, ack: &mut Ack<'_>| -> Result<(), FrameFull> {
//!             let known = notify.messages().any(|message| message.name() == b"check-client-ip");
//!             if known { ack.set_var(Scope::Session, "ip_score", 42_u32) } else { Ok(()) }
//!         }
//!     })?;
//!     agent.join()?;
//!     Ok(())
//! }
//! ```

#![forbid(unsafe_code)]

pub mod agent;
pub mod control;
mod handler;
pub mod host;
pub mod iprep;
pub mod reputation;
pub mod session;
pub mod spop;

pub use agent::Agent;
pub use handler::Handler;

/// The examples of README.md are tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
