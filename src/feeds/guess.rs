//! `spoa feeds guess`: finds out how a list is to be read, by trying it with the readers themselves.
//!
//! A guess is a `[[feed]]` block. Candidates are tried in turn, from the most specific; the first that
//! reads the list without many invalid lines is the guess.

use core::fmt::Write as _;
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, Read as _};
use std::path::Path;

use ip_reputation::formats::{self, Format};
use serde_json::Value;

use super::load::{self, LoadedFeed};
use super::source::Input;
use crate::config::presets::{self, quoted};
use crate::config::{Config, Feed};
use crate::host::file::read_small;

/// The largest list that is looked at, in bytes, packed and unpacked.
const SIZE_MAX: u64 = 512 << 20;
/// How much of a list is looked at to find columns and keys, in bytes.
const HEAD_MAX: u64 = 16 << 20;
/// Lines that are looked at to find columns.
const LINES_MAX: usize = 200;
/// One invalid line in so many is no success.
const INVALID_PART: u64 = 20;
/// Entries that are shown.
const SHOWN: usize = 5;
/// Separators of columns, the most likely first.
const SEPARATORS: [char; 4] = [',', ';', '\t', '|'];

/// How a list is to be read.
#[derive(Debug)]
pub struct Guess {
    /// A `[[feed]]` block, ready to use, and before and after it comments that explain it.
    pub text: String,
}

/// Guesses how to read a file, or what a URL answers.
///
/// # Errors
/// Why the list cannot be had, or that no reader reads it.
pub fn guess(place: &str, now: u32) -> Result<Guess, String> {
    let is_url = place.starts_with("http://") || place.starts_with("https://");
    let (key, bytes) = if is_url {
        ("url", fetch(place, now)?)
    } else {
        let read = read_small(Path::new(place), SIZE_MAX);
        (
            "path",
            read.map_err(|error| format!("cannot read {place}: {error}"))?,
        )
    };
    let place = if is_url {
        place.to_owned()
    } else {
        absolute(place)
    };
    let begin = format!(
        "[[feed]]\nname = {}\n{key} = {}\n",
        quoted(&name(&place)),
        quoted(&place)
    );
    let head = head(&bytes).map_err(|error| format!("cannot unpack {place}: {error}"))?;
    let mut tried = Vec::new();
    for candidate in candidates(&place, &begin, &head) {
        match candidate.read(&bytes, now) {
            Ok(loaded) => return Ok(candidate.guess(&loaded)),
            Err(why) => tried.push(format!("{}: {why}", candidate.label)),
        }
    }
    let tried: Vec<_> = tried.iter().map(|line| format!("\n  {line}")).collect();
    Err(format!(
        "no reader reads {place} as a list; tried:{}",
        tried.concat()
    ))
}

#[cfg(feature = "http")]
fn fetch(url: &str, now: u32) -> Result<Vec<u8>, String> {
    use super::source::http::{self, Answer};

    let text = format!("[[feed]]\nname = \"guess\"\nurl = {}\n", quoted(url));
    let feed = parse(&text)?;
    match http::fetch(&feed, url, None, now) {
        Ok(Answer::Fetched { body, .. }) => Ok(body.to_vec()),
        Ok(Answer::NotModified) => Err(format!("{url} answered 304 to a first request")),
        Err(error) => Err(format!("cannot fetch {url}: {error}")),
    }
}

#[cfg(not(feature = "http"))]
fn fetch(url: &str, _now: u32) -> Result<Vec<u8>, String> {
    Err(format!(
        "{url}: this binary was built without the feature http; give a file"
    ))
}

fn absolute(path: &str) -> String {
    let full = std::path::absolute(path);
    full.map_or_else(|_| path.to_owned(), |full| full.display().to_string())
}

