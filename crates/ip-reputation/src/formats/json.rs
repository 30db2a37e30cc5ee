//! JSON of any shape: a document, or one a line; where the items are is in the options.
//!
//! ```text
//!  {"prefixes":[{"ipv4Prefix":"192.0.2.0/24"}, ...]}   items = "prefixes[]", prefix = "ipv4Prefix"
//!  [{"decisions":[{"value":"192.0.2.1"}, ...]}]        items = "[].decisions[]", prefix = "value"
//!  {"7":{"ioc":["192.0.2.1"]}}                         items = "*.ioc[]"
//!  {"value":"192.0.2.1"}\n{"value":...}                prefix = "value": each document is an item
//!  {"addresses":["192.0.2.0/24", ...]}                 neither: every string is an address
//! ```
//!
//! The document is read as it comes, an item at a time: there is never more of it in memory than one
//! item. One that is not well-formed is refused, since nobody knows what is missing from it.

mod walk;

use core::cell::Cell;
use std::io::{self, BufRead as _, BufReader, Read};

use serde::de::DeserializeSeed as _;
use serde_json::{Deserializer, Value};

use self::walk::{Node, Step};
use super::item::{Expected, Item, address, network, range};
use super::lines::Lines;
use super::options::Options;
use super::output::Output;
use super::record::Fields;
use super::{Refused, text};

/// The most bytes of one item.
const ITEM_MAX: usize = 1 << 20;

const ADDRESS: Expected = "an item with an address under one of the keys of prefix";
const STRING: Expected = "an address or a prefix; if the addresses are only some of the strings, \
                          items = \"PATH[]\" and prefix = \"KEY\" say which: there an address";

/// Reads every document of the input.
pub(super) fn read(
    lines: &mut Lines<'_>,
    options: &Options,
    output: &mut Output<'_>,
) -> Result<(), Refused> {
    text::sniff(lines)?;
    if options.keys.value.is_some() {
        options.stated_direction()?;
    }
    output.report.has_records = true;
    let paths: Vec<Vec<Step>> = options
        .keys
        .items
        .iter()
        .map(|path| walk::steps(path))
        .collect();
    let since_item = Cell::new(None);
    let mut input = BufReader::new(Metered {
        input: lines,
        since_item: &since_item,
    });
    let mut reading = Reading {
        options,
        output,
        since_item: &since_item,
        number: 0,
        has_reached: false,
        keys: Vec::new(),
    };
    while has_more(&mut input)? {
        let mut document = Deserializer::from_reader(&mut input);
        let node = Node::root(&mut reading, paths.iter().map(Vec::as_slice).collect());
        let read = node.deserialize(&mut document);
        reading.output.goes_on()?;
        read.map_err(refused)?;
    }
    let is_anywhere = paths.is_empty() || reading.has_reached;
    if is_anywhere {
        return Ok(());
    }
    Err(Refused::DecodeError(format!(
        "nothing stands at items = {:?}; at its root it has {}",
        options.keys.items,
        match &*reading.keys {
            [] => "an array or a single value (an array at the root is written [])".to_owned(),
            keys => format!("the keys {keys:?}"),
        }
    )))
}

