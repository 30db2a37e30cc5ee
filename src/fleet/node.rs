//! A node of the fleet: what it knows, what it has to write, and what it makes of the log.
//!
//! ```text
//!  local change ─▶ known ─▶ pending ─▶ Link::write ─▶ id, or what the state has instead
//!  Link::read   ─▶ entries after `position` ─▶ known ─▶ effects, for the live table
//!  Link::scan   ─▶ the state: at the start, after a gap or a loss, and every few hours
//! ```
//!
//! The laws. Of one identity the entry with the highest id holds. An unban ends what was created before
//! it, also what is written later. Points are sums. A **gap** (the log was trimmed beyond `position`): the
//! state is right. A **loss** (another epoch, or `position` is gone from a log that reaches further back):
//! this node writes again what it made, and after a delay what others made and nobody has written.
//!
//! No socket, no clock, no thread: [`Link`] is the connection, `now` comes from the caller.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::entry::{
    Defaults, Entry, Fields, Key, LogId, Micros, Points, Read, Record, SECOND, Value, is_shared,
    read,
};
use super::pending::{Pending, Subject, Task};
use super::points::{Part, Sums};
use crate::live::Kind;

/// Operations of one call of the script.
const BATCH_MAX: usize = 500;
/// Entries of one read.
pub(super) const PAGE_MAX: usize = 2000;
/// Pages in a row, before what is pending is written.
const PAGES_MAX: usize = 16;
/// Calls of the script in a row, before the log is read.
const BATCHES_MAX: usize = 16;
/// Changes that wait to be written.
const QUEUE_MAX: usize = 100_000;
/// The time between two reads, on average.
const READ_INTERVAL: Micros = SECOND / 10;
/// The time between two signs of life, on average.
const TICK_INTERVAL: Micros = 30 * SECOND;
/// The time between two comparisons with the state, on average.
const COMPARE_INTERVAL: Micros = 4 * 3600 * SECOND;
/// The longest delay before what others made is written again.
const REWRITE_DELAY: Micros = 5 * SECOND;
/// A node that lives has read all entries that are older.
const REPLAY: Micros = 120 * SECOND;
/// Expired entries of the state that one call clears.
const CLEAR_MAX: usize = 200;
/// How long an unban is remembered, at least.
const LIFTED_AGE: Micros = 86_400 * SECOND;
/// Unbans that are remembered.
const LIFTED_MAX: usize = 200_000;
/// Origins that an unban ends by name.
const ORIGINS_MAX: usize = 256;
/// The time between two sweeps of what is over.
const SWEEP_INTERVAL: Micros = 60 * SECOND;

/// A connection to the log and the state.
pub(super) trait Link {
    type Error;

    /// The ends of the log, and the epoch.
    fn tail(&mut self) -> Result<Tail, Self::Error>;

    /// Entries from an id on, which is included, and the epoch.
    fn read(&mut self, from: LogId, max: usize) -> Result<Page, Self::Error>;

    /// Every row of the state at least once; unbans first.
    fn scan(&mut self, scope: Scope, row: &mut dyn FnMut(Row)) -> Result<(), Self::Error>;

    /// Whether what is written can be read at once: there is no replica in between.
    fn reads_primary(&self) -> bool;

    /// Runs the script.
    fn write(&mut self, batch: &Batch) -> Result<Written, Self::Error>;
}

/// The ends of the log; both ids are zero if it is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) first: LogId,
    pub(super) last: LogId,
    pub(super) epoch: Option<String>,
    /// When each node last gave a sign of life.
    pub(super) seen: HashMap<String, Micros>,
}

/// A part of the log.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Page {
    pub(super) entries: Vec<(LogId, Fields)>,
    pub(super) epoch: Option<String>,
}

/// Which rows of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    All,
    Points,
}

/// A row of the state.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Row {
    Decision(Key, Record),
    Lifted(Value, Micros),
    Points(Value, Part),
}

/// A call of the script.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Batch {
    pub(super) node: Arc<str>,
    pub(super) instance: Arc<str>,
    pub(super) clear_max: usize,
    pub(super) ops: Vec<Op>,
}

/// An operation of the script.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Op {
    /// A new decision: its age, what is left of it, and the unban that it follows.
    Put {
        key: Key,
        age: Micros,
        rest: Micros,
        after: Micros,
        node: Arc<str>,
        reason: Arc<str>,
    },
    /// A decision that may be there already.
    Again(Key, Record),
    /// A decision that is in the log already.
    Adopt(Key, Record),
    /// An unban.
    Lift {
        value: Value,
        at: At,
        /// It is remembered until then at least.
        keep: Micros,
        /// Its entry, if it was made by hand.
        entry: Option<LogId>,
        keys: Vec<Key>,
    },
    /// The sum of a node.
    Points {
        value: Value,
        node: Arc<str>,
        sum: f64,
        added: f64,
        half_life: f64,
        age: Micros,
    },
    /// Points that are in the log already.
    AdoptPoints {
        id: LogId,
        value: Value,
        points: f64,
        half_life: f64,
        at: Micros,
    },
}

/// A time, or how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Age(Micros),
    Time(Micros),
}

/// What the script answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Written {
    pub(super) now: Micros,
    pub(super) epoch: String,
    /// The process that wrote last by the name of this node.
    pub(super) instance: String,
    pub(super) outcomes: Vec<Outcome>,
}

