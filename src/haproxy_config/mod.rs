//! HAProxy's side of a deployment: haproxy.cfg and its SPOE files, read as far as `spoa check --haproxy`
//! needs them, and what operators get wrong in them.
//!
//! In scope: findings that HAProxy itself does not report, each with file, line and remedy. Out of scope:
//! whether HAProxy accepts the files (`haproxy -c` does that). What is unknown is passed over.

mod checks;
mod engine;
mod sections;
mod spoe;
mod variables;
mod words;

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;

pub use sections::Location;

use haproxy_spop::session::SessionConfig;

use crate::config::Config;
use crate::live::BehaviorOptions;
use crate::policy::{Attribute, MessageRules};

/// The value of `slow-threshold` without a configuration.
const SLOW_THRESHOLD: Duration = Duration::from_millis(10);
/// What the agent answers, as far as HAProxy's configuration has to agree with it.
#[derive(Debug, Clone)]
pub struct AgentSide {
    messages: Vec<MessageRules>,
    /// Whether they come from a configuration. Without one, any attribute may be there under its name.
    is_configured: bool,
    /// The message of `[behavior]`, which sets no variable.
    report: Option<String>,
    slow_threshold: Duration,
    max_frame_size: u32,
    /// The UNIX sockets that it listens on.
    sockets: Vec<String>,
}

impl AgentSide {
    /// Takes it from a configuration; without one the agent has its defaults.
    #[must_use]
    pub fn of(config: Option<&Config>) -> Self {
        let has_payload_rules = config.is_some_and(|config| !config.payload.is_empty());
        let messages = config.map(|config| config.messages.iter());
        let messages: Vec<_> = messages
            .into_iter()
            .flatten()
            .map(|it| it.rules.clone())
            .collect();
        let agent = config.map(|config| &config.agent);
        let binds = agent
            .and_then(|agent| agent.bind.as_deref())
            .unwrap_or_default();
        let socket = |bind: &String| {
            let address = bind.split_whitespace().next()?;
            let path = address.strip_prefix("unix:")?;
            Some(path.strip_prefix('@').map_or(path, |_| "").to_owned())
        };
        Self {
            messages: if messages.is_empty() {
                MessageRules::defaults(has_payload_rules)
            } else {
                messages
            },
            is_configured: config.is_some(),
            report: match config {
                Some(config) => {
                    let live = config.live.as_ref();
                    let behavior = live.and_then(|live| live.behavior.as_ref());
                    behavior.map(|behavior| behavior.message.clone())
                }
                None => Some(BehaviorOptions::default().message),
            },
            slow_threshold: agent
                .and_then(|agent| agent.slow_threshold)
                .unwrap_or(SLOW_THRESHOLD),
            max_frame_size: agent
                .and_then(|agent| agent.max_frame_size)
                .unwrap_or_else(|| SessionConfig::default().max_frame_size),
            sockets: binds
                .iter()
                .filter_map(socket)
                .filter(|path| !path.is_empty())
                .collect(),
        }
    }

    /// Whether the agent may set a variable of this name without a `[[message]]` that is known here.
    fn may_set(&self, name: &str) -> bool {
        !self.is_configured && name.parse::<Attribute>().is_ok()
    }

    fn message(&self, name: &str) -> Option<&MessageRules> {
        self.messages.iter().find(|message| message.name == name)
    }
}

/// Something that an operator should change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where.
    pub location: Location,
    /// What, and what to do about it.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.location, self.text)
    }
}

/// Checks the files that HAProxy is started with, and the SPOE files that they name.
///
/// # Errors
/// If one of `files` cannot be read. A SPOE file that cannot be read is a finding.
pub fn check(files: &[PathBuf], agent: &AgentSide) -> Result<Vec<Finding>, String> {
    let sections = sections::Sections::read(files)
        .map_err(|(file, error)| format!("cannot read {}: {error}", file.display()))?;
    let mut findings = checks::all(&sections, agent);
    if findings.is_empty() && !sections.has_engine() {
        let names: Vec<_> = files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        return Err(format!(
            "{} has no \"filter spoe\" line; give every file that HAProxy is started with",
            names.join(", ")
        ));
    }
    findings.sort();
    findings.dedup();
    Ok(findings)
}
