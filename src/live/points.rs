//! Points: decayed sums of what `HAProxy` has reported of addresses.
//!
//! ```text
//!  value(t) = Σ points · 2^(-(t - tᵢ) / half-life) = 2^((zero - t) / half-life)
//! ```
//!
//! A sum is kept as its `zero`, the time at which it is 1 point: it does not change while nothing is
//! reported, so that a worker can work out the value at any time, and a store has to be written only for
//! what was reported. Sums commute: reports may be added in any order, also late.
//!
//! In scope: sums, their bound, what is saved. Out of scope: who reports, bans
//! ([`Live`](super::Live)).

use core::net::IpAddr;
use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::network::{Family, Network, bits};
use super::slots::{Slots, len_byte};
use crate::host::now_micros;
use ip_reputation::Prefix;

/// What decays below this is forgotten.
const VALUE_MIN: f64 = 0.05;
/// At the limit this share of the addresses goes at once, so that it is not looked for with every report.
const EVICTED_SHARE: usize = 64;
/// Distinct reasons that are remembered.
const REASONS_MAX: usize = 1024;

/// The sums, as workers look them up.
#[derive(Debug)]
pub(super) struct PointsTable {
    slots: Slots,
    half_life_us: f64,
}

impl PointsTable {
    fn new(count: usize, seed: u64, half_life: Duration) -> Self {
        Self {
            slots: Slots::with_room(count, seed),
            half_life_us: half_life.as_secs_f64() * 1e6,
        }
    }

    #[inline]
    pub(super) fn value(&self, address: IpAddr) -> f64 {
        let (bits, family) = bits(address);
        let mut zero = 0;
        self.slots
            .exactly(Network::of_points(bits, family), |_, meta| zero = meta >> 8);
        if zero == 0 {
            return 0.0;
        }
        self.value_at(zero, now_micros())
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.bytes()
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_wrap,
        reason = "microseconds within years"
    )]
    fn value_at(&self, zero: u64, now: u64) -> f64 {
        if zero == 0 {
            return 0.0;
        }
        ((zero as i64 - now as i64) as f64 / self.half_life_us).exp2()
    }

    /// The `zero` of a value at a time.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "microseconds within years, clamped"
    )]
    fn zero(&self, value: f64, at: u64) -> u64 {
        const MAX: f64 = ((1_u64 << 55) - 1) as f64;
        if value <= 0.0 {
            return 0;
        }
        (value.log2() * self.half_life_us + at as f64).clamp(1.0, MAX) as u64
    }
}

fn meta(len: u8, zero: u64) -> u64 {
    (zero << 8) | len_byte(len)
}

/// What people want to know of a sum, beside its value.
#[derive(Debug, Clone, Copy, Default)]
struct Details {
    /// Of the last report, in seconds since 1970.
    updated: u32,
    reports: u32,
    reason: u16,
    is_dirty: bool,
}

/// The points of one address.
#[derive(Debug, Clone, PartialEq)]
pub struct Offender {
    /// The address, or its /64.
    pub prefix: Prefix,
    /// Now.
    pub points: f64,
    /// When something was reported last, in seconds since 1970.
    pub updated: u32,
    /// How often, since the process started.
    pub reports: u32,
    /// The reason of the last report.
    pub reason: Arc<str>,
}

/// What a report did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Added {
    pub(super) before: f64,
    pub(super) after: f64,
}

/// All sums.
#[derive(Debug)]
pub(super) struct Points {
    table: Arc<PointsTable>,
    details: Vec<Details>,
    half_life: Duration,
    /// Slots in use, and those of them that have points.
    used: usize,
    len: usize,
    max: usize,
    seed: u64,
    is_replaced: bool,
    reasons: Vec<Arc<str>>,
    reason_numbers: HashMap<Arc<str>, u16>,
    /// Slots that the store does not have as they are.
    dirty: Vec<usize>,
    /// Networks that the store is to forget.
    gone: HashSet<Network>,
    /// Whether there is a store to be kept up to date.
    is_tracked: bool,
    evicted: u64,
}

