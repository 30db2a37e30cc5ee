//! Columns between separators; which stands where is in the options.
//!
//! ```text
//!  network,score,category,expires            a header is passed over
//!  203.0.113.0/24,15,scanner,2026-12-01T00:00:00Z
//!  "2001:db8::/32",7,"bots, loud",1796083200
//! ```
//!
//! A field between quotes may hold the separator, and a quote written twice; it may not hold the end
//! of a line.

use super::item::{Expected, Item};
use super::moment;
use super::options::{Columns, HigherIs, Options};
use super::output::{Evidence, Output};
use super::text::{LineFormat, Text};
use super::{Refused, word};

/// The most columns that are looked at.
const COLUMNS_MAX: usize = 64;

const QUOTE: Expected = "a quote that is closed before a separator or the end of the line";
const NUMBER: Expected = "a number from 0 to max-value in its column";
const WORD: Expected = "a category of at most 64 printable characters";
const MOMENT: Expected = "a time such as 2026-12-01T00:00:00Z, or seconds since 1970,";

/// The reader of columns.
pub(super) struct Csv<'a> {
    options: &'a Options,
    higher_is: Option<HigherIs>,
    has_begun: bool,
    fields: Fields,
}

impl<'a> Csv<'a> {
    /// Fails if the numbers may mean one thing or the opposite.
    pub(super) fn new(options: &'a Options) -> Result<Self, Refused> {
        let higher_is = match options.columns.number {
            Some(_) => Some(options.stated_direction()?),
            None => None,
        };
        Ok(Self {
            options,
            higher_is,
            has_begun: false,
            fields: Fields::default(),
        })
    }

    fn evidence(&self) -> Result<Evidence<'_>, Expected> {
        let Columns {
            number,
            category,
            expires,
            seen,
            ..
        } = self.options.columns;
        let confidence = match (number, self.higher_is) {
            (Some(column), Some(higher_is)) => {
                let number = str::from_utf8(self.fields.at(column)).ok();
                let number = number.and_then(|text| text.parse().ok());
                let confidence =
                    number.and_then(|number| self.options.confidence_of(number, higher_is));
                confidence.ok_or(NUMBER)?
            }
            _ => self.options.confidence,
        };
        let category = match self.fields.maybe(category) {
            None => None,
            Some(text) => Some(word(text).ok_or(WORD)?),
        };
        Ok(Evidence {
            confidence,
            category,
            seen: self.moment(seen)?,
            expires: self.moment(expires)?,
        })
    }

    fn moment(&self, column: Option<usize>) -> Result<Option<u32>, Expected> {
        let Some(text) = self.fields.maybe(column) else {
            return Ok(None);
        };
        let text = str::from_utf8(text).map_err(|_| MOMENT)?;
        moment::rfc3339_or_epoch(text).map_err(|_| MOMENT)
    }
}

impl LineFormat for Csv<'_> {
    const HASH_ONLY: bool = true;

    fn line(&mut self, line: Text<'_>, output: &mut Output<'_>) -> Result<(), Expected> {
        let is_first = !core::mem::replace(&mut self.has_begun, true);
        self.fields
            .split(line.text, self.options.columns.separator)?;
        let prefix = self.fields.at(self.options.columns.prefix);
        if is_first && is_title(prefix) {
            output.skip();
            return Ok(());
        }
        let item = Item::parse(prefix)?;
        output.give(line.number, item, self.evidence()?);
        Ok(())
    }
}

/// Whether this is the name of a column: it has letters, and nothing that only addresses have.
fn is_title(field: &[u8]) -> bool {
    field.first().is_some_and(u8::is_ascii_alphabetic)
        && !field.iter().any(|byte| matches!(byte, b':' | b'.'))
}

/// The fields of a line, without quotes, one behind the other.
#[derive(Debug, Default)]
struct Fields {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Fields {
    fn split(&mut self, mut line: &[u8], separator: u8) -> Result<(), Expected> {
        self.text.clear();
        self.ends.clear();
        while self.ends.len() < COLUMNS_MAX {
            let quoted = line.trim_ascii_start().strip_prefix(b"\"");
            let rest = match quoted {
                Some(quoted) => self.quoted(quoted)?.trim_ascii_start(),
                None => self.bare(line, separator),
            };
            self.ends.push(self.text.len());
            match rest.split_first() {
                None => break,
                Some((byte, rest)) if *byte == separator => line = rest,
                Some(_) => return Err(QUOTE),
            }
        }
        Ok(())
    }

