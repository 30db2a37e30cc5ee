//! Log events about a list or a database. A list that is checked offline collects them and logs none.

use core::time::Duration;
use std::path::Path;

use tracing::{info, warn};

use super::status::Moment;

/// One event, and the list that it is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// The list, as the status names it, or the path of a database.
    list: String,
    event: Event,
}

/// What happened. The strings are for people.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A new version is in use.
    Loaded {
        entries: usize,
        invalid: u64,
        took: Duration,
    },
    /// It is in use again after failures.
    Recovered { entries: usize },
    /// A version is not used; the previous one, if any, has this many entries.
    NotUsed {
        error: String,
        previous: Option<usize>,
    },
    /// The last entry of a file of `[allow]` or `[deny]` was removed.
    Emptied { before: usize },
    /// Lines were left out.
    InvalidLines {
        invalid: u64,
        lines: u64,
        first: String,
    },
    /// It is used, and may not be what was meant.
    Suspicious { findings: String },
    /// Its source has published nothing for longer than `stale-after`.
    Stale { last_change: Option<u32> },
    /// Its source has published something again.
    Fresh,
    /// The copy on disk was not written.
    CacheFailed { error: String },
    /// The copy on disk is written again.
    CacheRecovered,
    /// A database is not used.
    DatabaseNotUsed { error: String, has_previous: bool },
    /// A database is used again.
    DatabaseRecovered,
}

impl Note {
    pub(super) fn new(list: impl Into<String>, event: Event) -> Self {
        let list = list.into();
        Self { list, event }
    }

    pub(super) fn database(path: &Path, event: Event) -> Self {
        Self::new(path.display().to_string(), event)
    }

    pub(super) fn log(&self) {
        let Self { list, event } = self;
        match event {
            Event::Loaded {
                entries,
                invalid,
                took,
            } => info!(list, entries, invalid, ?took, "list loaded"),
            Event::Recovered { entries } => info!(list, entries, "list recovered"),
            Event::NotUsed { error, previous } => {
                let in_use = if previous.is_some() {
                    "previous"
                } else {
                    "none"
                };
                warn!(list, error, in_use, entries = previous, "list not used");
            }
            Event::Emptied { before } => warn!(list, before, "list emptied"),
            Event::InvalidLines {
                invalid,
                lines,
                first,
            } => warn!(list, invalid, lines, first, "list lines invalid"),
            Event::Suspicious { findings } => warn!(list, findings, "list suspicious"),
            Event::Stale { last_change } => {
                let last_change = Moment(*last_change);
                warn!(list, %last_change, "list stale");
            }
            Event::Fresh => info!(list, "list fresh again"),
            Event::CacheFailed { error } => warn!(list, error, "list not cached"),
            Event::CacheRecovered => info!(list, "list cached again"),
            Event::DatabaseNotUsed {
                error,
                has_previous,
            } => {
                let in_use = if *has_previous { "previous" } else { "none" };
                warn!(error, in_use, "database not used");
            }
            Event::DatabaseRecovered => info!(database = list, "database recovered"),
        }
    }
}