/// A name from the last part of a path or URL.
fn name(place: &str) -> String {
    let path = place.split(['?', '#']).next().unwrap_or_default();
    let last = path
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let stem = last.split('.').next().unwrap_or_default();
    let letters = stem.chars().map(|letter| {
        if letter.is_ascii_alphanumeric() {
            letter
        } else {
            '-'
        }
    });
    let name: String = letters.collect();
    let name = name.trim_matches('-').to_lowercase();
    match &*name {
        "" | "allow" | "deny" | "private" => "list".to_owned(),
        _ => name,
    }
}

/// The first bytes, unpacked.
fn head(bytes: &[u8]) -> io::Result<String> {
    let mut input = Input::new(Cursor::new(bytes), SIZE_MAX)?;
    let mut head = Vec::new();
    input.reader().take(HEAD_MAX).read_to_end(&mut head)?;
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn parse(text: &str) -> Result<Feed, String> {
    let config = Config::parse(Path::new("guess"), text).map_err(|error| error.to_string())?;
    config
        .feeds
        .into_iter()
        .next()
        .ok_or_else(|| "no feed".to_owned())
}

/// A way to read the list.
struct Candidate {
    /// What it is called in errors.
    label: String,
    /// Why it is tried.
    why: String,
    block: String,
    /// What stands below the block, line by line.
    notes: Vec<String>,
}

impl Candidate {
    /// Reads the whole list so. More than a few invalid lines are no success.
    fn read(&self, bytes: &[u8], now: u32) -> Result<LoadedFeed, String> {
        let feed = parse(&self.block)?;
        let loaded = load::read_bytes(&feed, bytes, now, now).map_err(|error| error.to_string())?;
        if loaded.data.is_empty() {
            return Err("no entry".to_owned());
        }
        let report = &loaded.report;
        if report.wrong * INVALID_PART > report.lines && feed.max_invalid_ratio < 1.0 {
            let (wrong, lines, unit) = (report.wrong, report.lines, report.unit());
            return Err(format!("{wrong} of {lines} {unit}s are invalid"));
        }
        Ok(loaded)
    }

    fn guess(&self, loaded: &LoadedFeed) -> Guess {
        let (data, report) = (&loaded.data, &loaded.report);
        let mut text = String::new();
        let comment = |line: &str, text: &mut String| {
            let _ = writeln!(text, "# {line}");
        };
        comment(
            &format!("Read as {}: {}.", loaded.format, self.why),
            &mut text,
        );
        let counts = format!(
            "{} IPv4 and {} IPv6 entries, {} invalid of {} {}s.",
            data.v4(),
            data.v6(),
            report.wrong,
            report.lines,
            report.unit()
        );
        comment(&counts, &mut text);
        text.push_str(&self.block);
        comment("The first entries as understood:", &mut text);
        for entry in data.entries().take(SHOWN) {
            let mut line = format!(
                "  {}  confidence {}",
                entry.prefix,
                entry.confidence.as_ratio()
            );
            if let Some(category) = entry.category {
                let _ = write!(line, "  category {category}");
            }
            comment(&line, &mut text);
        }
        for note in &self.notes {
            comment(note, &mut text);
        }
        Guess { text }
    }
}

fn candidates(place: &str, begin: &str, head: &str) -> Vec<Candidate> {
    let mut all = Vec::new();
    let by_url = presets::all()
        .values()
        .find(|preset| preset.string("url") == Some(place));
    if let Some(preset) = by_url {
        all.push(Candidate {
            label: format!("preset {}", preset.name),
            why: format!("preset \"{}\" has this URL", preset.name),
            block: preset.block(),
            notes: Vec::new(),
        });
    }
    let looks_like_json = head.trim_start().starts_with(['{', '[']);
    let detection = || simple(begin, "detection", "its first lines look like it", "");
    let detected = formats::detect(head.as_bytes(), &name(place));
    // A format of its own says more than columns do.
    match detected {
        Ok(Format::Csv | Format::Plain) | Err(_) if !looks_like_json => {
            all.extend(tables(begin, head));
            all.push(detection());
        }
        _ => all.push(detection()),
    }
    if looks_like_json {
        all.extend(json(begin, head));
    }
    for (label, why, keys) in [
        (
            "addresses with ports",
            "addresses are followed by ports",
            "strip = \"port\"\n",
        ),
        ("URLs", "addresses are in URLs", "strip = \"url\"\n"),
        ("p2p", "names stand before ranges", "format = \"p2p\"\n"),
        ("dat", "ranges with leading zeros", "format = \"dat\"\n"),
    ] {
        all.push(simple(begin, label, why, keys));
    }
    all
}

fn simple(begin: &str, label: &str, why: &str, keys: &str) -> Candidate {
    Candidate {
        label: label.to_owned(),
        why: why.to_owned(),
        block: format!("{begin}{keys}"),
        notes: Vec::new(),
    }
}

/// An address or prefix, perhaps with a port behind it.
fn is_prefix(text: &str) -> bool {
    let text = text.trim();
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let is_length = length.is_empty() || length.parse::<u8>().is_ok_and(|length| length <= 128);
    is_length && address.parse::<IpAddr>().is_ok()
}

fn has_port(text: &str) -> bool {
    text.trim().parse::<core::net::SocketAddr>().is_ok()
}

fn is_url(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("http://") || text.starts_with("https://")
}

/// The fields of a line, without quotes.
fn fields(line: &str, separator: char) -> Vec<String> {
    let (mut fields, mut field, mut is_quoted) = (Vec::new(), String::new(), false);
    for letter in line.trim_end_matches('\r').chars() {
        match letter {
            '"' => is_quoted = !is_quoted,
            letter if letter == separator && !is_quoted => {
                fields.push(core::mem::take(&mut field).trim().to_owned());
            }
            letter => field.push(letter),
        }
    }
    fields.push(field.trim().to_owned());
    fields
}

/// Columns of a CSV: what is in them.
struct Columns {
    separator: char,
    /// The names in the header, if there is one.
    names: Option<Vec<String>>,
    rows: Vec<Vec<String>>,
}

impl Columns {
    fn of(head: &str, separator: char) -> Option<Self> {
        let is_comment = |line: &&str| line.trim_start().starts_with(['#', ';']);
        let lines = head.lines().filter(|line| !line.trim().is_empty());
        let mut rows: Vec<_> = lines
            .clone()
            .filter(|line| !is_comment(line))
            .take(LINES_MAX)
            .map(|line| fields(line, separator))
            .collect();
        let width = rows.last()?.len();
        if width < 2 || rows.iter().filter(|row| row.len() == width).count() * 10 < rows.len() * 9 {
            return None;
        }
        let is_header = |row: &Vec<String>| {
            row.len() == width
                && !row
                    .iter()
                    .any(|field| is_prefix(field) || has_port(field) || is_url(field))
                && row.iter().all(|field| !field.is_empty())
        };
        let mut names = None;
        if rows.len() > 1 && rows.first().is_some_and(is_header) {
            names = Some(rows.remove(0));
        }
        let last_comment = lines.take_while(is_comment).last();
        let from_comment = last_comment.map(|line| {
            fields(
                line.trim_start().trim_start_matches(['#', ';', ' ']),
                separator,
            )
        });
        let names = names.or_else(|| from_comment.filter(is_header));
        Some(Self {
            separator,
            names,
            rows,
        })
    }

    fn width(&self) -> usize {
        self.rows.last().map_or(0, Vec::len)
    }

    /// Whether nearly all rows have something in a column that fulfills a condition.
    fn mostly(&self, column: usize, condition: fn(&str) -> bool) -> bool {
        let fits = |row: &&Vec<String>| row.get(column).is_some_and(|field| condition(field));
        self.rows.iter().filter(fits).count() * 10 >= self.rows.len() * 8
    }

    /// A column as a configuration names it.
    fn key(&self, column: usize) -> String {
        let name = self.names.as_ref().and_then(|names| names.get(column));
        let is_only = |name: &&String| {
            let names = self.names.iter().flatten();
            names.filter(|other| other == name).count() == 1
        };
        name.filter(is_only)
            .map_or_else(|| column.to_string(), |name| quoted(name))
    }

    /// Number, name, an example and what it seems to be, for each column.
    fn notes(&self) -> Vec<String> {
        let mut notes = vec!["Columns by number and name, with an example:".to_owned()];
        for column in 0..self.width() {
            let name = self.names.as_ref().and_then(|names| names.get(column));
            let example = self.rows.first().and_then(|row| row.get(column));
            let short: String = example
                .map_or("", String::as_str)
                .chars()
                .take(60)
                .collect();
            let hint = self.hint(column);
            notes.push(format!(
                "  {column}  {}  {}{hint}",
                name.map_or("-", String::as_str),
                short.escape_debug()
            ));
        }
        notes
    }

    fn hint(&self, column: usize) -> &'static str {
        let is_number = |field: &str| field.parse::<f64>().is_ok();
        let is_time = |field: &str| {
            field.len() >= 10
                && field.as_bytes().get(4) == Some(&b'-')
                && field.as_bytes().get(7) == Some(&b'-')
        };
        if self.mostly(column, is_prefix) {
            "  (address)"
        } else if self.mostly(column, has_port) {
            "  (address with port)"
        } else if self.mostly(column, is_url) {
            "  (URL)"
        } else if self.mostly(column, is_time) {
            "  (time: could be last-seen or expires)"
        } else if self.mostly(column, is_number) {
            "  (number: could be value, with higher-is)"
        } else {
            ""
        }
    }
}

