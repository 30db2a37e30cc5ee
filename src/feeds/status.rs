//! What the control plane knows of itself, for whoever asks.

use core::fmt;
use core::time::Duration;
use std::sync::{Arc, Mutex};

use ip_reputation::formats::Format;

/// The state of feeds and of what was made of them.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Tables that were published after the first.
    pub reloads: u64,
    /// Lists that were not used, each time that they were not.
    pub refusals: u64,
    /// Configurations that were not used.
    pub bad_configurations: u64,
    /// Whether the latest configuration was one of them.
    pub bad_configuration: bool,
    /// When the current table was made, in seconds since 1970.
    pub published: Option<u32>,
    /// How long it took to make and publish it.
    pub took: Duration,
    /// Entries in the table.
    pub entries: usize,
    /// Disjoint ranges that they became.
    pub ranges: usize,
    /// Memory that the table takes, in bytes.
    pub bytes: usize,
    /// Policies that were replaced and that a worker still holds.
    pub retired: usize,
    /// Each list, in the order of the configuration.
    pub feeds: Vec<FeedStatus>,
}

/// The state of one list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedStatus {
    /// What it is called: the name of a feed, or the path of a list of one's own.
    pub name: String,
    /// The format of the last good one.
    pub format: Option<Format>,
    /// IPv4 entries in use.
    pub v4: usize,
    /// IPv6 entries in use.
    pub v6: usize,
    /// Lines of the last good one that were wrong.
    pub wrong: u64,
    /// When the data was made, in seconds since 1970.
    pub as_of: Option<u32>,
    /// When it was last read or confirmed, in seconds since 1970.
    pub last_success: Option<u32>,
    /// From when on it is older than `stale-after`, in seconds since 1970.
    pub stale_from: Option<u32>,
    /// Whether it is.
    pub stale: bool,
    /// Whether it is the copy on disk of what a URL gave to an earlier process.
    pub from_cache: bool,
    /// How often it was not used since the last good one.
    pub failures: u64,
    /// How often it could not be loaded since the start.
    pub failures_total: u64,
    /// Why it was last not used, if the latest one was not.
    pub error: Option<String>,
}

/// A status that several threads see.
pub type SharedStatus = Arc<Mutex<Status>>;

/// Lines of `key=value`, as the answer to SIGUSR1 has them.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "reputation entries={} ranges={} bytes={} reloads={} refusals={} \
             bad_configurations={} retired={} published={}",
            self.entries,
            self.ranges,
            self.bytes,
            self.reloads,
            self.refusals,
            self.bad_configurations,
            self.retired,
            Moment(self.published),
        )?;
        self.feeds.iter().try_for_each(|feed| write!(f, "\n{feed}"))
    }
}

impl FeedStatus {
    /// How it is, in a word: `good`; `copy` of an earlier process; `kept`, since the latest was not
    /// good; `absent`.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match (&self.error, self.last_success) {
            (_, None) => "absent",
            (Some(_), Some(_)) => "kept",
            (None, Some(_)) if self.from_cache => "copy",
            (None, Some(_)) => "good",
        }
    }
}

impl fmt::Display for FeedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let format = self.format.map_or("unknown", Format::name);
        write!(
            f,
            "feed={:?} state={state} format={format} v4={} v6={} wrong={} as_of={} \
             last_success={} stale={} failures={}",
            self.name,
            self.v4,
            self.v6,
            self.wrong,
            Moment(self.as_of),
            Moment(self.last_success),
            self.stale,
            self.failures,
        )?;
        match &self.error {
            Some(error) => write!(f, " error={error:?}"),
            None => Ok(()),
        }
    }
}

/// A moment as people write it, in UTC.
#[derive(Debug, Clone, Copy)]
pub struct Moment(pub Option<u32>);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = self
            .0
            .map(|second| jiff::Timestamp::from_second(second.into()));
        match moment {
            Some(Ok(moment)) => moment.fmt(f),
            _ => f.write_str("never"),
        }
    }
}
