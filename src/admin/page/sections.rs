//! The sections of the page that move: tiles, plots, workers, lists, refusals.

use core::fmt::{Display, Write as _};
use core::time::Duration;

use super::html::Text;
use super::{plot, show};
use crate::admin::figures::Figures;
use crate::admin::history::{Sample, per_second};
use crate::feeds::status::{FeedStatus, Status};
use haproxy_spoa::WorkerReport;

pub(super) fn sections(figures: &Figures, samples: &[Sample]) -> String {
    let mut html = String::with_capacity(32 * 1024);
    facts(&mut html, figures);
    tiles(&mut html, figures, samples.last());
    let budget = figures.subject.budget;
    // Writing to a String cannot fail.
    let _ = write!(
        html,
        "<section><h2>Latency, the last two minutes</h2>{}<ul class=\"legend\">\
         <li class=\"p50\">p50</li><li class=\"p99\">p99</li><li class=\"p999\">p99.9</li>\
         <li class=\"budget\">budget {}</li></ul>{}</section>",
        plot::latencies(samples, budget),
        show::latency(budget),
        plot::rates(samples),
    );
    workers(&mut html, figures, samples.last());
    super::live::newest(&mut html, figures);
    if let Some(status) = &figures.status {
        feeds(&mut html, status, figures.now);
    }
    tallies(&mut html, figures);
    refusals(&mut html, figures);
    html
}

/// Whether all is well, for how long, and where.
fn facts(html: &mut String, figures: &Figures) {
    let report = &figures.report;
    let wrong = |feed: &&FeedStatus| feed.error.is_some() || feed.stale;
    let feeds = figures.status.iter().flat_map(|status| &status.feeds);
    let (class, state) = match () {
        () if figures.draining => ("warn", "draining".to_owned()),
        () if !report.silent.is_empty() => {
            ("bad", format!("silent workers: {}", report.silent.len()))
        }
        () => match feeds.filter(wrong).count() {
            0 => ("good", "ready".to_owned()),
            1 => ("warn", "ready, 1 list is not well".to_owned()),
            more => ("warn", format!("ready, {more} lists are not well")),
        },
    };
    let addresses = figures.subject.addresses.iter().map(ToString::to_string);
    let addresses = addresses.collect::<Vec<_>>().join(", ");
    let _ = write!(
        html,
        "<p class=\"facts\"><span class=\"badge {class}\">{state}</span> up {} · process {} · \
         listening on {}{}</p>",
        show::span(figures.uptime),
        std::process::id(),
        Text(addresses),
        figures
            .process
            .resident
            .map_or_else(String::new, |bytes| format!(
                " · {} in use",
                show::bytes(bytes)
            )),
    );
}

pub(super) fn tile(html: &mut String, name: &str, value: impl Display, note: impl Display) {
    let _ = write!(
        html,
        "<div><dt>{name}</dt><dd>{value}<small>{note}</small></dd></div>"
    );
}

fn tiles(html: &mut String, figures: &Figures, last: Option<&Sample>) {
    let Some(all) = &figures.all else { return };
    html.push_str("<dl class=\"tiles\">");
    let since_start = per_second(all.counters.notifies, figures.uptime.as_secs_f64());
    let rate = last.map_or(since_start, |last| last.rate);
    let when = if last.is_some() {
        "in all"
    } else {
        "in all, and a second since the start"
    };
    let total = format!("{} {when}", show::count(all.counters.notifies));
    tile(html, "NOTIFY / s", show::rate(rate), total);
    let most = show::count(figures.subject.connections_max as u64);
    tile(
        html,
        "Connections",
        show::count(all.open as u64),
        format!("of {most} at the most"),
    );
    let percentile = |percent| all.latency.percentile(percent);
    for (name, now, percent) in [
        ("p50", last.map(|it| it.p50), 50.0),
        ("p99", last.map(|it| it.p99), 99.0),
        ("p99.9", last.map(|it| it.p999), 99.9),
    ] {
        let ever = percentile(percent);
        let note = format!("{} since the start", show::latency(ever));
        tile(html, name, show::latency(now.unwrap_or(ever)), note);
    }
    let over = all.latency.over_budget();
    tile(
        html,
        "Over budget",
        show::count(over),
        format!("longer than {}", show::latency(figures.subject.budget)),
    );
    super::live::tile(html, figures);
    html.push_str("</dl>");
}

/// A table in a box that can be scrolled with the keyboard.
pub(super) fn table(
    html: &mut String,
    label: &str,
    columns: &[(&str, &str)],
    rows: impl FnOnce(&mut String),
) {
    let _ = write!(
        html,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{label}\"><table><thead><tr>"
    );
    for (class, name) in columns {
        let _ = write!(html, "<th scope=\"col\" class=\"{class}\">{name}</th>");
    }
    html.push_str("</tr></thead><tbody>");
    rows(html);
    html.push_str("</tbody></table></div>");
}

fn workers(html: &mut String, figures: &Figures, last: Option<&Sample>) {
    html.push_str("<section><h2>Workers</h2>");
    let columns = [
        ("t", "worker"),
        ("", "core"),
        ("", "open"),
        ("", "NOTIFY / s"),
        ("", "NOTIFYs"),
        ("", "p50"),
        ("", "p99"),
        ("", "p99.9"),
        ("", "longest"),
        ("", "over budget"),
        ("", "pauses"),
        ("", "refused"),
        ("", "in"),
        ("", "out"),
    ];
    table(html, "Workers", &columns, |html| {
        for (place, worker) in figures.report.workers.iter().enumerate() {
            let rate = last.and_then(|last| last.workers.get(place).copied());
            worker_row(html, worker.worker, worker, rate);
        }
        if let Some(all) = figures
            .all
            .as_ref()
            .filter(|_| figures.report.workers.len() > 1)
        {
            worker_row(html, "all", all, last.map(|last| last.rate));
        }
        for silent in &figures.report.silent {
            let _ = write!(
                html,
                "<tr><th scope=\"row\" class=\"t\">{silent}</th><td class=\"t\" colspan=\"13\">\
                 <span class=\"badge bad\">did not answer in time</span></td></tr>"
            );
        }
    });
    html.push_str("</section>");
}

