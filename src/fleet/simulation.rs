//! Law: whatever happens to the store and to the nodes, all nodes come to the same decisions, and these are
//! those that the documents promise. Many nodes over a model of the store; a seed is a run.

#![cfg(test)]

use core::time::Duration;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::entry::{Defaults, Fields, Key, LogId, Micros, Record, SECOND, Value, shown};
use super::node::{
    At, Batch, Effect, Link, Node, NodeOptions, Op, Outcome, Page, Row, Scope, Tail, Written,
};
use super::points::Part;
use crate::live::{Kind, parse_target};

/// A run begins then.
const EPOCH: Micros = 1_800_000_000 * SECOND;
const STEP: Micros = SECOND / 10;
/// Steps with faults, and steps after them until all is equal.
const CHAOS_STEPS: u64 = 200;
const CALM_STEPS: u64 = 120;
/// What ends sooner may be over on one node and not on another: there are whole seconds in between.
const MARGIN: Micros = 5 * SECOND;
const HALF_LIFE: Duration = Duration::from_mins(10);

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// The store as `change.lua` makes it.
#[derive(Clone, Default)]
struct Server {
    log: Vec<(LogId, Fields)>,
    last: LogId,
    decisions: BTreeMap<Key, Record>,
    lifted: BTreeMap<Value, Micros>,
    points: BTreeMap<Value, Vec<Part>>,
    epoch: Option<String>,
    epochs: u64,
    seen: HashMap<String, Micros>,
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .collect()
}

impl Server {
    fn add(&mut self, now: Micros, pairs: &[(&str, &str)]) -> LogId {
        let ms = now / 1000;
        self.last = if ms > self.last.ms {
            LogId { ms, seq: 0 }
        } else {
            LogId {
                ms: self.last.ms,
                seq: self.last.seq + 1,
            }
        };
        self.log.push((self.last, fields(pairs)));
        self.last
    }

    fn current(&self, now: Micros, key: &Key) -> Option<&Record> {
        let lifted = self.lifted.get(&key.value).copied().unwrap_or(0);
        let record = self.decisions.get(key);
        record.filter(|it| it.until > now && it.created > lifted)
    }

    fn has(&self, id: LogId) -> bool {
        self.log.binary_search_by_key(&id, |it| it.0).is_ok()
    }

    fn flush(&mut self) {
        let epochs = self.epochs;
        *self = Self {
            epochs,
            ..Self::default()
        };
    }

    fn decide(&mut self, now: Micros, key: &Key, record: &Record, how: &str) -> Outcome {
        let current = self.current(now, key).cloned();
        let lifted = self.lifted.get(&key.value).copied().unwrap_or(0);
        let is_over = record.until <= now;
        let is_refused = is_over && (how != "put" || current.is_none())
            || record.created <= lifted
            || current.as_ref().is_some_and(|it| match how {
                "again" => it.created >= record.created,
                _ => false,
            })
            || how == "adopt" && self.decisions.get(key).is_some_and(|it| it.id >= record.id);
        if is_refused {
            return Outcome::Kept(current);
        }
        let is_there = self.has(record.id);
        let id = if how == "adopt" && is_there {
            record.id
        } else {
            let (created, until) = (record.created.to_string(), record.until.to_string());
            self.add(
                now,
                &[
                    ("type", key.kind.name()),
                    ("value", &shown(key.value)),
                    ("reason", &record.reason),
                    ("origin", &key.origin),
                    ("node", &record.node),
                    ("created", &created),
                    ("until", &until),
                ],
            )
        };
        self.decisions.insert(
            key.clone(),
            Record {
                id,
                ..record.clone()
            },
        );
        Outcome::Put {
            id,
            created: record.created,
            until: record.until,
        }
    }

