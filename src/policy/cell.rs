//! The policy that is in force, and how it is replaced without a pause.
//!
//! ```text
//!  control     swap(new) ──▶ [ current ] ──▶ old: kept until nobody else has it, then dropped
//!                               ▲   ▲
//!  workers     one atomic load ─┘   └─ one atomic load, for every NOTIFY
//! ```

use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

use super::Policy;

/// The policy in force. A clone is the same one: the control plane has one to publish with, and each
/// worker's [`PolicyHandler`](super::PolicyHandler) one to look at.
///
/// A judge keeps the policy that it looked at last until it looks again: at its next NOTIFY, or when
/// [`WorkerHooks::refresh`](haproxy_spoa::WorkerHooks::refresh) is called because there is none. So at most one per
/// worker is alive beside the current one. Freeing a large table takes long, so whoever replaces a
/// policy keeps the old one and drops it when [`Arc::strong_count`] says that it is the last to have
/// it: what a worker drops is then never the last one.
#[derive(Debug, Clone)]
pub struct PolicyCell {
    current: Arc<ArcSwap<Policy>>,
}

impl PolicyCell {
    /// The first policy.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            current: Arc::new(ArcSwap::from_pointee(policy)),
        }
    }

    /// Replaces the policy: every NOTIFY that a worker takes up from now on is answered with the new
    /// one. Returns the old one, which answers that are being given may still be using, and which is
    /// for the caller to keep until nobody else has it.
    #[must_use = "dropped here, a worker may be the one that has to free it"]
    pub fn swap(&self, policy: Policy) -> Arc<Policy> {
        self.current.swap(Arc::new(policy))
    }

    /// The policy in force.
    #[must_use]
    pub fn current(&self) -> Arc<Policy> {
        self.current.load_full()
    }

    /// A reader that costs one atomic load as long as nothing has been replaced.
    pub(super) fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.current))
    }
}

/// What a worker looks at the policy with.
pub(super) type Reader = Cache<Arc<ArcSwap<Policy>>, Arc<Policy>>;
