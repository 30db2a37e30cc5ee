//! Makes a table out of feeds.

use core::fmt;
use std::sync::Arc;

use super::Table;
use super::address::Address;
use super::merge::Merge;
use super::range::{Ranges, RangesBuilder};
use super::sweep::{Span, Sweep};
use super::terms::{Combine, FeedTerms};
use super::verdict_store::VerdictStoreBuilder;
use crate::data::EntryMeta;
use crate::{FeedData, Score};

/// What a table has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFull {
    /// More than 65,535 feeds.
    Feeds,
    /// More than 2^32 - 2 different verdicts.
    Verdicts,
    /// More than 2^31 - 1 ranges of one family.
    Ranges,
    /// More memory than the system has left.
    Memory,
}

impl fmt::Display for TableFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Feeds => "feeds (65,535 at most)",
            Self::Verdicts => "different verdicts (2^32 - 2 at most)",
            Self::Ranges => "ranges of addresses (2^31 - 1 of a family at most)",
            Self::Memory => "entries (there is no memory left)",
        };
        write!(f, "too many {what} for one table; leave out a feed")
    }
}

impl core::error::Error for TableFull {}

/// Collects feeds for a table.
#[derive(Debug, Clone)]
pub struct TableBuilder {
    combine: Combine,
    unknown: Score,
    feeds: Vec<(FeedTerms, Arc<FeedData>)>,
}

impl TableBuilder {
    /// No feed yet. `unknown` is the score of an address that no feed covers.
    #[must_use]
    pub const fn new(combine: Combine, unknown: Score) -> Self {
        Self {
            combine,
            unknown,
            feeds: Vec::new(),
        }
    }

    /// Adds a feed. Among equals the earlier feed leads. A weight that is not a number is 0.
    pub fn feed(&mut self, mut terms: FeedTerms, data: Arc<FeedData>) {
        if terms.weight.is_nan() {
            terms.weight = 0.0;
        }
        self.feeds.push((terms, data));
    }

    /// Sweeps all feeds into a table, as of `now` in seconds since 1970: ages are counted up to then,
    /// and what has expired is left out.
    ///
    /// # Errors
    /// If there are more feeds, verdicts or ranges than a table can number, or no memory for them.
    pub fn build(self, now: u32) -> Result<Table, TableFull> {
        let (terms, data): (Vec<_>, Vec<_>) = self.feeds.into_iter().unzip();
        let evidences = data.iter().map(|data| Arc::clone(data.evidences()));
        let feeds = terms.into_iter().zip(evidences).collect();
        let mut ledger = VerdictStoreBuilder::new(self.combine, self.unknown, feeds, now)?;
        let v4 = || Merge::new(data.iter().map(|data| data.tails_v4()));
        let v6 = || Merge::new(data.iter().map(|data| data.tails_v6()));
        let (v4, entries_v4) = ranges(v4, &mut ledger)?;
        let (v6, entries_v6) = ranges(v6, &mut ledger)?;
        Ok(Table {
            v4,
            v6,
            ledger: ledger.finish(),
            entries: entries_v4 + entries_v6,
        })
    }
}

/// The ranges of one family, and how many entries went into them. It sweeps twice, first to count:
/// memory for ranges is taken once and exactly.
fn ranges<A: Address, I: Iterator<Item = (A, EntryMeta)>>(
    entries: impl Fn() -> Merge<A, I>,
    ledger: &mut VerdictStoreBuilder,
) -> Result<(Ranges<A>, usize), TableFull> {
    let mut count = 0_usize;
    sweep(entries(), ledger, |_| count += 1)?;
    let mut ranges = RangesBuilder::new(count)?;
    let taken = sweep(entries(), ledger, |span| ranges.push(span))?;
    ranges.verdicts().for_each(|id| ledger.use_verdict(id));
    Ok((ranges.finish()?, taken))
}

fn sweep<A: Address, I: Iterator<Item = (A, EntryMeta)>>(
    entries: Merge<A, I>,
    ledger: &mut VerdictStoreBuilder,
    emit: impl FnMut(Span<A>),
) -> Result<usize, TableFull> {
    let mut taken = 0;
    let mut sweep = Sweep::new(emit);
    for item in entries {
        if ledger.has_expired(&item) {
            continue;
        }
        taken += 1;
        sweep.entry(&item, |around| ledger.verdict(around, &item))?;
    }
    sweep.finish();
    Ok(taken)
}
