//! Who asks: the question, the addresses, and how many NOTIFYs may still be sent.

use bytes::BytesMut;
use haproxy_spop::FrameFull;

use crate::addresses::Draw;
use crate::outstanding::{Outstanding, Waiting};
use crate::question::Question;

/// The source of all NOTIFYs of one load thread.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) question: Question,
    addresses: Draw,
    /// NOTIFYs that may still be sent.
    left: u64,
}

impl Asker {
    pub(crate) const fn new(question: Question, addresses: Draw) -> Self {
        Self {
            question,
            addresses,
            left: 0,
        }
    }

    /// From now on this many may be sent.
    pub(crate) const fn allow(&mut self, left: u64) {
        self.left = left;
    }

    #[inline]
    pub(crate) const fn may_ask(&self) -> bool {
        self.left > 0
    }

    /// Appends a NOTIFY about the next address.
    #[inline]
    pub(crate) fn ask(
        &mut self,
        waiting: Waiting,
        outstanding: &mut Outstanding,
        out: &mut BytesMut,
        max: u32,
    ) -> Result<(), FrameFull> {
        let ids = outstanding.add(waiting);
        self.left = self.left.saturating_sub(1);
        let address = self.addresses.next();
        self.question.write(address, ids, out, max)
    }
}
