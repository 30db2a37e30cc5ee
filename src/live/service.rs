//! The thread that changes decisions, and the handle that everybody else has.

use core::fmt;
use core::net::IpAddr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use std::{io, thread};

use ip_reputation::Prefix;
use tracing::{error, info, warn};

use super::behavior::{self, BehaviorOptions, PointsReport, Report, ReportSender};
use super::decision::ORIGIN_BEHAVIOR;
use super::decisions::Decisions;
use super::imports::{Import, ImportCounts, Imports, ORIGIN_CROWDSEC};
use super::network::Network;
use super::points::Points;
use super::rows::Contents;
use super::store::{self, Store, StoreError};
use super::{Change, Decision, Kind, LiveOptions, LiveTable, Offender, Snapshot, Target};
use crate::host::{now, now_micros};

/// How often expired decisions, old tables and changes of another process are looked for.
const TICK: Duration = Duration::from_millis(200);
/// How often reports are taken from their queue.
const REPORT_TICK: Duration = Duration::from_millis(50);
/// Reports that are taken at once, so that a decision need not wait for all of them.
const REPORTS_MAX: usize = 16_384;
/// How often points are saved.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);
/// Points of so many addresses are saved in one transaction.
const SAVED_MAX: usize = 2_000;
/// The clock was set back if it is this much earlier than before, in microseconds.
const STEP_MIN_US: u64 = 2_000_000;
/// The shortest time between two sweeps of all decisions.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// How long after a failure the store is tried again.
const STORE_RETRY: Duration = Duration::from_secs(5);
/// Requests that are written to the store in one transaction.
const GROUP_MAX: usize = 1024;

/// What has changed: a value, or of it one decision.
type Changed = (Target, Option<(Kind, Arc<str>)>);

/// A change of decisions.
#[derive(Debug)]
pub enum Request {
    /// Makes these decisions, all or none.
    Put(Vec<Decision>),
    /// Removes every decision of exactly this value, and sets the points of its addresses to 0.
    Remove(Target),
    /// Removes the decisions of exactly this value that this origin made, and nothing else.
    RemoveOf(Target, Arc<str>),
    /// Changes what has come from `CrowdSec`.
    Import(Import),
    /// Adds points that another node was told of.
    Report(Vec<PointsReport>),
    /// Takes over what other nodes have decided, as far as there is room. Who sends it knows the changes
    /// of this process up to this number; what has changed since counts more.
    Merge(u64, Vec<Merge>),
}

/// What another node has decided, or what is remembered of other nodes.
#[derive(Debug)]
pub enum Merge {
    /// A decision.
    Put(Decision),
    /// The end of a decision.
    Drop(Kind, Target, Arc<str>),
    /// An unban: ends what this node alone knows of the value, if it was made until this second, and sets
    /// the points to 0.
    Lift(Target, u32),
    /// How far the log was read, once all before is in the store.
    Mark(String),
}

/// A change of this process.
#[derive(Debug)]
pub enum LocalChange<'a> {
    /// These decisions were made.
    Put(&'a [Decision]),
    /// Everything of this value was removed.
    Removed(Target),
}

/// Called with what this process decides and the number of the change, on the live thread.
pub type OnChanges = Box<dyn Fn(u64, LocalChange<'_>) + Send>;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// How many decisions were made or removed.
    pub count: usize,
    /// Whether it survives a restart. True as well if no store is configured.
    pub stored: bool,
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplyError {
    /// There is no `[live]`.
    Disabled,
    /// The limit is reached.
    Full(String),
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str(
                "live decisions are off; add a [live] section to the configuration and reload",
            ),
            Self::Full(why) => f.write_str(why),
        }
    }
}

impl core::error::Error for ApplyError {}

/// Bounds of [`TimesToForce`].
pub const IN_FORCE_BOUNDS: [Duration; 6] = [
    Duration::from_micros(100),
    Duration::from_millis(1),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_secs(1),
];

/// How long changes took, from the request to when workers answer with them.
#[derive(Debug, Default, Clone, Copy)]
pub struct TimesToForce {
    /// How many took at most this bound, and longer than the one before it.
    pub counts: [u64; IN_FORCE_BOUNDS.len()],
    /// All of them.
    pub count: u64,
    /// Together.
    pub sum: Duration,
}

impl TimesToForce {
    fn add(&mut self, took: Duration) {
        let bounds = IN_FORCE_BOUNDS.iter().zip(&mut self.counts);
        if let Some((_, count)) = bounds.into_iter().find(|(bound, _)| took <= **bound) {
            *count += 1;
        }
        self.count += 1;
        self.sum += took;
    }
}

/// Called with the outcome, on the live thread, once it is in force and stored.
pub type Done = Box<dyn FnOnce(Result<Applied, ApplyError>) + Send>;

/// Called with the reports of this process, on the live thread.
pub type OnReports = Box<dyn Fn(&[PointsReport]) + Send>;

/// Both ends of the queue of reports.
type ReportQueue = (ReportSender, Arc<Mutex<Receiver<Report>>>);

enum Event {
    Apply(Instant, Request, Done),
    Configured,
    /// The process ends: saves what is not saved, then this.
    Finish(Box<dyn FnOnce() + Send>),
}

