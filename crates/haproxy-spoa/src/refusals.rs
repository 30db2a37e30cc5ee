//! The faults of peers that ended connections: how many of each status, and the latest with reasons.
//! Written only when a connection is refused; a peer that works costs nothing here.

use core::net::SocketAddr;
use std::collections::VecDeque;
use std::time::Instant;

use haproxy_spop::Status;
use haproxy_spop::session::ProtocolError;

/// How many of the latest a worker keeps.
const LAST_MAX: usize = 16;
/// The statuses that a [`ProtocolError`] can have, in the order of their codes.
const STATUSES: [Status; 10] = [
    Status::TOO_BIG,
    Status::INVALID,
    Status::NO_VERSION,
    Status::NO_MAX_FRAME_SIZE,
    Status::NO_CAPABILITIES,
    Status::BAD_VERSION,
    Status::BAD_MAX_FRAME_SIZE,
    Status::NO_FRAGMENTATION,
    Status::INTERLACED,
    Status::NO_FRAME_ID,
];

/// A connection that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// When the bytes with the fault had been read.
    pub at: Instant,
    /// The peer; none if it came over a UNIX socket or is gone.
    pub peer: Option<SocketAddr>,
    /// The fault.
    pub why: ProtocolError,
}

/// The refusals of one worker, or of several put together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals {
    counts: [u64; STATUSES.len()],
    /// The oldest first.
    last: VecDeque<Refused>,
}

impl Refusals {
    pub(super) fn record(&mut self, refused: Refused) {
        let status = refused.why.status();
        let counts = STATUSES.iter().zip(&mut self.counts);
        for (_, count) in counts.filter(|(known, _)| **known == status) {
            *count += 1;
        }
        self.keep(refused);
    }

    fn keep(&mut self, refused: Refused) {
        if self.last.len() >= LAST_MAX {
            self.last.pop_front();
        }
        self.last.push_back(refused);
    }

    /// Every status that a refusal can have, and how many had it.
    pub fn by_status(&self) -> impl Iterator<Item = (Status, u64)> {
        STATUSES.into_iter().zip(self.counts)
    }

    /// The latest ones, the oldest of them first.
    #[must_use]
    pub fn last(&self) -> impl DoubleEndedIterator<Item = &Refused> {
        self.last.iter()
    }

    /// Adds those of another worker, and keeps the latest of both.
    pub fn add(&mut self, other: &Self) {
        for (own, other) in self.counts.iter_mut().zip(&other.counts) {
            *own += other;
        }
        let mut both: Vec<Refused> = self.last.drain(..).collect();
        both.extend(&other.last);
        both.sort_by_key(|refused| refused.at);
        for refused in both {
            self.keep(refused);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use haproxy_spop::{DecodeError, FrameType};

    const FAULTS: [ProtocolError; 14] = [
        ProtocolError::DecodeError(DecodeError::TooBig { len: 9, max: 8 }),
        ProtocolError::HelloIds,
        ProtocolError::NoVersion,
        ProtocolError::NoMaxFrameSize,
        ProtocolError::NoCapabilities,
        ProtocolError::BadVersion,
        ProtocolError::BadMaxFrameSize(1),
        ProtocolError::BeforeHello(FrameType::NOTIFY),
        ProtocolError::SecondHello,
        ProtocolError::Fragmented,
        ProtocolError::Interlaced,
        ProtocolError::UnknownFrameId,
        ProtocolError::ReassemblyTooBig(1),
        ProtocolError::HelloFull,
    ];

    fn refused(why: ProtocolError) -> Refused {
        Refused {
            at: Instant::now(),
            peer: None,
            why,
        }
    }

    #[test]
    fn every_fault_is_counted_under_its_status() {
        let mut refusals = Refusals::default();
        for fault in FAULTS {
            refusals.record(refused(fault));
        }
        let counted: u64 = refusals.by_status().map(|(_, count)| count).sum();
        assert_eq!(counted, FAULTS.len() as u64);
        assert!(refusals.by_status().all(|(_, count)| count > 0));
    }

    #[test]
    fn the_latest_are_kept_in_order_and_no_more_than_those() {
        let (mut one, mut other) = (Refusals::default(), Refusals::default());
        for _ in 0..LAST_MAX {
            one.record(refused(ProtocolError::SecondHello));
            other.record(refused(ProtocolError::Interlaced));
        }
        one.add(&other);
        let kept: Vec<_> = one.last().map(|refused| refused.at).collect();
        assert_eq!(kept.len(), LAST_MAX);
        assert!(kept.is_sorted());
        assert_eq!(one.last().next_back(), other.last().next_back());
        let counted: u64 = one.by_status().map(|(_, count)| count).sum();
        assert_eq!(counted, 2 * LAST_MAX as u64);
    }
}
