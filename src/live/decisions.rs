//! All live decisions, and what the workers' table is made of.
//!
//! In scope: identity, limit, expiry, which networks have changed. Out of scope: who asks, the store
//! and the clock ([`Live`](super::Live)).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::decision::is_foreign;
use super::table::{Effect, Layer, Network};
use super::{Decision, Kind, Snapshot};
use ip_reputation::Prefix;

/// Networks in the delta, at least, before the base is rebuilt.
const MIN_DELTA: usize = 1024;
/// Beyond that the delta may be this share of the base.
const DELTA_SHARE: usize = 128;
/// Distinct origins.
const ORIGINS_MAX: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    network: [u32; 4],
    len: u8,
    kind: Kind,
    origin: u16,
}

/// What people want to know of a decision; shared by decisions of one batch.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Details {
    reason: Arc<str>,
    node: Arc<str>,
}

#[derive(Debug)]
struct Record {
    details: Arc<Details>,
    created: u32,
    until: u32,
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
    records: BTreeMap<Key, Record>,
    origins: Vec<Arc<str>>,
    details: HashSet<Arc<Details>>,
    seed: u64,
    base: Arc<Layer>,
    base_count: usize,
    /// Networks that differ from the base, with what holds for them.
    changed: HashMap<Network, Vec<Effect>>,
    is_published: bool,
    max: usize,
    next_expiry: u32,
}

impl Decisions {
    pub(super) fn new() -> Self {
        Self {
            records: BTreeMap::new(),
            origins: Vec::new(),
            details: HashSet::new(),
            // So that nobody can choose prefixes that collide.
            seed: RandomState::new().hash_one(0),
            base: Arc::default(),
            base_count: 0,
            changed: HashMap::new(),
            is_published: true,
            max: 0,
            next_expiry: u32::MAX,
        }
    }

