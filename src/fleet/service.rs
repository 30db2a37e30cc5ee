//! The thread "fleet": it connects, takes what this node decides to the log, and hands what others decide to
//! the live thread. Nobody waits for it but itself.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use std::{io, thread};

use tracing::{error, info, warn};

use super::entry::{Defaults, Key, LogId, Micros, Record, SECOND};
use super::link::{LinkError, Seen, Store};
use super::node::{Effect, Mark, Node, NodeOptions, Notice, Totals};
use super::options::FleetOptions;
use super::status::{FleetNode, FleetStatus};
use crate::host::now_micros;
use crate::live::{
    Decision, Live, LiveOptions, LocalChange, Merge, ORIGIN_CROWDSEC, PointsReport, Request, Target,
};

/// Changes on their way from the live thread.
const CHANNEL_LEN: usize = 65_536;
/// Events between two turns.
const EVENTS_MAX: usize = 4096;
/// The first wait after a failure.
const MIN_BACKOFF: Duration = Duration::from_millis(250);
/// The longest wait if the server is gone: it has to be found soon when it is back.
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// The longest wait if somebody has to change something.
const MAX_BACKOFF_WRONG: Duration = Duration::from_secs(15);
/// The longest sleep, so that options are followed.
const MAX_SLEEP: Duration = Duration::from_millis(500);
/// What is handed to the live thread at once.
const MERGE_MAX: usize = 2000;
/// How often the position is stored.
const MARK_INTERVAL: Duration = Duration::from_secs(5);
/// How often the nodes are looked at: the more there are, the less.
const NODES_INTERVAL: Duration = Duration::from_secs(3);
/// The longest time between two looks.
const MAX_NODES_INTERVAL: Duration = Duration::from_secs(60);
/// The shortest time between two lines about entries that are skipped.
const GARBAGE_INTERVAL: Duration = Duration::from_secs(10);

enum Event {
    Put(Vec<Decision>),
    Removed(Target),
    Reports(Vec<PointsReport>),
    Configured,
}

#[derive(Default)]
struct Shared {
    options: Mutex<Option<FleetOptions>>,
    status: Mutex<Option<FleetStatus>>,
    /// Changes did not fit into the channel.
    is_overflowed: AtomicBool,
    /// The number of the last change on its way.
    number: AtomicU64,
}

/// The fleet of this process. A clone is the same one.
#[derive(Clone)]
pub struct Fleet {
    shared: Arc<Shared>,
    live: Live,
    sender: SyncSender<Event>,
    events: Arc<Mutex<Option<Receiver<Event>>>>,
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fleet {
    /// No fleet, for these live decisions.
    #[must_use]
    pub fn new(live: Live) -> Self {
        let (sender, events) = mpsc::sync_channel(CHANNEL_LEN);
        Self {
            shared: Arc::default(),
            live,
            sender,
            events: Arc::new(Mutex::new(Some(events))),
        }
    }

    /// Sets the options; `None` leaves the fleet.
    pub fn configure(&self, options: Option<&FleetOptions>) {
        let node = options.and_then(|it| it.node.as_deref());
        self.live.set_node(node);
        *lock(&self.shared.options) = options.cloned();
        // If the channel is full, the thread looks at the options soon.
        let _ = self.sender.try_send(Event::Configured);
    }

    /// How it is; none without `[fleet]`.
    #[must_use]
    pub fn status(&self) -> Option<FleetStatus> {
        lock(&self.shared.status).clone()
    }

    /// Starts the thread, once live decisions have been read from their store.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub fn start(&self) -> io::Result<()> {
        let Some(events) = lock(&self.events).take() else {
            return Ok(());
        };
        let thread = FleetThread {
            shared: Arc::clone(&self.shared),
            live: self.live.clone(),
            sender: self.sender.clone(),
            member: None,
            in_use: None,
        };
        thread::Builder::new()
            .name("fleet".into())
            .spawn(move || thread.run(&events))?;
        Ok(())
    }
}

struct FleetThread {
    shared: Arc<Shared>,
    live: Live,
    sender: SyncSender<Event>,
    member: Option<Member>,
    in_use: Option<(FleetOptions, Option<LiveOptions>)>,
}

impl FleetThread {
    fn run(mut self, events: &Receiver<Event>) {
        loop {
            let sleep = self.member.as_ref().map_or(MAX_SLEEP, Member::sleep);
            let first = match events.recv_timeout(sleep) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // What is sent from now on has a higher number.
            let known = self.shared.number.load(Ordering::Acquire);
            let more = core::iter::from_fn(|| events.try_recv().ok()).take(EVENTS_MAX);
            let events: Vec<_> = first.into_iter().chain(more).collect();
            let is_all = events.len() < EVENTS_MAX;
            self.follow_options();
            let Some(member) = &mut self.member else {
                continue;
            };
            for event in events {
                member.take(event);
            }
            if is_all {
                member.known = known;
            }
            if self.shared.is_overflowed.swap(false, Ordering::Relaxed) {
                member.catch_up(&self.live);
            }
            member.turn(&self.live);
            *lock(&self.shared.status) = Some(member.status());
        }
    }

