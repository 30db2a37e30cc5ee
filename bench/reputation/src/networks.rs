//! Made-up prefixes and questions: the same in every run.
//!
//! Spread: prefixes lie anywhere that is routed, most of them single addresses. Clustered: as
//! addresses are given out, a few hundred blocks have all of them.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ip_reputation::{Prefix, Table};

/// Which prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// Where they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    Spread,
    Clustered,
}

/// A random sequence: splitmix64.
pub(crate) struct Sequence(pub(crate) u64);

impl Sequence {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn next_u128(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Addresses of one family that lie in one way.
pub(crate) struct Space {
    family: Family,
    blocks: Vec<Prefix>,
}

impl Space {
    pub(crate) fn new(family: Family, lie: Lie, sequence: &mut Sequence) -> Self {
        let blocks = match (family, lie) {
            (Family::V4, Lie::Spread) => vec![0],
            (Family::V6, Lie::Spread) => vec![0x2000_u128 << 112],
            (Family::V4, Lie::Clustered) => (0..4000)
                .map(|_| u128::from(sequence.below(1 << 32)))
                .collect(),
            (Family::V6, Lie::Clustered) => (0..200)
                .map(|_| 0x2a00_u128 << 112 | sequence.next_u128() >> 12)
                .collect(),
        };
        let len = match (family, lie) {
            (Family::V4, Lie::Spread) => 0,
            (Family::V6, Lie::Spread) => 3,
            (Family::V4, Lie::Clustered) => 16,
            (Family::V6, Lie::Clustered) => 32,
        };
        let prefix = |network| prefix(family, network, len);
        Self {
            family,
            blocks: blocks.into_iter().map(prefix).collect(),
        }
    }

    /// An address of a block.
    fn address(&self, sequence: &mut Sequence) -> u128 {
        let place = sequence.below(self.blocks.len() as u64);
        within(self.blocks[place as usize], sequence)
    }

    /// A prefix around an address of a block: three quarters are single addresses, and an IPv6
    /// "single address" is a /64 as often.
    fn prefix(&self, sequence: &mut Sequence) -> Prefix {
        let choice = sequence.below(1000);
        let len = match (self.family, choice) {
            (Family::V4, 0..750) => 32,
            (Family::V4, 750..900) => 24,
            (Family::V4, _) => 25 + (choice % 7) as u8,
            (Family::V6, 0..400) => 128,
            (Family::V6, 400..800) => 64,
            (Family::V6, 800..950) => 56,
            (Family::V6, _) => 48,
        };
        prefix(self.family, self.address(sequence), len)
    }

    /// So many different prefixes, in no order.
    pub(crate) fn prefixes(&self, count: usize, sequence: &mut Sequence) -> Vec<Prefix> {
        let mut seen = HashSet::with_capacity(count);
        let mut all = Vec::with_capacity(count);
        while all.len() < count {
            let prefix = self.prefix(sequence);
            if seen.insert(prefix) {
                all.push(prefix);
            }
        }
        all
    }

    /// Addresses to look up: every other one is covered, the others are not.
    pub(crate) fn questions(
        &self,
        prefixes: &[Prefix],
        table: &Table,
        count: usize,
        sequence: &mut Sequence,
    ) -> Vec<IpAddr> {
        let mut all = Vec::with_capacity(count);
        let (mut hits, mut misses) = (0, 0);
        while all.len() < count {
            let hit = match sequence.below(2) {
                0 => hits < count / 2,
                _ => misses >= count - count / 2,
            };
            let number = if hit {
                let place = sequence.below(prefixes.len() as u64);
                within(prefixes[place as usize], sequence)
            } else {
                self.address(sequence)
            };
            let address = address(self.family, number);
            if table.lookup(address).is_some() == hit {
                all.push(address);
                hits += usize::from(hit);
                misses += usize::from(!hit);
            }
        }
        all
    }
}

fn address(family: Family, number: u128) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(number)),
    }
}

fn prefix(family: Family, number: u128, len: u8) -> Prefix {
    Prefix::new(address(family, number), len).expect("the family has such a length")
}

/// An address within a prefix.
fn within(prefix: Prefix, sequence: &mut Sequence) -> u128 {
    let host = sequence.next_u128();
    match prefix {
        Prefix::V4 { network, len } => {
            u128::from(network | (host as u32 & u32::MAX.unbounded_shr(len.into())))
        }
        Prefix::V6 { network, len } => network | (host & u128::MAX.unbounded_shr(len.into())),
    }
}
