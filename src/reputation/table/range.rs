//! Disjoint ranges in order, and the search in them.
//!
//! A range is its first address and a shape: how far it reaches, and the verdict on it. Most ranges
//! have one of few shapes (a /32 of feed a, a /24 of feed b), so a shape is kept once.
//!
//! ```text
//!  index      where a range is      2 to 4 bytes for a range, about
//!  ranges     | first | shape |     8 bytes IPv4, 20 bytes IPv6
//!  shapes     | span | verdict |    few
//! ```

use std::collections::HashMap;

use super::address::Address;
use super::index::{Index, PLACES_MAX};
use super::ledger::VerdictId;
use super::sweep::Span;

/// A range. Packed: what the alignment of `u128` would cost is more than half of it.
#[derive(Debug, Clone, Copy)]
#[repr(C, packed(4))]
struct Range<A> {
    first: A,
    shape: u32,
}

/// How many addresses a range has besides its first, and the verdict on them.
#[derive(Debug, Clone, Copy)]
#[repr(C, packed(4))]
struct Shape<A> {
    span: A,
    verdict: VerdictId,
}

/// Ranges of one family.
#[derive(Debug)]
pub(super) struct Ranges<A: Copy> {
    index: Index<A>,
    all: Vec<Range<A>>,
    shapes: Vec<Shape<A>>,
}

impl<A: Address> Ranges<A> {
    /// The verdict on an address, if a range has it.
    #[inline]
    pub(super) fn find(&self, address: A) -> Option<VerdictId> {
        let place = self.index.place(address)?;
        let range = self.all.get(place)?;
        let shape = self.shapes.get(range.shape as usize)?;
        if address.distance(range.first) <= { shape.span } {
            return Some(shape.verdict);
        }
        self.find_near(place, address)
    }

    /// The same, from a place where the range is not: it begins in one bucket of the index with others,
    /// or reaches into the bucket from before.
    #[cold]
    #[inline(never)]
    fn find_near(&self, mut place: usize, address: A) -> Option<VerdictId> {
        let begins_before = |range: &Range<A>| { range.first } <= address;
        while self.all.get(place + 1).is_some_and(begins_before) {
            place += 1;
        }
        if !self.all.get(place).is_some_and(begins_before) {
            place = place.checked_sub(1)?;
        }
        let range = self.all.get(place)?;
        let shape = self.shapes.get(range.shape as usize)?;
        (address.distance(range.first) <= { shape.span }).then_some(shape.verdict)
    }

    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        size_of::<Range<A>>() * self.all.capacity()
            + size_of::<Shape<A>>() * self.shapes.capacity()
            + self.index.bytes()
    }
}

/// Takes ranges in order.
#[derive(Debug)]
pub(super) struct RangesBuilder<A: Copy> {
    all: Vec<Range<A>>,
    shapes: Vec<Shape<A>>,
    ids: HashMap<(A, VerdictId), u32>,
    last: Option<((A, VerdictId), u32)>,
}

impl<A: Address> RangesBuilder<A> {
    /// Room for as many ranges as there will be, if they can be numbered.
    pub(super) fn new(len: usize) -> Option<Self> {
        (len <= PLACES_MAX).then(|| Self {
            all: Vec::with_capacity(len),
            shapes: Vec::new(),
            ids: HashMap::new(),
            last: None,
        })
    }

    pub(super) fn push(&mut self, span: Span<A>) {
        let shape = self.shape((span.last.distance(span.first), span.verdict));
        self.all.push(Range {
            first: span.first,
            shape,
        });
    }

    fn shape(&mut self, key: (A, VerdictId)) -> u32 {
        if let Some((last, id)) = self.last
            && last == key
        {
            return id;
        }
        let next = self.shapes.len();
        let id = *self.ids.entry(key).or_insert_with(|| {
            let (span, verdict) = key;
            self.shapes.push(Shape { span, verdict });
            // There are no more shapes than ranges, which `new` has counted.
            u32::try_from(next).unwrap_or(u32::MAX)
        });
        self.last = Some((key, id));
        id
    }

    pub(super) fn finish(self) -> Ranges<A> {
        let Self {
            all,
            mut shapes,
            ids,
            ..
        } = self;
        drop(ids);
        shapes.shrink_to_fit();
        let index = Index::new(all.len(), |place| {
            let range = all.get(place);
            let shape = range.and_then(|range| shapes.get(range.shape as usize));
            range
                .zip(shape)
                .map_or((A::FIRST, A::FIRST), |(range, shape)| {
                    (range.first, range.first.after(shape.span))
                })
        });
        Ranges { index, all, shapes }
    }
}