/// What became of an operation.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// A decision has been written.
    Put {
        id: LogId,
        created: Micros,
        until: Micros,
    },
    /// It has not; this holds instead.
    Kept(Option<Record>),
    /// An unban, or points, have been written, or are there.
    At { id: LogId, at: Micros },
    /// Points have not been written.
    Nothing,
}

/// What is to be done to the live table.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Effect {
    Put {
        key: Key,
        reason: Arc<str>,
        node: Arc<str>,
        created: u32,
        until: u32,
    },
    Drop(Key),
    /// An unban: what the fleet does not have ends too if it was made until then.
    Lift(Value, u32),
    /// Points more, or less.
    Points(Value, f64),
    /// Points that an address has.
    Total(Value, f64),
}

/// Something worth a line in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    Joined { decisions: usize },
    Gap { dropped: usize },
    Loss { own: usize },
    Compared { differences: usize },
    Garbage { id: LogId, why: String },
    SameName,
}

/// Where an unban was made, and whether the state has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Maker {
    Here,
    HereWritten,
    Elsewhere,
}

#[derive(Debug, Clone, Copy)]
struct Lifted {
    at: Micros,
    /// When the last of what it ended would have been over.
    keep: Micros,
    is_own: bool,
    is_written: bool,
}

/// Where a process before this one stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) epoch: String,
    pub(super) position: LogId,
    /// What was made before, by the clock of this node, has been written.
    pub(super) synced: Micros,
}

/// What a node is told about its surroundings.
#[derive(Debug, Clone)]
pub(super) struct NodeOptions {
    pub(super) name: Arc<str>,
    /// Differs from process to process.
    pub(super) instance: Arc<str>,
    pub(super) defaults: Defaults,
    pub(super) half_life: Duration,
    pub(super) seed: u64,
}

/// Totals since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) read: u64,
    pub(super) written: u64,
    pub(super) garbage: u64,
    pub(super) gaps: u64,
    pub(super) losses: u64,
    pub(super) differences: u64,
}

/// Why the state is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scan {
    /// The state is right.
    Gap,
    /// What this node made is written again, and what others made after a delay.
    Loss,
}

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    options: NodeOptions,
    known: BTreeMap<Key, Record>,
    lifted: HashMap<Value, Lifted>,
    origins: Vec<Arc<str>>,
    sums: Sums,
    pending: Pending,
    is_overflowed: bool,
    position: LogId,
    /// Entries of this node that have not been read yet: if one is missing, the store has lost it.
    unread: BTreeSet<LogId>,
    /// When this node last gave a sign of life, by the clock of the server.
    acked: Micros,
    /// Something was written to a store with another epoch.
    is_elsewhere: bool,
    epoch: Option<String>,
    mark: Option<Mark>,
    is_joined: bool,
    /// The clock of the server minus that of this node.
    offset: Option<i64>,
    last_stamp: Micros,
    synced: Micros,
    /// When the log was last read to its end.
    pub(super) caught_up: Micros,
    next_read: Micros,
    next_tick: Micros,
    next_compare: Micros,
    next_sweep: Micros,
    rewrite: Option<Micros>,
    foreign_instances: u32,
    random: u64,
    pub(super) totals: Totals,
    pub(super) effects: Vec<Effect>,
    pub(super) notices: Vec<Notice>,
}

