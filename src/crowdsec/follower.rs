//! The thread that polls.
//!
//! The cursor of what is new is the server's, one for each key. It is lost when two processes share a key,
//! and when an answer is: after a start, after a failure and when another process with the same key has gone,
//! all decisions are requested (`startup=true`).

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use rand::rngs::{SmallRng, SysRng};
use rand::{RngExt as _, SeedableRng as _, TryRng as _};
use serde_json::json;
use tracing::{debug, info, warn};

use super::client::{Client, USER_AGENT};
use super::stream::{self, Reading};
use super::{CrowdSec, CrowdSecOptions};
use crate::host::now;
use crate::live::Request;

/// How often all decisions are requested: those of deleted alerts never appear as deleted.
const FULL_INTERVAL: Duration = Duration::from_hours(6);
const METRICS_INTERVAL: Duration = Duration::from_mins(15);
/// The first wait after a failure; it doubles with each further one.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_mins(1);
/// When an answer that lost too much is requested again.
const SUSPECT_INTERVAL: Duration = Duration::from_secs(2);
/// An answer with all decisions that lost more than this is requested again.
const MAX_SHRINK_RATIO: f64 = 0.5;
/// How much earlier or later, so that agents do not poll all at once.
const JITTER: f64 = 0.1;
/// How long the live thread may take to put an answer in force.
const APPLY_TIMEOUT: Duration = Duration::from_mins(1);

/// Starts the thread. It ends with the process.
pub(super) fn start(
    crowdsec: CrowdSec,
    options: CrowdSecOptions,
    receiver: Receiver<Option<CrowdSecOptions>>,
) -> io::Result<()> {
    let seed = SysRng.try_next_u64().unwrap_or_default();
    let follower = Follower {
        crowdsec,
        options: Some(options),
        random: SmallRng::seed_from_u64(seed),
        next: Instant::now(),
        next_full: Instant::now(),
        needs_all: true,
        may_shrink: false,
        suspect: None,
        failures: 0,
        key: KeyLock::default(),
        kinds: BTreeSet::new(),
        has_logged: BTreeSet::new(),
        started: now(),
        metrics: Metrics::default(),
    };
    let thread = thread::Builder::new().name("crowdsec".into());
    thread.spawn(move || follower.run(&receiver)).map(drop)
}

#[derive(Debug, Default)]
struct Metrics {
    /// When they are due; none: not before the first good answer, or never again.
    next: Option<Instant>,
    sent: Option<u32>,
    is_over: bool,
}

struct Follower {
    crowdsec: CrowdSec,
    options: Option<CrowdSecOptions>,
    random: SmallRng,
    next: Instant,
    next_full: Instant,
    needs_all: bool,
    /// After a change of the options another number of decisions is no surprise.
    may_shrink: bool,
    /// How many decisions the answer had that was not taken.
    suspect: Option<u64>,
    failures: u32,
    key: KeyLock,
    /// Types that were logged.
    kinds: BTreeSet<String>,
    /// What else was logged, once.
    has_logged: BTreeSet<&'static str>,
    started: u32,
    metrics: Metrics,
}