fn worker_row(html: &mut String, name: impl Display, worker: &WorkerReport, rate: Option<f64>) {
    let core = worker
        .core
        .map_or_else(|| "any".to_owned(), |core| core.to_string());
    let core = if worker.worker.to_string() == name.to_string() {
        core
    } else {
        String::new()
    };
    let (latency, counters) = (&worker.latency, &worker.counters);
    let _ = write!(
        html,
        "<tr><th scope=\"row\" class=\"t\">{name}</th><td>{core}</td>"
    );
    let cells = [
        show::count(worker.open as u64),
        rate.map_or_else(|| "–".to_owned(), show::rate),
        show::count(counters.notifies),
        show::latency(latency.percentile(50.0)),
        show::latency(latency.percentile(99.0)),
        show::latency(latency.percentile(99.9)),
        show::latency(latency.max()),
        show::count(latency.over_budget()),
        show::count(counters.paused),
        show::count(counters.refused),
        show::bytes(counters.bytes_in),
        show::bytes(counters.bytes_out),
    ];
    for cell in cells {
        let _ = write!(html, "<td>{cell}</td>");
    }
    html.push_str("</tr>");
}

fn feeds(html: &mut String, status: &Status, now: u32) {
    let _ = write!(
        html,
        "<section><h2>Lists</h2><p class=\"facts\">{} entries in {} ranges, {}; made {} in {}; \
         {} reloads, {} refused</p>",
        show::count(status.entries as u64),
        show::count(status.ranges as u64),
        show::bytes(status.bytes as u64),
        show::ago(status.published, now),
        show::latency(status.took),
        show::count(status.reloads),
        show::count(status.refusals + status.bad_configurations),
    );
    let columns = [
        ("t", "list"),
        ("t", "state"),
        ("", "IPv4"),
        ("", "IPv6"),
        ("t", "format"),
        ("", "data of"),
        ("", "read"),
        ("", "wrong lines"),
        ("t", "why not the latest"),
    ];
    table(html, "Lists", &columns, |html| {
        for feed in &status.feeds {
            feed_row(html, feed, now);
        }
    });
    html.push_str("</section>");
}

fn feed_row(html: &mut String, feed: &FeedStatus, now: u32) {
    let class = match feed.state() {
        "absent" => "bad",
        "good" if !feed.stale => "good",
        _ => "warn",
    };
    let stale = if feed.stale { ", stale" } else { "" };
    let format = feed
        .format
        .map_or("–", ip_reputation::formats::Format::name);
    let _ = write!(
        html,
        "<tr><th scope=\"row\" class=\"t\">{}</th><td class=\"t\"><span class=\"badge {class}\">{}{stale}</span></td>\
         <td>{}</td><td>{}</td><td class=\"t\">{format}</td><td>{}</td><td>{}</td><td>{}</td>\
         <td class=\"t wide\">{}</td></tr>",
        Text(&feed.name),
        feed.state(),
        show::count(feed.v4 as u64),
        show::count(feed.v6 as u64),
        show::ago(feed.as_of, now),
        show::ago(feed.last_success, now),
        show::count(feed.wrong),
        Text(feed.error.as_deref().unwrap_or_default()),
    );
}

/// What handlers have counted, a small table for each kind.
fn tallies(html: &mut String, figures: &Figures) {
    let tallies = figures
        .all
        .as_ref()
        .map(|all| &all.tallies[..])
        .unwrap_or_default();
    if tallies.is_empty() {
        return;
    }
    html.push_str("<section><h2>Answers</h2><div class=\"columns\">");
    for kind in ["message", "action", "verdict", "report"] {
        let of_kind = tallies.iter().filter(|tally| tally.kind == kind);
        let mut of_kind: Vec<_> = of_kind.collect();
        if of_kind.is_empty() {
            continue;
        }
        of_kind.sort_by_key(|tally| core::cmp::Reverse(tally.count));
        table(html, kind, &[("t", kind), ("", "count")], |html| {
            for tally in of_kind {
                let (name, count) = (Text(&tally.name), show::count(tally.count));
                let _ = write!(
                    html,
                    "<tr><th scope=\"row\" class=\"t\">{name}</th><td>{count}</td></tr>"
                );
            }
        });
    }
    html.push_str("</div></section>");
}

fn refusals(html: &mut String, figures: &Figures) {
    html.push_str("<section><h2>Connections refused lately</h2>");
    let last = figures.all.iter().flat_map(|all| all.refusals.last().rev());
    let last: Vec<_> = last.collect();
    if last.is_empty() {
        html.push_str("<p class=\"none\">None.</p></section>");
        return;
    }
    let columns = [("t", "when"), ("t", "peer"), ("", "status"), ("t", "why")];
    table(html, "Connections refused lately", &columns, |html| {
        for refused in last {
            let ago: Duration = figures.taken.saturating_duration_since(refused.at);
            let peer = refused
                .peer
                .map_or_else(|| "UNIX socket".to_owned(), |peer| peer.to_string());
            let _ = write!(
                html,
                "<tr><td class=\"t\">{} ago</td><td class=\"t\">{}</td><td>{}</td><td class=\"t wide\">{}</td></tr>",
                show::span(ago),
                Text(peer),
                refused.why.status().0,
                Text(refused.why),
            );
        }
    });
    html.push_str("</section>");
}