impl Node {
    /// A node that has not connected. `mark` is where the process before stopped.
    pub(super) fn new(options: NodeOptions, mark: Option<Mark>) -> Self {
        Self {
            sums: Sums::new(options.half_life),
            random: options.seed | 1,
            options,
            known: BTreeMap::new(),
            lifted: HashMap::new(),
            origins: Vec::new(),
            pending: Pending::new(QUEUE_MAX),
            is_overflowed: false,
            position: LogId::ZERO,
            unread: BTreeSet::new(),
            acked: 0,
            is_elsewhere: false,
            epoch: None,
            mark,
            is_joined: false,
            offset: None,
            last_stamp: 0,
            synced: 0,
            caught_up: 0,
            next_read: 0,
            next_tick: 0,
            next_compare: 0,
            next_sweep: 0,
            rewrite: None,
            foreign_instances: 0,
            totals: Totals::default(),
            effects: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// A decision that was in force before this node started.
    pub(super) fn restore(&mut self, key: Key, record: Record) {
        if is_shared(&key.origin) {
            self.note_origin(&key.origin);
            self.known.insert(key, record);
        }
    }

    /// A decision that was made on this node. Its times are by the clock of this node.
    pub(super) fn put(&mut self, now: Micros, key: Key, mut record: Record) {
        if !is_shared(&key.origin) {
            return;
        }
        let stamp = self.stamp(now);
        record.created = self.server(stamp);
        record.until = self.server(record.until);
        record.id = LogId::ZERO;
        if let Some(lifted) = self.lifted.get(&key.value) {
            // This node knew of the unban.
            record.created = record.created.max(lifted.at + 1);
        }
        self.note_origin(&key.origin);
        self.known.insert(key.clone(), record);
        let is_queued = self.pending.push(Subject::Decision(key), Task::Put);
        self.is_overflowed |= !is_queued;
    }

    /// An unban on this node.
    pub(super) fn lift(&mut self, now: Micros, value: Value) {
        let stamp = self.stamp(now);
        let at = self.server(stamp);
        let (_, keep) = self.kill(value, at);
        self.sums.lift(value, at);
        self.remember_lifted(value, at, keep, Maker::Here);
        let task = Task::Lift { is_new: true };
        let is_queued = self.pending.push(Subject::Lifted(value), task);
        self.is_overflowed |= !is_queued;
    }

    /// Points that this node has seen an address earn.
    pub(super) fn report(&mut self, now: Micros, value: Value, points: f64) {
        let now = self.server(now);
        let node = Arc::clone(&self.options.name);
        self.sums.add(value, &node, points, now);
        let is_queued = self.pending.push(Subject::Points(value), Task::Points);
        self.is_overflowed |= !is_queued;
    }

    /// Changes lost on their way here: everything of this node is compared again.
    pub(super) const fn overflowed(&mut self) {
        self.is_overflowed = true;
    }

    pub(super) fn configure(&mut self, defaults: Defaults, half_life: Duration) {
        self.options.defaults = defaults;
        self.sums.set_half_life(half_life);
    }

    pub(super) fn knows(&self, key: &Key) -> bool {
        self.known.contains_key(key)
    }

    pub(super) fn random(&mut self) -> u64 {
        self.below(u64::MAX)
    }

    pub(super) fn queue_len(&self) -> usize {
        self.pending.len()
    }

    pub(super) const fn dropped(&self) -> u64 {
        self.pending.dropped
    }

    pub(super) const fn position(&self) -> LogId {
        self.position
    }

    pub(super) const fn is_joined(&self) -> bool {
        self.is_joined
    }

    #[cfg(test)]
    pub(super) const fn known(&self) -> &BTreeMap<Key, Record> {
        &self.known
    }

    #[cfg(test)]
    pub(super) fn total(&self, value: Value, server_now: Micros) -> f64 {
        self.sums.total(value, server_now)
    }

    /// Where a later process may go on.
    pub(super) fn mark(&self) -> Option<Mark> {
        let epoch = self.epoch.clone().filter(|_| self.is_joined)?;
        Some(Mark {
            epoch,
            position: self.position,
            synced: self.synced,
        })
    }

    /// When there is something to do next.
    pub(super) fn wake_at(&self) -> Micros {
        if self.pending.len() > 0 {
            return 0;
        }
        self.next_read
    }

    /// Does what is due. After an error the next turn goes on where this one stopped.
    pub(super) fn turn<L: Link>(&mut self, now: Micros, link: &mut L) -> Result<(), L::Error> {
        if !self.is_joined {
            self.join(now, link)?;
        }
        self.flush(now, link)?;
        if now >= self.next_read {
            self.next_read = now + self.jittered(READ_INTERVAL);
            self.follow(now, link)?;
        }
        if self.rewrite.is_some_and(|at| now >= at) {
            self.rewrite = None;
            self.queue_unwritten(|_| true, |_| true);
        }
        if now >= self.next_tick {
            self.call(now, Vec::new(), link)?;
        }
        if now >= self.next_compare {
            self.compare(now, link)?;
        }
        if now >= self.next_sweep {
            self.next_sweep = now + SWEEP_INTERVAL;
            self.sweep(now);
        }
        Ok(())
    }

    // The start.

    fn join<L: Link>(&mut self, now: Micros, link: &mut L) -> Result<(), L::Error> {
        let seen = link.tail()?.seen.into_values().max().unwrap_or(0);
        // Sets the epoch of a new store, and shows how far the clocks are apart.
        self.call(now, Vec::new(), link)?;
        let tail = link.tail()?;
        let from = entry_at(seen.saturating_sub(REPLAY));
        let mark = self.mark.clone();
        let same = mark.filter(|it| tail.epoch.as_ref() == Some(&it.epoch));
        let synced = same.as_ref().map_or(0, |it| self.server(it.synced));
        let is_there = match &same {
            Some(mark) => reaches(&link.read(mark.position, 1)?, mark.position),
            None => false,
        };
        if let Some(mark) = same.filter(|_| is_there) {
            self.position = mark.position;
            self.scan_points(now, link)?;
        } else if synced > 0 {
            self.scan(now, from, Scan::Gap, synced, link)?;
        } else {
            self.scan(now, from, Scan::Loss, 0, link)?;
            self.rewrite_later(now);
        }
        self.epoch = tail.epoch;
        self.queue_own(synced);
        let values = self.sums.of(&self.options.name);
        for value in values {
            self.pending.push(Subject::Points(value), Task::Points);
        }
        self.is_joined = true;
        self.next_compare = now + self.jittered(COMPARE_INTERVAL);
        let decisions = self.known.len();
        self.notices.push(Notice::Joined { decisions });
        Ok(())
    }

    /// Queues what this node has made since a time and has not written.
    fn queue_own(&mut self, synced: Micros) {
        let name = Arc::clone(&self.options.name);
        // Times that were restored are whole seconds.
        let since = synced.saturating_sub(2 * SECOND);
        self.queue_unwritten(|it| it.node == name && it.created >= since, |it| it.is_own);
    }

    fn queue_unwritten(
        &mut self,
        is_wanted: impl Fn(&Record) -> bool,
        is_lift_wanted: impl Fn(&Lifted) -> bool,
    ) {
        for (key, record) in &self.known {
            let subject = Subject::Decision(key.clone());
            if record.id == LogId::ZERO && is_wanted(record) && !self.pending.has(&subject) {
                self.is_overflowed |= !self.pending.push(subject, Task::Again);
            }
        }
        for (value, lifted) in &self.lifted {
            let subject = Subject::Lifted(*value);
            if !lifted.is_written && is_lift_wanted(lifted) && !self.pending.has(&subject) {
                let task = Task::Lift { is_new: false };
                self.is_overflowed |= !self.pending.push(subject, task);
            }
        }
    }

    fn rewrite_later(&mut self, now: Micros) {
        let delay = self.below(REWRITE_DELAY);
        self.rewrite = Some(now + delay);
    }

    // Writing.

    fn flush<L: Link>(&mut self, now: Micros, link: &mut L) -> Result<(), L::Error> {
        for _ in 0..BATCHES_MAX {
            let tasks = self.pending.take(BATCH_MAX);
            if tasks.is_empty() {
                break;
            }
            self.call(now, tasks, link)?;
        }
        if self.pending.len() > 0 {
            return Ok(());
        }
        if core::mem::take(&mut self.is_overflowed) {
            let name = Arc::clone(&self.options.name);
            self.queue_unwritten(|it| it.node == name, |it| it.is_own);
        }
        if self.pending.len() == 0 {
            self.synced = now;
        }
        Ok(())
    }

    /// Runs the script with some tasks; with none it is a sign of life.
    fn call<L: Link>(
        &mut self,
        now: Micros,
        tasks: Vec<(Subject, Task)>,
        link: &mut L,
    ) -> Result<(), L::Error> {
        let mut written = Vec::new();
        let mut ops = Vec::new();
        for (subject, task) in tasks {
            if let Some(op) = self.op(now, &subject, &task) {
                ops.push(op);
                written.push((subject, task));
            }
        }
        let batch = Batch {
            node: Arc::clone(&self.options.name),
            instance: Arc::clone(&self.options.instance),
            clear_max: CLEAR_MAX + 2 * ops.len(),
            ops,
        };
        let answer = match link.write(&batch) {
            Ok(answer) => answer,
            Err(error) => {
                self.pending.put_back(written);
                return Err(error);
            }
        };
        self.next_tick = now + self.jittered(TICK_INTERVAL);
        self.synchronize(now, answer.now);
        self.acked = answer.now;
        self.check_instance(&answer.instance);
        // Another store than the one that is followed: `follow` may find the former one again.
        self.is_elsewhere |= self.epoch.as_ref().is_some_and(|it| *it != answer.epoch);
        self.totals.written += written.len() as u64;
        for ((subject, _), outcome) in written.into_iter().zip(answer.outcomes) {
            self.settle(now, subject, outcome);
        }
        Ok(())
    }

    /// What a task is now; none if it is over.
    fn op(&self, now: Micros, subject: &Subject, task: &Task) -> Option<Op> {
        let server = self.server(now);
        match (subject, task) {
            (Subject::Decision(key), task) => {
                let record = self.known.get(key)?;
                let rest = record.until.saturating_sub(server);
                if *task == Task::Again {
                    if rest == 0 {
                        return None;
                    }
                    return Some(Op::Again(key.clone(), record.clone()));
                }
                Some(Op::Put {
                    key: key.clone(),
                    age: server.saturating_sub(record.created),
                    rest,
                    after: self.lifted.get(&key.value).map_or(0, |it| it.at),
                    node: Arc::clone(&record.node),
                    reason: Arc::clone(&record.reason),
                })
            }
            (Subject::Lifted(value), task) => {
                let lifted = self.lifted.get(value)?;
                let is_new = *task == (Task::Lift { is_new: true });
                let at = if is_new {
                    At::Age(server.saturating_sub(lifted.at))
                } else {
                    At::Time(lifted.at)
                };
                Some(self.lift_op(*value, at, None))
            }
            (Subject::Points(value), _) => {
                let part = self.sums.part(*value, &self.options.name)?;
                Some(Op::Points {
                    value: *value,
                    node: Arc::clone(&self.options.name),
                    sum: part.sum,
                    added: part.unwritten,
                    half_life: self.half_life(),
                    age: server.saturating_sub(part.at),
                })
            }
            (Subject::Entry(_), Task::Adopt(key, record)) => {
                Some(Op::Adopt(key.clone(), record.clone()))
            }
            (Subject::Entry(id), Task::AdoptLift(value, at)) => {
                Some(self.lift_op(*value, At::Time(*at), Some(*id)))
            }
            (Subject::Entry(id), Task::AdoptPoints(value, points, at)) => Some(Op::AdoptPoints {
                id: *id,
                value: *value,
                points: *points,
                half_life: self.half_life(),
                at: *at,
            }),
            (Subject::Entry(_), _) => None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "microseconds of a half-life")]
    fn half_life(&self) -> f64 {
        self.sums.half_life() * SECOND as f64
    }

    /// An unban ends all that the state has of the value: every kind, of each origin known.
    fn lift_op(&self, value: Value, at: At, entry: Option<LogId>) -> Op {
        let mut origins: HashSet<&Arc<str>> = HashSet::new();
        origins.extend(self.origins.iter());
        let keys = origins.into_iter().flat_map(|origin| {
            Kind::ALL.into_iter().map(move |kind| Key {
                value,
                kind,
                origin: Arc::clone(origin),
            })
        });
        Op::Lift {
            value,
            at,
            keep: self.lifted.get(&value).map_or(0, |it| it.keep),
            entry,
            keys: keys.collect(),
        }
    }

    fn settle(&mut self, now: Micros, subject: Subject, outcome: Outcome) {
        let (Outcome::Put { id, .. } | Outcome::At { id, .. }) = outcome else {
            return self.settle_refused(now, subject, outcome);
        };
        if id > self.position {
            self.unread.insert(id);
        }
        match (subject, outcome) {
            (Subject::Decision(key), Outcome::Put { id, created, until }) => {
                if let Some(record) = self.known.get_mut(&key) {
                    record.id = id;
                    record.created = created;
                    record.until = until;
                }
            }
            (Subject::Lifted(value), Outcome::At { at, .. }) => {
                let before = self.lifted.get(&value).map_or(0, |it| it.at);
                self.postpone(value, before, at);
                self.end(value, at, Maker::HereWritten);
            }
            (Subject::Points(value), Outcome::At { id, at }) => {
                let name = Arc::clone(&self.options.name);
                self.sums.written(value, &name, id, at);
            }
            _ => {}
        }
    }

    /// What is to be done when something has not been written.
    fn settle_refused(&mut self, now: Micros, subject: Subject, outcome: Outcome) {
        if let (Subject::Decision(key), Outcome::Kept(current)) = (subject, outcome) {
            self.replace(now, key, current);
        }
    }

    /// What was decided after an unban stays after it when the server gives the unban its time.
    fn postpone(&mut self, value: Value, before: Micros, at: Micros) {
        for (key, record) in self.known.range_mut(first_of(value)..) {
            if key.value != value {
                break;
            }
            if record.id == LogId::ZERO && record.created > before {
                record.created = record.created.max(at + 1);
            }
        }
    }

    // Reading.

    fn follow<L: Link>(&mut self, now: Micros, link: &mut L) -> Result<(), L::Error> {
        for _ in 0..PAGES_MAX {
            let page = link.read(self.position, PAGE_MAX)?;
            if page.epoch != self.epoch || self.is_elsewhere {
                return self.lost(now, link);
            }
            if !reaches(&page, self.position) {
                let tail = link.tail()?;
                let is_trimmed = tail.first > self.position && tail.epoch == self.epoch;
                // What this node wrote last is there.
                let seen = tail.seen.get(&*self.options.name);
                let is_intact = self.unread.is_empty() && seen.is_some_and(|it| *it >= self.acked);
                return if is_trimmed && is_intact {
                    self.skipped(now, link)
                } else {
                    self.lost(now, link)
                };
            }
            let is_full = page.entries.len() >= PAGE_MAX;
            for (id, fields) in page.entries {
                if id > self.position {
                    self.apply(now, id, &fields);
                    self.position = id;
                    self.unread.remove(&id);
                }
            }
            let oldest = self.unread.first();
            if oldest.is_some_and(|id| *id < self.position || !is_full && link.reads_primary()) {
                return self.lost(now, link);
            }
            if !is_full {
                self.caught_up = now;
                return Ok(());
            }
        }
        // There is more: at once, after what is pending.
        self.next_read = now;
        Ok(())
    }

    fn skipped<L: Link>(&mut self, now: Micros, link: &mut L) -> Result<(), L::Error> {
        let from = self.recent(now);
        let dropped = self.scan(now, from, Scan::Gap, Micros::MAX, link)?;
        self.totals.gaps += 1;
        self.notices.push(Notice::Gap { dropped });
        Ok(())
    }

    fn lost<L: Link>(&mut self, now: Micros, link: &mut L) -> Result<(), L::Error> {
        // Sets the epoch of an empty store.
        self.call(now, Vec::new(), link)?;
        let tail = link.tail()?;
        for record in self.known.values_mut() {
            record.id = LogId::ZERO;
        }
        for lifted in self.lifted.values_mut() {
            lifted.is_written = false;
        }
        let from = self.recent(now);
        self.scan(now, from, Scan::Loss, 0, link)?;
        self.epoch = tail.epoch;
        let before = self.pending.len();
        self.queue_own(0);
        for value in self.sums.of(&self.options.name) {
            self.pending.push(Subject::Points(value), Task::Points);
        }
        let own = self.pending.len() - before;
        self.rewrite_later(now);
        self.totals.losses += 1;
        self.notices.push(Notice::Loss { own });
        Ok(())
    }

    fn apply(&mut self, now: Micros, id: LogId, fields: &Fields) {
        self.totals.read += 1;
        let Read { entry, is_by_hand } = match read(id, fields, self.options.defaults) {
            Ok(read) => read,
            Err(why) => {
                self.totals.garbage += 1;
                self.notices.push(Notice::Garbage { id, why });
                return;
            }
        };
        let task = match entry {
            Entry::Begin => return,
            Entry::Put(key, record) => {
                let task = Task::Adopt(key.clone(), record.clone());
                self.merge(now, key, record);
                task
            }
            Entry::Lift { value, at } => {
                self.end(value, at, Maker::Elsewhere);
                Task::AdoptLift(value, at)
            }
            Entry::Points { value, by } => {
                let Some(task) = self.add_points(now, value, by, id) else {
                    return;
                };
                task
            }
        };
        if is_by_hand {
            self.pending.push(Subject::Entry(id), task);
        }
    }

    fn add_points(&mut self, now: Micros, value: Value, by: Points, id: LogId) -> Option<Task> {
        let server = self.server(now);
        if self.is_lifted(
            value,
            match &by {
                Points::Sum { at, .. } | Points::Added { at, .. } => *at,
            },
        ) {
            return None;
        }
        match by {
            Points::Sum { node, sum, at } => {
                // Those of this node count already.
                if node != self.options.name {
                    let part = Part {
                        node,
                        sum,
                        at,
                        id,
                        unwritten: 0.0,
                    };
                    let more = self.sums.merge(value, part, server);
                    self.effects
                        .extend(more.map(|it| Effect::Points(value, it)));
                }
                None
            }
            Points::Added { points, at } => {
                let more = self.sums.add_by_hand(value, (points, at), id, server);
                self.effects
                    .extend(more.map(|it| Effect::Points(value, it)));
                Some(Task::AdoptPoints(value, points, at))
            }
        }
    }

    /// Takes a decision of the log or the state, if it is newer than what is known.
    fn merge(&mut self, now: Micros, key: Key, record: Record) {
        let known = self.known.get(&key);
        let is_old = known.is_some_and(|it| it.id >= record.id);
        let subject = Subject::Decision(key.clone());
        if is_old || self.pending.has(&subject) {
            return;
        }
        self.replace(now, key, Some(record));
    }

    /// What holds of an identity from now on.
    fn replace(&mut self, now: Micros, key: Key, current: Option<Record>) {
        let server = self.server(now);
        let current = current.filter(|it| it.until > server);
        let current = current.filter(|it| !self.is_lifted(key.value, it.created));
        let Some(record) = current else {
            if self.known.remove(&key).is_some() {
                self.effects.push(Effect::Drop(key));
            }
            return;
        };
        let before = self.known.get(&key);
        let is_same = before.is_some_and(|it| {
            // What was restored has whole seconds.
            let off = if it.id == LogId::ZERO { 2 * SECOND } else { 1 };
            it.created.abs_diff(record.created) < off
                && it.until.abs_diff(record.until) < off
                && (&it.node, &it.reason) == (&record.node, &record.reason)
        });
        if !is_same {
            let reason = Arc::clone(&record.reason);
            let node = Arc::clone(&record.node);
            let created = self.seconds(record.created);
            let until = self.seconds_until(now, record.until);
            self.note_origin(&key.origin);
            self.effects.push(Effect::Put {
                key: key.clone(),
                reason,
                node,
                created,
                until,
            });
        }
        self.known.insert(key, record);
    }

    /// Ends what an unban of the log or the state ends.
    fn end(&mut self, value: Value, at: Micros, maker: Maker) {
        let is_new = self.lifted.get(&value).is_none_or(|it| it.at < at);
        let (killed, keep) = self.kill(value, at);
        self.effects.extend(killed.into_iter().map(Effect::Drop));
        self.sums.lift(value, at);
        if is_new && maker == Maker::Elsewhere {
            self.effects.push(Effect::Lift(value, self.seconds(at)));
        }
        self.remember_lifted(value, at, keep, maker);
    }

    /// Forgets decisions of a value that were created until a time; which, and when the last would have ended.
    fn kill(&mut self, value: Value, at: Micros) -> (Vec<Key>, Micros) {
        let of_value = self.known.range(first_of(value)..);
        let of_value = of_value.take_while(|(key, _)| key.value == value);
        let killed: Vec<_> = of_value
            .filter(|(_, record)| record.created <= at)
            .map(|(key, record)| (key.clone(), record.clone()))
            .collect();
        // The store of decisions has whole seconds: in the same one the state knows what came first.
        let is_unsure =
            |it: &Record| it.id == LogId::ZERO && it.created.saturating_add(SECOND) > at;
        if killed.iter().any(|(_, record)| is_unsure(record)) {
            self.next_compare = 0;
        }
        for (key, _) in &killed {
            self.known.remove(key);
            self.pending.remove(&Subject::Decision(key.clone()));
        }
        let keep = killed.iter().map(|(_, record)| record.until).max();
        let keys = killed.into_iter().map(|(key, _)| key).collect();
        (keys, keep.unwrap_or(0))
    }

    fn is_lifted(&self, value: Value, created: Micros) -> bool {
        self.lifted.get(&value).is_some_and(|it| created <= it.at)
    }

    fn remember_lifted(&mut self, value: Value, at: Micros, keep: Micros, maker: Maker) {
        let is_written = maker != Maker::Here;
        let is_own = maker != Maker::Elsewhere;
        let lifted = self.lifted.entry(value).or_insert(Lifted {
            at,
            keep,
            is_own,
            is_written,
        });
        lifted.keep = lifted.keep.max(keep);
        if lifted.at < at {
            lifted.at = at;
            lifted.is_own = is_own;
            lifted.is_written = is_written;
        } else if lifted.at == at {
            lifted.is_written |= is_written;
        }
        if self.lifted.len() > LIFTED_MAX {
            // The oldest half goes; unbans of the last minutes are what matters.
            let mut times: Vec<_> = self.lifted.values().map(|it| it.at).collect();
            let middle = times.len() / 2;
            let (_, middle, _) = times.select_nth_unstable(middle);
            let middle = *middle;
            self.lifted.retain(|_, it| it.at > middle);
        }
    }

    // The state.

    /// Reads the state. How many decisions have been dropped because it does not have them.
    fn scan<L: Link>(
        &mut self,
        now: Micros,
        from: LogId,
        why: Scan,
        synced: Micros,
        link: &mut L,
    ) -> Result<usize, L::Error> {
        let mut seen = HashSet::new();
        link.scan(Scope::All, &mut |row| match row {
            Row::Decision(key, record) => {
                if self.take_row(now, &key, record, why) {
                    seen.insert(key);
                }
            }
            Row::Lifted(value, at) => self.end(value, at, Maker::Elsewhere),
            Row::Points(value, part) => self.merge_part(now, value, part),
        })?;
        self.unread.clear();
        self.is_elsewhere = false;
        self.replay(now, from, link)?;
        if why == Scan::Loss {
            return Ok(0);
        }
        let name = &self.options.name;
        let is_unwritten = |record: &Record| {
            let is_new = self.is_overflowed || record.created >= synced.saturating_sub(2 * SECOND);
            record.id == LogId::ZERO && record.node == *name && is_new
        };
        let dropped: Vec<Key> = self
            .known
            .iter()
            .filter(|(key, record)| {
                record.id < from
                    && !is_unwritten(record)
                    && !seen.contains(*key)
                    && !self.pending.has(&Subject::Decision((*key).clone()))
            })
            .map(|(key, _)| key.clone())
            .collect();
        let count = dropped.len();
        for key in dropped {
            self.replace(now, key, None);
        }
        Ok(count)
    }

    /// Reads the log from an id on: the state may lack entries made by hand that no node has read yet.
    fn replay<L: Link>(&mut self, now: Micros, from: LogId, link: &mut L) -> Result<(), L::Error> {
        let mut position = from;
        let mut last = LogId::ZERO;
        loop {
            let page = link.read(position, PAGE_MAX)?;
            let is_full = page.entries.len() >= PAGE_MAX;
            for (id, fields) in page.entries {
                if id > last {
                    self.apply(now, id, &fields);
                    last = id;
                }
            }
            if !is_full {
                break;
            }
            position = last;
        }
        if last == LogId::ZERO {
            last = link.tail()?.last;
        }
        self.position = last;
        Ok(())
    }

    /// Where the log is read from after the state.
    fn recent(&self, now: Micros) -> LogId {
        entry_at(self.server(now).saturating_sub(REPLAY))
    }

    /// Takes a row of the state if it is newer than what is known; whether it is in force.
    fn take_row(&mut self, now: Micros, key: &Key, record: Record, why: Scan) -> bool {
        if record.until <= self.server(now) || self.is_lifted(key.value, record.created) {
            return false;
        }
        let known = self.known.get(key);
        let is_newer_here = known.is_some_and(|it| {
            let is_in_force = it.until > self.server(now);
            let is_later = it.id == LogId::ZERO && it.created > record.created + SECOND;
            let is_own = it.node == self.options.name;
            is_in_force && is_later && (why == Scan::Loss || is_own) || it.id >= record.id
        });
        if !is_newer_here && !self.pending.has(&Subject::Decision(key.clone())) {
            self.replace(now, key.clone(), Some(record));
        }
        true
    }

    fn scan_points<L: Link>(&mut self, now: Micros, link: &mut L) -> Result<(), L::Error> {
        link.scan(Scope::Points, &mut |row| {
            if let Row::Points(value, part) = row {
                self.merge_part(now, value, part);
            }
        })
    }

    /// Takes what the state has of a node's points. Until it has joined, a node adds to what it finds of
    /// its own: the live table has all of that already.
    fn merge_part(&mut self, now: Micros, value: Value, part: Part) {
        let server = self.server(now);
        if self.is_lifted(value, part.at) {
            return;
        }
        let is_own = part.node == self.options.name;
        if is_own && self.is_joined {
            return;
        }
        if is_own {
            self.sums.join(value, part);
        } else {
            let more = self.sums.merge(value, part, server);
            if self.is_joined {
                self.effects
                    .extend(more.map(|it| Effect::Points(value, it)));
            }
        }
        if !self.is_joined {
            let total = self.sums.total(value, server);
            self.effects.push(Effect::Total(value, total));
        }
    }

    /// Compares everything with the state, and mends what differs.
    fn compare<L: Link>(&mut self, now: Micros, link: &mut L) -> Result<(), L::Error> {
        self.next_compare = now + self.jittered(COMPARE_INTERVAL);
        self.follow(now, link)?;
        if self.rewrite.is_some() {
            return Ok(());
        }
        let noted = self.position;
        // What was made by hand may not be in the state yet.
        let settled = noted.min(self.recent(now));
        let mut seen = HashSet::new();
        let mut rows = Vec::new();
        link.scan(Scope::All, &mut |row| match row {
            Row::Decision(key, record) => {
                let known = self.known.get(&key).map(|it| it.id);
                // What is newer comes by the log.
                if record.id <= noted && known != Some(record.id) {
                    rows.push((key.clone(), record));
                }
                seen.insert(key);
            }
            Row::Lifted(value, at) => {
                if self.lifted.get(&value).is_none_or(|it| it.at < at) && at < noted.ms * 1000 {
                    self.end(value, at, Maker::Elsewhere);
                }
            }
            Row::Points(value, part) => self.merge_part(now, value, part),
        })?;
        let missing = self.known.iter().filter(|(key, record)| {
            let is_own = record.node == self.options.name;
            let is_written = record.id != LogId::ZERO || !is_own;
            record.id < settled && is_written && !seen.contains(*key)
        });
        let missing: Vec<Key> = missing.map(|(key, _)| key.clone()).collect();
        self.follow(now, link)?;
        let before = self.effects.len();
        for (key, record) in rows {
            if self.known.get(&key).is_none_or(|it| it.id <= noted) {
                self.take_row(now, &key, record, Scan::Gap);
            }
        }
        let server = self.server(now);
        for key in missing {
            let is_still = |it: &Record| it.id <= noted && it.until > server;
            let is_queued = self.pending.has(&Subject::Decision(key.clone()));
            if self.known.get(&key).is_some_and(is_still) && !is_queued {
                self.replace(now, key, None);
            }
        }
        let differences = self.effects.len() - before;
        self.totals.differences += differences as u64;
        self.notices.push(Notice::Compared { differences });
        Ok(())
    }

    /// Forgets what is over.
    fn sweep(&mut self, now: Micros) {
        let server = self.server(now);
        let pending = &self.pending;
        self.known.retain(|key, record| {
            record.until > server
                || pending.len() > 0 && pending.has(&Subject::Decision(key.clone()))
        });
        self.lifted
            .retain(|_, it| it.keep.max(it.at.saturating_add(LIFTED_AGE)) > server);
        self.sums.sweep(server);
    }

    fn note_origin(&mut self, origin: &Arc<str>) {
        if self.origins.len() < ORIGINS_MAX && !self.origins.contains(origin) {
            self.origins.push(Arc::clone(origin));
        }
    }

    // Time.

    /// A time of this node by the clock of the server.
    fn server(&self, local: Micros) -> Micros {
        local.saturating_add_signed(self.offset.unwrap_or(0))
    }

    fn local(&self, server: Micros) -> Micros {
        server.saturating_add_signed(self.offset.unwrap_or(0).saturating_neg())
    }

    /// The second in which a time of the server is on this node.
    fn seconds(&self, server: Micros) -> u32 {
        u32::try_from(self.local(server) / SECOND).unwrap_or(u32::MAX)
    }

    /// The second at which something ends: the nearest, but not before it has begun.
    fn seconds_until(&self, now: Micros, server: Micros) -> u32 {
        let nearest = (self.local(server) + SECOND / 2) / SECOND;
        u32::try_from(nearest.max(now / SECOND + 1)).unwrap_or(u32::MAX)
    }

    /// Times of changes on this node differ, so that their order is known.
    fn stamp(&mut self, now: Micros) -> Micros {
        self.last_stamp = now.max(self.last_stamp + 1);
        self.last_stamp
    }

    /// Follows the clock of the server. What was noted before the first contact gets its time.
    fn synchronize(&mut self, now: Micros, server: Micros) {
        let offset = server.cast_signed().saturating_sub(now.cast_signed());
        if self.offset.replace(offset).is_some() {
            return;
        }
        for record in self.known.values_mut() {
            record.created = record.created.saturating_add_signed(offset);
            record.until = record.until.saturating_add_signed(offset);
        }
        for lifted in self.lifted.values_mut() {
            lifted.at = lifted.at.saturating_add_signed(offset);
            lifted.keep = lifted.keep.saturating_add_signed(offset);
        }
        self.sums.shift(offset);
    }

    /// Two processes by one name would take each other's points for their own.
    fn check_instance(&mut self, instance: &str) {
        let is_foreign = !instance.is_empty() && *instance != *self.options.instance;
        self.foreign_instances = if is_foreign {
            self.foreign_instances + 1
        } else {
            0
        };
        // A takeover shows the other process for a while.
        if self.foreign_instances == 4 {
            self.notices.push(Notice::SameName);
        }
    }

    /// A number below a limit (splitmix64).
    fn below(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }

    /// A time of this length, give or take a quarter.
    fn jittered(&mut self, time: Micros) -> Micros {
        time - time / 4 + self.below(time / 2)
    }
}

/// The first entry that can be made at a time.
const fn entry_at(time: Micros) -> LogId {
    LogId {
        ms: time / 1000,
        seq: 0,
    }
}

/// Whether a part of the log begins with the entry that was read last.
fn reaches(page: &Page, position: LogId) -> bool {
    let first = page.entries.first().map(|(id, _)| *id);
    position == LogId::ZERO || first == Some(position)
}

/// Before every decision of a value.
fn first_of(value: Value) -> Key {
    Key {
        value,
        kind: Kind::Ban,
        origin: "".into(),
    }
}