/// Passes over white space between documents, and a comma or a record separator (RFC 7464).
fn has_more(input: &mut BufReader<Metered<'_, '_>>) -> Result<bool, Refused> {
    loop {
        let Some(first) = input.fill_buf()?.first().copied() else {
            return Ok(false);
        };
        if !(first.is_ascii_whitespace() || first == 0x1e) {
            return Ok(true);
        }
        input.consume(1);
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

/// Fails once there are too many bytes in one item.
struct Metered<'a, 'b> {
    input: &'a mut Lines<'b>,
    since_item: &'a Cell<Option<usize>>,
}

impl Read for Metered<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let since = self.since_item.get();
        if since.is_some_and(|bytes| bytes > ITEM_MAX) {
            let what = "an item is longer than a megabyte; does items end in []?";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let read = self.input.read(into)?;
        self.since_item.set(since.map(|bytes| bytes + read));
        Ok(read)
    }
}

/// What has been read of the documents so far.
struct Reading<'r, 'o> {
    options: &'r Options,
    output: &'r mut Output<'o>,
    since_item: &'r Cell<Option<usize>>,
    number: u64,
    /// Whether the array or object that holds the items was there.
    has_reached: bool,
    /// The first keys at the root, for the message that says that it was not.
    keys: Vec<String>,
}

impl Reading<'_, '_> {
    /// A string of a document of which every string is an address.
    fn string(&mut self, string: &str) {
        self.number += 1;
        self.output.report.lines += 1;
        match self.options.addresses(string.trim().as_bytes()) {
            Ok(Some(item)) => self.give(item, Fields::default()),
            Ok(None) => self.output.skip(),
            Err(_) => self.wrong(string, STRING),
        }
    }

    fn item(&mut self, item: &Value) {
        self.has_reached = true;
        self.number += 1;
        self.output.report.lines += 1;
        let conditions = &self.options.conditions;
        if !conditions
            .iter()
            .all(|(key, wanted)| says(item, key, wanted))
        {
            self.output.report.filtered += 1;
            self.output.skip();
            return;
        }
        let keys = &self.options.keys;
        let field = |key: &Option<String>| key.as_ref().and_then(|key| text_at(item, key));
        let value = keys
            .value
            .as_ref()
            .map(|_| field(&keys.value).unwrap_or_default());
        let (category, last_seen) = (field(&keys.category), field(&keys.last_seen));
        let (expires, duration) = (field(&keys.expires), field(&keys.duration));
        let filled = |text: &'_ Option<String>| text.clone().filter(|text| !text.is_empty());
        let (category, last_seen) = (filled(&category), filled(&last_seen));
        let (expires, duration) = (filled(&expires), filled(&duration));
        let fields = Fields {
            value: value.as_deref().map(str::as_bytes),
            category: category.as_deref().map(str::as_bytes),
            last_seen: last_seen.as_deref().map(str::as_bytes),
            expires: expires.as_deref().map(str::as_bytes),
            duration: duration.as_deref().map(str::as_bytes),
        };
        match self.addresses(item) {
            Ok(items) if items.is_empty() => self.output.skip(),
            Ok(items) => items.into_iter().for_each(|item| self.give(item, fields)),
            Err(expected) => self.wrong(&item.to_string(), expected),
        }
    }

    /// All addresses of an item: itself if it is a string, else what is under its keys.
    fn addresses(&self, item: &Value) -> Result<Vec<Item>, Expected> {
        if let Some(found) = nft(item) {
            return found.map(|item| vec![item]);
        }
        let keys = &self.options.keys.prefix;
        let mut values = Vec::new();
        if item.is_string() {
            values.push(item);
        } else if keys.is_empty() {
            values.extend(at(item, "prefix"));
        } else {
            values.extend(keys.iter().filter_map(|key| at(item, key)));
        }
        values.retain(|value| !value.is_null());
        let mut found = Vec::new();
        let mut has_any = false;
        for value in values {
            if let Some(item) = nft(value) {
                found.push(item?);
                has_any = true;
                continue;
            }
            let several = value
                .as_array()
                .map_or_else(|| core::slice::from_ref(value), Vec::as_slice);
            for value in several {
                let text = scalar(value).ok_or(ADDRESS)?;
                found.extend(self.options.addresses(text.trim().as_bytes())?);
                has_any = true;
            }
        }
        if has_any { Ok(found) } else { Err(ADDRESS) }
    }

    fn give(&mut self, item: Item, fields: Fields<'_>) {
        let given = match self.options.evidence(fields, &mut self.output.report) {
            Ok(evidence) => self.output.give(self.number, item, evidence),
            Err(expected) => Err(expected),
        };
        if let Err(expected) = given
            && self.last_wrong() != Some(self.number)
        {
            self.wrong("", expected);
        }
    }

    fn last_wrong(&self) -> Option<u64> {
        self.output.report.last_wrong
    }

    fn wrong(&mut self, what: &str, expected: Expected) {
        self.output
            .report
            .wrong(self.number, what.as_bytes(), expected);
    }
}

/// `{"prefix":{"addr":"192.0.2.0","len":24}}` and `{"range":["192.0.2.1","192.0.2.9"]}`, with or
/// without an `elem` around them, as `nft -j` prints them.
fn nft(item: &Value) -> Option<Result<Item, Expected>> {
    let item = item
        .get("elem")
        .and_then(|elem| elem.get("val"))
        .unwrap_or(item);
    let text = |value: Option<&Value>| value.and_then(scalar).unwrap_or_default();
    if let Some(prefix) = item.get("prefix").filter(|prefix| prefix.is_object()) {
        let (start, len) = (text(prefix.get("addr")), text(prefix.get("len")));
        return Some(address(start.as_bytes()).and_then(|start| network(start, len.as_bytes())));
    }
    let Value::Array(ends) = item.get("range")? else {
        return None;
    };
    let (first, last) = (text(ends.first()), text(ends.get(1)));
    let first = address(first.as_bytes());
    Some(first.and_then(|first| range(first, address(last.as_bytes())?)))
}

/// What is at a key; a key that is there as it is written counts before one with a dot as a path.
fn at<'v>(item: &'v Value, key: &str) -> Option<&'v Value> {
    if let Some(value) = item.get(key) {
        return Some(value);
    }
    let (first, rest) = key.split_once('.')?;
    at(item.get(first)?, rest)
}

fn text_at(item: &Value, key: &str) -> Option<String> {
    at(item, key).and_then(scalar)
}

/// The text of a string, a number or a boolean.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is) => Some(is.to_string()),
        _ => None,
    }
}

/// Whether there is this text at a key, or in the array there.
fn says(item: &Value, key: &str, wanted: &str) -> bool {
    let is_wanted = |value: &Value| scalar(value).is_some_and(|text| text == wanted);
    match at(item, key) {
        Some(Value::Array(values)) => values.iter().any(is_wanted),
        Some(value) => is_wanted(value),
        None => false,
    }
}

#[cfg(test)]
mod tests;