    /// Takes a field up to the separator, and gives what follows.
    fn bare<'l>(&mut self, line: &'l [u8], separator: u8) -> &'l [u8] {
        let end = line.iter().position(|byte| *byte == separator);
        let split = end.and_then(|end| line.split_at_checked(end));
        let (field, rest) = split.unwrap_or((line, &[]));
        self.text.extend_from_slice(field.trim_ascii());
        rest
    }

    /// Takes a field up to its closing quote, and gives what follows.
    fn quoted<'l>(&mut self, mut line: &'l [u8]) -> Result<&'l [u8], Expected> {
        loop {
            let end = line.iter().position(|byte| *byte == b'"').ok_or(QUOTE)?;
            let (part, rest) = line.split_at_checked(end).ok_or(QUOTE)?;
            self.text.extend_from_slice(part);
            match rest {
                [_, b'"', rest @ ..] => {
                    self.text.push(b'"');
                    line = rest;
                }
                [_, rest @ ..] => return Ok(rest),
                [] => return Err(QUOTE),
            }
        }
    }

    /// The field of a column; empty if there is none.
    fn at(&self, column: usize) -> &[u8] {
        let start = match column.checked_sub(1) {
            None => Some(0),
            Some(before) => self.ends.get(before).copied(),
        };
        let range = start.zip(self.ends.get(column).copied());
        range
            .and_then(|(start, end)| self.text.get(start..end))
            .unwrap_or_default()
    }

    /// The field of a column that need not be there.
    fn maybe(&self, column: Option<usize>) -> Option<&[u8]> {
        Some(self.at(column?)).filter(|field| !field.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::Format;
    use crate::formats::tests::{parts, refusal};

    fn stated(higher_is: HigherIs) -> Options {
        Options {
            higher_is: Some(higher_is),
            ..Options::default()
        }
    }

    fn read(options: &Options, feed: &str) -> (Vec<String>, Vec<String>) {
        parts(Format::Csv, options, feed)
    }

    #[test]
    fn columns_are_read_with_the_polarity_that_is_stated() {
        let feed = "network,score,category,expires\r\n\
            203.0.113.0/24,15,scanner,2026-12-01T00:00:00Z\r\n\
            2001:db8::1, 0 ,,1796083200\n\
            \"203.0.113.1-203.0.113.2\",100,\"bots, \"\"loud\"\"\"\n\
            203.0.113.7,12.5\n\
            # comment\n\
            203.0.113.8,50,,9999-12-31T23:59:59Z\n";
        let (entries, wrong) = read(&stated(HigherIs::Worse), feed);
        assert_eq!(wrong, [""; 0]);
        assert_eq!(
            entries,
            [
                "203.0.113.0/24 0.15 scanner until 1796083200",
                "2001:db8::1 0 until 1796083200",
                "203.0.113.1 1 bots, \"loud\"",
                "203.0.113.2 1 bots, \"loud\"",
                "203.0.113.7 0.125",
                "203.0.113.8 0.5",
            ]
        );
        let (entries, _) = read(&stated(HigherIs::Better), feed);
        assert_eq!(entries[0], "203.0.113.0/24 0.85 scanner until 1796083200");
        assert_eq!(entries[1], "2001:db8::1 1 until 1796083200");
        assert!(refusal(Format::Csv, &Options::default(), feed).contains("higher_is"));
    }

    #[test]
    fn columns_stand_where_the_options_say() {
        let options = Options {
            columns: Columns {
                separator: b';',
                prefix: 2,
                number: None,
                category: Some(0),
                expires: None,
                seen: Some(1),
            },
            ..Options::default()
        };
        let (entries, wrong) = read(&options, "bots;1796083200;203.0.113.9;7\n;;203.0.113.10\n");
        assert_eq!(
            entries,
            ["203.0.113.9 1 bots seen 1796083200", "203.0.113.10 1"]
        );
        assert_eq!(wrong, [""; 0]);
    }

    #[test]
    fn wrong_fields_are_named() {
        let feed = "203.0.113.1,101\n\
            203.0.113.2,-1\n203.0.113.3,NaN\n203.0.113.4\n203.0.113.5,\n\
            203.0.113.6,1,a\x07b\n203.0.113.7,1,a,tomorrow\n203.0.113.8,1,a,1796083200000\n\
            \"203.0.113.9,1\n\"203.0.113.9\"x,1\n";
        let (entries, wrong) = read(&stated(HigherIs::Worse), feed);
        assert_eq!(entries, [""; 0]);
        let expected = [
            NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, WORD, MOMENT, MOMENT, QUOTE, QUOTE,
        ];
        assert_eq!(wrong.len(), expected.len());
        for (wrong, expected) in wrong.iter().zip(expected) {
            assert!(wrong.ends_with(expected), "{wrong}");
        }
    }

    #[test]
    fn only_the_first_line_may_be_a_header() {
        let (entries, wrong) = read(
            &stated(HigherIs::Worse),
            "# of ours\nip,score\n203.0.113.1,1\nip,score\n",
        );
        assert_eq!((entries.len(), wrong.len()), (1, 1));
        let (_, wrong) = read(&stated(HigherIs::Worse), "example.com,1\n203.0.113.1,1\n");
        assert_eq!(wrong.len(), 1);
    }

    #[test]
    fn columns_without_end_cost_nothing() {
        let feed = format!("203.0.113.1,1{}", ",".repeat(4000));
        let (entries, wrong) = read(&stated(HigherIs::Worse), &feed);
        assert_eq!((entries.len(), wrong.len()), (1, 0));
    }
}
