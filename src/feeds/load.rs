//! From the bytes of a list to its data, and the guards in between: nothing that cannot be read, is
//! empty by accident or has shrunk too much gets past here.

use core::fmt;
use core::ops::ControlFlow;
use core::time::Duration;
use std::io::{BufRead, Cursor};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::background::BackgroundExecutor;
use super::source::{File, Input, SourceError, Stamp, TRIES_MAX};
use super::{databases, probe};
use crate::config::{Feed, Place};
use ip_reputation::formats::{
    self, Categories, Contents, Format, Options, Refused, Report, Unrecognised,
};
use ip_reputation::{FeedData, FeedDataBuilder, FeedDataFull, Prefix};

/// A list that was read and is good.
#[derive(Debug, Clone)]
pub struct LoadedFeed {
    /// Its entries.
    pub data: Arc<FeedData>,
    /// The format that it is in.
    pub format: Format,
    /// What reading it has shown.
    pub report: Report,
    /// When its data was made, in seconds since 1970: what it says itself, else when the file was
    /// written or the URL fetched.
    pub as_of: Option<u32>,
    /// How long it took to parse.
    pub took: Duration,
    /// The bytes of a list of AS numbers that was fetched: their networks change with the database.
    pub raw: Option<Arc<[u8]>>,
}

impl LoadedFeed {
    /// Keeps the bytes, if the list may have to be read again without being fetched.
    #[must_use]
    pub fn keeping(self, bytes: &[u8]) -> Self {
        let is_kept = self.format == Format::Asn && bytes.len() <= RAW_MAX;
        Self {
            raw: is_kept.then(|| bytes.into()),
            ..self
        }
    }
}

/// The most bytes that are kept of a list of AS numbers. There are some 120,000 of them in the world.
const RAW_MAX: usize = 16 << 20;

/// Why a list is not used.
#[derive(Debug)]
pub enum LoadError {
    /// Its bytes cannot be had.
    Source(SourceError),
    /// Nobody knows its format.
    Format(Unrecognised),
    /// They are no list, or not a good one.
    Refused(Refused),
    /// Not as a list of the format that it seems to be in.
    Assumed(Format, Box<Self>),
    /// The file with Suricata's categories.
    Categories(Box<Self>),
    /// The database of autonomous systems, in these words.
    AsnDb(String),
    /// Too many entries, or too many different things that they say.
    Full(FeedDataFull),
    /// Whoever read it panicked, with these words.
    Bug(String),
    /// Much less than the last good one.
    Shrunk {
        /// Entries of the last good one.
        from: usize,
        /// Entries now.
        to: usize,
        /// The share that may be missing.
        max: f64,
    },
    /// Many more addresses than the last good one.
    Grown {
        /// What is counted.
        unit: &'static str,
        /// Addresses of the last good one.
        from: u64,
        /// Addresses now.
        to: u64,
        /// How many times as many there may be.
        max: f64,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => error.fmt(f),
            Self::Format(error) => error.fmt(f),
            Self::Refused(error) => error.fmt(f),
            Self::Assumed(format, error) => write!(f, "read as {format}; {error}"),
            Self::Categories(error) => write!(f, "its categories: {error}"),
            Self::AsnDb(why) => write!(f, "asn-db: {why}"),
            Self::Full(why) => why.fmt(f),
            Self::Bug(why) => write!(f, "reading it met a bug, which is not its fault: {why}"),
            Self::Shrunk { from, to, max } => write!(
                f,
                "{to} entries where {from} were: more is missing than max-shrink-ratio = {max} allows; \
                 raise it if that is right, or run spoa ctl accept"
            ),
            Self::Grown {
                unit,
                from,
                to,
                max,
            } => write!(
                f,
                "it covers {to} {unit} where it covered {from}: more than max-growth-ratio = {max} allows; \
                 raise it if that is right, or run spoa ctl accept"
            ),
        }
    }
}

impl core::error::Error for LoadError {}

impl LoadError {
    /// Whether the fault is none of the list's, so that the same file may be good a moment later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Source(error) => error.may_pass(),
            Self::Refused(Refused::Io(error)) => error.raw_os_error().is_some(),
            Self::Assumed(_, error) | Self::Categories(error) => error.may_pass(),
            _ => false,
        }
    }

    /// When the server wants to be asked again, if it said so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Source(error) => error.retry_after(),
            _ => None,
        }
    }
}

