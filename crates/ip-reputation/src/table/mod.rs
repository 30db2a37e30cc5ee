//! The table: what all feeds together say of every address, found with one search.
//!
//! A longest-prefix match would find one entry, but a score needs every feed that covers an address.
//! So the feeds are swept once into disjoint ranges, each with the id of a verdict:
//!
//! ```text
//!  feed a   ├──────── 192.0.2.0/24 ────────┤
//!  feed b              ├─ 192.0.2.64/26 ─┤
//!  ranges   ├─── a ───┤├───── a, b ─────┤├─┤
//! ```
//!
//! In scope: precedence, how feeds combine, ageing, expiry. Out of scope: where entries come from,
//! and who is answered what. A table never changes; a newer one takes its place.

mod address;
mod builder;
mod huge_page_vec;
mod index;
mod labels;
mod merge;
mod outcome;
mod range;
mod sweep;
mod terms;
mod verdict;
mod verdict_store;

use core::net::IpAddr;
use std::sync::Arc;

pub use builder::{TableBuilder, TableFull};
pub use labels::Label;
pub use terms::{Combine, FeedTerms, Role};
pub use verdict::{Contribution, ContributionStatus, Verdict};

use range::Ranges;
use verdict_store::VerdictStore;

/// Verdicts on every address that a feed covers. Immutable, shared by the workers.
#[derive(Debug)]
pub struct Table {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
    ledger: VerdictStore,
    entries: usize,
}

impl Table {
    /// The verdict on an address; none if nothing covers it. A mapped IPv4 address is IPv4.
    #[must_use]
    #[inline]
    pub fn lookup(&self, address: IpAddr) -> Option<Verdict<'_>> {
        let id = match address {
            IpAddr::V4(address) => self.v4.find(address.to_bits()),
            IpAddr::V6(address) => match mapped(address.to_bits()) {
                Some(mapped) => self.v4.find(mapped),
                None => self.v6.find(address.to_bits()),
            },
        }?;
        Verdict::new(&self.ledger, id)
    }

    /// The names that verdicts are counted under: categories, and `allow`, `deny`, `private`,
    /// `feed` and `none` for verdicts without one. [`Label::place`] is the place here.
    #[must_use]
    pub const fn labels(&self) -> &Arc<[Arc<str>]> {
        &self.ledger.labels
    }

    /// How many entries of all feeds went in: those that had not expired.
    #[must_use]
    pub const fn entries(&self) -> usize {
        self.entries
    }

    /// How many disjoint ranges they became.
    #[must_use]
    pub const fn ranges(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// How many different verdicts there are.
    #[must_use]
    pub const fn verdicts(&self) -> usize {
        self.ledger.len()
    }

    /// Memory that the table takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.v4.bytes() + self.v6.bytes() + self.ledger.bytes()
    }
}

/// The IPv4 address in `::ffff:a.b.c.d`. On the number: read in pieces, the address would have to
/// reach memory first.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the rest is compared")]
const fn mapped(address: u128) -> Option<u32> {
    if address >> 32 == 0xffff {
        Some(address as u32)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
