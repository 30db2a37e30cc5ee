//! Tells of what peers do to the agent, from what its workers have counted: that frames are refused, that
//! the most connections are open, that `accept` finds no descriptors. A worker never logs; a thread here
//! looks at all of them once a second.
//!
//! ```text
//!  worker ─▶ report ─┐   once a second
//!  worker ─▶ report ─┴─▶ totals ─▶ what is new, of each kind ─▶ a line, at most one in 10 s
//! ```
//!
//! Whatever peers do, there is a bounded number of lines, and none of what they did is missing in the
//! counts.

mod rate_limiter;

use core::time::Duration;
use std::io;
use std::thread;
use std::time::Instant;

use tracing::warn;

use haproxy_spoa::{Control, Counters, LastPeer, Refusals, Report};
use haproxy_spop::Status;
use rate_limiter::RateLimiter;

/// How often workers are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long workers may take to tell their figures. They need microseconds.
const PATIENCE: Duration = Duration::from_millis(500);

/// Looks at the workers until the agent shuts down.
///
/// # Errors
/// If there is no thread to do it.
pub fn start(control: Control) -> io::Result<()> {
    let look = move || {
        let mut peer_monitor = PeerMonitor::default();
        while !control.is_draining() {
            peer_monitor.tell(&control.report(PATIENCE), Instant::now());
            // Being woken early does no harm.
            thread::park_timeout(LOOK_INTERVAL);
        }
    };
    let started = thread::Builder::new()
        .name("peer_monitor".into())
        .spawn(look);
    started.map(drop)
}

/// What has been told.
#[derive(Debug, Default)]
struct PeerMonitor {
    refused: Vec<(Status, RateLimiter)>,
    over_cap: RateLimiter,
    over_source_limit: RateLimiter,
    write_timeouts: RateLimiter,
    starved: RateLimiter,
    accept_aborted: RateLimiter,
    register_failed: RateLimiter,
    not_allowed: RateLimiter,
    hello_timeouts: RateLimiter,
    tls_refused: RateLimiter,
    tls_faults: RateLimiter,
}

impl PeerMonitor {
    /// Logs what is new and due.
    fn tell(&mut self, report: &Report, now: Instant) {
        if !report.silent.is_empty() {
            // Totals without one of them would count again what it has told before.
            return;
        }
        let (mut counters, mut refusals) = (Counters::default(), Refusals::default());
        for worker in &report.workers {
            counters.add(&worker.counters);
            refusals.add(&worker.refusals);
        }
        self.tell_refused(&refusals, now);
        if let Some(count) = self.over_cap.due(counters.over_cap, now) {
            warn!(
                count,
                "turned down {}: the most are open; raise --max-connections or LimitNOFILE=",
                connections(count)
            );
        }
        self.tell_limits(report, &counters, now);
        if let Some(count) = self.starved.due(counters.accept_starved, now) {
            warn!(
                count,
                "no descriptors or memory to take connections with, {count} times; raise LimitNOFILE="
            );
        }
        if let Some(count) = self.accept_aborted.due(counters.accept_aborted, now) {
            warn!(count, "accept failed");
        }
        if let Some(count) = self.register_failed.due(counters.register_failed, now) {
            warn!(
                count,
                "connections closed: the kernel did not register them for events"
            );
        }
        if let Some(count) = self.not_allowed.due(counters.not_allowed, now) {
            let connections = connections(count);
            warn!(
                count,
                "closed {connections}: allow-from names other networks"
            );
        }
        if let Some(count) = self.hello_timeouts.due(counters.hello_timeouts, now) {
            let connections = connections(count);
            warn!(count, "closed {connections} without a HELLO in time");
        }
        if let Some(count) = self.tls_refused.due(counters.tls_refused, now) {
            let connections = connections(count);
            warn!(
                count,
                "refused {connections} for their certificate, or for having none"
            );
        }
        if let Some(count) = self.tls_faults.due(counters.tls_faults, now) {
            let connections = connections(count);
            warn!(
                count,
                "closed {connections} that broke TLS, or did not speak it"
            );
        }
    }

    /// Peers that take more than their share.
    fn tell_limits(&mut self, report: &Report, counters: &Counters, now: Instant) {
        if let Some(count) = self.over_source_limit.due(counters.over_source_limit, now) {
            let peer = address(report.workers.iter().filter_map(|it| it.over_source_limit));
            warn!(
                count,
                address = peer,
                "turned down {} of sources that have the most one may have, the last one from {peer}; \
                 if it is HAProxy, raise --max-connections-per-source",
                connections(count)
            );
        }
        if let Some(count) = self.write_timeouts.due(counters.write_timeouts, now) {
            let peer = address(report.workers.iter().filter_map(|it| it.unread));
            warn!(
                count,
                address = peer,
                "reset {} whose peer did not read its answers within --write-timeout, the last one from {peer}",
                connections(count)
            );
        }
    }

    fn tell_refused(&mut self, refusals: &Refusals, now: Instant) {
        if self.refused.is_empty() {
            let fresh = |(status, _)| (status, RateLimiter::default());
            self.refused = refusals.by_status().map(fresh).collect();
        }
        for ((status, tale), (_, total)) in self.refused.iter_mut().zip(refusals.by_status()) {
            let Some(count) = tale.due(total, now) else {
                continue;
            };
            let mut last = refusals.last().rev();
            let last = last.find(|refused| refused.why.status() == *status);
            let connections = connections(count);
            let code = status.0;
            match last {
                Some(last) => {
                    let why = last.why;
                    let peer = last
                        .peer
                        .map_or_else(|| "a UNIX socket".into(), |peer| peer.to_string());
                    warn!(
                        status = code,
                        count,
                        address = peer,
                        "refused {connections} with status {status}, the last one from {peer}: {why}"
                    );
                }
                None => {
                    warn!(
                        status = code,
                        count, "refused {connections} with status {status}"
                    );
                }
            }
        }
    }
}

/// The address of the latest of these peers.
fn address(peers: impl Iterator<Item = LastPeer>) -> String {
    let latest = peers.max().and_then(|peer| peer.address);
    latest.map_or_else(|| "a UNIX socket".into(), |address| address.to_string())
}

fn connections(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} connection{plural}")
}
