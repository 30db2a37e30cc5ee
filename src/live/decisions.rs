//! All live decisions, and what is known of them beside what workers look up.
//!
//! In scope: identity, limit, expiry, moving to a larger table. Out of scope: who asks, the store
//! and the clock ([`Live`](super::Live)).

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::decision::is_foreign;
use super::network::Network;
use super::slots::{Lengths, Slots, len_of};
use super::table::Effect;
use super::{Decision, Kind, Target};

/// Distinct origins.
const ORIGINS_MAX: usize = 1024;

/// What people want to know of a decision; shared by decisions of one batch.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Details {
    reason: Arc<str>,
    node: Arc<str>,
}

/// What stands beside a slot of the table.
#[derive(Debug, Clone, Default)]
struct Record {
    /// None: the slot has no decision.
    details: Option<Arc<Details>>,
    created: u32,
}

/// Why a decision is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Decisions(usize),
    Origins,
}

impl core::fmt::Display for Full {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Decisions(max) => write!(
                f,
                "{max} decisions are in force, the limit; raise max-decisions in [live] or unban"
            ),
            Self::Origins => write!(
                f,
                "{ORIGINS_MAX} origins are in use, the limit; use the name of an existing one"
            ),
        }
    }
}

#[derive(Debug)]
pub(super) struct Decisions {
    table: Arc<Slots>,
    /// By slot.
    records: Vec<Record>,
    /// Slots in use, and those of them that have a decision.
    used: usize,
    len: usize,
    origins: Vec<Arc<str>>,
    details: HashSet<Arc<Details>>,
    counts: BTreeMap<(Kind, u16), u64>,
    /// The lengths that workers look up: IPv4, IPv6.
    lengths: [Vec<u8>; 2],
    seed: u64,
    /// Workers have another table, or fewer lengths or origins.
    is_replaced: bool,
    max: usize,
    next_expiry: u32,
}

impl Decisions {
    pub(super) fn new() -> Self {
        // So that nobody can choose prefixes that collide.
        let seed = RandomState::new().hash_one(0);
        let table = Slots::with_room(0, seed);
        Self {
            records: vec![Record::default(); table.len()],
            table: Arc::new(table),
            used: 0,
            len: 0,
            origins: Vec::new(),
            details: HashSet::new(),
            counts: BTreeMap::new(),
            lengths: Default::default(),
            seed,
            is_replaced: false,
            max: 0,
            next_expiry: u32::MAX,
        }
    }

    pub(super) const fn limit(&mut self, max: usize) {
        self.max = max;
    }

    pub(super) const fn seed(&self) -> u64 {
        self.seed
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.len
    }

    /// Whether all of these fit; what is over has been removed before.
    pub(super) fn room_for(&self, batch: &[Decision]) -> Result<(), Full> {
        if self.len + batch.len() <= self.max && self.origins.len() + batch.len() <= ORIGINS_MAX {
            return Ok(());
        }
        let mut news = HashSet::new();
        let mut origins = HashSet::new();
        for decision in batch.iter().filter(|it| !self.holds(it)) {
            news.insert((decision.target, decision.kind, &decision.origin));
            if self.origin_number(&decision.origin).is_none() {
                origins.insert(&decision.origin);
            }
        }
        if self.len + news.len() > self.max && !news.is_empty() {
            return Err(Full::Decisions(self.max));
        }
        if self.origins.len() + origins.len() > ORIGINS_MAX {
            return Err(Full::Origins);
        }
        Ok(())
    }

    /// Whether there is a decision of the same identity.
    pub(super) fn holds(&self, decision: &Decision) -> bool {
        let origin = self.origin_number(&decision.origin);
        let slot = origin.and_then(|origin| self.slot(effect(decision, origin), decision.target));
        slot.is_some_and(|(_, meta)| Effect::of(meta).is_some())
    }

    /// The table has room for so many more: it is not enlarged in steps.
    pub(super) fn reserve(&mut self, more: usize) {
        if self.used + more > self.table.room() {
            self.rebuild(more);
        }
    }

