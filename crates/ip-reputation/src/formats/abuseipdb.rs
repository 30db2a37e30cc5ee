//! The blacklist of AbuseIPDB: a JSON document, or a plain list of addresses.
//!
//! ```text
//!  {"meta":{"generatedAt":"2026-12-01T00:00:00+00:00"},
//!   "data":[{"ipAddress":"203.0.113.5","countryCode":"ZZ","abuseConfidenceScore":97,
//!            "lastReportedAt":"2026-11-30T23:17:02+00:00"}, ...]}
//! ```
//!
//! 100 is the worst. The document is read as it comes, an object at a time: there is never more of it
//! in memory than one object. An object that cannot be used counts as a wrong line; a document that is
//! not well-formed is refused, since nobody knows what is missing from it.

mod seeds;

use core::cell::Cell;
use std::io::{self, BufReader, Read};

use serde::de::DeserializeSeed as _;
use serde_json::Deserializer;

use self::seeds::Document;
use super::header::Header;
use super::item::{Expected, Item};
use super::lines::Lines;
use super::moment;
use super::options::Options;
use super::output::{Evidence, Output};
use super::plain::Plain;
use super::{Refused, Report, text};
use crate::Confidence;

/// The most bytes of the document between one object and the next.
const OBJECT_MAX: usize = 1 << 20;

/// The number that stands for certainty.
const SCORE_MAX: f64 = 100.0;

const ADDRESS: Expected = "an object with \"ipAddress\"";
const SCORE: Expected = "an \"abuseConfidenceScore\" from 0 to 100";

/// Reads either form.
pub(super) fn read(
    lines: &mut Lines<'_>,
    options: &Options,
    output: &mut Output<'_>,
) -> Result<(), Refused> {
    text::sniff(lines)?;
    if !lines.head(1)?.trim_ascii_start().starts_with(b"{") {
        let mut plain = Plain {
            confidence: options.confidence,
            header: Header::new(false),
            stripping: None,
        };
        return text::read(lines, &mut plain, output);
    }
    output.report.has_records = true;
    let since_object = Cell::new(0);
    let metered = Metered {
        input: lines,
        since_object: &since_object,
    };
    let mut deserializer = Deserializer::from_reader(BufReader::new(metered));
    let document = Document {
        output,
        since_object: &since_object,
    };
    let read = document.deserialize(&mut deserializer);
    let read = read.and_then(|found| deserializer.end().map(|()| found));
    output.goes_on()?;
    let found = read.map_err(refused)?;
    match (found.has_data, found.error) {
        (true, _) => Ok(()),
        (false, Some(error)) => Err(Refused::NoList(error)),
        (false, None) => Err(Refused::DecodeError("it has no \"data\"".to_owned())),
    }
}

fn refused(error: serde_json::Error) -> Refused {
    if error.is_io() {
        let error = io::Error::from(error);
        if error.kind() == io::ErrorKind::InvalidData {
            return Refused::DecodeError(error.to_string());
        }
        return Refused::Io(error);
    }
    Refused::DecodeError(error.to_string())
}

/// Fails once there are too many bytes in one object.
struct Metered<'a, 'b> {
    input: &'a mut Lines<'b>,
    since_object: &'a Cell<usize>,
}

impl Read for Metered<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.since_object.get() > OBJECT_MAX {
            let what = "an object or a text in it is longer than a megabyte";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let read = self.input.read(into)?;
        self.since_object.set(self.since_object.get() + read);
        Ok(read)
    }
}

/// One object of `data`: what was found in it.
#[derive(Debug, Default)]
struct Listed {
    address: Scalar,
    score: Scalar,
    last_reported: Scalar,
}

/// A value that is no object and no list.
#[derive(Debug, Default)]
enum Scalar {
    #[default]
    Missing,
    Text(String),
    Number(f64),
    /// Of a type that nothing here has.
    Other,
}

impl Listed {
    /// Hands over the entry, or counts it as wrong.
    fn settle(&self, number: u64, output: &mut Output<'_>) {
        output.report.lines += 1;
        match self.entry(&mut output.report) {
            Ok((item, evidence)) => output.give_record(number, item, evidence),
            Err(expected) => {
                let what = match &self.address {
                    Scalar::Text(text) => text.as_bytes(),
                    _ => b"",
                };
                output.report.wrong(number, what, expected);
            }
        }
    }

    fn entry(&self, report: &mut Report) -> Result<(Item, Evidence<'static>), Expected> {
        let Scalar::Text(address) = &self.address else {
            return Err(ADDRESS);
        };
        let item = Item::parse(address.as_bytes())?;
        let score = match &self.score {
            Scalar::Number(score) => Some(*score),
            Scalar::Text(text) => text.parse().ok(),
            _ => None,
        };
        let score = score.filter(|score| (0.0..=SCORE_MAX).contains(score));
        let confidence = Confidence::ratio(score.ok_or(SCORE)? / SCORE_MAX);
        let seen = match &self.last_reported {
            Scalar::Missing => None,
            Scalar::Text(text) => {
                let seen = moment::rfc3339_or_epoch(text);
                report.bad_times += u64::from(seen.is_err());
                seen.ok().flatten()
            }
            _ => {
                report.bad_times += 1;
                None
            }
        };
        let evidence = Evidence {
            seen,
            ..Evidence::plain(confidence)
        };
        Ok((item, evidence))
    }
}

