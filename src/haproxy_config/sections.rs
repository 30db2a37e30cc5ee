//! The sections of haproxy.cfg, and what a proxy inherits from its `defaults`.

use core::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::words::words;
use crate::host::file::read_small;

/// The longest file that is read, in bytes.
const FILE_MAX: u64 = 16 << 20;

/// Words that begin a section, up to HAProxy 3.5.
const KINDS: [&str; 24] = [
    "acme",
    "backend",
    "cache",
    "crt-store",
    "defaults",
    "dynamic-update",
    "fcgi-app",
    "frontend",
    "global",
    "healthcheck",
    "http-errors",
    "listen",
    "log-forward",
    "log-profile",
    "mailers",
    "namespace_list",
    "peers",
    "program",
    "resolvers",
    "ring",
    "traces",
    "userlist",
    "ssl-f-use",
    "otel",
];

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The file, as it was given.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A line with at least one word.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) location: Location,
    pub(super) words: Vec<String>,
}

impl Line {
    /// The word at an index, or nothing.
    pub(super) fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    /// Whether the line begins with these words.
    pub(super) fn begins_with(&self, words: &[&str]) -> bool {
        let mut own = self.words.iter();
        words
            .iter()
            .all(|word| own.next().is_some_and(|own| own == word))
    }

    /// The word after this one.
    pub(super) fn after(&self, word: &str) -> Option<&str> {
        let index = self.words.iter().position(|own| own == word)?;
        self.words.get(index + 1).map(String::as_str)
    }

    /// Whether a word stands anywhere behind the first.
    pub(super) fn has(&self, word: &str) -> bool {
        self.words.iter().skip(1).any(|own| own == word)
    }
}

/// A section and its lines.
#[derive(Debug, Clone)]
pub(super) struct Section {
    /// The word that begins it.
    pub(super) kind: String,
    /// Its name, or nothing.
    pub(super) name: String,
    pub(super) location: Location,
    pub(super) lines: Vec<Line>,
    /// The `defaults` section that it inherits from.
    defaults: Option<usize>,
}

impl Section {
    /// Whether it accepts clients.
    pub(super) fn is_frontend(&self) -> bool {
        matches!(&*self.kind, "frontend" | "listen")
    }

    /// Whether it has servers.
    pub(super) fn is_backend(&self) -> bool {
        matches!(&*self.kind, "backend" | "listen")
    }
}

/// The lines of a file that have words, without the conditions of `.if`.
pub(super) fn read_lines(file: &Path) -> io::Result<Vec<Line>> {
    let bytes = read_small(file, FILE_MAX)?;
    let file: Arc<Path> = file.into();
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().enumerate().map(|(index, line)| Line {
        location: Location {
            file: Arc::clone(&file),
            line: index + 1,
        },
        words: words(line),
    });
    // Lines such as `.if` choose between branches; all branches are read.
    let has_words = |line: &Line| {
        line.words
            .first()
            .is_some_and(|word| !word.starts_with('.'))
    };
    Ok(lines.filter(has_words).collect())
}

/// Everything that HAProxy is started with.
#[derive(Debug, Default)]
pub(super) struct Sections {
    pub(super) all: Vec<Section>,
}

impl Sections {
    /// Reads files in order. A directory stands for its `.cfg` files, sorted by name, as with HAProxy's `-f`.
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, (PathBuf, io::Error)> {
        let mut all = Self::default();
        for given in files {
            let files = expand(given).map_err(|error| (given.clone(), error))?;
            for file in files {
                let lines = read_lines(&file).map_err(|error| (file.clone(), error))?;
                for line in lines {
                    all.push(line);
                }
            }
        }
        Ok(all)
    }

    fn push(&mut self, line: Line) {
        let first = line.word(0);
        if KINDS.contains(&first) {
            let defaults = self.defaults_of(&line);
            self.all.push(Section {
                kind: first.to_owned(),
                name: line.word(1).to_owned(),
                location: line.location.clone(),
                // A `listen` of old may have its address behind its name; nothing here needs it.
                lines: Vec::new(),
                defaults,
            });
        } else if let Some(section) = self.all.last_mut() {
            section.lines.push(line);
        }
    }

