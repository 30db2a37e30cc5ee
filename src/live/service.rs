//! The thread that changes decisions, and the handle that everybody else has.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use std::{io, thread};

use ip_reputation::Prefix;
use tracing::{error, info, warn};

use super::decisions::Decisions;
use super::store::{Store, StoreError};
use super::{Change, Decision, Kind, LiveOptions, LiveTable, Snapshot};
use crate::host::now;

/// How often expired decisions and old snapshots are looked for.
const TICK: Duration = Duration::from_millis(500);
/// The shortest time between two sweeps of all decisions.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// How long after a failure the store is tried again.
const STORE_RETRY: Duration = Duration::from_secs(5);
/// Requests that are written to the store in one transaction.
const GROUP_MAX: usize = 1024;

/// A change of decisions.
#[derive(Debug)]
pub enum Request {
    /// Makes these decisions, all or none.
    Put(Vec<Decision>),
    /// Removes every decision of exactly this prefix.
    Remove(Prefix),
}

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

/// Called with the outcome, on the live thread, once it is in force and stored.
pub type Done = Box<dyn FnOnce(Result<Applied, ApplyError>) + Send>;

enum Event {
    Apply(Request, Done),
    Configured,
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
}

#[derive(Debug)]
struct Shared {
    decisions: Mutex<Decisions>,
    table: LiveTable,
    options: Mutex<Option<LiveOptions>>,
    allowed: Mutex<Arc<[Prefix]>>,
    node: Arc<str>,
    changes: AtomicU64,
    refused: AtomicU64,
    store_errors: AtomicU64,
    is_behind: AtomicBool,
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
            table: LiveTable::default(),
            options: Mutex::default(),
            allowed: Mutex::new(Arc::new([])),
            node: node.nodename().to_string_lossy().into(),
            changes: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            store_errors: AtomicU64::new(0),
            is_behind: AtomicBool::new(false),
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
        *lock(&self.shared.options) = options.cloned();
        // Before the thread runs it is told by the options themselves.
        let _ = self.sender.send(Event::Configured);
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

    /// The name of this host.
    #[must_use]
    pub fn node(&self) -> Arc<str> {
        Arc::clone(&self.shared.node)
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
            retired: Vec::new(),
            swept: Instant::now(),
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
        let _ = self.sender.send(Event::Apply(request, done));
    }

    /// What is in force and let through by the filter.
    #[must_use]
    pub fn list(&self, is_wanted: impl Fn(&Decision) -> bool) -> Vec<Decision> {
        let time = now();
        lock(&self.shared.decisions).list(|it| it.until > time && is_wanted(it))
    }

    /// What is in force and covers this prefix.
    #[must_use]
    pub fn covering(&self, prefix: Prefix) -> Vec<Decision> {
        let time = now();
        let mut found = lock(&self.shared.decisions).covering(prefix);
        found.retain(|it| it.until > time);
        found
    }

    /// How many decisions there are of each kind and origin.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(Kind, Arc<str>), u64> {
        lock(&self.shared.decisions).counts()
    }

    /// Totals since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let shared = &self.shared;
        Counters {
            changes: shared.changes.load(Ordering::Relaxed),
            refused: shared.refused.load(Ordering::Relaxed),
            store_errors: shared.store_errors.load(Ordering::Relaxed),
            stored: !shared.is_behind.load(Ordering::Relaxed),
        }
    }
}

struct LiveThread {
    shared: Arc<Shared>,
    store: Option<Store>,
    path: Option<PathBuf>,
    /// When the store is tried again: it lacks something that is in force.
    retry: Option<Instant>,
    is_ours: bool,
    /// Prefixes that were unbanned while the store was not open: its rows about them are outdated.
    removed: HashSet<Prefix>,
    retired: Vec<Arc<Snapshot>>,
    swept: Instant,
    refresh: Box<dyn Fn() + Send>,
}

