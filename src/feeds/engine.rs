//! The control thread: it reads, fetches, builds and publishes while the workers answer.
//!
//! ```text
//!  SIGHUP ─────▶┐                       ┌▶ store: what is read and good
//!  watch ──────▶┤ events ▶ this thread ─┤▶ snapshot: a policy of it
//!  fetches ◀───▶┤                       └▶ published.swap ──▶ workers, at their next NOTIFY, or told
//!  timers ─────▶┘                              └▶ retired: dropped here when no worker has it
//! ```

mod asking;
mod publishing;

use core::iter;
use core::time::Duration;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Instant;
use std::{io, path::PathBuf};

use rustix::process::nice;
use tracing::warn;

use super::background::BackgroundExecutor;
use super::databases::Databases;
use super::fetch::Fetch;
use super::lists::{List, Selection, lists};
use super::load::{self, LoadError};
use super::outcome::Outcome;
use super::schedule::{FetchTimer, Jitter};
use super::snapshot::MakeError;
use super::source::memory;
use super::status::{SharedStatus, Status};
use super::store::FeedStore;
use super::watch::Watch;
use crate::config::accessed_paths;
use crate::config::{Config, Place};
use crate::crowdsec::CrowdSec;
use crate::fleet::Fleet;
use crate::host::{now, vital};
use crate::live::Live;
use crate::policy::{Policy, PolicyCell};

/// How much the control thread steps back behind the workers. With every core busy it has a tenth of one for
/// what the thread that makes way gets no further with.
const NICENESS: i32 = 10;
/// How often old policies are looked at while a worker still has one.
const RETIRED_INTERVAL: Duration = Duration::from_millis(200);
/// When to look again at a file that could not be read for want of a descriptor, or the like.
const RETRY: Duration = Duration::from_secs(5);
/// The longest time without a look at the clock.
const IDLE: Duration = Duration::from_hours(1);

/// Told what came of a reload: a line for people, as an error if the old state stays.
pub type Done = Box<dyn FnOnce(Result<String, String>) + Send>;

/// What happens to the engine.
enum Event {
    Reload(Done),
    /// Lists of this name are used in spite of their guards, once.
    Accept(String, Done),
    /// A file is worth reading; these have changed too, and are not worth reading yet.
    Touched {
        unsettled: HashSet<PathBuf>,
    },
    Fetched(Box<(List, Result<Fetch, LoadError>)>),
}

/// The control plane of one agent, before its thread runs.
pub struct Engine {
    config: Config,
    store: FeedStore,
    databases: Databases,
    live: Live,
    fleet: Fleet,
    crowdsec: CrowdSec,
    published: PolicyCell,
    retired: Vec<Arc<Policy>>,
    /// Does what takes long, once this is a thread.
    background: BackgroundExecutor,
    /// Called when a policy has been replaced.
    replaced: Box<dyn Fn() + Send>,
    status: SharedStatus,
    sender: Sender<Event>,
    events: Receiver<Event>,
    /// Events that were received while reloads were merged, in order.
    queued: VecDeque<Event>,
    watch: Option<Watch>,
    due: HashMap<String, FetchTimer>,
    dice: Jitter,
    /// Whether workers answer, to whom fetches give way.
    is_serving: bool,
    /// When ages have to be counted again.
    ageing: Option<Instant>,
    /// When files are to be tried again that could not be read.
    retry: Option<Instant>,
    /// Lists that were not used, each time that they were not.
    refusals: u64,
}

impl core::fmt::Debug for Engine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Engine")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Reaches an engine that runs.
#[derive(Clone)]
pub struct Remote {
    sender: Sender<Event>,
    crowdsec: CrowdSec,
    status: SharedStatus,
    fleet: Fleet,
}

impl core::fmt::Debug for Remote {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Remote").finish_non_exhaustive()
    }
}

impl Remote {
    /// Reads the configuration and everything in it again, as SIGHUP asks for. `done` is called on the
    /// control thread when the reload is over; URLs are fetched after that. Reloads that are requested
    /// while one waits are merged into it.
    pub fn reload(&self, done: Done) {
        // The process ends with the control thread.
        let _ = self.sender.send(Event::Reload(done));
    }

