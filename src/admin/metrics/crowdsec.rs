//! What is known of a LAPI; nothing without `[crowdsec]`.

use super::super::exposition::{Exposition, Kind};
use super::super::figures::Figures;

pub(super) fn crowdsec(text: &mut Exposition, figures: &Figures) {
    let subject = &figures.subject;
    let engine = subject.engine.as_ref();
    let status = engine.and_then(|(remote, _)| remote.crowdsec().status());
    let (Some(status), Some(live)) = (status, &subject.live) else {
        return;
    };
    let is_connected = status.error.is_none() && status.last_success.is_some();
    text.one(
        "spoa_crowdsec_connected",
        Kind::Gauge,
        "Whether the last poll of the LAPI was answered well.",
        u8::from(is_connected),
    );
    text.one(
        "spoa_crowdsec_last_success_timestamp_seconds",
        Kind::Gauge,
        "When the LAPI last answered well, in seconds since 1970; 0 if never.",
        status.last_success.unwrap_or(0),
    );
    let mut polls = text.family(
        "spoa_crowdsec_polls_total",
        Kind::Counter,
        "Polls of the LAPI, by result.",
    );
    polls.sample(&[("result", &"ok")], status.polls);
    polls.sample(&[("result", &"failed")], status.failures);
    let counts = live.import_counts();
    let mut decisions = text.family(
        "spoa_crowdsec_decisions",
        Kind::Gauge,
        "Decisions of CrowdSec in force, by type and CrowdSec's own origin.",
    );
    for ((kind, origin), count) in &counts.in_force {
        decisions.sample(&[("type", kind), ("origin", origin)], *count);
    }
    text.one(
        "spoa_crowdsec_lifted",
        Kind::Gauge,
        "Decisions of CrowdSec that were unbanned here and are not over.",
        counts.lifted,
    );
    let mut unusable = text.family(
        "spoa_crowdsec_unusable",
        Kind::Gauge,
        "Decisions of CrowdSec without effect: invalid, or of a scope without its database.",
    );
    for (reason, count) in &status.unusable {
        unusable.sample(&[("reason", reason)], *count);
    }
}
