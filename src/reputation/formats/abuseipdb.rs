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
use super::{Refused, text};
use crate::reputation::Confidence;

/// The most bytes of the document between one object and the next.
const OBJECT_MAX: usize = 1 << 20;

/// The number that stands for certainty.
const SCORE_MAX: f64 = 100.0;

const ADDRESS: Expected = "an object with \"ipAddress\"";
const SCORE: Expected = "an \"abuseConfidenceScore\" from 0 to 100";
const MOMENT: Expected = "a \"lastReportedAt\" such as 2026-12-01T00:00:00+00:00";

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
        };
        return text::read(lines, &mut plain, output);
    }
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
        (false, Some(error)) => Err(Refused::Malformed(format!(
            "it is an error instead of a list: \"{error}\""
        ))),
        (false, None) => Err(Refused::Malformed("it has no \"data\"".to_owned())),
    }
}

fn refused(error: serde_json::Error) -> Refused {
    if error.is_io() {
        let error = io::Error::from(error);
        if error.kind() == io::ErrorKind::InvalidData {
            return Refused::Malformed(error.to_string());
        }
        return Refused::Io(error);
    }
    Refused::Malformed(error.to_string())
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
        match self.entry() {
            Ok((item, evidence)) => output.give(number, item, evidence),
            Err(expected) => {
                let what = match &self.address {
                    Scalar::Text(text) => text.as_bytes(),
                    _ => b"",
                };
                output.report.wrong(number, what, expected);
            }
        }
    }

    fn entry(&self) -> Result<(Item, Evidence<'static>), Expected> {
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
            Scalar::Text(text) => moment::rfc3339_or_epoch(text).map_err(|_| MOMENT)?,
            _ => return Err(MOMENT),
        };
        let evidence = Evidence {
            seen,
            ..Evidence::plain(confidence)
        };
        Ok((item, evidence))
    }
}
