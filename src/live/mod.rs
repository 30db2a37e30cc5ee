//! Live decisions: a ban, challenge or allow of a prefix that is in force within milliseconds and ends
//! by itself.
//!
//! ```text
//!  admin ── Live::apply ──▶ thread "live": Decisions ─▶ Snapshot ─▶ LiveTable ◀─ one atomic load, workers
//!                                │             └▶ Store (SQLite), then the reply
//!                                └▶ old snapshots: held until no worker has them, then freed here
//! ```
//!
//! In scope: decisions, the workers' table, the store. Out of scope: how decisions rank among lists
//! ([`policy`](crate::policy)), HTTP ([`admin`](crate::admin)).

mod decision;
mod decisions;
mod options;
mod published;
mod service;
#[cfg(feature = "live-store")]
mod store;
#[cfg(not(feature = "live-store"))]
#[path = "no_store.rs"]
mod store;
mod table;
pub mod time;

pub use decision::{
    Decision, Kind, ORIGIN_LEN_MAX, ParseKindError, ParseTargetError, REASON_LEN_MAX, is_foreign,
    origin_error, parse_target, reason_error,
};
pub use options::LiveOptions;
pub use published::{LiveReader, LiveTable};
pub use service::{Applied, ApplyError, Counters, Done, Live, Request};
pub use table::{Hit, Hits, Snapshot};

/// A change of the store.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "live-store"),
    expect(dead_code, reason = "only the store reads what has changed")
)]
enum Change {
    Put(Decision),
    Remove(Decision),
}
