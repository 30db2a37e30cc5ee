//! `/fleet`: how the fleet is, as JSON. docs/openapi.json describes it.

use hyper::StatusCode;
use serde::Serialize;

use super::reply::{Kind, Reply, line, reply};
use super::routes::AdminState;
use crate::live::time::rfc3339;

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    node: &'a str,
    url: &'a str,
    connected: bool,
    error: Option<&'a str>,
    lag_seconds: Option<f64>,
    position: &'a str,
    queue: u64,
    dropped: u64,
    read: u64,
    written: u64,
    garbage: u64,
    gaps: u64,
    losses: u64,
    differences: u64,
    connects: u64,
    nodes: Vec<ShownNode<'a>>,
}

#[derive(Serialize)]
struct ShownNode<'a> {
    name: &'a str,
    seen: String,
    changed: Option<String>,
}

pub(super) fn show(office: &AdminState) -> Reply {
    let Some(subject) = office.desk.subject() else {
        return line(StatusCode::SERVICE_UNAVAILABLE, "the agent is starting");
    };
    let engine = subject.engine.as_ref();
    let Some(status) = engine.and_then(|(remote, _)| remote.fleet().status()) else {
        let why = "there is no fleet; add a [fleet] section to the configuration and reload";
        return line(StatusCode::CONFLICT, why);
    };
    let nodes = status.nodes.iter().map(|node| ShownNode {
        name: &node.name,
        seen: rfc3339(node.seen),
        changed: node.changed.map(rfc3339),
    });
    let shown = Shown {
        name: &status.name,
        node: &status.node,
        url: &status.url,
        connected: status.is_connected,
        error: status.error.as_deref(),
        lag_seconds: status
            .lag()
            .map(|lag| (lag.as_secs_f64() * 1e3).round() / 1e3),
        position: &status.position,
        queue: status.queue,
        dropped: status.dropped,
        read: status.read,
        written: status.written,
        garbage: status.garbage,
        gaps: status.gaps,
        losses: status.losses,
        differences: status.differences,
        connects: status.connects,
        nodes: nodes.collect(),
    };
    let text = serde_json::to_string(&shown).unwrap_or_default();
    reply(StatusCode::OK, Kind::Json, text + "\n")
}