    pub(super) fn put(&mut self, decision: &Decision) {
        let origin = self.origin_number(&decision.origin).unwrap_or_else(|| {
            self.origins.push(Arc::clone(&decision.origin));
            self.is_replaced = true;
            u16::try_from(self.origins.len() - 1).unwrap_or(u16::MAX)
        });
        let effect = effect(decision, origin);
        let details = self.details(&decision.reason, &decision.node);
        let is_new;
        let slot = if let Some((slot, meta)) = self.slot(effect, decision.target) {
            is_new = Effect::of(meta).is_none();
            self.table.set(slot, effect.meta());
            slot
        } else {
            if self.used >= self.table.room() {
                self.rebuild(0);
            }
            is_new = true;
            self.used += 1;
            let network = Network::of_target(decision.target);
            self.note_length(network);
            self.table.insert(network, effect.meta())
        };
        if let Some(record) = self.records.get_mut(slot) {
            record.details = Some(details);
            record.created = decision.created;
        }
        if is_new {
            self.len += 1;
            *self.counts.entry((decision.kind, origin)).or_insert(0) += 1;
        }
        self.next_expiry = self.next_expiry.min(decision.until);
    }

    /// Removes the decisions of exactly this value.
    pub(super) fn remove(&mut self, target: Target) -> Vec<Decision> {
        let mut slots = Vec::new();
        self.table
            .exactly(Network::of_target(target), |slot, meta| {
                slots.extend(Effect::of(meta).map(|_| slot));
            });
        let mut removed: Vec<_> = slots.iter().filter_map(|slot| self.take(*slot)).collect();
        removed.sort_unstable_by_key(|it| (it.kind, Arc::clone(&it.origin)));
        removed
    }

    /// One decision, if it is there.
    pub(super) fn one(&self, target: Target, kind: Kind, origin: &str) -> Option<Decision> {
        let network = Network::of_target(target);
        let mut found = None;
        self.table.exactly(network, |slot, meta| {
            let decision = self.decision(slot, network, meta);
            found = found
                .take()
                .or(decision.filter(|it| it.kind == kind && *it.origin == *origin));
        });
        found
    }

    /// Removes one decision, if it is there.
    pub(super) fn remove_one(&mut self, target: Target, kind: Kind, origin: &str) -> bool {
        let Some(origin) = self.origin_number(origin) else {
            return false;
        };
        let network = Network::of_target(target);
        let (_, _, len) = network.bits();
        let wanted = Effect::new(kind, self.is_foreign(origin), origin, len, 0);
        let slot = self.slot(wanted, target);
        slot.is_some_and(|(slot, _)| self.take(slot).is_some())
    }

    /// Removes what is over. How many.
    pub(super) fn expire(&mut self, now: u32) -> usize {
        if now < self.next_expiry {
            return 0;
        }
        let mut over = Vec::new();
        let mut next = u32::MAX;
        for (slot, _, meta) in self.table.iter() {
            match Effect::of(meta) {
                Some(effect) if effect.hit.until <= now => over.push(slot),
                Some(effect) => next = next.min(effect.hit.until),
                None => {}
            }
        }
        for slot in &over {
            self.take(*slot);
        }
        self.next_expiry = next;
        self.details.retain(|it| Arc::strong_count(it) > 1);
        over.len()
    }

    /// Whether workers have another table, or fewer lengths or origins.
    pub(super) fn take_replaced(&mut self) -> bool {
        core::mem::replace(&mut self.is_replaced, false)
    }

    pub(super) fn table(&self) -> Arc<Slots> {
        Arc::clone(&self.table)
    }

    pub(super) fn lengths(&self) -> Lengths {
        let [v4, v6] = &self.lengths;
        self.table.lengths(v4, v6)
    }

    fn note_length(&mut self, network: Network) {
        let (_, _, len) = network.bits();
        let [v4, v6] = &mut self.lengths;
        let lengths = if network.is_v4() { v4 } else { v6 };
        if !lengths.contains(&len) {
            lengths.push(len);
            self.is_replaced = true;
        }
    }

    pub(super) fn origins(&self) -> Arc<[Arc<str>]> {
        self.origins.clone().into()
    }

    /// The decisions that a filter lets through, in the order of their prefixes.
    pub(super) fn list(&self, is_wanted: impl Fn(&Decision) -> bool) -> Vec<Decision> {
        let all = self.table.iter().filter_map(|(slot, bits, meta)| {
            let network = Network::from_bits(bits.0, bits.1, len_of(meta));
            let decision = self.decision(slot, network, meta)?;
            is_wanted(&decision).then_some((network, decision))
        });
        let mut all: Vec<_> = all.collect();
        all.sort_unstable_by(|(one, of_one), (other, of_other)| {
            let by_network = one.cmp(other);
            by_network
                .then_with(|| of_one.kind.cmp(&of_other.kind))
                .then_with(|| of_one.origin.cmp(&of_other.origin))
        });
        all.into_iter().map(|(_, decision)| decision).collect()
    }