    /// Joins, leaves, or joins again with other options.
    fn follow_options(&mut self) {
        let options = lock(&self.shared.options).clone();
        let live = self.live.options();
        let wanted = options.filter(|_| live.is_some()).map(|it| (it, live));
        if wanted == self.in_use {
            return;
        }
        let is_same = match (&wanted, &self.in_use) {
            (Some((new, _)), Some((old, _))) => new == old,
            _ => false,
        };
        if let (true, Some((_, Some(live))), Some(member)) = (is_same, &wanted, &mut self.member) {
            member.node.configure(defaults(live), half_life(live));
            self.in_use = wanted;
            return;
        }
        self.member = None;
        self.in_use.clone_from(&wanted);
        let Some((options, Some(live_options))) = wanted else {
            self.live.on_changes(None);
            *lock(&self.shared.status) = None;
            return;
        };
        self.listen();
        self.member = Some(Member::new(options, &live_options, &self.live));
    }

    /// Has the live thread report what it decides.
    fn listen(&self) {
        let (shared, sender) = (Arc::clone(&self.shared), self.sender.clone());
        let send = move |event| {
            if sender.try_send(event).is_err() {
                shared.is_overflowed.store(true, Ordering::Relaxed);
            }
        };
        let shared = Arc::clone(&self.shared);
        let send_change = send.clone();
        self.live.on_changes(Some(Box::new(move |number, change| {
            match change {
                LocalChange::Put(batch) => {
                    let shared = batch.iter().filter(|it| *it.origin != *ORIGIN_CROWDSEC);
                    let batch: Vec<_> = shared.cloned().collect();
                    if !batch.is_empty() {
                        send_change(Event::Put(batch));
                    }
                }
                LocalChange::Removed(target) => send_change(Event::Removed(target)),
            }
            shared.number.store(number, Ordering::Release);
        })));
        self.live.on_reports(Box::new(move |reports| {
            send(Event::Reports(reports.to_vec()));
        }));
    }
}

fn defaults(live: &LiveOptions) -> Defaults {
    Defaults {
        duration: live.default_duration,
        ipv6_prefix: live.ipv6_prefix,
    }
}

fn half_life(live: &LiveOptions) -> Duration {
    let behavior = live.behavior.as_ref();
    behavior.map_or(Duration::from_mins(10), |it| it.half_life)
}

/// Membership in a fleet: the node and its connection.
struct Member {
    options: FleetOptions,
    node: Node,
    name: Arc<str>,
    store: Option<Store>,
    /// Local changes up to this number are known.
    known: u64,
    error: Option<LinkError>,
    outage: Option<Instant>,
    backoff: Duration,
    retry: Instant,
    connects: u64,
    nodes: Vec<Seen>,
    nodes_read: Option<Instant>,
    marked: Instant,
    last_mark: Option<String>,
    garbage_logged: Option<Instant>,
    garbage_unlogged: u64,
}

impl Member {
    fn new(options: FleetOptions, live_options: &LiveOptions, live: &Live) -> Self {
        let name = live.node();
        let now = now_micros();
        let seed = now ^ u64::from(std::process::id()).rotate_left(40);
        let node_options = NodeOptions {
            name: Arc::clone(&name),
            instance: format!("{}-{now}", std::process::id()).into(),
            defaults: defaults(live_options),
            half_life: half_life(live_options),
            seed,
        };
        let mark = live.mark().and_then(|text| mark_of(&text, &options.name));
        let mut node = Node::new(node_options, mark);
        for decision in live.list(|_| true) {
            let (key, record) = known(&decision);
            node.restore(key, record);
        }
        Self {
            options,
            node,
            name,
            store: None,
            known: 0,
            error: None,
            outage: None,
            backoff: MIN_BACKOFF,
            retry: Instant::now(),
            connects: 0,
            nodes: Vec::new(),
            nodes_read: None,
            marked: Instant::now(),
            last_mark: None,
            garbage_logged: None,
            garbage_unlogged: 0,
        }
    }

    fn sleep(&self) -> Duration {
        if self.store.is_none() {
            return self
                .retry
                .saturating_duration_since(Instant::now())
                .min(MAX_SLEEP);
        }
        let wait = self.node.wake_at().saturating_sub(now_micros());
        Duration::from_micros(wait).min(MAX_SLEEP)
    }