impl Follower {
    fn run(mut self, receiver: &Receiver<Option<CrowdSecOptions>>) {
        loop {
            let now = Instant::now();
            let wait = match &self.options {
                Some(_) => self.next.saturating_duration_since(now),
                None => FULL_INTERVAL,
            };
            match receiver.recv_timeout(wait) {
                Ok(options) => self.configure(options),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let Some(options) = self.options.clone() else {
                continue;
            };
            if self.next <= Instant::now() {
                self.poll(&options);
                self.send_metrics(&options);
            }
        }
    }

    fn configure(&mut self, options: Option<CrowdSecOptions>) {
        if options.is_some() && options == self.options {
            return;
        }
        self.options = options;
        self.next = Instant::now();
        self.needs_all = true;
        self.may_shrink = true;
        self.suspect = None;
        self.failures = 0;
        self.key = KeyLock::default();
        self.kinds.clear();
        self.has_logged.clear();
        self.metrics = Metrics::default();
    }

    fn poll(&mut self, options: &CrowdSecOptions) {
        if self.key.follow(options) {
            info!("crowdsec key released");
            self.needs_all = true;
        }
        let is_full = self.needs_all || self.next_full <= Instant::now();
        let time = now();
        self.crowdsec.update(|status| status.last_poll = Some(time));
        let client = Client::new(options);
        let reading = client.stream(is_full).and_then(|body| {
            stream::read(&body, options, now()).map_err(|error| client.invalid(&error))
        });
        match reading {
            Ok(reading) => self.take(reading, is_full, options),
            Err(why) => self.failed(why),
        }
    }

    /// What is in force stays until its own end.
    fn failed(&mut self, why: String) {
        // What the answer would have had is lost with it.
        self.needs_all = true;
        let wait = RETRY_FIRST.saturating_mul(1 << self.failures.min(16));
        self.next = Instant::now() + self.near(wait.min(RETRY_MAX));
        self.failures = self.failures.saturating_add(1);
        self.crowdsec.update(|status| {
            status.failures += 1;
            if status.error.as_ref() != Some(&why) {
                warn!(error = %why, "crowdsec poll failed");
                status.error = Some(why);
            }
        });
    }

    fn take(&mut self, mut reading: Reading, is_full: bool, options: &CrowdSecOptions) {
        self.next = Instant::now() + self.near(options.interval);
        let count = u64::try_from(reading.import.new.len()).unwrap_or(u64::MAX);
        if is_full && !self.is_plausible(count) {
            self.next = Instant::now() + options.interval.min(SUSPECT_INTERVAL);
            self.needs_all = true;
            return;
        }
        reading.import.is_all = is_full;
        let (new, deleted) = (count, reading.import.deleted.len());
        let import = core::mem::take(&mut reading.import);
        let (done, over) = mpsc::channel();
        let done = Box::new(move |outcome| drop(done.send(outcome)));
        self.crowdsec.live.apply(Request::Import(import), done);
        match over.recv_timeout(APPLY_TIMEOUT) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return self.failed(error.to_string()),
            Err(_) => return self.failed("the live decisions take no more".to_owned()),
        }
        self.report(&reading, is_full, options);
        if is_full {
            self.needs_all = false;
            self.may_shrink = false;
            self.suspect = None;
            self.next_full = Instant::now() + self.near(FULL_INTERVAL);
            info!(decisions = new, "crowdsec decisions loaded");
        } else if new > 0 || deleted > 0 {
            debug!(new, deleted, "crowdsec decisions received");
        }
        self.failures = 0;
        if !self.metrics.is_over {
            self.metrics.next.get_or_insert_with(Instant::now);
        }
    }

    /// A query that fails on the server ends as a whole document: a part of the decisions looks like all.
    fn is_plausible(&mut self, count: u64) -> bool {
        let known = self.crowdsec.live.import_counts().total();
        let has_lost = |count: u64, of: u64| {
            #[expect(clippy::cast_precision_loss, reason = "a ratio")]
            let least = of as f64 * (1.0 - MAX_SHRINK_RATIO);
            #[expect(clippy::cast_precision_loss, reason = "a ratio")]
            let count = count as f64;
            count < least
        };
        if self.may_shrink || !has_lost(count, known) {
            return true;
        }
        if self.suspect.is_some_and(|it| !has_lost(count, it)) {
            info!(count, known, "crowdsec loss confirmed");
            return true;
        }
        warn!(
            count,
            known,
            hint = "it may be a part; requested again, taken when it repeats",
            "crowdsec answer not taken"
        );
        self.suspect = Some(count);
        false
    }

    fn report(&mut self, reading: &Reading, is_full: bool, options: &CrowdSecOptions) {
        for kind in &reading.unknown_kinds {
            if self.kinds.insert(kind.clone()) {
                let kind = kind.escape_debug();
                let hint = "enforced as ban: only ban and captcha are known";
                warn!(kind = %kind, hint, "crowdsec type unknown");
            }
        }
        if let Some(example) = &reading.example
            && self.has_logged.insert("invalid")
        {
            warn!(example = &**example, "crowdsec decision not usable");
        }
        let mut unusable = reading.unusable.clone();
        unusable.extend(self.without_database());
        let time = now();
        self.crowdsec.update(|status| {
            status.polls += 1;
            status.last_success = Some(time);
            if let Some(error) = status.error.take() {
                info!(url = %options.url, %error, "crowdsec connected again");
            }
            if is_full {
                status.last_full = Some(time);
                status.unusable = unusable;
                status.filtered = reading.filtered;
            } else {
                for (why, count) in unusable {
                    let known = status.unusable.entry(why).or_insert(0);
                    *known = if why == "invalid" {
                        *known + count
                    } else {
                        count
                    };
                }
                status.filtered += reading.filtered;
            }
        });
    }

