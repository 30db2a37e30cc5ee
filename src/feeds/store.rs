//! The lists that the table is made of, each with the last good one and why a later one was not.
//!
//! In scope: which list is kept and why. Out of scope: when to look for another
//! ([`engine`](super::engine)).

mod ageing;
mod expansion;
mod notes;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::background::BackgroundExecutor;
use super::fetch::Fetch;
use super::lists::{List, Selection};
use super::load::{self, LoadError, LoadedFeed};
use super::note::{Event, Note};
use super::outcome::Outcome;
use super::probe::{self, Probe, Probed};
use super::source::Stamp;
use super::source::cache::{Copy, Meta};
use super::status::FeedStatus;
use crate::config::Place;
use crate::host::log::rounded;
use crate::host::now;
use ip_reputation::Role;
use ip_reputation::formats::Format;

/// One list.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they do not depend on each other"
)]
pub(super) struct FeedSlot {
    pub(super) list: List,
    pub(super) good: Option<LoadedFeed>,
    /// What to ask a URL with.
    pub(super) meta: Option<Meta>,
    /// When it was last read or confirmed, in seconds since 1970.
    pub(super) last_success: Option<u32>,
    pub(super) from_cache: bool,
    pub(super) failures: u64,
    /// The same since the start, whatever came between.
    pub(super) failures_total: u64,
    pub(super) error: Option<String>,
    /// When it last changed between working and failing, in seconds since 1970.
    changes: Vec<u32>,
    /// Why its copy is not on disk.
    uncopied: Option<String>,
    /// Whether people know that it is stale.
    is_known_stale: bool,
    /// The file as it was when it was last tried.
    tried: Option<Stamp>,
    /// Its dependencies as they were then.
    tried_with: Vec<Option<Stamp>>,
    /// Whether it could not be read for a reason that has nothing to do with it.
    may_pass: bool,
    /// Whether the next version is used in spite of the guards.
    accepts_next: bool,
}

/// Changes between working and failing that are logged of a list within `CHANGES_WITHIN` seconds.
const LOGGED_CHANGES_MAX: usize = 4;
const CHANGES_WITHIN: u32 = 3600;
/// What the last of them adds.
const UNSTABLE: &str =
    "; its source fails again and again, which is not logged again within an hour";

/// All lists, in the order of the configuration.
#[derive(Debug, Default)]
pub(super) struct FeedStore {
    pub(super) kept: Vec<FeedSlot>,
    cache: Option<PathBuf>,
}

impl FeedStore {
    /// Takes the lists of a configuration. Those that it had before keep their last good ones; one that
    /// is read in another way from now on has to be read again.
    pub(super) fn adopt(&mut self, lists: Vec<List>, cache: Option<PathBuf>) {
        self.cache = cache;
        let mut old: HashMap<String, FeedSlot> = self
            .kept
            .drain(..)
            .map(|kept| (kept.list.key(), kept))
            .collect();
        // One that comes from elsewhere now keeps what it had until that is good.
        let lists = lists.into_iter().map(|list| match old.remove(&list.key()) {
            None => FeedSlot::new(list),
            Some(kept) => kept.with(list),
        });
        self.kept = lists.collect();
    }

    /// From now on nothing is written to disk.
    pub(super) fn forget_cache(&mut self) {
        self.cache = None;
    }

    /// Whether it has a list that is good.
    pub(super) fn has(&self, list: &List) -> bool {
        let is_good = |kept: &FeedSlot| kept.good.is_some() && kept.list.key() == list.key();
        self.kept.iter().any(is_good)
    }