/// Totals since the start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Decisions made or removed.
    pub changes: u64,
    /// Decisions that were refused at the limit.
    pub refused: u64,
    /// Writes to the store that failed.
    pub store_errors: u64,
    /// Whether what is in force is in the store; true without one.
    pub stored: bool,
    /// Addresses that have points.
    pub addresses: u64,
    /// Addresses whose points went because there were too many.
    pub evicted: u64,
    /// Bans at `ban-at`.
    pub behavior_bans: u64,
    /// Reports of private addresses, ignored.
    pub private_reports: u64,
}

struct Shared {
    decisions: Mutex<Decisions>,
    /// Never locked together with others.
    imports: Mutex<Imports>,
    points: Mutex<Option<Points>>,
    /// Since there is `[behavior]`.
    reports: Mutex<Option<ReportQueue>>,
    on_reports: Mutex<Option<OnReports>>,
    on_changes: Mutex<Option<OnChanges>>,
    /// What `Merge::Mark` has stored.
    mark: Mutex<Option<String>>,
    table: LiveTable,
    options: Mutex<Option<LiveOptions>>,
    allowed: Mutex<Arc<[Prefix]>>,
    node: Mutex<Arc<str>>,
    changes: AtomicU64,
    refused: AtomicU64,
    store_errors: AtomicU64,
    is_behind: AtomicBool,
    behavior_bans: AtomicU64,
    private_reports: AtomicU64,
    times: Mutex<TimesToForce>,
}

/// The live decisions of this process. A clone is the same ones.
#[derive(Clone)]
pub struct Live {
    shared: Arc<Shared>,
    sender: Sender<Event>,
    events: Arc<Mutex<Option<Receiver<Event>>>>,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

impl Live {
    /// No decisions, and off.
    #[must_use]
    pub fn new() -> Self {
        let (sender, events) = mpsc::channel();
        let node = rustix::system::uname();
        let shared = Shared {
            decisions: Mutex::new(Decisions::new()),
            imports: Mutex::default(),
            points: Mutex::default(),
            reports: Mutex::default(),
            on_reports: Mutex::default(),
            on_changes: Mutex::default(),
            mark: Mutex::default(),
            table: LiveTable::default(),
            options: Mutex::default(),
            allowed: Mutex::new(Arc::new([])),
            node: Mutex::new(node.nodename().to_string_lossy().into()),
            changes: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            store_errors: AtomicU64::new(0),
            is_behind: AtomicBool::new(false),
            behavior_bans: AtomicU64::new(0),
            private_reports: AtomicU64::new(0),
            times: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            sender,
            events: Arc::new(Mutex::new(Some(events))),
        }
    }

    /// Sets the options; `None` turns it off.
    pub fn configure(&self, options: Option<&LiveOptions>) {
        let max = options.map_or(0, |options| options.max_decisions);
        lock(&self.shared.decisions).limit(max);
        self.configure_behavior(options.and_then(|it| it.behavior.as_ref()));
        *lock(&self.shared.options) = options.cloned();
        // Before the thread runs it is told by the options themselves.
        let _ = self.sender.send(Event::Configured);
    }

    /// Without `[behavior]` points are forgotten.
    fn configure_behavior(&self, options: Option<&BehaviorOptions>) {
        // Never both locks at once here: who publishes takes them in this order.
        let seed = lock(&self.shared.decisions).seed();
        let mut points = lock(&self.shared.points);
        match (options, &mut *points) {
            (None, _) => *points = None,
            (Some(options), Some(points)) => {
                points.configure(options.half_life, options.max_addresses, now_micros());
            }
            (Some(options), none) => {
                *none = Some(Points::new(seed, options.half_life, options.max_addresses));
                lock(&self.shared.reports).get_or_insert_with(|| {
                    let (sender, receiver) = behavior::queue();
                    (sender, Arc::new(Mutex::new(receiver)))
                });
            }
        }
    }

    /// Where workers put reports; none without `[behavior]`.
    #[must_use]
    pub fn reports(&self) -> Option<ReportSender> {
        let is_on = lock(&self.shared.points).is_some();
        let reports = lock(&self.shared.reports);
        let sender = reports.as_ref().map(|(sender, _)| sender.clone());
        sender.filter(|_| is_on)
    }

    /// Has this called with the reports of this process, on the live thread, as they are added.
    pub fn on_reports(&self, called: OnReports) {
        *lock(&self.shared.on_reports) = Some(called);
    }

    /// The points of an address; none if nothing was reported of it.
    #[must_use]
    pub fn points(&self, address: IpAddr) -> Option<Offender> {
        lock(&self.shared.points)
            .as_ref()?
            .of(address, now_micros())
    }

    /// The addresses with the most points.
    #[must_use]
    pub fn top_points(&self, count: usize) -> Vec<Offender> {
        let points = lock(&self.shared.points);
        let top = points.as_ref().map(|it| it.top(count, now_micros()));
        top.unwrap_or_default()
    }

    /// Whether there is `[behavior]`.
    #[must_use]
    pub fn has_behavior(&self) -> bool {
        lock(&self.shared.points).is_some()
    }

