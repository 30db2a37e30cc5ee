//! Lists that are asked for: when, and what becomes of the answers.

use core::time::Duration;
use std::thread;
use std::time::Instant;

use super::super::background::BackgroundExecutor;
use super::super::fetch::{self, Fetch};
use super::super::lists::{List, Selection};
use super::super::load::{LoadError, catch_panic};
use super::super::offline_check::Answered;
use super::super::schedule::FetchTimer;
use super::{Engine, Event, IDLE};
use tracing::warn;

use crate::config::Place;
use crate::host::now;

/// How long a start waits for URLs of which there is no copy.
const START_WAIT: Duration = Duration::from_secs(2);

impl Engine {
    /// Asks every URL of which there is nothing, and waits for the answers; not for long: a server that
    /// hangs must not keep the agent from listening.
    pub(super) fn fetch_missing(&mut self) {
        let at = Instant::now();
        for slot in self.store.urls().filter(|slot| slot.good.is_none()) {
            self.due
                .insert(slot.list.key(), FetchTimer::first(Instant::now()));
        }
        self.ask_due();
        let deadline = at + START_WAIT;
        while self.due.values().any(|due| due.is_asked) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(Event::Fetched(fetched)) => {
                    let (list, result) = *fetched;
                    self.take(&list, result);
                }
                Ok(other) => self.queued.push_back(other),
                Err(_) => break,
            }
        }
        for slot in self.store.urls() {
            let is_asked = |due: &FetchTimer| due.is_asked;
            if slot.good.is_none() && self.due.get(&slot.list.key()).is_some_and(is_asked) {
                let (list, place) = (&*slot.list.feed.name, &slot.list.feed.place);
                let hint = "there is no copy; the agent starts without the list";
                warn!(list, %place, timeout = ?START_WAIT, hint, "list not fetched in time");
            }
        }
    }

    /// Notes when each list is to be asked for, if that is not known yet.
    pub(super) fn plan(&mut self) {
        let (at, clock) = (Instant::now(), now());
        let mut old = core::mem::take(&mut self.due);
        for kept in &self.store.kept {
            let Some(interval) = kept.list.feed.interval else {
                continue;
            };
            let key = kept.list.key();
            let age = kept.last_success.map(|last| clock.saturating_sub(last));
            let age = age.map_or(interval, |age| Duration::from_secs(age.into()));
            let fresh = self.dice.near(interval).saturating_sub(age);
            let due = old.remove(&key);
            let due = due.unwrap_or_else(|| FetchTimer::first(at + fresh));
            self.due.insert(key, due);
        }
    }

    /// Asks for what is due: URLs on threads of their own.
    pub(super) fn ask_due(&mut self) {
        let at = Instant::now();
        let is_due = |due: &FetchTimer| !due.is_asked && due.at <= at;
        let mut files_due = false;
        for kept in &self.store.kept {
            let Some(due) = self.due.get_mut(&kept.list.key()).filter(|due| is_due(due)) else {
                continue;
            };
            if matches!(kept.list.feed.place, Place::Path(_)) {
                files_due = true;
                let interval = kept.list.feed.interval.unwrap_or(IDLE);
                due.succeeded(self.dice.near(interval), at);
                continue;
            }
            let (list, known, sender) = (kept.list.clone(), kept.meta.clone(), self.sender.clone());
            let is_serving = self.is_serving;
            let ask = move || {
                // A transfer is not worth it, what is done with it is.
                let background = if is_serving {
                    BackgroundExecutor::start()
                } else {
                    BackgroundExecutor::default()
                };
                let ask = || fetch::fetch(&list.feed, known.as_ref(), now(), &background);
                let result = catch_panic(ask);
                // The engine ends with the process.
                let _ = sender.send(Event::Fetched(Box::new((list, result))));
            };
            let spawned = thread::Builder::new().name("fetch".into()).spawn(ask);
            if spawned.is_ok() {
                due.started(at);
            } else {
                due.failed(IDLE, None, at);
            }
        }
        if files_due && self.read_files(Selection::Changed) {
            self.publish_or_say();
        }
    }

    /// Looks for the next version of a list, which is used in spite of its guards.
    ///
    /// # Errors
    /// If there is no such list, or its file is not used for another reason.
    pub(super) fn accept(&mut self, name: &str) -> Result<String, String> {
        let lists = self.store.accept(name);
        if lists.is_empty() {
            return Err(format!(
                "there is no list \"{name}\"; spoa ctl status names them all"
            ));
        }
        let at = Instant::now();
        let urls = lists
            .iter()
            .filter(|list| matches!(list.feed.place, Place::Url(_)));
        let mut is_fetched = false;
        for list in urls {
            is_fetched = true;
            if let Some(due) = self.due.get_mut(&list.key()) {
                due.expedite(at);
            }
        }
        if self.read_files(Selection::Changed) {
            self.publish_or_say();
        }
        let titles: Vec<_> = lists.iter().map(List::title).collect();
        let unused = self.store.unused_files();
        let unused: Vec<_> = unused
            .filter(|line| titles.iter().any(|title| line.starts_with(title)))
            .collect();
        if !unused.is_empty() {
            return Err(format!("not used: {}", unused.join("; ")));
        }
        let titles = titles.join(", ");
        Ok(if is_fetched {
            format!("accepted: {titles} is fetched now, and used in spite of its guards, once")
        } else {
            format!("accepted: {titles}")
        })
    }

    pub(super) fn fetched(&mut self, list: &List, result: Result<Fetch, LoadError>) {
        let is_new = self.take(list, result);
        if is_new {
            self.publish_or_say();
        } else if !self.store.kept.is_empty() {
            self.refresh();
        }
    }

    /// Takes what came of asking a URL; whether there is something new.
    pub(super) fn take(&mut self, list: &List, result: Result<Fetch, LoadError>) -> bool {
        let retry_after = result.as_ref().err().and_then(LoadError::retry_after);
        let Some(outcome) = self.store.fetched(list, result, now(), &self.background) else {
            // It was asked on other terms than there are now.
            if let Some(due) = self.due.get_mut(&list.key()) {
                *due = FetchTimer::first(Instant::now());
            }
            return false;
        };
        let answered = Answered {
            outcome,
            retry_after,
        };
        self.heed_answer(list, answered)
    }

    pub(super) fn heed_answer(&mut self, list: &List, answered: Answered) -> bool {
        let Answered {
            outcome,
            retry_after,
        } = answered;
        let interval = self.dice.near(list.feed.interval.unwrap_or(IDLE));
        let at = Instant::now();
        let due = self
            .due
            .entry(list.key())
            .or_insert_with(|| FetchTimer::first(at));
        if outcome.is_refused {
            due.failed(interval, retry_after, at);
        } else {
            due.succeeded(interval, at);
        }
        let is_new = outcome.is_new;
        self.record_outcome(outcome);
        is_new
    }
}