    fn take(&mut self, event: Event) {
        let now = now_micros();
        match event {
            Event::Put(batch) => {
                for decision in &batch {
                    let (key, record) = known(decision);
                    self.node.put(now, key, record);
                }
            }
            Event::Removed(target) => self.node.lift(now, target),
            Event::Reports(reports) => {
                for report in reports {
                    self.node
                        .report(now, report.prefix.into(), f64::from(report.points));
                }
            }
            Event::Configured => {}
        }
    }

    /// Changes were lost on their way here: what is in force counts.
    fn catch_up(&mut self, live: &Live) {
        let now = now_micros();
        for decision in live.list(|it| it.node == self.name) {
            let (key, record) = known(&decision);
            if !self.node.knows(&key) {
                self.node.put(now, key, record);
            }
        }
        self.node.overflowed();
    }

    fn turn(&mut self, live: &Live) {
        if self.store.is_none() {
            if Instant::now() < self.retry {
                return;
            }
            match Store::connect(&self.options) {
                Ok(store) => self.store = Some(store),
                Err(error) => return self.failed(error),
            }
        }
        let Some(store) = &mut self.store else {
            return;
        };
        let outcome = self.node.turn(now_micros(), store);
        let count = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let interval = NODES_INTERVAL.saturating_mul((count / 10).saturating_add(1));
        let interval = interval.min(MAX_NODES_INTERVAL);
        let is_due = self.nodes_read.is_none_or(|at| at.elapsed() >= interval);
        let outcome = outcome.and_then(|()| {
            if is_due {
                self.nodes = store.nodes()?;
                self.nodes_read = Some(Instant::now());
            }
            Ok(())
        });
        self.hand_over(live);
        self.log_notices();
        match outcome {
            Ok(()) => self.connected(),
            Err(error) => self.failed(error),
        }
        self.mark(live);
    }

    fn connected(&mut self) {
        self.backoff = MIN_BACKOFF;
        let Some(since) = self.outage.take() else {
            if self.connects == 0 {
                self.connects = 1;
                let url = self.options.url.to_string();
                info!(url, "fleet connected url={url} node={}", self.name);
            }
            return;
        };
        self.error = None;
        self.connects += 1;
        let (url, took) = (self.options.url.to_string(), since.elapsed().as_secs());
        info!(
            url,
            "fleet connected url={url} node={} outage={took}s", self.name
        );
    }

    fn failed(&mut self, error: LinkError) {
        self.store = None;
        self.nodes_read = None;
        let max = if error.is_transient {
            MAX_BACKOFF
        } else {
            MAX_BACKOFF_WRONG
        };
        let half = self.backoff / 2;
        let spread = u32::try_from(self.node.random() % 1000).unwrap_or(0);
        self.retry = Instant::now() + half + self.backoff * spread / 1000;
        self.backoff = (self.backoff * 2).min(max);
        let was_transient = self.error.as_ref().map(|it| it.is_transient);
        if self.outage.is_none() || was_transient == Some(true) && !error.is_transient {
            let url = self.options.url.to_string();
            warn!(
                url,
                "fleet not connected url={url}, decisions are kept and written later: {error}"
            );
        }
        self.outage.get_or_insert_with(Instant::now);
        self.error = Some(error);
    }

    /// Hands what others have decided to the live thread, and waits until it has taken it: it has other
    /// things to do in between.
    fn hand_over(&mut self, live: &Live) {
        let mut merges = Vec::new();
        let mut reports = Vec::new();
        for effect in core::mem::take(&mut self.node.effects) {
            match effect {
                Effect::Put {
                    key,
                    reason,
                    node,
                    created,
                    until,
                } => {
                    merges.push(Merge::Put(Decision {
                        kind: key.kind,
                        target: key.value,
                        origin: key.origin,
                        reason,
                        node: if &*node == super::entry::NO_NODE {
                            "".into()
                        } else {
                            node
                        },
                        created,
                        until,
                    }));
                }
                Effect::Drop(key) => merges.push(Merge::Drop(key.kind, key.value, key.origin)),
                Effect::Lift(value, at) => merges.push(Merge::Lift(value, at)),
                Effect::Points(value, points) => reports.extend(report(value, points)),
                Effect::Total(value, points) => {
                    let has = value.prefix().and_then(|it| live.points(it.network()));
                    let has = has.map_or(0.0, |it| it.points);
                    reports.extend(report(value, points - has));
                }
            }
        }
        let mut merges = merges.into_iter().peekable();
        while merges.peek().is_some() {
            let some: Vec<_> = merges.by_ref().take(MERGE_MAX).collect();
            apply(live, Request::Merge(self.known, some));
        }
        if !reports.is_empty() {
            apply(live, Request::Report(reports));
        }
    }

