//! The configuration file, `spoa.toml`: read, checked, and made into types that are right.
//!
//! In scope: keys, values, and what about them can be told without opening a feed. Out of scope: the
//! feeds themselves ([`feeds`](crate::feeds)).
//!
//! Unknown keys are refused: a misspelt `half-lfie` must not be a feed that never ages.

mod accessed_paths;
mod admin;
mod agent;
mod crowdsec;
mod error;
mod explain;
mod feed;
mod feed_table;
mod fleet;
mod live;
mod policy;

pub mod presets;
mod recover;
mod specifics;
#[cfg(test)]
mod tests;
mod typed;
pub mod values;

use core::ops::Range;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

pub use accessed_paths::accessed_paths;
pub use admin::AdminKeys;
pub use agent::AgentOptions;
pub use error::{ConfigError, Problem};
pub(crate) use explain::nearest;
pub use feed::{Feed, Header, Place, Secret, Specifics};
pub use policy::{Aggregation, MessageOption, OwnList, PayloadOption, ReputationOptions, Source};

use crate::crowdsec::CrowdSecOptions;
use crate::fleet::FleetOptions;
use crate::host::file::read_small;
use crate::live::LiveOptions;
use crate::policy::Attribute;

/// The longest configuration, in bytes. Lists belong in files of their own.
const FILE_MAX: u64 = 16 << 20;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// The lines of the keys of `[agent]` and `[admin]`, such as `agent.bind`.
    pub lines: Vec<(String, usize)>,
    /// `[agent]`.
    pub agent: AgentOptions,
    /// `[admin]`.
    pub admin: AdminKeys,
    /// `[live]` and `[behavior]`; none if the file has no such section.
    pub live: Option<LiveOptions>,
    /// `[fleet]`.
    pub fleet: Option<FleetOptions>,
    /// `[crowdsec]`; none if the file has no such section.
    pub crowdsec: Option<CrowdSecOptions>,
    /// `[reputation]`.
    pub reputation: ReputationOptions,
    /// `[[feed]]`.
    pub feeds: Vec<Feed>,
    /// `[allow]`.
    pub allow: OwnList,
    /// `[deny]`.
    pub deny: OwnList,
    /// `[[message]]`; empty: the four that the agent knows without a configuration.
    pub messages: Vec<MessageOption>,
    /// `[[payload]]`.
    pub payload: Vec<PayloadOption>,
    /// How many bytes of a payload are looked at; `None`: the default.
    pub payload_bytes_max: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Document {
    agent: agent::AgentTable,
    admin: admin::AdminTable,
    live: Option<live::LiveTable>,
    behavior: Option<Spanned<live::BehaviorTable>>,
    fleet: Option<Spanned<fleet::FleetTable>>,
    crowdsec: Option<Spanned<crowdsec::CrowdSecTable>>,
    reputation: policy::ReputationTable,
    feed: Vec<Spanned<feed_table::FeedTable>>,
    allow: policy::OwnTable,
    deny: policy::OwnTable,
    message: Vec<policy::MessageTable>,
    payload: Vec<policy::PayloadTable>,
    payload_options: policy::PayloadLimits,
}

/// What is wrong, as it is found.
pub(crate) struct Problems<'a> {
    /// Where each line but the first begins, in bytes.
    line_starts: &'a [usize],
    found: Vec<Problem>,
    /// Whether what a file that is named has in it is a problem too.
    looks_at_files: bool,
}

impl Problems<'_> {
    /// Returns the number of the line in which a span begins, from 1.
    fn line(&self, span: Range<usize>) -> usize {
        1 + self
            .line_starts
            .partition_point(|start| *start <= span.start)
    }

    fn add(&mut self, span: Range<usize>, what: impl Into<String>) {
        let line = self.line(span);
        self.at(line, what);
    }

    fn at(&mut self, line: usize, what: impl Into<String>) {
        let what = what.into();
        self.found.push(Problem {
            line: Some(line),
            what,
        });
    }
}

