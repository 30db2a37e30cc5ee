//! What holds for any bytes that are read as a configuration.
//!
//! Law: they are a configuration, or every mistake in them has a line of the file and words that a
//! terminal can take; read again they are the same.

use std::path::Path;

use iprep_spoa::config::{Config, ConfigError};

/// A mistake is shown with what it is about, which is a word of the file or a few.
const WORDS_MAX: usize = 100_000;

/// The law.
pub(crate) fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match (read(&text), read(&text)) {
        (Ok(config), Ok(again)) => assert_eq!(config, again),
        (Err(error), Err(again)) => {
            assert_eq!(error.problems, again.problems);
            is_shown(&error, &text);
        }
        _ => panic!("read in two ways"),
    }
}

fn read(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("spoa.toml"), text)
}

fn is_shown(error: &ConfigError, text: &str) {
    let lines = 1 + text.bytes().filter(|byte| *byte == b'\n').count();
    assert!(!error.problems.is_empty());
    assert!(error.problems.is_sorted());
    for problem in &error.problems {
        assert!(
            problem.line.is_some_and(|line| (1..=lines).contains(&line)),
            "{problem:?}"
        );
        assert!(!problem.what.is_empty() && problem.what.len() < WORDS_MAX);
        assert!(!problem.what.chars().any(char::is_control), "{problem:?}");
    }
    assert_eq!(error.to_string().lines().count(), error.problems.len());
}
