//! How much is logged, and how it looks. Events are `tracing`'s: whoever runs the engine decides where
//! they go. No worker logs; what workers have to say is told from their counters.

use core::fmt::{self, Write as _};
use core::str::FromStr;
use core::sync::atomic::{AtomicU8, Ordering};
use core::time::Duration;
use std::sync::Arc;

use serde::Deserialize;
use tracing::{Level, info};

/// How much is logged: this, and what weighs more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// The agent cannot do what it is for.
    Error,
    /// Somebody should look at it; the agent goes on.
    Warn,
    /// What an operator acts on, or wants to have seen.
    #[default]
    Info,
    /// Steps on the way there.
    Debug,
}

/// What a line looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people, and for the journal.
    #[default]
    Plain,
    /// A JSON object a line.
    Json,
}

/// A name that is none of those that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    given: String,
    known: String,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\": expected {}", self.given, self.known)
    }
}

impl core::error::Error for UnknownName {}

/// Finds what has this name.
fn named<T: Copy>(given: &str, known: &[(&str, T)]) -> Result<T, UnknownName> {
    let found = known.iter().find(|(name, _)| *name == given);
    found.map(|(_, it)| *it).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        UnknownName {
            given: given.escape_debug().to_string(),
            known: match names.split_last() {
                Some((last, others)) => format!("{} or {last}", others.join(", ")),
                None => String::new(),
            },
        }
    })
}

impl LogLevel {
    const KNOWN: [(&str, Self); 4] = [
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
    ];
    /// What the levels are called.
    pub const NAMES: [&str; 4] = ["error", "warn", "info", "debug"];

    /// Whether an event of this level is logged.
    #[must_use]
    pub fn shows(self, event: Level) -> bool {
        let most = match self {
            Self::Error => Level::ERROR,
            Self::Warn => Level::WARN,
            Self::Info => Level::INFO,
            Self::Debug => Level::DEBUG,
        };
        event <= most
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::KNOWN.iter().find(|(_, level)| level == self);
        f.write_str(found.map_or("", |(name, _)| name))
    }
}

impl FromStr for LogLevel {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        named(text, &Self::KNOWN)
    }
}

impl LogFormat {
    const KNOWN: [(&str, Self); 2] = [("plain", Self::Plain), ("json", Self::Json)];
    /// What the formats are called.
    pub const NAMES: [&str; 2] = ["plain", "json"];
}

impl FromStr for LogFormat {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        named(text, &Self::KNOWN)
    }
}

/// The level that counts now; every copy turns the same one.
#[derive(Debug, Clone)]
pub struct LogDial(Arc<AtomicU8>);

impl LogDial {
    /// A dial that stands at this level.
    #[must_use]
    pub fn new(level: LogLevel) -> Self {
        Self(Arc::new(AtomicU8::new(level as u8)))
    }

    /// Where it stands.
    #[must_use]
    pub fn level(&self) -> LogLevel {
        let now = self.0.load(Ordering::Relaxed);
        let found = LogLevel::KNOWN.iter().find(|(_, it)| *it as u8 == now);
        found.map_or_else(LogLevel::default, |(_, level)| *level)
    }

    /// Turns it, and logs that, while the wider one of both levels counts.
    pub fn turn(&self, level: LogLevel) {
        let old = self.level();
        self.0.store(old.max(level) as u8, Ordering::Relaxed);
        info!(new = %level, %old, "log level changed");
        self.0.store(level as u8, Ordering::Relaxed);
    }
}

/// Rounds a time for a log line: to milliseconds, or to microseconds below 10 ms.
#[must_use]
pub fn rounded(time: Duration) -> Duration {
    let is_long = time >= Duration::from_millis(10);
    let unit = if is_long { 1_000_000 } else { 1_000 };
    let excess = time.subsec_nanos() % unit;
    time.saturating_sub(Duration::from_nanos(excess.into()))
}

/// A text that stays in its line and does nothing to a terminal: its control characters are escaped.
/// Parts of it may come from a configuration or from a list.
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_shows_itself_and_what_weighs_more() {
        let events = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG];
        for (place, (_, level)) in LogLevel::KNOWN.into_iter().enumerate() {
            let shown = events.into_iter().filter(|event| level.shows(*event));
            assert!(shown.eq(events.into_iter().take(place + 1)), "{level}");
            assert!(!level.shows(Level::TRACE));
        }
    }

    #[test]
    fn names_are_those_that_are_said_and_no_others() {
        for (name, (known, level)) in LogLevel::NAMES.into_iter().zip(LogLevel::KNOWN) {
            assert_eq!((name, name.parse()), (known, Ok(level)));
            assert_eq!(level.to_string(), name);
        }
        for (name, (known, format)) in LogFormat::NAMES.into_iter().zip(LogFormat::KNOWN) {
            assert_eq!((name, name.parse()), (known, Ok(format)));
        }
        let wrong = "loud\n".parse::<LogLevel>().unwrap_err();
        let text = "\"loud\\n\": expected error, warn, info or debug";
        assert_eq!(wrong.to_string(), text);
    }

    #[test]
    fn a_dial_is_shared() {
        let dial = LogDial::new(LogLevel::Warn);
        dial.clone().turn(LogLevel::Debug);
        assert_eq!(dial.level(), LogLevel::Debug);
    }
}
