//! From prefixes, which lie side by side or within each other, to disjoint ranges in order.
//!
//! ```text
//!  entries in order   ├──────── a ────────┤
//!                        ├─ b ─┤   ├ c ┤
//!  the open ones      a  a,b    a  a,c   a        innermost last
//!  ranges             ├a┤├ a,b ┤├a┤├a,c┤├a┤
//! ```

use super::address::Address;
use super::merge::Item;
use super::verdict_store::VerdictId;

/// All addresses from the first to the last, and the verdict on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span<A> {
    pub(super) first: A,
    pub(super) last: A,
    pub(super) verdict: VerdictId,
}

/// A prefix that is open: later entries may lie within it.
#[derive(Clone, Copy)]
struct Open<A> {
    last: A,
    len: u8,
    verdict: VerdictId,
}

/// Sweeps over entries in the order of their prefixes, and emits ranges in order. `judge` makes the
/// verdict of a prefix from the one around it and its entry.
pub(super) struct Sweep<A, F> {
    open: Vec<Open<A>>,
    /// The first address that is in no range yet; none past the last of all.
    from: Option<A>,
    /// The range that the next one may continue.
    pending: Option<Span<A>>,
    emit: F,
}

impl<A: Address, F: FnMut(Span<A>)> Sweep<A, F> {
    pub(super) fn new(emit: F) -> Self {
        Self {
            open: Vec::new(),
            from: Some(A::FIRST),
            pending: None,
            emit,
        }
    }

    /// The next entry: what is to the left of it is settled.
    pub(super) fn entry<E>(
        &mut self,
        item: &Item<A>,
        judge: impl FnOnce(VerdictId) -> Result<VerdictId, E>,
    ) -> Result<(), E> {
        while let Some(open) = self.open.pop_if(|open| open.last < item.network) {
            self.close(open);
        }
        let last = item.network.last(item.len);
        match self.open.last_mut() {
            Some(open) if open.last == last && open.len == item.len => {
                open.verdict = judge(open.verdict)?;
            }
            around => {
                let around = around.copied();
                let verdict = judge(around.map_or(VerdictId::NOTHING, |open| open.verdict))?;
                if let Some(around) = around {
                    self.settle(around.verdict, item.network);
                }
                self.from = Some(item.network);
                let len = item.len;
                self.open.push(Open { last, len, verdict });
            }
        }
        Ok(())
    }

    /// After the last entry.
    pub(super) fn finish(mut self) {
        while let Some(open) = self.open.pop() {
            self.close(open);
        }
        if let Some(pending) = self.pending {
            (self.emit)(pending);
        }
    }

    /// Nothing more lies within.
    fn close(&mut self, open: Open<A>) {
        if let Some(first) = self.from.filter(|first| *first <= open.last) {
            self.span(first, open.last, open.verdict);
            self.from = open.last.next();
        }
    }

    /// What is open has this verdict up to an address.
    fn settle(&mut self, verdict: VerdictId, until: A) {
        if let Some(first) = self.from.filter(|first| *first < until) {
            self.span(first, until.before(), verdict);
        }
    }

    fn span(&mut self, first: A, last: A, verdict: VerdictId) {
        if let Some(pending) = &mut self.pending {
            if pending.verdict == verdict && pending.last.next() == Some(first) {
                pending.last = last;
                return;
            }
            (self.emit)(*pending);
        }
        self.pending = Some(Span {
            first,
            last,
            verdict,
        });
    }
}
