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

use super::network::{Family, LEN_ASN, LEN_COUNTRY, Network};

/// Bits of the filter for each slot.
const FILTER_BITS: usize = 12;
const WORDS: usize = 8;
/// Slots in a table that has just been made, for what there is to be in it: 4/3, and these.
const SPARE: usize = 64;

/// Where groups of lengths begin, the longest first; IPv4 from 96.
const ANCHORS_V4: [u8; 4] = [120, 112, 104, 96];
const ANCHORS_V6: [u8; 4] = [48, 32, 16, 0];

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

    fn add(&self, hash: u64) {
        let (word, bits) = filter_bits(hash);
        if let Some(word) = self.0.get(word) {
            word.fetch_or(bits, Ordering::Release);
        }
    }
}

/// Keys of the hash, so that nobody can choose networks that collide.
#[derive(Debug, Clone, Copy)]
struct Keys {
    high: u64,
    low: u64,
}

impl Keys {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

    const fn new(seed: u64) -> Self {
        Self {
            high: fold(seed, Self::ODD) | 1,
            low: fold(!seed, Self::ODD),
        }
    }

    /// Networks of this length, or groups of networks that begin with it.
    const fn mask(self, len: u8, is_anchor: bool) -> Mask {
        let (high, low, _) =
            Network::around((u64::MAX, u64::MAX), if len > 128 { 128 } else { len }).bits();
        let number = len as u64 * 2 + is_anchor as u64;
        Mask {
            high,
            low,
            salt: self.low ^ number.wrapping_mul(Self::ODD),
            len,
        }
    }

    #[inline]
    const fn hash(self, mask: &Mask, bits: (u64, u64)) -> u64 {
        let (high, low) = (bits.0 & mask.high, bits.1 & mask.low);
        fold(high ^ self.high, low ^ mask.salt)
    }
}

/// A prefix length that is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mask {
    high: u64,
    low: u64,
    salt: u64,
    len: u8,
}

/// Lengths that share a line of the filter, the longest first.
#[derive(Debug)]
struct Group {
    anchor: Mask,
    lengths: Vec<Mask>,
}

/// The lengths present in a table, and how they are looked up: the longest first.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    v4: Box<[Group]>,
    v6: Box<[Group]>,
    /// Whether there are autonomous systems, and countries: no address leads to these.
    has_asn: bool,
    has_country: bool,
}

impl Lengths {
    #[inline]
    pub(super) const fn places(&self) -> (bool, bool) {
        (self.has_asn, self.has_country)
    }
}

