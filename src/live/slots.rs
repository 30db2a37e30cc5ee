//! A hash table that one thread changes and workers read at the same time, without a lock.
//!
//! ```text
//!  filter   lines of 64 bytes; a group of lengths (/24 to /32, /64 to /128, …) of one network shares a line:
//!           three bits for each network ─ not all set ─▶ miss
//!  slots    high, low, meta: linear probing, at most 7/8 full; meta 0 ends a probe
//! ```
//!
//! A slot has the same key as long as the table lives: a change is one store of its `meta`, which no
//! reader can see half done. What is over stays as a slot that says so, until the owner moves what is
//! left into another table ([`Slots::with_room`]).
//!
//! In scope: finding a slot. Out of scope: what `meta` means.

use core::sync::atomic::{AtomicU64, Ordering};

use super::network::{Family, Network};

/// Bits of the filter for each slot.
const FILTER_BITS: usize = 12;
const WORDS: usize = 8;
/// Slots in a table that has just been made, for what there is to be in it: 4/3, and these.
const SPARE: usize = 64;

/// Where groups of lengths begin, the longest first; IPv4 from 96.
const ANCHORS_V4: [u8; 4] = [120, 112, 104, 96];
const ANCHORS_V6: [u8; 5] = [64, 48, 32, 16, 0];

/// A cache line of the filter.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; WORDS]);

impl Line {
    #[inline]
    fn has(&self, hash: u64) -> bool {
        let (word, bits) = filter_bits(hash);
        let word = self.0.get(word);
        word.is_some_and(|word| word.load(Ordering::Relaxed) & bits == bits)
    }
}

/// The lengths present: bit `len - 1`.
#[derive(Debug, Default)]
struct Lengths([AtomicU64; 2]);

impl Lengths {
    #[inline]
    fn load(&self) -> u128 {
        let [low, high] = &self.0;
        let (low, high) = (low.load(Ordering::Acquire), high.load(Ordering::Acquire));
        (u128::from(high) << 64) | u128::from(low)
    }

    fn add(&self, len: u8) {
        let Some(bit) = len.checked_sub(1) else {
            return;
        };
        if let Some(word) = self.0.get(usize::from(bit >> 6)) {
            word.fetch_or(1 << (bit & 63), Ordering::Release);
        }
    }
}

/// The table.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Box<[[AtomicU64; 3]]>,
    filter: Box<[Line]>,
    v4: Lengths,
    v6: Lengths,
    /// Whether there is a network of length 0 of IPv6.
    has_default_route: AtomicU64,
    seed: u64,
}

impl Default for Slots {
    fn default() -> Self {
        Self::with_room(0, 0)
    }
}

