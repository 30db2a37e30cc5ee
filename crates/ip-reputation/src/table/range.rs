//! Disjoint ranges in order, and the search in them.
//!
//! A range is its first address and a shape: how far it reaches, and the verdict on it. Most ranges
//! have one of few shapes (a /32 of feed a, a /24 of feed b), so a shape is kept once.
//!
//! ```text
//!  index      where a range is      2 to 4 bytes for a range, about
//!  ranges     | first | shape |     8 bytes IPv4, 20 bytes IPv6, as records
//!  shapes     | span | verdict |    few
//! ```

use std::collections::HashMap;

use super::address::Address;
use super::builder::TableFull;
use super::huge_page_vec::HugePageVec;
use super::index::{Index, PLACES_MAX};
use super::sweep::Span;
use super::verdict_store::VerdictId;

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
    /// The first address of each, and its shape.
    all: HugePageVec,
    shapes: Vec<Shape<A>>,
}

impl<A: Address> Ranges<A> {
    /// The verdict on an address, if a range has it.
    #[inline]
    pub(super) fn find(&self, address: A) -> Option<VerdictId> {
        let place = self.index.place(address)?;
        let (first, shape) = A::range(&self.all, place)?;
        let shape = self.shapes.get(shape as usize)?;
        if address.distance(first) <= { shape.span } {
            return Some(shape.verdict);
        }
        self.find_near(place, address)
    }

    /// The same, from a place where the range is not: it begins in one bucket of the index with others,
    /// or reaches into the bucket from before.
    #[cold]
    #[inline(never)]
    fn find_near(&self, mut place: usize, address: A) -> Option<VerdictId> {
        let begins_before =
            |place| A::range(&self.all, place).is_some_and(|(first, _)| first <= address);
        while begins_before(place + 1) {
            place += 1;
        }
        if !begins_before(place) {
            place = place.checked_sub(1)?;
        }
        let (first, shape) = A::range(&self.all, place)?;
        let shape = self.shapes.get(shape as usize)?;
        (address.distance(first) <= { shape.span }).then_some(shape.verdict)
    }

    pub(super) const fn len(&self) -> usize {
        self.all.count()
    }

    pub(super) fn bytes(&self) -> usize {
        self.all.bytes() + size_of::<Shape<A>>() * self.shapes.capacity() + self.index.bytes()
    }
}

/// Takes ranges in order.
#[derive(Debug)]
pub(super) struct RangesBuilder<A: Copy> {
    all: HugePageVec,
    shapes: Vec<Shape<A>>,
    ids: HashMap<(A, VerdictId), u32>,
    last: Option<((A, VerdictId), u32)>,
    /// Whether the system had no memory for all of it.
    is_short: bool,
}

impl<A: Address> RangesBuilder<A> {
    /// Room for as many ranges as there will be.
    ///
    /// # Errors
    /// If they cannot be numbered, or the system has no memory for them.
    pub(super) fn new(len: usize) -> Result<Self, TableFull> {
        if len > PLACES_MAX {
            return Err(TableFull::Ranges);
        }
        Ok(Self {
            all: HugePageVec::with_capacity(len, A::RANGE_LEN).ok_or(TableFull::Memory)?,
            shapes: Vec::new(),
            ids: HashMap::new(),
            last: None,
            is_short: false,
        })
    }

    pub(super) fn push(&mut self, span: Span<A>) {
        let shape = self.shape((span.last.distance(span.first), span.verdict));
        span.first.push_range(shape, &mut self.all);
    }

    /// The verdicts of all ranges, some of them more than once.
    pub(super) fn verdicts(&self) -> impl Iterator<Item = VerdictId> {
        self.shapes.iter().map(|shape| shape.verdict)
    }

    fn shape(&mut self, key: (A, VerdictId)) -> u32 {
        if let Some((last, id)) = self.last
            && last == key
        {
            return id;
        }
        let next = self.shapes.len();
        if self.ids.try_reserve(1).is_err() || self.shapes.try_reserve(1).is_err() {
            self.is_short = true;
            return 0;
        }
        let id = *self.ids.entry(key).or_insert_with(|| {
            let (span, verdict) = key;
            self.shapes.push(Shape { span, verdict });
            // There are no more shapes than ranges, which `new` has counted.
            u32::try_from(next).unwrap_or(u32::MAX)
        });
        self.last = Some((key, id));
        id
    }

    /// # Errors
    /// If the system has no memory for an index.
    pub(super) fn finish(self) -> Result<Ranges<A>, TableFull> {
        if self.is_short {
            return Err(TableFull::Memory);
        }
        let Self {
            all,
            mut shapes,
            ids,
            ..
        } = self;
        drop(ids);
        shapes.shrink_to_fit();
        let index = Index::new(all.count(), |place| {
            let found = A::range(&all, place).and_then(|(first, shape)| {
                let shape = shapes.get(shape as usize)?;
                Some((first, first.after(shape.span)))
            });
            found.unwrap_or((A::FIRST, A::FIRST))
        });
        let index = index.ok_or(TableFull::Memory)?;
        Ok(Ranges { index, all, shapes })
    }
}
