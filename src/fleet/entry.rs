//! Entries of the log and rows of the state: texts in, types out, and back.
//!
//! Entries that the script writes have `created`; those made by hand do not, and take their times from
//! their ids. Fields that are not known are ignored.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::sync::Arc;

use crate::config::values::duration_with_unit;
use crate::live::{Kind, REASON_LEN_MAX, Target, origin_error, parse_target};

/// What a decision is about.
pub(super) type Value = Target;
/// Microseconds since 1970, by the clock of the server.
pub(super) type Micros = u64;

/// Microseconds of a second.
pub(super) const SECOND: Micros = 1_000_000;
/// The origin of an entry made by hand that names none.
const DEFAULT_ORIGIN: &str = "api";
/// What stands for the node of an entry made by hand that names none.
pub(super) const NO_NODE: &str = "-";
/// The longest name of a node, in bytes.
pub(super) const NODE_LEN_MAX: usize = 64;
/// The longest duration: longer ones are cut.
const DURATION_MAX: Micros = 10 * 365 * 86_400 * SECOND;
/// The most points of one entry.
const POINTS_MAX: f64 = 1e6;

/// The id of an entry: milliseconds by the clock of the server, and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub(super) struct LogId {
    pub(super) ms: u64,
    pub(super) seq: u64,
}

impl LogId {
    /// Before every entry.
    pub(super) const ZERO: Self = Self { ms: 0, seq: 0 };

    /// When the entry was made. Entries of one millisecond keep their order.
    const fn time(self) -> Micros {
        let seq = if self.seq < 999 { self.seq } else { 999 };
        self.ms.saturating_mul(1000).saturating_add(seq)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// A text that is no [`LogId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ParseLogIdError;

impl FromStr for LogId {
    type Err = ParseLogIdError;

    fn from_str(text: &str) -> Result<Self, ParseLogIdError> {
        let (ms, seq) = text.split_once('-').ok_or(ParseLogIdError)?;
        match (ms.parse(), seq.parse()) {
            (Ok(ms), Ok(seq)) => Ok(Self { ms, seq }),
            _ => Err(ParseLogIdError),
        }
    }
}

/// The identity of a decision. Ordered by value, so that those of one value are together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) value: Value,
    pub(super) kind: Kind,
    pub(super) origin: Arc<str>,
}

impl Key {
    /// The field of the state.
    pub(super) fn field(&self) -> String {
        format!("{} {} {}", self.kind, shown(self.value), self.origin)
    }

    pub(super) fn of_field(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (kind, value, origin) = (words.next()?, words.next()?, words.next()?);
        let is_right = words.next().is_none() && is_shared(origin);
        is_right.then_some(())?;
        Some(Self {
            kind: kind.parse().ok()?,
            value: parse_target(value, 128).ok()?,
            origin: origin.into(),
        })
    }
}

/// A value with its length, as the agent writes it.
pub(super) fn shown(value: Value) -> String {
    match value.prefix() {
        Some(prefix) => format!("{}/{}", prefix.network(), prefix.len()),
        None => value.to_string(),
    }
}

/// A decision as the fleet knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) created: Micros,
    pub(super) until: Micros,
    /// Its entry of the log; zero if none is known.
    pub(super) id: LogId,
    pub(super) node: Arc<str>,
    pub(super) reason: Arc<str>,
}

impl Record {
    /// Reads the value of a field of the state.
    pub(super) fn of_state(text: &str) -> Option<Self> {
        let mut words = text.splitn(5, ' ');
        let (until, created, id) = (words.next()?, words.next()?, words.next()?);
        let (node, reason) = (words.next()?, words.next().unwrap_or_default());
        Some(Self {
            created: created.parse().ok()?,
            until: until.parse().ok()?,
            id: id.parse().ok()?,
            node: node_of(node)?,
            reason: reason_of(reason),
        })
    }
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry {
    /// The log was empty.
    Begin,
    Put(Key, Record),
    Lift {
        value: Value,
        at: Micros,
    },
    Points {
        value: Value,
        by: Points,
    },
}

/// Points of an entry.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Points {
    /// All that a node has added, as a sum at a time.
    Sum {
        node: Arc<str>,
        sum: f64,
        at: Micros,
    },
    /// Added by hand.
    Added { points: f64, at: Micros },
}

/// An entry, and whether it was made by hand: then the state does not have it yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Read {
    pub(super) entry: Entry,
    pub(super) is_by_hand: bool,
}

/// What entries made by hand do not say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults {
    pub(super) duration: Duration,
    pub(super) ipv6_prefix: u8,
}

