//! What is wrong with a configuration: where, what, and the nearest right thing.

use core::fmt;
use core::ops::Range;
use std::io;
use std::path::{Path, PathBuf};

/// A configuration that cannot be used.
#[derive(Debug)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it, in the order of its lines. At least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The line, from 1; `None` if it is the file itself.
    pub line: Option<usize>,
    /// What is wrong, and what was expected.
    pub what: String,
}

/// A line for each problem, beginning with `file:line:`.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.problems.iter().enumerate() {
            let newline = if place > 0 { "\n" } else { "" };
            write!(f, "{newline}{}", self.file.display())?;
            if let Some(line) = problem.line {
                write!(f, ":{line}")?;
            }
            write!(f, ": {}", problem.what)?;
        }
        Ok(())
    }
}

impl core::error::Error for ConfigError {}

impl ConfigError {
    pub(super) fn unreadable(file: &Path, error: &io::Error) -> Self {
        Self::of_file(file, format!("cannot be read: {error}"))
    }

    pub(super) fn of_file(file: &Path, what: String) -> Self {
        Self {
            file: file.to_owned(),
            problems: vec![Problem { line: None, what }],
        }
    }

    /// What serde and the TOML parser say.
    pub(super) fn of_toml(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        let message = error.message();
        let span = error.span();
        let line = span.as_ref().map(|span| line_at(text, span));
        let key = span.as_ref().and_then(|span| key_at(text, span));
        let what = match (with_nearest(message), key) {
            (Some(better), _) => better,
            (None, Some(key)) => format!("{key}: {message}"),
            (None, None) => message.to_owned(),
        };
        let what = what.replace('\n', " ");
        Self {
            file: file.to_owned(),
            problems: vec![Problem { line, what }],
        }
    }
}

/// The number of the line that a span begins in.
pub(super) fn line_at(text: &str, span: &Range<usize>) -> usize {
    let before = text.as_bytes().iter().take(span.start);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// The key that stands before a value in its line.
fn key_at<'a>(text: &'a str, span: &Range<usize>) -> Option<&'a str> {
    let before = text.get(..span.start)?;
    let line = before.rsplit('\n').next()?;
    let before_value = line.trim_end().strip_suffix('=')?;
    let key = before_value.trim_end().rsplit(['{', ',', ' ']).next()?;
    (!key.is_empty()).then_some(key)
}

/// Says which of the known keys or values an unknown one is nearest to. `None` for other messages.
fn with_nearest(message: &str) -> Option<String> {
    let kind = match message {
        _ if message.starts_with("unknown field") => "key",
        _ if message.starts_with("unknown variant") => "value",
        _ => return None,
    };
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    let known: Vec<_> = quoted.collect();
    Some(match nearest(unknown, &known) {
        Some(near) => format!("unknown {kind} \"{unknown}\"; did you mean \"{near}\"?"),
        None => format!(
            "unknown {kind} \"{unknown}\"; known are {}",
            known.join(", ")
        ),
    })
}

/// The known word that takes the fewest changes, if they are few for a word of this length.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let few = 1 + word.chars().count() / 3;
    let distances = known.iter().map(|other| (distance(word, other), *other));
    let (changes, other) = distances.min_by_key(|(changes, _)| *changes)?;
    (changes <= few).then_some(other)
}

/// How many letters have to be added, left out or changed; `-` and `_` are the same letter.
fn distance(one: &str, other: &str) -> usize {
    let fold = |c: char| {
        if c == '_' {
            '-'
        } else {
            c.to_ascii_lowercase()
        }
    };
    let other: Vec<_> = other.chars().map(fold).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (place, letter) in one.chars().map(fold).enumerate() {
        let mut diagonal = place;
        let mut left = place + 1;
        for (cell, wanted) in row.iter_mut().skip(1).zip(&other) {
            let change = diagonal + usize::from(letter != *wanted);
            diagonal = *cell;
            *cell = change.min(diagonal + 1).min(left + 1);
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = place + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_one_of_few_changes() {
        let known = ["weight", "half-life", "url", "path"];
        for (word, near) in [
            ("wieght", Some("weight")),
            ("half_life", Some("half-life")),
            ("halflife", Some("half-life")),
            ("ulr", Some("url")),
            ("Path", Some("path")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, &known), near, "{word}");
        }
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
