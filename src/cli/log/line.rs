//! What a line of the log looks like.
//!
//! ```text
//!  plain      2026-11-21T13:27:24.123Z spoa: WARNING: feed "web": not used: …
//!  journal    <4>WARNING: feed "web": not used: …
//!  JSON       {"timestamp":"2026-11-21T13:27:24.123Z","level":"WARN",
//!              "message":"feed \"web\": not used: …","feed":"web"}
//! ```

use std::env;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;

use iprep_spoa::host::log::{LogFormat, Printable};
use jiff::Timestamp;
use tracing::Level;

/// The kinds of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// With the time and the program's name.
    Stamped,
    /// With a priority; the journal knows the time and the program (`sd-daemon(3)`).
    Journal,
    /// An object.
    Json,
}

impl Style {
    pub(super) fn of(format: LogFormat) -> Self {
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Plain if stderr_is_the_journal() => Self::Journal,
            LogFormat::Plain => Self::Stamped,
        }
    }

    /// A line, with its end. `fields` are members of a JSON object, each with a comma before it.
    pub(super) fn line(self, level: Level, message: &str, fields: &str) -> String {
        match self {
            Self::Stamped => {
                let (time, word) = (now(), word(level));
                format!("{time} spoa: {word}{}\n", Printable(message))
            }
            Self::Journal => {
                let (priority, word) = (priority(level), word(level));
                format!("<{priority}>{word}{}\n", Printable(message))
            }
            Self::Json => {
                let (time, message) = (now(), quoted(message));
                format!(
                    "{{\"timestamp\":\"{time}\",\"level\":\"{level}\",\
                     \"message\":{message}{fields}}}\n"
                )
            }
        }
    }
}

/// RFC 3339, in UTC, with milliseconds.
fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// A JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What stands before a message that is not everyday.
fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR: ",
        Level::WARN => "WARNING: ",
        Level::INFO => "",
        _ => "debug: ",
    }
}

/// As syslog counts.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Whether the journal reads our stderr: systemd says which file it is (`JOURNAL_STREAM=DEVICE:INODE`).
fn stderr_is_the_journal() -> bool {
    let Ok(said) = env::var("JOURNAL_STREAM") else {
        return false;
    };
    let stderr = io::stderr().as_fd().try_clone_to_owned().map(File::from);
    let known = stderr.and_then(|stderr| stderr.metadata());
    known.is_ok_and(|file| said == format!("{}:{}", file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_it_weighs() {
        for (level, word, priority) in [
            (Level::ERROR, "ERROR: ", 3),
            (Level::WARN, "WARNING: ", 4),
            (Level::INFO, "", 6),
            (Level::DEBUG, "debug: ", 7),
        ] {
            let line = Style::Stamped.line(level, "text", "");
            let (time, rest) = line.split_once(' ').unwrap();
            assert!(time.parse::<Timestamp>().is_ok(), "{time}");
            assert_eq!((time.len(), rest), (24, &*format!("spoa: {word}text\n")));
            let line = Style::Journal.line(level, "text", "");
            assert_eq!(line, format!("<{priority}>{word}text\n"));
        }
    }

    #[test]
    fn no_text_is_more_than_a_line() {
        let text = "a\n<0>b\u{1b}[2J\u{85}\"ü\t";
        let line = Style::Journal.line(Level::INFO, text, "");
        assert_eq!(line, "<6>a\\n<0>b\\u{1b}[2J\\u{85}\"ü\\t\n");
        let line = Style::Json.line(Level::INFO, text, ",\"worker\":3");
        assert_eq!(line.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&read["message"], &read["worker"]),
            (&text.into(), &3.into())
        );
    }
}
