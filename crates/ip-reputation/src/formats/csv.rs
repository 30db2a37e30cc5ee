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

use super::item::{Expected, Item, network, range};
use super::options::{Column, Columns, Options};
use super::output::Output;
use super::record::{self, counted};
use super::text::{LineFormat, Text};
use super::{Refused, report};

/// The most columns that are looked at.
const COLUMNS_MAX: usize = 64;

const QUOTE: Expected = "a quote that is closed before a separator or the end of the line";
const HEADER: Expected = "a header with the names of the columns";

/// The reader of columns.
pub(super) struct Csv<'a> {
    options: &'a Options,
    /// `None` until a header has named the columns.
    places: Option<Places>,
    has_begun: bool,
    /// The line that should have named the columns, and has not.
    unnamed: Option<String>,
    fields: Fields,
}

/// Where in a line everything stands.
#[derive(Debug, Clone)]
struct Places {
    prefix: usize,
    first: Option<usize>,
    last: Option<usize>,
    length: Option<usize>,
    netmask: Option<usize>,
    count: Option<usize>,
    value: Option<usize>,
    category: Option<usize>,
    expires: Option<usize>,
    last_seen: Option<usize>,
    duration: Option<usize>,
    conditions: Vec<usize>,
}

impl<'a> Csv<'a> {
    /// Fails if the numbers may mean one thing or the opposite.
    pub(super) fn new(options: &'a Options) -> Result<Self, Refused> {
        if options.columns.number.is_some() {
            options.stated_direction()?;
        }
        let fields = Fields::default();
        Ok(Self {
            options,
            places: places(options, &fields),
            has_begun: false,
            unnamed: None,
            fields,
        })
    }

    /// Fails if there were lines and no header that names the columns.
    pub(super) fn has_columns(&self) -> Result<(), Refused> {
        let Some(header) = &self.unnamed else {
            return Ok(());
        };
        let missing = missing(self.options);
        Err(Refused::NoColumn(format!(
            "no header names the columns {missing}; the first line is \"{header}\": a column is its \
             name in the header (the first line or the last one with #), or its number from 0"
        )))
    }

    fn item(&self, places: &Places) -> Result<Option<Item>, Expected> {
        let Some(first) = places.first else {
            return self.options.addresses(self.fields.at(places.prefix));
        };
        let start = self.options.address(self.fields.at(first))?;
        let at = |column: Option<usize>| column.map(|column| self.fields.at(column));
        let item = match (
            at(places.last),
            at(places.length),
            at(places.netmask),
            at(places.count),
        ) {
            (Some(last), ..) => range(start, self.options.address(last)?),
            (_, Some(len), ..) | (_, _, Some(len), _) => network(start, len),
            (.., Some(count)) => counted(start, count),
            _ => range(start, start),
        };
        item.map(Some)
    }

    fn is_wanted(&self, places: &Places) -> bool {
        let conditions = self.options.conditions.iter().zip(&places.conditions);
        let mut conditions = conditions.map(|((_, wanted), place)| (wanted, *place));
        conditions.all(|(wanted, place)| self.fields.at(place) == wanted.as_bytes())
    }
}

/// Where everything stands, by a header if columns have names.
fn places(options: &Options, header: &Fields) -> Option<Places> {
    let place = |column: &Column| match column {
        Column::Index(index) => Some(*index),
        Column::Name(name) => {
            (0..header.ends.len()).find(|index| header.at(*index) == name.as_bytes())
        }
    };
    let maybe = |column: &Option<Column>| match column {
        None => Some(None),
        Some(column) => place(column).map(Some),
    };
    let columns = &options.columns;
    let Columns { prefix, first, .. } = columns;
    let conditions = options.conditions.iter().map(|(key, _)| match key.parse() {
        Ok(index) => Some(index),
        Err(_) => place(&Column::Name(key.clone())),
    });
    Some(Places {
        prefix: if first.is_some() { 0 } else { place(prefix)? },
        first: maybe(first)?,
        last: maybe(&columns.last)?,
        length: maybe(&columns.length)?,
        netmask: maybe(&columns.netmask)?,
        count: maybe(&columns.count)?,
        value: maybe(&columns.number)?,
        category: maybe(&columns.category)?,
        expires: maybe(&columns.expires)?,
        last_seen: maybe(&columns.seen)?,
        duration: maybe(&columns.duration)?,
        conditions: conditions.collect::<Option<_>>()?,
    })
}

