//! Everything that a configuration names, read once: for a check, and to look addresses up.

use std::sync::Arc;
use std::thread;

use super::background::BackgroundExecutor;
use super::databases::Databases;
use super::fetch;
use super::lists::{List, Selection, lists};
use super::load::{LoadError, LoadedFeed};
use super::outcome::Outcome;
use super::snapshot::{self, MakeError};
use super::source::memory;
use super::store::FeedStore;
use crate::config::{Config, Place};
use crate::host::now;
use crate::live::Live;
use crate::policy::Policy;
use ip_reputation::{Role, Table};

/// Which URLs are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchMode {
    /// All of them.
    All,
    /// Those of which there is no copy on disk.
    Missing,
    /// None.
    Nothing,
}

/// What a configuration comes to now.
#[derive(Debug)]
pub struct OfflineCheck {
    /// The policy.
    pub policy: Policy,
    /// The table, if the source is feeds.
    pub table: Option<Arc<Table>>,
    /// Each list, in the order of the configuration.
    pub findings: Vec<Finding>,
    /// What is wrong with the databases.
    pub database_errors: Vec<String>,
}

/// What was found of one list.
#[derive(Debug, Clone)]
pub struct Finding {
    /// How people call the list.
    pub title: String,
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub place: String,
    /// Whether nobody says which format it is in.
    pub is_format_assumed: bool,
    /// Entries whose time is over.
    pub expired: usize,
    /// What it is to the table.
    pub role: Role,
    /// What was read, if it is good.
    pub good: Option<LoadedFeed>,
    /// Why it is not.
    pub error: Option<String>,
    /// Whether this is the copy on disk.
    pub from_cache: bool,
    /// Whether it is older than its `stale-after`.
    pub stale: bool,
    /// The share of its lines that may be wrong.
    pub max_invalid_ratio: f64,
}

/// Entries whose time is over.
fn expired(good: &LoadedFeed, now: u32) -> usize {
    let entries = good.data.entries();
    let is_over = |entry: &ip_reputation::Entry<'_>| entry.expires.is_some_and(|end| end <= now);
    entries.filter(is_over).count()
}

impl OfflineCheck {
    /// Reads everything and makes a policy of it, with these live decisions. Nothing is written, not even
    /// the cache.
    ///
    /// # Errors
    /// If no policy can be made of it.
    pub fn read(
        config: &Config,
        asking: FetchMode,
        live: Option<&Live>,
    ) -> Result<Self, MakeError> {
        let (mut store, here) = (FeedStore::default(), BackgroundExecutor::default());
        memory::set_max(config.reputation.max_fetch_memory);
        let cache = config.reputation.cache_dir.clone();
        store.adopt(lists(config), cache.filter(|_| asking != FetchMode::All));
        store.read_copies(now(), &here);
        store.forget_cache();
        store.read_files(Selection::All, now(), &here);
        if asking != FetchMode::Nothing {
            ask_missing(&mut store);
        }
        let mut databases = Databases::default();
        let reputation = &config.reputation;
        databases.adopt(reputation.asn_db.as_ref(), reputation.country_db.as_ref());
        databases.read(Selection::All, &here);
        let made = snapshot::make(config, &store, &databases, live, now(), &here)?;
        let is_asked = |list: &List| match list.feed.place {
            Place::Path(_) => true,
            Place::Url(_) => asking != FetchMode::Nothing,
        };
        let findings = store.kept.into_iter().map(|kept| Finding {
            title: kept.list.title(),
            name: kept.list.feed.name.to_string(),
            place: kept.list.feed.place.to_string(),
            is_format_assumed: kept.list.feed.format.is_none(),
            expired: kept.good.as_ref().map_or(0, |good| expired(good, now())),
            role: kept.list.role,
            stale: kept.stale_from().is_some_and(|from| from <= now()),
            error: kept.error.or_else(|| {
                let is_missing = kept.good.is_none() && !is_asked(&kept.list);
                is_missing.then(|| "not asked, and there is no copy".to_owned())
            }),
            good: kept.good,
            from_cache: kept.from_cache,
            max_invalid_ratio: kept.list.feed.max_invalid_ratio,
        });
        Ok(Self {
            policy: made.policy,
            table: made.table,
            findings: findings.collect(),
            database_errors: databases
                .unused()
                .map(|error| format!("not used: {error}"))
                .collect(),
        })
    }
}

/// Asks every URL of which there is nothing, all at once, and waits. What came of each.
pub(super) fn ask_missing(store: &mut FeedStore) -> Vec<(List, Answered)> {
    let missing = store.urls().filter(|kept| kept.good.is_none());
    let missing: Vec<List> = missing.map(|kept| kept.list.clone()).collect();
    let results: Vec<_> = thread::scope(|scope| {
        let ask = |list: List| {
            scope.spawn(move || {
                let result = fetch::fetch(&list.feed, None, now(), &BackgroundExecutor::default());
                (list, result)
            })
        };
        let asked: Vec<_> = missing.into_iter().map(ask).collect();
        let answers = asked.into_iter().filter_map(|thread| thread.join().ok());
        answers.collect()
    });
    let taken = results.into_iter().map(|(list, result)| {
        let retry_after = result.as_ref().err().and_then(LoadError::retry_after);
        let outcome = store.fetched(&list, result, now(), &BackgroundExecutor::default());
        let answered = Answered {
            outcome: outcome?,
            retry_after,
        };
        Some((list, answered))
    });
    taken.flatten().collect()
}

/// What came of asking one URL.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) outcome: Outcome,
    /// When the server wants to be asked again.
    pub(super) retry_after: Option<core::time::Duration>,
}