#[cfg(test)]
mod tests {
    use crate::formats::tests::{outcome, parts, refusal};
    use crate::formats::{Format, Options};

    fn why(feed: &str) -> String {
        refusal(Format::AbuseIpdb, &Options::default(), feed)
    }

    #[test]
    fn a_hundred_is_the_worst() {
        let feed = br#"{"meta":{"generatedAt":"2026-12-01T00:00:00+00:00"},
            "data":[
              {"ipAddress":"203.0.113.5","countryCode":"ZZ","abuseConfidenceScore":97,
               "lastReportedAt":"2026-11-30T23:00:00+00:00"},
              {"ipAddress":"2001:db8::1","abuseConfidenceScore":100,"lastReportedAt":null,
               "reports":[{"x":[1,2]}]},
              {"abuseConfidenceScore":"0","ipAddress":"203.0.113.\u0036"}
            ]}"#;
        let (entries, report) = outcome(Format::AbuseIpdb, &Options::default(), feed).unwrap();
        assert_eq!(
            entries,
            [
                "203.0.113.5 0.97 seen 1796079600",
                "2001:db8::1 1",
                "203.0.113.6 0",
            ]
        );
        assert_eq!(report.as_of, Some(1_796_083_200));
        assert_eq!(report.lines, 3);
    }

    #[test]
    fn the_plain_form_is_read_too() {
        let feed = "203.0.113.5\n2001:db8::1\n";
        let (entries, wrong) = parts(Format::AbuseIpdb, &Options::default(), feed);
        assert_eq!(entries, ["203.0.113.5 1", "2001:db8::1 1"]);
        assert_eq!(wrong, [""; 0]);
    }

    #[test]
    fn an_object_that_cannot_be_used_is_a_wrong_line() {
        let feed = r#"{"data":[{"ipAddress":"203.0.113.5","abuseConfidenceScore":7},
            {"ipAddress":"203.0.113.6"}, {"ipAddress":7}, {}, [1,[2]], "203.0.113.7", 7, -7, 7.5,
            null, true, {"ipAddress":"203.0.113.8","abuseConfidenceScore":101},
            {"ipAddress":"203.0.113.8","abuseConfidenceScore":-1},
            {"ipAddress":"203.0.113.8","abuseConfidenceScore":1,"lastReportedAt":"soon"}
            ]}"#;
        let options = Options {
            max_invalid_ratio: 1.0,
            ..Options::default()
        };
        let (entries, report) = outcome(Format::AbuseIpdb, &options, feed.as_bytes()).unwrap();
        assert_eq!(entries, ["203.0.113.5 0.07", "203.0.113.8 0.01"]);
        assert_eq!((report.lines, report.wrong, report.bad_times), (14, 12, 1));
        assert_eq!(report.first_wrong[0].line, 2);
        let wrong = report.first_wrong[1].to_string();
        assert!(wrong.starts_with("record 3: "), "{wrong}");
        let refused = refusal(Format::AbuseIpdb, &Options::default(), feed);
        let start = "12 of 14 records are wrong, more than max-invalid-ratio allows; record 2: ";
        assert!(refused.starts_with(start), "{refused}");
    }

    #[test]
    fn a_document_that_is_not_whole_is_refused() {
        let whole = r#"{"data":[{"ipAddress":"203.0.113.5","abuseConfidenceScore":7}]}"#;
        assert!(outcome(Format::AbuseIpdb, &Options::default(), whole.as_bytes()).is_ok());
        for end in 1..whole.len() {
            assert!(
                why(&whole[..end]).contains("not well-formed"),
                "cut after {end}"
            );
        }
        assert!(why(&format!("{whole}{whole}")).contains("trailing"));
        assert!(why("{\"data\":7}").contains("a list of objects"));
        assert!(why("{}").contains("it has no \"data\""));
        assert!(why("{\"data\":[]}").contains("there is no entry"));
        let limit =
            r#"{"errors":[{"detail":"Daily rate limit of 5 requests exceeded.","status":429}]}"#;
        assert_eq!(
            why(limit),
            "it is an error instead of a list: \"Daily rate limit of 5 requests exceeded.\""
        );
    }

    #[test]
    fn memory_does_not_grow_with_the_document() {
        let long = format!(
            "{{\"data\":[{{\"ipAddress\":\"{}\"}}]}}",
            "x".repeat(3 << 20)
        );
        assert!(why(&long).contains("longer than a megabyte"));
        let deep = format!("{{\"other\":{}", "[".repeat(3 << 20));
        assert!(why(&deep).contains("not well-formed"));
        let deep = format!("{{\"data\":[{}", "{\"a\":".repeat(3 << 20));
        assert!(why(&deep).contains("not well-formed"));
        let one = "{\"ipAddress\":\"203.0.113.5\",\"abuseConfidenceScore\":7},";
        let many = format!("{{\"data\":[{}{{}}]}}", one.repeat((3 << 20) / one.len()));
        assert!(outcome(Format::AbuseIpdb, &Options::default(), many.as_bytes()).is_ok());
    }
}