    /// Every file that a list is read from.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.kept.iter().flat_map(|kept| {
            let file = match &kept.list.feed.place {
                Place::Path(path) => Some(path),
                Place::Url(_) => None,
            };
            file.into_iter().chain(kept.dependencies())
        })
    }

    /// Reads the selected files.
    pub(super) fn read_files(
        &mut self,
        selection: Selection<'_>,
        now: u32,
        background: &BackgroundExecutor,
    ) -> Vec<Outcome> {
        let slots = self.kept.iter();
        let probes = slots.map(|slot| slot.probe(selection));
        let (wanted, probes): (Vec<_>, Vec<_>) = probes
            .enumerate()
            .filter_map(|(index, probe)| Some((index, probe?)))
            .unzip();
        let mut opened: HashMap<usize, Probed> =
            wanted.into_iter().zip(probe::open_all(&probes)).collect();
        let cache = self.cache.clone();
        let slots = self.kept.iter_mut().enumerate();
        let read = |(index, slot): (usize, &mut FeedSlot)| match opened.remove(&index) {
            Some(found) => slot.read_file(found, cache.as_deref(), now, background),
            None => slot.expand_again(selection, now, background),
        };
        slots.filter_map(read).collect()
    }

    /// Takes the copies that an earlier process has left: of URLs, and of files that have changed since.
    pub(super) fn read_copies(&mut self, now: u32, background: &BackgroundExecutor) {
        let Some(folder) = self.cache.clone() else {
            return;
        };
        for kept in self.kept.iter_mut().filter(|kept| kept.good.is_none()) {
            kept.read_copy(&folder, now, background);
        }
    }

    /// Takes what came of asking a URL. `None`: nobody wants it on these terms any more.
    pub(super) fn fetched(
        &mut self,
        list: &List,
        result: Result<Fetch, LoadError>,
        now: u32,
        background: &BackgroundExecutor,
    ) -> Option<Outcome> {
        let folder = self.cache.clone();
        // The configuration may be another one by now.
        let kept = self.kept.iter_mut().find(|kept| kept.list == *list)?;
        Some(match result {
            Ok(Fetch::NotModified) => kept.confirm(folder.as_deref(), now),
            Ok(Fetch::Same(meta)) => {
                kept.meta = Some(meta);
                kept.confirm(folder.as_deref(), now)
            }
            Ok(Fetch::New { good, bytes, meta }) => {
                let outcome = kept.take(Ok(*good), now, background);
                if outcome.is_new {
                    kept.keep_copy(folder.as_deref(), &bytes, &meta, outcome)
                } else {
                    outcome
                }
            }
            Err(error) => kept.take(Err(error), now, background),
        })
    }

    /// Has the next version of each list of this name be used in spite of the guards, once; the lists.
    pub(super) fn accept(&mut self, name: &str) -> Vec<List> {
        let is_meant = |slot: &&mut FeedSlot| {
            let place = slot.list.feed.place.to_string();
            *slot.list.feed.name == *name || slot.list.feed.is_own() && place == name
        };
        let meant = self.kept.iter_mut().filter(is_meant);
        let accept = |slot: &mut FeedSlot| {
            slot.accepts_next = true;
            slot.tried = None;
            // The server would say that nothing is newer.
            slot.meta = None;
            slot.list.clone()
        };
        meant.map(accept).collect()
    }

    /// The files that are not used as they are, and why.
    pub(super) fn unused_files(&self) -> impl Iterator<Item = String> {
        let files = self.kept.iter();
        let files = files.filter(|kept| matches!(kept.list.feed.place, Place::Path(_)));
        files.filter_map(|kept| Some(format!("{}: {}", kept.list.title(), kept.error.as_ref()?)))
    }

    /// Whether a file could not be read for a reason that has nothing to do with it.
    pub(super) fn has_untried(&self) -> bool {
        let is_untried =
            |kept: &FeedSlot| matches!(kept.list.feed.place, Place::Path(_)) && kept.may_pass;
        self.kept.iter().any(is_untried)
    }

    /// The lists that come from URLs.
    pub(super) fn urls(&self) -> impl Iterator<Item = &FeedSlot> {
        let is_url = |kept: &&FeedSlot| matches!(kept.list.feed.place, Place::Url(_));
        self.kept.iter().filter(is_url)
    }
}

