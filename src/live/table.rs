//! What workers look live decisions and points up in.
//!
//! ```text
//!  live thread ── one atomic store for a change ──▶ Slots of decisions ◀── lookup ── workers
//!              ── one atomic store for a report ──▶ Slots of points    ◀──
//!              ── a new Snapshot only for a larger table, a new prefix length, a new origin
//! ```
//!
//! A change is in force as soon as it is stored: nothing is published, merged or copied for it, and a worker
//! takes no lock. The table is also the only record of type, value, origin and end of a decision; reason, node
//! and time of creation stand beside it in the live thread's memory ([`Decisions`](super::Decisions)).
//!
//! `bench/live` measures it beside two candidates, with 1,000,000 decisions and batches of 10,000 on 2 shared
//! cores under load, 2026-11-28:
//!
//! | | a miss | changes/s | bytes a decision |
//! |---|---|---|---|
//! | slots changed in place | 15 to 39 ns | 320,000 to 700,000 | 53 to 56, 33 of them the slots and the filter |
//! | standard maps by length, rebuilt for each batch | 200 to 290 ns | 20,000 | |
//! | two layers of such maps, the small one copied for each batch | 210 to 270 ns | 200,000 | |
//!
//! Immutable tables have to be built again to be changed, however cleverly they are layered, and each layer costs
//! a cache miss. One copy for each worker (by mail, or `left-right`) was not measured: it costs twice the memory or
//! more, and work on the workers' threads. Slots have neither: a slot keeps its key as long as its table lives, so
//! that a change is one word, which no reader can see half done.
//!
//! In scope: the lookup. Out of scope: which decisions there are ([`Decisions`](super::Decisions)), where
//! points come from ([`Points`](super::points)).

use core::net::IpAddr;
use std::sync::Arc;

use super::network::{LEN_ASN, LEN_COUNTRY, Network, bits};
use super::points::PointsTable;
use super::slots::{Lengths, Slots, len_byte, len_of};
use super::{Kind, Target};

/// What covers an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// When it ends, in seconds since 1970.
    pub until: u32,
    /// The number of its origin in the snapshot.
    pub(super) origin: u16,
    /// The length of its prefix; IPv4 from 96. Or what stands for it of an AS or a country.
    len: u8,
    /// The AS, or the letters of the country.
    place: u32,
}

impl Hit {
    /// The value of the decision. The address is the one that was looked up.
    #[must_use]
    pub fn target(self, address: IpAddr) -> Target {
        match self.len {
            LEN_ASN | LEN_COUNTRY => {
                Network::from_bits(u64::from(self.place) << 32, 0, self.len).target()
            }
            len => Network::around(bits(address).0, len).target(),
        }
    }

    /// The more specific, the higher: prefixes by length, then an AS, then a country.
    const fn rank(self) -> u8 {
        match self.len {
            LEN_COUNTRY => 0,
            LEN_ASN => 1,
            len => len + 2,
        }
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
            .max_by_key(|hit| (hit.rank(), hit.until))
    }

    #[cold]
    fn note(&mut self, effect: Effect) {
        let hits = if effect.is_foreign {
            &mut self.foreign
        } else {
            &mut self.own
        };
        if let Some(hit) = hits.get_mut(effect.kind as usize) {
            // What is more specific comes first; of two origins that of the later end counts.
            let hit = hit.get_or_insert(effect.hit);
            if hit.len == effect.hit.len && hit.until < effect.hit.until {
                *hit = effect.hit;
            }
        }
    }
}

/// A decision as a slot has it:
///
/// ```text
///  63      until      32 31   origin   16 15  mark  8 7  len + 1  0
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) kind: Kind,
    pub(super) is_foreign: bool,
    pub(super) hit: Hit,
}

impl Effect {
    const FOREIGN: u64 = 4 << 8;
    /// What makes the identity of a decision within its network; the rest is when it ends.
    const IDENTITY: u64 = 0xffff_ffff;

    pub(super) const fn new(
        kind: Kind,
        is_foreign: bool,
        origin: u16,
        len: u8,
        until: u32,
    ) -> Self {
        let hit = Hit {
            until,
            origin,
            len,
            place: 0,
        };
        Self {
            kind,
            is_foreign,
            hit,
        }
    }