    /// Has the position stored behind what was read until it.
    fn mark(&mut self, live: &Live) {
        if self.marked.elapsed() < MARK_INTERVAL {
            return;
        }
        self.marked = Instant::now();
        let Some(mark) = self.node.mark() else {
            return;
        };
        let Mark {
            epoch,
            position,
            synced,
        } = mark;
        let text = format!("{} {epoch} {position} {synced}", self.options.name);
        if self.last_mark.as_ref() != Some(&text) {
            apply(
                live,
                Request::Merge(self.known, vec![Merge::Mark(text.clone())]),
            );
            self.last_mark = Some(text);
        }
    }

    fn log_notices(&mut self) {
        for notice in core::mem::take(&mut self.node.notices) {
            match notice {
                Notice::Joined { decisions } => {
                    info!(decisions, "fleet joined, {decisions} decisions");
                }
                Notice::Gap { dropped } => {
                    warn!(
                        dropped,
                        "fleet: the log did not reach back; state read again, {dropped} decisions dropped"
                    );
                }
                Notice::Loss { own } => {
                    warn!(
                        own,
                        "fleet: the store has lost data; {own} changes of this node are written again"
                    );
                }
                Notice::Compared { differences: 0 } => {
                    info!("fleet compared with the state, no difference")
                }
                Notice::Compared { differences } => {
                    warn!(
                        differences,
                        "fleet compared with the state, {differences} differences mended"
                    );
                }
                Notice::Garbage { id, why } => self.log_garbage(id, &why),
                Notice::SameName => {
                    let name = &self.name;
                    error!(
                        "fleet: another process is node {name} too; give each its own node in [fleet]"
                    );
                }
            }
        }
    }

    fn log_garbage(&mut self, id: LogId, why: &str) {
        if self
            .garbage_logged
            .is_some_and(|at| at.elapsed() < GARBAGE_INTERVAL)
        {
            self.garbage_unlogged += 1;
            return;
        }
        self.garbage_logged = Some(Instant::now());
        let others = core::mem::take(&mut self.garbage_unlogged);
        let why: String = why
            .chars()
            .filter(|it| !it.is_control())
            .take(200)
            .collect();
        warn!(%id, others, "fleet: entry {id} of the log skipped: {why}");
    }

    fn status(&self) -> FleetStatus {
        let Totals {
            read,
            written,
            garbage,
            gaps,
            losses,
            differences,
        } = self.node.totals;
        let seconds = |time: Micros| u32::try_from(time / SECOND).unwrap_or(u32::MAX);
        let nodes = self.nodes.iter().map(|it| FleetNode {
            name: it.name.clone(),
            seen: seconds(it.seen),
            changed: (it.changed > 0).then(|| seconds(it.changed)),
        });
        FleetStatus {
            url: self.options.url.to_string(),
            name: self.options.name.clone(),
            node: self.name.to_string(),
            is_connected: self.store.is_some() && self.node.is_joined() && self.outage.is_none(),
            error: self.error.as_ref().map(ToString::to_string),
            caught_up: self.node.caught_up,
            position: self.node.position().to_string(),
            queue: u64::try_from(self.node.queue_len()).unwrap_or(u64::MAX),
            dropped: self.node.dropped(),
            read,
            written,
            garbage,
            gaps,
            losses,
            differences,
            connects: self.connects,
            nodes: nodes.collect(),
        }
    }
}

fn apply(live: &Live, request: Request) {
    let (done, over) = mpsc::sync_channel(1);
    live.apply(
        request,
        Box::new(move |_| {
            // Nobody else waits for it.
            let _ = done.try_send(());
        }),
    );
    // Without the live thread `done` is dropped.
    let _ = over.recv();
}

/// Points are whole numbers in the live table.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is between 1 and 1,000,000"
)]
fn report(value: Target, points: f64) -> Option<PointsReport> {
    let points = points.round().min(1e6);
    let prefix = value.prefix()?;
    (points >= 1.0).then(|| PointsReport {
        prefix,
        points: points as u32,
        reason: "".into(),
        at: now_micros(),
    })
}

/// A decision as the node knows it; times by the clock of this node.
fn known(decision: &Decision) -> (Key, Record) {
    let key = Key {
        value: decision.target,
        kind: decision.kind,
        origin: Arc::clone(&decision.origin),
    };
    let node = if decision.node.is_empty() {
        super::entry::NO_NODE.into()
    } else {
        Arc::clone(&decision.node)
    };
    let record = Record {
        created: Micros::from(decision.created) * SECOND,
        until: Micros::from(decision.until) * SECOND,
        id: LogId::ZERO,
        node,
        reason: Arc::clone(&decision.reason),
    };
    (key, record)
}

fn mark_of(text: &str, fleet: &str) -> Option<Mark> {
    let mut words = text.split(' ');
    (words.next()? == fleet).then_some(())?;
    Some(Mark {
        epoch: words.next()?.to_owned(),
        position: words.next()?.parse().ok()?,
        synced: words.next()?.parse().ok()?,
    })
}
