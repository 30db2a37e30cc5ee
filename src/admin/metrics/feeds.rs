//! What is known of lists, of the table made of them, and of reloads.

use std::collections::HashSet;

use crate::admin::exposition::{Exposition, Kind};
use crate::admin::figures::Figures;
use crate::feeds::status::{FeedStatus, Status};

pub(super) fn feeds(text: &mut Exposition, figures: &Figures) {
    let Some(status) = &figures.status else {
        return;
    };
    reloads(text, status);
    let feeds = named(&status.feeds);
    let mut entries = text.family(
        "spoa_feed_entries",
        Kind::Gauge,
        "Entries of a list in use.",
    );
    for (name, feed) in &feeds {
        entries.sample(&[("feed", name), ("family", &"ipv4")], feed.v4);
        entries.sample(&[("feed", name), ("family", &"ipv6")], feed.v6);
    }
    let flag = |is_so: bool| Some(u64::from(is_so));
    gauge(
        text,
        &feeds,
        "spoa_feed_last_load_successful",
        "Whether the latest attempt to load a list succeeded.",
        |feed| flag(feed.error.is_none() && feed.last_success.is_some()),
    );
    gauge(
        text,
        &feeds,
        "spoa_feed_stale",
        "Whether a list is older than its stale-after.",
        |feed| flag(feed.stale),
    );
    gauge(
        text,
        &feeds,
        "spoa_feed_cached",
        "Whether a list is the copy that an earlier process left on disk.",
        |feed| flag(feed.from_cache),
    );
    gauge(
        text,
        &feeds,
        "spoa_feed_consecutive_failures",
        "Failed attempts to load a list since the last successful one.",
        |feed| Some(feed.failures),
    );
    failures(text, &feeds);
    gauge(
        text,
        &feeds,
        "spoa_feed_invalid_lines",
        "Lines that were left out of a list in use.",
        |feed| Some(feed.wrong),
    );
    gauge(
        text,
        &feeds,
        "spoa_feed_data_timestamp_seconds",
        "When the data of a list was made, in seconds since 1970.",
        |feed| feed.as_of.map(u64::from),
    );
    gauge(
        text,
        &feeds,
        "spoa_feed_last_success_timestamp_seconds",
        "When a list was last read or confirmed, in seconds since 1970.",
        |feed| feed.last_success.map(u64::from),
    );
}

/// How often each list could not be loaded, since the start.
fn failures(text: &mut Exposition, feeds: &[(String, &FeedStatus)]) {
    let mut family = text.family(
        "spoa_feed_load_failures_total",
        Kind::Counter,
        "Failed attempts to load a list.",
    );
    for (feed, status) in feeds {
        family.sample(&[("feed", feed)], status.failures_total);
    }
}

fn gauge(
    text: &mut Exposition,
    feeds: &[(String, &FeedStatus)],
    name: &'static str,
    help: &str,
    value: impl Fn(&FeedStatus) -> Option<u64>,
) {
    let mut family = text.family(name, Kind::Gauge, help);
    for (feed, status) in feeds {
        if let Some(value) = value(status) {
            family.sample(&[("feed", feed)], value);
        }
    }
}

fn reloads(text: &mut Exposition, status: &Status) {
    let counters = [
        (
            "spoa_table_updates_total",
            "Tables published after the first.",
            status.reloads,
        ),
        (
            "spoa_config_reload_failures_total",
            "Reloads whose configuration was invalid.",
            status.bad_configurations,
        ),
    ];
    for (name, help, value) in counters {
        text.one(name, Kind::Counter, help, value);
    }
    let gauges = [
        (
            "spoa_config_last_reload_successful",
            "Whether the configuration of the latest reload was valid.",
            u64::from(!status.bad_configuration),
        ),
        (
            "spoa_table_entries",
            "Entries in the table.",
            status.entries as u64,
        ),
        (
            "spoa_table_ranges",
            "Disjoint ranges that the entries became.",
            status.ranges as u64,
        ),
        (
            "spoa_table_bytes",
            "Memory that the table takes.",
            status.bytes as u64,
        ),
        (
            "spoa_policies_retired",
            "Policies that were replaced and that a worker still holds.",
            status.retired as u64,
        ),
    ];
    for (name, help, value) in gauges {
        text.one(name, Kind::Gauge, help, value);
    }
    if let Some(published) = status.published {
        text.one(
            "spoa_table_published_timestamp_seconds",
            Kind::Gauge,
            "When the table was made, in seconds since 1970.",
            published,
        );
    }
    let took = status.took.as_secs_f64();
    text.one(
        "spoa_table_build_duration_seconds",
        Kind::Gauge,
        "How long making and publishing the table took.",
        took,
    );
}

/// Lists by a name that none of the others has: a file may be on two lists.
fn named(feeds: &[FeedStatus]) -> Vec<(String, &FeedStatus)> {
    let mut taken = HashSet::new();
    let mut named = Vec::with_capacity(feeds.len());
    for feed in feeds {
        let mut name = feed.name.clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            name = format!("{} ({number})", feed.name);
            number += 1;
        }
        named.push((name, feed));
    }
    named
}