impl Points {
    pub(super) fn new(seed: u64, half_life: Duration, max: usize) -> Self {
        let table = PointsTable::new(0, seed, half_life);
        Self {
            details: vec![Details::default(); table.slots.len()],
            table: Arc::new(table),
            half_life,
            used: 0,
            len: 0,
            max,
            seed,
            is_replaced: true,
            reasons: vec![Arc::from("")],
            reason_numbers: HashMap::from([(Arc::from(""), 0)]),
            dirty: Vec::new(),
            gone: HashSet::new(),
            is_tracked: false,
            evicted: 0,
        }
    }

    pub(super) fn table(&self) -> Arc<PointsTable> {
        Arc::clone(&self.table)
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Whether the table is another one than at the last call.
    pub(super) const fn take_replaced(&mut self) -> bool {
        core::mem::replace(&mut self.is_replaced, false)
    }

    /// Follows the options: values stay as they are now.
    pub(super) fn configure(&mut self, half_life: Duration, max: usize, now: u64) {
        self.max = max;
        if half_life != self.half_life {
            self.half_life = half_life;
            self.rebuild(now);
        }
        self.evict(now);
    }

    /// Adds points that were reported at a time; `None` without any.
    pub(super) fn add(
        &mut self,
        network: Network,
        points: u32,
        reason: &str,
        at: u64,
        now: u64,
    ) -> Option<Added> {
        if points == 0 {
            return None;
        }
        let slot = self.slot(network, now);
        let zero = self.table.slots.meta(slot) >> 8;
        let before = self.table.value_at(zero, now);
        // At the time of the report, whether it is earlier or later than the last one.
        let sum = self.table.value_at(zero, at) + f64::from(points);
        let zero = self.table.zero(sum, at);
        let after = self.table.value_at(zero, now);
        let (_, _, len) = network.bits();
        self.table.slots.set(slot, meta(len, zero));
        let reason = self.reason_number(reason);
        if let Some(details) = self.details.get_mut(slot) {
            details.updated = details.updated.max(seconds(at));
            details.reports = details.reports.saturating_add(1);
            details.reason = reason;
        }
        self.mark(slot);
        if self.len > self.max {
            self.evict(now);
        }
        Some(Added { before, after })
    }

    /// Puts back what the store has. What was reported since is added to it.
    pub(super) fn restore(&mut self, prefix: Prefix, points: f64, reason: &str, at: u32, now: u64) {
        let at_us = u64::from(at) * 1_000_000;
        let network = Network::of(prefix);
        if !points.is_finite() || points <= 0.0 || self.gone.contains(&network) {
            return;
        }
        let zero = self.table.zero(points, at_us);
        if self.table.value_at(zero, now) < VALUE_MIN {
            self.gone.insert(network);
            return;
        }
        let slot = self.slot(network, now);
        let known = self.table.slots.meta(slot) >> 8;
        let sum = self.table.value_at(zero, now) + self.table.value_at(known, now);
        let zero = if known == 0 {
            zero
        } else {
            self.table.zero(sum, now)
        };
        let (_, _, len) = network.bits();
        self.table.slots.set(slot, meta(len, zero));
        let reason = self.reason_number(reason);
        if let Some(details) = self.details.get_mut(slot).filter(|it| it.reports == 0) {
            (details.updated, details.reason) = (at, reason);
        }
        if self.len > self.max {
            self.evict(now);
        }
    }

    /// Sets the points of every address in a prefix to 0; how many had some.
    pub(super) fn forget(&mut self, prefix: Prefix) -> usize {
        let outer = Network::of(prefix);
        let mut found = Vec::new();
        let (high, low, _) = outer.bits();
        let kept = Network::of_points((high, low), outer.family());
        if kept.is_within(outer) && !outer.is_within(kept) {
            // Shorter than what points are kept under: there may be several.
            for (slot, bits, meta) in self.table.slots.iter() {
                if meta >> 8 != 0 && network_of(bits).is_within(outer) {
                    found.push(slot);
                }
            }
        } else {
            self.table.slots.exactly(kept, |slot, meta| {
                if meta >> 8 != 0 {
                    found.push(slot);
                }
            });
        }
        for slot in &found {
            self.clear(*slot);
        }
        found.len()
    }

    /// The clock was set back: values stay as they were.
    pub(super) fn shift(&mut self, back: u64, now: u64) {
        let table = Arc::clone(&self.table);
        for (slot, _, meta) in table.slots.iter().filter(|it| it.2 >> 8 != 0) {
            let zero = (meta >> 8).saturating_sub(back).max(1);
            table.slots.set(slot, (zero << 8) | (meta & 0xff));
            if let Some(details) = self.details.get_mut(slot) {
                details.updated = details.updated.min(seconds(now));
            }
            self.mark(slot);
        }
    }

    /// Forgets what has decayed; how many.
    pub(super) fn sweep(&mut self, now: u64) -> usize {
        self.remove_below(VALUE_MIN, now)
    }

    /// The points of an address.
    pub(super) fn of(&self, address: IpAddr, now: u64) -> Option<Offender> {
        let (bits, family) = bits(address);
        let mut found = None;
        let network = Network::of_points(bits, family);
        self.table
            .slots
            .exactly(network, |slot, meta| found = Some((slot, meta)));
        let (slot, meta) = found?;
        self.offender(slot, bits_of(network), meta, now)
    }

    /// The worst addresses.
    pub(super) fn top(&self, count: usize, now: u64) -> Vec<Offender> {
        let mut all: Vec<_> = self
            .table
            .slots
            .iter()
            .filter(|(_, _, meta)| meta >> 8 != 0)
            .collect();
        let key = |it: &(usize, (u64, u64), u64)| (core::cmp::Reverse(it.2 >> 8), it.1);
        if count < all.len() {
            all.select_nth_unstable_by_key(count, key);
            all.truncate(count);
        }
        all.sort_unstable_by_key(key);
        let top = all.into_iter().take(count);
        top.filter_map(|(slot, bits, meta)| self.offender(slot, bits, meta, now))
            .collect()
    }

    /// What is to be saved next: at most so many; networks to be forgotten, and those that are new.
    pub(super) fn take_unsaved(&mut self, max: usize, now: u64) -> (Vec<Prefix>, Vec<Offender>) {
        let gone: Vec<_> = self.gone.iter().copied().take(max).collect();
        for network in &gone {
            self.gone.remove(network);
        }
        let first = self.dirty.len().saturating_sub(max - gone.len());
        let slots = self.dirty.split_off(first);
        let mut changed = Vec::with_capacity(slots.len());
        for slot in slots {
            if let Some(details) = self.details.get_mut(slot) {
                details.is_dirty = false;
            }
            let found = self.table.slots.get(slot);
            let found = found.and_then(|(bits, meta)| self.offender(slot, bits, meta, now));
            changed.extend(found);
        }
        (gone.into_iter().map(Network::prefix).collect(), changed)
    }

    pub(super) fn has_unsaved(&self) -> bool {
        !self.dirty.is_empty() || !self.gone.is_empty()
    }

    /// From now on it is noted what the store does not have, or no longer.
    pub(super) fn track(&mut self, is_tracked: bool) {
        self.is_tracked = is_tracked;
        if !is_tracked {
            self.gone = HashSet::new();
            for slot in core::mem::take(&mut self.dirty) {
                if let Some(details) = self.details.get_mut(slot) {
                    details.is_dirty = false;
                }
            }
        }
    }

    /// Has everything saved again: the store is empty.
    pub(super) fn mark_all(&mut self) {
        self.gone.clear();
        let slots: Vec<_> = self.table.slots.iter().map(|(slot, ..)| slot).collect();
        for slot in slots {
            self.mark(slot);
        }
    }

    fn offender(&self, slot: usize, bits: (u64, u64), meta: u64, now: u64) -> Option<Offender> {
        let zero = meta >> 8;
        let details = self.details.get(slot)?;
        let reason = self.reasons.get(usize::from(details.reason));
        (zero != 0).then(|| Offender {
            prefix: network_of(bits).prefix(),
            points: self.table.value_at(zero, now),
            updated: details.updated,
            reports: details.reports,
            reason: reason.map_or_else(|| Arc::from(""), Arc::clone),
        })
    }

    /// The slot of a network; a new one counts as one with points.
    fn slot(&mut self, network: Network, now: u64) -> usize {
        let mut found = None;
        self.table
            .slots
            .exactly(network, |slot, meta| found = Some((slot, meta >> 8)));
        self.gone.remove(&network);
        if let Some((slot, zero)) = found {
            self.len += usize::from(zero == 0);
            return slot;
        }
        if self.used >= self.table.slots.room() {
            self.rebuild(now);
        }
        self.used += 1;
        self.len += 1;
        let (_, _, len) = network.bits();
        self.table.slots.insert(network, len_byte(len))
    }

    fn mark(&mut self, slot: usize) {
        if self.is_tracked
            && let Some(details) = self.details.get_mut(slot)
            && !details.is_dirty
        {
            details.is_dirty = true;
            self.dirty.push(slot);
        }
    }

    fn clear(&mut self, slot: usize) {
        let Some((bits, meta)) = self.table.slots.get(slot).filter(|it| it.1 >> 8 != 0) else {
            return;
        };
        self.table.slots.set(slot, meta & 0xff);
        self.len -= 1;
        if self.is_tracked {
            self.gone.insert(network_of(bits));
        }
        if let Some(details) = self.details.get_mut(slot) {
            *details = Details {
                is_dirty: details.is_dirty,
                ..Details::default()
            };
        }
    }

    /// At the limit the lowest go first.
    fn evict(&mut self, now: u64) {
        if self.len <= self.max {
            return;
        }
        if self.sweep(now) > 0 && self.len <= self.max {
            return;
        }
        let count = (self.len - self.max).max(self.max / EVICTED_SHARE);
        let mut all: Vec<_> = self
            .table
            .slots
            .iter()
            .filter(|(_, _, meta)| meta >> 8 != 0)
            .map(|(slot, _, meta)| (meta >> 8, slot))
            .collect();
        if count < all.len() {
            all.select_nth_unstable(count);
            all.truncate(count);
        }
        self.evicted += u64::try_from(all.len()).unwrap_or(u64::MAX);
        for (_, slot) in all {
            self.clear(slot);
        }
    }

    fn remove_below(&mut self, least: f64, now: u64) -> usize {
        let over: Vec<_> = self
            .table
            .slots
            .iter()
            .filter(|(_, _, meta)| meta >> 8 != 0 && self.table.value_at(meta >> 8, now) < least)
            .map(|(slot, ..)| slot)
            .collect();
        for slot in &over {
            self.clear(*slot);
        }
        over.len()
    }

    /// Moves what there is into another table, with the half-life of now.
    fn rebuild(&mut self, now: u64) {
        let old = Arc::clone(&self.table);
        let details = core::mem::take(&mut self.details);
        let table = PointsTable::new(self.len, self.seed, self.half_life);
        self.details = vec![Details::default(); table.slots.len()];
        self.dirty.clear();
        self.used = 0;
        for (slot, bits, sum) in old.slots.iter().filter(|it| it.2 >> 8 != 0) {
            let value = old.value_at(sum >> 8, now);
            let zero = if table.half_life_us.to_bits() == old.half_life_us.to_bits() {
                sum >> 8
            } else {
                table.zero(value, now)
            };
            let network = network_of(bits);
            let (_, _, len) = network.bits();
            let at = table.slots.insert(network, meta(len, zero));
            self.used += 1;
            if let (Some(new), Some(old)) = (self.details.get_mut(at), details.get(slot)) {
                *new = *old;
                if new.is_dirty {
                    self.dirty.push(at);
                }
            }
        }
        self.table = Arc::new(table);
        self.is_replaced = true;
    }

    fn reason_number(&mut self, reason: &str) -> u16 {
        if let Some(number) = self.reason_numbers.get(reason) {
            return *number;
        }
        let next = self.reasons.len();
        let Some(number) = u16::try_from(next).ok().filter(|_| next < REASONS_MAX) else {
            return 0;
        };
        let reason: Arc<str> = reason.into();
        self.reasons.push(Arc::clone(&reason));
        self.reason_numbers.insert(reason, number);
        number
    }
}

/// Points are kept under whole IPv4 addresses and the /64 of IPv6 addresses.
fn network_of(bits: (u64, u64)) -> Network {
    let (high, low) = bits;
    let is_v4 = high == 0 && low >> 32 == 0xffff;
    let family = if is_v4 { Family::V4 } else { Family::V6 };
    Network::of_points((high, low), family)
}

const fn bits_of(network: Network) -> (u64, u64) {
    let (high, low, _) = network.bits();
    (high, low)
}

fn seconds(micros: u64) -> u32 {
    u32::try_from(micros / 1_000_000).unwrap_or(u32::MAX)
}

/// What points of an address are kept under: the address, or for IPv6 its /64.
#[must_use]
pub fn points_prefix(address: IpAddr) -> Prefix {
    let (bits, family) = bits(address);
    Network::of_points(bits, family).prefix()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const HALF_LIFE: Duration = Duration::from_mins(10);

    fn host(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn network(address: IpAddr) -> Network {
        Network::of(points_prefix(address))
    }

    /// A repeatable source of numbers.
    fn numbers(mut state: u64) -> impl FnMut(u64) -> u64 {
        move |below| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        }
    }

    /// The sum as it is defined.
    fn naive(reports: &[(u64, IpAddr, u32)], address: IpAddr, now: u64) -> f64 {
        let of = reports
            .iter()
            .filter(|it| network(it.1) == network(address));
        of.map(|(at, _, points)| {
            let age = Duration::from_micros(now - *at).as_secs_f64();
            f64::from(*points) * (-age / HALF_LIFE.as_secs_f64()).exp2()
        })
        .sum()
    }

    fn is_near(one: f64, other: f64) -> bool {
        (one - other).abs() <= 1e-6 * (1.0 + one.abs())
    }

    #[test]
    fn values_are_what_the_definition_says_in_whatever_order() {
        let mut random = numbers(11);
        let start = 1_700_000_000 * SECOND;
        for _ in 0..4 {
            let mut points = Points::new(random(1 << 30), HALF_LIFE, usize::MAX);
            let mut reports: Vec<(u64, IpAddr, u32)> = Vec::new();
            let mut now = start;
            for _ in 0..600 {
                now += random(5 * SECOND);
                let address = if random(3) == 0 {
                    let bits = (0x2001_0db8 << 96) | (u128::from(random(64)) << 64);
                    let bits = bits | u128::from(random(4));
                    core::net::Ipv6Addr::from_bits(bits).into()
                } else {
                    host(u8::try_from(random(200)).unwrap())
                };
                if random(20) == 0 {
                    points.forget(points_prefix(address));
                    reports.retain(|it| network(it.1) != network(address));
                    continue;
                }
                // Some come late.
                let at = now - random(120 * SECOND);
                let count = u32::try_from(1 + random(60)).unwrap();
                let before = naive(&reports, address, now);
                reports.push((at, address, count));
                let added = points.add(network(address), count, "", at, now).unwrap();
                assert!(is_near(before, added.before), "{before} {added:?}");
                assert!(is_near(naive(&reports, address, now), added.after));
            }
            for (_, address, _) in &reports {
                let expected = naive(&reports, *address, now);
                let found = points.of(*address, now).unwrap().points;
                assert!(is_near(expected, found), "{expected} {found}");
            }
            // The same reports in the opposite order come to the same.
            let mut other = Points::new(1, HALF_LIFE, usize::MAX);
            for (at, address, count) in reports.iter().rev() {
                other.add(network(*address), *count, "", *at, now);
            }
            assert_eq!(points.len(), other.len());
            for one in points.top(usize::MAX, now) {
                let same = other.of(one.prefix.network(), now).unwrap();
                assert!(is_near(one.points, same.points), "{one:?} {same:?}");
            }
        }
    }

    #[test]
    fn the_limit_keeps_the_highest_and_what_has_decayed_is_forgotten() {
        let now = 1_700_000_000 * SECOND;
        let mut random = numbers(5);
        let mut points = Points::new(1, HALF_LIFE, 100);
        let mut all = Vec::new();
        for last in 0..200_u8 {
            let count = u32::try_from(1 + random(10_000)).unwrap();
            points.add(network(host(last)), count, "", now, now);
            all.push(count);
            assert!(points.len() <= 100);
        }
        assert_eq!(points.evicted(), 100);
        all.sort_unstable();
        let top = points.top(10, now);
        for (one, highest) in top.iter().zip(all.iter().rev()) {
            assert!(
                is_near(one.points, f64::from(*highest)),
                "{one:?} {highest}"
            );
        }
        // Twenty half-lives later 10,000 points are 0.01.
        assert_eq!(points.sweep(now + 20 * 600 * SECOND), 100);
        assert_eq!(points.len(), 0);
    }

    #[test]
    fn what_is_unsaved_is_taken_once_and_what_was_saved_is_restored() {
        let now = 1_700_000_000 * SECOND;
        let mut points = Points::new(1, HALF_LIFE, 1000);
        points.track(true);
        for last in 0..10 {
            points.add(network(host(last)), 10 + u32::from(last), "scan", now, now);
            points.add(network(host(last)), 10, "login", now, now);
        }
        points.forget(Prefix::host(host(3)));
        let (gone, saved) = points.take_unsaved(4, now);
        assert_eq!((gone, saved.len()), (vec![Prefix::host(host(3))], 3));
        let (gone, more) = points.take_unsaved(100, now);
        // The slot of what is gone is among the seven.
        assert_eq!((gone.len(), more.len()), (0, 6));
        assert!(!points.has_unsaved());
        let mut again = Points::new(2, HALF_LIFE, 1000);
        again.track(true);
        let later = now + 600 * SECOND;
        for it in saved.iter().chain(&more) {
            again.restore(it.prefix, it.points, &it.reason, 1_700_000_000, later);
        }
        assert_eq!(again.len(), 9);
        let one = again.of(host(5), later).unwrap();
        assert!(is_near(one.points, 12.5), "{one:?}");
        assert_eq!((&*one.reason, one.updated), ("login", 1_700_000_000));
        assert!(!again.has_unsaved());
        // What had decayed when it was read is to be removed.
        again.restore(Prefix::host(host(77)), 1.0, "", 1_600_000_000, later);
        assert_eq!(again.take_unsaved(9, later).0, [Prefix::host(host(77))]);
    }

    #[test]
    fn another_half_life_or_an_earlier_clock_leaves_values_as_they_are() {
        let now = 1_700_000_000 * SECOND;
        let mut points = Points::new(1, HALF_LIFE, 1000);
        points.add(network(host(1)), 80, "", now, now);
        points.configure(Duration::from_hours(1), 1000, now + 600 * SECOND);
        let value = |points: &Points, at| points.of(host(1), at).unwrap().points;
        assert!(is_near(value(&points, now + 600 * SECOND), 40.0));
        assert!(is_near(value(&points, now + 4200 * SECOND), 20.0));
        points.shift(600 * SECOND, now);
        assert!(is_near(value(&points, now), 40.0));
    }
}
