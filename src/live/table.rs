//! The table that workers look live decisions up in: immutable snapshots, each a large base layer and
//! a small delta layer in front of it.
//!
//! ```text
//!  change ─▶ delta rebuilt (small) ─▶ snapshot { delta, base } ─▶ published
//!             delta too large ─▶ base rebuilt, delta empty
//!
//!  lookup    for each length present, longest first: delta, else base
//!  layer     filter: 1 word, 2 bits ─ no ─▶ miss        (10 bits a slot, stays in L2)
//!                                   └ yes ▶ linear probing, 24 bytes a slot, 80 % full
//! ```
//!
//! A change costs the size of the delta, not that of the table. `bench/live` measures it beside standard
//! maps by prefix length that are rebuilt for each batch, 1,000,000 decisions, 2 shared cores under load,
//! 2026-11-28: a lookup 61 ns and 254 ns, changes in batches of 10,000 43,000/s and 21,000/s; 119 bytes a
//! decision, 31 of them this table. One copy for each worker (by mail, or `left-right`) was not measured:
//! it costs twice the memory or more, and work on the workers' threads.
//!
//! In scope: the lookup and its memory. Out of scope: which decisions there are
//! ([`Decisions`](super::Decisions)).

use core::net::IpAddr;
use std::sync::Arc;

use super::Kind;
use ip_reputation::Prefix;

/// Slots in use of 10.
const FILL: usize = 8;
/// Bits of the filter for each slot in use.
const FILTER_BITS: usize = 10;

/// Address and prefix length of a network; IPv4 is mapped, with a length from 96.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Network {
    high: u64,
    low: u64,
    len: u8,
}

impl Network {
    pub(super) fn of(prefix: Prefix) -> Self {
        match prefix {
            Prefix::V4 { network, len } => Self {
                high: 0,
                low: mapped(network),
                len: len + 96,
            },
            Prefix::V6 { network, len } => {
                let (high, low) = halves(network);
                Self { high, low, len }
            }
        }
    }

    /// The network of this length around an address.
    pub(super) const fn around(bits: (u64, u64), len: u8) -> Self {
        let (high, low) = bits;
        let (high, low) = if len >= 64 {
            (high, low & u64::MAX.unbounded_shl(128 - len as u32))
        } else {
            (high & u64::MAX.unbounded_shl(64 - len as u32), 0)
        };
        Self { high, low, len }
    }

    pub(super) const fn is_v4(self) -> bool {
        self.len >= 96 && self.high == 0 && self.low >> 32 == 0xffff
    }

    pub(super) const fn is_within(self, outer: Self) -> bool {
        let around = Self::around((self.high, self.low), outer.len);
        self.len >= outer.len
            && around.high == outer.high
            && around.low == outer.low
            && self.is_v4() == outer.is_v4()
    }

    pub(super) const fn bits(self) -> (u64, u64, u8) {
        (self.high, self.low, self.len)
    }

    pub(super) const fn from_bits(high: u64, low: u64, len: u8) -> Self {
        Self { high, low, len }
    }

    pub(super) fn prefix(self) -> Prefix {
        let bits = (u128::from(self.high) << 64) | u128::from(self.low);
        let address = IpAddr::V6(bits.into());
        Prefix::new(address, self.len).unwrap_or_else(|| Prefix::host(address))
    }

    #[inline]
    const fn hash(self, seed: u64) -> u64 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let one = self.low ^ seed ^ (self.len as u64).wrapping_mul(ODD);
        let other = self.high ^ seed.rotate_left(32) ^ ODD;
        let first = fold(one, ODD) ^ other;
        fold(first, seed | 1)
    }
}

const fn mapped(network: u32) -> u64 {
    0xffff_0000_0000 | network as u64
}

#[expect(clippy::cast_possible_truncation, reason = "these are the halves")]
const fn halves(network: u128) -> (u64, u64) {
    ((network >> 64) as u64, network as u64)
}

#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
const fn fold(one: u64, other: u64) -> u64 {
    let product = (one as u128) * (other as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

/// A number below `len` of a hash.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "it is below len")]
const fn reduced(hash: u64, len: usize) -> usize {
    ((hash as u128 * len as u128) >> 64) as usize
}

/// What covers an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// When it ends, in seconds since 1970.
    pub until: u32,
    /// The number of its origin in the snapshot.
    pub(super) origin: u16,
    /// The length of its prefix; IPv4 from 96.
    len: u8,
}

impl Hit {
    /// The prefix of the decision. The address is the one that was looked up.
    #[must_use]
    pub fn prefix(self, address: IpAddr) -> Prefix {
        Network::around(bits(address).0, self.len).prefix()
    }
}

/// The most specific decision of each kind that covers an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hits {
    own: [Option<Hit>; 3],
    foreign: [Option<Hit>; 3],
}

