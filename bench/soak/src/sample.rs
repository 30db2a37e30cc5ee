//! What the agent's process looks like, every few seconds.

use std::fs;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::admin::{self, Buckets};
use crate::row::Row;
use crate::shared::Shared;

/// Ticks of `utime` and `stime` in a second; the same on every Linux (`USER_HZ`).
const TICKS: f64 = 100.0;

/// What the sample before saw.
pub(crate) struct Sampler {
    folder: String,
    begin: Instant,
    at: f64,
    cpu: f64,
    own_cpu: f64,
    notifys: f64,
    buckets: Buckets,
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

/// The number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> f64 {
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    found.and_then(|number| number.parse().ok()).unwrap_or(0.0)
}

/// Seconds on a CPU.
fn cpu(stat: &str) -> f64 {
    let fields = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace();
    let ticks = fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS
}

pub(crate) fn descriptors(pid: u32) -> Result<usize, String> {
    let path = format!("/proc/{pid}/fd");
    Ok(fs::read_dir(&path)
        .map_err(|error| format!("{path}: {error}"))?
        .count())
}

fn percentile(sorted: &[u64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(place.saturating_sub(1))
        .map_or(0.0, |nanos| *nanos as f64 / 1e3)
}

impl Sampler {
    pub(crate) fn new(pid: u32, begin: Instant) -> Self {
        Self {
            folder: format!("/proc/{pid}"),
            begin,
            at: 0.0,
            cpu: 0.0,
            own_cpu: 0.0,
            notifys: 0.0,
            buckets: Buckets::new(),
        }
    }

    /// # Errors
    /// If there is no such process any more.
    pub(crate) fn sample(&mut self, pid: u32, shared: &Shared) -> Result<Row, String> {
        let status = read(&format!("{}/status", self.folder))?;
        let smaps = read(&format!("{}/smaps_rollup", self.folder)).unwrap_or_default();
        let (used, own) = (
            cpu(&read(&format!("{}/stat", self.folder))?),
            cpu(&read("/proc/self/stat")?),
        );
        let at = self.begin.elapsed().as_secs_f64();
        let since = (at - self.at).max(1e-3);
        let metrics = shared.metrics();
        let (notifys, buckets) = (
            admin::sum(&metrics, "spoa_notifies_total"),
            admin::buckets(&metrics),
        );
        let mut latencies = shared.take_latencies();
        latencies.sort_unstable();
        let of_agent = |share| admin::quantile(&self.buckets, &buckets, share) as f64 / 1e3;
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed) as f64;
        let row = Row([
            (at * 10.0).round() / 10.0,
            field(&status, "VmRSS:"),
            field(&status, "RssAnon:"),
            field(&smaps, "Pss:"),
            descriptors(pid)? as f64,
            field(&status, "Threads:"),
            100.0 * (used - self.cpu) / since,
            100.0 * (own - self.own_cpu) / since,
            notifys,
            ((notifys - self.notifys) / since).round(),
            latencies.len() as f64,
            percentile(&latencies, 0.5),
            percentile(&latencies, 0.99),
            percentile(&latencies, 0.999),
            percentile(&latencies, 1.0),
            of_agent(0.5),
            of_agent(0.99),
            of_agent(0.999),
            admin::sum(&metrics, "spoa_connections"),
            admin::sum(&metrics, "spoa_table_updates_total"),
            admin::sum(&metrics, "spoa_feed_load_failures_total"),
            count(&shared.good_lists),
            count(&shared.bad_lists),
            count(&shared.scrapes),
            count(&shared.errors),
        ]);
        (self.at, self.cpu, self.own_cpu, self.notifys, self.buckets) =
            (at, used, own, notifys, buckets);
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_there_is() {
        let thousand: Vec<u64> = (1..=1000).map(|number| number * 1000).collect();
        assert_eq!(percentile(&thousand, 0.999) as u64, 999);
        assert_eq!(percentile(&thousand, 1.0) as u64, 1000);
        assert_eq!(percentile(&[], 0.5) as u64, 0);
    }

    #[test]
    fn this_process_has_figures() {
        let mut sampler = Sampler::new(std::process::id(), Instant::now());
        let row = sampler
            .sample(std::process::id(), &Shared::default())
            .unwrap();
        assert!(
            row.0[1] > 100.0 && row.0[4] >= 3.0 && row.0[5] >= 1.0,
            "{row:?}"
        );
        assert!(
            Sampler::new(u32::MAX, Instant::now())
                .sample(u32::MAX, &Shared::default())
                .is_err()
        );
    }
}
