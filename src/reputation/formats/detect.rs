//! Which format a feed is in, from its first bytes and its name.

use core::fmt;

use super::Format;
use super::contents::{BOM, Contents};
use super::item::Item;
use super::text::comment;

/// Lines that are looked at.
const LINES_MAX: usize = 50;

/// No format is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unrecognised {
    /// It is no list.
    Unfit(Contents),
    /// It is text, but not one that is known.
    Text,
}

impl fmt::Display for Unrecognised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(contents) => write!(f, "this is {contents}, not a list"),
            Self::Text => f.write_str(
                "no format is recognised in it; if it is a list, the configuration has to state its \
                 format",
            ),
        }
    }
}

impl core::error::Error for Unrecognised {}

/// The format of a feed. `head` is how it begins (some kilobytes of it, not compressed), `name` the
/// name of its file or the path of its URL.
///
/// # Errors
/// If it is no list, or none that is known.
pub fn detect(head: &[u8], name: &str) -> Result<Format, Unrecognised> {
    let ending = ending(name);
    if ending == "mmdb" {
        return Ok(Format::Mmdb);
    }
    match Contents::sniff(head) {
        Contents::Text => {}
        other => return Err(Unrecognised::Unfit(other)),
    }
    let head = head.strip_prefix(BOM).unwrap_or(head);
    let lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines = lines.filter(|line| !line.is_empty()).take(LINES_MAX);
    let comments: Vec<_> = lines.clone().filter_map(comment).collect();
    let first = lines.clone().find(|line| comment(line).is_none());
    let has_header = comments.iter().any(|text| text.starts_with(b"Category"));
    if has_header || ending == "netset" || ending == "ipset" {
        return Ok(Format::Netset);
    }
    let Some(first) = first else {
        return if comments.contains(&&b"spoa: empty"[..]) {
            Ok(Format::Plain)
        } else {
            Err(Unrecognised::Text)
        };
    };
    of_line(first, &ending).ok_or(Unrecognised::Text)
}

/// What stands behind the last dot of a name, in lower case. A `.gz` behind it does not count.
fn ending(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    ending.unwrap_or_default().to_owned()
}

fn of_line(line: &[u8], ending: &str) -> Option<Format> {
    if ending == "csv" {
        return Some(Format::Csv);
    }
    Item::parse(line).ok().map(|_| Format::Plain)
}