impl Hits {
    /// The decision of a kind. `with_foreign`: also those of origins that do not touch private space.
    #[must_use]
    pub fn of(&self, kind: Kind, with_foreign: bool) -> Option<Hit> {
        let at = kind as usize;
        let own = self.own.get(at).copied().flatten();
        let foreign = self.foreign.get(at).copied().flatten();
        let foreign = foreign.filter(|_| with_foreign);
        own.into_iter()
            .chain(foreign)
            .max_by_key(|hit| (hit.len, hit.until))
    }
}

/// A decision as the table has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Effect {
    pub(super) until: u32,
    /// 0: an empty slot.
    mark: u8,
    pub(super) origin: u16,
}

impl Effect {
    const FOREIGN: u8 = 4;
    const GONE: u8 = 8;

    pub(super) fn new(kind: Kind, is_foreign: bool, origin: u16, until: u32) -> Self {
        let mark = match kind {
            Kind::Ban => 1,
            Kind::Challenge => 2,
            Kind::Allow => 3,
        };
        let mark = if is_foreign {
            mark | Self::FOREIGN
        } else {
            mark
        };
        Self {
            until,
            mark,
            origin,
        }
    }

    /// Nothing holds for this network, whatever the base says.
    const fn gone() -> Self {
        Self {
            until: 0,
            mark: Self::GONE,
            origin: 0,
        }
    }

    /// Whether only the later one of the two matters.
    pub(super) const fn is_like(self, other: Self) -> bool {
        self.mark == other.mark
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    high: u64,
    low: u64,
    until: u32,
    origin: u16,
    len: u8,
    mark: u8,
}

/// A hash table that never changes.
#[derive(Debug, Default)]
pub(super) struct Layer {
    slots: Box<[Slot]>,
    filter: Box<[u64]>,
    /// The lengths present: IPv4, IPv6.
    lengths: [u128; 2],
    has_default_route: bool,
    seed: u64,
}

impl Layer {
    pub(super) fn new(
        seed: u64,
        count: usize,
        effects: impl Iterator<Item = (Network, Effect)>,
    ) -> Self {
        if count == 0 {
            return Self::default();
        }
        // More slots than effects: probing ends.
        let mut layer = Self {
            slots: vec![Slot::default(); count * 10 / FILL + 2].into(),
            filter: vec![0; (count * FILTER_BITS).div_ceil(64)].into(),
            seed,
            ..Self::default()
        };
        for (network, effect) in effects.take(count) {
            layer.add(network, effect);
        }
        layer
    }

    fn add(&mut self, network: Network, effect: Effect) {
        let family = usize::from(!network.is_v4());
        match (network.len.checked_sub(1), self.lengths.get_mut(family)) {
            (Some(bit), Some(lengths)) => *lengths |= 1 << bit,
            _ => self.has_default_route = true,
        }
        let hash = network.hash(self.seed);
        let (word, bits) = self.filter_bits(hash);
        if let Some(word) = self.filter.get_mut(word) {
            *word |= bits;
        }
        let mut at = reduced(hash, self.slots.len());
        while self.slots.get(at).is_some_and(|slot| slot.mark != 0) {
            at = self.after(at);
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Slot {
                high: network.high,
                low: network.low,
                len: network.len,
                until: effect.until,
                origin: effect.origin,
                mark: effect.mark,
            };
        }
    }

    const fn after(&self, at: usize) -> usize {
        let next = at + 1;
        if next == self.slots.len() { 0 } else { next }
    }

    #[inline]
    const fn filter_bits(&self, hash: u64) -> (usize, u64) {
        let word = reduced(hash.rotate_left(32), self.filter.len());
        let bits = (1 << (hash & 63)) | (1 << ((hash >> 6) & 63));
        (word, bits)
    }

    const fn has(&self, family: usize, len: u8) -> bool {
        let lengths = if family == 0 {
            self.lengths[0]
        } else {
            self.lengths[1]
        };
        match len.checked_sub(1) {
            Some(bit) => lengths & (1 << bit) != 0,
            None => self.has_default_route && family == 1,
        }
    }

