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
}

/// The number of the line that a span begins in.
pub(super) fn line_at(text: &str, span: &Range<usize>) -> usize {
    let before = text.as_bytes().iter().take(span.start);
    1 + before.filter(|byte| **byte == b'\n').count()
}
