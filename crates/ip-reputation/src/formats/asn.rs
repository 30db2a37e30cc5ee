//! Lists of AS numbers, expanded into networks through a database of autonomous systems.
//!
//! ```text
//!  AS64496  # Example                                     or 64496, or the first column of CSV
//!  {"asn":64496,"rir":"arin","domain":"example.org"}      Spamhaus asndrop, with its last line:
//!  {"type":"metadata","timestamp":1796083200,"records":1}
//! ```
//!
//! A number that the database does not know adds no entry and is no invalid line: autonomous systems
//! come and go, and neither file is of the second at which the other was made.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::item::{Expected, Item};
use super::lines::Lines;
use super::options::Options;
use super::output::{Evidence, Output};
use super::text::{self, LineFormat, Text};
use super::trailer::Trailer;
use super::{Refused, check_wrong};

const NUMBER: Expected = "an AS number such as AS64496";
const OBJECT: Expected = "an object with \"asn\", or the metadata with \"records\",";

/// Reads a list of AS numbers.
pub(super) fn read(
    lines: &mut Lines<'_>,
    options: &Options,
    output: &mut Output<'_>,
) -> Result<(), Refused> {
    let mut systems = Systems::default();
    text::read(lines, &mut systems, output)?;
    check_wrong(&output.report, options)?;
    if systems.is_json {
        systems.trailer.is_whole(output)?;
    }
    let mut numbers = systems.numbers;
    if numbers.is_empty() {
        return Ok(());
    }
    let Some(database) = &options.asn_db else {
        return Err(Refused::Unstated(
            "asn-db in [reputation]: the database that knows the networks of AS numbers",
        ));
    };
    let evidence = Evidence::plain(options.confidence);
    database.systems(|prefix, number| {
        let Some(system) = numbers.get_mut(&number) else {
            return;
        };
        system.has_network = true;
        let is_masked = false;
        let given = output.give(system.line, Item::One { prefix, is_masked }, evidence);
        if let Err(expected) = given
            && !core::mem::replace(&mut system.is_wrong, true)
        {
            let what = format!("AS{number} ({prefix})");
            output.report.wrong(system.line, what.as_bytes(), expected);
        }
    })?;
    output.goes_on()?;
    let (all, unknown) = (numbers.len(), numbers.values());
    let unknown = unknown.filter(|system| !system.has_network).count();
    if unknown == all && all > 0 && !options.allow_empty {
        return Err(Refused::NoNetworks(all));
    }
    if unknown * 2 > all {
        output.report.note(format!(
            "asn-db has no network for {unknown} of {all} AS numbers; is it current?"
        ));
    }
    Ok(())
}

/// The autonomous systems of a list.
#[derive(Default)]
struct Systems {
    numbers: BTreeMap<u32, System>,
    trailer: Trailer,
    is_json: bool,
    has_begun: bool,
}

/// One of them.
struct System {
    line: u64,
    has_network: bool,
    is_wrong: bool,
}

/// A line of asndrop.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(default)]
    asn: Option<Value>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    timestamp: Option<Value>,
    #[serde(default)]
    records: Option<u64>,
}

impl LineFormat for Systems {
    fn line(&mut self, line: Text<'_>, output: &mut Output<'_>) -> Result<(), Expected> {
        let is_first = !core::mem::replace(&mut self.has_begun, true);
        let number = if line.text.starts_with(b"{") {
            self.is_json = true;
            let record: Record<'_> = serde_json::from_slice(line.text).map_err(|_| OBJECT)?;
            if record.kind.as_deref() == Some("metadata") {
                let (records, timestamp) = (record.records, record.timestamp.as_ref());
                return self.trailer.take(line.number, records, timestamp, output);
            }
            match record.asn.ok_or(OBJECT)? {
                Value::String(text) => number(text.as_bytes()),
                value => value.as_u64().and_then(|asn| u32::try_from(asn).ok()),
            }
        } else {
            let first = first_field(line.text);
            if is_first && !first.iter().any(u8::is_ascii_digit) {
                // The names of the columns.
                output.skip();
                return Ok(());
            }
            number(first).filter(|_| is_alone(line.text, first))
        };
        let number = number.filter(|number| *number > 0).ok_or(NUMBER)?;
        self.numbers.entry(number).or_insert(System {
            line: line.number,
            has_network: false,
            is_wrong: false,
        });
        Ok(())
    }
}

/// The first column of a line, whatever separates it from the next, without quotes.
fn first_field(line: &[u8]) -> &[u8] {
    let is_end =
        |byte: &u8| matches!(byte, b',' | b';' | b'|' | b'#') || byte.is_ascii_whitespace();
    let end = line.iter().position(is_end).unwrap_or(line.len());
    let field = line.get(..end).unwrap_or(line);
    let bare = field.strip_prefix(b"\"");
    bare.and_then(|field| field.strip_suffix(b"\""))
        .unwrap_or(field)
}

/// Whether a number without a mark is all of its line or column: `404 page not found` names no system.
fn is_alone(line: &[u8], field: &[u8]) -> bool {
    let after = line.get(field.len()..).unwrap_or_default();
    let next = after.trim_ascii_start().first();
    field.first().is_some_and(u8::is_ascii_alphabetic)
        || !after.starts_with(b" ")
        || matches!(next, None | Some(b'#' | b',' | b';' | b'|'))
}

/// `AS64496`, `ASN64496` or `64496`.
pub(super) fn number(text: &[u8]) -> Option<u32> {
    let text = str::from_utf8(text).ok()?.trim();
    let start = text
        .get(..2)
        .filter(|start| start.eq_ignore_ascii_case("as"));
    let text = start.map_or(text, |start| text.get(start.len()..).unwrap_or_default());
    let text = text
        .strip_prefix(['n', 'N'])
        .filter(|_| start.is_some())
        .unwrap_or(text);
    let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_decimal)
}

/// Whether a line without a comment is an AS number as no other list has it.
pub(super) fn is_marked(line: &[u8]) -> bool {
    let field = first_field(line);
    field
        .get(..2)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"as"))
        && number(field).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_every_way_they_are_written() {
        for (text, expected) in [
            ("AS64496", Some(64_496)),
            ("as64496", Some(64_496)),
            ("ASN64496", Some(64_496)),
            ("64496", Some(64_496)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("AS", None),
            ("ASx", None),
            ("-1", None),
            ("+1", None),
            ("N64496", None),
            ("", None),
            ("\u{e9}", None),
        ] {
            assert_eq!(number(text.as_bytes()), expected, "{text}");
        }
        for (line, expected) in [
            ("64496,Example", "64496"),
            ("\"64496\",\"Example\"", "64496"),
            ("AS64496 # Example", "AS64496"),
            ("AS64496;x", "AS64496"),
            ("64496", "64496"),
        ] {
            assert_eq!(first_field(line.as_bytes()), expected.as_bytes(), "{line}");
        }
        for (line, expected) in [
            ("64496", true),
            ("64496 # Example", true),
            ("64496,Example", true),
            ("64496\tExample", true),
            ("AS64496 Example", true),
            ("404 page not found", false),
        ] {
            let line = line.as_bytes();
            assert_eq!(is_alone(line, first_field(line)), expected);
        }
        assert!(is_marked(b"AS64496 Example") && !is_marked(b"64496") && !is_marked(b"asn"));
    }
}
