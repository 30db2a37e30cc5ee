//! What one feed says, in memory: its entries in the order of their prefixes, each with its evidence.
//!
//! ```text
//!  IPv4, 8 bytes     | network 32 | length 8 | evidence 24 |
//!  IPv6, 20 bytes    | network 128           | length 8 | evidence 24 |
//!  evidence          confidence, category, seen, expires: each combination once
//! ```
//!
//! In scope: to collect, sort and keep entries compactly. Out of scope: how they were written
//! (formats), and what they are worth beside other feeds ([`Table`](super::Table)).

mod evidence;

use core::cmp::Reverse;
use core::fmt;
use std::collections::TryReserveError;
use std::sync::Arc;

use evidence::Interner;
pub(super) use evidence::{Evidence, EvidenceId, Evidences};

use super::{Entry, Prefix};

/// Entries that one feed may have for one and the same prefix; of more, the strongest are kept.
pub const ENTRIES_PER_PREFIX_MAX: usize = 8;

/// Why a feed takes no more entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedDataFull {
    /// It has more different combinations of confidence, category, seen and expires than can be told
    /// apart: 2^24.
    Evidences,
    /// The system has no memory for them.
    Memory,
}

impl fmt::Display for FeedDataFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evidences => write!(
                f,
                "more than {} different combinations of confidence, category and times; \
                 leave out a column, or split the feed",
                EvidenceId::MAX
            ),
            Self::Memory => f.write_str("there is no memory left for its entries"),
        }
    }
}

impl core::error::Error for FeedDataFull {}

impl From<TryReserveError> for FeedDataFull {
    fn from(_: TryReserveError) -> Self {
        Self::Memory
    }
}

/// How long a prefix is, and which evidence its entry has: what an entry is besides its network.
/// Ordered by length first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct EntryMeta(u32);

impl EntryMeta {
    const EVIDENCE_BITS: u32 = 24;

    fn new(len: u8, evidence: EvidenceId) -> Self {
        Self(u32::from(len) << Self::EVIDENCE_BITS | evidence.value())
    }

    pub(super) const fn len(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    pub(super) const fn evidence(self) -> EvidenceId {
        EvidenceId::from_low_bits(self.0)
    }
}

/// An IPv4 entry. As a number it is in the order of prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryV4(u64);

impl EntryV4 {
    fn new(network: u32, tail: EntryMeta) -> Self {
        Self(u64::from(network) << 32 | u64::from(tail.0))
    }

    #[expect(clippy::cast_possible_truncation, reason = "each takes its half")]
    const fn parts(self) -> (u32, EntryMeta) {
        ((self.0 >> 32) as u32, EntryMeta(self.0 as u32))
    }
}

/// An IPv6 entry, without the padding that the alignment of `u128` would cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, packed(4))]
pub(super) struct EntryV6 {
    network: u128,
    tail: EntryMeta,
}

impl EntryV6 {
    const fn parts(self) -> (u128, EntryMeta) {
        (self.network, self.tail)
    }
}

/// One feed's entries while they are being read, in any order.
#[derive(Debug, Default)]
pub struct FeedDataBuilder {
    v4: Vec<EntryV4>,
    v6: Vec<EntryV6>,
    evidences: Interner,
}

impl FeedDataBuilder {
    /// No entry yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one more entry.
    ///
    /// # Errors
    /// If it is the first of too many combinations of confidence, category and times, or if there is no
    /// memory for it.
    pub fn add(&mut self, entry: Entry<'_>) -> Result<(), FeedDataFull> {
        let evidence = self.evidences.intern(&entry)?;
        let tail = EntryMeta::new(entry.prefix.len(), evidence);
        match entry.prefix {
            Prefix::V4 { network, .. } => {
                self.v4.try_reserve(1)?;
                self.v4.push(EntryV4::new(network, tail));
            }
            Prefix::V6 { network, .. } => {
                self.v6.try_reserve(1)?;
                self.v6.push(EntryV6 { network, tail });
            }
        }
        Ok(())
    }

