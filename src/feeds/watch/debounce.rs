//! Decides when a file is worth reading: each file settles by itself, so that one that is written to
//! again and again does not delay the others.

use core::hash::Hash;
use core::time::Duration;
use std::collections::HashMap;
use std::time::Instant;

/// How long a file without a writer must be quiet.
const QUIET: Duration = Duration::from_millis(100);
/// The longest time from the first event of a file until it is read, settled or not.
const MAX_DELAY: Duration = Duration::from_secs(2);

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A writer has the file open.
    Writing,
    /// Something came to its end: a file was closed, renamed, removed.
    Done,
}

/// A file that has changed and was not reported yet.
#[derive(Debug, Clone, Copy)]
struct Unsettled {
    first: Instant,
    last: Instant,
    is_written: bool,
}

impl Unsettled {
    fn due(&self) -> Instant {
        let latest = self.first + MAX_DELAY;
        if self.is_written {
            latest
        } else {
            latest.min(self.last + QUIET)
        }
    }
}

/// The files that have changed and were not reported yet.
#[derive(Debug)]
pub(super) struct Debounce<N>(HashMap<N, Unsettled>);

/// A file that is to be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settled<N> {
    pub(super) file: N,
    /// Whether a writer still has it open, as far as is known.
    pub(super) is_written: bool,
}

impl<N> Default for Debounce<N> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<N: Eq + Hash + Clone> Debounce<N> {
    /// Records an event about a file.
    pub(super) fn note(&mut self, file: N, kind: Kind, now: Instant) {
        let unsettled = self.0.entry(file).or_insert(Unsettled {
            first: now,
            last: now,
            is_written: false,
        });
        unsettled.last = now;
        unsettled.is_written = kind == Kind::Writing;
    }

    /// Returns when the next file is to be read, if nothing more happens.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.values().map(Unsettled::due).min()
    }

    /// Takes the files that are to be read now.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Settled<N>> {
        let due = self.0.extract_if(|_, unsettled| unsettled.due() <= now);
        due.map(|(file, unsettled)| Settled {
            file,
            is_written: unsettled.is_written,
        })
        .collect()
    }

    /// Returns the files that are not to be read yet.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = &N> {
        self.0.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_settles_when_its_writer_closes_it_and_at_the_latest_after_two_seconds() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut settle = Debounce::default();
        assert_eq!(settle.due(), None);
        settle.note("a", Kind::Writing, at(0));
        assert_eq!(settle.due(), Some(at(2000)));
        settle.note("a", Kind::Done, at(500));
        assert_eq!(settle.due(), Some(at(600)));
        settle.note("a", Kind::Writing, at(550));
        assert_eq!(settle.take_due(at(1999)), []);
        let forced = Settled {
            file: "a",
            is_written: true,
        };
        assert_eq!(settle.take_due(at(2000)), [forced]);
        assert_eq!(settle.due(), None);
    }

    #[test]
    fn a_file_that_keeps_changing_does_not_delay_another() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut settle = Debounce::default();
        settle.note("busy", Kind::Writing, at(0));
        settle.note("good", Kind::Done, at(10));
        settle.note("busy", Kind::Writing, at(100));
        let good = Settled {
            file: "good",
            is_written: false,
        };
        assert_eq!(settle.take_due(at(110)), [good]);
        assert_eq!(settle.unsettled().collect::<Vec<_>>(), [&"busy"]);
    }
}
