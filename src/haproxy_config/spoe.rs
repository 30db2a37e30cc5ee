//! A SPOE file: scopes, and in them `spoe-agent`, `spoe-message` and `spoe-group` (SPOE.txt, section 2).

use super::sections::{Line, Location};

/// A section of a SPOE file.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// `spoe-agent`, `spoe-message` or `spoe-group`.
    kind: String,
    pub(super) name: String,
    pub(super) location: Location,
    pub(super) lines: Vec<Line>,
}

impl Part {
    /// The last line that begins with these words.
    pub(super) fn line(&self, words: &[&str]) -> Option<&Line> {
        self.lines.iter().rfind(|line| line.begins_with(words))
    }

    /// Every word behind a keyword that may stand several times, with its line.
    pub(super) fn listed<'a>(
        &'a self,
        keyword: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Line)> {
        let lines = self
            .lines
            .iter()
            .filter(move |line| line.word(0) == keyword);
        lines.flat_map(|line| line.words.iter().skip(1).map(move |word| (&**word, line)))
    }
}

/// What is in one scope of a file.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) parts: Vec<Part>,
    /// The names of the other scopes.
    pub(super) others: Vec<String>,
    /// Whether the scope is there.
    pub(super) is_found: bool,
}

impl Scope {
    /// Takes what belongs to an engine: the scope of its name, or without one what is in no scope.
    pub(super) fn of(engine: Option<&str>, lines: Vec<Line>) -> Self {
        let mut found = Self {
            is_found: engine.is_none(),
            ..Self::default()
        };
        let mut is_within = engine.is_none();
        for line in lines {
            let scope = line
                .word(0)
                .strip_prefix('[')
                .and_then(|word| word.strip_suffix(']'));
            if let Some(scope) = scope {
                is_within = engine == Some(scope);
                found.is_found |= is_within;
                if !is_within {
                    found.others.push(scope.to_owned());
                }
            } else if is_within {
                found.push(line);
            }
        }
        found
    }

    fn push(&mut self, line: Line) {
        if matches!(line.word(0), "spoe-agent" | "spoe-message" | "spoe-group") {
            self.parts.push(Part {
                kind: line.word(0).to_owned(),
                name: line.word(1).to_owned(),
                location: line.location,
                lines: Vec::new(),
            });
        } else if let Some(part) = self.parts.last_mut() {
            part.lines.push(line);
        }
    }

    pub(super) fn agent(&self) -> Option<&Part> {
        self.parts.iter().find(|part| part.kind == "spoe-agent")
    }

    pub(super) fn message(&self, name: &str) -> Option<&Part> {
        let messages = self.parts.iter().filter(|part| part.kind == "spoe-message");
        messages.into_iter().find(|part| part.name == name)
    }

    pub(super) fn group(&self, name: &str) -> Option<&Part> {
        let groups = self.parts.iter().filter(|part| part.kind == "spoe-group");
        groups.into_iter().find(|part| part.name == name)
    }
}
