//! A sample: a line of the CSV, which is all that a report is made from.

use std::fmt::Write as _;

/// The columns, in order. Counts are from the start, times are of the time since the sample before.
pub(crate) const COLUMNS: [&str; 25] = [
    "seconds",
    "rss_kib",
    "anon_kib",
    "pss_kib",
    "descriptors",
    "threads",
    "cpu_percent",
    "load_cpu_percent",
    "notifys",
    "notifys_per_second",
    "probes",
    "p50_us",
    "p99_us",
    "p999_us",
    "max_us",
    "agent_p50_us",
    "agent_p99_us",
    "agent_p999_us",
    "connections",
    "reloads",
    "refusals",
    "good_lists",
    "bad_lists",
    "scrapes",
    "errors",
];

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row(pub(crate) [f64; COLUMNS.len()]);

impl Row {
    pub(crate) fn line(&self) -> String {
        let mut line = String::new();
        for (place, value) in self.0.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            // Writing into a String cannot fail; a whole number has no decimals.
            let _ = match value.fract() {
                0.0 => write!(line, "{comma}{value:.0}"),
                _ => write!(line, "{comma}{value:.1}"),
            };
        }
        line
    }

    pub(crate) fn parse(line: &str) -> Option<Self> {
        let values: Vec<f64> = line
            .split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()?;
        values.try_into().ok().map(Self)
    }
}

/// All samples of a run, and what stands behind them.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) rows: Vec<Row>,
    /// `# name value`: what was counted once, at the end.
    pub(crate) notes: Vec<(String, String)>,
}

impl Run {
    /// A line that was cut off counts for nothing.
    pub(crate) fn parse(text: &str) -> Self {
        let mut run = Self::default();
        for line in text.lines() {
            if let Some(note) = line.strip_prefix("# ") {
                let (name, value) = note.split_once(' ').unwrap_or((note, ""));
                run.notes.push((name.to_owned(), value.to_owned()));
            } else if let Some(row) = Row::parse(line) {
                run.rows.push(row);
            }
        }
        run
    }

    pub(crate) fn column(&self, name: &str) -> Vec<f64> {
        let place = COLUMNS
            .iter()
            .position(|column| *column == name)
            .unwrap_or(0);
        self.rows.iter().map(|row| row.0[place]).collect()
    }

    pub(crate) fn last(&self, name: &str) -> f64 {
        self.column(name).last().copied().unwrap_or(0.0)
    }

    pub(crate) fn note(&self, name: &str) -> Option<&str> {
        let mut notes = self.notes.iter();
        notes.find_map(|(own, value)| (own == name).then_some(value.as_str()))
    }

    pub(crate) fn notes_of(&self, name: &str) -> impl Iterator<Item = &str> {
        let of_it = self.notes.iter().filter(move |(own, _)| own == name);
        of_it.map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_and_half_a_row_does_not() {
        let mut row = Row([0.0; COLUMNS.len()]);
        (row.0[0], row.0[1]) = (5.5, 12_345.0);
        let line = row.line();
        let text = format!(
            "{}\n{line}\n# wrong 3 probe: no score\n5,6",
            COLUMNS.join(",")
        );
        let run = Run::parse(&text);
        assert_eq!(run.rows, [row]);
        assert_eq!(run.column("rss_kib"), [12_345.0]);
        assert_eq!(run.note("wrong"), Some("3 probe: no score"));
    }
}
