//! A policy out of a configuration and the lists that it wants.

use core::fmt;
use std::sync::Arc;

use super::background::BackgroundExecutor;
use super::databases::Databases;
use super::lists::own_name;
use super::store::{FeedSlot, FeedStore};
use crate::config::{Aggregation, Config, OwnList, Source};
use crate::live::Live;
use crate::policy::{self, BehaviorPolicy, LivePolicy, Policy, PolicyConfig, PolicyError};
use ip_reputation::{
    Combine, Entry, FeedData, FeedDataBuilder, FeedTerms, PAYLOAD_BYTES_MAX, PayloadError,
    PayloadRules, Prefix, Role, Table, TableBuilder, TableFull, private_space,
};

/// Why no policy can be made.
#[derive(Debug)]
pub enum MakeError {
    /// The table has no room.
    Table(TableFull),
    /// The messages or actions make no sense.
    Policy(PolicyError),
    /// The payload rules make no sense.
    Payload(PayloadError),
}

impl fmt::Display for MakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(error) => error.fmt(f),
            Self::Policy(error) => error.fmt(f),
            Self::Payload(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for MakeError {}

/// A policy, and the table in it if it has one.
pub(super) struct Made {
    pub(super) policy: Policy,
    pub(super) table: Option<Arc<Table>>,
}

pub(super) fn make(
    config: &Config,
    store: &FeedStore,
    databases: &Databases,
    live: Option<&Live>,
    now: u32,
    background: &BackgroundExecutor,
) -> Result<Made, MakeError> {
    let table = match config.source() {
        Source::Random => None,
        Source::Feeds => Some(Arc::new(
            table(config, store, now, background).map_err(MakeError::Table)?,
        )),
    };
    let unknown = config.reputation.default_score;
    let source = match &table {
        None => policy::Source::Random,
        Some(table) => policy::Source::Table {
            table: Arc::clone(table),
            unknown,
        },
    };
    let terms = PolicyConfig {
        messages: config.messages.iter().map(|it| it.rules.clone()).collect(),
        source,
        asn: databases.asn.data.clone(),
        country: databases.country.data.clone(),
        live: live
            .zip(config.live.as_ref())
            .map(|(live, options)| LivePolicy {
                table: live.table(),
                challenge_score: options.challenge_score,
                behavior: options.behavior.as_ref().and_then(|behavior| {
                    let reports = live.reports()?;
                    Some(BehaviorPolicy::new(&behavior.message, reports))
                }),
            }),
        payload: payload(config, background)?,
        actions: config.reputation.actions.clone(),
        stale_from: stale_from(store),
    };
    let policy = Policy::new(terms).map_err(MakeError::Policy)?;
    Ok(Made { policy, table })
}

/// When the first list is older than it may be.
pub(super) fn stale_from(store: &FeedStore) -> Option<u32> {
    store.kept.iter().filter_map(FeedSlot::stale_from).min()
}

/// Every prefix of `[allow]` and its files.
pub(super) fn allowed(config: &Config, store: &FeedStore) -> Vec<Prefix> {
    let own = config.allow.prefixes.iter().copied();
    let files = store
        .kept
        .iter()
        .filter(|kept| kept.list.role == Role::Allow);
    let data = files.filter_map(|kept| kept.good.as_ref());
    let of_files = data.flat_map(|good| good.data.entries().map(|entry| entry.prefix));
    own.chain(of_files).collect()
}

fn payload(
    config: &Config,
    background: &BackgroundExecutor,
) -> Result<Option<Arc<PayloadRules>>, MakeError> {
    if config.payload.is_empty() {
        return Ok(None);
    }
    let rules: Vec<_> = config.payload.iter().map(|it| it.rule.clone()).collect();
    let bytes_max = config.payload_bytes_max.unwrap_or(PAYLOAD_BYTES_MAX);
    let made = background.run(move || PayloadRules::new(rules.clone(), bytes_max));
    Ok(Some(Arc::new(made.map_err(MakeError::Payload)?)))
}

/// The table of all lists that there are.
fn table(
    config: &Config,
    store: &FeedStore,
    now: u32,
    background: &BackgroundExecutor,
) -> Result<Table, TableFull> {
    let combine = match config.reputation.aggregation {
        Aggregation::NoisyOr => Combine::NoisyOr,
        Aggregation::Max => Combine::Worst,
    };
    let mut builder = TableBuilder::new(combine, config.reputation.default_score);
    for (role, own) in [(Role::Allow, &config.allow), (Role::Deny, &config.deny)] {
        if !own.prefixes.is_empty() {
            builder.feed(FeedTerms::new(own_name(role), role), Arc::new(data(own)));
        }
    }
    if config.reputation.ignore_private {
        let terms = FeedTerms::new(own_name(Role::Guard), Role::Guard);
        builder.feed(terms, Arc::new(private_space()));
    }
    for kept in &store.kept {
        let Some(good) = &kept.good else { continue };
        let feed = &kept.list.feed;
        let terms = FeedTerms {
            name: Arc::clone(&feed.name),
            role: kept.list.role,
            weight: feed.weight,
            half_life: feed.half_life,
            category: feed.category.clone(),
            group: feed.group.clone(),
            shadow: feed.shadow,
            as_of: good.as_of,
        };
        builder.feed(terms, Arc::clone(&good.data));
    }
    background.run(move || builder.clone().build(now))
}

fn data(own: &OwnList) -> FeedData {
    let mut builder = FeedDataBuilder::new();
    for prefix in &own.prefixes {
        // All entries have the same evidence: there is room for it.
        let _ = builder.add(Entry::bad(*prefix));
    }
    builder.finish()
}