impl Config {
    /// Reads and checks a file. Relative paths in it start at its folder.
    ///
    /// # Errors
    /// Everything that is wrong with it, with lines.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let unreadable = |error| ConfigError::unreadable(file, &error);
        let bytes = read_small(file, FILE_MAX).map_err(unreadable)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| ConfigError::of_file(file, "is not UTF-8 text".into()))?;
        Self::checked(file, &text, true)
    }

    /// Checks the text of a file, and opens no other.
    ///
    /// # Errors
    /// Everything that is wrong with it, with lines.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        Self::checked(file, text, false)
    }

    fn checked(file: &Path, text: &str, looks_at_files: bool) -> Result<Self, ConfigError> {
        let recovered = recover::read::<Document>(text);
        let folder = file.parent().unwrap_or_else(|| Path::new(""));
        let line_starts: Vec<_> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        let mut problems = Problems {
            line_starts: &line_starts,
            found: Vec::new(),
            looks_at_files,
        };
        let config = recovered
            .document
            .map(|it| it.check(file, folder, &mut problems));
        let mut found = problems.found;
        if !recovered.problems.is_empty() {
            let damaged = Damage::new(text, &recovered.problems);
            found.retain(|problem| !damaged.may_have_caused(problem));
            found.extend(recovered.problems);
        }
        if let Some(config) = config
            && found.is_empty()
        {
            return Ok(Self {
                lines: recovered.lines,
                ..config
            });
        }
        let mut problems = found;
        problems.sort();
        problems.dedup();
        Err(ConfigError {
            file: file.to_owned(),
            problems,
        })
    }

    /// Where scores come from: random ones only if the file says so.
    #[must_use]
    pub fn source(&self) -> Source {
        self.reputation.source.unwrap_or(Source::Feeds)
    }

    /// Whether every address has `default-score`, because nothing names an address.
    #[must_use]
    pub fn lacks_lists(&self) -> bool {
        let mut own = [&self.allow, &self.deny].into_iter();
        self.source() == Source::Feeds
            && self.live.is_none()
            && self.feeds.is_empty()
            && own.all(|list| *list == OwnList::default())
    }
}

/// Words of problems that something is missing.
const ABSENCES: [&str; 5] = ["needs", "neither", "nothing", "one of", "belong to a range"];

/// The sections in which values were removed. What is found missing there may only have been removed.
struct Damage {
    /// The lines of all headers.
    headers: Vec<usize>,
    /// The headers of the damaged sections.
    damaged: Vec<usize>,
}

impl Damage {
    fn new(text: &str, problems: &[Problem]) -> Self {
        let lines = text.lines().zip(1..);
        let headers = lines.filter(|(line, _)| line.trim_start().starts_with('['));
        let mut damage = Self {
            headers: headers.map(|(_, number)| number).collect(),
            damaged: Vec::new(),
        };
        let lines = problems.iter().filter_map(|problem| problem.line);
        damage.damaged = lines.map(|line| damage.section(line)).collect();
        damage
    }

    /// Returns the line of the header of the section that a line is in.
    fn section(&self, line: usize) -> usize {
        let before = self.headers.iter().rev().find(|header| **header <= line);
        before.copied().unwrap_or_default()
    }

    /// Whether something is only missing because it was removed.
    fn may_have_caused(&self, problem: &Problem) -> bool {
        let section = self.section(problem.line.unwrap_or_default());
        let is_missing = ABSENCES.iter().any(|words| problem.what.contains(words));
        is_missing && self.damaged.contains(&section) || problem.what.contains("in [reputation]")
    }
}

