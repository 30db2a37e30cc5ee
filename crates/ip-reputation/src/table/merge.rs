//! The entries of all feeds in one order: by prefix, then by feed.

use core::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use super::address::Address;
use crate::data::EntryMeta;

/// An entry, and which feed it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Item<A> {
    pub(super) network: A,
    pub(super) len: u8,
    pub(super) feed: u16,
    pub(super) tail: EntryMeta,
}

/// The next entry of one feed, and the feed's entries after it.
struct Head<A, I> {
    item: Item<A>,
    rest: I,
}

impl<A: Address, I: Iterator<Item = (A, EntryMeta)>> Head<A, I> {
    fn new(feed: u16, mut rest: I) -> Option<Self> {
        let item = item(feed, rest.next()?);
        Some(Self { item, rest })
    }
}

const fn item<A: Copy>(feed: u16, (network, tail): (A, EntryMeta)) -> Item<A> {
    Item {
        network,
        len: tail.len(),
        feed,
        tail,
    }
}

impl<A: Ord, I> Ord for Head<A, I> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.item.cmp(&other.item)
    }
}

impl<A: Ord, I> PartialOrd for Head<A, I> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<A: Ord, I> PartialEq for Head<A, I> {
    fn eq(&self, other: &Self) -> bool {
        self.item == other.item
    }
}

impl<A: Ord, I> Eq for Head<A, I> {}

/// Merges feeds whose entries are in order.
pub(super) struct Merge<A, I> {
    heads: BinaryHeap<Reverse<Head<A, I>>>,
}

impl<A: Address, I: Iterator<Item = (A, EntryMeta)>> Merge<A, I> {
    pub(super) fn new(feeds: impl Iterator<Item = I>) -> Self {
        let heads = (0_u16..).zip(feeds);
        Self {
            heads: heads
                .filter_map(|(feed, entries)| Head::new(feed, entries))
                .map(Reverse)
                .collect(),
        }
    }
}

impl<A: Address, I: Iterator<Item = (A, EntryMeta)>> Iterator for Merge<A, I> {
    type Item = Item<A>;

    fn next(&mut self) -> Option<Item<A>> {
        let mut first = self.heads.peek_mut()?;
        let head = &mut first.0;
        let found = head.item;
        match head.rest.next() {
            Some(next) => head.item = item(found.feed, next),
            None => drop(PeekMut::pop(first)),
        }
        Some(found)
    }
}