    /// Calls `each` with the effects on a network. Whether there is any.
    #[inline]
    fn find(&self, network: Network, hash: u64, mut each: impl FnMut(&Slot)) -> bool {
        let (word, bits) = self.filter_bits(hash);
        if self.filter.get(word).is_none_or(|word| word & bits != bits) {
            return false;
        }
        let mut found = false;
        let mut at = reduced(hash, self.slots.len());
        while let Some(slot) = self.slots.get(at).filter(|slot| slot.mark != 0) {
            if slot.low == network.low && slot.high == network.high && slot.len == network.len {
                found = true;
                each(slot);
            }
            at = self.after(at);
        }
        found
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.slots) + size_of_val(&*self.filter)
    }
}

/// A length that some decision has, and where.
#[derive(Debug, Clone, Copy)]
struct Length {
    len: u8,
    in_delta: bool,
    in_base: bool,
}

/// All decisions in force, as workers look them up. It never changes;
/// [`LiveTable`](super::LiveTable) replaces it.
#[derive(Debug, Default)]
pub struct Snapshot {
    base: Arc<Layer>,
    delta: Layer,
    /// The lengths present, the longest first: IPv4, IPv6.
    lengths: [Box<[Length]>; 2],
    origins: Arc<[Arc<str>]>,
    seed: u64,
}

impl Snapshot {
    /// `changed` overrides the base network by network.
    pub(super) fn new<'a>(
        seed: u64,
        base: Arc<Layer>,
        changed: impl Iterator<Item = (Network, &'a [Effect])> + Clone,
        origins: Arc<[Arc<str>]>,
    ) -> Self {
        let count = changed.clone().map(|(_, effects)| effects.len().max(1));
        let count = count.sum();
        let effects = changed.flat_map(|(network, effects)| {
            let gone = effects.is_empty().then(Effect::gone);
            let effects = effects.iter().copied().chain(gone);
            effects.map(move |effect| (network, effect))
        });
        let delta = Layer::new(seed, count, effects);
        let lengths = [0, 1].map(|family| {
            let lengths = (0..=128).rev().map(|len| Length {
                len,
                in_delta: delta.has(family, len),
                in_base: base.has(family, len),
            });
            lengths.filter(|it| it.in_delta || it.in_base).collect()
        });
        Self {
            base,
            delta,
            lengths,
            origins,
            seed,
        }
    }

    /// Returns what covers an address and is not over; none if nothing does. The clock is read only if
    /// something covers it.
    #[inline]
    pub fn lookup(&self, address: IpAddr, mut now: impl FnMut() -> u32) -> Option<Hits> {
        let (bits, family) = bits(address);
        let mut hits: Option<Hits> = None;
        let [v4, v6] = &self.lengths;
        let lengths = if family == 0 { v4 } else { v6 };
        for length in lengths {
            let network = Network::around(bits, length.len);
            let hash = network.hash(self.seed);
            let mut each = |slot: &Slot| {
                if slot.mark != Effect::GONE && slot.until > now() {
                    hits.get_or_insert_default().note(slot);
                }
            };
            let is_changed = length.in_delta && self.delta.find(network, hash, &mut each);
            if length.in_base && !is_changed {
                self.base.find(network, hash, &mut each);
            }
        }
        hits
    }

    /// The name of the origin of a hit of this snapshot.
    #[must_use]
    pub fn origin(&self, hit: Hit) -> &str {
        self.origins
            .get(usize::from(hit.origin))
            .map_or("", |it| it)
    }

    /// Its memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.base.bytes() + self.delta.bytes()
    }
}

impl Hits {
    fn note(&mut self, slot: &Slot) {
        let (own, foreign) = (&mut self.own, &mut self.foreign);
        let hits = if slot.mark & Effect::FOREIGN == 0 {
            own
        } else {
            foreign
        };
        let kind = usize::from((slot.mark & 3).saturating_sub(1));
        if let Some(hit) = hits.get_mut(kind) {
            let new = Hit {
                until: slot.until,
                origin: slot.origin,
                len: slot.len,
            };
            // Longer prefixes come first; of two origins that of the later end counts.
            let hit = hit.get_or_insert(new);
            if hit.len == new.len && hit.until < new.until {
                *hit = new;
            }
        }
    }
}

#[inline]
const fn bits(address: IpAddr) -> ((u64, u64), usize) {
    match address {
        IpAddr::V4(v4) => ((0, mapped(v4.to_bits())), 0),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => ((0, mapped(v4.to_bits())), 0),
            None => (halves(v6.to_bits()), 1),
        },
    }
}