    /// The decisions and points of a store, read-only, without a thread: for `spoa lookup`.
    ///
    /// # Errors
    /// Why the store cannot be read.
    pub fn offline(options: &LiveOptions) -> Result<Self, String> {
        let live = Self::new();
        live.configure(Some(options));
        let path = options.store_path();
        if let Some(path) = path.filter(|path| path.exists()) {
            let contents = store::read_only(&path, now());
            let contents = contents.map_err(|why| format!("store {}: {why}", path.display()))?;
            let mut decisions = lock(&live.shared.decisions);
            decisions.reserve(contents.decisions.len());
            for decision in &contents.decisions {
                decisions.put(decision);
            }
            drop(decisions);
            lock(&live.shared.imports).restore(&contents.imports);
            if let Some(points) = &mut *lock(&live.shared.points) {
                let now = now_micros();
                for it in &contents.points {
                    points.restore(it.prefix, it.points, &it.reason, it.updated, now);
                }
            }
            // Nobody else has the table.
            drop(live.shared.publish());
        }
        Ok(live)
    }

    /// Saves what is not saved yet. Waits for it, but not longer than this.
    pub fn finish(&self, timeout: Duration) {
        if lock(&self.events).is_some() {
            // The thread never ran.
            return;
        }
        let (done, over) = mpsc::channel();
        let done = Box::new(move || {
            // Nobody waits any longer.
            let _ = done.send(());
        });
        if self.sender.send(Event::Finish(done)).is_ok() {
            // A store that takes longer is left as it is.
            let _ = over.recv_timeout(timeout);
        }
    }

    /// The options; none if it is off.
    #[must_use]
    pub fn options(&self) -> Option<LiveOptions> {
        lock(&self.shared.options).clone()
    }

    /// Sets what is in `[allow]`.
    pub fn set_allowed(&self, mut allowed: Vec<Prefix>) {
        allowed.sort_unstable();
        *lock(&self.shared.allowed) = allowed.into();
    }

    /// The entry of `[allow]` that this prefix covers, or that covers it.
    #[must_use]
    pub fn allowed_within(&self, prefix: Prefix) -> Option<Prefix> {
        let allowed = Arc::clone(&lock(&self.shared.allowed));
        let inside = allowed.partition_point(|it| *it < prefix);
        let inside = allowed.get(inside).copied();
        let inside = inside.filter(|it| prefix.contains(it.network()));
        inside.or_else(|| {
            (0..=prefix.len()).rev().find_map(|len| {
                let outer = Prefix::new(prefix.network(), len)?;
                allowed.binary_search(&outer).ok().map(|_| outer)
            })
        })
    }

    /// What workers look up.
    #[must_use]
    pub fn table(&self) -> LiveTable {
        self.shared.table.clone()
    }

    /// The name of this node: that of the host, unless another was set.
    #[must_use]
    pub fn node(&self) -> Arc<str> {
        Arc::clone(&lock(&self.shared.node))
    }

    /// Gives this node a name; decisions that are made from now on have it.
    pub fn set_node(&self, node: Option<&str>) {
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        *lock(&self.shared.node) = node.unwrap_or(&host).into();
    }

    /// Has this called with what this process decides, or nothing any more.
    pub fn on_changes(&self, called: Option<OnChanges>) {
        *lock(&self.shared.on_changes) = called;
    }

    /// How far a process before this one has read the log of the fleet.
    #[must_use]
    pub fn mark(&self) -> Option<String> {
        lock(&self.shared.mark).clone()
    }

    /// Reads the store and starts the thread. `refresh` has idle workers release old snapshots.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub fn start(&self, refresh: impl Fn() + Send + 'static) -> io::Result<()> {
        let Some(events) = lock(&self.events).take() else {
            return Ok(());
        };
        let mut thread = LiveThread {
            shared: Arc::clone(&self.shared),
            store: None,
            path: None,
            retry: None,
            is_ours: true,
            removed: HashSet::new(),
            unmerged: HashMap::new(),
            number: 0,
            retired: Vec::new(),
            swept: Instant::now(),
            private: ip_reputation::private_space()
                .entries()
                .map(|entry| entry.prefix)
                .collect(),
            saved: Instant::now(),
            is_saving: false,
            time: now_micros(),
            refresh: Box::new(refresh),
        };
        thread.configure();
        thread::Builder::new()
            .name("live".into())
            .spawn(move || thread.run(&events))?;
        Ok(())
    }

    /// Requests a change; `done` is called once it is in force on every worker and in the store.
    pub fn apply(&self, request: Request, done: Done) {
        // Without the thread `done` is dropped, which tells as well.
        let _ = self
            .sender
            .send(Event::Apply(Instant::now(), request, done));
    }

    /// What is in force and let through by the filter.
    #[must_use]
    pub fn list(&self, is_wanted: impl Fn(&Decision) -> bool) -> Vec<Decision> {
        let time = now();
        lock(&self.shared.decisions).list(|it| it.until > time && is_wanted(it))
    }