impl Slots {
    /// A table with room for this many keys and a third more.
    pub(super) fn with_room(count: usize, seed: u64) -> Self {
        let len = count + count / 3 + SPARE;
        let lines = (len * FILTER_BITS).div_ceil(WORDS * 64);
        Self {
            slots: core::iter::repeat_with(Default::default)
                .take(len)
                .collect(),
            filter: core::iter::repeat_with(Line::default).take(lines).collect(),
            v4: Lengths::default(),
            v6: Lengths::default(),
            has_default_route: AtomicU64::new(0),
            seed,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many slots may be in use: beyond it a probe takes too long.
    pub(super) const fn room(&self) -> usize {
        self.slots.len() / 8 * 7
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.slots) + size_of_val(&*self.filter)
    }

    /// Calls `each` for every slot whose network contains an address, the longest prefixes first.
    #[inline]
    pub(super) fn covering(&self, bits: (u64, u64), family: Family, mut each: impl FnMut(u64)) {
        let (mut lengths, anchors) = match family {
            Family::V4 => (self.v4.load(), &ANCHORS_V4[..]),
            Family::V6 => (self.v6.load(), &ANCHORS_V6[..]),
        };
        for anchor in anchors {
            if lengths == 0 {
                break;
            }
            // Bit `len - 1`: those from the anchor up.
            let below = (1_u128 << anchor) >> 1;
            let mut group = lengths & !below.wrapping_sub(1);
            if *anchor == 0 {
                group = lengths;
            }
            if group == 0 {
                continue;
            }
            lengths ^= group;
            let Some(line) = self.line(bits, *anchor) else {
                return;
            };
            while group != 0 {
                let len = top(group);
                group ^= 1 << (len - 1);
                let network = Network::around(bits, len);
                let hash = network.hash(self.seed);
                if line.has(hash) {
                    self.probe(network, hash, |_, meta| each(meta));
                }
            }
        }
        if family == Family::V6 && self.has_default_route.load(Ordering::Acquire) != 0 {
            let network = Network::around(bits, 0);
            self.probe(network, network.hash(self.seed), |_, meta| each(meta));
        }
    }

    /// Calls `each` for every slot of exactly this network.
    #[inline]
    pub(super) fn exactly(&self, network: Network, each: impl FnMut(usize, u64)) {
        let hash = network.hash(self.seed);
        let (high, low, len) = network.bits();
        let anchor = anchor(network.family(), len);
        if self
            .line((high, low), anchor)
            .is_some_and(|line| line.has(hash))
        {
            self.probe(network, hash, each);
        }
    }

    /// Takes a slot. There is room; only the owner of the table calls this.
    pub(super) fn insert(&self, network: Network, meta: u64) -> usize {
        let hash = network.hash(self.seed);
        let (high, low, len) = network.bits();
        let mut at = reduced(hash, self.slots.len());
        while self.meta(at) != 0 {
            at = self.after(at);
        }
        if let Some([first, second, last]) = self.slots.get(at) {
            first.store(high, Ordering::Relaxed);
            second.store(low, Ordering::Relaxed);
            // A reader that sees this sees the key.
            last.store(meta, Ordering::Release);
        }
        let (word, bits) = filter_bits(hash);
        let line = self.line((high, low), anchor(network.family(), len));
        if let Some(word) = line.and_then(|line| line.0.get(word)) {
            word.fetch_or(bits, Ordering::Release);
        }
        match network.family() {
            Family::V4 => self.v4.add(len),
            Family::V6 if len == 0 => self.has_default_route.store(1, Ordering::Release),
            Family::V6 => self.v6.add(len),
        }
        at
    }

    /// Changes what a slot says.
    pub(super) fn set(&self, at: usize, meta: u64) {
        if let Some([.., last]) = self.slots.get(at) {
            last.store(meta, Ordering::Release);
        }
    }

    pub(super) fn meta(&self, at: usize) -> u64 {
        let slot = self.slots.get(at);
        slot.map_or(0, |[.., meta]| meta.load(Ordering::Acquire))
    }

    /// Every slot in use: where it is, the bits of its network and its meta.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, (u64, u64), u64)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(at, [high, low, meta])| {
            let meta = meta.load(Ordering::Acquire);
            let bits = (high.load(Ordering::Relaxed), low.load(Ordering::Relaxed));
            (meta != 0).then_some((at, bits, meta))
        })
    }

    /// Where a slot is, the bits of its network and its meta.
    pub(super) fn get(&self, at: usize) -> Option<((u64, u64), u64)> {
        let [high, low, meta] = self.slots.get(at)?;
        let meta = meta.load(Ordering::Acquire);
        let bits = (high.load(Ordering::Relaxed), low.load(Ordering::Relaxed));
        (meta != 0).then_some((bits, meta))
    }

    #[inline]
    fn line(&self, bits: (u64, u64), anchor: u8) -> Option<&Line> {
        let hash = Network::around(bits, anchor).hash(!self.seed);
        self.filter.get(reduced(hash, self.filter.len()))
    }

    #[inline]
    fn probe(&self, network: Network, hash: u64, mut each: impl FnMut(usize, u64)) {
        let (high, low, len) = network.bits();
        let mut at = reduced(hash, self.slots.len());
        // It is never full: the probe ends.
        while let Some([first, second, last]) = self.slots.get(at) {
            let meta = last.load(Ordering::Acquire);
            if meta == 0 {
                return;
            }
            let is_same = first.load(Ordering::Relaxed) == high
                && second.load(Ordering::Relaxed) == low
                && len_of(meta) == len;
            if is_same {
                each(at, meta);
            }
            at = self.after(at);
        }
    }

    const fn after(&self, at: usize) -> usize {
        let next = at + 1;
        if next == self.slots.len() { 0 } else { next }
    }
}

/// The length of a slot's network: the lowest byte of every meta, one more than it.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "masked")]
pub(super) const fn len_of(meta: u64) -> u8 {
    ((meta & 0xff) as u8).wrapping_sub(1)
}

/// The lowest byte of the meta of a network of this length. It is not 0.
pub(super) const fn len_byte(len: u8) -> u64 {
    len as u64 + 1
}

/// The group of a length.
fn anchor(family: Family, len: u8) -> u8 {
    let anchors = match family {
        Family::V4 => &ANCHORS_V4[..],
        Family::V6 => &ANCHORS_V6[..],
    };
    // A length of 0 has no bit and no group; any line will do.
    anchors.iter().copied().find(|it| *it <= len).unwrap_or(0)
}

/// The longest length of a set that has one.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "1 to 128")]
const fn top(lengths: u128) -> u8 {
    128 - lengths.leading_zeros() as u8
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "three bits")]
const fn filter_bits(hash: u64) -> (usize, u64) {
    let bits = (1 << (hash & 63)) | (1 << ((hash >> 6) & 63)) | (1 << ((hash >> 12) & 63));
    (((hash >> 18) & 7) as usize, bits)
}

/// A number below `len` of a hash.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "it is below len")]
const fn reduced(hash: u64, len: usize) -> usize {
    ((hash as u128 * len as u128) >> 64) as usize
}
