//! Spamhaus DROP as JSON: an object a line, and a last one that says how many there are.
//!
//! ```text
//!  {"cidr":"192.0.2.0/24","sblid":"SBL000001","rir":"arin"}
//!  {"type":"metadata","timestamp":1796083200,"size":57,"records":1}
//! ```
//!
//! Without the last line the list is cut short, and so it is if there are fewer lines than that says.
//! The files for IPv4 and IPv6, one behind the other, are a list too. The file of autonomous systems
//! is not: it has no addresses ([`asn`](super::asn) reads it).

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::Refused;
use super::item::{Expected, Item};
use super::output::{Evidence, Output};
use super::text::{LineFormat, Text};
use super::trailer::Trailer;
use crate::Confidence;

const OBJECT: Expected = "an object with \"cidr\", or the metadata with \"records\",";

/// The reader of DROP's JSON lines.
pub(super) struct DropJson {
    confidence: Confidence,
    trailer: Trailer,
}

/// Any of the lines.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, default)]
    cidr: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    timestamp: Option<Value>,
    #[serde(default)]
    records: Option<u64>,
}

impl DropJson {
    pub(super) fn new(confidence: Confidence) -> Self {
        Self {
            confidence,
            trailer: Trailer::default(),
        }
    }

    /// Fails if part of the list is missing.
    pub(super) fn is_whole(&self, output: &Output<'_>) -> Result<(), Refused> {
        self.trailer.is_whole(output)
    }
}

impl LineFormat for DropJson {
    fn line(&mut self, line: Text<'_>, output: &mut Output<'_>) -> Result<(), Expected> {
        let record: Record<'_> = serde_json::from_slice(line.text).map_err(|_| OBJECT)?;
        if record.kind.as_deref() == Some("metadata") {
            let (records, timestamp) = (record.records, record.timestamp.as_ref());
            return self.trailer.take(line.number, records, timestamp, output);
        }
        let cidr = record.cidr.ok_or(OBJECT)?;
        let item = Item::parse(cidr.as_bytes())?;
        output.give(line.number, item, Evidence::plain(self.confidence))
    }
}

#[cfg(test)]
mod tests {
    use crate::formats::tests::{outcome, refusal};
    use crate::formats::{Format, Options};

    const TWO: &str = "{\"cidr\":\"192.0.2.0/24\",\"sblid\":\"SBL1\",\"rir\":\"arin\"}\n\
        {\"cidr\":\"2001:db8::\\/32\",\"sblid\":\"SBL2\"}\n";

    fn metadata(records: u64) -> String {
        format!("{{\"type\":\"metadata\",\"timestamp\":1796083200,\"records\":{records}}}\n")
    }

    fn why(feed: &str) -> String {
        refusal(Format::DropJson, &Options::default(), feed)
    }

    #[test]
    fn a_whole_list_is_read() {
        let feed = [TWO, TWO, &metadata(4)].concat();
        let (entries, report) =
            outcome(Format::DropJson, &Options::default(), feed.as_bytes()).unwrap();
        let once = ["192.0.2.0/24 1", "2001:db8::/32 1"];
        assert_eq!(entries, [once, once].concat());
        assert_eq!(
            (report.declared, report.as_of),
            (Some(4), Some(1_796_083_200))
        );
        assert_eq!((report.lines, report.skipped), (4, 1));
        let both = [TWO, &metadata(2), TWO, &metadata(2)].concat();
        assert!(outcome(Format::DropJson, &Options::default(), both.as_bytes()).is_ok());
    }

    #[test]
    fn a_timestamp_of_another_type_costs_the_date_alone() {
        for (timestamp, as_of, notes) in [
            ("\"2026-12-01T00:00:00Z\"", Some(1_796_083_200), 0),
            ("\"1796083200\"", Some(1_796_083_200), 0),
            ("\"soon\"", None, 1),
            ("1796083200.5", None, 1),
            ("1796083200000", None, 1),
            ("-1", None, 1),
            ("[{}]", None, 1),
            ("null", None, 0),
        ] {
            let last =
                format!("{{\"type\":\"metadata\",\"timestamp\":{timestamp},\"records\":2}}\n");
            let feed = [TWO, &last].concat();
            let read = outcome(Format::DropJson, &Options::default(), feed.as_bytes());
            let (entries, report) = read.unwrap_or_else(|why| panic!("{timestamp}: {why}"));
            assert_eq!((entries.len(), report.as_of), (2, as_of), "{timestamp}");
            assert_eq!(report.notes.len(), notes, "{timestamp}: {:?}", report.notes);
        }
    }

    #[test]
    fn a_list_that_is_cut_short_is_refused() {
        let short = "it is cut short: 2 entries of the 3 that it declares";
        assert_eq!(why(&[TWO, &metadata(3)].concat()), short);
        assert!(why(TWO).starts_with("it is cut short: its last line"));
        let twice = [TWO, &metadata(2), TWO].concat();
        assert!(why(&twice).starts_with("it is cut short: its last line"));
        let whole = [TWO.repeat(20), metadata(40)].concat();
        for end in 1..whole.len() - 1 {
            let refused = outcome(
                Format::DropJson,
                &Options::default(),
                &whole.as_bytes()[..end],
            );
            assert!(refused.is_err(), "cut after {end}");
        }
        assert!(why(&metadata(7)).starts_with("it is cut short: 0 entries of the 7"));
        assert!(why(&metadata(0)).starts_with("there is no entry"));
    }

    #[test]
    fn other_json_is_not_a_list() {
        for feed in [
            "{\"asn\":64496,\"rir\":\"arin\"}\n{\"type\":\"metadata\",\"records\":1}\n",
            "[{\"cidr\":\"192.0.2.0/24\"}]\n",
            "{\n\"cidr\":\"192.0.2.0/24\"\n}\n",
            "{\"cidr\":7}\n",
            "{\"type\":\"metadata\"}\n",
        ] {
            assert!(why(feed).contains("lines are wrong"), "{feed}");
        }
    }
}