impl Document {
    fn check(self, file: &Path, folder: &Path, problems: &mut Problems<'_>) -> Config {
        let ca_file = self.reputation.ca_file(folder, problems);
        let asn_db = self.reputation.asn_db(folder);
        let context = feed_table::Context {
            dir: folder,
            ca_file: ca_file.as_deref(),
            asn_db: asn_db.as_deref(),
        };
        let feeds = self.feed.into_iter();
        let feeds = feeds
            .filter_map(|feed| {
                let span = feed.span();
                let table = feed.into_inner();
                table.check(span, context, problems)
            })
            .collect();
        let messages = self.message.into_iter();
        let messages = messages.map(|message| message.check(problems)).collect();
        let payload = self.payload.into_iter();
        let payload = payload.filter_map(|rule| rule.check(problems)).collect();
        let bytes_max = self.payload_options.bytes_max;
        let reputation = self.reputation.check(folder, problems);
        if let (None, Some(behavior)) = (&self.live, &self.behavior) {
            let why = "[behavior] needs a [live] section; add one, it may be empty";
            problems.add(behavior.span(), why);
        }
        let has_live = self.live.is_some();
        let fleet = self.fleet;
        let fleet = fleet.and_then(|it| fleet::FleetTable::check(it, folder, has_live, problems));
        let behavior = self.behavior.map(Spanned::into_inner);
        let behavior = behavior.map(|it| it.check(reputation.ignore_private));
        if let (None, Some(crowdsec)) = (&self.live, &self.crowdsec) {
            let why = "[crowdsec] needs a [live] section; add one, it may be empty";
            problems.add(crowdsec.span(), why);
        }
        let crowdsec = self.crowdsec;
        let crowdsec =
            crowdsec.and_then(|it| crowdsec::check(it, folder, ca_file.as_deref(), problems));
        let config = Config {
            file: file.to_owned(),
            lines: Vec::new(),
            agent: self.agent.check(problems),
            admin: self.admin.check(folder),
            live: self.live.map(|live| live.check(folder, behavior)),
            fleet,
            crowdsec,
            reputation,
            feeds,
            allow: self.allow.check(folder, problems),
            deny: self.deny.check(folder, problems),
            messages,
            payload,
            payload_bytes_max: bytes_max.and_then(|size| usize::try_from(size.0).ok()),
        };
        config.check_together(problems);
        config
    }
}

impl Config {
    /// What only shows when several tables are looked at.
    fn check_together(&self, problems: &mut Problems<'_>) {
        let feeds = self.feeds.iter().map(|feed| (&*feed.name, feed.line));
        once("feed", feeds, problems);
        let messages = self.messages.iter();
        once(
            "message",
            messages.map(|it| (&*it.rules.name, it.line)),
            problems,
        );
        let payload = self.payload.iter();
        once(
            "payload",
            payload.map(|it| (&*it.rule.name, it.line)),
            problems,
        );
        for message in &self.messages {
            for answer in &message.rules.answers {
                if let (Attribute::InFeed, Some(name)) = (answer.value, &answer.of)
                    && !self.is_list(name)
                {
                    let what = format!(
                        "message \"{}\" sets {} by feed:{name}, and no list has that name",
                        message.rules.name, answer.variable
                    );
                    problems.at(message.line, what);
                }
                let missing = match answer.value {
                    Attribute::Action if self.reputation.actions.is_empty() => {
                        "actions in [reputation]"
                    }
                    Attribute::Asn if self.reputation.asn_db.is_none() => "asn-db in [reputation]",
                    Attribute::Country if self.reputation.country_db.is_none() => {
                        "country-db in [reputation]"
                    }
                    Attribute::Payload | Attribute::PayloadScore if self.payload.is_empty() => {
                        "a [[payload]] rule"
                    }
                    _ => continue,
                };
                let what = format!(
                    "message \"{}\" sets {}, which needs {missing}",
                    message.rules.name, answer.variable
                );
                problems.at(message.line, what);
            }
        }
    }
}

impl Config {
    /// Whether a feed, or a list of one's own, has this name.
    fn is_list(&self, name: &str) -> bool {
        let mut feeds = self.feeds.iter();
        matches!(name, "allow" | "deny") || feeds.any(|feed| *feed.name == *name)
    }
}

/// Names are given once.
fn once<'a>(
    what: &str,
    names: impl Iterator<Item = (&'a str, usize)>,
    problems: &mut Problems<'_>,
) {
    let mut seen = HashMap::new();
    for (name, line) in names {
        if let Some(first) = seen.insert(name, line) {
            let why = format!("a {what} \"{name}\" stands in line {first} already");
            problems.at(line, why);
        }
    }
}
