//! What is checked, engine by engine.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use super::engine::Engine;
use super::sections::{Line, Location, Section, Sections};
use super::spoe::{Part, Scope};
use super::variables::{Access, FullName, scope_word, set_by_engine, uses};
use super::{AgentSide, Finding};
use crate::config::nearest;
use crate::policy::{FULL_NAME_LEN_MAX, MessageRules};

/// The value of `tune.bufsize` unless it is set.
const BUFSIZE: u32 = 16_384;
/// What a frame takes of a buffer besides its payload: the length before it.
const FRAME_LENGTH: u32 = 4;

/// Every finding about the engines of this agent.
pub(super) fn all(sections: &Sections, side: &AgentSide) -> Vec<Finding> {
    let engines = sections.engines();
    // With one engine there is no doubt which one it is.
    let mut ours: Vec<_> = engines
        .iter()
        .filter(|engine| engine.is_ours(side))
        .collect();
    if ours.is_empty() {
        ours = engines.iter().collect();
    }
    let mut checker = Checker {
        sections,
        side,
        findings: Vec::new(),
    };
    for engine in &ours {
        checker.engine(engine);
    }
    checker.shared_backends(&engines, &ours);
    checker.variables(&ours);
    checker.rules(&ours);
    checker.send_groups(&engines);
    if !ours.is_empty() {
        checker.buffer_size();
    }
    checker.findings
}

struct Checker<'a> {
    sections: &'a Sections,
    side: &'a AgentSide,
    findings: Vec<Finding>,
}

