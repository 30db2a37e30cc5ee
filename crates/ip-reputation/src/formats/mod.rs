//! Reputation data as it is found in the wild, read into entries.
//!
//! ```text
//!  bytes ──► Lines, or a document ──► one format's reader ──► Entry ──► sink
//!                                            │
//!                                            └──► Report: what was there, what was wrong
//! ```
//!
//! In scope: what the bytes say, line by line, in memory that does not grow with the input (a MMDB
//! is a document and is held whole). Out of scope: where the bytes come from, how many there may be
//! (the caller bounds its reader), and what the entries add up to.
//!
//! | format | a line | confidence | besides |
//! |---|---|---|---|
//! | `plain` | `203.0.113.0/24  # note` | the feed's | |
//! | `netset` | the same | the feed's | category, date and number of entries in comments |
//! | `drop-text` | `192.0.2.0/24 ; SBL000001` | the feed's | dates in comments |
//! | `drop-json` | `{"cidr":"192.0.2.0/24"}` | the feed's | date, number of entries |
//! | `csv` | `203.0.113.0/24,15,scanner,1796083200` | number, direction stated | category, expiry, last seen |
//! | `suricata-iprep` | `203.0.113.0/24,1,88` | number / 127 | category |
//! | `abuseipdb` | `{"ipAddress":"203.0.113.5","abuseConfidenceScore":97}` | number / 100 | last seen, date |
//! | `ipset-save` | `add bl 203.0.113.0/24 timeout 300` | the feed's | expiry |
//! | `haproxy-map` | `203.0.113.0/24 15` | number, direction stated | a word is the category |
//! | `mmdb` | none | that of a rule | category of the rule, date |
//! | `json` | of any shape, or a document a line | a value by key | what is at other keys |
//! | `lines` | of any shape, by a regular expression | its group `value` | its other groups |
//! | `p2p` | `name:192.0.2.1-192.0.2.9` | the feed's | |
//! | `dat` | `192.000.002.001 - 192.000.002.009 , 100 , name` | the feed's | |
//! | `asn` | `AS64496`, `{"asn":64496}` | the feed's | networks of a database, date, number of entries |
//!
//! A line that cannot be read is counted and named, and the others are used; a feed of which too
//! many lines are wrong, or that is no list at all, is refused whole.

mod abuseipdb;
mod asn;
mod attributes;
mod contents;
mod csv;
mod detect;
mod drop_json;
mod format;
mod haproxy_map;
mod header;
mod ipset;
mod item;
mod json;
mod lines;
mod mmdb;
mod moment;
mod options;
mod output;
mod p2p;
mod pattern;
mod plain;
mod record;
mod refused;
mod report;
mod suricata;
mod text;
mod trailer;

use core::ops::ControlFlow;
use std::io::BufRead;

use crate::Entry;

pub use attributes::{Attributes, NoDatabase};
pub use contents::Contents;
pub use detect::{Unrecognised, detect};
pub use format::{Format, UnknownFormat};
pub use options::{
    Categories, Column, Columns, HigherIs, Keys, MmdbMatch, MmdbRule, Options, Strip,
};
pub use output::Sink;
pub use pattern::{check_regex, regex_reads};
pub use refused::Refused;
pub use report::{NAMED_MAX, Report, Wrong};

use csv::Csv;
use drop_json::DropJson;
use haproxy_map::HaproxyMap;
use header::Header;
use ipset::IpsetSave;
use lines::Lines;
use output::Output;
use p2p::{Dat, P2p};
use pattern::Pattern;
use plain::Plain;
use suricata::{CategoryNames, Suricata};

/// Wrong lines that are passed over if more lines are right, whatever their share.
pub const WRONG_FEW: u64 = 3;

/// The most bytes in the name of a category.
const WORD_MAX: usize = 64;

/// Reads a feed to its end and hands its entries to the sink, in the order of the feed.
///
/// The caller bounds the input; every input that ends is read in time proportional to its length.
///
/// # Errors
/// [`Refused`], if the feed is not to be used. Entries that the sink has taken by then are part of
/// something that is not whole: they are to be thrown away.
///
/// ```
/// use core::ops::ControlFlow;
/// use ip_reputation::formats::{Format, Options, read};
///
/// let mut list = &b"203.0.113.9  # a host\n198.51.100.0/24\n"[..];
/// let mut found = Vec::new();
/// let report = read(Format::Plain, &mut list, &Options::default(), &mut |entry| {
///     found.push(entry.prefix.to_string());
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!((report.entries, report.wrong), (2, 0));
/// assert_eq!(found, ["203.0.113.9", "198.51.100.0/24"]);
/// # Ok::<_, ip_reputation::formats::Refused>(())
/// ```
pub fn read(
    format: Format,
    input: &mut dyn BufRead,
    options: &Options,
    sink: &mut Sink<'_>,
) -> Result<Report, Refused> {
    let mut output =
        Output::new(sink).with_min_prefix(options.min_prefix_v4, options.min_prefix_v6);
    dispatch(format, input, options, &mut output)?;
    judge(output.report, options)
}