    /// The `defaults` section that `from` names, else the one before.
    fn defaults_of(&self, line: &Line) -> Option<usize> {
        let is_named = |section: &Section, name: &str| section.name == name;
        let from = line.after("from");
        if line.word(0) == "defaults" && from.is_none() {
            return None;
        }
        self.all.iter().rposition(|section| {
            section.kind == "defaults" && from.is_none_or(|name| is_named(section, name))
        })
    }

    /// The lines of a section, with those that it inherits before its own.
    pub(super) fn lines<'a>(&'a self, section: &'a Section) -> Vec<&'a Line> {
        let mut chain = vec![section];
        let mut next = section.defaults;
        while let Some(defaults) = next.and_then(|index| self.all.get(index)) {
            chain.push(defaults);
            next = defaults.defaults;
        }
        chain.iter().rev().flat_map(|it| &it.lines).collect()
    }

    /// The mode of a proxy: `tcp` unless it or its defaults say otherwise.
    pub(super) fn mode<'a>(&'a self, section: &'a Section) -> &'a str {
        let lines = self.lines(section);
        let mode = lines.iter().rev().find(|line| line.word(0) == "mode");
        mode.map_or("tcp", |line| line.word(1))
    }

    /// Whether an option is on, for the section or its defaults.
    pub(super) fn has_option(&self, section: &Section, option: &str) -> bool {
        let lines = self.lines(section);
        let last = lines
            .iter()
            .rev()
            .find(|line| line.has(option) && matches!(line.word(0), "option" | "no"));
        last.is_some_and(|line| line.word(0) == "option")
    }

    /// The backend of a name.
    pub(super) fn backend(&self, name: &str) -> Option<&Section> {
        self.all
            .iter()
            .find(|section| section.is_backend() && section.name == name)
    }

    /// The line of `global` with this keyword; the last counts.
    pub(super) fn global(&self, keyword: &str) -> Option<&Line> {
        let lines = self.all.iter().filter(|section| section.kind == "global");
        lines
            .flat_map(|section| &section.lines)
            .rfind(|line| line.word(0) == keyword)
    }
}

fn expand(given: &Path) -> io::Result<Vec<PathBuf>> {
    if !given.is_dir() {
        return Ok(vec![given.to_owned()]);
    }
    let entries = fs::read_dir(given)?.collect::<io::Result<Vec<_>>>()?;
    let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "cfg"));
    files.sort();
    if files.is_empty() {
        return Err(io::Error::other("no .cfg file is in it"));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(text: &str) -> Sections {
        let mut all = Sections::default();
        let file: Arc<Path> = Path::new("haproxy.cfg").into();
        for (index, line) in text.lines().enumerate() {
            let words = words(line);
            if words.is_empty() {
                continue;
            }
            let location = Location {
                file: Arc::clone(&file),
                line: index + 1,
            };
            all.push(Line { location, words });
        }
        all
    }

    #[test]
    fn a_proxy_inherits_from_the_defaults_before_it_or_from_those_it_names() {
        let all = sections(
            "defaults\n mode http\n option spop-check\nfrontend a\ndefaults one\n mode tcp\n\
             defaults two from one\n timeout connect 1s\nbackend b from two\n mode spop\n\
             no option spop-check\nbackend c from one\nlisten d\n",
        );
        let mode = |name: &str| {
            let section = all.all.iter().find(|section| section.name == name);
            all.mode(section.unwrap()).to_owned()
        };
        assert_eq!(
            [mode("a"), mode("b"), mode("c"), mode("d")],
            ["http", "spop", "tcp", "tcp"]
        );
        assert!(all.has_option(&all.all[1], "spop-check"));
        assert!(!all.has_option(all.backend("b").unwrap(), "spop-check"));
        assert!(all.backend("a").is_none());
    }

    #[test]
    fn lines_before_a_section_and_unknown_words_are_no_matter() {
        let all = sections("stray words\nfrontend a\n  nobody-knows this\n");
        assert_eq!(all.all.len(), 1);
        assert_eq!(all.all[0].lines.len(), 1);
        assert_eq!(all.all[0].lines[0].location.to_string(), "haproxy.cfg:3");
    }
}