/// The names that a header has to have, in words.
fn missing(options: &Options) -> String {
    let columns = &options.columns;
    let all = [
        &columns.first,
        &columns.last,
        &columns.length,
        &columns.netmask,
        &columns.count,
        &columns.number,
        &columns.category,
        &columns.expires,
        &columns.seen,
        &columns.duration,
    ];
    let all = all.into_iter().flatten().chain([&columns.prefix]);
    let names = all.filter_map(|column| match column {
        Column::Name(name) => Some(name.as_str()),
        Column::Index(_) => None,
    });
    let keys = options.conditions.iter().map(|(key, _)| key.as_str());
    let keys = keys.filter(|key| key.parse::<usize>().is_err());
    let quoted = names.chain(keys).map(|name| format!("{name:?}"));
    quoted.collect::<Vec<_>>().join(", ")
}

impl LineFormat for Csv<'_> {
    const HASH_ONLY: bool = true;

    fn line(&mut self, line: Text<'_>, output: &mut Output<'_>) -> Result<(), Expected> {
        let is_first = !core::mem::replace(&mut self.has_begun, true);
        let separator = self.options.columns.separator;
        self.fields.split(line.text, separator)?;
        if is_first && let Some(places) = named(self.options, &self.fields) {
            self.places = Some(places);
            output.skip();
            return Ok(());
        }
        let Some(places) = &self.places else {
            self.unnamed
                .get_or_insert_with(|| report::excerpt(line.text));
            return Err(HEADER);
        };
        let start = places.first.unwrap_or(places.prefix);
        if is_first
            && is_title(self.fields.at(start))
            && self.options.addresses(self.fields.at(start)).is_err()
        {
            output.skip();
            return Ok(());
        }
        if !self.is_wanted(places) {
            output.report.filtered += 1;
            output.skip();
            return Ok(());
        }
        let Some(item) = self.item(places)? else {
            output.skip();
            return Ok(());
        };
        let evidence = self.options.evidence(
            record::Fields {
                value: places.value.map(|column| self.fields.at(column)),
                category: self.fields.maybe(places.category),
                last_seen: self.fields.maybe(places.last_seen),
                expires: self.fields.maybe(places.expires),
                duration: self.fields.maybe(places.duration),
            },
            &mut output.report,
        )?;
        output.give(line.number, item, evidence)
    }

    /// The last comment before the first line may be the header.
    fn comment(&mut self, text: &[u8], _output: &mut Output<'_>) {
        if self.has_begun
            || self
                .fields
                .split(text, self.options.columns.separator)
                .is_err()
        {
            return;
        }
        if let Some(places) = named(self.options, &self.fields) {
            self.places = Some(places);
        }
    }
}