/// Hands the input to the reader of its format.
fn dispatch(
    format: Format,
    input: &mut dyn BufRead,
    options: &Options,
    output: &mut Output<'_>,
) -> Result<(), Refused> {
    let lines = &mut Lines::new(input);
    if matches!(format, Format::Plain | Format::Netset) {
        lines.split_long_lines();
    }
    match format {
        Format::Plain | Format::DropText | Format::Netset => {
            let header = Header::new(format == Format::Netset);
            let confidence = options.confidence;
            let strips = options.strip.is_some() || options.strip_prefix.is_some();
            let stripping = strips.then_some(options);
            let mut plain = Plain {
                confidence,
                header,
                stripping,
            };
            text::read(lines, &mut plain, output)
        }
        Format::DropJson => {
            let mut drop = DropJson::new(options.confidence);
            text::read(lines, &mut drop, output)?;
            check_wrong(&output.report, options)?;
            drop.is_whole(output)
        }
        Format::Csv => {
            let mut csv = Csv::new(options)?;
            text::read(lines, &mut csv, output)?;
            csv.has_columns()
        }
        Format::Json => json::read(lines, options, output),
        Format::Lines => text::read(lines, &mut Pattern::new(options)?, output),
        Format::P2p => {
            let confidence = options.confidence;
            text::read(lines, &mut P2p { confidence }, output)
        }
        Format::Dat => {
            let confidence = options.confidence;
            text::read(lines, &mut Dat { confidence }, output)
        }
        Format::SuricataIprep => {
            let categories = &options.categories;
            text::read(lines, &mut Suricata { categories }, output)
        }
        Format::AbuseIpdb => abuseipdb::read(lines, options, output),
        Format::IpsetSave => {
            let mut ipset = IpsetSave::new(options);
            text::read(lines, &mut ipset, output)?;
            check_wrong(&output.report, options)?;
            ipset.has_sets()
        }
        Format::HaproxyMap => {
            let mut map = HaproxyMap::new(options);
            text::read(lines, &mut map, output)?;
            map.has_direction()
        }
        Format::Asn => asn::read(lines, options, output),
        Format::Mmdb => {
            mmdb::read(lines, options, output)?;
            check_wrong(&output.report, options)?;
            mmdb::has_matches(&output.report, options)
        }
    }
}

impl Categories {
    /// Reads Suricata's categories file. Of the options, only `max_invalid_ratio` and `allow_empty` count.
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(input: &mut dyn BufRead, options: &Options) -> Result<(Self, Report), Refused> {
        let mut nobody = |_: Entry<'_>| ControlFlow::Continue(());
        let mut output = Output::new(&mut nobody);
        let mut names = CategoryNames::default();
        text::read(&mut Lines::new(input), &mut names, &mut output)?;
        Ok((names.0, judge(output.report, options)?))
    }
}

/// Whether what was read is a feed.
fn judge(mut report: Report, options: &Options) -> Result<Report, Refused> {
    check_wrong(&report, options)?;
    report.emptied &= report.lines == 0;
    let is_filtered = report.filtered > 0 && report.lines == 0;
    if report.entries == 0 && !report.emptied && !is_filtered && !options.allow_empty {
        return Err(Refused::Empty);
    }
    Ok(report)
}

/// In a list of five lines one typing error is a fifth: a few wrong lines are passed over whatever
/// their share, as long as most of the list is right. Error pages and other texts are not.
fn check_wrong(report: &Report, options: &Options) -> Result<(), Refused> {
    let right = report.lines - report.wrong;
    let is_slip =
        report.wrong <= WRONG_FEW && report.wrong < right && options.max_invalid_ratio > 0.0;
    if report.exceeds(options.max_invalid_ratio) && !is_slip {
        return Err(Refused::TooManyWrong(Box::new(report.clone())));
    }
    Ok(())
}

/// A text that may be the name of a category: short, and nothing in it that upsets a log.
fn word(text: &[u8]) -> Option<&str> {
    let text = str::from_utf8(text).ok()?;
    let is_word = (1..=WORD_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    is_word.then_some(text)
}

#[cfg(test)]
mod tests;