    fn lift(
        &mut self,
        now: Micros,
        node: &str,
        (value, at): (Value, Micros),
        is_logged: bool,
        keys: &[Key],
    ) -> Outcome {
        let known = self.lifted.get(&value).copied().unwrap_or(0);
        let is_known = at <= known;
        self.lifted.insert(value, at.max(known));
        for key in keys {
            if self.decisions.get(key).is_some_and(|it| it.created <= at) {
                self.decisions.remove(key);
            }
        }
        if let Some(parts) = self.points.get_mut(&value) {
            parts.retain(|it| it.at > at);
        }
        let mut id = LogId::ZERO;
        if !is_known && is_logged {
            let text = at.to_string();
            id = self.add(
                now,
                &[
                    ("type", "unban"),
                    ("value", &shown(value)),
                    ("node", node),
                    ("created", &text),
                ],
            );
        }
        Outcome::At { id, at }
    }

    fn add_points(&mut self, now: Micros, value: Value, part: Part, added: f64) -> Outcome {
        if self.lifted.get(&value).is_some_and(|it| part.at <= *it) {
            return Outcome::Nothing;
        }
        let parts = self.points.entry(value).or_default();
        if parts
            .iter()
            .any(|it| it.node == part.node && it.at >= part.at)
        {
            return Outcome::Nothing;
        }
        parts.retain(|it| it.node != part.node);
        let (at, node) = (part.at, Arc::clone(&part.node));
        let (sum, added, created) = (part.sum.to_string(), added.to_string(), at.to_string());
        let id = self.add(
            now,
            &[
                ("type", "points"),
                ("value", &shown(value)),
                ("points", &added),
                ("node", &node),
                ("sum", &sum),
                ("created", &created),
            ],
        );
        self.points.entry(value).or_default().push(Part {
            id,
            unwritten: 0.0,
            ..part
        });
        Outcome::At { id, at }
    }

    fn adopt_points(
        &mut self,
        now: Micros,
        id: LogId,
        value: Value,
        points: f64,
        at: Micros,
    ) -> Outcome {
        let parts = self.points.entry(value).or_default();
        let before = parts.iter().position(|it| &*it.node == "-");
        let before = before.map(|index| parts.remove(index));
        if let Some(part) = before.as_ref().filter(|it| it.id >= id) {
            parts.push(part.clone());
            return Outcome::Nothing;
        }
        let until = before.as_ref().map_or(at, |it| it.at.max(at));
        let sum = before.map_or(0.0, |it| decayed(it.sum, it.at, until)) + points;
        if !self.has(id) {
            let (text, created) = (sum.to_string(), until.to_string());
            let pairs = [
                ("type", "points"),
                ("value", &shown(value)),
                ("node", "-"),
                ("sum", &text),
                ("created", &created),
            ];
            self.add(now, &pairs);
        }
        let parts = self.points.entry(value).or_default();
        parts.push(Part {
            node: "-".into(),
            sum,
            at: until,
            id,
            unwritten: 0.0,
        });
        Outcome::At { id, at }
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds")]
fn decayed(sum: f64, at: Micros, now: Micros) -> f64 {
    let age = now.saturating_sub(at) as f64 / SECOND as f64;
    sum * (-age / HALF_LIFE.as_secs_f64()).exp2()
}

/// What a store of decisions keeps are whole seconds.
const fn is_like(one: (Micros, Micros), other: (Micros, Micros)) -> bool {
    one.0.abs_diff(other.0) < 3 * SECOND && one.1.abs_diff(other.1) < 3 * SECOND
}

/// A call that fails, before the server has seen it or after.
#[derive(Debug)]
struct Broken;

struct SimLink<'a> {
    server: &'a mut Server,
    random: &'a mut Random,
    now: Micros,
    is_cut: bool,
    fault_in: u64,
}

impl SimLink<'_> {
    fn pass(&mut self) -> Result<(), Broken> {
        let is_broken = self.is_cut || self.fault_in > 0 && self.random.one_in(self.fault_in);
        if is_broken { Err(Broken) } else { Ok(()) }
    }
}