/// The fields of an entry as the server sends them.
pub(super) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Reads an entry; an error says what is wrong with it.
pub(super) fn read(id: LogId, fields: &Fields, defaults: Defaults) -> Result<Read, String> {
    let fields = Texts(fields);
    let kind = fields.text("type")?.ok_or("it has no field type")?;
    if kind == "begin" {
        return Ok(Read {
            entry: Entry::Begin,
            is_by_hand: false,
        });
    }
    let value = fields.text("value")?.ok_or("it has no field value")?;
    let created = fields.number("created")?;
    let len = if created.is_some() {
        128
    } else {
        defaults.ipv6_prefix
    };
    let value = parse_target(value, len).map_err(|error| format!("value {value:?}: {error}"))?;
    let at = created.unwrap_or_else(|| id.time());
    let entry = match kind {
        "unban" => Entry::Lift { value, at },
        "points" if value.prefix().is_none() => {
            return Err(format!("points are for addresses, not for {value}"));
        }
        "points" => Entry::Points {
            value,
            by: points(&fields, created, id)?,
        },
        kind => {
            let kind = kind.parse();
            let kind: Kind = kind.map_err(|error| format!("type: {error}, unban or points"))?;
            let (key, record) = decision(&fields, (kind, value), created, id, defaults)?;
            Entry::Put(key, record)
        }
    };
    Ok(Read {
        entry,
        is_by_hand: created.is_none(),
    })
}

fn decision(
    fields: &Texts<'_>,
    (kind, value): (Kind, Value),
    created: Option<Micros>,
    id: LogId,
    defaults: Defaults,
) -> Result<(Key, Record), String> {
    let origin = fields.text("origin")?.unwrap_or(DEFAULT_ORIGIN);
    if let Some(error) = origin_error(origin) {
        return Err(error);
    }
    if !is_shared(origin) {
        return Err(format!("origin {origin} is not shared by the log"));
    }
    let (created, until) = match (created, fields.number("until")?) {
        (Some(created), Some(until)) => (created, until),
        (Some(_), None) => return Err("it has created, but not until".to_owned()),
        (None, _) => {
            let duration = fields.text("for")?.map(duration_of).transpose()?;
            let duration = duration.unwrap_or_else(|| micros(defaults.duration));
            let created = id.time();
            (created, created.saturating_add(duration))
        }
    };
    let node = fields.text("node")?.unwrap_or(NO_NODE);
    let key = Key {
        value,
        kind,
        origin: origin.into(),
    };
    let record = Record {
        created,
        until,
        id,
        node: node_of(node).ok_or("node: expected up to 64 characters without spaces")?,
        reason: reason_of(fields.text("reason")?.unwrap_or_default()),
    };
    Ok((key, record))
}

fn points(fields: &Texts<'_>, created: Option<Micros>, id: LogId) -> Result<Points, String> {
    let number = |name: &str| -> Result<Option<f64>, String> {
        let Some(text) = fields.text(name)? else {
            return Ok(None);
        };
        let number = text.parse::<f64>().ok();
        let number = number.filter(|it| (0.0..=POINTS_MAX).contains(it));
        let why = || format!("{name} {text:?}: expected a number from 0 to {POINTS_MAX}");
        number.map(Some).ok_or_else(why)
    };
    if let (Some(at), Some(sum)) = (created, number("sum")?) {
        let node = fields.text("node")?.and_then(node_of);
        let node = node.ok_or("points of a node that is not named")?;
        return Ok(Points::Sum { node, sum, at });
    }
    let points = number("points")?.ok_or("it has no field points")?;
    Ok(Points::Added {
        points,
        at: id.time(),
    })
}

/// Seconds, with a fraction or without; or a duration with its unit.
fn duration_of(text: &str) -> Result<Micros, String> {
    let wrong = || format!("for {text:?}: expected seconds above 0, such as 3600 or 0.5");
    let duration = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?,
        Err(_) => duration_with_unit(text).map_err(|_| wrong())?,
    };
    let micros = micros(duration);
    if micros == 0 {
        Err(wrong())
    } else {
        Ok(micros)
    }
}

pub(super) fn micros(duration: Duration) -> Micros {
    let micros = Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX);
    micros.min(DURATION_MAX)
}

/// Whether decisions of an origin are in the log. Each node has `CrowdSec`'s from its own LAPI.
pub(super) fn is_shared(origin: &str) -> bool {
    origin != "crowdsec"
}

fn node_of(text: &str) -> Option<Arc<str>> {
    let is_right = (1..=NODE_LEN_MAX).contains(&text.len()) && !text.contains(char::is_whitespace);
    is_right.then(|| text.into())
}

/// What people want to know; cut where it is too long.
fn reason_of(text: &str) -> Arc<str> {
    let mut end = text.len().min(REASON_LEN_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or_default();
    if text.contains(char::is_control) {
        return text.replace(char::is_control, " ").into();
    }
    text.into()
}

struct Texts<'a>(&'a Fields);

impl<'a> Texts<'a> {
    /// The text of a field; none if the entry does not have it.
    fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        let found = self.0.iter().find(|(field, _)| field == name.as_bytes());
        let Some((_, value)) = found else {
            return Ok(None);
        };
        let text = str::from_utf8(value);
        text.map(Some).map_err(|_| format!("{name} is not UTF-8"))
    }

    fn number(&self, name: &str) -> Result<Option<Micros>, String> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let number = text.parse();
        number
            .map(Some)
            .map_err(|_| format!("{name} {text:?}: expected microseconds since 1970"))
    }
}
