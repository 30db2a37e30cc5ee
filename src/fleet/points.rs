//! Points of addresses: what each node has added, as decayed sums. The newest sum of a node counts, so that
//! one may be written and read again; an address has the total of all.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use super::entry::{LogId, Micros, NO_NODE, SECOND, Value};

/// Sums below this are forgotten.
const MIN_SUM: f64 = 0.1;

/// What one node has added to an address.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) node: Arc<str>,
    pub(super) sum: f64,
    pub(super) at: Micros,
    pub(super) id: LogId,
    /// Added since it was written last.
    pub(super) unwritten: f64,
}

/// The parts of all addresses.
#[derive(Debug, Default)]
pub(super) struct Sums {
    parts: HashMap<Value, Vec<Part>>,
    half_life: f64,
}

impl Sums {
    pub(super) fn new(half_life: Duration) -> Self {
        Self {
            parts: HashMap::new(),
            half_life: half_life.as_secs_f64().max(1.0),
        }
    }

    pub(super) const fn half_life(&self) -> f64 {
        self.half_life
    }

    pub(super) fn set_half_life(&mut self, half_life: Duration) {
        self.half_life = half_life.as_secs_f64().max(1.0);
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a fraction of a second is enough"
    )]
    fn decayed(&self, sum: f64, at: Micros, now: Micros) -> f64 {
        let age = now.saturating_sub(at) as f64 / SECOND as f64;
        sum * (-age / self.half_life).exp2()
    }

    /// Adds what this node has seen.
    pub(super) fn add(&mut self, value: Value, node: &Arc<str>, points: f64, now: Micros) {
        let before = self.part(value, node).cloned();
        let decayed = before.as_ref();
        let decayed = decayed.map_or(0.0, |it| self.decayed(it.sum, it.at, now));
        let part = Part {
            node: Arc::clone(node),
            sum: decayed + points,
            at: before.as_ref().map_or(now, |it| it.at.max(now)),
            id: before.as_ref().map_or(LogId::ZERO, |it| it.id),
            unwritten: before.map_or(0.0, |it| it.unwritten) + points,
        };
        self.set(value, part);
    }

    /// Adds what this node had added before it started to what it has added since.
    pub(super) fn join(&mut self, value: Value, mut part: Part) {
        let since = self.part(value, &part.node).cloned();
        if let Some(since) = since {
            if since.id == part.id {
                return;
            }
            let at = since.at.max(part.at);
            let before = self.decayed(part.sum, part.at, at);
            part.sum = before + self.decayed(since.sum, since.at, at);
            part.at = at;
            part.unwritten = since.unwritten;
        }
        self.set(value, part);
    }

    /// Takes a sum of a node if it is newer; how many points more that is now.
    pub(super) fn merge(&mut self, value: Value, part: Part, now: Micros) -> Option<f64> {
        let before = self.part(value, &part.node);
        if before.is_some_and(|it| it.at >= part.at) {
            return None;
        }
        let before = before.map_or(0.0, |it| self.decayed(it.sum, it.at, now));
        let more = self.decayed(part.sum, part.at, now) - before;
        self.set(value, part);
        Some(more)
    }

    /// Adds what an entry made by hand says; how many points more that is now.
    pub(super) fn add_by_hand(
        &mut self,
        value: Value,
        (points, at): (f64, Micros),
        id: LogId,
        now: Micros,
    ) -> Option<f64> {
        let node: Arc<str> = NO_NODE.into();
        let before = self.part(value, &node);
        if before.is_some_and(|it| it.id >= id) {
            return None;
        }
        let until = before.map_or(at, |it| it.at.max(at));
        let sum = before.map_or(0.0, |it| self.decayed(it.sum, it.at, until));
        let part = Part {
            node,
            sum: sum + points,
            at: until,
            id,
            unwritten: 0.0,
        };
        self.set(value, part);
        Some(self.decayed(points, at, now))
    }

    /// Ends what was added until a time.
    pub(super) fn lift(&mut self, value: Value, at: Micros) {
        if let Some(parts) = self.parts.get_mut(&value) {
            parts.retain(|part| part.at > at);
            if parts.is_empty() {
                self.parts.remove(&value);
            }
        }
    }

    /// Forgets what has decayed.
    pub(super) fn sweep(&mut self, now: Micros) {
        let mut parts = core::mem::take(&mut self.parts);
        parts.retain(|_, parts| {
            parts.retain(|it| self.decayed(it.sum, it.at, now) >= MIN_SUM);
            !parts.is_empty()
        });
        self.parts = parts;
    }

    pub(super) fn part(&self, value: Value, node: &str) -> Option<&Part> {
        let parts = self.parts.get(&value)?;
        parts.iter().find(|it| *it.node == *node)
    }

    /// Remembers what the server made of a part that was written.
    pub(super) fn written(&mut self, value: Value, node: &str, id: LogId, at: Micros) {
        let parts = self.parts.get_mut(&value);
        let part = parts.and_then(|parts| parts.iter_mut().find(|it| *it.node == *node));
        if let Some(part) = part {
            part.id = id;
            part.at = at;
            part.unwritten = 0.0;
        }
    }

    /// The addresses to which a node has added.
    pub(super) fn of(&self, node: &str) -> Vec<Value> {
        let of_node = |parts: &[Part]| parts.iter().any(|it| *it.node == *node);
        let values = self.parts.iter().filter(|(_, parts)| of_node(parts));
        values.map(|(value, _)| *value).collect()
    }

    /// What all nodes have added, now.
    pub(super) fn total(&self, value: Value, now: Micros) -> f64 {
        let parts = self.parts.get(&value).into_iter().flatten();
        parts.map(|it| self.decayed(it.sum, it.at, now)).sum()
    }

    /// Moves all times.
    pub(super) fn shift(&mut self, offset: i64) {
        for part in self.parts.values_mut().flatten() {
            part.at = part.at.saturating_add_signed(offset);
        }
    }

    fn set(&mut self, value: Value, part: Part) {
        let parts = self.parts.entry(value).or_default();
        match parts.iter_mut().find(|it| it.node == part.node) {
            Some(known) => *known = part,
            None => parts.push(part),
        }
    }
}