    pub(super) const fn meta(self) -> u64 {
        let foreign = if self.is_foreign { Self::FOREIGN } else { 0 };
        ((self.hit.until as u64) << 32)
            | ((self.hit.origin as u64) << 16)
            | ((self.kind as u64) << 8)
            | foreign
            | len_byte(self.hit.len)
    }

    /// None: the decision has been removed.
    #[expect(clippy::cast_possible_truncation, reason = "these are its parts")]
    pub(super) const fn of(meta: u64) -> Option<Self> {
        let until = (meta >> 32) as u32;
        if until == 0 {
            return None;
        }
        let kind = match (meta >> 8) & 3 {
            0 => Kind::Ban,
            1 => Kind::Challenge,
            _ => Kind::Allow,
        };
        let is_foreign = meta & Self::FOREIGN != 0;
        let origin = (meta >> 16) as u16;
        Some(Self::new(kind, is_foreign, origin, len_of(meta), until))
    }

    /// The same decision, removed.
    pub(super) const fn removed(meta: u64) -> u64 {
        meta & Self::IDENTITY
    }

    pub(super) const fn is_same(one: u64, other: u64) -> bool {
        one & Self::IDENTITY == other & Self::IDENTITY
    }
}

/// All decisions in force and all points, as workers look them up. [`LiveTable`](super::LiveTable)
/// replaces it when a table has no room left.
#[derive(Debug, Default)]
pub struct Snapshot {
    decisions: Arc<Slots>,
    lengths: Lengths,
    origins: Arc<[Arc<str>]>,
    points: Option<Arc<PointsTable>>,
}

impl Snapshot {
    pub(super) const fn new(
        decisions: Arc<Slots>,
        lengths: Lengths,
        origins: Arc<[Arc<str>]>,
        points: Option<Arc<PointsTable>>,
    ) -> Self {
        Self {
            decisions,
            lengths,
            origins,
            points,
        }
    }

    /// Returns what covers an address and is not over; none if nothing does. The clock is read only if
    /// something covers it.
    #[inline]
    pub fn lookup(&self, address: IpAddr, mut now: impl FnMut() -> u32) -> Option<Hits> {
        let (bits, family) = bits(address);
        let mut hits: Option<Hits> = None;
        self.decisions
            .covering(&self.lengths, bits, family, |meta| {
                if let Some(effect) = Effect::of(meta).filter(|it| it.hit.until > now()) {
                    hits.get_or_insert_default().note(effect);
                }
            });
        hits
    }

    /// Whether there are decisions about autonomous systems, and about countries.
    #[must_use]
    #[inline]
    pub const fn places(&self) -> (bool, bool) {
        self.lengths.places()
    }

    /// Adds what covers the AS and the country of an address, behind what covers the address itself.
    #[must_use]
    pub fn with_places(
        &self,
        mut hits: Option<Hits>,
        asn: Option<u32>,
        country: Option<[u8; 2]>,
        mut now: impl FnMut() -> u32,
    ) -> Option<Hits> {
        let places = [asn.map(Target::Asn), country.map(Target::Country)];
        for target in places.into_iter().flatten() {
            let network = Network::of_target(target);
            let place = u32::try_from(network.bits().0 >> 32).unwrap_or_default();
            self.decisions.exactly(network, |_, meta| {
                if let Some(mut effect) = Effect::of(meta).filter(|it| it.hit.until > now()) {
                    effect.hit.place = place;
                    hits.get_or_insert_default().note(effect);
                }
            });
        }
        hits
    }

    /// Whether there are points at all.
    #[must_use]
    #[inline]
    pub const fn has_points(&self) -> bool {
        self.points.is_some()
    }

    /// Returns the points of an address now; 0 if nothing was reported of it. The clock is read only if
    /// something was.
    #[must_use]
    #[inline]
    pub fn points(&self, address: IpAddr) -> f64 {
        self.points.as_ref().map_or(0.0, |it| it.value(address))
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
        self.decisions.bytes() + self.points.as_ref().map_or(0, |it| it.bytes())
    }
}
