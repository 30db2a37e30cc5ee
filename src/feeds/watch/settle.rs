//! When is it quiet? A file that is being written to is not worth reading.

use core::hash::Hash;
use core::time::Duration;
use std::collections::HashMap;
use std::time::Instant;

/// How long nothing may have happened.
const QUIET: Duration = Duration::from_millis(100);
/// How long a writer that has not closed its file may pause.
const WRITER: Duration = Duration::from_secs(10);

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Somebody writes, and has the file open.
    Writing,
    /// Something came to its end: a file was closed, renamed, removed.
    Done,
}

/// What has happened since it was last quiet.
#[derive(Debug)]
pub(super) struct Settle<N> {
    last: Option<Instant>,
    /// Files that are being written to.
    open: HashMap<N, Instant>,
}

impl<N> Default for Settle<N> {
    fn default() -> Self {
        Self {
            last: None,
            open: HashMap::new(),
        }
    }
}

impl<N: Eq + Hash> Settle<N> {
    /// Takes note of an event about a file.
    pub(super) fn note(&mut self, name: N, kind: Kind, now: Instant) {
        self.last = Some(now);
        match kind {
            Kind::Writing => {
                self.open.insert(name, now);
            }
            Kind::Done => {
                self.open.remove(&name);
            }
        }
    }

    /// From when on it is quiet, if nothing more happens. `None`: nothing has happened.
    pub(super) fn due(&self) -> Option<Instant> {
        let writers = self.open.values().map(|since| *since + WRITER);
        let last = self.last.map(|last| last + QUIET);
        writers.chain(last).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_quiet_when_the_last_writer_has_closed() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut settle = Settle::default();
        assert_eq!(settle.due(), None);
        settle.note("a", Kind::Writing, at(0));
        settle.note("b", Kind::Done, at(50));
        assert_eq!(settle.due(), Some(at(0) + WRITER));
        settle.note("a", Kind::Writing, at(2000));
        assert_eq!(settle.due(), Some(at(2000) + WRITER));
        settle.note("a", Kind::Done, at(3000));
        assert_eq!(settle.due(), Some(at(3000) + QUIET));
    }
}
