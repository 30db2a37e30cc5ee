//! Prometheus' text format 0.0.4: families with help and type, samples with labels.

use core::fmt::{self, Display, Write as _};

/// What a family of metrics is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Families as they are written, one after the other.
#[derive(Debug, Default)]
pub(super) struct Exposition(String);

/// A label's name and value.
pub(super) type Label<'a> = (&'static str, &'a dyn Display);

impl Exposition {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// Begins a family; its samples follow.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        // Writing to a String cannot fail. No help of ours has a line break or a backslash.
        let _ = write!(
            self.0,
            "# HELP {name} {help}\n# TYPE {name} {}\n",
            kind.name()
        );
        Family {
            text: &mut self.0,
            name,
        }
    }

    /// A family of one sample without labels.
    pub(super) fn one(&mut self, name: &'static str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help).sample(&[], value);
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// A family that is being written.
#[derive(Debug)]
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    pub(super) fn sample(&mut self, labels: &[Label<'_>], value: impl Display) {
        self.part("", labels, value);
    }

    /// A sample of a histogram: `_bucket`, `_sum` or `_count`.
    pub(super) fn part(&mut self, suffix: &str, labels: &[Label<'_>], value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (place, (name, label)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{name}=\"");
            let _ = write!(Escaping(self.text), "{label}");
            self.text.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }
}

/// Writes a label's value.
struct Escaping<'a>(&'a mut String);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_as_prometheus_reads_them() {
        let mut text = Exposition::default();
        text.one("up", Kind::Gauge, "Whether it is.", 1);
        let mut family = text.family("x_total", Kind::Counter, "X.");
        family.sample(&[("a", &"quo\"te\\ \n"), ("b", &7)], 2.5);
        family.part("_sum", &[], 3);
        let expected = "# HELP up Whether it is.\n# TYPE up gauge\nup 1\n\
                        # HELP x_total X.\n# TYPE x_total counter\n\
                        x_total{a=\"quo\\\"te\\\\ \\n\",b=\"7\"} 2.5\nx_total_sum 3\n";
        assert_eq!(text.into_text(), expected);
    }
}
