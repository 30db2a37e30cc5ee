//! `[[feed]]`: where a list comes from, what is in it, and how much it counts.

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use ip_reputation::formats::{Columns, Format, HigherIs, Keys, MmdbRule, Strip};
use ip_reputation::{Confidence, Role};

/// One feed.
#[derive(Debug, Clone, PartialEq)]
pub struct Feed {
    /// The line of the file in which its name stands; 0 for a file of `[allow]` or `[deny]`.
    pub line: usize,
    /// Its name, which no other feed has.
    pub name: Arc<str>,
    /// What it is to the table: a feed that is weighed, or one that decides as `[allow]` or `[deny]` does.
    pub role: Role,
    /// Feeds of one group are no independent witnesses. `None`: a group of its own.
    pub group: Option<Arc<str>>,
    /// Where it comes from.
    pub place: Place,
    /// Its format; `None`: found out from its beginning.
    pub format: Option<Format>,
    /// How much it counts, 0 to 1. Default 1.
    pub weight: f64,
    /// How sure an entry is that has no number of its own. Default 1.
    pub confidence: Confidence,
    /// The age at which an entry counts half. `None`: age does not matter.
    pub half_life: Option<Duration>,
    /// The category of entries that name none.
    pub category: Option<Arc<str>>,
    /// Whether it counts for the shadow score only.
    pub shadow: bool,
    /// How often it is asked for. Default 1 h for a URL; a file is watched, and only asked for with
    /// an interval if it has one.
    pub interval: Option<Duration>,
    /// How long a transfer may take. Default 30 s.
    pub timeout: Duration,
    /// The most bytes, as they come and unpacked. Default 512 MiB.
    pub max_size: u64,
    /// The share of the last good one's entries that may be missing from the next. Default 0.5.
    pub max_shrink_ratio: f64,
    /// How many times as many addresses as the last good one the next may cover. `None`: as many times
    /// as no feed grows by that means it.
    pub max_growth_ratio: Option<f64>,
    /// The share of lines that may be wrong. Default 0.05.
    pub max_invalid_ratio: f64,
    /// The age from which its answers are called stale. `None`: never.
    pub stale_after: Option<Duration>,
    /// Whether it may be empty.
    pub allow_empty: bool,
    /// The only CAs that its server's certificate may be of. `None`: the public ones.
    pub ca_file: Option<PathBuf>,
    /// Headers of the request.
    pub headers: Vec<Header>,
    /// What only some formats need.
    pub specifics: Specifics,
}

impl Feed {
    /// Whether it is a file of `[allow]` or `[deny]`, whose format cannot be stated.
    #[must_use]
    pub const fn is_own(&self) -> bool {
        self.line == 0
    }
}

/// Where a feed comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file. Relative paths start at the folder of the configuration.
    Path(PathBuf),
    /// An `http` or `https` URL.
    Url(String),
}

impl fmt::Display for Place {
    /// The path, or the URL without what may be secret in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Url(url) => f.write_str(url.split(['?', '#']).next().unwrap_or_default()),
        }
    }
}

/// A header of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Where its value is.
    pub value: Secret,
}

/// Where the value of a header is. One that is secret belongs into a file or the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// In the configuration.
    Literal(String),
    /// The first line of a file.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
}

/// What only some formats need.
#[derive(Debug, Clone, PartialEq)]
pub struct Specifics {
    /// What numbers mean, for formats that leave it open.
    pub higher_is: Option<HigherIs>,
    /// The highest number that there is. Default 100.
    pub max_value: f64,
    /// CSV: what stands where.
    pub columns: Columns,
    /// JSON: where things are.
    pub keys: Keys,
    /// CSV and JSON: what a record must say to count, by column or key.
    pub conditions: Vec<(String, String)>,
    /// What surrounds an address.
    pub strip: Option<Strip>,
    /// What stands in front of an address.
    pub strip_prefix: Option<String>,
    /// CSV: whether addresses are written as integers.
    pub integers: bool,
    /// `lines`: the expression that finds the entries.
    pub regex: Option<String>,
    /// The shortest IPv4 prefix. Default 8.
    pub min_prefix_v4: u8,
    /// The shortest IPv6 prefix. Default 16.
    pub min_prefix_v6: u8,
    /// Suricata: the file with the names of the categories.
    pub categories: Option<PathBuf>,
    /// `ipset save`: the sets to take; none: all.
    pub sets: Vec<String>,
    /// MMDB: what makes a network bad.
    pub rules: Vec<MmdbRule>,
    /// `asn`, or a format that is not stated: the database of autonomous systems.
    pub asn_db: Option<PathBuf>,
}