    /// The decisions that were made last and are not over, the newest first.
    pub(super) fn newest(&self, count: usize, now: u32) -> Vec<Decision> {
        let all = self.table.iter().filter_map(|(slot, bits, meta)| {
            let effect = Effect::of(meta).filter(|it| it.hit.until > now)?;
            let created = self.records.get(slot)?.created;
            Some((core::cmp::Reverse(created), effect.hit.until, slot, bits))
        });
        let mut all: Vec<_> = all.collect();
        if count < all.len() {
            all.select_nth_unstable(count);
            all.truncate(count);
        }
        all.sort_unstable();
        let newest = all.into_iter().filter_map(|(.., slot, bits)| {
            let (_, meta) = self.table.get(slot)?;
            self.decision(slot, Network::from_bits(bits.0, bits.1, len_of(meta)), meta)
        });
        newest.collect()
    }

    /// The decisions whose prefix contains this one, or those of exactly this AS or country.
    pub(super) fn covering(&self, target: Target) -> Vec<Decision> {
        let inner = Network::of_target(target);
        let (high, low, len) = inner.bits();
        let shorter = target.prefix().map(|_| (0..len).rev());
        let shorter = shorter.into_iter().flatten();
        let outer = shorter.map(|len| Network::around((high, low), len));
        let outer = outer.filter(|outer| inner.is_within(*outer));
        let mut found = Vec::new();
        for outer in core::iter::once(inner).chain(outer) {
            let first = found.len();
            self.table.exactly(outer, |slot, meta| {
                found.extend(self.decision(slot, outer, meta));
            });
            if let Some(same) = found.get_mut(first..) {
                same.sort_by_key(|it| (it.kind, Arc::clone(&it.origin)));
            }
        }
        found
    }

    /// How many there are of each kind and origin.
    pub(super) fn counts(&self) -> BTreeMap<(Kind, Arc<str>), u64> {
        let counts = self.counts.iter().filter(|(_, count)| **count > 0);
        counts
            .map(|((kind, origin), count)| ((*kind, self.origin(*origin)), *count))
            .collect()
    }

    /// The slot of an identity, whether or not it has a decision.
    fn slot(&self, wanted: Effect, target: Target) -> Option<(usize, u64)> {
        let mut found = None;
        self.table
            .exactly(Network::of_target(target), |slot, meta| {
                if Effect::is_same(meta, wanted.meta()) {
                    found = Some((slot, meta));
                }
            });
        found
    }

    fn take(&mut self, slot: usize) -> Option<Decision> {
        let (bits, meta) = self.table.get(slot)?;
        let network = Network::from_bits(bits.0, bits.1, len_of(meta));
        let decision = self.decision(slot, network, meta)?;
        let effect = Effect::of(meta)?;
        self.table.set(slot, Effect::removed(meta));
        if let Some(record) = self.records.get_mut(slot) {
            *record = Record::default();
        }
        self.len -= 1;
        if let Some(count) = self.counts.get_mut(&(effect.kind, effect.hit.origin)) {
            *count = count.saturating_sub(1);
        }
        Some(decision)
    }

    /// Moves what is in force into another table, with room for so many more.
    fn rebuild(&mut self, more: usize) {
        let table = Slots::with_room(self.len + more, self.seed);
        let mut records = vec![Record::default(); table.len()];
        self.used = 0;
        self.lengths = Default::default();
        let old = Arc::clone(&self.table);
        for (slot, bits, meta) in old.iter() {
            if Effect::of(meta).is_none() {
                continue;
            }
            let network = Network::from_bits(bits.0, bits.1, len_of(meta));
            self.note_length(network);
            let at = table.insert(network, meta);
            self.used += 1;
            if let (Some(new), Some(old)) = (records.get_mut(at), self.records.get_mut(slot)) {
                *new = core::mem::take(old);
            }
        }
        self.table = Arc::new(table);
        self.records = records;
        self.is_replaced = true;
    }

    fn details(&mut self, reason: &Arc<str>, node: &Arc<str>) -> Arc<Details> {
        let details = Details {
            reason: Arc::clone(reason),
            node: Arc::clone(node),
        };
        if let Some(known) = self.details.get(&details) {
            return Arc::clone(known);
        }
        let details = Arc::new(details);
        self.details.insert(Arc::clone(&details));
        details
    }

