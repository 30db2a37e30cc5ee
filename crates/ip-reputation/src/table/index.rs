//! Where in a list of ranges the one is that has a number, wherever the ranges lie.
//!
//! A node cuts the space between the first of its ranges and the last evenly into buckets, several for
//! each range, and keeps a bit for each: a range begins in it. The bits up to a number's bucket, counted,
//! are the ranges that begin up to there, so the range is found without a search. And most numbers that
//! no range has are in a bucket without a bit, which is an answer by itself.
//!
//! ```text
//!  ranges     ├┤    ├─┤                          ├─┤├┤                 ├┤
//!  buckets   |1    |1    |     |     |     |     |1    |     |     |  |1    |
//!  blocks    | bits of 32 buckets, how many ranges begin before |  8 bytes    |
//! ```
//!
//! Ranges that begin in one bucket are counted once; whoever looks for a range goes on from the one
//! that was told. A block with too many of those has a node of its own instead, which cuts finer: evenly
//! spread ranges have one node, and ranges in clusters a node for each cluster.

use super::address::Address;
use super::huge_page_vec::HugePageVec;

/// Buckets of a node for each of its ranges, at most; at least half as many.
const BUCKETS: usize = 16;
/// Ranges of a block that the bits do not tell, at most. With one more, a node for these alone has more
/// buckets than a block: each node cuts finer than the one above it.
const UNTOLD_MAX: usize = 6;
/// A node that has more blocks than this for each block in which a range begins takes larger buckets.
const SPARSE: u64 = 4;

/// Finds ranges by numbers.
#[derive(Debug)]
pub(super) struct Index<A> {
    /// The node of all ranges; none if there are none.
    root: Option<Node<A>>,
    nodes: Vec<Node<A>>,
    blocks: HugePageVec,
}

/// An index in the making.
struct Draft<A> {
    nodes: Vec<Node<A>>,
    blocks: Vec<Block>,
    /// Whether the system had no memory for all of it.
    is_short: bool,
}

/// Cuts the space of some ranges into buckets.
#[derive(Debug, Clone, Copy)]
struct Node<A> {
    /// The first number of the first range.
    base: A,
    /// How many low bits do not matter.
    low: u32,
    /// The bucket in which the last range begins; the first is 0.
    last: u32,
    /// Where the first block is among all.
    blocks: usize,
    /// The places of the first range and the one behind the last.
    from: usize,
    to: usize,
}

/// The buckets of as many numbers as it has bits, or the node that has them.
#[derive(Debug, Clone, Copy)]
struct Block {
    /// The buckets in which ranges begin, the first one's bit the lowest; or `NODE`.
    bits: u32,
    /// How many ranges begin before the block, and `REACHED`; or the node.
    head: u32,
}

impl Block {
    const LEN: u32 = u32::BITS;
    /// A node has the buckets. No block has all bits.
    const NODE: u32 = u32::MAX;
    /// Not all ranges in the block end in the bucket in which they begin.
    const REACHED: u32 = 1 << 31;

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a list has no more than PLACES_MAX"
    )]
    const fn new(bits: u32, before: usize, mut is_reached: bool) -> Self {
        let mut told = bits;
        if told == Self::NODE {
            // The last range is then as one that shares its bucket.
            told >>= 1;
            is_reached = true;
        }
        let reached = if is_reached { Self::REACHED } else { 0 };
        Self {
            bits: told,
            head: before as u32 | reached,
        }
    }

    #[inline]
    fn read(record: [u8; size_of::<Self>()]) -> Self {
        let [b0, b1, b2, b3, h0, h1, h2, h3] = record;
        Self {
            bits: u32::from_ne_bytes([b0, b1, b2, b3]),
            head: u32::from_ne_bytes([h0, h1, h2, h3]),
        }
    }

    fn record(self) -> [u8; size_of::<Self>()] {
        let [b0, b1, b2, b3] = self.bits.to_ne_bytes();
        let [h0, h1, h2, h3] = self.head.to_ne_bytes();
        [b0, b1, b2, b3, h0, h1, h2, h3]
    }

    fn node(node: usize) -> Option<Self> {
        let head = u32::try_from(node).ok()?;
        Some(Self {
            bits: Self::NODE,
            head,
        })
    }

    const fn bit(bucket: u32) -> u32 {
        1 << (bucket % Self::LEN)
    }
}

/// How long a list may be.
pub(super) const PLACES_MAX: usize = Block::REACHED as usize - 1;