impl Link for SimLink<'_> {
    type Error = Broken;

    fn tail(&mut self) -> Result<Tail, Broken> {
        self.pass()?;
        let end = |it: Option<&(LogId, Fields)>| it.map_or(LogId::ZERO, |it| it.0);
        Ok(Tail {
            first: end(self.server.log.first()),
            last: end(self.server.log.last()),
            epoch: self.server.epoch.clone(),
            seen: self.server.seen.clone(),
        })
    }

    fn read(&mut self, from: LogId, max: usize) -> Result<Page, Broken> {
        self.pass()?;
        let start = self.server.log.partition_point(|it| it.0 < from);
        Ok(Page {
            entries: self.server.log[start..].iter().take(max).cloned().collect(),
            epoch: self.server.epoch.clone(),
        })
    }

    fn scan(&mut self, scope: Scope, row: &mut dyn FnMut(Row)) -> Result<(), Broken> {
        if scope == Scope::All {
            for (value, at) in &self.server.lifted {
                row(Row::Lifted(*value, *at));
            }
            for (index, (key, record)) in self.server.decisions.iter().enumerate() {
                // Rows come more than once, and the scan may break off.
                if index % 7 == 3 && self.fault_in > 0 && self.random.one_in(self.fault_in) {
                    return Err(Broken);
                }
                row(Row::Decision(key.clone(), record.clone()));
                row(Row::Decision(key.clone(), record.clone()));
            }
        }
        for (value, parts) in &self.server.points {
            for part in parts {
                row(Row::Points(*value, part.clone()));
            }
        }
        self.pass()
    }

    fn reads_primary(&self) -> bool {
        true
    }

    fn write(&mut self, batch: &Batch) -> Result<Written, Broken> {
        self.pass()?;
        let now = self.now;
        let server = &mut *self.server;
        let epoch = server.epoch.clone().unwrap_or_else(|| {
            server.epochs += 1;
            format!("e{}", server.epochs)
        });
        server.epoch = Some(epoch.clone());
        server.seen.insert(batch.node.to_string(), now);
        let outcomes = batch.ops.iter().map(|op| match op {
            Op::Put {
                key,
                age,
                rest,
                after,
                node,
                reason,
            } => {
                let record = Record {
                    created: (now - age).max(after + 1),
                    until: now + rest,
                    id: LogId::ZERO,
                    node: Arc::clone(node),
                    reason: Arc::clone(reason),
                };
                server.decide(now, key, &record, "put")
            }
            Op::Again(key, record) => server.decide(now, key, record, "again"),
            Op::Adopt(key, record) => server.decide(now, key, record, "adopt"),
            Op::Lift {
                value,
                at,
                entry,
                keys,
                ..
            } => {
                let at = match at {
                    At::Age(age) => now - age,
                    At::Time(at) => *at,
                };
                let is_logged = entry.is_none_or(|id| !server.has(id));
                server.lift(now, &batch.node, (*value, at), is_logged, keys)
            }
            Op::Points {
                value,
                node,
                sum,
                added,
                age,
                ..
            } => {
                let part = Part {
                    node: Arc::clone(node),
                    sum: *sum,
                    at: now - age,
                    id: LogId::ZERO,
                    unwritten: 0.0,
                };
                server.add_points(now, *value, part, *added)
            }
            Op::AdoptPoints {
                id,
                value,
                points,
                at,
                ..
            } => server.adopt_points(now, *id, *value, *points, *at),
        });
        let outcomes = outcomes.collect();
        server
            .decisions
            .retain(|_, it| it.until + 60 * SECOND > now);
        if server.log.is_empty() {
            server.add(now, &[("type", "begin")]);
        }
        // The answer may be lost.
        self.pass()?;
        Ok(Written {
            now,
            epoch,
            instance: batch.instance.to_string(),
            outcomes,
        })
    }
}

/// A node with its clock and its live table.
struct Host {
    name: Arc<str>,
    skew: i64,
    node: Node,
    table: BTreeMap<Key, (u32, u32)>,
    is_cut: bool,
}

impl Host {
    fn new(name: &str, skew: i64, seed: u64) -> Self {
        let name: Arc<str> = name.into();
        Self {
            node: Node::new(options(&name, seed), None),
            name,
            skew,
            table: BTreeMap::new(),
            is_cut: false,
        }
    }

    fn clock(&self, now: Micros) -> Micros {
        now.saturating_add_signed(self.skew)
    }

