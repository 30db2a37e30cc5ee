//! Where the entries of a feed go, and the account of them.

use core::ops::ControlFlow;

use super::item::{Expected, Item};
use super::{Refused, Report};
use crate::{Confidence, Entry, Prefix};

const WIDE: Expected = "a prefix no shorter than min-prefix-v4 or min-prefix-v6";

/// Space that no client on the Internet has: class D and E, and what is not global unicast in IPv6.
fn is_reserved(prefix: Prefix) -> bool {
    match prefix {
        Prefix::V4 { network, len } => len >= 3 && network >> 29 == 0b111,
        Prefix::V6 { network, len } => len >= 3 && network >> 125 != 0b001,
    }
}

/// Takes entries; breaks when it wants no more.
pub type Sink<'a> = dyn FnMut(Entry<'_>) -> ControlFlow<()> + 'a;

/// Hands entries to the sink and keeps the report.
pub(super) struct Output<'a> {
    pub(super) report: Report,
    sink: &'a mut Sink<'a>,
    is_stopped: bool,
    min_prefix: (u8, u8),
}

/// What an entry says of its addresses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence<'a> {
    pub(super) confidence: Confidence,
    pub(super) category: Option<&'a str>,
    pub(super) seen: Option<u32>,
    pub(super) expires: Option<u32>,
}

impl Evidence<'_> {
    /// Evidence that is no more than a confidence.
    pub(super) const fn plain(confidence: Confidence) -> Self {
        Self {
            confidence,
            category: None,
            seen: None,
            expires: None,
        }
    }
}

impl<'a> Output<'a> {
    pub(super) fn new(sink: &'a mut Sink<'a>) -> Self {
        Self {
            report: Report::default(),
            sink,
            is_stopped: false,
            min_prefix: (0, 0),
        }
    }

    /// Refuses prefixes that are shorter than these lengths.
    pub(super) const fn with_min_prefix(mut self, v4: u8, v6: u8) -> Self {
        self.min_prefix = (v4, v6);
        self
    }

    /// The entries of one record of a document; one that is too wide counts as invalid.
    pub(super) fn give_record(&mut self, number: u64, item: Item, evidence: Evidence<'_>) {
        if let Err(expected) = self.give(number, item, evidence) {
            self.report.wrong(number, b"", expected);
        }
    }

    /// The entries of one line, unless they are too wide.
    #[inline]
    pub(super) fn give(
        &mut self,
        line: u64,
        item: Item,
        evidence: Evidence<'_>,
    ) -> Result<(), Expected> {
        self.check_width(item)?;
        match item {
            Item::One { prefix, is_masked } => {
                self.report.host_bits += u64::from(is_masked);
                self.entry(line, entry(prefix, evidence));
            }
            Item::Range(first, last) => {
                let prefixes = || Prefix::cover(first, last).into_iter().flatten();
                let ends = (first, last);
                let range = prefixes().nth(1).map(|_| &ends);
                for prefix in prefixes() {
                    let entry = entry(prefix, evidence);
                    self.entry(line, Entry { range, ..entry });
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn check_width(&self, item: Item) -> Result<(), Expected> {
        if self.min_prefix == (0, 0) {
            return Ok(());
        }
        let is_too_wide = |prefix: Prefix| {
            let min = match prefix {
                Prefix::V4 { .. } => self.min_prefix.0,
                Prefix::V6 { .. } => self.min_prefix.1,
            };
            prefix.len() < min && !is_reserved(prefix)
        };
        let is_too_wide = match item {
            Item::One { prefix, .. } => is_too_wide(prefix),
            Item::Range(first, last) => Prefix::cover(first, last)
                .into_iter()
                .flatten()
                .any(is_too_wide),
        };
        if is_too_wide { Err(WIDE) } else { Ok(()) }
    }

    #[inline]
    fn entry(&mut self, line: u64, entry: Entry<'_>) {
        if self.is_stopped {
            return;
        }
        if entry.prefix.is_everything() {
            self.report.everything.get_or_insert(line);
        }
        self.report.entries += 1;
        self.is_stopped = (self.sink)(entry).is_break();
    }

    /// Takes a line that was counted for one that says nothing to us.
    pub(super) fn skip(&mut self) {
        self.report.lines -= 1;
        self.report.skipped += 1;
    }

    /// Fails once the sink wants no more.
    #[inline]
    pub(super) fn goes_on(&self) -> Result<(), Refused> {
        if self.is_stopped {
            return Err(Refused::Stopped);
        }
        Ok(())
    }
}

#[inline]
fn entry(prefix: Prefix, evidence: Evidence<'_>) -> Entry<'_> {
    Entry {
        prefix,
        confidence: evidence.confidence,
        category: evidence.category,
        seen: evidence.seen,
        expires: evidence.expires,
        range: None,
    }
}
