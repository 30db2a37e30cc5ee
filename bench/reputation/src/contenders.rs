//! What is measured: the table, a trie, and a binary search that knows no better.

use std::net::IpAddr;
use std::sync::Arc;

use prefix_trie::PrefixMap;
use ip_reputation::{
    Combine, Entry, FeedData, FeedDataBuilder, FeedTerms, Prefix, Role, Score, Table, TableBuilder,
};

/// Something that can be asked about an address.
pub(crate) trait Contender {
    /// A number that is the same for the same answer; 0 if nothing covers the address.
    fn ask(&self, address: &IpAddr) -> u32;
}

impl Contender for Table {
    #[inline(never)]
    fn ask(&self, address: &IpAddr) -> u32 {
        self.lookup(*address)
            .map_or(0, |verdict| 1 + u32::from(verdict.score(0).value()))
    }
}

/// One feed's entries, as a parser hands them over.
pub(crate) fn collect(prefixes: &[Prefix]) -> FeedData {
    let mut data = FeedDataBuilder::new();
    for prefix in prefixes {
        data.add(Entry::bad(*prefix)).expect("one evidence");
    }
    data.finish()
}

pub(crate) fn table(data: FeedData) -> Table {
    let mut builder = TableBuilder::new(Combine::NoisyOr, Score::BEST);
    builder.feed(FeedTerms::new("bench", Role::Feed), Arc::new(data));
    builder.build(0).expect("it has room")
}

/// The crate `prefix-trie`: a map for each family. It finds the longest prefix only.
pub(crate) struct Trie {
    v4: PrefixMap<(u32, u8), u32>,
    v6: PrefixMap<(u128, u8), u32>,
}

impl Trie {
    pub(crate) fn new(prefixes: &[Prefix]) -> Self {
        let (mut v4, mut v6) = (PrefixMap::new(), PrefixMap::new());
        for prefix in prefixes {
            match *prefix {
                Prefix::V4 { network, len } => drop(v4.insert((network, len), 1)),
                Prefix::V6 { network, len } => drop(v6.insert((network, len), 1)),
            }
        }
        Self { v4, v6 }
    }
}

impl Contender for Trie {
    #[inline(never)]
    fn ask(&self, address: &IpAddr) -> u32 {
        let found = match address.to_canonical() {
            IpAddr::V4(address) => self.v4.get_lpm(&(address.to_bits(), 32)).map(|(_, id)| id),
            IpAddr::V6(address) => self.v6.get_lpm(&(address.to_bits(), 128)).map(|(_, id)| id),
        };
        found.copied().unwrap_or(0)
    }
}

/// Disjoint ranges in an array, and a binary search in it: first, last, answer.
pub(crate) struct Binary {
    v4: Vec<(u32, u32, u32)>,
    v6: Vec<(u128, u128, u32)>,
}

impl Binary {
    /// Prefixes within another are left out: their answer would be the same.
    pub(crate) fn new(prefixes: &[Prefix]) -> Self {
        let mut sorted = prefixes.to_vec();
        sorted.sort_unstable();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for prefix in sorted {
            match prefix {
                Prefix::V4 { network, len } => {
                    let last = network | u32::MAX.unbounded_shr(len.into());
                    outermost(&mut v4, (network, last, 1));
                }
                Prefix::V6 { network, len } => {
                    let last = network | u128::MAX.unbounded_shr(len.into());
                    outermost(&mut v6, (network, last, 1));
                }
            }
        }
        v4.shrink_to_fit();
        v6.shrink_to_fit();
        Self { v4, v6 }
    }
}

fn outermost<A: Copy + Ord>(ranges: &mut Vec<(A, A, u32)>, range: (A, A, u32)) {
    if ranges.last().is_none_or(|(_, last, _)| *last < range.0) {
        ranges.push(range);
    }
}

fn search<A: Copy + Ord>(ranges: &[(A, A, u32)], address: A) -> u32 {
    let place = ranges.partition_point(|(_, last, _)| *last < address);
    match ranges.get(place) {
        Some((first, _, answer)) if *first <= address => *answer,
        _ => 0,
    }
}

impl Contender for Binary {
    #[inline(never)]
    fn ask(&self, address: &IpAddr) -> u32 {
        match address.to_canonical() {
            IpAddr::V4(address) => search(&self.v4, address.to_bits()),
            IpAddr::V6(address) => search(&self.v6, address.to_bits()),
        }
    }
}
