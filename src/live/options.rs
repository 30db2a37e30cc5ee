//! `[live]` as the agent uses it.

use core::time::Duration;
use std::path::PathBuf;

use super::BehaviorOptions;
use ip_reputation::Score;

/// The options of `[live]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveOptions {
    /// The database. `None`: `live.db` in `$STATE_DIRECTORY`, or memory only.
    pub store: Option<PathBuf>,
    /// How long a decision holds that names no time.
    pub default_duration: Duration,
    /// The length of an IPv6 prefix that is given as an address.
    pub ipv6_prefix: u8,
    /// Decisions in force at once.
    pub max_decisions: usize,
    /// The highest score of an address with a challenge.
    pub challenge_score: Score,
    /// `[behavior]`; none if the configuration has no such section.
    pub behavior: Option<BehaviorOptions>,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self {
            store: None,
            default_duration: Duration::from_hours(4),
            ipv6_prefix: 64,
            max_decisions: 1_000_000,
            challenge_score: Score::new(40).unwrap_or(Score::WORST),
            behavior: None,
        }
    }
}

impl LiveOptions {
    /// The database in use: the one configured, or that of the service's state directory.
    #[must_use]
    pub fn store_path(&self) -> Option<PathBuf> {
        self.store.clone().or_else(|| {
            let directories = std::env::var_os("STATE_DIRECTORY")?;
            let first = std::env::split_paths(&directories).next()?;
            (!first.as_os_str().is_empty()).then(|| first.join("live.db"))
        })
    }
}