/// Candidates that read columns.
fn tables(begin: &str, head: &str) -> Vec<Candidate> {
    let all = SEPARATORS
        .iter()
        .filter_map(|separator| Columns::of(head, *separator));
    all.flat_map(|columns| {
        let separator = match columns.separator {
            ',' => String::new(),
            other => format!("separator = {}, ", quoted(&other.to_string())),
        };
        let table = |keys: &str, more: &str, why: String| Candidate {
            label: format!("csv by '{}'", columns.separator.escape_debug()),
            why,
            block: format!("{begin}format = \"csv\"\ncolumns = {{ {separator}{keys} }}\n{more}"),
            notes: columns.notes(),
        };
        let mut found = Vec::new();
        let addresses: Vec<_> = (0..columns.width())
            .filter(|column| columns.mostly(*column, is_prefix))
            .collect();
        if let [first, last, ..] = addresses[..]
            && last == first + 1
            && columns.rows.iter().all(|row| is_range(row, first))
        {
            let keys = format!(
                "first = {}, last = {}",
                columns.key(first),
                columns.key(last)
            );
            let why = format!("columns {first} and {last} are the ends of ranges");
            found.push(table(&keys, "", why));
        }
        if let [first, ..] = addresses[..] {
            let why = format!("column {first} has addresses");
            found.push(table(&format!("prefix = {}", columns.key(first)), "", why));
        }
        let ports = (0..columns.width()).find(|column| columns.mostly(*column, has_port));
        if let Some(column) = ports {
            let keys = format!("prefix = {}", columns.key(column));
            found.push(table(
                &keys,
                "strip = \"port\"\n",
                format!("column {column} has addresses with ports"),
            ));
        }
        let urls = (0..columns.width()).find(|column| columns.mostly(*column, is_url));
        if let Some(column) = urls {
            let keys = format!("prefix = {}", columns.key(column));
            let more = "strip = \"url\"\nmax-invalid-ratio = 1.0\n";
            found.push(table(&keys, more, format!("column {column} has URLs")));
        }
        found
    })
    .collect()
}