impl<A: Address> Draft<A> {
    /// Adds a node for the ranges of these places.
    fn plan(&mut self, from: usize, to: usize, range: impl Fn(usize) -> (A, A)) -> Option<usize> {
        let last = to.checked_sub(1).filter(|last| *last >= from)?;
        let (base, _) = range(from);
        let distance = |place| range(place).0.distance(base);
        let span = distance(last);
        // Neighbours begin in different buckets if they differ above the bits that do not matter.
        let mut differences = [0_u64; u128::BITS as usize + 1];
        let mut before = A::FIRST;
        for distance in (from..to).map(distance).skip(1) {
            let bits = before.differing(distance) as usize;
            if let Some(count) = differences.get_mut(bits) {
                *count += 1;
            }
            before = distance;
        }
        let most = u32::try_from((to - from).saturating_mul(BUCKETS));
        let most = most.map_or(Block::REACHED, |most| most.min(Block::REACHED));
        let mut low = span.bits().saturating_sub(most.ilog2() + 1);
        let is_too_fine = |low: u32| {
            let last = span.shifted(low, u32::MAX);
            let block_bits = (low + Block::LEN.ilog2()) as usize;
            let filled = 1 + differences.iter().skip(block_bits + 1).sum::<u64>();
            last >= most || u64::from(last / Block::LEN) >= SPARSE * filled
        };
        while is_too_fine(low) {
            low += 1;
        }
        let node = self.nodes.len();
        if self.nodes.try_reserve(1).is_err() {
            self.is_short = true;
            return None;
        }
        self.nodes.push(Node {
            base,
            low,
            last: span.shifted(low, u32::MAX),
            blocks: 0,
            from,
            to,
        });
        Some(node)
    }

    /// Adds the blocks of a node.
    fn fill(&mut self, place: usize, range: impl Fn(usize) -> (A, A)) {
        let blocks = self.blocks.len();
        let Some(node) = self.nodes.get_mut(place) else {
            return;
        };
        node.blocks = blocks;
        let node = *node;
        let last = node.last / Block::LEN;
        let count = last as usize + 1;
        let reserved = if blocks == 0 {
            self.blocks.try_reserve_exact(count)
        } else {
            self.blocks.try_reserve(count)
        };
        if reserved.is_err() {
            self.is_short = true;
            return;
        }
        let mut from = node.from;
        // The bucket of the last number of the range in front.
        let mut reached = 0;
        for block in 0..=last {
            let mut is_reached = from > node.from && reached / Block::LEN >= block;
            let (mut to, mut bits) = (from, 0_u32);
            while to < node.to {
                let (first, last) = range(to);
                let bucket = node.bucket(first);
                if bucket / Block::LEN != block {
                    break;
                }
                bits |= Block::bit(bucket);
                reached = node.bucket(last);
                is_reached |= reached != bucket;
                to += 1;
            }
            let untold = to - from - bits.count_ones() as usize;
            let own = if untold > UNTOLD_MAX {
                self.plan(from, to, &range).and_then(Block::node)
            } else {
                None
            };
            self.blocks
                .push(own.unwrap_or_else(|| Block::new(bits, from, is_reached)));
            from = to;
        }
    }
}

impl<A: Address> Index<A> {
    /// An index of so many ranges, which ascend. `range` tells the first and the last number of each
    /// by its place. None if the system has no memory for it.
    pub(super) fn new(len: usize, range: impl Fn(usize) -> (A, A)) -> Option<Self> {
        let mut draft = Draft {
            nodes: Vec::new(),
            blocks: Vec::new(),
            is_short: false,
        };
        draft.plan(0, len, &range);
        let mut next = 0;
        while next < draft.nodes.len() {
            draft.fill(next, &range);
            next += 1;
        }
        if draft.is_short {
            return None;
        }
        let Draft {
            mut nodes, blocks, ..
        } = draft;
        nodes.shrink_to_fit();
        let mut records = HugePageVec::with_capacity(blocks.len(), size_of::<Block>())?;
        for block in blocks {
            records.push(block.record());
        }
        Some(Self {
            root: nodes.first().copied(),
            nodes,
            blocks: records,
        })
    }

    /// The place of the range that has this number, if one has it, or of one close to it: before it if
    /// both begin in the same block, or else just behind it.
    #[inline]
    pub(super) fn place(&self, wanted: A) -> Option<usize> {
        let mut node = self.root.as_ref()?;
        loop {
            if wanted < node.base {
                return node.from.checked_sub(1);
            }
            let bucket = node.bucket(wanted);
            if bucket > node.last {
                return node.to.checked_sub(1);
            }
            let block = bucket / Block::LEN;
            let block = Block::read(self.blocks.get(node.blocks + block as usize)?);
            if block.bits != Block::NODE {
                // The bucket's own bit comes to be the highest.
                let up_to = block.bits << (Block::LEN - 1 - bucket % Block::LEN);
                if up_to < Block::bit(Block::LEN - 1) && block.head < Block::REACHED {
                    return None;
                }
                let before = block.head & !Block::REACHED;
                return (before + up_to.count_ones())
                    .checked_sub(1)
                    .map(|place| place as usize);
            }
            node = self.nodes.get(block.head as usize)?;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Node<A>>() * self.nodes.capacity() + self.blocks.bytes()
    }
}

impl<A: Address> Node<A> {
    /// The bucket of a number. What lies far behind the last one is in a bucket behind it, too.
    #[inline]
    fn bucket(&self, number: A) -> u32 {
        number.distance(self.base).shifted(self.low, u32::MAX)
    }
}
