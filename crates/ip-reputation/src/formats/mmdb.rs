//! MaxMind databases: rules of the configuration say which of their networks are bad.
//!
//! ```text
//!  is_tor_exit_node            = true     0.9  tor
//!  autonomous_system_number    = 64496    0.5  hosting
//!  country.iso_code            = ZZ       0.2
//! ```
//!
//! A database is read into memory whole and walked once. A hostile one may have far more paths than
//! nodes, and records that are far longer than its data: the walk is given up when it has seen more
//! networks than a tree can have, and the records that are left when it has taken too many steps in the
//! data are wrong.

pub(super) mod values;

use core::cell::LazyCell;
use std::collections::HashMap;
use std::io::Read;

use maxminddb::{LookupResult, MaxMindDbError, Metadata, Reader, WithinOptions};

use super::Refused;
use super::contents::Contents;
use super::item::{Expected, Item};
use super::options::{MmdbMatch, MmdbRule, Options};
use super::output::{Evidence, Output};
use super::report::Report;
use crate::Prefix;
use values::{Odd, Values};

const RECORD: Expected = "a record with fields of the types that MaxMind uses";

/// Networks for each node of the tree: a tree has one more leaf than nodes, and IPv4 may be reached
/// in more than one way.
const NETWORKS_PER_NODE: u64 = 4;

/// Steps in the data for each byte of it and each rule. A value has a byte at least, and is looked at
/// twice if it is a key; the rest is for values that records share.
const STEPS_PER_BYTE: u64 = 4;

/// Reads a database.
pub(super) fn read(
    input: &mut impl Read,
    options: &Options,
    output: &mut Output<'_>,
) -> Result<(), Refused> {
    if options.rules.is_empty() {
        return Err(Refused::Unstated(
            "rules: which flags, autonomous systems or countries of the database are bad",
        ));
    }
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes)?;
    let reader = match Reader::from_source(bytes.as_slice()) {
        Ok(reader) => reader,
        Err(error) => return Err(unfit(&bytes, &error)),
    };
    output.report.has_records = true;
    output.report.as_of = u32::try_from(reader.metadata().build_epoch).ok();
    let data = data(&bytes, reader.metadata());
    let steps = STEPS_PER_BYTE * (data.len() * options.rules.len()) as u64;
    walk(&reader, &Values::new(data, steps), &options.rules, output)
}

/// Whether a rule speaks of any network, or none need be bad.
pub(super) fn has_matches(report: &Report, options: &Options) -> Result<(), Refused> {
    if report.entries > 0 || report.skipped == 0 || options.allow_empty {
        return Ok(());
    }
    let why = match report.notes.as_slice() {
        [] => "every flag that they name is false".to_owned(),
        notes => notes.join("; "),
    };
    Err(Refused::NoMatch(why))
}

/// What follows the tree and sixteen zeros.
pub(super) fn data<'b>(file: &'b [u8], metadata: &Metadata) -> &'b [u8] {
    let node = usize::from(metadata.record_size) / 4;
    let tree = usize::try_from(metadata.node_count).unwrap_or(usize::MAX);
    let start = tree.saturating_mul(node).saturating_add(16);
    file.get(start..).unwrap_or_default()
}

/// Says what the bytes are, if that is plainer than why they are no database.
fn unfit(bytes: &[u8], error: &MaxMindDbError) -> Refused {
    let head = bytes.get(..1024).unwrap_or(bytes);
    match Contents::sniff(head) {
        Contents::Binary | Contents::Text => malformed(error),
        Contents::Nothing => Refused::Empty,
        other => Refused::Unfit(other),
    }
}

fn malformed(error: &MaxMindDbError) -> Refused {
    Refused::DecodeError(error.to_string())
}

fn walk(
    reader: &Reader<&[u8]>,
    values: &Values<'_>,
    rules: &[MmdbRule],
    output: &mut Output<'_>,
) -> Result<(), Refused> {
    let options = WithinOptions::default().include_networks_without_data();
    let networks = reader
        .networks(options)
        .map_err(|error| malformed(&error))?;
    let networks_max = NETWORKS_PER_NODE * (u64::from(reader.metadata().node_count) + 1);
    // Many networks share a record.
    let mut judged: HashMap<usize, Result<Option<&MmdbRule>, Expected>> = HashMap::new();
    // Whether a network has what a rule asks for, so that a typing error in a rule can be told.
    let mut met = vec![false; rules.len()];
    let mut number = 0;
    for found in networks {
        let found = found.map_err(|error| malformed(&error))?;
        number += 1;
        if number > networks_max {
            return Err(too_many_networks());
        }
        let Some(offset) = found.offset() else {
            continue;
        };
        let judge = || strongest(values, offset, rules, &mut met);
        let judgement = *judged.entry(offset).or_insert_with(judge);
        settle(number, &found, judgement, output)?;
    }
    for (rule, _) in rules.iter().zip(met).filter(|(_, is_met)| !is_met) {
        output.report.note(match &rule.on {
            MmdbMatch::Flag(path) => format!("no network has the flag {path:?}"),
            MmdbMatch::Asn(number) => format!("no network is of the autonomous system {number}"),
            MmdbMatch::Country(code) => {
                format!("no network is in the country {}", code.escape_ascii())
            }
        });
    }
    Ok(())
}

