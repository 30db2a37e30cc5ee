//! Follows the decisions of a CrowdSec local API (LAPI) and puts them among the live decisions.
//!
//! ```text
//!  LAPI ── GET /v1/decisions/stream ──▶ thread "crowdsec": Client ─▶ Reading ─▶ Import ─▶ Live
//!       ◀── POST /v1/usage-metrics ────
//! ```
//!
//! In scope: when to poll, what an answer means, what to make of a bad one. Out of scope: which of several
//! decisions counts, expiry and the store ([`live`](crate::live)): these go on without the LAPI.

#[cfg(feature = "crowdsec")]
mod client;
#[cfg(feature = "crowdsec")]
mod duration;
#[cfg(feature = "crowdsec")]
mod follower;
mod options;
#[cfg(feature = "crowdsec")]
mod stream;
#[cfg(feature = "crowdsec")]
mod unix;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use crate::live::{Import, Live, Request};
use crate::policy::PolicyCell;
pub use options::{Credentials, CrowdSecOptions, ParseUrlError, SCOPES, Url};

/// How it goes.
#[derive(Debug, Default, Clone)]
pub struct Status {
    /// The LAPI.
    pub url: String,
    /// The last poll, in seconds since 1970.
    pub last_poll: Option<u32>,
    /// The last poll that was answered well.
    pub last_success: Option<u32>,
    /// The last answer with all decisions.
    pub last_full: Option<u32>,
    /// Polls that were answered well.
    pub polls: u64,
    /// Polls that failed.
    pub failures: u64,
    /// Why the last poll failed; none if it did not.
    pub error: Option<String>,
    /// Decisions that were received and cannot be used, by why.
    pub unusable: BTreeMap<&'static str, u64>,
    /// Decisions that `origins` or `scopes` leave out, in all answers.
    pub filtered: u64,
}

#[derive(Debug, Default)]
struct Slot {
    /// None: `[crowdsec]` is not configured.
    options: Option<CrowdSecOptions>,
    status: Status,
    is_started: bool,
    /// To the thread, once there is one.
    #[cfg_attr(
        not(feature = "crowdsec"),
        expect(dead_code, reason = "there is no thread")
    )]
    sender: Option<mpsc::Sender<Option<CrowdSecOptions>>>,
}

/// What follows a LAPI, if one is configured. A clone is the same one.
#[derive(Debug, Clone)]
pub struct CrowdSec {
    live: Live,
    #[cfg_attr(
        not(feature = "crowdsec"),
        expect(dead_code, reason = "there is no thread")
    )]
    policy: PolicyCell,
    slot: Arc<Mutex<Slot>>,
}

impl CrowdSec {
    /// One that follows nothing yet.
    #[must_use]
    pub fn new(live: Live, policy: PolicyCell) -> Self {
        Self {
            live,
            policy,
            slot: Arc::default(),
        }
    }

    /// Sets what to follow; `None`: nothing, and what came from CrowdSec ends.
    pub fn configure(&self, options: Option<&CrowdSecOptions>) {
        let mut slot = self.lock();
        let had = slot.options.is_some();
        slot.options = options.cloned();
        slot.status = Status {
            url: options.map(|it| it.url.to_string()).unwrap_or_default(),
            ..Status::default()
        };
        if slot.is_started {
            self.follow(&mut slot);
            if had && options.is_none() {
                self.clear();
            }
        }
    }

    /// Begins to follow. The live decisions have been started.
    pub fn start(&self) {
        let mut slot = self.lock();
        slot.is_started = true;
        self.follow(&mut slot);
        if slot.options.is_none() && self.live.import_counts().total() > 0 {
            self.clear();
        }
    }

    /// How it goes; none without `[crowdsec]`.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        let slot = self.lock();
        slot.options.as_ref().map(|_| slot.status.clone())
    }

    /// Ends what came from CrowdSec.
    fn clear(&self) {
        let none = Import {
            is_all: true,
            ..Import::default()
        };
        self.live.apply(Request::Import(none), Box::new(drop));
    }

    #[cfg(feature = "crowdsec")]
    fn follow(&self, slot: &mut Slot) {
        if let Some(sender) = &slot.sender {
            // The thread ends with the process.
            let _ = sender.send(slot.options.clone());
        } else if let Some(options) = slot.options.clone() {
            let (sender, receiver) = mpsc::channel();
            match follower::start(self.clone(), options, receiver) {
                Ok(()) => slot.sender = Some(sender),
                Err(error) => {
                    let why = format!("no thread to follow CrowdSec: {error}");
                    tracing::error!(error = %why, "crowdsec thread not started");
                    slot.status.error = Some(why);
                }
            }
        }
    }

    #[cfg(not(feature = "crowdsec"))]
    #[expect(clippy::unused_self, reason = "the feature needs it")]
    fn follow(&self, _: &mut Slot) {}

    #[cfg(feature = "crowdsec")]
    fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.lock().status);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
