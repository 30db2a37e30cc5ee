//! The message that reports: `ip` (address), `points` (integer, default 10), `reason` (string).

use super::BehaviorPolicy;
use crate::live::{POINTS_DEFAULT, Report};
use haproxy_spop::{Message, TypedData};

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reported {
    /// It is on its way to the live thread.
    Queued,
    /// The queue is full.
    Dropped,
    /// Its arguments are wrong.
    Invalid,
}

impl Reported {
    /// The names that they are counted under.
    pub(super) const NAMES: [(Self, &'static str); 3] = [
        (Self::Queued, "queued"),
        (Self::Dropped, "dropped"),
        (Self::Invalid, "invalid"),
    ];
}

impl BehaviorPolicy {
    /// Hands a report over to the live thread. Never waits.
    pub(super) fn take(&self, message: &Message<'_>) -> Reported {
        match report(message) {
            None => Reported::Invalid,
            Some(report) if self.reports.send(report) => Reported::Queued,
            Some(_) => Reported::Dropped,
        }
    }
}

/// An argument without a name is the address if it is one, as in `args src`. Others are ignored.
fn report(message: &Message<'_>) -> Option<Report> {
    let mut address = None;
    let mut points = POINTS_DEFAULT;
    let mut reason: &[u8] = b"";
    for argument in message.arguments() {
        match (argument.name, argument.value) {
            (b"ip", value) => address = Some(value.address()?),
            (b"", value) if address.is_none() => address = value.address(),
            (b"points", value) => points = number(value)?,
            (b"reason", TypedData::String(text)) => reason = text,
            // A sample that was not available.
            (b"reason", TypedData::Null) => {}
            (b"reason", _) => return None,
            _ => {}
        }
    }
    Report::new(address?, points, reason)
}

fn number(value: TypedData<'_>) -> Option<u32> {
    match value {
        TypedData::Int32(number) => u32::try_from(number).ok(),
        TypedData::Uint32(number) => Some(number),
        TypedData::Int64(number) => u32::try_from(number).ok(),
        TypedData::Uint64(number) => u32::try_from(number).ok(),
        _ => None,
    }
}