/// Hands over every network of a database that has the number of an autonomous system.
pub(super) fn systems<S: AsRef<[u8]>>(
    reader: &Reader<S>,
    data: &[u8],
    mut each: impl FnMut(Prefix, u32),
) -> Result<(), Refused> {
    let values = Values::new(data, STEPS_PER_BYTE * data.len() as u64);
    let options = WithinOptions::default().include_networks_without_data();
    let networks = reader
        .networks(options)
        .map_err(|error| malformed(&error))?;
    let networks_max = NETWORKS_PER_NODE * (u64::from(reader.metadata().node_count) + 1);
    let mut numbers: HashMap<usize, Option<u32>> = HashMap::new();
    for (found, count) in networks.zip(0..) {
        let found = found.map_err(|error| malformed(&error))?;
        if count > networks_max {
            return Err(too_many_networks());
        }
        let Some(offset) = found.offset() else {
            continue;
        };
        let number = numbers.entry(offset);
        let number = *number.or_insert_with(|| asn(&values, offset).ok().flatten());
        let network = found.network().map_err(|error| malformed(&error))?;
        let prefix = Prefix::new(network.network(), network.prefix());
        if let (Some(number), Some(prefix)) = (number, prefix) {
            each(prefix, number);
            if let Some(low) = low(prefix) {
                each(low, number);
            }
        }
    }
    Ok(())
}

fn too_many_networks() -> Refused {
    Refused::DecodeError("its tree has more networks than it can have".to_owned())
}

fn settle(
    number: u64,
    found: &LookupResult<'_, &[u8]>,
    judgement: Result<Option<&MmdbRule>, Expected>,
    output: &mut Output<'_>,
) -> Result<(), Refused> {
    output.report.lines += 1;
    let network = found.network().map_err(|error| malformed(&error))?;
    let prefix = Prefix::new(network.network(), network.prefix());
    match (judgement, prefix) {
        (Ok(None), _) => output.skip(),
        (Ok(Some(rule)), Some(prefix)) => {
            let evidence = Evidence {
                category: rule.category.as_deref(),
                ..Evidence::plain(rule.confidence)
            };
            for prefix in [Some(prefix), low(prefix)].into_iter().flatten() {
                let is_masked = false;
                if let Err(expected) =
                    output.give(number, Item::One { prefix, is_masked }, evidence)
                {
                    output
                        .report
                        .wrong(number, prefix.to_string().as_bytes(), expected);
                    break;
                }
            }
        }
        (Err(expected), _) => {
            let what = network.to_string();
            output.report.wrong(number, what.as_bytes(), expected);
        }
        (_, None) => return Err(Refused::DecodeError("a network too long".to_owned())),
    }
    output.goes_on()
}

/// The low addresses of IPv6 are where a database has IPv4: a network around all of them is one around
/// all of IPv4 too.
fn low(prefix: Prefix) -> Option<Prefix> {
    match prefix {
        Prefix::V6 { network: 0, len } if len <= 96 => Prefix::v4(0, 0),
        _ => None,
    }
}

/// The rule that says most of a record; the first of equals.
fn strongest<'r>(
    values: &Values<'_>,
    record: usize,
    rules: &'r [MmdbRule],
    met: &mut [bool],
) -> Result<Option<&'r MmdbRule>, Expected> {
    // Looked up once, however many rules ask.
    let asn = LazyCell::new(|| asn(values, record));
    let country = LazyCell::new(|| country(values, record));
    let matches = |on: &MmdbMatch| match on {
        MmdbMatch::Flag(path) => flag(values, record, path),
        MmdbMatch::Asn(number) => Ok((*asn)?.filter(|asn| asn == number).map(|_| true)),
        MmdbMatch::Country(code) => Ok((*country)?.filter(|it| it == code).map(|_| true)),
    };
    let mut strongest: Option<&MmdbRule> = None;
    for (rule, is_met) in rules.iter().zip(met) {
        let is_stronger = strongest.is_none_or(|other| rule.confidence > other.confidence);
        if !is_stronger && *is_met {
            continue;
        }
        let said = matches(&rule.on);
        *is_met |= matches!(said, Ok(Some(_)));
        if is_stronger && said.map_err(|Odd| RECORD)? == Some(true) {
            strongest = Some(rule);
        }
    }
    Ok(strongest)
}

/// Whether a flag is set, if a record has it.
fn flag(values: &Values<'_>, record: usize, path: &str) -> Result<Option<bool>, Odd> {
    let flag = values.find(record, path.split('.'))?;
    flag.map(|at| values.flag(at)).transpose()
}

/// The number of the autonomous system, if a record has one.
pub(super) fn asn(values: &Values<'_>, record: usize) -> Result<Option<u32>, Odd> {
    let number = values.find(record, ["autonomous_system_number"])?;
    number.map(|at| values.number(at)).transpose()
}

/// The ISO 3166-1 code of the country, if a record has one.
pub(super) fn country(values: &Values<'_>, record: usize) -> Result<Option<[u8; 2]>, Odd> {
    let Some(code) = values.find(record, ["country", "iso_code"])? else {
        return Ok(None);
    };
    let code = <[u8; 2]>::try_from(values.text(code)?).ok();
    Ok(code.filter(|code| code.iter().all(u8::is_ascii_uppercase)))
}
