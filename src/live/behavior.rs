//! `[behavior]`: reports of `HAProxy`, on their way from the workers to the live thread.
//!
//! ```text
//!  worker ── Report, copied ──▶ bounded queue ──▶ thread "live": points, and a ban at ban-at
//!               └ full: dropped, counted
//! ```
//!
//! A worker takes no lock and no memory for it, and never waits: the live thread looks into the queue at
//! an interval, so that nobody has to be woken up.

use core::net::IpAddr;
use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::network::{Network, bits};
use ip_reputation::Prefix;

/// Points of a report that does not say how many.
pub const POINTS_DEFAULT: u32 = 10;
/// Points that one report can have.
pub const POINTS_MAX: u32 = 1_000_000;
/// The longest reason of a report, in bytes. What is longer is cut.
pub const REPORT_REASON_LEN_MAX: usize = 40;
/// Reports that wait at once.
const QUEUE_LEN: usize = 32_768;

/// The options of `[behavior]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BehaviorOptions {
    /// The `spoe-message` that reports.
    pub message: String,
    /// After which time points count half.
    pub half_life: Duration,
    /// Addresses with points at once; the lowest go first.
    pub max_addresses: usize,
    /// Points at which an address is banned.
    pub ban_at: u32,
    /// For how long.
    pub ban_duration: Duration,
    /// Whether reports of private addresses are ignored, as `[reputation]` says.
    pub ignore_private: bool,
}

impl Default for BehaviorOptions {
    fn default() -> Self {
        Self {
            message: "report".to_owned(),
            half_life: Duration::from_mins(10),
            max_addresses: 1_000_000,
            ban_at: 100,
            ban_duration: Duration::from_hours(1),
            ignore_private: true,
        }
    }
}

/// What `HAProxy` reports of an address.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    high: u64,
    low: u64,
    len: u8,
    reason_len: u8,
    pub(super) points: u32,
    reason: [u8; REPORT_REASON_LEN_MAX],
}

impl Report {
    /// A report; none if its reason is no text of one line, or the points are too many.
    #[must_use]
    pub fn new(address: IpAddr, points: u32, reason: &[u8]) -> Option<Self> {
        let text = str::from_utf8(reason).ok()?;
        if points > POINTS_MAX || text.contains(char::is_control) {
            return None;
        }
        let text = text.get(..text.floor_char_boundary(REPORT_REASON_LEN_MAX))?;
        let (bits, family) = bits(address);
        let (high, low, len) = Network::of_points(bits, family).bits();
        let mut reason = [0; REPORT_REASON_LEN_MAX];
        reason
            .get_mut(..text.len())?
            .copy_from_slice(text.as_bytes());
        Some(Self {
            high,
            low,
            len,
            reason_len: u8::try_from(text.len()).ok()?,
            points,
            reason,
        })
    }

    pub(super) const fn network(&self) -> Network {
        Network::from_bits(self.high, self.low, self.len)
    }

    pub(super) fn reason(&self) -> &str {
        let reason = self.reason.get(..usize::from(self.reason_len));
        reason.map_or("", |it| str::from_utf8(it).unwrap_or_default())
    }
}

/// Points that were reported, here or by another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointsReport {
    /// The address, or its /64.
    pub prefix: Prefix,
    /// How many.
    pub points: u32,
    /// Why; may be empty.
    pub reason: Arc<str>,
    /// When, in microseconds since 1970.
    pub at: u64,
}

/// The workers' end of the queue.
#[derive(Debug, Clone)]
pub struct ReportSender(SyncSender<Report>);

impl ReportSender {
    /// Hands a report over; whether there was room.
    #[must_use]
    #[inline]
    pub fn send(&self, report: Report) -> bool {
        self.0.try_send(report).is_ok()
    }
}

pub(super) fn queue() -> (ReportSender, Receiver<Report>) {
    let (sender, receiver) = sync_channel(QUEUE_LEN);
    (ReportSender(sender), receiver)
}