impl LiveThread {
    fn run(mut self, events: &Receiver<Event>) {
        loop {
            match events.recv_timeout(TICK) {
                Ok(event) => self.group(event, events),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
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
        let more = core::iter::from_fn(|| events.try_recv().ok());
        for event in core::iter::once(first).chain(more).take(GROUP_MAX) {
            match event {
                Event::Configured => is_configured = true,
                Event::Apply(request, done) => {
                    outcomes.push((self.change(request, &mut changes), done));
                }
            }
        }
        if is_configured {
            self.configure();
        }
        self.publish();
        let stored = self.write(&changes);
        let count = u64::try_from(changes.len()).unwrap_or(u64::MAX);
        self.shared.changes.fetch_add(count, Ordering::Relaxed);
        for (outcome, done) in outcomes {
            done(outcome.map(|count| Applied { count, stored }));
        }
    }

    fn change(&mut self, request: Request, changes: &mut Vec<Change>) -> Result<usize, ApplyError> {
        if lock(&self.shared.options).is_none() {
            return Err(ApplyError::Disabled);
        }
        let mut decisions = lock(&self.shared.decisions);
        let before = changes.len();
        match request {
            Request::Put(batch) => {
                if decisions.room_for(&batch).is_err() {
                    decisions.expire(now());
                }
                if let Err(full) = decisions.room_for(&batch) {
                    let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
                    self.shared.refused.fetch_add(count, Ordering::Relaxed);
                    warn!(count, "decisions refused: {full}");
                    return Err(ApplyError::Full(full.to_string()));
                }
                for decision in batch {
                    decisions.put(&decision);
                    changes.push(Change::Put(decision));
                }
            }
            Request::Remove(prefix) => {
                if self.store.is_none() && self.path.is_some() {
                    self.removed.insert(prefix);
                }
                changes.extend(decisions.remove(prefix).into_iter().map(Change::Remove));
            }
        }
        Ok(changes.len() - before)
    }

    fn publish(&mut self) {
        let snapshot = lock(&self.shared.decisions).publish();
        if let Some(snapshot) = snapshot {
            self.retired.push(self.shared.table.swap(snapshot));
        }
    }

    fn sweep(&mut self) {
        if self.swept.elapsed() < SWEEP_INTERVAL {
            return;
        }
        self.swept = Instant::now();
        let time = now();
        let over = lock(&self.shared.decisions).expire(time);
        if over == 0 {
            return;
        }
        self.publish();
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
            warn!(
                "live decisions are in memory only and end with the process; set store in [live], \
                 or StateDirectory= in the unit"
            );
        }
        if path == self.path {
            return;
        }
        self.path = path;
        self.is_ours = true;
        self.store = None;
        self.retry = None;
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
                        error!(store = %shown, "the store {shown} is damaged; moved to {aside}, a new one begun");
                    }
                    info!(store = %shown, decisions = opened.decisions.len(), "store {shown} opened, {} decisions", opened.decisions.len());
                    let mut decisions = lock(&self.shared.decisions);
                    // What was decided while the store was not open is newer than its rows.
                    for decision in &opened.decisions {
                        if !self.removed.contains(&decision.prefix) && !decisions.holds(decision) {
                            decisions.put(decision);
                        }
                    }
                    self.removed.clear();
                    drop(decisions);
                    self.store = Some(opened.store);
                    self.publish();
                }
                Err(error @ StoreError::NotOurs(_)) => {
                    self.is_ours = false;
                    self.shared.is_behind.store(true, Ordering::Relaxed);
                    error!(store = %shown, "store {shown} not used, decisions are in memory only: {error}");
                    return;
                }
                #[cfg(feature = "live-store")]
                Err(error) => return self.store_failed(&error),
            }
        }
        if !was_behind {
            return;
        }
        let all = lock(&self.shared.decisions).list(|_| true);
        let written = self.store.as_mut().map(|store| store.replace(&all));
        if let Some(Err(error)) = written {
            return self.store_failed(&error);
        }
        self.shared.is_behind.store(false, Ordering::Relaxed);
        info!(store = %shown, "store {shown} written again; decisions survive a restart");
    }

    /// Writes changes; whether they survive a restart.
    fn write(&mut self, changes: &[Change]) -> bool {
        if self.shared.is_behind.load(Ordering::Relaxed) {
            return false;
        }
        let written = match &mut self.store {
            Some(store) if !changes.is_empty() => store.write(changes),
            _ => Ok(()),
        };
        if let Err(error) = written {
            self.store_failed(&error);
            return false;
        }
        true
    }

    /// Logs the first failure of several, and tries again later.
    fn store_failed(&mut self, error: &StoreError) {
        self.shared.store_errors.fetch_add(1, Ordering::Relaxed);
        self.retry = Some(Instant::now() + STORE_RETRY);
        if !self.shared.is_behind.swap(true, Ordering::Relaxed) {
            warn!(
                "store cannot be written, decisions go on in memory and are written later: {error}"
            );
        }
    }
}