    /// Has the next version of a list be used in spite of its guards, once, and looks for it now. `done`
    /// is called on the control thread.
    pub fn accept(&self, list: String, done: Done) {
        // The process ends with the control thread.
        let _ = self.sender.send(Event::Accept(list, done));
    }

    /// The fleet; off without `[fleet]`.
    #[must_use]
    pub const fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// What follows a `CrowdSec` LAPI.
    #[must_use]
    pub const fn crowdsec(&self) -> &CrowdSec {
        &self.crowdsec
    }

    /// How things are.
    #[must_use]
    pub fn status(&self) -> Status {
        let status = self.status.lock();
        let mut status = status.map(|status| status.clone()).unwrap_or_default();
        let time = now();
        for feed in &mut status.feeds {
            feed.stale = feed.stale_from.is_some_and(|from| from <= time);
        }
        status
    }
}

impl Engine {
    /// Reads everything once and publishes the first policy. A list that is not good is left out, and
    /// said; URLs of which there is no copy are asked, and waited for for a short time.
    ///
    /// # Errors
    /// If no policy can be made of the configuration.
    pub fn start(config: Config) -> Result<Self, MakeError> {
        let (sender, events) = mpsc::channel();
        memory::set_max(config.reputation.max_fetch_memory);
        let mut store = FeedStore::default();
        store.adopt(lists(&config), config.reputation.cache_dir.clone());
        let mut databases = Databases::default();
        databases.adopt(
            config.reputation.asn_db.as_ref(),
            config.reputation.country_db.as_ref(),
        );
        let watch = start_watch(&sender);
        let published = PolicyCell::new(Policy::default());
        let live = Live::new();
        let mut engine = Self {
            crowdsec: CrowdSec::new(live.clone(), published.clone()),
            fleet: Fleet::new(live.clone()),
            published,
            live,
            config,
            store,
            databases,
            retired: Vec::new(),
            background: BackgroundExecutor::default(),
            replaced: Box::new(|| {}),
            status: SharedStatus::default(),
            sender,
            events,
            queued: VecDeque::new(),
            watch,
            due: HashMap::new(),
            dice: Jitter::new(),
            is_serving: false,
            ageing: None,
            retry: None,
            refusals: 0,
        };
        engine.live.configure(engine.config.live.as_ref());
        engine.fleet.configure(engine.config.fleet.as_ref());
        let crowdsec = engine.config.crowdsec.as_ref();
        engine.crowdsec.configure(crowdsec);
        engine.follow();
        engine.store.read_copies(now(), &engine.background);
        engine.read_files(Selection::All);
        engine.plan();
        engine.fetch_missing();
        engine.warn_without_lists();
        engine.publish()?;
        engine.update(|status| status.reloads = 0);
        Ok(engine)
    }

    /// What the workers look at.
    #[must_use]
    pub fn published(&self) -> PolicyCell {
        self.published.clone()
    }

    /// The live decisions; off without `[live]`.
    #[must_use]
    pub fn live(&self) -> Live {
        self.live.clone()
    }

    /// The fleet; off without `[fleet]`.
    #[must_use]
    pub fn fleet(&self) -> Fleet {
        self.fleet.clone()
    }

    /// What follows a `CrowdSec` LAPI; nothing without `[crowdsec]`.
    #[must_use]
    pub fn crowdsec(&self) -> CrowdSec {
        self.crowdsec.clone()
    }