    pub(super) const fn limit(&mut self, max: usize) {
        self.max = max;
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether all of these fit; what is over has been removed before.
    pub(super) fn room_for(&self, batch: &[Decision]) -> Result<(), Full> {
        let is_new = |it: &&Decision| match self.origin_number(&it.origin) {
            Some(origin) => !self.records.contains_key(&key(it.prefix, it.kind, origin)),
            None => true,
        };
        let mut news = HashSet::new();
        let mut origins = HashSet::new();
        for decision in batch.iter().filter(is_new) {
            news.insert((decision.prefix, decision.kind, &decision.origin));
            if self.origin_number(&decision.origin).is_none() {
                origins.insert(&decision.origin);
            }
        }
        if self.records.len() + news.len() > self.max && !news.is_empty() {
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
        origin.is_some_and(|origin| {
            let key = key(decision.prefix, decision.kind, origin);
            self.records.contains_key(&key)
        })
    }

    pub(super) fn put(&mut self, decision: &Decision) {
        let origin = self.origin_number(&decision.origin).unwrap_or_else(|| {
            self.origins.push(Arc::clone(&decision.origin));
            u16::try_from(self.origins.len() - 1).unwrap_or(u16::MAX)
        });
        let details = self.details(&decision.reason, &decision.node);
        let key = key(decision.prefix, decision.kind, origin);
        let record = Record {
            details,
            created: decision.created,
            until: decision.until,
        };
        self.records.insert(key, record);
        self.next_expiry = self.next_expiry.min(decision.until);
        self.change(key);
    }

    /// Removes the decisions of exactly this prefix.
    pub(super) fn remove(&mut self, prefix: Prefix) -> Vec<Decision> {
        let keys: Vec<Key> = self.of(Network::of(prefix)).map(|(key, _)| *key).collect();
        let removed = keys.iter().filter_map(|key| self.take(*key));
        removed.collect()
    }

    /// Removes what is over. How many.
    pub(super) fn expire(&mut self, now: u32) -> usize {
        if now < self.next_expiry {
            return 0;
        }
        let over = self.records.iter().filter(|(_, it)| it.until <= now);
        let over: Vec<Key> = over.map(|(key, _)| *key).collect();
        for key in &over {
            self.take(*key);
        }
        self.next_expiry = self
            .records
            .values()
            .map(|it| it.until)
            .min()
            .unwrap_or(u32::MAX);
        self.details.retain(|it| Arc::strong_count(it) > 1);
        over.len()
    }

    /// What the workers are to look up from now on; none if nothing has changed.
    pub(super) fn publish(&mut self) -> Option<Snapshot> {
        if self.is_published {
            return None;
        }
        self.is_published = true;
        if self.changed.len() > MIN_DELTA.max(self.base_count / DELTA_SHARE) {
            let effects = self
                .records
                .iter()
                .map(|(key, it)| (network(key), effect(key, it, &self.origins)));
            self.base_count = self.records.len();
            self.base = Arc::new(Layer::new(self.seed, self.base_count, effects));
            self.changed.clear();
        }
        let changed = self
            .changed
            .iter()
            .map(|(network, effects)| (*network, &effects[..]));
        let origins = self.origins.clone().into();
        Some(Snapshot::new(
            self.seed,
            Arc::clone(&self.base),
            changed,
            origins,
        ))
    }

    /// The decisions that a filter lets through, in the order of their prefixes.
    pub(super) fn list(&self, is_wanted: impl Fn(&Decision) -> bool) -> Vec<Decision> {
        let all = self
            .records
            .iter()
            .map(|(key, record)| self.decision(key, record));
        all.filter(|decision| is_wanted(decision)).collect()
    }

    /// The decisions whose prefix contains this one.
    pub(super) fn covering(&self, prefix: Prefix) -> Vec<Decision> {
        let inner = Network::of(prefix);
        let (high, low, len) = inner.bits();
        let mut found = Vec::new();
        for len in (0..=len).rev() {
            let outer = outer(high, low, len);
            if inner.is_within(outer) {
                found.extend(
                    self.of(outer)
                        .map(|(key, record)| self.decision(key, record)),
                );
            }
        }
        found
    }

    /// How many there are of each kind and origin.
    pub(super) fn counts(&self) -> BTreeMap<(Kind, Arc<str>), u64> {
        let mut counts = BTreeMap::new();
        for key in self.records.keys() {
            *counts.entry((key.kind, key.origin)).or_insert(0) += 1;
        }
        let named = counts.into_iter();
        let named = named.map(|((kind, origin), count)| ((kind, self.origin(origin)), count));
        named.collect()
    }

    fn of(&self, network: Network) -> impl Iterator<Item = (&Key, &Record)> {
        let (first, last) = ends(network);
        self.records.range(first..=last)
    }

    fn take(&mut self, key: Key) -> Option<Decision> {
        let record = self.records.remove(&key)?;
        self.change(key);
        Some(self.decision(&key, &record))
    }

    /// Works out what holds for the network of a decision.
    fn change(&mut self, key: Key) {
        let network = network(&key);
        let mut effects: Vec<Effect> = Vec::new();
        for (key, record) in self.of(network) {
            let effect = effect(key, record, &self.origins);
            match effects.iter_mut().find(|it| it.is_like(effect)) {
                Some(other) if other.until < effect.until => *other = effect,
                Some(_) => {}
                None => effects.push(effect),
            }
        }
        self.changed.insert(network, effects);
        self.is_published = false;
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

    fn decision(&self, key: &Key, record: &Record) -> Decision {
        Decision {
            kind: key.kind,
            prefix: network(key).prefix(),
            origin: self.origin(key.origin),
            reason: Arc::clone(&record.details.reason),
            node: Arc::clone(&record.details.node),
            created: record.created,
            until: record.until,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "these are the halves")]
fn key_of(network: Network, kind: Kind, origin: u16) -> Key {
    let (high, low, len) = network.bits();
    Key {
        network: [
            (high >> 32) as u32,
            high as u32,
            (low >> 32) as u32,
            low as u32,
        ],
        len,
        kind,
        origin,
    }
}

fn key(prefix: Prefix, kind: Kind, origin: u16) -> Key {
    key_of(Network::of(prefix), kind, origin)
}

fn ends(network: Network) -> (Key, Key) {
    let first = key_of(network, Kind::Ban, 0);
    (first, key_of(network, Kind::Allow, u16::MAX))
}

fn network(key: &Key) -> Network {
    let [a, b, c, d] = key.network.map(u64::from);
    Network::from_bits((a << 32) | b, (c << 32) | d, key.len)
}

fn outer(high: u64, low: u64, len: u8) -> Network {
    Network::around((high, low), len)
}

fn effect(key: &Key, record: &Record, origins: &[Arc<str>]) -> Effect {
    let origin = origins.get(usize::from(key.origin));
    let is_foreign = origin.is_some_and(|it| is_foreign(it));
    Effect::new(key.kind, is_foreign, key.origin, record.until)
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;

    fn decision(kind: Kind, prefix: &str, origin: &str, until: u32) -> Decision {
        Decision {
            kind,
            prefix: super::super::parse_target(prefix, 64).unwrap(),
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
                && it.prefix.contains(address)
        };
        let found = all
            .iter()
            .filter(covers)
            .map(|it| (it.prefix.len(), it.until));
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
        let mut snapshot = Snapshot::default();
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
                let removed = decisions.remove(prefix).len();
                let before = all.len();
                all.retain(|it| it.prefix != prefix);
                assert_eq!(removed, before - all.len());
            } else {
                let kind = Kind::ALL[usize::try_from(random(3)).unwrap()];
                let origin = ["ctl", "api", "crowdsec"][usize::try_from(random(3)).unwrap()];
                let until = now + 1 + u32::try_from(random(800)).unwrap();
                let new = Decision {
                    prefix,
                    ..decision(kind, "0.0.0.0/0", origin, until)
                };
                all.retain(|it| (it.prefix, it.kind, &it.origin) != (prefix, kind, &new.origin));
                decisions.put(&new);
                all.push(new);
            }
            if random(50) == 0 {
                decisions.expire(now);
                all.retain(|it| it.until > now);
                assert_eq!(decisions.len(), all.len());
            }
            let base = Arc::clone(&decisions.base);
            if let Some(new) = decisions.publish() {
                snapshot = new;
            }
            rebuilt += u32::from(!Arc::ptr_eq(&base, &decisions.base));
            for later in [now, now + 300] {
                let hits = snapshot.lookup(address, || later).unwrap_or_default();
                for kind in Kind::ALL {
                    for foreign in [false, true] {
                        let hit = hits.of(kind, foreign);
                        let found = hit.map(|it| (it.prefix(address).len(), it.until));
                        assert_eq!(
                            found,
                            oracle(&all, kind, foreign, address, later),
                            "{address} {kind}"
                        );
                    }
                }
            }
        }
        assert!(rebuilt > 0);
    }

    #[test]
    fn a_later_decision_of_the_same_identity_replaces_the_earlier_one() {
        let mut decisions = decisions();
        decisions.put(&decision(Kind::Ban, "203.0.113.9", "ctl", 100));
        decisions.put(&decision(Kind::Ban, "203.0.113.9", "ctl", 50));
        decisions.put(&decision(Kind::Ban, "203.0.113.9", "api", 20));
        assert_eq!(decisions.len(), 2);
        let snapshot = decisions.publish().unwrap();
        let address = "203.0.113.9".parse().unwrap();
        let hit = snapshot
            .lookup(address, || 0)
            .unwrap()
            .of(Kind::Ban, true)
            .unwrap();
        assert_eq!((snapshot.origin(hit), hit.until), ("ctl", 50));
        assert!(decisions.publish().is_none());
        assert_eq!(decisions.expire(20), 1);
        let covering = decisions.covering("203.0.113.9".parse().map(Prefix::host).unwrap());
        assert_eq!(covering.len(), 1);
        assert_eq!(decisions.remove(covering[0].prefix).len(), 1);
        assert!(decisions.publish().unwrap().lookup(address, || 0).is_none());
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
}