impl FeedSlot {
    fn new(list: List) -> Self {
        Self {
            list,
            good: None,
            meta: None,
            last_success: None,
            from_cache: false,
            failures: 0,
            failures_total: 0,
            error: None,
            changes: Vec::new(),
            uncopied: None,
            is_known_stale: false,
            tried: None,
            tried_with: Vec::new(),
            may_pass: false,
            accepts_next: false,
        }
    }

    /// The same on other terms.
    fn with(self, list: List) -> Self {
        let is_same = self.list == list;
        Self {
            meta: self.meta.filter(|_| is_same),
            tried: self.tried.filter(|_| is_same),
            list,
            ..self
        }
    }

    /// Other files that decide what the list says: names of categories, the networks of AS numbers.
    fn dependencies(&self) -> impl Iterator<Item = &PathBuf> {
        let feed = &self.list.feed;
        let format = self.good.as_ref().map(|good| good.format).or(feed.format);
        let asn_db = feed.specifics.asn_db.as_ref();
        let asn_db = asn_db.filter(|_| format == Some(Format::Asn));
        feed.specifics.categories.iter().chain(asn_db)
    }

    /// What is to be looked at, if it is a file that is selected.
    fn probe(&self, selection: Selection<'_>) -> Option<Probe> {
        let Place::Path(path) = &self.list.feed.place else {
            return None;
        };
        let is_left_out = self.dependencies().any(|file| selection.leaves_out(file));
        if selection.leaves_out(path) || is_left_out {
            return None;
        }
        let is_same = || !selection.is_all() && self.tried_with == self.stamps();
        Some(Probe {
            path: path.clone(),
            max_size: self.list.feed.max_size,
            known: self.tried.filter(|_| is_same()),
        })
    }

    fn read_file(
        &mut self,
        probed: Probed,
        folder: Option<&Path>,
        now: u32,
        background: &BackgroundExecutor,
    ) -> Option<Outcome> {
        let Place::Path(path) = self.list.feed.place.clone() else {
            return None;
        };
        self.tried_with = self.stamps();
        let (read, stamp) = match probed {
            Probed::Unchanged => return None,
            Probed::Failed(error, stamp) => (Err(error.into()), stamp),
            Probed::Open(file) => {
                let stamp = Some(file.stamp());
                let feed = &self.list.feed;
                let read = load::read_open_aside(background, feed, &path, file, now);
                (read, stamp)
            }
        };
        self.may_pass = read.as_ref().is_err_and(LoadError::may_pass);
        self.tried = match &read {
            Ok((_, stamp)) => Some(*stamp),
            // The file is as good as it was; the next look may be luckier.
            Err(_) if self.may_pass => None,
            Err(_) => stamp,
        };
        let read_at = read.as_ref().ok().map(|(_, stamp)| *stamp);
        let outcome = self.take(read.map(|(good, _)| good), now, background);
        Some(match read_at {
            Some(stamp) if outcome.is_new => {
                self.keep_file_copy(folder, &path, stamp, now, outcome)
            }
            _ => outcome,
        })
    }

    /// Copies a file that is good: the next process may find one that is not.
    fn keep_file_copy(
        &mut self,
        folder: Option<&Path>,
        path: &Path,
        stamp: Stamp,
        now: u32,
        outcome: Outcome,
    ) -> Outcome {
        let Some(copy) = folder.and_then(|folder| self.copy(folder)) else {
            return outcome;
        };
        let of_copy = self.copied(copy.store_file(path, &stamp, now));
        Outcome { of_copy, ..outcome }
    }

    /// Returns an event if the copy on disk is missing from now on, or is not any more.
    fn copied(&mut self, result: std::io::Result<()>) -> Option<Note> {
        match result {
            Ok(()) => {
                self.uncopied.take()?;
                Some(Note::new(self.name(), Event::CacheRecovered))
            }
            Err(error) => {
                let error = error.to_string();
                let is_listed = self.uncopied.replace(error.clone()).is_some();
                (!is_listed).then(|| Note::new(self.name(), Event::CacheFailed { error }))
            }
        }
    }

