//! Live decisions: how many there are, what changed, and the store.

use crate::admin::exposition::{Exposition, Kind};
use crate::admin::figures::Figures;

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
}