impl Checker<'_> {
    fn report(&mut self, location: &Location, text: impl Into<String>) {
        self.findings.push(Finding {
            location: location.clone(),
            text: text.into(),
        });
    }

    fn engine(&mut self, engine: &Engine<'_>) {
        let at = &engine.filter.location;
        let Some((written, path)) = &engine.file else {
            self.report(at, "filter spoe names no file; add \"config FILE\" to it");
            return;
        };
        let scope = match &engine.scope {
            Ok(scope) => scope,
            Err(error) => {
                let path = path.display();
                self.report(
                    at,
                    format!(
                        "cannot read the SPOE file {path}: {error}; use an absolute path, \
                         or run this where HAProxy is started"
                    ),
                );
                return;
            }
        };
        if !scope.is_found {
            self.report(
                at,
                missing_scope(engine.name.unwrap_or_default(), written, scope),
            );
            return;
        }
        let Some(agent) = scope.agent() else {
            self.report(at, missing_agent(engine.name, written, scope));
            return;
        };
        self.processing_timeout(agent);
        self.backend(engine, agent);
        self.messages(engine, scope, agent);
    }

    fn processing_timeout(&mut self, agent: &Part) {
        let threshold = self.side.slow_threshold;
        let Some(line) = agent.line(&["timeout", "processing"]) else {
            let text = format!(
                "spoe-agent \"{}\" has no \"timeout processing\", so a request waits for the agent \
                 without a limit; add \"timeout processing {}\"",
                agent.name,
                written(threshold)
            );
            self.report(&agent.location, text);
            return;
        };
        match parse_time(line.word(2)) {
            Some(time) if time > threshold => {
                let text = format!(
                    "timeout processing {} is longer than the agent's slow-threshold {}, so the agent \
                     counts answers as slow that HAProxy still takes; set it to {}, or set \
                     slow-threshold in [agent] to {}",
                    line.word(2),
                    written(threshold),
                    written(threshold),
                    written(time)
                );
                self.report(&line.location, text);
            }
            Some(_) => {}
            None => {
                let text = format!(
                    "timeout processing \"{}\" is no time; write \"timeout processing {}\"",
                    line.word(2),
                    written(threshold)
                );
                self.report(&line.location, text);
            }
        }
    }

    fn backend(&mut self, engine: &Engine<'_>, agent: &Part) {
        let Some((name, line)) = engine.backend() else {
            let text = format!(
                "spoe-agent \"{}\" has no \"use-backend\"; name the backend of the agent's servers",
                agent.name
            );
            self.report(&agent.location, text);
            return;
        };
        let Some(backend) = self.sections.backend(name) else {
            let text = format!(
                "use-backend \"{name}\": no file has such a backend; add \"backend {name}\", or give \
                 the file that has it"
            );
            self.report(&line.location, text);
            return;
        };
        let mode = self.sections.mode(backend);
        if !matches!(mode, "tcp" | "spop") {
            let text = format!(
                "backend \"{name}\" of the agent is in mode {mode}; add \"mode spop\" to it, or \
                 \"mode tcp\" for HAProxy 3.0 and older"
            );
            self.report(&backend.location, text);
        }
        if !self.sections.has_option(backend, "spop-check") {
            let text = format!(
                "backend \"{name}\" has no \"option spop-check\", so a check sees only that something \
                 listens; add it, and \"check\" to each server"
            );
            self.report(&backend.location, text);
        }
        self.servers(backend);
    }

    fn servers(&mut self, backend: &Section) {
        let lines = self.sections.lines(backend);
        let defaults: Vec<_> = lines
            .iter()
            .filter(|line| line.word(0) == "default-server")
            .collect();
        let is_checked = defaults.iter().any(|line| line.has("check"));
        let default_max = defaults.iter().rev().find(|line| line.has("maxconn"));
        let mut servers = 0_usize;
        for line in &lines {
            if !matches!(line.word(0), "server" | "server-template") {
                continue;
            }
            servers += 1;
            let name = line.word(1);
            let is_checked = (is_checked || line.has("check")) && !line.has("no-check");
            if !is_checked {
                let text = format!(
                    "server \"{name}\" has no \"check\", so a dead agent is still asked; add it"
                );
                self.report(&line.location, text);
            }
            let limit = if line.has("maxconn") {
                Some(*line)
            } else {
                default_max.map(|line| **line)
            };
            if let Some(limit) = limit {
                let text = format!(
                    "server \"{name}\" has \"maxconn\", so a request waits for a free connection while its \
                     processing time passes; remove it"
                );
                self.report(&limit.location, text);
            }
            self.chroot(line);
        }
        if servers == 0 {
            let text = format!(
                "backend \"{}\" of the agent has no server; add one",
                backend.name
            );
            self.report(&backend.location, text);
        }
    }

    /// HAProxy connects after it has changed its root, so the same path leads elsewhere.
    fn chroot(&mut self, server: &Line) {
        let Some(root) = self.sections.global("chroot").map(|line| line.word(1)) else {
            return;
        };
        let address = ["server", "server-template"]
            .iter()
            .find(|kind| server.word(0) == **kind);
        let address = address.map_or("", |kind| {
            server.word(if *kind == "server" { 2 } else { 3 })
        });
        let path = address.strip_prefix("unix@").unwrap_or(address);
        if path.starts_with('/') && self.side.sockets.iter().any(|socket| socket == path) {
            let root = root.trim_end_matches('/');
            let text = format!(
                "HAProxy is in the chroot {root} and looks for {path} at {root}{path}, where the agent does \
                 not listen; set bind = [\"unix:{root}{path}\"] in [agent]"
            );
            self.report(&server.location, text);
        }
    }

    fn messages(&mut self, engine: &Engine<'_>, scope: &Scope, agent: &Part) {
        let messages = engine.messages();
        if messages.is_empty() {
            let text = format!(
                "spoe-agent \"{}\" sends nothing; add \"messages {}\"",
                agent.name,
                self.names().first().copied().unwrap_or_default()
            );
            self.report(&agent.location, text);
        }
        for (name, line) in agent.listed("groups") {
            if scope.group(name).is_none() {
                let text = format!(
                    "group \"{name}\" is not defined in this scope; add \"spoe-group {name}\""
                );
                self.report(&line.location, text);
            }
        }
        let grouped: BTreeSet<_> = agent
            .listed("groups")
            .filter_map(|(name, _)| scope.group(name))
            .flat_map(|group| group.listed("messages").map(|(name, _)| name))
            .collect();
        for (name, line, message) in messages {
            let Some(message) = message else {
                let text = format!(
                    "message \"{name}\" is not defined in this scope; add \"spoe-message {name}\""
                );
                self.report(&line.location, text);
                continue;
            };
            self.event(engine, message, grouped.contains(name));
            match self.side.message(name) {
                Some(rules) => self.arguments(message, rules),
                None if self.side.report.as_deref() == Some(name) => self.report_arguments(message),
                None => self.unanswered(message),
            }
        }
        self.long_names(engine, agent);
    }

    fn names(&self) -> Vec<&str> {
        let messages = self.side.messages.iter();
        messages.map(|message| &*message.name).collect()
    }

    fn unanswered(&mut self, message: &Part) {
        let names = self.names();
        let name = &message.name;
        let advice = nearest(name, &names).map_or_else(
            || format!("the agent answers {}", names.join(", ")),
            |near| format!("did you mean \"{near}\"?"),
        );
        let text = format!(
            "the agent does not answer message \"{name}\"; {advice}; a [[message]] with that name in its \
             configuration adds it"
        );
        self.report(&message.location, text);
    }

    /// Whether the message is ever sent.
    fn event(&mut self, engine: &Engine<'_>, message: &Part, is_grouped: bool) {
        let Some(line) = message.line(&["event"]) else {
            if !is_grouped {
                let text = format!(
                    "message \"{}\" has no event and is in no group, so it is never sent; add \"event \
                     on-client-session\"",
                    message.name
                );
                self.report(&message.location, text);
            }
            return;
        };
        let event = line.word(1);
        let needs_frontend = event == "on-client-session" || event.starts_with("on-frontend-");
        if needs_frontend && !engine.proxy.is_frontend() {
            let text = format!(
                "event {event} happens in a frontend, and the filter is in backend \"{}\" ({}), so message \
                 \"{}\" is never sent; move the filter line to the frontend",
                engine.proxy.name, engine.filter.location, message.name
            );
            self.report(&line.location, text);
        }
        let is_http = event.contains("-http-");
        if is_http && self.sections.mode(engine.proxy) != "http" {
            let text = format!(
                "event {event} happens in mode http, and {} \"{}\" is in mode {}, so message \"{}\" is never \
                 sent; use on-client-session or on-frontend-tcp-request",
                engine.proxy.kind,
                engine.proxy.name,
                self.sections.mode(engine.proxy),
                message.name
            );
            self.report(&line.location, text);
        }
    }

    /// The message of `[behavior]` needs an address.
    fn report_arguments(&mut self, message: &Part) {
        let line = message.line(&["args"]);
        let has_address =
            line.is_some_and(|line| line.words.iter().any(|it| it.starts_with("ip=")));
        if !has_address {
            let at = line.map_or(&message.location, |line| &line.location);
            let text = format!(
                "message \"{}\" reports without an address; write \"args ip=src points=int(10)\"",
                message.name
            );
            self.report(at, text);
        }
    }

    /// Whether the arguments that the agent looks for are there.
    fn arguments(&mut self, message: &Part, rules: &MessageRules) {
        let line = message.line(&["args"]);
        let arguments = line.map(|line| line.words.get(1..).unwrap_or_default());
        let arguments = arguments.unwrap_or_default();
        let name_of = |argument: &String| {
            let (name, _) = argument.split_once('=')?;
            let is_name = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
            name.chars().all(is_name).then(|| name.to_owned())
        };
        let names: Vec<_> = arguments.iter().filter_map(name_of).collect();
        let at = line.map_or(&message.location, |line| &line.location);
        let needs_address = rules
            .answers
            .iter()
            .any(|answer| answer.value.needs_address());
        let needs_payload = rules
            .answers
            .iter()
            .any(|answer| answer.value.needs_payload());
        if arguments.is_empty() {
            if needs_address || needs_payload {
                let text = format!(
                    "message \"{}\" has no arguments; add \"args ip=src\"",
                    message.name
                );
                self.report(at, text);
            }
            return;
        }
        let wanted = [
            (needs_address, &rules.argument, "src"),
            (
                needs_payload && !needs_address,
                &rules.payload_argument,
                "req.payload(0,0)",
            ),
        ];
        for (is_needed, argument, sample) in wanted {
            let Some(argument) = argument.as_ref().filter(|_| is_needed) else {
                continue;
            };
            if !names.iter().any(|name| name == argument) {
                let text = format!(
                    "message \"{}\" has no argument \"{argument}\", which the agent looks for; write \"args \
                     {argument}={sample}\"",
                    message.name
                );
                self.report(at, text);
            }
        }
    }

    /// HAProxy drops a variable without a word if scope, prefix and name are longer than it allows.
    fn long_names(&mut self, engine: &Engine<'_>, agent: &Part) {
        let prefix = agent.line(&["option", "var-prefix"]);
        let at = prefix
            .map_or(&agent.location, |line| &line.location)
            .clone();
        for name in set_by_engine(engine, self.side) {
            let length = name.to_string().len();
            if length > FULL_NAME_LEN_MAX {
                let text = format!(
                    "variable {name} has {length} bytes, and HAProxy drops what is longer than \
                     {FULL_NAME_LEN_MAX}; shorten var-prefix or the variable's name"
                );
                self.report(&at, text);
            }
        }
    }

    /// HAProxy 3.1 and later open a connection a request when two engines share a backend.
    fn shared_backends(&mut self, all: &[Engine<'_>], ours: &[&Engine<'_>]) {
        let mut users: BTreeMap<&str, BTreeMap<&Location, &Line>> = BTreeMap::new();
        for engine in all {
            if let Some((name, line)) = engine.backend() {
                // One `spoe-agent` that several proxies use is one user.
                users
                    .entry(name)
                    .or_default()
                    .insert(&line.location, engine.filter);
            }
        }
        let mut seen = BTreeSet::new();
        for engine in ours {
            let Some((name, line)) = engine.backend() else {
                continue;
            };
            let others = users.get(name).into_iter().flatten();
            let other = others
                .map(|(location, _)| *location)
                .find(|location| **location != line.location);
            if let Some(other) = other.filter(|_| seen.insert(&line.location)) {
                let text = format!(
                    "backend \"{name}\" is used by two engines (the other: {other}), so HAProxy 3.1 and later \
                     open a connection for each request; give each engine a backend of its own"
                );
                self.report(&line.location, text);
            }
        }
        // Two filters in one proxy lead to the same backend as well.
        let mut proxies: BTreeMap<(&Location, &str), &Engine<'_>> = BTreeMap::new();
        for engine in ours {
            let Some((name, _)) = engine.backend() else {
                continue;
            };
            if proxies
                .insert((&engine.proxy.location, name), engine)
                .is_some()
            {
                let text = format!(
                    "{} \"{}\" has two filters that use backend \"{name}\", so every client is asked about \
                     twice; remove one",
                    engine.proxy.kind, engine.proxy.name
                );
                self.report(&engine.filter.location, text);
            }
        }
    }

    /// Variables that a rule reads and nothing sets.
    fn variables(&mut self, ours: &[&Engine<'_>]) {
        let known = ours.iter().filter(|engine| engine.agent().is_some());
        let prefixes: BTreeSet<_> = known.filter_map(|engine| engine.prefix()).collect();
        let mut set: BTreeSet<FullName> = BTreeSet::new();
        for engine in ours {
            set.extend(set_by_engine(engine, self.side));
        }
        let spoe = ours.iter().filter_map(|engine| engine.scope.as_ref().ok());
        let spoe = spoe
            .flat_map(|scope| &scope.parts)
            .flat_map(|part| &part.lines);
        let found = uses(self.sections.lines_of_all().chain(spoe), &prefixes);
        set.extend(
            found
                .iter()
                .filter(|it| it.access == Access::Set)
                .map(|it| it.name.clone()),
        );
        let reads = found.iter().filter(|it| it.access == Access::Read);
        for read in reads.filter(|it| !set.contains(&it.name)) {
            if read.name.scope == "sess" && self.side.may_set(&read.name.name) {
                continue;
            }
            let text = self.nobody_sets(&read.name, &set);
            self.report(&read.line.location, text);
        }
    }

    fn nobody_sets(&self, name: &FullName, set: &BTreeSet<FullName>) -> String {
        let same = set
            .iter()
            .find(|other| other.name == name.name && other.prefix == name.prefix);
        if let Some(other) = same {
            return format!("nothing sets {name}; the agent sets {other}");
        }
        let others: Vec<_> = set
            .iter()
            .filter(|other| other.prefix == name.prefix)
            .collect();
        let names: Vec<_> = others.iter().map(|other| &*other.name).collect();
        if let Some(near) = nearest(&name.name, &names)
            && let Some(other) = others.iter().find(|other| other.name == near)
        {
            return format!("nothing sets {name}; did you mean {other}?");
        }
        let by_other = self.side.messages.iter().find(|message| {
            let mut answers = message.answers.iter();
            scope_word(message.scope) == name.scope
                && answers.any(|answer| answer.variable == name.name)
        });
        if let Some(message) = by_other {
            return format!(
                "nothing sets {name}; message \"{}\" does, and no engine sends it",
                message.name
            );
        }
        format!(
            "nothing sets {name}; add {{ name = \"{}\", value = … }} to vars of a [[message]], or remove it",
            name.name
        )
    }

    /// Rules that read the agent's variables before there are any.
    fn rules(&mut self, ours: &[&Engine<'_>]) {
        let prefixes: BTreeSet<_> = ours.iter().filter_map(|engine| engine.prefix()).collect();
        for engine in ours {
            let proxy = engine.proxy;
            let is_http = self.sections.mode(proxy) == "http";
            let acls = acls_that_read(proxy, &prefixes);
            for line in &proxy.lines {
                let kind = (line.word(0), line.word(1));
                let reads = uses(std::iter::once(line), &prefixes)
                    .iter()
                    .any(|it| it.access == Access::Read)
                    || line
                        .words
                        .iter()
                        .any(|word| acls.contains(word.trim_start_matches('!')));
                let text = match kind {
                    _ if !reads => continue,
                    ("tcp-request", "connection" | "session") => format!(
                        "tcp-request {} rules run before the agent is asked, so the variable is never there; \
                         use {}",
                        kind.1,
                        if is_http {
                            "http-request deny"
                        } else {
                            "tcp-request content reject"
                        }
                    ),
                    ("tcp-request", "content") if is_http => format!(
                        "{} \"{}\" is in mode http, where a tcp-request content rule sees an answer late or \
                         not at all and closes without a response; write \"http-request deny if …\"",
                        proxy.kind, proxy.name
                    ),
                    _ => continue,
                };
                self.report(&line.location, text);
            }
        }
    }

    /// `send-spoe-group ENGINE GROUP` has to name an engine of the same proxy, and a group of its agent.
    fn send_groups(&mut self, engines: &[Engine<'_>]) {
        for section in &self.sections.all {
            for line in &section.lines {
                let Some(at) = line.words.iter().position(|word| word == "send-spoe-group") else {
                    continue;
                };
                let (name, group) = (line.word(at + 1), line.word(at + 2));
                let own: Vec<_> = engines
                    .iter()
                    .filter(|engine| engine.proxy.location == section.location)
                    .collect();
                let Some(engine) = own.iter().find(|engine| engine.name == Some(name)) else {
                    let names: Vec<_> = own.iter().filter_map(|engine| engine.name).collect();
                    let has = if names.is_empty() {
                        "none".to_owned()
                    } else {
                        names.join(", ")
                    };
                    let text = format!(
                        "send-spoe-group names the engine \"{name}\", and {} \"{}\" has {has}; use the name \
                         behind \"engine\" of its filter line",
                        section.kind, section.name
                    );
                    self.report(&line.location, text);
                    continue;
                };
                let Some(agent) = engine.agent() else {
                    continue;
                };
                if !agent.listed("groups").any(|(listed, _)| listed == group) {
                    let text = format!(
                        "group \"{group}\" is not one of spoe-agent \"{}\"; add \"groups {group}\" to it",
                        agent.name
                    );
                    self.report(&line.location, text);
                }
            }
        }
    }

    fn buffer_size(&mut self) {
        let line = self.sections.global("tune.bufsize");
        let size = line.map_or(Some(BUFSIZE), |line| parse_size(line.word(1)));
        let (Some(line), Some(size)) = (line, size) else {
            return;
        };
        let frame = size.saturating_sub(FRAME_LENGTH);
        let agent = self.side.max_frame_size;
        if frame > agent {
            let text = format!(
                "tune.bufsize {size} allows frames of {frame} bytes, and the agent takes at most {agent}; \
                 set max-frame-size = {frame} in [agent]"
            );
            self.report(&line.location, text);
        }
    }
}

/// The names of a proxy's ACLs that read one of the agent's variables.
fn acls_that_read(proxy: &Section, prefixes: &BTreeSet<&str>) -> BTreeSet<String> {
    let lines = proxy.lines.iter().filter(|line| line.word(0) == "acl");
    let reading = lines.filter(|line| {
        uses(std::iter::once(*line), prefixes)
            .iter()
            .any(|it| it.access == Access::Read)
    });
    reading.map(|line| line.word(1).to_owned()).collect()
}

fn missing_scope(engine: &str, written: &str, scope: &Scope) -> String {
    let others: Vec<_> = scope
        .others
        .iter()
        .map(|name| format!("[{name}]"))
        .collect();
    let has = if others.is_empty() {
        "it has no scope".to_owned()
    } else {
        format!("it has {}", others.join(", "))
    };
    format!(
        "engine \"{engine}\" has no scope [{engine}] in {written}; {has}; both names have to be the same"
    )
}

fn missing_agent(engine: Option<&str>, written: &str, scope: &Scope) -> String {
    match (engine, scope.others.first()) {
        (None, Some(other)) => format!(
            "the filter names no engine, so HAProxy passes over the scope [{other}] of {written}; write \
             \"filter spoe engine {other} config {written}\""
        ),
        _ => format!("{written} has no spoe-agent for this engine; add one"),
    }
}

/// A time as HAProxy writes it: a number, with a unit or in milliseconds.
fn parse_time(text: &str) -> Option<Duration> {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let number: u64 = number.parse().ok()?;
    let micros = match unit {
        "us" => 1,
        "" | "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    };
    Some(Duration::from_micros(number.checked_mul(micros)?))
}

/// A size as HAProxy writes it.
fn parse_size(text: &str) -> Option<u32> {
    let unit = text.chars().last()?;
    let shift = match unit {
        'k' | 'K' => 10,
        'm' | 'M' => 20,
        _ => return text.parse().ok(),
    };
    let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
    number.checked_mul(1 << shift)
}

/// A time in HAProxy's and this agent's notation.
fn written(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        _ if micros.is_multiple_of(1_000_000) => format!("{}s", micros / 1_000_000),
        _ if micros.is_multiple_of(1_000) => format!("{}ms", micros / 1_000),
        _ => format!("{micros}us"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_as_haproxy_writes_them() {
        for (text, expected) in [
            ("10", Some("10ms")),
            ("10ms", Some("10ms")),
            ("1500us", Some("1500us")),
            ("2s", Some("2s")),
            ("1m", Some("60s")),
            ("", None),
            ("ten", None),
            ("10x", None),
        ] {
            assert_eq!(parse_time(text).map(written).as_deref(), expected, "{text}");
        }
        for (text, expected) in [
            ("16384", Some(16_384)),
            ("64k", Some(65_536)),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }
}