    /// How many entries were taken, duplicates among them.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether none was.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries in order, each once; of one prefix at most [`ENTRIES_PER_PREFIX_MAX`].
    #[must_use]
    pub fn finish(self) -> FeedData {
        let Self {
            mut v4,
            mut v6,
            evidences,
        } = self;
        let evidences = evidences.finish();
        v4.sort_unstable();
        v4.dedup();
        thin(&mut v4, EntryV4::parts, &evidences);
        v4.shrink_to_fit();
        v6.sort_unstable_by_key(|entry| entry.parts());
        v6.dedup();
        thin(&mut v6, EntryV6::parts, &evidences);
        v6.shrink_to_fit();
        FeedData {
            v4,
            v6,
            evidences: Arc::new(evidences),
        }
    }
}

/// Keeps the strongest entries of every prefix that has too many. A chain of entries is walked for
/// every verdict, so its length needs a bound.
fn thin<E: Copy, N: Eq>(
    entries: &mut Vec<E>,
    parts: impl Fn(E) -> (N, EntryMeta),
    evidences: &Evidences,
) {
    let is_same = |a: &E, b: &E| {
        let ((a, a_tail), (b, b_tail)) = (parts(*a), parts(*b));
        a == b && a_tail.len() == b_tail.len()
    };
    if entries
        .chunk_by(is_same)
        .all(|same| same.len() <= ENTRIES_PER_PREFIX_MAX)
    {
        return;
    }
    let mut kept = Vec::with_capacity(entries.len());
    for same in entries.chunk_by(is_same) {
        let mut strongest = same.to_vec();
        let strength = |entry: &E| evidences.strength(parts(*entry).1.evidence());
        strongest.sort_by_key(|entry| Reverse(strength(entry)));
        strongest.truncate(ENTRIES_PER_PREFIX_MAX);
        strongest.sort_by_key(|entry| parts(*entry).1);
        kept.extend(strongest);
    }
    *entries = kept;
}

/// One feed's entries, in the order of their prefixes.
#[derive(Debug)]
pub struct FeedData {
    v4: Vec<EntryV4>,
    v6: Vec<EntryV6>,
    evidences: Arc<Evidences>,
}

impl FeedData {
    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.v4() + self.v6()
    }

    /// How many are IPv4.
    #[must_use]
    pub const fn v4(&self) -> usize {
        self.v4.len()
    }

    /// How many are IPv6.
    #[must_use]
    pub const fn v6(&self) -> usize {
        self.v6.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries, IPv4 first, each family in the order of prefixes.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let v4 = self.tails_v4().map(|(network, tail)| {
            let len = tail.len();
            (Prefix::V4 { network, len }, tail)
        });
        let v6 = self.tails_v6().map(|(network, tail)| {
            let len = tail.len();
            (Prefix::V6 { network, len }, tail)
        });
        v4.chain(v6)
            .map(|(prefix, tail)| self.evidences.entry(prefix, tail.evidence()))
    }

    /// When the newest entry was seen, in seconds since 1970, if any entry says so.
    #[must_use]
    pub fn freshest(&self) -> Option<u32> {
        self.evidences.seen().max()
    }

    /// When the oldest entry was seen, in seconds since 1970, if any entry says so.
    #[must_use]
    pub fn oldest(&self) -> Option<u32> {
        self.evidences.seen().min()
    }

    /// Memory that the entries take, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        size_of::<EntryV4>() * self.v4.capacity() + size_of::<EntryV6>() * self.v6.capacity()
    }

    pub(super) fn tails_v4(&self) -> impl Iterator<Item = (u32, EntryMeta)> + Clone {
        self.v4.iter().map(|entry| entry.parts())
    }

    pub(super) fn tails_v6(&self) -> impl Iterator<Item = (u128, EntryMeta)> + Clone {
        self.v6.iter().map(|entry| entry.parts())
    }

    pub(super) fn evidences(&self) -> &Arc<Evidences> {
        &self.evidences
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Confidence;

    #[test]
    fn of_too_many_entries_of_one_prefix_the_strongest_are_kept() {
        for address in ["192.0.2.1", "2001:db8::1"] {
            let host = Prefix::host(address.parse().unwrap());
            let other = Entry::bad(Prefix::new(address.parse().unwrap(), 16).unwrap());
            let mut data = FeedDataBuilder::new();
            assert!(data.is_empty());
            data.add(other).unwrap();
            for tenth in 0..=10_u8 {
                let confidence = Confidence::ratio(f64::from(tenth) / 10.0);
                let entry = Entry {
                    confidence,
                    ..Entry::bad(host)
                };
                data.add(entry).unwrap();
                data.add(entry).unwrap();
            }
            assert_eq!(data.len(), 23);
            let data = data.finish();
            let kept: Vec<_> = data.entries().skip(1).collect();
            assert_eq!(kept.len(), ENTRIES_PER_PREFIX_MAX);
            assert!(kept.iter().all(|entry| entry.prefix == host));
            assert!(
                kept.iter()
                    .all(|entry| entry.confidence > Confidence::ratio(0.25))
            );
            assert_eq!(data.entries().next(), Some(other));
        }
    }

    #[test]
    fn an_entry_takes_8_or_20_bytes() {
        assert_eq!((size_of::<EntryV4>(), size_of::<EntryV6>()), (8, 20));
    }
}
