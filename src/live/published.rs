//! The snapshot in force, and how it is replaced without a pause. As
//! [`policy::PolicyCell`](crate::policy::PolicyCell) does it: a worker pays one atomic load, and never frees.

use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

use super::Snapshot;

/// The live table. A clone is the same one.
#[derive(Debug, Clone, Default)]
pub struct LiveTable {
    current: Arc<ArcSwap<Snapshot>>,
}

impl LiveTable {
    /// Replaces the snapshot. The old one is for the caller to hold until no worker has it.
    #[must_use = "dropped here, a worker may be the one that has to free it"]
    pub(super) fn swap(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        self.current.swap(Arc::new(snapshot))
    }

    /// The snapshot in force.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// A reader that costs one atomic load as long as nothing has been replaced.
    #[must_use]
    pub fn reader(&self) -> LiveReader {
        LiveReader(Cache::new(Arc::clone(&self.current)))
    }
}

/// What a worker looks decisions up with.
#[derive(Debug)]
pub struct LiveReader(Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>);

impl LiveReader {
    /// The snapshot in force.
    #[inline]
    pub fn load(&mut self) -> &Snapshot {
        self.0.load()
    }
}
