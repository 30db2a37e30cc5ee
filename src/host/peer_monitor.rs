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
            peer_monitor.report(&control.report(PATIENCE), Instant::now());
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
    fn report(&mut self, report: &Report, now: Instant) {
        if !report.silent.is_empty() {
            // Totals without one of them would count again what it has told before.
            return;
        }
        let (mut counters, mut refusals) = (Counters::default(), Refusals::default());
        for worker in &report.workers {
            counters.add(&worker.counters);
            refusals.add(&worker.refusals);
        }
        self.report_rejected(&refusals, now);
        if let Some(count) = self.over_cap.due(counters.over_cap, now) {
            let hint = "raise --max-connections or LimitNOFILE=";
            warn!(count, hint, "connection limit reached");
        }
        self.report_limits(report, &counters, now);
        if let Some(count) = self.starved.due(counters.accept_starved, now) {
            let hint = "raise LimitNOFILE= or free memory";
            warn!(count, hint, "accept out of resources");
        }
        if let Some(count) = self.accept_aborted.due(counters.accept_aborted, now) {
            warn!(count, "accept failed");
        }
        if let Some(count) = self.register_failed.due(counters.register_failed, now) {
            let hint = "raise fs.epoll.max_user_watches or free memory";
            warn!(count, hint, "connections not registered");
        }
        if let Some(count) = self.not_allowed.due(counters.not_allowed, now) {
            let hint = "allow-from does not list the client's network";
            warn!(count, hint, "connections denied");
        }
        if let Some(count) = self.hello_timeouts.due(counters.hello_timeouts, now) {
            let hint = "a port scan, or a server line without option spop-check";
            warn!(count, hint, "hello timed out");
        }
        if let Some(count) = self.tls_refused.due(counters.tls_refused, now) {
            let hint = "set crt and ca-file on HAProxy's server line";
            warn!(count, hint, "client certificates rejected");
        }
        if let Some(count) = self.tls_faults.due(counters.tls_faults, now) {
            let hint = "set ssl on HAProxy's server line";
            warn!(count, hint, "tls handshakes failed");
        }
    }

    /// Logs peers that use more than their share.
    fn report_limits(&mut self, report: &Report, counters: &Counters, now: Instant) {
        if let Some(count) = self.over_source_limit.due(counters.over_source_limit, now) {
            let peer = address(report.workers.iter().filter_map(|it| it.over_source_limit));
            let hint = "if the peer is HAProxy, raise --max-connections-per-source";
            warn!(count, peer, hint, "source limit reached");
        }
        if let Some(count) = self.write_timeouts.due(counters.write_timeouts, now) {
            let peer = address(report.workers.iter().filter_map(|it| it.unread));
            let hint = "the peer does not read its answers";
            warn!(count, peer, hint, "write timed out");
        }
    }

    fn report_rejected(&mut self, refusals: &Refusals, now: Instant) {
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
            let peer = last.map(|last| {
                last.peer
                    .map_or_else(|| "unix".into(), |peer| peer.to_string())
            });
            warn!(
                status = status.0,
                count,
                error = last.map(|last| last.why.to_string()),
                peer,
                "connections rejected"
            );
        }
    }
}

/// The address of the latest of these peers.
fn address(peers: impl Iterator<Item = LastPeer>) -> String {
    let latest = peers.max().and_then(|peer| peer.address);
    latest.map_or_else(|| "unix".into(), |address| address.to_string())
}
