//! What an operator states about a feed because the feed itself does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Attributes, Refused};
use crate::Confidence;

/// Which end of a feed's numbers is the bad one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HigherIs {
    /// The highest number is the worst address, 0 is a good one.
    Worse,
    /// 0 is the worst address, the highest number a good one.
    Better,
}

/// What [`read`](super::read) has to know besides the bytes. The default suits the formats without
/// numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The moment that time-outs (`ipset save`) count from, in seconds since 1970: when the data was
    /// written if that is known, else the present.
    pub now: u32,
    /// What an entry without a number says.
    pub confidence: Confidence,
    /// CSV and HAProxy maps: there is no default, since half of the feeds mean the opposite.
    pub higher_is: Option<HigherIs>,
    /// CSV and HAProxy maps: the highest number there is. 0 is the lowest.
    pub max_value: f64,
    /// CSV: what stands where.
    pub columns: Columns,
    /// Suricata: the names of the categories.
    pub categories: Categories,
    /// `ipset save`: the sets to take; all of them if there are none.
    pub sets: Vec<String>,
    /// JSON: where things are.
    pub keys: Keys,
    /// CSV and JSON: what a record must say to count, by column or key; compared as text.
    pub conditions: Vec<(String, String)>,
    /// What surrounds an address.
    pub strip: Option<Strip>,
    /// CSV: what stands in front of an address, such as `Ip:`.
    pub strip_prefix: Option<String>,
    /// CSV: whether addresses are written as integers.
    pub integers: bool,
    /// `lines`: the expression with the named groups `prefix`, `value`, `category`, `last_seen`,
    /// `expires` and `duration`.
    pub regex: Option<String>,
    /// A shorter IPv4 prefix is an invalid line, unless it lies in reserved space. Default 0: none is.
    pub min_prefix_v4: u8,
    /// The same for IPv6.
    pub min_prefix_v6: u8,
    /// MMDB: what makes a network bad. The rule that says most counts.
    pub rules: Vec<MmdbRule>,
    /// `asn`: the database that knows the networks of autonomous systems.
    pub asn_db: Option<Arc<Attributes>>,
    /// The share of wrong lines, 0 to 1, above which the feed is refused if they are more than
    /// [`WRONG_FEW`](super::WRONG_FEW) or half of it. With 0 no line may be wrong.
    pub max_invalid_ratio: f64,
    /// Whether a feed without entries is taken for what it is.
    pub allow_empty: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            now: 0,
            confidence: Confidence::FULL,
            higher_is: None,
            max_value: 100.0,
            columns: Columns::default(),
            categories: Categories::default(),
            sets: Vec::new(),
            keys: Keys::default(),
            conditions: Vec::new(),
            strip: None,
            strip_prefix: None,
            integers: false,
            regex: None,
            min_prefix_v4: 0,
            min_prefix_v6: 0,
            rules: Vec::new(),
            asn_db: None,
            max_invalid_ratio: 0.05,
            allow_empty: false,
        }
    }
}

impl Options {
    /// Fails if the numbers of the feed may mean one thing or the opposite.
    pub(super) fn stated_direction(&self) -> Result<HigherIs, Refused> {
        self.higher_is.ok_or(Refused::Unstated(
            "higher-is: whether the highest number of the feed is the worst or the best address",
        ))
    }

    /// Returns the confidence that a feed's number stands for, unless it is negative. One above
    /// `max_value` counts as that.
    pub(super) fn confidence_of(&self, number: f64, higher_is: HigherIs) -> Option<Confidence> {
        if number.is_nan() || number < 0.0 {
            return None;
        }
        let ratio = number.min(self.max_value) / self.max_value;
        Some(Confidence::ratio(match higher_is {
            HigherIs::Worse => ratio,
            HigherIs::Better => 1.0 - ratio,
        }))
    }
}

/// What surrounds an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strip {
    /// A port behind it: `203.0.113.9:80`, `[2001:db8::1]:80`.
    Port,
    /// The rest of a URL: `http://203.0.113.9:80/path`. Names of hosts are passed over.
    Url,
}

/// A column of a CSV file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// The first one is 0.
    Index(usize),
    /// As the header calls it.
    Name(String),
}

/// Where in a line of a CSV file things stand.
///
/// ```text
/// 203.0.113.0/24,15,scanner,2026-12-01T00:00:00Z
///       0         1    2             3
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Between two columns.
    pub separator: u8,
    /// An address, a prefix or a range; not read if there is a `first`.
    pub prefix: Column,
    /// The first address of a range.
    pub first: Option<Column>,
    /// The last address of that range.
    pub last: Option<Column>,
    /// Instead of the last address: the length of the prefix.
    pub length: Option<Column>,
    /// Instead of the last address: the mask of the network.
    pub netmask: Option<Column>,
    /// Instead of the last address: how many addresses there are; for IPv6 the length of the prefix.
    pub count: Option<Column>,
    /// A number from 0 to [`Options::max_value`]; every line must have one.
    pub number: Option<Column>,
    /// A word; may be empty or missing.
    pub category: Option<Column>,
    /// When the entry ends; may be empty or missing.
    pub expires: Option<Column>,
    /// When the evidence was last seen; may be empty or missing.
    pub seen: Option<Column>,
    /// How long the entry lasts, such as `3h59m2s`; may be empty or missing.
    pub duration: Option<Column>,
}

impl Default for Columns {
    /// No column has a default but the address, which is the first.
    fn default() -> Self {
        Self {
            separator: b',',
            prefix: Column::Index(0),
            first: None,
            last: None,
            length: None,
            netmask: None,
            count: None,
            number: None,
            category: None,
            expires: None,
            seen: None,
            duration: None,
        }
    }
}

/// Where in a JSON document things are. A dot leads into an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// Paths to the items: `prefixes[]`, `[].decisions[]`, `*.ioc[]`. Empty: each document is an item,
    /// or, if there is no `prefix` either, every string is an address.
    pub items: Vec<String>,
    /// Addresses. Empty: `prefix`.
    pub prefix: Vec<String>,
    /// A number from 0 to [`Options::max_value`]; every item must have one.
    pub value: Option<String>,
    /// A word.
    pub category: Option<String>,
    /// When the evidence was last seen.
    pub last_seen: Option<String>,
    /// When the entry ends.
    pub expires: Option<String>,
    /// How long the entry lasts, such as `3h59m2s`.
    pub duration: Option<String>,
}

/// Suricata's numbers for categories, and their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Categories(pub(super) BTreeMap<u8, String>);

impl Categories {
    /// The name of a category.
    #[must_use]
    pub fn name(&self, number: u8) -> Option<&str> {
        self.0.get(&number).map(String::as_str)
    }

    /// How many have a name.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none has a name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What makes a network of a MaxMind database bad, and how bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MmdbRule {
    /// Which networks.
    pub on: MmdbMatch,
    /// How bad.
    pub confidence: Confidence,
    /// What kind of badness.
    pub category: Option<String>,
}

/// Which networks of a MaxMind database a rule speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MmdbMatch {
    /// Those where this is `true`: `is_anonymous`, `is_anonymous_vpn`, `is_hosting_provider`,
    /// `is_public_proxy`, `is_residential_proxy`, `is_tor_exit_node`, or another; a dot leads into a
    /// map (`traits.is_anycast`).
    Flag(String),
    /// Those that an autonomous system announces.
    Asn(u32),
    /// Those of a country: its ISO 3166-1 code, upper case.
    Country([u8; 2]),
}
