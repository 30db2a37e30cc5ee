//! Answers for a terminal: `spoa ctl status` and `spoa ctl histogram`.

use core::fmt::Write as _;
use core::time::Duration;

use super::figures::Figures;
use haproxy_spoa::WorkerReport;

/// The longest bar.
const BAR_MAX: u64 = 50;

/// How things are, a line for each thing: `key=value`, as SIGUSR1 has them.
pub(super) fn status(figures: &Figures) -> String {
    let mut text = String::new();
    let addresses = figures.subject.addresses.iter().map(ToString::to_string);
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "spoa version={} process={} up={}s draining={} connections_max={} listening={}",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        figures.uptime.as_secs(),
        figures.draining,
        figures.subject.connections_max,
        addresses.collect::<Vec<_>>().join(","),
    );
    each(figures, |name, worker| {
        let (latency, counters) = (&worker.latency, &worker.counters);
        let _ = write!(
            text,
            "worker={name} open={} notifies={} refused={} paused={}",
            worker.open, counters.notifies, counters.refused, counters.paused
        );
        for (name, percent) in [("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9)] {
            let _ = write!(text, " {name}={}", us(latency.percentile(percent)));
        }
        let _ = writeln!(
            text,
            " over_{:?}={}",
            latency.budget(),
            latency.over_budget()
        );
    });
    for silent in &figures.report.silent {
        let _ = writeln!(text, "worker={silent} did not answer");
    }
    if let Some(status) = &figures.status {
        let _ = writeln!(text, "{status}");
    }
    text
}

/// Latencies: percentiles of each worker, and a picture of all of them.
pub(super) fn histogram(figures: &Figures) -> String {
    let mut text = String::new();
    each(figures, |name, worker| {
        let latency = &worker.latency;
        let _ = write!(text, "worker={name} count={}", latency.count());
        for percent in [50.0, 90.0, 99.0, 99.9, 99.99] {
            let _ = write!(text, " p{percent}={}", us(latency.percentile(percent)));
        }
        let _ = writeln!(text, " max={}", us(latency.max()));
    });
    if let Some(all) = &figures.all {
        picture(&mut text, all);
    }
    text
}

/// A bar for each doubling of the latency.
fn picture(text: &mut String, all: &WorkerReport) {
    let bounds: Vec<_> = (0..=36)
        .map(|power| Duration::from_nanos(1 << power))
        .collect();
    let counts = all.latency.cumulative(&bounds);
    let steps: Vec<_> = core::iter::once(0)
        .chain(counts.iter().copied())
        .zip(&counts)
        .map(|(below, count)| count - below)
        .collect();
    let most = steps.iter().copied().max().unwrap_or(0).max(1);
    let is_there = |step: &u64| *step > 0;
    let (Some(first), Some(last)) = (
        steps.iter().position(is_there),
        steps.iter().rposition(is_there),
    ) else {
        return;
    };
    for (bound, step) in bounds.iter().zip(&steps).take(last + 1).skip(first) {
        let length = usize::try_from(step * BAR_MAX / most).unwrap_or_default();
        let bar = "#".repeat(length);
        let _ = writeln!(text, "<= {:>12}  {step:>12}  {bar}", us(*bound));
    }
}

fn each(figures: &Figures, mut line: impl FnMut(&str, &WorkerReport)) {
    for worker in &figures.report.workers {
        line(&worker.worker.to_string(), worker);
    }
    if let Some(all) = &figures.all {
        line("all", all);
    }
}

fn us(time: Duration) -> String {
    format!("{:.1}us", time.as_secs_f64() * 1e6)
}
