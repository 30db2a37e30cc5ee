//! Where the entries of a feed go, and the account of them.

use core::ops::ControlFlow;

use super::item::Item;
use super::{Refused, Report};
use crate::{Confidence, Entry, Prefix};

/// Takes entries; breaks when it wants no more.
pub type Sink<'a> = dyn FnMut(Entry<'_>) -> ControlFlow<()> + 'a;

/// Hands entries to the sink and keeps the report.
pub(super) struct Output<'a> {
    pub(super) report: Report,
    sink: &'a mut Sink<'a>,
    is_stopped: bool,
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
        }
    }

    /// The entries of one line.
    #[inline]
    pub(super) fn give(&mut self, line: u64, item: Item, evidence: Evidence<'_>) {
        match item {
            Item::One { prefix, is_masked } => {
                self.report.host_bits += u64::from(is_masked);
                self.entry(line, entry(prefix, evidence));
            }
            Item::Range(first, last) => {
                for prefix in Prefix::cover(first, last).into_iter().flatten() {
                    self.entry(line, entry(prefix, evidence));
                }
            }
        }
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
    }
}
