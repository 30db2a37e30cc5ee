//! What reading a feed has shown, line by line.

use core::fmt;

/// The most wrong lines that are named. All of them are counted.
pub const NAMED_MAX: usize = 10;

/// The most notes that are kept.
const NOTES_MAX: usize = 10;

/// The most bytes of a wrong line that are shown.
const EXCERPT_MAX: usize = 60;

/// What a feed consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries that were given to the sink. A range is as many as it has prefixes.
    pub entries: u64,
    /// Lines, objects or records that were to say something: neither blank nor comment nor skipped.
    pub lines: u64,
    /// Those of `lines` that could not be used.
    pub wrong: u64,
    /// The number of the last of them.
    pub(super) last_wrong: Option<u64>,
    /// The first [`NAMED_MAX`] of them.
    pub first_wrong: Vec<Wrong>,
    /// Lines that are right and say nothing to us: headers, sets of another type or name, networks
    /// that no rule speaks of.
    pub skipped: u64,
    /// Records that the conditions of the configuration leave out. They count as `skipped` too.
    pub filtered: u64,
    /// Values above the highest one, which counted as that.
    pub clamped: u64,
    /// Times that could not be read; their entries count without them.
    pub bad_times: u64,
    /// Prefixes with host bits set. They were dropped: `203.0.113.9/24` is `203.0.113.0/24`.
    pub host_bits: u64,
    /// The first line that speaks of every address of a family (`/0`). It may well be a mistake.
    pub everything: Option<u64>,
    /// When the data was made, in seconds since 1970, if the feed says so.
    pub as_of: Option<u32>,
    /// When the publisher will have a newer one, in seconds since 1970, if the feed says so. Its
    /// entries do not end then.
    pub expires: Option<u32>,
    /// How many entries the feed says it has.
    pub declared: Option<u64>,
    /// Whether the feed says itself that it is empty on purpose, and is.
    pub emptied: bool,
    /// Whether it is a document of records, which are numbered as lines are elsewhere.
    pub has_records: bool,
    /// What is no mistake and may yet be none of what was meant: sets of a type that is not read, rules
    /// that no network meets. The first ten.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether more than this share of its lines are wrong.
    #[must_use]
    pub fn exceeds(&self, max_invalid_ratio: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
        let (wrong, lines) = (self.wrong as f64, self.lines as f64);
        wrong > max_invalid_ratio * lines
    }

    /// What it consists of: a line or a record.
    #[must_use]
    pub const fn unit(&self) -> &'static str {
        unit(self.has_records)
    }

    /// Keeps a note, unless there are enough.
    pub(super) fn note(&mut self, note: String) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(note);
        }
    }

    /// Counts a line that cannot be used, and names it if it is among the first.
    pub(super) fn wrong(&mut self, line: u64, what: &[u8], expected: &'static str) {
        self.wrong += 1;
        self.last_wrong = Some(line);
        if self.first_wrong.len() < NAMED_MAX {
            self.first_wrong.push(Wrong {
                line,
                is_record: self.has_records,
                what: excerpt(what),
                expected,
            });
        }
    }
}

/// A line that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Its number, from 1; in a document without lines, the number of the object.
    pub line: u64,
    /// Whether it is an object of such a document.
    pub is_record: bool,
    /// The start of it, printable.
    pub what: String,
    /// What would have been right.
    pub expected: &'static str,
}

const fn unit(is_record: bool) -> &'static str {
    if is_record { "record" } else { "line" }
}

/// `line 7: "203.0.113.9:80" where an address without a port was expected`
impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            is_record,
            what,
            expected,
        } = self;
        let unit = unit(*is_record);
        write!(f, "{unit} {line}: \"{what}\" where {expected} was expected")
    }
}

/// The start of a text that may hold anything, fit for a terminal and a log.
pub(super) fn excerpt(text: &[u8]) -> String {
    let (shown, is_cut) = match text.split_at_checked(EXCERPT_MAX) {
        Some((shown, rest)) if !rest.is_empty() => (shown, true),
        _ => (text, false),
    };
    let mut excerpt = shown.escape_ascii().to_string();
    if is_cut {
        excerpt.push_str("...");
    }
    excerpt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_printable() {
        assert_eq!(excerpt(b"a\0\x1b[2J\"\xff"), "a\\x00\\x1b[2J\\\"\\xff");
        assert_eq!(excerpt(&[b'a'; EXCERPT_MAX]), "a".repeat(EXCERPT_MAX));
        assert_eq!(
            excerpt(&[b'a'; EXCERPT_MAX + 1]),
            "a".repeat(EXCERPT_MAX) + "..."
        );
    }

    #[test]
    fn the_first_wrong_lines_are_named_and_all_are_counted() {
        let mut report = Report::default();
        for line in 1..=1000 {
            report.wrong(line, b"x", "an address");
        }
        assert_eq!(report.wrong, 1000);
        assert_eq!(report.first_wrong.len(), NAMED_MAX);
        assert_eq!(
            report.first_wrong[9].to_string(),
            "line 10: \"x\" where an address was expected"
        );
    }
}