/// The table.
#[derive(Debug)]
pub(super) struct Slots {
    entries: Box<[[AtomicU64; 3]]>,
    filter: Box<[Line]>,
    keys: Keys,
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
            entries: core::iter::repeat_with(Default::default)
                .take(len)
                .collect(),
            filter: core::iter::repeat_with(Line::default).take(lines).collect(),
            keys: Keys::new(seed),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many slots may be in use: beyond it a probe takes too long.
    pub(super) const fn room(&self) -> usize {
        self.entries.len() / 8 * 7
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.entries) + size_of_val(&*self.filter)
    }

    /// How networks of these lengths are looked up; IPv4 from 96.
    pub(super) fn lengths(&self, v4: &[u8], v6: &[u8]) -> Lengths {
        Lengths {
            v4: self.groups(Family::V4, v4),
            v6: self.groups(Family::V6, v6),
            has_asn: v6.contains(&LEN_ASN),
            has_country: v6.contains(&LEN_COUNTRY),
        }
    }

    fn groups(&self, family: Family, lens: &[u8]) -> Box<[Group]> {
        let mut lens = lens.to_vec();
        lens.retain(|len| *len <= 128);
        lens.sort_unstable_by(|one, other| other.cmp(one));
        let mut groups: Vec<Group> = Vec::new();
        for len in lens {
            let anchor = self.keys.mask(anchor(family, len), true);
            let mask = self.keys.mask(len, false);
            match groups.last_mut().filter(|it| it.anchor == anchor) {
                Some(group) => group.lengths.push(mask),
                None => groups.push(Group {
                    anchor,
                    lengths: vec![mask],
                }),
            }
        }
        groups.into()
    }

    /// Calls `each` for every slot whose network contains an address, the longest prefixes first.
    #[inline]
    pub(super) fn covering(
        &self,
        lengths: &Lengths,
        bits: (u64, u64),
        family: Family,
        mut each: impl FnMut(u64),
    ) {
        let groups = match family {
            Family::V4 => &lengths.v4,
            Family::V6 => &lengths.v6,
        };
        for group in groups {
            let hash = self.keys.hash(&group.anchor, bits);
            let line = self.filter.get(reduced(hash, self.filter.len()));
            let Some(line) = line.filter(|line| line.has(hash)) else {
                continue;
            };
            for mask in &group.lengths {
                let hash = self.keys.hash(mask, bits);
                if line.has(hash) {
                    let network = Network::around(bits, mask.len);
                    self.probe(network, hash, |_, meta| each(meta));
                }
            }
        }
    }

    /// Calls `each` for every slot of exactly this network.
    #[inline]
    pub(super) fn exactly(&self, network: Network, each: impl FnMut(usize, u64)) {
        let hash = self.hash(network);
        let line = reduced(self.anchor_hash(network), self.filter.len());
        if self.filter.get(line).is_some_and(|line| line.has(hash)) {
            self.probe(network, hash, each);
        }
    }

    /// Takes a slot. There is room; only the owner of the table calls this.
    pub(super) fn insert(&self, network: Network, meta: u64) -> usize {
        let hash = self.hash(network);
        let (high, low, _) = network.bits();
        let mut at = reduced(hash, self.entries.len());
        while self.meta(at) != 0 {
            at = self.after(at);
        }
        if let Some([first, second, last]) = self.entries.get(at) {
            first.store(high, Ordering::Relaxed);
            second.store(low, Ordering::Relaxed);
            // A reader that sees this sees the key.
            last.store(meta, Ordering::Release);
        }
        let anchor = self.anchor_hash(network);
        if let Some(line) = self.filter.get(reduced(anchor, self.filter.len())) {
            line.add(anchor);
            line.add(hash);
        }
        at
    }

    /// Changes what a slot says.
    pub(super) fn set(&self, at: usize, meta: u64) {
        if let Some([.., last]) = self.entries.get(at) {
            last.store(meta, Ordering::Release);
        }
    }

    pub(super) fn meta(&self, at: usize) -> u64 {
        let slot = self.entries.get(at);
        slot.map_or(0, |[.., meta]| meta.load(Ordering::Acquire))
    }

    /// Every slot in use: where it is, the bits of its network and its meta.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, (u64, u64), u64)> {
        let slots = self.entries.iter().enumerate();
        slots.filter_map(|(at, [high, low, meta])| {
            let meta = meta.load(Ordering::Acquire);
            let bits = (high.load(Ordering::Relaxed), low.load(Ordering::Relaxed));
            (meta != 0).then_some((at, bits, meta))
        })
    }

    /// Where a slot is, the bits of its network and its meta.
    pub(super) fn get(&self, at: usize) -> Option<((u64, u64), u64)> {
        let [high, low, meta] = self.entries.get(at)?;
        let meta = meta.load(Ordering::Acquire);
        let bits = (high.load(Ordering::Relaxed), low.load(Ordering::Relaxed));
        (meta != 0).then_some((bits, meta))
    }

    #[inline]
    fn hash(&self, network: Network) -> u64 {
        let (high, low, len) = network.bits();
        self.keys.hash(&self.keys.mask(len, false), (high, low))
    }

    #[inline]
    fn anchor_hash(&self, network: Network) -> u64 {
        let (high, low, len) = network.bits();
        let anchor = self.keys.mask(anchor(network.family(), len), true);
        self.keys.hash(&anchor, (high, low))
    }

    #[inline]
    fn probe(&self, network: Network, hash: u64, mut each: impl FnMut(usize, u64)) {
        let (high, low, len) = network.bits();
        let mut at = reduced(hash, self.entries.len());
        // It is never full: the probe ends.
        while let Some([first, second, last]) = self.entries.get(at) {
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
        if next == self.entries.len() { 0 } else { next }
    }
}

/// The length of a slot's network: the lowest byte of every meta, one more than it.
#[inline]
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
    anchors.iter().copied().find(|it| *it <= len).unwrap_or(0)
}

#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
const fn fold(one: u64, other: u64) -> u64 {
    let product = (one as u128) * (other as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

#[inline]
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
