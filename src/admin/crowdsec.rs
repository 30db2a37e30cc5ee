//! `/crowdsec`: how the LAPI is followed, as JSON. docs/openapi.json describes it.

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde::Serialize;

use super::reply::{Kind as BodyKind, Reply, line, reply};
use super::routes::AdminState;
use crate::crowdsec::CrowdSec;
use crate::live::time;

#[derive(Debug, Serialize)]
struct Shown {
    url: String,
    connected: bool,
    last_poll: Option<String>,
    last_success: Option<String>,
    last_full: Option<String>,
    polls: u64,
    failures: u64,
    error: Option<String>,
    decisions: Vec<Counted>,
    lifted: u64,
    unusable: BTreeMap<&'static str, u64>,
    filtered: u64,
}

#[derive(Debug, Serialize)]
struct Counted {
    #[serde(rename = "type")]
    kind: &'static str,
    origin: String,
    count: u64,
}

pub(super) fn status(office: &AdminState) -> Reply {
    let Some(subject) = office.desk.subject() else {
        return line(StatusCode::SERVICE_UNAVAILABLE, "the agent is starting");
    };
    let crowdsec = subject.engine.as_ref().map(|(remote, _)| remote.crowdsec());
    let status = crowdsec.and_then(CrowdSec::status);
    let (Some(status), Some(live)) = (status, &subject.live) else {
        let why =
            "CrowdSec is not followed; add a [crowdsec] section to the configuration and reload";
        return line(StatusCode::CONFLICT, why);
    };
    let counts = live.import_counts();
    let decisions = counts
        .in_force
        .iter()
        .map(|((kind, origin), count)| Counted {
            kind: kind.name(),
            origin: origin.to_string(),
            count: *count,
        });
    let shown = Shown {
        url: status.url,
        connected: status.error.is_none() && status.last_success.is_some(),
        last_poll: status.last_poll.map(time::rfc3339),
        last_success: status.last_success.map(time::rfc3339),
        last_full: status.last_full.map(time::rfc3339),
        polls: status.polls,
        failures: status.failures,
        error: status.error,
        decisions: decisions.collect(),
        lifted: counts.lifted,
        unusable: status.unusable,
        filtered: status.filtered,
    };
    let text = serde_json::to_string(&shown).unwrap_or_default();
    reply(StatusCode::OK, BodyKind::Json, text + "\n")
}