    /// Has this called whenever a policy has been replaced, on the engine's thread: who keeps the one
    /// that he looked at last may look again.
    pub fn when_replaced(&mut self, replaced: impl Fn() + Send + 'static) {
        self.replaced = Box::new(replaced);
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub fn spawn(self) -> io::Result<Remote> {
        let remote = self.remote();
        vital::spawn("control", move || {
            self.run();
            Ok(())
        })?;
        Ok(remote)
    }

    /// The way to it, and to its status.
    #[must_use]
    pub fn remote(&self) -> Remote {
        Remote {
            sender: self.sender.clone(),
            crowdsec: self.crowdsec.clone(),
            status: Arc::clone(&self.status),
            fleet: self.fleet.clone(),
        }
    }

    fn run(mut self) {
        self.is_serving = true;
        self.background = BackgroundExecutor::start();
        // Workers come first where there are fewer cores than threads. It is this thread's alone, and
        // of those that it starts.
        let _ = nice(NICENESS);
        loop {
            let event = match self.queued.pop_front() {
                Some(event) => Ok(event),
                None => self.events.recv_timeout(self.wait()),
            };
            // Before there is more to be kept.
            self.reap_retired();
            match event {
                Ok(Event::Reload(done)) => {
                    let merged = self.waiting_reloads();
                    let result = self.reload();
                    self.show();
                    for done in iter::once(done).chain(merged) {
                        done(result.clone());
                    }
                }
                Ok(Event::Accept(list, done)) => {
                    let result = self.accept(&list);
                    self.show();
                    done(result);
                }
                Ok(Event::Touched { unsettled }) => {
                    self.follow();
                    if self.read_files(Selection::Settled(&unsettled)) {
                        self.publish_or_say();
                    }
                }
                Ok(Event::Fetched(fetched)) => {
                    let (list, result) = *fetched;
                    self.fetched(&list, result);
                }
                Err(RecvTimeoutError::Timeout) => {}
                // Not while this engine has a sender of its own.
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.ask_due();
            if self.retry.is_some_and(|at| at <= Instant::now())
                && self.read_files(Selection::Changed)
            {
                self.publish_or_say();
            }
            if self.ageing.is_some_and(|at| at <= Instant::now()) {
                self.publish_or_say();
            }
            for note in self.store.stale_notes(now()) {
                note.log();
            }
            self.show();
        }
    }

    /// Takes the reloads that wait. They were requested before the next one starts, so its result is
    /// theirs. The order of the other events stays.
    fn waiting_reloads(&mut self) -> Vec<Done> {
        let mut reloads = Vec::new();
        let queued = core::mem::take(&mut self.queued);
        for event in queued.into_iter().chain(self.events.try_iter()) {
            match event {
                Event::Reload(done) => reloads.push(done),
                other => self.queued.push_back(other),
            }
        }
        reloads
    }

    /// The time until something has to be done.
    fn wait(&self) -> Duration {
        let asked = self.due.values().filter(|due| !due.is_asked);
        let times = asked.map(|due| due.at).chain(self.ageing).chain(self.retry);
        let next = times.min().map_or(IDLE, |at| {
            at.saturating_duration_since(Instant::now()).min(IDLE)
        });
        let next = self
            .store
            .until_stale(now())
            .map_or(next, |it| next.min(it));
        if self.retired.is_empty() {
            next
        } else {
            next.min(RETIRED_INTERVAL)
        }
    }

    /// Reads the configuration again, and everything that it names.
    fn reload(&mut self) -> Result<String, String> {
        let config = match Config::read(&self.config.file) {
            Ok(config) => config,
            Err(error) => return Err(self.refuse(&error.to_string().replace('\n', "; "))),
        };
        if let Some(why) = self.unreadable_own(&config) {
            return Err(self.refuse(&why));
        }
        self.update(|status| status.bad_configuration = false);
        memory::set_max(config.reputation.max_fetch_memory);
        let old = core::mem::replace(&mut self.config, config);
        let mut untaken = Vec::new();
        if self.config.admin != old.admin {
            warn!(keys = "[admin]", "restart required");
            untaken.push("restart required: [admin]".to_owned());
        }
        let fixed = self.config.agent.changed(&old.agent);
        if !fixed.is_empty() {
            let keys = format!("[agent] {}", fixed.join(", "));
            warn!(keys, "restart required");
            untaken.push(format!("restart required: {keys}"));
        }
        if let Some(folder) = accessed_paths(&self.config).shut_off() {
            let dir = folder.display();
            let hint = "--confine allows the directories of the start; restart the agent";
            warn!(%dir, hint, "directory not accessible");
            untaken.push(format!("directory not accessible: {dir}: {hint}"));
        }
        self.warn_without_lists();
        self.store.adopt(
            lists(&self.config),
            self.config.reputation.cache_dir.clone(),
        );
        let reputation = &self.config.reputation;
        self.databases
            .adopt(reputation.asn_db.as_ref(), reputation.country_db.as_ref());
        self.follow();
        self.store.read_copies(now(), &self.background);
        self.read_files(Selection::All);
        self.plan();
        let at = Instant::now();
        self.due.values_mut().for_each(|due| due.expedite(at));
        if self.config.live != old.live {
            self.live.configure(self.config.live.as_ref());
        }
        if self.config.fleet != old.fleet {
            self.fleet.configure(self.config.fleet.as_ref());
        }
        if self.config.crowdsec != old.crowdsec {
            self.crowdsec.configure(self.config.crowdsec.as_ref());
        }
        if !self.publish_or_say() {
            return Err("no new table, the last good one stays; the log says why".to_owned());
        }
        let reloaded = self.reloaded();
        if untaken.is_empty() {
            return reloaded;
        }
        let with = |line: String| format!("{line}; {}", untaken.join("; "));
        reloaded.map(with).map_err(with)
    }

    /// Without lists every address has one score, and nobody notices.
    fn warn_without_lists(&self) {
        if self.config.lacks_lists() {
            let score = self.config.reputation.default_score.value();
            let hint = "add a feed, a list or [live]; source = \"random\" is for tests";
            warn!(score, hint, "no lists configured");
        }
    }

    /// Says that a configuration is not used, in the words that are returned.
    fn refuse(&self, why: &str) -> String {
        self.update(|status| {
            status.bad_configurations += 1;
            status.bad_configuration = true;
        });
        warn!(error = why, "configuration not used");
        format!("configuration not used, the last good one stays: {why}")
    }

    /// A list of one's own that the configuration names for the first time and that is not good: most
    /// likely its path is misspelt, and what it replaces must not be lost for that.
    fn unreadable_own(&self, config: &Config) -> Option<String> {
        let own = lists(config).into_iter();
        let own = own.filter(|list| list.feed.is_own() && !self.store.has(list));
        let mut wrong = own.filter_map(|list| {
            let Place::Path(path) = &list.feed.place else {
                return None;
            };
            let error = load::read_aside(&self.background, &list.feed, path, now()).err()?;
            Some(format!("{}: {error}", list.title()))
        });
        wrong.next()
    }

    /// Watches the files that are in use now.
    fn follow(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        let files: Vec<PathBuf> = self.store.files().cloned().collect();
        watch.follow(files.iter().chain(self.databases.files()));
    }

    /// Reads files; whether there is something new.
    fn read_files(&mut self, selection: Selection<'_>) -> bool {
        let mut outcomes = self.store.read_files(selection, now(), &self.background);
        outcomes.extend(self.databases.read(selection, &self.background));
        self.retry = self.store.has_untried().then(|| Instant::now() + RETRY);
        let is_new = outcomes.iter().any(|outcome| outcome.is_new);
        for outcome in outcomes {
            self.record_outcome(outcome);
        }
        is_new
    }

    fn record_outcome(&mut self, outcome: Outcome) {
        // Shown together with what is wrong.
        self.refusals += u64::from(outcome.is_refused);
        let notes = [outcome.note, outcome.remark, outcome.of_copy];
        for note in notes.iter().flatten() {
            note.log();
        }
    }
}

fn start_watch(sender: &Sender<Event>) -> Option<Watch> {
    let sender = sender.clone();
    // The engine ends with the process.
    let touched = move |unsettled| drop(sender.send(Event::Touched { unsettled }));
    let watch = Watch::start(touched);
    if let Err(error) = &watch {
        let hint = "raise fs.inotify.max_user_instances; SIGHUP and refresh-interval still work";
        warn!(%error, hint, "file watch unavailable");
    }
    watch.ok()
}
