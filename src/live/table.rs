//! What workers look live decisions and points up in.
//!
//! ```text
//!  live thread ── one atomic store for a change ──▶ Slots of decisions ◀── lookup ── workers
//!              ── one atomic store for a report ──▶ Slots of points    ◀──
//!              ── a new Snapshot only when a table has no room left, or an origin is new
//! ```
//!
//! A change is in force as soon as it is stored: nothing is published, merged or copied for it, and a worker
//! takes no lock. The table is also the only record of type, value, origin and end of a decision; reason, node
//! and time of creation stand beside it in the live thread's memory ([`Decisions`](super::Decisions)).
//!
//! `bench/live` measures it beside three others, 1,000,000 decisions on 2 shared cores:
//! docs/live.md has the figures. Immutable layers (a large base and a small delta in front of it that is
//! rebuilt for each batch) cost a cache miss per prefix length and layer, and the base has to be rebuilt
//! every few thousand changes. Standard maps by prefix length that are rebuilt for each batch are slowest.
//! One copy for each worker (by mail, or `left-right`) costs twice the memory or more, and work on the
//! workers' threads.
//!
//! In scope: the lookup. Out of scope: which decisions there are ([`Decisions`](super::Decisions)), where
//! points come from ([`Points`](super::points)).

use core::net::IpAddr;
use std::sync::Arc;

use super::Kind;
use super::network::{Network, bits};
use super::points::PointsTable;
use super::slots::{Slots, len_byte, len_of};
use ip_reputation::Prefix;

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

    #[cold]
    fn note(&mut self, effect: Effect) {
        let hits = if effect.is_foreign {
            &mut self.foreign
        } else {
            &mut self.own
        };
        if let Some(hit) = hits.get_mut(effect.kind as usize) {
            // Longer prefixes come first; of two origins that of the later end counts.
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
        let hit = Hit { until, origin, len };
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
    origins: Arc<[Arc<str>]>,
    points: Option<Arc<PointsTable>>,
}

impl Snapshot {
    pub(super) const fn new(
        decisions: Arc<Slots>,
        origins: Arc<[Arc<str>]>,
        points: Option<Arc<PointsTable>>,
    ) -> Self {
        Self {
            decisions,
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
        self.decisions.covering(bits, family, |meta| {
            if let Some(effect) = Effect::of(meta).filter(|it| it.hit.until > now()) {
                hits.get_or_insert_default().note(effect);
            }
        });
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