    fn origin_number(&self, origin: &str) -> Option<u16> {
        let at = self.origins.iter().position(|it| **it == *origin)?;
        u16::try_from(at).ok()
    }

    fn origin(&self, number: u16) -> Arc<str> {
        let origin = self.origins.get(usize::from(number));
        origin.map_or_else(|| Arc::from(""), Arc::clone)
    }

    fn is_foreign(&self, origin: u16) -> bool {
        let origin = self.origins.get(usize::from(origin));
        origin.is_some_and(|it| is_foreign(it))
    }

    fn decision(&self, slot: usize, network: Network, meta: u64) -> Option<Decision> {
        let effect = Effect::of(meta)?;
        let record = self.records.get(slot)?;
        let details = record.details.as_ref()?;
        Some(Decision {
            kind: effect.kind,
            target: network.target(),
            origin: self.origin(effect.hit.origin),
            reason: Arc::clone(&details.reason),
            node: Arc::clone(&details.node),
            created: record.created,
            until: effect.hit.until,
        })
    }
}

fn effect(decision: &Decision, origin: u16) -> Effect {
    let (_, _, len) = Network::of_target(decision.target).bits();
    let is_foreign = is_foreign(&decision.origin);
    Effect::new(decision.kind, is_foreign, origin, len, decision.until)
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use ip_reputation::Prefix;

    use super::super::Snapshot;
    use super::*;

    fn decision(kind: Kind, prefix: &str, origin: &str, until: u32) -> Decision {
        Decision {
            kind,
            target: super::super::parse_target(prefix, 64).unwrap(),
            origin: origin.into(),
            reason: "".into(),
            node: "here".into(),
            created: 0,
            until,
        }
    }

    fn decisions() -> Decisions {
        let mut decisions = Decisions::new();
        decisions.limit(usize::MAX);
        decisions
    }

    fn snapshot(decisions: &Decisions) -> Snapshot {
        Snapshot::new(
            decisions.table(),
            decisions.lengths(),
            decisions.origins(),
            None,
        )
    }

    /// What covers an address, worked out one decision at a time.
    fn oracle(
        all: &[Decision],
        kind: Kind,
        foreign: bool,
        address: IpAddr,
        now: u32,
    ) -> Option<(u8, u32)> {
        let covers = |it: &&Decision| {
            it.kind == kind
                && it.until > now
                && (foreign || !is_foreign(&it.origin))
                && it.target.prefix().unwrap().contains(address)
        };
        let found = all
            .iter()
            .filter(covers)
            .map(|it| (it.target.prefix().unwrap().len(), it.until));
        found.max()
    }

    #[test]
    fn the_table_says_what_a_naive_list_says() {
        let mut state = 7_u64;
        let mut random = move |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        let mut decisions = decisions();
        let mut all: Vec<Decision> = Vec::new();
        let mut rebuilt = 0;
        for step in 0..12_000_u32 {
            let is_v4 = random(2) == 0;
            let address: IpAddr = if is_v4 {
                let host = u32::try_from(random(4096)).unwrap();
                core::net::Ipv4Addr::from_bits(0xcb00_7000 | host).into()
            } else {
                let (net, host) = (u128::from(random(16)), u128::from(random(4)));
                core::net::Ipv6Addr::from_bits((0x2001_0db8 << 96) | (net << 64) | host).into()
            };
            let lens: &[u8] = if is_v4 {
                &[0, 8, 20, 24, 31, 32]
            } else {
                &[0, 32, 60, 64, 127, 128]
            };
            let len = lens[usize::try_from(random(6)).unwrap()];
            let prefix = Prefix::new(address, len).unwrap();
            let now = step;
            if random(4) == 0 {
                let removed = decisions.remove(prefix.into()).len();
                let before = all.len();
                all.retain(|it| it.target != prefix.into());
                assert_eq!(removed, before - all.len());
            } else {
                let kind = Kind::ALL[usize::try_from(random(3)).unwrap()];
                let origin = ["ctl", "api", "crowdsec"][usize::try_from(random(3)).unwrap()];
                let until = now + 1 + u32::try_from(random(800)).unwrap();
                let new = Decision {
                    target: prefix.into(),
                    ..decision(kind, "0.0.0.0/0", origin, until)
                };
                all.retain(|it| {
                    (it.target, it.kind, &it.origin) != (new.target, kind, &new.origin)
                });
                decisions.put(&new);
                all.push(new);
            }
            if random(50) == 0 {
                decisions.expire(now);
                all.retain(|it| it.until > now);
                assert_eq!(decisions.len(), all.len());
            }
            let snapshot = snapshot(&decisions);
            rebuilt += u32::from(decisions.take_replaced());
            for later in [now, now + 300] {
                let hits = snapshot.lookup(address, || later).unwrap_or_default();
                for kind in Kind::ALL {
                    for foreign in [false, true] {
                        let hit = hits.of(kind, foreign);
                        let found =
                            hit.map(|it| (it.target(address).prefix().unwrap().len(), it.until));
                        assert_eq!(
                            found,
                            oracle(&all, kind, foreign, address, later),
                            "{address} {kind}"
                        );
                    }
                }
            }
        }
        assert!(rebuilt > 3);
    }

    #[test]
    fn a_later_decision_of_the_same_identity_replaces_the_earlier_one() {
        let mut decisions = decisions();
        decisions.put(&decision(Kind::Ban, "203.0.113.9", "ctl", 100));
        decisions.put(&decision(Kind::Ban, "203.0.113.9", "ctl", 50));
        decisions.put(&decision(Kind::Ban, "203.0.113.9", "api", 20));
        assert_eq!(decisions.len(), 2);
        let workers = snapshot(&decisions);
        let address = "203.0.113.9".parse().unwrap();
        let hit = workers
            .lookup(address, || 0)
            .unwrap()
            .of(Kind::Ban, true)
            .unwrap();
        assert_eq!((workers.origin(hit), hit.until), ("ctl", 50));
        assert_eq!(decisions.expire(20), 1);
        let covering = decisions.covering(super::super::parse_target("203.0.113.9", 64).unwrap());
        assert_eq!(covering.len(), 1);
        assert_eq!(decisions.remove(covering[0].target).len(), 1);
        // What workers have already has it.
        assert!(workers.lookup(address, || 0).is_none());
    }

    #[test]
    fn the_limit_counts_what_is_new() {
        let mut decisions = decisions();
        decisions.limit(1);
        let first = decision(Kind::Ban, "203.0.113.9", "ctl", 100);
        let other = decision(Kind::Ban, "203.0.113.8", "ctl", 100);
        assert_eq!(decisions.room_for(&[first.clone(), first.clone()]), Ok(()));
        decisions.put(&first);
        assert_eq!(decisions.room_for(&[first]), Ok(()));
        assert_eq!(decisions.room_for(&[other]), Err(Full::Decisions(1)));
    }

    #[test]
    fn a_prefix_counts_before_an_as_and_an_as_before_a_country() {
        let address: IpAddr = "203.0.113.9".parse().unwrap();
        let mut decisions = decisions();
        decisions.put(&decision(Kind::Ban, "NL", "crowdsec", 900));
        assert_eq!(snapshot(&decisions).places(), (false, true));
        let of = |decisions: &Decisions, now: u32| {
            let snapshot = snapshot(decisions);
            let hits = snapshot.lookup(address, || now);
            let hits = snapshot.with_places(hits, Some(64_496), Some(*b"NL"), || now);
            let hit = hits.unwrap_or_default().of(Kind::Ban, true);
            hit.map(|it| it.target(address).to_string())
        };
        assert_eq!(of(&decisions, 1).unwrap(), "NL");
        decisions.put(&decision(Kind::Ban, "AS64496", "ctl", 500));
        decisions.put(&decision(Kind::Ban, "AS64497", "ctl", 500));
        assert_eq!(snapshot(&decisions).places(), (true, true));
        assert_eq!(of(&decisions, 1).unwrap(), "AS64496");
        decisions.put(&decision(Kind::Ban, "0.0.0.0/0", "ctl", 300));
        assert_eq!(of(&decisions, 1).unwrap(), "0.0.0.0/0");
        assert_eq!(of(&decisions, 300).unwrap(), "AS64496");
        assert_eq!(of(&decisions, 500).unwrap(), "NL");
        assert_eq!(of(&decisions, 900), None);
        let target = super::super::parse_target("AS64496", 64).unwrap();
        assert_eq!(decisions.covering(target).len(), 1);
        assert_eq!(decisions.remove(target).len(), 1);
        assert_eq!(of(&decisions, 300).unwrap(), "NL");
        let listed = decisions.list(|_| true);
        let listed: Vec<_> = listed.iter().map(|it| it.target.to_string()).collect();
        assert_eq!(listed, ["0.0.0.0/0", "AS64497", "NL"]);
    }
}