/// Whether a row has the ends of a range in this column and the next.
fn is_range(row: &[String], first: usize) -> bool {
    let address = |column: usize| {
        row.get(column)
            .and_then(|field| field.parse::<IpAddr>().ok())
    };
    match (address(first), address(first + 1)) {
        (Some(first), Some(last)) => first.is_ipv4() == last.is_ipv4() && first <= last,
        _ => false,
    }
}

/// Where prefixes are in a JSON document.
#[derive(Default)]
struct Items {
    /// Paths of arrays of prefixes.
    strings: BTreeSet<String>,
    /// Paths of arrays of objects, and the keys of these that have prefixes.
    objects: BTreeMap<String, BTreeSet<String>>,
}

impl Items {
    fn look(&mut self, value: &Value, path: &str) {
        match value {
            Value::Array(items) => {
                let path = format!("{path}[]");
                for item in items.iter().take(LINES_MAX) {
                    self.item(item, &path);
                }
            }
            Value::Object(map) => {
                // Many keys that are data, and not names.
                let is_map =
                    map.len() > 20 && map.values().all(|it| it.is_array() || it.is_object());
                for (key, value) in map.iter().take(LINES_MAX) {
                    let key = if is_map { "*" } else { key };
                    let dot = if path.is_empty() { "" } else { "." };
                    self.look(value, &format!("{path}{dot}{key}"));
                }
            }
            _ => {}
        }
    }