    fn put(&mut self, now: Micros, key: &Key, seconds: u64) {
        let now = self.clock(now);
        let created = now / SECOND;
        let record = Record {
            created: created * SECOND,
            until: (created + seconds) * SECOND,
            id: LogId::ZERO,
            node: Arc::clone(&self.name),
            reason: "".into(),
        };
        let times = (created, created + seconds);
        let times = (
            u32::try_from(times.0).unwrap(),
            u32::try_from(times.1).unwrap(),
        );
        self.table.insert(key.clone(), times);
        self.node.put(now, key.clone(), record);
    }

    fn lift(&mut self, now: Micros, value: Value) {
        self.table.retain(|key, _| key.value != value);
        self.node.lift(self.clock(now), value);
    }

    /// The process ends; what is in its store is there when it starts again.
    fn restart(&mut self, now: Micros, seed: u64) {
        let mark = self.node.mark();
        self.node = Node::new(options(&self.name, seed), mark);
        let clock = self.clock(now);
        for (key, (created, until)) in &self.table {
            if u64::from(*until) * SECOND > clock {
                // The table does not say here who made it: take it for another node's.
                let record = Record {
                    created: u64::from(*created) * SECOND,
                    until: u64::from(*until) * SECOND,
                    id: LogId::ZERO,
                    node: "unknown".into(),
                    reason: "".into(),
                };
                self.node.restore(key.clone(), record);
            }
        }
    }

    fn turn(&mut self, now: Micros, server: &mut Server, random: &mut Random, fault_in: u64) {
        let is_cut = self.is_cut;
        let mut link = SimLink {
            server,
            random,
            now,
            is_cut,
            fault_in,
        };
        // An error is an outage; the next turn tries again.
        let _ = self
            .node
            .turn(now.saturating_add_signed(self.skew), &mut link);
        for effect in core::mem::take(&mut self.node.effects) {
            match effect {
                Effect::Put {
                    key,
                    created,
                    until,
                    ..
                } => {
                    self.table.insert(key, (created, until));
                }
                Effect::Drop(key) => {
                    self.table.remove(&key);
                }
                Effect::Lift(..) | Effect::Points(..) | Effect::Total(..) => {}
            }
        }
    }
}

fn options(name: &Arc<str>, seed: u64) -> NodeOptions {
    NodeOptions {
        name: Arc::clone(name),
        instance: format!("{name}-{seed}").into(),
        defaults: Defaults {
            duration: Duration::from_hours(4),
            ipv6_prefix: 64,
        },
        half_life: HALF_LIFE,
        seed,
    }
}

fn value(index: u64) -> Value {
    parse_target(&format!("203.0.113.{index}"), 64).unwrap()
}

fn key(index: u64, kind: Kind, origin: &str) -> Key {
    Key {
        value: value(index),
        kind,
        origin: origin.into(),
    }
}

/// What happened, for the laws.
#[derive(Default)]
struct History {
    puts: Vec<(Micros, Key, bool)>,
    lifts: Vec<(Micros, Value)>,
    points: BTreeMap<Value, Vec<(Micros, f64)>>,
}

