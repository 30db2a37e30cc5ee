//! The answer to SIGUSR1, read back.

use std::collections::HashMap;

/// One report.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// A line per worker.
    pub(crate) workers: Vec<Line>,
    /// The line for all of them.
    pub(crate) all: Line,
}

/// The `key=value` pairs of one line.
#[derive(Debug, Clone)]
pub(crate) struct Line(HashMap<String, String>);

impl Line {
    pub(crate) fn text(&self, key: &str) -> &str {
        let found = self.0.get(key);
        found.unwrap_or_else(|| panic!("no {key} in {self:?}"))
    }

    pub(crate) fn number(&self, key: &str) -> u64 {
        self.text(key).parse().unwrap()
    }

    /// A time such as `12.3us`, in microseconds.
    pub(crate) fn us(&self, key: &str) -> f64 {
        self.text(key).strip_suffix("us").unwrap().parse().unwrap()
    }

    fn parse(line: &str) -> Option<Self> {
        let pair = |pair: &str| {
            pair.split_once('=')
                .map(|(key, value)| (key.into(), value.into()))
        };
        let line = line.starts_with("worker=").then_some(line)?;
        line.split(' ').map(pair).collect::<Option<_>>().map(Self)
    }
}

impl Report {
    /// The first whole report in these lines.
    pub(crate) fn find(lines: &[String]) -> Option<Self> {
        let mut workers = Vec::new();
        for line in lines.iter().filter_map(|line| Line::parse(line)) {
            if line.text("worker") == "all" {
                return Some(Self { workers, all: line });
            }
            workers.push(line);
        }
        None
    }

    /// A number of every worker.
    pub(crate) fn each(&self, key: &str) -> Vec<u64> {
        self.workers.iter().map(|line| line.number(key)).collect()
    }
}
