//! What entries say besides their prefix. Most entries of a feed say the same, so each combination
//! is kept once and named by a number of 24 bits.

use core::net::IpAddr;
use core::num::NonZeroU32;
use std::collections::HashMap;
use std::sync::Arc;

use super::FeedDataFull;
use crate::{Confidence, Entry, Prefix};

/// Which evidence of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct EvidenceId(u32);

impl EvidenceId {
    /// How many can be told apart.
    pub(super) const MAX: usize = 1 << 24;

    pub(super) const fn value(self) -> u32 {
        self.0
    }

    pub(super) const fn from_low_bits(bits: u32) -> Self {
        Self(bits & 0x00ff_ffff)
    }

    pub(crate) const fn place(self) -> usize {
        self.0 as usize
    }
}

/// Confidence, category and times of an entry, in 16 bytes. Nothing is seen at the second 0 of 1970;
/// what expires with the last second of `u32` does not expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Evidence {
    pub(crate) confidence: Confidence,
    /// One more than the place in the list of categories.
    category: Option<NonZeroU32>,
    seen: Option<NonZeroU32>,
    /// Complement, so that the last second is the one that cannot be told.
    until: Option<NonZeroU32>,
}

impl Evidence {
    fn new(entry: &Entry<'_>, category: Option<NonZeroU32>) -> Self {
        Self {
            confidence: entry.confidence,
            category,
            seen: entry.seen.and_then(NonZeroU32::new),
            until: entry.expires.and_then(|at| NonZeroU32::new(!at)),
        }
    }

    pub(crate) fn seen(self) -> Option<u32> {
        self.seen.map(NonZeroU32::get)
    }

    pub(crate) fn expires(self) -> Option<u32> {
        self.until.map(|until| !until.get())
    }
}

/// Names evidences while a feed is read.
#[derive(Debug)]
pub(super) struct Interner {
    /// How many there may be.
    room: usize,
    all: Vec<Evidence>,
    ids: HashMap<Evidence, EvidenceId>,
    categories: Vec<Arc<str>>,
    category_ids: HashMap<Arc<str>, NonZeroU32>,
    ranges: Vec<(IpAddr, IpAddr)>,
    /// That of the entry before: most entries say the same as their neighbours.
    last: Option<(Evidence, EvidenceId)>,
}

impl Default for Interner {
    fn default() -> Self {
        Self::with_room(EvidenceId::MAX)
    }
}

impl Interner {
    fn with_room(room: usize) -> Self {
        Self {
            room,
            all: Vec::new(),
            ids: HashMap::new(),
            categories: Vec::new(),
            category_ids: HashMap::new(),
            ranges: Vec::new(),
            last: None,
        }
    }

    pub(super) fn intern(&mut self, entry: &Entry<'_>) -> Result<EvidenceId, FeedDataFull> {
        if let Some(range) = entry.range
            && self.ranges.last() != Some(range)
        {
            self.ranges.try_reserve(1)?;
            self.ranges.push(*range);
        }
        let category = match entry.category {
            None => None,
            Some(name) => Some(self.category(name)?),
        };
        let evidence = Evidence::new(entry, category);
        if let Some((last, id)) = self.last
            && last == evidence
        {
            return Ok(id);
        }
        let id = match self.ids.get(&evidence) {
            Some(id) => *id,
            None => self.add(evidence)?,
        };
        self.last = Some((evidence, id));
        Ok(id)
    }

    fn add(&mut self, evidence: Evidence) -> Result<EvidenceId, FeedDataFull> {
        let place = self.all.len();
        let id = match u32::try_from(place) {
            Ok(id) if place < self.room => EvidenceId(id),
            _ => return Err(FeedDataFull::Evidences),
        };
        self.all.try_reserve(1)?;
        self.ids.try_reserve(1)?;
        self.all.push(evidence);
        self.ids.insert(evidence, id);
        Ok(id)
    }

    fn category(&mut self, name: &str) -> Result<NonZeroU32, FeedDataFull> {
        if let Some((last, _)) = self.last
            && let Some(id) = last.category
            && name_of(&self.categories, id).is_some_and(|last| **last == *name)
        {
            return Ok(id);
        }
        if let Some(id) = self.category_ids.get(name) {
            return Ok(*id);
        }
        self.categories.try_reserve(1)?;
        self.category_ids.try_reserve(1)?;
        let name: Arc<str> = name.into();
        self.categories.push(Arc::clone(&name));
        let id = u32::try_from(self.categories.len())
            .ok()
            .and_then(NonZeroU32::new)
            .ok_or(FeedDataFull::Evidences)?;
        self.category_ids.insert(name, id);
        Ok(id)
    }

    pub(super) fn finish(mut self) -> Evidences {
        self.all.shrink_to_fit();
        self.categories.shrink_to_fit();
        self.ranges.sort_unstable();
        self.ranges.dedup();
        self.ranges.shrink_to_fit();
        Evidences {
            all: self.all,
            categories: self.categories,
            ranges: self.ranges,
        }
    }
}

