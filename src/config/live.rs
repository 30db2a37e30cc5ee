//! `[live]` and `[behavior]`: decisions that are made while the agent runs, and points for addresses.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::typed::{Name, Time, Within};
use crate::live::{BehaviorOptions, LiveOptions};
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
    pub(super) fn check(self, folder: &Path, behavior: Option<BehaviorOptions>) -> LiveOptions {
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
            behavior,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct BehaviorTable {
    message: Option<Name>,
    half_life: Option<Time>,
    max_addresses: Option<Within<1, 100_000_000>>,
    ban_at: Option<Within<1, 1_000_000_000>>,
    ban_duration: Option<Time>,
}

impl BehaviorTable {
    /// `ignore_private` is that of `[reputation]`.
    pub(super) fn check(self, ignore_private: bool) -> BehaviorOptions {
        let default = BehaviorOptions::default();
        BehaviorOptions {
            message: self.message.map_or(default.message, |it| it.0),
            half_life: self.half_life.map_or(default.half_life, |it| it.0),
            max_addresses: self
                .max_addresses
                .map_or(default.max_addresses, |it| it.0 as usize),
            ban_at: self.ban_at.map_or(default.ban_at, |it| it.0),
            ban_duration: self.ban_duration.map_or(default.ban_duration, |it| it.0),
            ignore_private,
        }
    }
}
