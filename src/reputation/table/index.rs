//! Where in a sorted list of numbers to begin a search, wherever the numbers lie.
//!
//! A node spreads the numbers between its first and its last evenly over buckets, about one for each.
//! A bucket that gets many has a node of its own, which spreads those: evenly spread numbers have one
//! node, and numbers in clusters a node for each cluster.
//!
//! ```text
//!  numbers   3  4 ······· 90 91 92 93 94 95 96 97 98 ······· 200
//!  root      ├──────┼──────┼──────┼──────┼──────┼──────┼──────┤
//!                          ├┼┼┼┼┼┼┼┤ a node for the one bucket that has too many
//! ```

use super::address::Address;

/// How many numbers of one bucket are searched one after the other.
const BUCKET_MAX: usize = 8;

/// Where the search for a number begins.
#[derive(Debug)]
pub(super) struct Index<A> {
    nodes: Vec<Node<A>>,
    slots: Vec<Slot>,
}

/// Spreads numbers over buckets.
#[derive(Debug, Clone, Copy)]
struct Node<A> {
    /// The first number.
    base: A,
    /// How many low bits do not matter.
    low: u32,
    /// The last bucket; the first is 0.
    last: u32,
    /// Where the first bucket is among all.
    slots: usize,
    /// Where the first number is in the list.
    place: usize,
}

/// What a bucket has: where its first number is in the list, or the node that spreads its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot(u32);

impl Slot {
    const NODE: u32 = 1 << 31;
    /// No number in the bucket, and no range that reaches into it.
    const VOID: Self = Self(u32::MAX);

    fn node(node: usize) -> Option<Self> {
        let node = u32::try_from(node).ok()?;
        (node < Self::NODE - 1).then_some(Self(node | Self::NODE))
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a list has no more than PLACES_MAX"
    )]
    const fn place(place: usize) -> Self {
        Self(place as u32)
    }

    #[inline]
    const fn as_place(self) -> Option<usize> {
        if self.0 < Self::NODE {
            Some(self.0 as usize)
        } else {
            None
        }
    }

    #[inline]
    const fn as_node(self) -> usize {
        (self.0 & !Self::NODE) as usize
    }
}

/// How long a list may be.
pub(super) const PLACES_MAX: usize = Slot::NODE as usize - 1;

/// Numbers that a node will spread, by their places.
struct Task {
    node: usize,
    from: usize,
    to: usize,
}

impl<A: Address> Index<A> {
    /// An index of ranges that ascend, as many as there are numbers. `range` tells the first and the
    /// last number of each by its place.
    pub(super) fn new(len: usize, range: impl Fn(usize) -> (A, A)) -> Self {
        let mut index = Self {
            nodes: Vec::new(),
            slots: Vec::new(),
        };
        let mut tasks = Vec::new();
        index.plan(0, len, &range, &mut tasks);
        while let Some(task) = tasks.pop() {
            index.spread(&task, &range, &mut tasks);
        }
        index.nodes.shrink_to_fit();
        index.slots.shrink_to_fit();
        index
    }

    /// Adds a node for the numbers of these places, and the task to spread them.
    fn plan(
        &mut self,
        from: usize,
        to: usize,
        range: impl Fn(usize) -> (A, A),
        tasks: &mut Vec<Task>,
    ) -> Option<usize> {
        let last = to.checked_sub(1).filter(|last| *last >= from)?;
        let (base, _) = range(from);
        let span = range(last).0.distance(base);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it need not be exact"
        )]
        let most = 1 + ((to - from) as f64 * A::BUCKETS) as u32;
        let mut low = span.bits().saturating_sub(most.ilog2() + 1);
        while span.shifted(low, u32::MAX) >= most {
            low += 1;
        }
        let node = self.nodes.len();
        self.nodes.push(Node {
            base,
            low,
            last: span.shifted(low, u32::MAX),
            slots: self.slots.len(),
            place: from,
        });
        tasks.push(Task { node, from, to });
        Some(node)
    }

    /// Fills the buckets of a node.
    fn spread(&mut self, task: &Task, range: impl Fn(usize) -> (A, A), tasks: &mut Vec<Task>) {
        let slots = self.slots.len();
        let Some(node) = self.nodes.get_mut(task.node) else {
            return;
        };
        node.slots = slots;
        let node = *node;
        if slots == 0 {
            self.slots.reserve_exact(node.last as usize + 1);
        }
        let mut from = task.from;
        // The bucket of the last number of the range in front.
        let mut reached = 0;
        for bucket in 0..=node.last {
            let mut to = from;
            while to < task.to && node.bucket(range(to).0) == bucket {
                to += 1;
            }
            let slot = match to - from {
                0 if reached < bucket => Some(Slot::VOID),
                0..=BUCKET_MAX => None,
                _ => self.plan(from, to, &range, tasks).and_then(Slot::node),
            };
            self.slots.push(slot.unwrap_or_else(|| Slot::place(from)));
            if to > from {
                reached = node.bucket(range(to - 1).1);
            }
            from = to;
        }
    }

    /// Where the range can be that has this number, if one can: a place in the list at or before the
    /// first range behind the number, and soon before it.
    #[inline]
    pub(super) fn begin(&self, wanted: A) -> Option<usize> {
        let mut next = self.nodes.first();
        while let Some(node) = next {
            if wanted < node.base {
                return Some(node.place);
            }
            let bucket = node.bucket(wanted) as usize;
            let slot = self.slots.get(node.slots + bucket)?;
            if let Some(place) = slot.as_place() {
                return Some(place);
            }
            if *slot == Slot::VOID {
                return None;
            }
            next = self.nodes.get(slot.as_node());
        }
        None
    }

    pub(super) const fn bytes(&self) -> usize {
        size_of::<Node<A>>() * self.nodes.capacity() + size_of::<Slot>() * self.slots.capacity()
    }
}

impl<A: Address> Node<A> {
    #[inline]
    fn bucket(&self, number: A) -> u32 {
        number.distance(self.base).shifted(self.low, self.last)
    }
}
