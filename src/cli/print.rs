//! What is printed for people: the line at the start, the report on SIGUSR1, the lines of `-d`.

use core::fmt::{Display, Write as _};
use core::time::Duration;
use std::io::{self, Write as _};

use haproxy_spoa::{Agent, TakeoverEvent};
use haproxy_spoa::{Latency, Report, WorkerReport};
use iprep_spoa::feeds::status::Status;
use iprep_spoa::host::log::Printable;
use tracing::{Level, info, warn};

use super::log;

/// One line in the program's name, where there is no log. A stderr that is gone is no reason to end.
pub(crate) fn say(line: impl Display) {
    let _ = io::stderr()
        .lock()
        .write_all(format!("spoa: {}\n", Printable(&line.to_string())).as_bytes());
}

/// A line of `-d`, with the time of day in UTC.
#[cfg(feature = "trace")]
pub(crate) fn trace(line: &str) {
    use std::time::SystemTime;

    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let (second, us) = (now.as_secs() % 86_400, now.subsec_micros());
    let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
    let line = format!("{hours:02}:{minutes:02}:{seconds:02}.{us:06} {line}\n");
    log::print(Level::DEBUG, &line);
}

/// The line at the start: addresses, workers, cores.
pub(crate) fn started(agent: &Agent) {
    let cores = agent.cores();
    let workers = cores.len();
    let numbers = cores
        .iter()
        .map(|core| core.map_or_else(|| "any".into(), |core| core.to_string()));
    let numbers = numbers.collect::<Vec<_>>();
    info!(
        address = joined(agent.addresses(), ","),
        version = env!("CARGO_PKG_VERSION"),
        workers,
        cores = joined(&numbers, ","),
        max_connections = agent.connections_max(),
        "listening"
    );
    for address in agent.taken_over() {
        info!(%address, "address taken over");
    }
    for (address, error) in agent.not_offered() {
        let hint = "another process has its abstract socket; end it and restart";
        warn!(%address, %error, hint, "takeover unavailable");
    }
    for open in agent.exposed() {
        let hint = "SPOP has no authentication; restrict clients with allow-from, or require \
                    certificates with ssl";
        warn!(address = %open, hint, "address exposed");
    }
}

/// Where it listens.
pub(crate) fn listening(agent: &Agent) -> String {
    format!("listening on {}", joined(agent.addresses(), ", "))
}

fn joined(items: &[impl Display], separator: &str) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(separator)
}

/// The answer to SIGUSR1: a line per worker and one for all, then one per list.
pub(crate) fn report(report: &Report, status: Option<&Status>) {
    let mut text = report_text(report);
    if let Some(status) = status {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{status}");
    }
    log::print(Level::INFO, &text);
}

fn report_text(report: &Report) -> String {
    let mut text = String::from(
        "spoa: latency from the read that completed a NOTIFY to the write that sent its ACK; \
         time in the kernel before and after is not in it\n",
    );
    let mut all: Option<WorkerReport> = None;
    for worker in &report.workers {
        let core = worker
            .core
            .map_or_else(|| "any".into(), |core| core.to_string());
        line(
            &mut text,
            worker,
            format_args!("worker={} core={core}", worker.worker),
        );
        match &mut all {
            None => all = Some(worker.clone()),
            Some(all) => {
                all.open += worker.open;
                all.counters.add(&worker.counters);
                all.latency.add(&worker.latency);
            }
        }
    }
    if let Some(all) = &all {
        line(&mut text, all, format_args!("worker=all core=all"));
    }
    for silent in &report.silent {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "worker={silent} did not answer");
    }
    text
}

fn line(text: &mut String, worker: &WorkerReport, who: impl Display) {
    let latency = &worker.latency;
    let _ = write!(text, "{who} open={} count={}", worker.open, latency.count());
    for (name, percent) in [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)] {
        let _ = write!(text, " {name}={}", Time(latency.percentile(percent)));
    }
    let _ = write!(
        text,
        " max={} {}",
        Time(latency.max()),
        over_budget(latency)
    );
    for (name, count) in worker.counters.iter() {
        let _ = write!(text, " {name}={count}");
    }
    text.push('\n');
}

fn over_budget(latency: &Latency) -> String {
    format!("over_{:?}={}", latency.budget(), latency.over_budget())
}

/// A time in microseconds with one decimal.
struct Time(Duration);

impl Display for Time {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let ns = self.0.as_nanos();
        write!(f, "{}.{}us", ns / 1000, ns / 100 % 10)
    }
}

#[cfg(test)]
mod tests {
    use haproxy_spoa::{Counters, Refusals, States};

    use super::*;

    #[test]
    fn a_report_has_a_line_per_worker_and_one_for_all() {
        let worker = |worker| {
            let mut latency = Latency::new(Duration::from_millis(10));
            latency.record(Duration::from_micros(5), 9);
            latency.record(Duration::from_millis(20), 1);
            let counters = Counters {
                notifies: 10,
                ..Counters::default()
            };
            WorkerReport {
                over_source_limit: None,
                unread: None,
                worker,
                core: Some(worker),
                open: 3,
                states: States::default(),
                counters,
                refusals: Refusals::default(),
                tallies: Vec::new(),
                latency,
            }
        };
        let text = report_text(&Report {
            workers: vec![worker(0), worker(1)],
            silent: vec![2],
        });
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(
            lines[1].starts_with("worker=0 core=0 open=3 count=10 p50=5.0us "),
            "{text}"
        );
        assert!(
            lines[3].starts_with("worker=all core=all open=6 count=20 p50=5.0us "),
            "{text}"
        );
        assert!(lines[3].contains(" over_10ms=2 notifies=20 "), "{text}");
        assert_eq!(lines[4], "worker=2 did not answer");
    }
}

/// Logs what happens to the agent's addresses in a takeover.
pub(crate) fn takeover(event: TakeoverEvent) {
    match event {
        TakeoverEvent::HandedOver { address, pid, uid } => {
            info!(%address, pid, uid, "sockets handed over");
        }
        TakeoverEvent::Serving { address, pid } => info!(%address, pid, "takeover complete"),
        TakeoverEvent::Ended {
            address,
            pid,
            had_served: true,
        } => info!(%address, pid, "takeover reverted"),
        TakeoverEvent::Ended { address, pid, .. } => {
            warn!(%address, pid, "takeover abandoned");
        }
        TakeoverEvent::Refused { address, pid, uid } => {
            warn!(%address, pid, uid, "takeover refused");
        }
        TakeoverEvent::Declined { address, pid, uid } => {
            warn!(%address, pid, uid, "takeover declined");
        }
        TakeoverEvent::Failed { address, pid, why } => {
            warn!(%address, pid, error = why, "takeover failed");
        }
        _ => {}
    }
}