    /// Takes a list, if it is good.
    fn take(
        &mut self,
        read: Result<LoadedFeed, LoadError>,
        now: u32,
        background: &BackgroundExecutor,
    ) -> Outcome {
        // A URL that did not answer has not used it up.
        let is_over = read.is_ok() || matches!(self.list.feed.place, Place::Path(_));
        let accepts = is_over && core::mem::take(&mut self.accepts_next);
        let guarded = read.and_then(|good| {
            if !accepts {
                load::check_guards(&self.list.feed, self.good.as_ref(), &good)?;
            }
            Ok(good)
        });
        match guarded {
            Ok(good) => {
                let note = self.emptied(&good).or_else(|| self.wrong_lines(&good));
                let remark = self.remark(&good);
                if let Some(old) = self.good.replace(good) {
                    background.free(old);
                }
                self.from_cache = false;
                let note = self.succeeded(now).or(note).or_else(|| self.loaded());
                Outcome {
                    remark,
                    ..Outcome::new(note)
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    fn loaded(&self) -> Option<Note> {
        let good = self.good.as_ref()?;
        let event = Event::Loaded {
            entries: good.data.len(),
            invalid: good.report.wrong,
            took: rounded(good.took),
        };
        Some(Note::new(self.name(), event))
    }

    /// Returns an event if it has failed before.
    fn succeeded(&mut self, now: u32) -> Option<Note> {
        self.last_success = Some(now);
        self.failures = 0;
        self.error.take()?;
        self.note_change(now);
        if self.changes.len() > LOGGED_CHANGES_MAX {
            return None;
        }
        let entries = self.good.as_ref().map_or(0, |good| good.data.len());
        Some(Note::new(self.name(), Event::Recovered { entries }))
    }

    /// Returns an event with the reason, unless it has been logged.
    fn failed(&mut self, error: &LoadError) -> Outcome {
        self.failures += 1;
        self.failures_total += 1;
        let error = error.to_string();
        let is_listed = self.error.as_ref() == Some(&error);
        if self.error.is_none() {
            self.note_change(now());
        }
        let changes = self.changes.len();
        let note = (!is_listed && changes <= LOGGED_CHANGES_MAX).then(|| {
            let previous = self.good.as_ref().map(|good| good.data.len());
            let mut error = error.clone();
            if changes + 1 >= LOGGED_CHANGES_MAX {
                error.push_str(UNSTABLE);
            }
            Note::new(self.name(), Event::NotUsed { error, previous })
        });
        self.error = Some(error);
        Outcome::refused(note)
    }

    /// Counts a change between working and failing.
    fn note_change(&mut self, now: u32) {
        self.changes
            .retain(|at| now.saturating_sub(*at) < CHANGES_WITHIN);
        if self.changes.len() <= LOGGED_CHANGES_MAX {
            self.changes.push(now);
        }
    }

    fn copy(&self, folder: &Path) -> Option<Copy> {
        let name = &self.list.feed.name;
        match &self.list.feed.place {
            Place::Url(url) => Some(Copy::new(folder, name, url)),
            Place::Path(path) => Some(Copy::new(folder, name, path.to_str()?)),
        }
    }

    /// Whether its file is the one that the copy was made of.
    fn is_as_copied(&self, meta: Option<&Meta>, copy: &Copy) -> bool {
        let Place::Path(path) = &self.list.feed.place else {
            return false;
        };
        let Ok(file) = probe::open(path, self.list.feed.max_size) else {
            return false;
        };
        let (stamp, copied) = (file.stamp(), Stamp::at(copy.data()));
        copied.is_some_and(|copied| copied.size() == stamp.size())
            && meta.is_some_and(|meta| meta.as_of == stamp.modified())
    }

    fn read_copy(&mut self, folder: &Path, now: u32, background: &BackgroundExecutor) {
        let Some(copy) = self.copy(folder).filter(Copy::exists) else {
            return;
        };
        let meta = copy.meta();
        if self.is_as_copied(meta.as_ref(), &copy) {
            return;
        }
        let fetched = meta.as_ref().map(|meta| meta.fetched);
        let made = meta.as_ref().and_then(|meta| meta.as_of).or(fetched);
        let read = load::read_aside(background, &self.list.feed, copy.data(), now);
        // One that cannot be read is as good as none: the URL is asked.
        let Ok((mut good, _)) = read else {
            return;
        };
        if good.format == Format::Asn {
            good = good.keeping(&std::fs::read(copy.data()).unwrap_or_default());
        }
        good.as_of = good.report.as_of.or(made).or(good.as_of);
        self.good = Some(good);
        self.last_success = fetched;
        self.from_cache = true;
        self.meta = meta.filter(|_| matches!(self.list.feed.place, Place::Url(_)));
    }

    /// The server has nothing newer.
    fn confirm(&mut self, folder: Option<&Path>, now: u32) -> Outcome {
        if let Some(meta) = &mut self.meta {
            meta.fetched = now;
        }
        if let (Some(copy), Some(meta)) = (folder.and_then(|it| self.copy(it)), &self.meta) {
            // It only matters to a process that starts later, which asks again then.
            let _ = copy.confirm(meta);
        }
        self.from_cache = false;
        Outcome {
            note: self.succeeded(now),
            ..Outcome::default()
        }
    }

    fn keep_copy(
        &mut self,
        folder: Option<&Path>,
        bytes: &[u8],
        meta: &Meta,
        outcome: Outcome,
    ) -> Outcome {
        self.meta = Some(meta.clone());
        let Some(copy) = folder.and_then(|folder| self.copy(folder)) else {
            return outcome;
        };
        let stored = copy.store(bytes, meta);
        if stored.is_err() {
            // Asked for what is newer, the server would have nothing to send, and the disk nothing to
            // keep once it can.
            self.meta = None;
        }
        let of_copy = self.copied(stored);
        Outcome { of_copy, ..outcome }
    }

    /// From when on it is stale, in seconds since 1970.
    pub(super) fn stale_from(&self) -> Option<u32> {
        let after = u32::try_from(self.list.feed.stale_after?.as_secs()).unwrap_or(u32::MAX);
        let said = self.good.as_ref().and_then(|good| good.report.as_of);
        let made = match self.list.feed.place {
            Place::Path(_) => self.good.as_ref().and_then(|good| good.as_of),
            // Of a URL we know that it still had the same when it was asked.
            Place::Url(_) => said.or(self.last_success),
        };
        Some(made.map_or(0, |made| made.saturating_add(after)))
    }

    /// What it is called where a status or a log names it.
    fn name(&self) -> String {
        match (&self.list.feed.place, self.list.role) {
            (Place::Path(path), Role::Allow | Role::Deny) if self.list.feed.is_own() => {
                path.display().to_string()
            }
            _ => self.list.feed.name.to_string(),
        }
    }

    pub(super) fn status(&self, now: u32) -> FeedStatus {
        let good = self.good.as_ref();
        FeedStatus {
            name: self.name(),
            format: good.map(|good| good.format),
            v4: good.map_or(0, |good| good.data.v4()),
            v6: good.map_or(0, |good| good.data.v6()),
            wrong: good.map_or(0, |good| good.report.wrong),
            as_of: good.and_then(|good| good.as_of),
            last_success: self.last_success,
            stale_from: self.stale_from(),
            stale: self.stale_from().is_some_and(|from| from <= now),
            from_cache: self.from_cache,
            failures: self.failures,
            failures_total: self.failures_total,
            error: self.error.clone(),
        }
    }
}