    /// Decisions about an AS or a country that have no effect.
    fn without_database(&mut self) -> BTreeMap<&'static str, u64> {
        let counts = self.crowdsec.live.import_counts();
        let policy = self.crowdsec.policy.current();
        let scopes = [
            ("as", "asn-db", counts.systems, policy.has_asn()),
            (
                "country",
                "country-db",
                counts.countries,
                policy.has_country(),
            ),
        ];
        let mut unusable = BTreeMap::new();
        for (scope, key, count, has) in scopes {
            let count = if has { 0 } else { count };
            if count > 0 && self.has_logged.insert(scope) {
                let hint = format!("no {key} in [reputation]: set it, or leave the scope out");
                warn!(
                    scope,
                    count,
                    hint = &*hint,
                    "crowdsec scope without database"
                );
            }
            unusable.insert(scope, count);
        }
        unusable
    }

    fn near(&mut self, time: Duration) -> Duration {
        time.mul_f64(self.random.random_range(1.0 - JITTER..1.0 + JITTER))
    }

    fn send_metrics(&mut self, options: &CrowdSecOptions) {
        if self.metrics.next.is_none_or(|at| at > Instant::now()) {
            return;
        }
        let time = now();
        let since = self.metrics.sent.unwrap_or(self.started);
        let sent = Client::new(options).metrics(&self.usage(time, time.saturating_sub(since)));
        self.metrics.next = Some(Instant::now() + self.near(METRICS_INTERVAL));
        match sent {
            Ok(404) => {
                debug!("usage metrics not supported");
                self.metrics.next = None;
                self.metrics.is_over = true;
            }
            Ok(status) if (200..300).contains(&status) => self.metrics.sent = Some(time),
            Ok(status) => debug!(status, "usage metrics rejected"),
            Err(why) => debug!(error = %why, "usage metrics not sent"),
        }
    }

    /// What `cscli metrics` shows of a bouncer.
    fn usage(&self, time: u32, window: u32) -> String {
        let counts = self.crowdsec.live.import_counts();
        let mut by_origin = BTreeMap::<Arc<str>, u64>::new();
        for ((_, origin), count) in counts.in_force {
            *by_origin.entry(origin).or_insert(0) += count;
        }
        let items = by_origin.iter().map(|(origin, count)| {
            json!({
                "name": "active_decisions", "unit": "ip", "value": count,
                "labels": { "origin": &**origin },
            })
        });
        let (name, version) = USER_AGENT.split_once('/').unwrap_or((USER_AGENT, ""));
        let uname = rustix::system::uname();
        let component = json!({
            "type": name,
            "version": version,
            "os": { "name": "linux", "version": uname.release().to_string_lossy() },
            "feature_flags": [],
            "utc_startup_timestamp": self.started,
            "metrics": [{
                "meta": { "window_size_seconds": window, "utc_now_timestamp": time },
                "items": items.collect::<Vec<_>>(),
            }],
        });
        json!({ "remediation_components": [component] }).to_string()
    }
}

/// Whether another process of this machine uses the same key: each holds a lock on its file.
#[derive(Debug, Default)]
struct KeyLock {
    file: Option<File>,
    is_held: bool,
    was_shared: bool,
}

impl KeyLock {
    /// Tries to have the lock; whether another process has just let go of it.
    fn follow(&mut self, options: &CrowdSecOptions) -> bool {
        if self.is_held {
            return false;
        }
        if self.file.is_none() {
            self.file = options.files().next().and_then(|it| File::open(it).ok());
        }
        match self.file.as_ref().map(File::try_lock) {
            Some(Ok(())) => {
                self.is_held = true;
                self.was_shared
            }
            Some(Err(TryLockError::WouldBlock)) => {
                if !self.was_shared {
                    debug!("crowdsec key shared");
                }
                self.was_shared = true;
                false
            }
            // A file system without locks.
            Some(Err(TryLockError::Error(_))) | None => false,
        }
    }
}