fn name_of(categories: &[Arc<str>], id: NonZeroU32) -> Option<&Arc<str>> {
    categories.get(id.get() as usize - 1)
}

/// All evidences of a feed. Entries and table share them.
#[derive(Debug)]
pub(crate) struct Evidences {
    all: Vec<Evidence>,
    categories: Vec<Arc<str>>,
    /// Ranges that are no prefixes, in order.
    ranges: Vec<(IpAddr, IpAddr)>,
}

/// Ranges of one feed around an address that are looked at. They hardly ever overlap.
const RANGES_AROUND_MAX: usize = 64;

impl Evidences {
    /// What says nothing: an evidence that is not there.
    const NOTHING: Evidence = Evidence {
        confidence: Confidence::NONE,
        category: None,
        seen: None,
        until: None,
    };

    pub(crate) fn evidence(&self, id: EvidenceId) -> Evidence {
        *self.all.get(id.place()).unwrap_or(&Self::NOTHING)
    }

    pub(crate) fn category(&self, id: EvidenceId) -> Option<&str> {
        let category = self.evidence(id).category?;
        name_of(&self.categories, category).map(AsRef::as_ref)
    }

    /// Where the category of an evidence stands among all.
    pub(crate) fn category_place(&self, id: EvidenceId) -> Option<usize> {
        let category = self.evidence(id).category?;
        Some(category.get() as usize - 1)
    }

    /// The categories of all evidences, each once.
    pub(crate) fn categories(&self) -> &[Arc<str>] {
        &self.categories
    }

    pub(super) fn entry(&self, prefix: Prefix, id: EvidenceId) -> Entry<'_> {
        let evidence = self.evidence(id);
        Entry {
            prefix,
            confidence: evidence.confidence,
            category: self.category(id),
            seen: evidence.seen(),
            expires: evidence.expires(),
            range: None,
        }
    }

    /// The range, as the feed has it, that a prefix is part of.
    pub(crate) fn range(&self, prefix: Prefix) -> Option<(IpAddr, IpAddr)> {
        let start = prefix.network();
        let end = self.ranges.partition_point(|(first, _)| *first <= start);
        let before = self.ranges.get(..end)?.iter().rev().take(RANGES_AROUND_MAX);
        let mut before = before.filter(|(_, last)| *last >= start);
        let is_part = |(first, last): &&(IpAddr, IpAddr)| {
            let prefixes = Prefix::cover(*first, *last);
            prefixes.into_iter().flatten().any(|part| part == prefix)
        };
        before.find(is_part).copied()
    }

    /// What is kept first: the surer, then what lasts longer, then what is newer.
    pub(super) fn strength(&self, id: EvidenceId) -> (Confidence, u32, Option<u32>) {
        let evidence = self.evidence(id);
        let until = evidence.expires().unwrap_or(u32::MAX);
        (evidence.confidence, until, evidence.seen())
    }

    pub(super) fn seen(&self) -> impl Iterator<Item = u32> {
        self.all.iter().filter_map(|evidence| evidence.seen())
    }

    /// Memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let names = self
            .categories
            .iter()
            .map(|name| name.len() + size_of::<Arc<str>>());
        size_of::<Evidence>() * self.all.capacity()
            + size_of::<(IpAddr, IpAddr)>() * self.ranges.capacity()
            + names.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(seen: u32) -> Entry<'static> {
        Entry {
            category: Some("scanner"),
            seen: Some(seen),
            ..Entry::bad(Prefix::host([192, 0, 2, 1].into()))
        }
    }

    #[test]
    fn evidences_are_kept_once_and_there_is_an_end_to_them() {
        let mut interner = Interner::with_room(2);
        assert_eq!(interner.intern(&seen(1)), Ok(EvidenceId(0)));
        assert_eq!(interner.intern(&seen(2)), Ok(EvidenceId(1)));
        assert_eq!(interner.intern(&seen(1)), Ok(EvidenceId(0)));
        assert_eq!(interner.intern(&seen(3)), Err(FeedDataFull::Evidences));
        assert_eq!(interner.intern(&seen(2)), Ok(EvidenceId(1)));
        assert!(FeedDataFull::Evidences.to_string().contains("16777216"));
        let evidences = interner.finish();
        assert_eq!(evidences.categories.len(), 1);
        assert_eq!(evidences.category(EvidenceId(1)), Some("scanner"));
    }

    #[test]
    fn times_are_told_as_they_were_given() {
        for (given, kept) in [
            (None, None),
            (Some(0), Some(0)),
            (Some(77), Some(77)),
            (Some(u32::MAX), None),
        ] {
            let entry = Entry {
                expires: given,
                ..seen(1)
            };
            assert_eq!(Evidence::new(&entry, None).expires(), kept);
        }
        assert_eq!(Evidence::new(&seen(0), None).seen(), None);
        assert_eq!(Evidence::new(&seen(9), None).seen(), Some(9));
    }
}