impl From<SourceError> for LoadError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

/// Reads a list from an open file: again, if somebody wrote to it meanwhile.
///
/// # Errors
/// Why it is not used.
pub fn read_file(feed: &Feed, path: &Path, now: u32) -> Result<(LoadedFeed, Stamp), LoadError> {
    read_open(feed, path, probe::open(path, feed.max_size)?, now)
}

fn read_open(
    feed: &Feed,
    path: &Path,
    mut file: File,
    now: u32,
) -> Result<(LoadedFeed, Stamp), LoadError> {
    for _ in 0..TRIES_MAX {
        let mut input = file.input(feed.max_size)?;
        let read = read(feed, &mut input, file.modified(), now);
        drop(input);
        if file.is_unchanged() {
            return read.map(|good| (good, file.stamp()));
        }
        file = File::open(path, feed.max_size)?;
    }
    let path = path.to_owned();
    Err(SourceError::Changing { path }.into())
}

/// Reads a file on the thread that makes way.
pub(super) fn read_aside(
    background: &BackgroundExecutor,
    feed: &Feed,
    path: &Path,
    now: u32,
) -> Result<(LoadedFeed, Stamp), LoadError> {
    let file = probe::open(path, feed.max_size)?;
    read_open_aside(background, feed, path, file, now)
}

/// The same with a file that is open.
pub(super) fn read_open_aside(
    background: &BackgroundExecutor,
    feed: &Feed,
    path: &Path,
    file: File,
    now: u32,
) -> Result<(LoadedFeed, Stamp), LoadError> {
    let (feed, path) = (feed.clone(), path.to_owned());
    // The work may be done twice, the second time with a file that is opened again.
    let file = Mutex::new(Some(file));
    background.run(move || {
        let open = file.lock().unwrap_or_else(PoisonError::into_inner).take();
        match open {
            Some(file) => read_open(&feed, &path, file, now),
            None => read_file(&feed, &path, now),
        }
    })
}

/// Reads a list that was fetched.
///
/// # Errors
/// Why it is not used.
pub fn read_bytes(
    feed: &Feed,
    bytes: &[u8],
    as_of: u32,
    now: u32,
) -> Result<LoadedFeed, LoadError> {
    let mut input = Input::new(Cursor::new(bytes), feed.max_size).map_err(SourceError::Bytes)?;
    read(feed, &mut input, Some(as_of), now)
}