    fn item(&mut self, item: &Value, path: &str) {
        match item {
            Value::String(text) if is_prefix(text) => {
                self.strings.insert(path.to_owned());
            }
            Value::Object(map) => {
                let keys = map
                    .iter()
                    .filter(|(_, value)| value.as_str().is_some_and(is_prefix));
                let keys: Vec<_> = keys.map(|(key, _)| key.clone()).collect();
                if keys.is_empty() {
                    self.look(item, path);
                } else {
                    self.objects
                        .entry(path.to_owned())
                        .or_default()
                        .extend(keys);
                }
            }
            other => self.look(other, path),
        }
    }
}

/// Candidates that read JSON.
fn json(begin: &str, head: &str) -> Vec<Candidate> {
    let mut items = Items::default();
    let mut found = Vec::new();
    if let Ok(document) = serde_json::from_str::<Value>(head) {
        items.look(&document, "");
    } else {
        let lines = head.lines().take(LINES_MAX);
        for line in lines.filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            items.item(&line, "");
        }
    }
    let list = |texts: Vec<&String>| {
        let quoted: Vec<_> = texts.into_iter().map(|text| quoted(text)).collect();
        match &quoted[..] {
            [one] => one.clone(),
            _ => format!("[{}]", quoted.join(", ")),
        }
    };
    if !items.objects.is_empty() {
        let keys: BTreeSet<_> = items.objects.values().flatten().collect();
        let paths: Vec<_> = items
            .objects
            .keys()
            .filter(|path| !path.is_empty())
            .collect();
        let mut block = format!("{begin}format = \"json\"\n");
        if !paths.is_empty() {
            let _ = writeln!(block, "items = {}", list(paths));
        }
        let _ = writeln!(block, "prefix = {}", list(keys.iter().copied().collect()));
        found.push(Candidate {
            label: "JSON objects".to_owned(),
            why: format!(
                "objects have addresses in {}",
                list(keys.into_iter().collect())
            ),
            block,
            notes: Vec::new(),
        });
    }
    if !items.strings.is_empty() {
        let paths = list(items.strings.iter().collect());
        found.push(Candidate {
            label: "JSON arrays".to_owned(),
            why: format!("arrays of addresses are at {paths}; keep those that are meant"),
            block: format!("{begin}format = \"json\"\nitems = {paths}\n"),
            notes: Vec::new(),
        });
    }
    found.push(simple(
        begin,
        "JSON",
        "every string in it is an address",
        "format = \"json\"\n",
    ));
    found
}
