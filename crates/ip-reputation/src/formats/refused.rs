//! Why a feed is not used at all.

use core::fmt;
use std::io;

use super::{Contents, Report};

/// A feed is refused whole. What has gone into the sink by then is to be thrown away.
#[derive(Debug)]
pub enum Refused {
    /// It is no text, or not the text of a list.
    Unfit(Contents),
    /// It has no entry, and nothing says that this is meant.
    Empty,
    /// More of its lines are wrong than the options allow.
    TooManyWrong(Box<Report>),
    /// It ends before its end.
    Truncated {
        /// How many entries it says it has; `None` if what says so is missing.
        declared: Option<u64>,
        /// How many it has.
        found: u64,
    },
    /// A document that has to be whole (JSON, MMDB) is not well-formed.
    DecodeError(String),
    /// It is what a server says instead of a list, in these words.
    NoList(String),
    /// No network of a MaxMind database is bad by the rules, and why that may be.
    NoMatch(String),
    /// The database knows no network of any of so many AS numbers.
    NoNetworks(usize),
    /// The options lack something that the format cannot do without.
    Unstated(&'static str),
    /// The regular expression cannot be used, and why.
    Regex(String),
    /// No header names this column; and what the header that was looked at says.
    NoColumn(String),
    /// There is no set of this name in what `ipset save` printed.
    NoSuchSet(String),
    /// There are sets, and none of a type that is read; the first of them.
    UnreadSet {
        /// Its name.
        name: String,
        /// Its type.
        kind: String,
    },
    /// The sink wants no more.
    Stopped,
    /// It could not be read to its end.
    Io(io::Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(contents) => write!(f, "this is {contents}, not a list"),
            Self::Empty => f.write_str(
                "there is no entry in it; a list that is empty on purpose says so with the line \
                 \"# spoa: empty\", or the configuration with allow-empty",
            ),
            Self::TooManyWrong(report) => {
                write!(
                    f,
                    "{} of {} {}s are wrong, more than max-invalid-ratio allows",
                    report.wrong,
                    report.lines,
                    report.unit()
                )?;
                match report.first_wrong.first() {
                    Some(first) => write!(f, "; {first}"),
                    None => Ok(()),
                }
            }
            Self::Truncated {
                declared: Some(declared),
                found,
            } => write!(
                f,
                "it is cut short: {found} entries of the {declared} that it declares"
            ),
            Self::Truncated {
                declared: None,
                found,
            } => write!(
                f,
                "it is cut short: its last line, which says how many entries there are, is missing \
                 after {found} entries"
            ),
            Self::DecodeError(why) => write!(f, "the document is not well-formed: {why}"),
            Self::NoList(error) => write!(f, "it is an error instead of a list: \"{error}\""),
            Self::NoMatch(why) => write!(f, "none of its networks is bad by the rules: {why}"),
            Self::NoNetworks(count) => write!(
                f,
                "asn-db has no network of its {count} AS numbers; is it a database of autonomous systems?"
            ),
            Self::Unstated(what) => write!(f, "the configuration must state {what}"),
            Self::Regex(why) => write!(f, "regex: {why}"),
            Self::NoColumn(why) => f.write_str(why),
            Self::NoSuchSet(name) => write!(f, "there is no set {name:?} in it"),
            Self::UnreadSet { name, kind } => {
                write!(f, "set {name} is of type {kind}, which is not read")
            }
            Self::Stopped => f.write_str("it has more entries than are taken"),
            Self::Io(error) => write!(f, "it could not be read to its end: {error}"),
        }
    }
}

impl core::error::Error for Refused {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