    /// What was made last and is in force, the newest first.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<Decision> {
        lock(&self.shared.decisions).newest(count, now())
    }

    /// What is in force and covers this prefix, or is of exactly this AS or country.
    #[must_use]
    pub fn covering(&self, target: Target) -> Vec<Decision> {
        let time = now();
        let mut found = lock(&self.shared.decisions).covering(target);
        found.retain(|it| it.until > time);
        self.with_imports(found, time)
    }

    /// Has every decision of `CrowdSec` stand for itself, the one that counts first.
    fn with_imports(&self, found: Vec<Decision>, time: u32) -> Vec<Decision> {
        let imports = lock(&self.shared.imports);
        let each = found.into_iter().flat_map(|decision| {
            let of_value = match &*decision.origin {
                ORIGIN_CROWDSEC => imports.of(decision.kind, decision.target, time),
                _ => Vec::new(),
            };
            if of_value.is_empty() {
                return vec![decision];
            }
            let each = of_value.into_iter().map(|it| Decision {
                reason: it.reason().into(),
                until: it.until,
                ..decision.clone()
            });
            each.collect()
        });
        each.collect()
    }

    /// How many decisions have come from `CrowdSec`.
    #[must_use]
    pub fn import_counts(&self) -> ImportCounts {
        lock(&self.shared.imports).counts(now())
    }

    /// What is in force and covers any of these.
    #[must_use]
    pub fn covering_any(&self, targets: impl Iterator<Item = Target>) -> Vec<Decision> {
        targets.flat_map(|target| self.covering(target)).collect()
    }

    /// How many decisions there are of each kind and origin.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(Kind, Arc<str>), u64> {
        lock(&self.shared.decisions).counts()
    }

    /// How long changes took.
    #[must_use]
    pub fn times_to_force(&self) -> TimesToForce {
        *lock(&self.shared.times)
    }

    /// Totals since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let shared = &self.shared;
        let points = lock(&shared.points);
        let (addresses, evicted) = points
            .as_ref()
            .map_or((0, 0), |it| (it.len(), it.evicted()));
        drop(points);
        Counters {
            changes: shared.changes.load(Ordering::Relaxed),
            refused: shared.refused.load(Ordering::Relaxed),
            store_errors: shared.store_errors.load(Ordering::Relaxed),
            stored: !shared.is_behind.load(Ordering::Relaxed),
            addresses: count(addresses),
            evicted,
            behavior_bans: shared.behavior_bans.load(Ordering::Relaxed),
            private_reports: shared.private_reports.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    fn of_crowdsec(&self) -> Vec<Decision> {
        lock(&self.decisions).list(|it| &*it.origin == ORIGIN_CROWDSEC)
    }

    /// Gives workers the tables in use, if they have others. The old ones are returned.
    fn publish(&self) -> Option<Arc<Snapshot>> {
        let mut decisions = lock(&self.decisions);
        let mut points = lock(&self.points);
        let mut is_replaced = decisions.take_replaced();
        if let Some(points) = &mut *points {
            is_replaced |= points.take_replaced();
        } else {
            is_replaced |= self.table.current().has_points();
        }
        is_replaced.then(|| {
            let points = points.as_ref().map(Points::table);
            let (table, lengths) = (decisions.table(), decisions.lengths());
            let snapshot = Snapshot::new(table, lengths, decisions.origins(), points);
            self.table.swap(snapshot)
        })
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

struct LiveThread {
    shared: Arc<Shared>,
    store: Option<Store>,
    path: Option<PathBuf>,
    /// When the store is tried again: it lacks something that is in force.
    retry: Option<Instant>,
    is_ours: bool,
    /// What was unbanned while the store could not be written: its rows about them are outdated.
    removed: HashSet<Target>,
    /// Changes of this process that the fleet may not know yet, with their numbers: of an identity, or of
    /// a value.
    unmerged: HashMap<Changed, u64>,
    /// The number of the last change of this process.
    number: u64,
    retired: Vec<Arc<Snapshot>>,
    swept: Instant,
    refresh: Box<dyn Fn() + Send>,
    private: Vec<Prefix>,
    /// When the last points were saved, and whether there are more to be saved at once.
    saved: Instant,
    is_saving: bool,
    /// The clock, when reports were taken last.
    time: u64,
}

impl LiveThread {
    fn run(mut self, events: &Receiver<Event>) {
        loop {
            let tick = if lock(&self.shared.points).is_some() {
                REPORT_TICK
            } else {
                TICK
            };
            match events.recv_timeout(tick) {
                Ok(Event::Finish(done)) => {
                    self.finish();
                    done();
                }
                Ok(event) => self.group(event, events),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.take_reports();
            self.follow_store();
            self.save_points();
            self.sweep();
            self.free_retired();
            if self.retry.is_some_and(|at| at <= Instant::now()) {
                self.restore();
            }
        }
    }

    /// Applies a request and those that wait behind it, and confirms them together.
    fn group(&mut self, first: Event, events: &Receiver<Event>) {
        let mut changes = Vec::new();
        let mut outcomes = Vec::new();
        let mut is_configured = false;
        let mut finish = None;
        let more = core::iter::from_fn(|| events.try_recv().ok());
        for event in core::iter::once(first).chain(more).take(GROUP_MAX) {
            match event {
                Event::Configured => is_configured = true,
                Event::Finish(done) => finish = Some(done),
                Event::Apply(at, request, done) => {
                    outcomes.push((at, self.change(request, &mut changes), done));
                }
            }
        }
        if is_configured {
            self.configure();
        }
        self.publish();
        {
            let mut times = lock(&self.shared.times);
            for (at, ..) in outcomes.iter().filter(|(_, outcome, _)| outcome.is_ok()) {
                times.add(at.elapsed());
            }
        }
        let stored = self.put_in_force(&changes);
        for (_, outcome, done) in outcomes {
            done(outcome.map(|count| Applied { count, stored }));
        }
        if let Some(done) = finish {
            self.finish();
            done();
        }
    }

    /// Publishes changes and writes them; whether they survive a restart.
    fn put_in_force(&mut self, changes: &[Change]) -> bool {
        self.publish();
        let stored = self.write(changes);
        let made = count(changes.len());
        self.shared.changes.fetch_add(made, Ordering::Relaxed);
        stored
    }

    fn change(&mut self, request: Request, changes: &mut Vec<Change>) -> Result<usize, ApplyError> {
        if lock(&self.shared.options).is_none() {
            return Err(ApplyError::Disabled);
        }
        let before = changes.len();
        match request {
            Request::Put(batch) => self.put(batch, changes)?,
            Request::Remove(target) => {
                let removed = lock(&self.shared.decisions).remove(target);
                target
                    .prefix()
                    .into_iter()
                    .for_each(|it| self.forget_points(it));
                if self.path.is_some() {
                    self.removed.insert(target);
                }
                changes.extend(removed.into_iter().map(Change::Remove));
                let lifted = lock(&self.shared.imports).lift(target);
                changes.extend(lifted.into_iter().map(Change::PutImported));
                self.changed_here(LocalChange::Removed(target));
            }
            Request::RemoveOf(target, origin) => self.remove_of(target, &origin, changes),
            Request::Import(import) => self.import(import, changes),
            Request::Report(reports) => {
                let bans = self.add_points(&reports);
                self.ban(bans, changes);
            }
            Request::Merge(known, merges) => {
                self.unmerged.retain(|_, number| *number > known);
                self.merge(merges, changes);
            }
        }
        let made = changes.iter().skip(before);
        let made = made.filter(|it| matches!(it, Change::Put(_) | Change::Remove(_)));
        Ok(made.count())
    }

    /// Reports what this process has decided.
    fn changed_here(&mut self, change: LocalChange<'_>) {
        let on_changes = lock(&self.shared.on_changes);
        let Some(called) = &*on_changes else {
            self.unmerged.clear();
            return;
        };
        self.number += 1;
        match change {
            LocalChange::Put(batch) => {
                for it in batch.iter().filter(|it| *it.origin != *ORIGIN_CROWDSEC) {
                    let identity = Some((it.kind, Arc::clone(&it.origin)));
                    self.unmerged.insert((it.target, identity), self.number);
                }
            }
            LocalChange::Removed(target) => {
                self.unmerged.insert((target, None), self.number);
            }
        }
        called(self.number, change);
    }

    /// Whether this process has changed something that who sends a merge does not know yet.
    fn is_unmerged(&self, target: Target, kind: Kind, origin: &Arc<str>) -> bool {
        if self.unmerged.is_empty() {
            return false;
        }
        let identity = Some((kind, Arc::clone(origin)));
        [None, identity]
            .into_iter()
            .any(|it| self.unmerged.contains_key(&(target, it)))
    }

    /// Takes over what other nodes have decided.
    fn merge(&mut self, merges: Vec<Merge>, changes: &mut Vec<Change>) {
        let mut refused = 0;
        for merge in merges {
            match merge {
                Merge::Put(it) if self.is_unmerged(it.target, it.kind, &it.origin) => {}
                Merge::Drop(kind, target, origin) if self.is_unmerged(target, kind, &origin) => {}
                Merge::Put(decision) => refused += u64::from(!self.take_over(decision, changes)),
                Merge::Drop(kind, target, origin) => {
                    self.end_where(target, changes, |it| it.kind == kind && it.origin == origin);
                }
                Merge::Lift(target, at) => {
                    self.end_where(target, changes, |it| {
                        it.origin.as_ref() == ORIGIN_CROWDSEC && it.created <= at
                    });
                    let lifted = lock(&self.shared.imports).lift(target);
                    changes.extend(lifted.into_iter().map(Change::PutImported));
                    target
                        .prefix()
                        .into_iter()
                        .for_each(|it| self.forget_points(it));
                }
                Merge::Mark(mark) => {
                    let written = core::mem::take(changes);
                    let stored = self.put_in_force(&written);
                    let store = self.store.as_mut().filter(|_| stored);
                    if let Some(Err(error)) = store.map(|it| it.set_mark(&mark)) {
                        self.store_failed(&error);
                    }
                }
            }
        }
        if refused > 0 {
            self.shared.refused.fetch_add(refused, Ordering::Relaxed);
            let hint = "raise max-decisions in [live]";
            warn!(count = refused, hint, "fleet decisions rejected");
        }
    }

    /// Whether there was room.
    fn take_over(&self, decision: Decision, changes: &mut Vec<Change>) -> bool {
        let mut decisions = lock(&self.shared.decisions);
        let one = core::slice::from_ref(&decision);
        if decisions.room_for(one).is_err() {
            decisions.expire(now());
            if decisions.room_for(one).is_err() {
                return false;
            }
        }
        decisions.put(&decision);
        changes.push(Change::Put(decision));
        true
    }

    fn end_where(
        &mut self,
        target: Target,
        changes: &mut Vec<Change>,
        is_over: impl Fn(&Decision) -> bool,
    ) {
        let mut decisions = lock(&self.shared.decisions);
        let found = decisions.covering(target).into_iter();
        let found = found.filter(|it| it.target == target && is_over(it));
        for decision in found {
            if self.path.is_some() {
                self.removed.insert(target);
            }
            decisions.remove_one(decision.target, decision.kind, &decision.origin);
            changes.push(Change::Remove(decision));
        }
    }

    fn put(&mut self, batch: Vec<Decision>, changes: &mut Vec<Change>) -> Result<(), ApplyError> {
        let mut decisions = lock(&self.shared.decisions);
        if decisions.room_for(&batch).is_err() {
            decisions.expire(now());
        }
        if let Err(full) = decisions.room_for(&batch) {
            let count = count(batch.len());
            self.shared.refused.fetch_add(count, Ordering::Relaxed);
            warn!(count, error = %full, "decisions rejected");
            return Err(ApplyError::Full(full.to_string()));
        }
        for decision in &batch {
            decisions.put(decision);
        }
        drop(decisions);
        self.changed_here(LocalChange::Put(&batch));
        changes.extend(batch.into_iter().map(Change::Put));
        Ok(())
    }

    fn remove_of(&mut self, target: Target, origin: &str, changes: &mut Vec<Change>) {
        let mut ended = Vec::new();
        let mut decisions = lock(&self.shared.decisions);
        for kind in Kind::ALL {
            if let Some(known) = decisions.one(target, kind, origin) {
                decisions.remove_one(target, kind, origin);
                ended.push(known.clone());
                changes.push(Change::Remove(known));
            }
        }
        drop(decisions);
        // To other nodes it is a decision that is over.
        let time = now();
        let ended: Vec<_> = ended
            .into_iter()
            .map(|it| Decision { until: time, ..it })
            .collect();
        if !ended.is_empty() {
            self.changed_here(LocalChange::Put(&ended));
        }
        if self.store.is_some() {
            // Should it lag behind, what is in force of this value is written again.
            self.removed.insert(target);
        }
    }

    /// Follows `CrowdSec`: of several decisions about a value the table has the one that counts.
    fn import(&self, import: Import, changes: &mut Vec<Change>) {
        let time = now();
        let is_all = import.is_all;
        let mut touched = lock(&self.shared.imports).apply(import, time);
        if is_all {
            // What another process has left behind as well.
            let known = self.shared.of_crowdsec();
            let values = known.iter().map(|it| (it.kind, it.target));
            touched.values.extend(values);
        }
        let put = touched.put.into_iter().map(Change::PutImported);
        let removed = touched.removed.into_iter().map(Change::RemoveImported);
        changes.extend(put.chain(removed));
        let mut refused = 0;
        for (kind, target) in touched.values {
            refused += u64::from(!self.count_import(kind, target, time, changes));
        }
        if refused > 0 {
            self.shared.refused.fetch_add(refused, Ordering::Relaxed);
            let hint = "raise max-decisions in [live]";
            warn!(count = refused, hint, "crowdsec decisions rejected");
        }
    }

    /// Puts into the table what counts of one type and value. Whether there is room.
    fn count_import(
        &self,
        kind: Kind,
        target: Target,
        time: u32,
        changes: &mut Vec<Change>,
    ) -> bool {
        let imports = lock(&self.shared.imports);
        let first = imports.of(kind, target, time).first().map(|it| Decision {
            kind,
            target,
            origin: ORIGIN_CROWDSEC.into(),
            reason: it.reason().into(),
            node: Arc::clone(&lock(&self.shared.node)),
            created: time,
            until: it.until,
        });
        drop(imports);
        let mut decisions = lock(&self.shared.decisions);
        let known = decisions.one(target, kind, ORIGIN_CROWDSEC);
        match (first, known) {
            (None, None) => {}
            (None, Some(known)) => {
                decisions.remove_one(target, kind, ORIGIN_CROWDSEC);
                changes.push(Change::Remove(known));
            }
            (Some(first), Some(known))
                if (&first.reason, first.until) == (&known.reason, known.until) => {}
            (Some(first), _) => {
                if decisions.room_for(core::slice::from_ref(&first)).is_err() {
                    return false;
                }
                decisions.put(&first);
                changes.push(Change::Put(first));
            }
        }
        true
    }

    /// An unban of an address, or of what an IPv6 address stands for, sets its points to 0.
    fn forget_points(&self, prefix: Prefix) {
        let ipv6 = lock(&self.shared.options)
            .as_ref()
            .map_or(64, |it| it.ipv6_prefix.min(64));
        let is_one = match prefix {
            Prefix::V4 { len, .. } => len == 32,
            Prefix::V6 { len, .. } => len >= ipv6,
        };
        if let Some(points) = &mut *lock(&self.shared.points)
            && is_one
        {
            points.forget(prefix);
        }
    }

    /// Takes what workers have reported since, and bans who has crossed `ban-at`.
    fn take_reports(&mut self) {
        let reports = lock(&self.shared.reports);
        let Some(receiver) = reports.as_ref().map(|(_, receiver)| Arc::clone(receiver)) else {
            return;
        };
        drop(reports);
        let at = now_micros();
        let receiver = lock(&receiver);
        let reports = receiver.try_iter().take(REPORTS_MAX);
        let reports = reports.map(|report| PointsReport {
            prefix: report.network().prefix(),
            points: report.points,
            reason: report.reason().into(),
            at,
        });
        let reports: Vec<_> = reports.collect();
        drop(receiver);
        self.mend_time(at);
        if reports.is_empty() {
            return;
        }
        let bans = self.add_points(&reports);
        if let Some(called) = &*lock(&self.shared.on_reports) {
            called(&reports);
        }
        let mut changes = Vec::new();
        self.ban(bans, &mut changes);
        if !changes.is_empty() {
            self.put_in_force(&changes);
        }
    }

    /// A clock that was set back must not make old points worth more.
    fn mend_time(&mut self, time: u64) {
        let back = self.time.saturating_sub(time);
        self.time = time;
        if back > STEP_MIN_US
            && let Some(points) = &mut *lock(&self.shared.points)
        {
            points.shift(back, time);
        }
    }

    /// Adds points; who has crossed `ban-at`.
    fn add_points(&self, reports: &[PointsReport]) -> Vec<Decision> {
        let options = lock(&self.shared.options).clone();
        let mut points = lock(&self.shared.points);
        let options = options.and_then(|it| it.behavior);
        let (Some(options), Some(points)) = (options, &mut *points) else {
            return Vec::new();
        };
        let ban_at = f64::from(options.ban_at);
        let time = now_micros();
        let mut bans = Vec::new();
        for report in reports {
            let address = report.prefix.network();
            if options.ignore_private && self.private.iter().any(|it| it.contains(address)) {
                self.shared.private_reports.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let (network, count) = (Network::of(report.prefix), report.points);
            let added = points.add(network, count, &report.reason, report.at, time);
            // As everybody sees them: rounded.
            if let Some(added) = added
                && added.before.round() < ban_at
                && added.after.round() >= ban_at
            {
                bans.push(self.ban_of(report, added.after, &options));
            }
        }
        bans
    }

    fn ban_of(&self, report: &PointsReport, points: f64, options: &BehaviorOptions) -> Decision {
        let reason = if report.reason.is_empty() {
            format!("{points:.0} points")
        } else {
            format!("{points:.0} points: {}", report.reason)
        };
        let created = now();
        let seconds = options.ban_duration.max(Duration::from_secs(1)).as_secs();
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        Decision {
            kind: Kind::Ban,
            target: report.prefix.into(),
            origin: ORIGIN_BEHAVIOR.into(),
            reason: reason.into(),
            node: Arc::clone(&lock(&self.shared.node)),
            created,
            until: created.saturating_add(seconds),
        }
    }

    /// Bans one at a time: at the limit the others still are.
    fn ban(&mut self, bans: Vec<Decision>, changes: &mut Vec<Change>) {
        for ban in bans {
            let (value, reason) = (ban.target, Arc::clone(&ban.reason));
            if self.put(vec![ban], changes).is_ok() {
                self.shared.behavior_bans.fetch_add(1, Ordering::Relaxed);
                info!(%value, reason = &*reason, "behavior ban");
            }
        }
    }

    fn publish(&mut self) {
        self.retired.extend(self.shared.publish());
    }

    /// A file that was removed or replaced has nothing of what is in force: it is begun again at once.
    fn notice_replaced(&mut self) {
        let (Some(store), Some(path)) = (&self.store, &self.path) else {
            return;
        };
        if store.is_replaced(path) {
            let shown = path.display();
            warn!(store = %shown, hint = "it is written again", "store replaced");
            self.store = None;
            self.shared.is_behind.store(true, Ordering::Relaxed);
            if let Some(points) = &mut *lock(&self.shared.points) {
                points.track(false);
            }
            self.restore();
        }
    }

    /// Takes over what another process has written to the same store: during a takeover there are two.
    fn follow_store(&mut self) {
        self.notice_replaced();
        let Some(store) = &mut self.store else {
            return;
        };
        match store.follow(now()) {
            Ok(None) => {}
            Ok(Some(written)) => {
                let mut decisions = lock(&self.shared.decisions);
                for it in &written.removals {
                    decisions.remove_one(it.target, it.kind, &it.origin);
                }
                for decision in &written.decisions {
                    decisions.put(decision);
                }
                drop(decisions);
                self.publish();
            }
            Err(error) => self.store_failed(&error),
        }
    }

    /// Saves points every few seconds, a bounded number at a time.
    fn save_points(&mut self) {
        if self.saved.elapsed() < SAVE_INTERVAL && !self.is_saving {
            return;
        }
        self.is_saving = self.save_some_points();
        if !self.is_saving {
            self.saved = Instant::now();
        }
    }

    /// Whether there are more.
    fn save_some_points(&mut self) -> bool {
        let Some(store) = &mut self.store else {
            return false;
        };
        if self.shared.is_behind.load(Ordering::Relaxed) {
            return false;
        }
        let mut points = lock(&self.shared.points);
        let Some(of) = points.as_mut().filter(|it| it.has_unsaved()) else {
            return false;
        };
        let (gone, changed) = of.take_unsaved(SAVED_MAX, now_micros());
        let has_more = of.has_unsaved();
        drop(points);
        if let Err(error) = store.save_points(&gone, &changed, now()) {
            self.store_failed(&error);
            return false;
        }
        has_more
    }

    /// Saves everything and closes the store.
    fn finish(&mut self) {
        self.take_reports();
        while self.save_some_points() {}
        if self.store.take().is_some() {
            // What somebody still requests ends with the process.
            self.shared.is_behind.store(true, Ordering::Relaxed);
        }
    }

    fn sweep(&mut self) {
        if self.swept.elapsed() < SWEEP_INTERVAL {
            return;
        }
        self.swept = Instant::now();
        let time = now();
        if let Some(points) = &mut *lock(&self.shared.points) {
            points.sweep(now_micros());
        }
        let imports = lock(&self.shared.imports).expire(time);
        if lock(&self.shared.decisions).expire(time) + imports == 0 {
            return;
        }
        let expired = self.store.as_mut().map(|store| store.expire(time));
        if let Some(Err(error)) = expired {
            self.store_failed(&error);
        }
    }

    /// Frees snapshots that no worker has any more.
    fn free_retired(&mut self) {
        self.retired.retain(|it| Arc::strong_count(it) > 1);
        if !self.retired.is_empty() {
            (self.refresh)();
        }
    }

    /// Follows the options: another store, or none.
    fn configure(&mut self) {
        let options = lock(&self.shared.options).clone();
        let path = options.as_ref().and_then(LiveOptions::store_path);
        if options.is_some() && path.is_none() {
            let hint = "set store in [live], or StateDirectory= in the unit";
            warn!(hint, "decisions not persistent");
        }
        self.publish();
        if path == self.path {
            return;
        }
        self.path = path;
        self.is_ours = true;
        self.store = None;
        self.retry = None;
        self.removed.clear();
        self.shared.is_behind.store(false, Ordering::Relaxed);
        self.restore();
    }

    /// Opens the store if it is not open, and brings it up to date.
    fn restore(&mut self) {
        self.retry = None;
        let Some(path) = self.path.clone().filter(|_| self.is_ours) else {
            return;
        };
        let shown = path.display();
        let was_behind = self.shared.is_behind.load(Ordering::Relaxed);
        if self.store.is_none() {
            match Store::open(&path, now()) {
                Ok(opened) => {
                    if let Some(aside) = opened.set_aside {
                        let aside = aside.display();
                        error!(store = %shown, moved_to = %aside, "store damaged");
                    }
                    let (decisions, points) = (
                        opened.contents.decisions.len(),
                        opened.contents.points.len(),
                    );
                    info!(store = %shown, decisions, points, "store opened");
                    self.take_contents(&opened.contents);
                    lock(&self.shared.mark).clone_from(&opened.contents.mark);
                    self.store = Some(opened.store);
                    self.publish();
                }
                Err(error) if error.is_not_ours() => {
                    self.is_ours = false;
                    self.shared.is_behind.store(true, Ordering::Relaxed);
                    error!(store = %shown, %error, "store not used");
                    return;
                }
                Err(error) => return self.store_failed(&error),
            }
        }
        if !was_behind {
            self.removed.clear();
            return;
        }
        let all = lock(&self.shared.decisions).list(|_| true);
        let removed = &self.removed;
        let store = self.store.as_mut();
        let imports: Vec<_> = lock(&self.shared.imports).all().cloned().collect();
        let written =
            store.map(|store| store.bring_up_to_date(removed.iter(), &all, &imports, now()));
        if let Some(Err(error)) = written {
            return self.store_failed(&error);
        }
        self.removed.clear();
        self.shared.is_behind.store(false, Ordering::Relaxed);
        if let Some(points) = &mut *lock(&self.shared.points) {
            points.track(true);
            points.mark_all();
        }
        info!(store = %shown, "store recovered");
    }

    /// Puts in force what a store has. What was decided while it was not open is newer than its rows.
    fn take_contents(&self, contents: &Contents) {
        let mut decisions = lock(&self.shared.decisions);
        decisions.reserve(contents.decisions.len());
        for decision in &contents.decisions {
            if !self.removed.contains(&decision.target) && !decisions.holds(decision) {
                decisions.put(decision);
            }
        }
        drop(decisions);
        lock(&self.shared.imports).restore(&contents.imports);
        if let Some(points) = &mut *lock(&self.shared.points) {
            points.track(true);
            let time = now_micros();
            for it in &contents.points {
                if !self.removed.contains(&it.prefix.into()) {
                    points.restore(it.prefix, it.points, &it.reason, it.updated, time);
                }
            }
        }
    }

    /// Writes changes; whether they survive a restart.
    fn write(&mut self, changes: &[Change]) -> bool {
        if self.shared.is_behind.load(Ordering::Relaxed) {
            return false;
        }
        if !changes.is_empty() {
            self.notice_replaced();
        }
        let written = match &mut self.store {
            Some(store) if !changes.is_empty() => store.write(changes, now()),
            _ => Ok(()),
        };
        if let Err(error) = written {
            self.store_failed(&error);
            return false;
        }
        self.removed.clear();
        true
    }

    /// Logs the first failure of several, and tries again later.
    fn store_failed(&mut self, error: &StoreError) {
        self.shared.store_errors.fetch_add(1, Ordering::Relaxed);
        self.retry = Some(Instant::now() + STORE_RETRY);
        if error.is_corrupt() {
            // Opened again, it is set aside.
            self.store = None;
        }
        if let Some(points) = &mut *lock(&self.shared.points) {
            points.track(false);
        }
        if !self.shared.is_behind.swap(true, Ordering::Relaxed) {
            let hint = "decisions are kept in memory; the write is retried";
            warn!(%error, hint, "store write failed");
        }
    }
}
