//! Live decisions: how many there are, what changed, and the store.

use crate::admin::exposition::{Exposition, Kind};
use crate::admin::figures::Figures;
use crate::live::{Counters, IN_FORCE_BOUNDS, Live};

pub(super) fn live(text: &mut Exposition, figures: &Figures) {
    let live = figures.subject.live.as_ref();
    let Some(live) = live.filter(|live| live.options().is_some()) else {
        return;
    };
    let help = "Live decisions, by type and origin; expired ones are removed every 10 s.";
    let mut decisions = text.family("spoa_live_decisions", Kind::Gauge, help);
    for ((kind, origin), count) in live.counts() {
        decisions.sample(&[("type", &kind.name()), ("origin", &origin)], count);
    }
    let counters = live.counters();
    for (name, help, count) in [
        (
            "spoa_live_changes_total",
            "Live decisions made or removed.",
            counters.changes,
        ),
        (
            "spoa_live_refused_total",
            "Live decisions refused because the most are in force.",
            counters.refused,
        ),
        (
            "spoa_live_store_errors_total",
            "Failures to open or write the store.",
            counters.store_errors,
        ),
    ] {
        text.one(name, Kind::Counter, help, count);
    }
    text.one(
        "spoa_live_stored",
        Kind::Gauge,
        "Whether the store has all decisions in force.",
        u8::from(counters.stored),
    );
    in_force(text, live);
    if live.has_behavior() {
        behavior(text, &counters);
    }
}

fn in_force(text: &mut Exposition, live: &Live) {
    let times = live.times_to_force();
    let help = "From a request for a change to when every worker answers with it.";
    let mut family = text.family("spoa_live_in_force_seconds", Kind::Histogram, help);
    let mut below = 0;
    for (bound, count) in IN_FORCE_BOUNDS.iter().zip(times.counts) {
        below += count;
        family.part("_bucket", &[("le", &bound.as_secs_f64())], below);
    }
    family.part("_bucket", &[("le", &"+Inf")], times.count);
    family.part("_sum", &[], times.sum.as_secs_f64());
    family.part("_count", &[], times.count);
}

fn behavior(text: &mut Exposition, counters: &Counters) {
    text.one(
        "spoa_behavior_addresses",
        Kind::Gauge,
        "Addresses that have points.",
        counters.addresses,
    );
    for (name, help, count) in [
        (
            "spoa_behavior_evicted_total",
            "Addresses whose points were forgotten at max-addresses.",
            counters.evicted,
        ),
        (
            "spoa_behavior_bans_total",
            "Bans of addresses whose points reached ban-at.",
            counters.behavior_bans,
        ),
        (
            "spoa_behavior_private_reports_total",
            "Reports of private addresses, ignored.",
            counters.private_reports,
        ),
    ] {
        text.one(name, Kind::Counter, help, count);
    }
}