struct Run {
    random: Random,
    server: Server,
    replica: Server,
    hosts: Vec<Host>,
    history: History,
    now: Micros,
    with_loss: bool,
    with_trim: bool,
    seed: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let count = 2 + random.below(4);
        let hosts = (0..count).map(|index| {
            let skew = i64::try_from(random.below(10 * SECOND)).unwrap() - 5_000_000;
            Host::new(&format!("node-{index}"), skew, seed * 100 + index)
        });
        Self {
            hosts: hosts.collect(),
            server: Server::default(),
            replica: Server::default(),
            history: History::default(),
            now: EPOCH,
            with_loss: seed.is_multiple_of(2),
            with_trim: seed % 4 != 1,
            random,
            seed,
        }
    }

    fn go(mut self) {
        for _ in 0..CHAOS_STEPS {
            self.decide();
            self.disturb();
            self.step(60);
        }
        self.hosts.iter_mut().for_each(|host| host.is_cut = false);
        for _ in 0..CALM_STEPS {
            self.step(0);
        }
        self.check();
    }

    fn step(&mut self, fault_in: u64) {
        self.now += STEP;
        let first = self.random.below(self.hosts.len() as u64);
        let count = self.hosts.len();
        for index in 0..count {
            let host = (usize::try_from(first).unwrap() + index) % count;
            self.now += 1 + self.random.below(2000);
            let (server, random) = (&mut self.server, &mut self.random);
            self.hosts[host].turn(self.now, server, random, fault_in);
        }
    }

    fn decide(&mut self) {
        let index = usize::try_from(self.random.below(self.hosts.len() as u64)).unwrap();
        self.now += 1 + self.random.below(5000);
        let now = self.now;
        let random = &mut self.random;
        let kind = Kind::ALL[usize::try_from(random.below(3)).unwrap()];
        let key = key(
            random.below(12),
            kind,
            ["ctl", "api"][usize::try_from(random.below(2)).unwrap()],
        );
        match random.below(10) {
            0..4 => {
                let is_long = !random.one_in(6);
                self.hosts[index].put(now, &key, if is_long { 7200 } else { 1 + random.below(20) });
                self.history.puts.push((now, key, is_long));
            }
            4 => {
                self.hosts[index].lift(now, key.value);
                self.history.lifts.push((now, key.value));
            }
            5 => {
                let value = value(100 + random.below(3));
                let points = 1.0 + f64::from(u32::try_from(random.below(50)).unwrap());
                let clock = self.hosts[index].clock(now);
                self.hosts[index].node.report(clock, value, points);
                self.history
                    .points
                    .entry(value)
                    .or_default()
                    .push((now, points));
            }
            6 => self.by_hand(&key),
            _ => {}
        }
    }

    /// Entries that somebody writes with XADD. In runs without loss: then any node has them.
    fn by_hand(&mut self, key: &Key) {
        let now = self.now;
        let garbage: [&[(&str, &str)]; 4] = [
            &[("foo", "bar")],
            &[("type", "ban"), ("value", "not an address")],
            &[("type", "ban"), ("value", "203.0.113.1"), ("for", "-5")],
            &[("type", "nonsense"), ("value", "203.0.113.1")],
        ];
        match self.random.below(4) {
            0 => {
                let index = usize::try_from(self.random.below(4)).unwrap();
                self.server.add(now, garbage[index]);
            }
            // Of two that are trimmed before the first is adopted, the state has one.
            1 if !self.with_loss && !self.with_trim => {
                let value = value(100);
                self.server.add(
                    now,
                    &[
                        ("type", "points"),
                        ("value", &shown(value)),
                        ("points", "7.5"),
                    ],
                );
                self.history
                    .points
                    .entry(value)
                    .or_default()
                    .push((now, 7.5));
            }
            2 if !self.with_loss => {
                self.server
                    .add(now, &[("type", "unban"), ("value", &key.value.to_string())]);
                self.history.lifts.push((now, key.value));
            }
            _ if !self.with_loss => {
                let pairs = [
                    ("type", key.kind.name()),
                    ("value", &shown(key.value)),
                    ("for", "7200.5"),
                    ("origin", &key.origin),
                ];
                self.server.add(now, &pairs);
                self.history.puts.push((now, key.clone(), true));
            }
            _ => {}
        }
    }

    fn disturb(&mut self) {
        let random = &mut self.random;
        let index = usize::try_from(random.below(self.hosts.len() as u64)).unwrap();
        if random.one_in(12) {
            let host = &mut self.hosts[index];
            host.is_cut = !host.is_cut;
        }
        if self.with_trim && random.one_in(40) {
            // Others have been away for longer than the log reaches back; somebody has read it.
            let read = self.hosts.iter().map(|it| it.node.position()).max();
            let keep = self.server.log.partition_point(|it| Some(it.0) < read);
            self.server.log.drain(..keep);
        }
        if !self.with_loss {
            let is_idle = self.hosts[index].node.queue_len() == 0;
            if is_idle && self.hosts[index].node.is_joined() && self.random.one_in(40) {
                let seed = self.random.below(u64::MAX);
                self.hosts[index].restart(self.now, seed);
            }
            return;
        }
        if self.random.one_in(8) {
            self.replica = self.server.clone();
        }
        if self.random.one_in(40) {
            // A failover: the new primary lacks what came after its last copy.
            let epochs = self.server.epochs;
            self.server = self.replica.clone();
            self.server.epochs = epochs;
        }
        if self.random.one_in(80) {
            self.server.flush();
        }
    }

    fn check(&self) {
        let seed = self.seed;
        let now = self.now;
        let in_force = |it: &Record| it.until > now;
        let server = self
            .server
            .decisions
            .iter()
            .filter(|(key, it)| in_force(it) && self.server.current(now, key).is_some());
        let server: BTreeMap<_, _> = server
            .map(|(key, it)| (key, (it.created, it.until)))
            .collect();
        for host in &self.hosts {
            let name = &host.name;
            assert!(
                host.node.is_joined() && host.node.queue_len() == 0,
                "seed {seed}: {name} waits"
            );
            let known = host.node.known().iter().filter(|(_, it)| in_force(it));
            let known: BTreeMap<_, _> = known
                .map(|(key, it)| (key, (it.created, it.until)))
                .collect();
            let differ: Vec<_> = known
                .iter()
                .filter(|(_, it)| it.1 > now + MARGIN)
                .filter(|(key, it)| server.get(*key).is_none_or(|there| !is_like(**it, *there)))
                .collect();
            let absent: Vec<_> = server
                .iter()
                .filter(|(key, it)| it.1 > now + MARGIN && !known.contains_key(*key))
                .collect();
            assert!(
                differ.is_empty() && absent.is_empty(),
                "seed {seed}: {name} at {now} differs in {differ:?} and lacks {absent:?}"
            );
            let clock = u32::try_from(host.clock(now) / SECOND).unwrap();
            let lasting = known.iter().filter(|(_, it)| it.1 > now + MARGIN);
            for (key, _) in lasting {
                let is_there = host.table.get(*key).is_some_and(|it| it.1 > clock);
                assert!(is_there, "seed {seed}: {name} does not answer with {key:?}");
            }
            let table = host.table.iter().filter(|(_, it)| it.1 > clock + 7);
            for (key, _) in table {
                let is_known = known.contains_key(key);
                assert!(is_known, "seed {seed}: {name} still answers with {key:?}");
            }
        }
        self.check_history(&server);
        self.check_points();
    }

    /// What was decided last of a value is in force, or nothing is if that was an unban.
    fn check_history(&self, server: &BTreeMap<&Key, (Micros, Micros)>) {
        let seed = self.seed;
        for (at, key, is_long) in &self.history.puts {
            let lifted = self
                .history
                .lifts
                .iter()
                .filter(|it| it.1 == key.value)
                .map(|it| it.0)
                .max();
            let has_short = self.history.puts.iter().any(|it| it.1 == *key && !it.2);
            // An earlier one may be written later: then it is what the unban ends.
            let others = self.history.puts.iter().filter(|it| it.1 == *key);
            let first = others.map(|it| it.0).min().unwrap_or(*at);
            if lifted.is_some_and(|lifted| lifted > first) {
                continue;
            }
            if *is_long && !has_short {
                assert!(server.contains_key(key), "seed {seed}: {key:?} is lost");
            }
        }
        for (key, (created, _)) in server {
            let lifts = self.history.lifts.iter().filter(|it| it.1 == key.value);
            for (lifted, _) in lifts {
                let made = self
                    .history
                    .puts
                    .iter()
                    .any(|(at, other, _)| other == *key && at > lifted);
                assert!(
                    made,
                    "seed {seed}: {key:?} created {created} outlives its unban {lifted}"
                );
            }
        }
    }

    fn check_points(&self) {
        let seed = self.seed;
        for (value, added) in &self.history.points {
            let right: f64 = added
                .iter()
                .map(|(at, points)| decayed(*points, *at, self.now))
                .sum();
            for host in &self.hosts {
                let has = host.node.total(*value, self.now);
                let name = &host.name;
                assert!(
                    (has - right).abs() < 0.05,
                    "seed {seed}: {name} has {has} points, not {right}"
                );
            }
        }
    }
}

#[test]
fn all_nodes_come_to_the_same_decisions() {
    let seeds = std::env::var("SPOA_SEEDS")
        .ok()
        .and_then(|it| it.parse().ok());
    for seed in 0..seeds.unwrap_or(100) {
        Run::new(seed).go();
    }
}
