//! `/status.json`: the figures for programs that are not Prometheus.

use serde_json::{Value, json};

use super::figures::Figures;
use super::history::Sample;
use crate::feeds::status::FeedStatus;
use haproxy_spoa::{Latency, WorkerReport};

pub(super) fn status(figures: &Figures, samples: &[Sample]) -> String {
    let subject = &figures.subject;
    let addresses = subject.addresses.iter().map(ToString::to_string);
    let status = figures.status.as_ref().map(|status| {
        json!({
            "entries": status.entries,
            "ranges": status.ranges,
            "bytes": status.bytes,
            "published": status.published,
            "build_seconds": status.took.as_secs_f64(),
            "reloads": status.reloads,
            "refusals": status.refusals,
            "bad_configurations": status.bad_configurations,
            "lists": status.feeds.iter().map(list).collect::<Vec<_>>(),
        })
    });
    let history = samples.iter().map(|sample| {
        json!({
            "rate": sample.rate,
            "p50": sample.p50.as_secs_f64(),
            "p99": sample.p99.as_secs_f64(),
            "p999": sample.p999.as_secs_f64(),
            "slow_answers": sample.over_budget,
        })
    });
    let all = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "process": std::process::id(),
        "uptime_seconds": figures.uptime.as_secs_f64(),
        "addresses": addresses.collect::<Vec<_>>(),
        "connections_max": subject.connections_max,
        "slow_threshold_seconds": subject.budget.as_secs_f64(),
        "draining": figures.draining,
        "log_level": subject.log.level().to_string(),
        "workers": figures.report.workers.iter().map(worker).collect::<Vec<_>>(),
        "silent": figures.report.silent,
        "all": figures.all.as_ref().map(worker),
        "reputation": status,
        "history": history.collect::<Vec<_>>(),
    });
    let mut text = all.to_string();
    text.push('\n');
    text
}

fn worker(worker: &WorkerReport) -> Value {
    let counters = worker
        .counters
        .iter()
        .map(|(name, count)| (name.to_owned(), count.into()));
    json!({
        "worker": worker.worker,
        "core": worker.core,
        "open": worker.open,
        "states": {
            "connecting": worker.states.connecting,
            "established": worker.states.established,
            "leaving": worker.states.leaving,
        },
        "counters": counters.collect::<serde_json::Map<_, _>>(),
        "latency": latency(&worker.latency),
        "tallies": worker.tallies.iter().map(|it| json!([it.kind, it.name, it.count])).collect::<Vec<_>>(),
        "refused": worker.refusals.last().map(|it| it.why.to_string()).collect::<Vec<_>>(),
    })
}

/// In seconds.
fn latency(latency: &Latency) -> Value {
    let percentile = |percent| latency.percentile(percent).as_secs_f64();
    json!({
        "count": latency.count(),
        "p50": percentile(50.0),
        "p90": percentile(90.0),
        "p99": percentile(99.0),
        "p999": percentile(99.9),
        "max": latency.max().as_secs_f64(),
        "slow_answers": latency.over_budget(),
    })
}

fn list(feed: &FeedStatus) -> Value {
    json!({
        "name": feed.name,
        "state": feed.state(),
        "stale": feed.stale,
        "format": feed.format.map(ip_reputation::formats::Format::name),
        "v4": feed.v4,
        "v6": feed.v6,
        "wrong": feed.wrong,
        "as_of": feed.as_of,
        "last_success": feed.last_success,
        "failures": feed.failures,
        "error": feed.error,
    })
}
