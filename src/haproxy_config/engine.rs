//! An engine: a `filter spoe` line, the scope of the SPOE file that it names, and what it sends.

use std::io;
use std::path::{Path, PathBuf};

use super::AgentSide;
use super::sections::{Line, Section, Sections, read_lines};
use super::spoe::{Part, Scope};

/// The prefix of the sample configurations, which tells an engine of this agent from others.
const PREFIX: &str = "iprep";

/// A `filter spoe` line and what it leads to.
#[derive(Debug)]
pub(super) struct Engine<'a> {
    pub(super) proxy: &'a Section,
    pub(super) filter: &'a Line,
    /// The name behind `engine`.
    pub(super) name: Option<&'a str>,
    /// The SPOE file, as it is written, and where it was found.
    pub(super) file: Option<(&'a str, PathBuf)>,
    pub(super) scope: Result<Scope, io::Error>,
}

impl Sections {
    /// Every engine, in the order of the files.
    pub(super) fn engines(&self) -> Vec<Engine<'_>> {
        let proxies = self
            .all
            .iter()
            .filter(|it| it.is_frontend() || it.is_backend());
        let lines = proxies.flat_map(|proxy| proxy.lines.iter().map(move |line| (proxy, line)));
        lines
            .filter(|(_, line)| line.begins_with(&["filter", "spoe"]))
            .map(|(proxy, filter)| self.engine(proxy, filter))
            .collect()
    }

    /// Whether there is a `filter spoe` line.
    pub(super) fn has_engine(&self) -> bool {
        let mut lines = self.all.iter().flat_map(|section| &section.lines);
        lines.any(|line| line.begins_with(&["filter", "spoe"]))
    }

    fn engine<'a>(&self, proxy: &'a Section, filter: &'a Line) -> Engine<'a> {
        let name = filter.after("engine");
        let file = filter
            .after("config")
            .map(|written| (written, self.resolve(written, filter)));
        let lines = match &file {
            Some((_, path)) => read_lines(path),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        Engine {
            proxy,
            filter,
            name,
            file,
            scope: lines.map(|lines| Scope::of(name, lines)),
        }
    }

    /// Finds a file as `default-path` says. By default that is HAProxy's working directory, which may be
    /// another than this one: then the directory of the configuration is tried as well.
    fn resolve(&self, written: &str, filter: &Line) -> PathBuf {
        let written = Path::new(written);
        let dir = filter
            .location
            .file
            .parent()
            .unwrap_or_else(|| Path::new(""));
        let line = self.global("default-path");
        match line.map_or("current", |line| line.word(1)) {
            "config" => dir.join(written),
            "parent" => dir.join("..").join(written),
            "origin" => Path::new(line.map_or("", |line| line.word(2))).join(written),
            _ if written.exists() || !dir.join(written).exists() => written.to_owned(),
            _ => dir.join(written),
        }
    }
}

impl Engine<'_> {
    /// The `spoe-agent` section.
    pub(super) fn agent(&self) -> Option<&Part> {
        self.scope.as_ref().ok().and_then(Scope::agent)
    }

    /// What HAProxy puts before the names of variables: `option var-prefix`, else the agent's name.
    pub(super) fn prefix(&self) -> Option<&str> {
        let agent = self.agent()?;
        let option = agent.line(&["option", "var-prefix"]);
        Some(option.map_or(&*agent.name, |line| line.word(2)))
    }

    /// The backend that reaches the agent, and the line that names it.
    pub(super) fn backend(&self) -> Option<(&str, &Line)> {
        let line = self.agent()?.line(&["use-backend"])?;
        Some((line.word(1), line))
    }

    /// The messages that the agent section lists, itself or through groups, with the lines that list them.
    pub(super) fn messages(&self) -> Vec<(&str, &Line, Option<&Part>)> {
        let (Ok(scope), Some(agent)) = (&self.scope, self.agent()) else {
            return Vec::new();
        };
        let own = agent.listed("messages");
        let groups = agent
            .listed("groups")
            .filter_map(|(name, _)| scope.group(name));
        let grouped = groups.flat_map(|group| group.listed("messages"));
        own.chain(grouped)
            .map(|(name, line)| (name, line, scope.message(name)))
            .collect()
    }

    /// Whether it is about this agent, as far as names tell: HAProxy may have engines for other agents too.
    pub(super) fn is_ours(&self, side: &AgentSide) -> bool {
        self.prefix() == Some(PREFIX)
            || self
                .messages()
                .iter()
                .any(|(name, _, _)| side.message(name).is_some())
    }
}
