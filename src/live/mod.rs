//! Live decisions: a ban, challenge or allow of a prefix that is in force within milliseconds and ends
//! by itself; and behavior: points that reports of `HAProxy` give an address, and that decay.
//!
//! ```text
//!  admin ── Live::apply ──▶ thread "live": Decisions ─▶ slots ◀─ lookup, workers
//!  workers ── Report ─────▶               Points    ─▶ slots ◀─
//!                                │          └▶ Store (SQLite), then the reply
//!                                └▶ old tables: held until no worker has them, then freed here
//! ```
//!
//! In scope: decisions, points, the workers' tables, the store. Out of scope: how decisions rank among lists
//! ([`policy`](crate::policy)), HTTP ([`admin`](crate::admin)).

mod behavior;
mod decision;
mod decisions;
mod imports;
mod network;
mod options;
mod points;
mod published;
mod rows;
mod service;
mod slots;
#[cfg(feature = "live-store")]
mod store;
#[cfg(not(feature = "live-store"))]
#[path = "no_store.rs"]
mod store;
mod table;
mod target;
pub mod time;

pub use behavior::{
    BehaviorOptions, POINTS_DEFAULT, POINTS_MAX, PointsReport, REPORT_REASON_LEN_MAX, Report,
    ReportSender,
};
pub use decision::{
    Decision, Kind, ORIGIN_BEHAVIOR, ORIGIN_LEN_MAX, ParseKindError, REASON_LEN_MAX, is_foreign,
    origin_error, reason_error,
};
pub use imports::{Import, ImportCounts, Imported, ORIGIN_CROWDSEC};
pub use options::LiveOptions;
pub use points::{Offender, points_prefix};
pub use published::{LiveReader, LiveTable};
pub use service::{
    Applied, ApplyError, Counters, Done, IN_FORCE_BOUNDS, Live, LocalChange, Merge, OnChanges,
    OnReports, Request, TimesToForce,
};
pub use table::{Hit, Hits, Snapshot};
pub use target::{ParseTargetError, Target, parse_target};

/// A change of the store.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "live-store"),
    expect(dead_code, reason = "only the store reads what has changed")
)]
enum Change {
    Put(Decision),
    Remove(Decision),
    PutImported(Imported),
    RemoveImported(std::sync::Arc<str>),
}
