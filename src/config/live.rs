//! `[live]`: decisions that are made while the agent runs.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::typed::{Time, Within};
use crate::live::LiveOptions;
use ip_reputation::Score;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct LiveTable {
    store: Option<PathBuf>,
    default_duration: Option<Time>,
    ipv6_prefix: Option<Within<1, 128>>,
    max_decisions: Option<Within<1, 100_000_000>>,
    challenge_score: Option<Within<0, 100>>,
}

impl LiveTable {
    /// A relative path starts at the configuration's folder.
    pub(super) fn check(self, folder: &Path) -> LiveOptions {
        let default = LiveOptions::default();
        let byte = |number: u32| u8::try_from(number).ok();
        let challenge = self.challenge_score.and_then(|it| byte(it.0));
        LiveOptions {
            store: self.store.map(|path| folder.join(path)),
            default_duration: self
                .default_duration
                .map_or(default.default_duration, |it| it.0),
            ipv6_prefix: self
                .ipv6_prefix
                .and_then(|it| byte(it.0))
                .unwrap_or(default.ipv6_prefix),
            max_decisions: self
                .max_decisions
                .map_or(default.max_decisions, |it| it.0 as usize),
            challenge_score: challenge
                .and_then(Score::new)
                .unwrap_or(default.challenge_score),
        }
    }
}
