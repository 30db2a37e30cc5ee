//! What is made of the lists, and who is told.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, info, warn};

use super::super::snapshot::{self, MakeError};
use super::super::status::Status;
use super::Engine;
use crate::host::log::rounded;
use crate::host::now;
use crate::policy::Policy;

/// How often a table with half-lives is made anew: this many times a half-life, within bounds.
const AGEINGS: u32 = 100;
const AGEING_MIN: Duration = Duration::from_mins(1);
const AGEING_MAX: Duration = Duration::from_hours(1);

impl Engine {
    /// A list was confirmed: it is stale later. The table stays.
    pub(super) fn refresh(&mut self) {
        let current = self.published.current();
        let stale_from = snapshot::stale_from(&self.store);
        let refreshed = Policy::clone(&current).stale_from(stale_from);
        drop(current);
        self.replace(refreshed);
    }

    fn replace(&mut self, policy: Policy) {
        self.retired.push(self.published.swap(policy));
        (self.replaced)();
    }

    /// Frees policies that no worker has any more.
    pub(super) fn reap_retired(&mut self) {
        let is_over = |policy: &mut Arc<Policy>| Arc::strong_count(policy) == 1;
        let over: Vec<_> = self.retired.extract_if(.., is_over).collect();
        if !over.is_empty() {
            self.background.free(over);
        }
    }

    /// Says how a reload went, in the words that are returned.
    ///
    /// # Errors
    /// If a file is not used, whether or not that is known already: somebody has asked.
    pub(super) fn reloaded(&self) -> Result<String, String> {
        let status = self.remote().status();
        let lists = self.store.kept.len();
        let line = format!(
            "reloaded: {} entries of {lists} lists in {} ranges",
            status.entries, status.ranges
        );
        let unused = self.store.unused_files().chain(self.databases.unused());
        let unused: Vec<_> = unused.collect();
        if unused.is_empty() {
            info!(
                entries = status.entries,
                lists,
                ranges = status.ranges,
                "configuration reloaded"
            );
            return Ok(line);
        }
        let error = unused.join("; ");
        warn!(
            entries = status.entries,
            lists,
            ranges = status.ranges,
            error,
            "configuration reloaded with errors"
        );
        Err(format!("{line}; not used: {error}"))
    }

    /// Makes a policy and publishes it.
    pub(super) fn publish(&mut self) -> Result<(), MakeError> {
        let (time, begun) = (now(), Instant::now());
        let (config, background) = (&self.config, &self.background);
        let live = Some(&self.live);
        let made = snapshot::make(config, &self.store, &self.databases, live, time, background)?;
        if config.live.is_some() {
            self.live
                .set_allowed(snapshot::allowed(config, &self.store));
        }
        self.replace(made.policy);
        self.ageing = self.next_ageing();
        self.update(|status| {
            status.reloads += 1;
            status.published = Some(time);
            status.took = begun.elapsed();
            status.entries = made.table.as_ref().map_or(0, |table| table.entries());
            status.ranges = made.table.as_ref().map_or(0, |table| table.ranges());
            status.bytes = made.table.as_ref().map_or(0, |table| table.bytes());
        });
        let entries = made.table.as_ref().map_or(0, |table| table.entries());
        let took = rounded(begun.elapsed());
        debug!(entries, ?took, "table published");
        drop(made.table);
        self.show();
        Ok(())
    }

    /// The same; what is wrong is said, and the last good policy stays.
    pub(super) fn publish_or_say(&mut self) -> bool {
        let made = self.publish();
        if let Err(error) = &made {
            self.ageing = None;
            warn!(%error, "table not built");
        }
        made.is_ok()
    }

    /// Half-lives go on while nothing else happens.
    pub(super) fn next_ageing(&self) -> Option<Instant> {
        let half_lives = self.config.feeds.iter().filter_map(|feed| feed.half_life);
        let step = half_lives.min()? / AGEINGS;
        Some(Instant::now() + step.clamp(AGEING_MIN, AGEING_MAX))
    }

    /// Brings the status up to date.
    pub(super) fn show(&self) {
        let time = now();
        let feeds = self.store.kept.iter().map(|kept| kept.status(time));
        let feeds: Vec<_> = feeds.collect();
        self.update(|status| {
            status.retired = self.retired.len();
            status.refusals = self.refusals;
            status.feeds = feeds;
        });
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Status)) {
        if let Ok(mut status) = self.status.lock() {
            change(&mut status);
        }
    }
}
