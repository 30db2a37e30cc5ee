//! Formats a line of the log.
//!
//! ```text
//!  plain      2026-11-21T13:27:24.123Z WARN list not used list=web error="status 404" in_use=none
//!  journal    <4>WARN list not used list=web error="status 404" in_use=none
//!  JSON       {"timestamp":"2026-11-21T13:27:24.123Z","level":"WARN","event":"list_not_used",
//!              "message":"list not used","list":"web","error":"status 404","in_use":"none"}
//! ```
//!
//! A message is fixed; what varies is in fields. The event's name is the message with `_` for spaces.

use core::fmt::{Display, Write as _};
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

    /// Returns a line with its end.
    pub(super) fn line(self, level: Level, message: &str, fields: &[Field]) -> String {
        // Writing to a String cannot fail.
        let mut line = String::new();
        match self {
            Self::Stamped => {
                let _ = write!(line, "{} {level} {}", now(), Printable(message));
                plain(&mut line, fields);
            }
            Self::Journal => {
                let _ = write!(line, "<{}>{level} {}", priority(level), Printable(message));
                plain(&mut line, fields);
            }
            Self::Json => {
                let (time, event) = (now(), quoted(&message.replace(' ', "_")));
                let _ = write!(
                    line,
                    "{{\"timestamp\":\"{time}\",\"level\":\"{level}\",\"event\":{event},\
                     \"message\":{}",
                    quoted(message)
                );
                for Field { name, value } in fields {
                    let _ = match value {
                        Value::Text(text) => write!(line, ",\"{name}\":{}", quoted(text)),
                        Value::Bare(text) => write!(line, ",\"{name}\":{text}"),
                    };
                }
                line.push('}');
            }
        }
        line.push('\n');
        line
    }

    /// Returns a line for text that has been requested, such as a report.
    pub(super) fn report(self, level: Level, text: &str) -> String {
        let text = Field::text("text", text);
        self.line(level, "report", &[text])
    }
}

/// What varies in a line.
#[derive(Debug)]
pub(super) struct Field {
    name: &'static str,
    value: Value,
}

#[derive(Debug)]
enum Value {
    /// Quoted where it has to be.
    Text(String),
    /// A number or a boolean.
    Bare(String),
}

impl Field {
    pub(super) fn text(name: &'static str, text: impl Into<String>) -> Self {
        let value = Value::Text(text.into());
        Self { name, value }
    }

    pub(super) fn bare(name: &'static str, value: impl Display) -> Self {
        let value = Value::Bare(value.to_string());
        Self { name, value }
    }
}

/// Appends fields as `name=value`. A value with a space or a quote in it is quoted.
fn plain(line: &mut String, fields: &[Field]) {
    for Field { name, value } in fields {
        let (Value::Text(text) | Value::Bare(text)) = value;
        let is_plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '=' | '\\');
        // Writing to a String cannot fail.
        let _ = if !text.is_empty() && text.chars().all(is_plain) {
            write!(line, " {name}={}", Printable(text))
        } else {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
            write!(line, " {name}=\"{}\"", Printable(&escaped))
        };
    }
}

/// Returns the time as RFC 3339, in UTC, with milliseconds.
fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// Returns a JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Returns the priority of syslog.
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
    fn a_line_has_a_level_a_message_and_fields() {
        let fields = [
            Field::text("list", "web"),
            Field::bare("count", 3),
            Field::text("error", "key \"a b\" = \\"),
            Field::text("hint", ""),
        ];
        let plain = "list not used list=web count=3 error=\"key \\\"a b\\\" = \\\\\" hint=\"\"\n";
        for (level, priority) in [
            (Level::ERROR, 3),
            (Level::WARN, 4),
            (Level::INFO, 6),
            (Level::DEBUG, 7),
        ] {
            let line = Style::Stamped.line(level, "list not used", &fields);
            let (time, rest) = line.split_once(' ').unwrap();
            assert!(time.parse::<Timestamp>().is_ok(), "{time}");
            assert_eq!((time.len(), rest), (24, &*format!("{level} {plain}")));
            let line = Style::Journal.line(level, "list not used", &fields);
            assert_eq!(line, format!("<{priority}>{level} {plain}"));
            let line = Style::Json.line(level, "list not used", &fields);
            let read: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(read["level"], *level.as_str());
            assert_eq!(read["event"], "list_not_used");
            assert_eq!(read["message"], "list not used");
            assert_eq!((&read["count"], &read["list"]), (&3.into(), &"web".into()));
            assert_eq!(read["error"], "key \"a b\" = \\");
        }
    }

    #[test]
    fn no_text_is_more_than_a_line() {
        let text = "a\n<0>b\u{1b}[2J\u{85}\"ü\t";
        let fields = [Field::text("text", text)];
        let line = Style::Journal.line(Level::INFO, "report", &fields);
        assert_eq!(
            line,
            "<6>INFO report text=\"a\\n<0>b\\u{1b}[2J\\u{85}\\\"ü\\t\"\n"
        );
        let line = Style::Json.line(Level::INFO, "report", &fields);
        assert_eq!(line.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["text"], text);
    }
}