/// Where everything stands if columns have names, and this header has all of them.
fn named(options: &Options, header: &Fields) -> Option<Places> {
    let has_names = places(options, &Fields::default()).is_none();
    has_names.then(|| places(options, header)).flatten()
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
    use crate::formats::options::Strip;
    use crate::formats::record::{CATEGORY, VALUE};
    use crate::formats::tests::{outcome, parts, refusal};
    use crate::formats::{Format, HigherIs};

    fn stated(higher_is: HigherIs) -> Options {
        Options {
            higher_is: Some(higher_is),
            columns: Columns {
                number: Some(Column::Index(1)),
                category: Some(Column::Index(2)),
                expires: Some(Column::Index(3)),
                ..Columns::default()
            },
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
        assert!(
            refusal(
                Format::Csv,
                &Options {
                    higher_is: None,
                    ..stated(HigherIs::Worse)
                },
                feed
            )
            .contains("higher-is")
        );
    }

    #[test]
    fn columns_stand_where_the_options_say() {
        let options = Options {
            columns: Columns {
                separator: b';',
                prefix: Column::Index(2),
                category: Some(Column::Index(0)),
                seen: Some(Column::Index(1)),
                ..Columns::default()
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
        let feed = "203.0.113.2,-1\n203.0.113.3,NaN\n203.0.113.4\n203.0.113.5,\n\
            203.0.113.6,1,a\x07b\n\"203.0.113.9,1\n\"203.0.113.9\"x,1\n";
        let (entries, wrong) = read(&stated(HigherIs::Worse), feed);
        assert_eq!(entries, [""; 0]);
        let expected = [VALUE, VALUE, VALUE, VALUE, CATEGORY, QUOTE, QUOTE];
        assert_eq!(wrong.len(), expected.len());
        for (wrong, expected) in wrong.iter().zip(expected) {
            assert!(wrong.ends_with(expected), "{wrong}");
        }
    }

    #[test]
    fn a_value_too_high_is_clamped_and_a_bad_time_costs_the_time() {
        let feed = b"203.0.113.1,101\n203.0.113.7,1,a,tomorrow\n203.0.113.8,1,a,1796083200000\n";
        let (entries, report) = outcome(Format::Csv, &stated(HigherIs::Worse), feed).unwrap();
        assert_eq!(
            entries,
            ["203.0.113.1 1", "203.0.113.7 0.01 a", "203.0.113.8 0.01 a"]
        );
        assert_eq!((report.clamped, report.bad_times, report.wrong), (1, 2, 0));
    }

    fn name(text: &str) -> Column {
        Column::Name(text.to_owned())
    }

    #[test]
    fn columns_have_the_names_of_the_header() {
        let options = Options {
            columns: Columns {
                prefix: name("dst_ip"),
                seen: Some(name("last_online")),
                category: Some(name("malware")),
                ..Columns::default()
            },
            conditions: vec![("status".to_owned(), "online".to_owned())],
            ..Options::default()
        };
        let header = "\"first_seen\", \"dst_ip\",\"status\",\"last_online\",\"malware\"";
        let lines = "x,192.0.2.1,online,1970-01-01,\"Bot, net\"\nx,192.0.2.2,offline,,\n";
        for feed in [
            format!("# a list\n# {header}\n# \n{lines}# 2 entries\n"),
            format!("# a list\n{header}\r\n{lines}"),
        ] {
            let (entries, report) = outcome(Format::Csv, &options, feed.as_bytes()).unwrap();
            assert_eq!(entries, ["192.0.2.1 1 Bot, net seen 0"]);
            assert_eq!((report.filtered, report.lines), (1, 1));
        }
        let why = refusal(Format::Csv, &options, lines);
        assert!(
            why.contains("\"dst_ip\"") && why.contains("x,192.0.2.1"),
            "{why}"
        );
    }

    #[test]
    fn two_columns_are_a_range() {
        let columns = Columns {
            first: Some(Column::Index(0)),
            ..Columns::default()
        };
        let one = Some(Column::Index(1));
        for (columns, integers, feed, expected) in [
            (
                Columns {
                    last: one.clone(),
                    ..columns.clone()
                },
                false,
                "192.0.2.0,192.0.2.3\n",
                "192.0.2.0/30 1",
            ),
            (
                Columns {
                    length: one.clone(),
                    ..columns.clone()
                },
                false,
                "192.0.2.0,24\n",
                "192.0.2.0/24 1",
            ),
            (
                Columns {
                    netmask: one.clone(),
                    ..columns.clone()
                },
                false,
                "192.0.2.0,255.255.255.0\n",
                "192.0.2.0/24 1",
            ),
            (
                Columns {
                    count: one.clone(),
                    ..columns.clone()
                },
                false,
                "192.0.2.0,256\n",
                "192.0.2.0/24 1",
            ),
            (
                Columns {
                    last: one,
                    ..columns
                },
                true,
                "\"3405803776\",\"3405804031\"\n",
                "203.0.113.0/24 1",
            ),
        ] {
            let options = Options {
                columns,
                integers,
                ..Options::default()
            };
            assert_eq!(read(&options, feed), (vec![expected.to_owned()], vec![]));
        }
    }

    #[test]
    fn what_surrounds_an_address_is_stripped() {
        let options = Options {
            strip: Some(Strip::Port),
            strip_prefix: Some("Ip:".to_owned()),
            conditions: vec![("1".to_owned(), "ip:port".to_owned())],
            ..Options::default()
        };
        let feed = "id,kind\nIp:192.0.2.1:80,ip:port\n[2001:db8::1]:80,ip:port\nx,domain\n";
        let (entries, wrong) = read(&options, feed);
        assert_eq!(entries, ["192.0.2.1 1", "2001:db8::1 1"]);
        assert_eq!(wrong, [""; 0]);
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