/// The last part of a path or URL, without the ending that says that it is packed.
fn name(place: &Place) -> &str {
    let path = match place {
        Place::Path(path) => path.to_str().unwrap_or_default(),
        Place::Url(url) => url.split(['?', '#']).next().unwrap_or_default(),
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    let packed = [".gz", ".zip"]
        .into_iter()
        .find_map(|packed| name.strip_suffix(packed));
    packed.unwrap_or(name)
}

/// Takes what others have made. A panic in there costs this list, and not the thread that reads all of
/// them.
pub fn catch_panic<T>(take: impl FnOnce() -> Result<T, LoadError>) -> Result<T, LoadError> {
    panic::catch_unwind(AssertUnwindSafe(take)).unwrap_or_else(|why| {
        let text = why.downcast_ref::<&str>().copied();
        let text = text.or_else(|| why.downcast_ref::<String>().map(String::as_str));
        Err(LoadError::Bug(
            text.unwrap_or("no words").replace('\n', " "),
        ))
    })
}

fn read(
    feed: &Feed,
    input: &mut Input<'_>,
    as_of: Option<u32>,
    now: u32,
) -> Result<LoadedFeed, LoadError> {
    catch_panic(|| read_entries(feed, input, as_of, now))
}

fn read_entries(
    feed: &Feed,
    input: &mut Input<'_>,
    as_of: Option<u32>,
    now: u32,
) -> Result<LoadedFeed, LoadError> {
    let begun = Instant::now();
    let mut options = options(feed, as_of.unwrap_or(now))?;
    let reader = input.reader();
    let format = match feed.format {
        Some(format) => format,
        None => detect(reader, feed)?,
    };
    if let (Format::Asn, Some(path)) = (format, &feed.specifics.asn_db) {
        let read = databases::read(path);
        options.asn_db = Some(Arc::new(read.map_err(LoadError::AsnDb)?));
    }
    let assumed = |why: LoadError| match feed.format {
        Some(_) => why,
        None => LoadError::Assumed(format, Box::new(why)),
    };
    let mut builder = FeedDataBuilder::new();
    let mut full = None;
    let report = formats::read(format, reader, &options, &mut |entry| {
        full = builder.add(entry).err();
        match full {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    });
    if let Some(full) = full {
        return Err(assumed(LoadError::Full(full)));
    }
    let report = report.map_err(|why| assumed(LoadError::Refused(why)))?;
    Ok(LoadedFeed {
        data: Arc::new(builder.finish()),
        format,
        as_of: report.as_of.or(as_of),
        report,
        took: begun.elapsed(),
        raw: None,
    })
}

fn detect(reader: &mut dyn BufRead, feed: &Feed) -> Result<Format, LoadError> {
    let unreadable = |error| LoadError::Refused(Refused::Io(error));
    let head = reader.fill_buf().map_err(unreadable)?;
    match formats::detect(head, name(&feed.place)) {
        Ok(format) => Ok(format),
        // Of an address in a list of one's own no number says more.
        Err(Unrecognised::Semicolons(_)) if feed.is_own() => Ok(Format::Plain),
        Err(Unrecognised::Unfit(Contents::Nothing) | Unrecognised::Comments)
            if feed.allow_empty =>
        {
            Ok(Format::Plain)
        }
        Err(Unrecognised::Unfit(Contents::Nothing)) => Err(LoadError::Refused(Refused::Empty)),
        Err(error) => Err(LoadError::Format(error)),
    }
}

fn options(feed: &Feed, now: u32) -> Result<Options, LoadError> {
    let specifics = &feed.specifics;
    let mut options = Options {
        now,
        confidence: feed.confidence,
        higher_is: specifics.higher_is,
        max_value: specifics.max_value,
        columns: specifics.columns.clone(),
        keys: specifics.keys.clone(),
        conditions: specifics.conditions.clone(),
        strip: specifics.strip,
        strip_prefix: specifics.strip_prefix.clone(),
        integers: specifics.integers,
        regex: specifics.regex.clone(),
        min_prefix_v4: specifics.min_prefix_v4,
        min_prefix_v6: specifics.min_prefix_v6,
        categories: Categories::default(),
        sets: specifics.sets.clone(),
        rules: specifics.rules.clone(),
        asn_db: None,
        max_invalid_ratio: feed.max_invalid_ratio,
        allow_empty: feed.allow_empty,
    };
    if let Some(path) = &specifics.categories {
        let read = categories(path, &options);
        options.categories = read.map_err(|error| LoadError::Categories(Box::new(error)))?;
    }
    Ok(options)
}

/// The most bytes of a file with categories. There are at most 60 of them.
const CATEGORIES_SIZE_MAX: u64 = 1 << 20;

fn categories(path: &Path, options: &Options) -> Result<Categories, LoadError> {
    let file = probe::open(path, CATEGORIES_SIZE_MAX)?;
    let mut input = file.input(CATEGORIES_SIZE_MAX)?;
    let read = Categories::read(input.reader(), options);
    read.map(|(categories, _)| categories)
        .map_err(LoadError::Refused)
}

/// Whether a list may take the place of the last good one.
///
/// # Errors
/// If too much is missing that nobody says is meant to be, or it covers far more than before.
pub fn check_guards(
    feed: &Feed,
    last: Option<&LoadedFeed>,
    next: &LoadedFeed,
) -> Result<(), LoadError> {
    check_shrinkage(feed, last, next)?;
    match last.filter(|_| !feed.is_own()) {
        Some(last) => check_growth(feed, &last.data, &next.data),
        None => Ok(()),
    }
}

/// How many times as many addresses a feed may cover that sets no limit.
const GROWTH_MAX: f64 = 100.0;
/// A feed that sets no limit may cover this many addresses at any time.
const GROWTH_FREE: u64 = 1 << 16;

/// Every list of one's own may mean any number of addresses; a feed that suddenly means many does not.
fn check_growth(feed: &Feed, last: &FeedData, next: &FeedData) -> Result<(), LoadError> {
    let (before, after) = (covered(last), covered(next));
    let max = feed.max_growth_ratio.unwrap_or(GROWTH_MAX);
    let free = feed.max_growth_ratio.map_or(GROWTH_FREE, |_| 0);
    let families = [
        ("IPv4 addresses", before.0, after.0),
        ("IPv6 /64 networks", before.1, after.1),
    ];
    for (unit, from, to) in families {
        #[expect(clippy::cast_precision_loss, reason = "a ratio need not be exact")]
        let is_too_much = to as f64 > from as f64 * max;
        // A family that was not there has nothing to be compared with.
        if from > 0 && to > free && is_too_much {
            return Err(LoadError::Grown {
                unit,
                from,
                to,
                max,
            });
        }
    }
    Ok(())
}

/// How many IPv4 addresses and how many IPv6 /64 networks are in a list, each counted once.
fn covered(data: &FeedData) -> (u64, u64) {
    let (mut v4, mut v6) = (Covered::default(), Covered::default());
    for entry in data.entries() {
        match entry.prefix {
            Prefix::V4 { network, len } => v4.add(network.into(), 32, len),
            Prefix::V6 { network, len } => v6.add(network >> 64, 64, len.min(64)),
        }
    }
    (v4.count(), v6.count())
}

/// Counts what prefixes cover that come in order.
#[derive(Debug, Default)]
struct Covered {
    /// Everything below it is counted.
    end: u128,
    count: u128,
}

impl Covered {
    fn add(&mut self, first: u128, bits: u8, len: u8) {
        let end = first + (1 << bits.saturating_sub(len));
        self.count += end.saturating_sub(self.end.max(first));
        self.end = self.end.max(end);
    }

    fn count(&self) -> u64 {
        u64::try_from(self.count).unwrap_or(u64::MAX)
    }
}

/// Whether enough of a list is left.
fn check_shrinkage(
    feed: &Feed,
    last: Option<&LoadedFeed>,
    next: &LoadedFeed,
) -> Result<(), LoadError> {
    let (from, to) = (last.map_or(0, |last| last.data.len()), next.data.len());
    let is_meant = next.report.emptied || (to == 0 && feed.allow_empty);
    #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
    let wanted = from as f64 * (1.0 - feed.max_shrink_ratio);
    #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
    let is_enough = to as f64 >= wanted;
    if is_enough || is_meant {
        return Ok(());
    }
    Err(LoadError::Shrunk {
        from,
        to,
        max: feed.max_shrink_ratio,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(prefixes: &[&str]) -> FeedData {
        let mut builder = FeedDataBuilder::new();
        for prefix in prefixes {
            let (address, len) = prefix.split_once('/').unwrap();
            let prefix = Prefix::new(address.parse().unwrap(), len.parse().unwrap());
            let entry = ip_reputation::Entry::bad(prefix.unwrap());
            builder.add(entry).unwrap();
        }
        builder.finish()
    }

    #[test]
    fn what_is_covered_is_counted_once() {
        let list = data(&[
            "192.0.2.0/24",
            "192.0.2.7/32",
            "192.0.2.0/25",
            "198.51.100.1/32",
            "2001:db8::/62",
            "2001:db8:0:1::5/128",
            "2001:db8:1::5/128",
        ]);
        assert_eq!(covered(&list), (257, 5));
        assert_eq!(covered(&data(&["0.0.0.0/0", "::/0"])), (1 << 32, u64::MAX));
        assert_eq!(covered(&data(&[])), (0, 0));
    }

    #[test]
    fn a_panic_costs_a_list_and_no_more() {
        let place = "byte 7";
        let error = catch_panic::<()>(|| panic!("out of bounds at {place}")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "reading it met a bug, which is not its fault: out of bounds at byte 7"
        );
        let error = catch_panic::<()>(|| panic!("plain")).unwrap_err();
        assert!(error.to_string().ends_with("plain"), "{error}");
        assert!(catch_panic(|| Ok(())).is_ok());
    }
}
