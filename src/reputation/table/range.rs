//! Disjoint ranges in order, and the search in them.

use super::ledger::VerdictId;
use super::sweep::Span;

/// IPv4 ranges.
#[derive(Debug)]
pub(super) struct RangesV4 {
    all: Vec<Span<u32>>,
}

impl RangesV4 {
    pub(super) const fn new(all: Vec<Span<u32>>) -> Self {
        Self { all }
    }

    #[inline]
    pub(super) fn find(&self, address: u32) -> Option<VerdictId> {
        let place = self.all.partition_point(|span| span.last < address);
        let span = self.all.get(place)?;
        (span.first <= address).then_some(span.verdict)
    }

    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        size_of::<Span<u32>>() * self.all.capacity()
    }
}

/// IPv6 ranges.
#[derive(Debug)]
pub(super) struct RangesV6 {
    all: Vec<Span<u128>>,
}

impl RangesV6 {
    pub(super) const fn new(all: Vec<Span<u128>>) -> Self {
        Self { all }
    }

    #[inline]
    pub(super) fn find(&self, address: u128) -> Option<VerdictId> {
        let place = self.all.partition_point(|span| span.last < address);
        let span = self.all.get(place)?;
        (span.first <= address).then_some(span.verdict)
    }

    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        size_of::<Span<u128>>() * self.all.capacity()
    }
}
