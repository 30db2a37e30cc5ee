//! Payload rules: what the first bytes that a client sends say about it.
//!
//! In scope: a list of rules, each a regular expression or a literal at the front, and which of them is
//! the first to match. Out of scope: where the bytes come from and which variable answers.
//!
//! ```text
//!  rules ──▶ one set of regular expressions ─────────▶ the first rule that matches
//!            payload, at most `bytes_max` bytes ─────┘   one pass, time linear in these
//! ```
//!
//! The first rule *in the order of the list* that matches anywhere wins, not the one that matches
//! first in the payload.

mod error;

use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};

use regex_automata::meta::{Cache, Regex};
use regex_automata::util::pool::Pool;
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind, PatternSet};

pub use error::PayloadError;

use super::Score;

/// How many bytes of a payload are looked at unless told otherwise.
pub const PAYLOAD_BYTES_MAX: usize = 4096;

/// The most rules of a list.
pub const PAYLOAD_RULES_MAX: usize = 1024;

/// What a rule looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// A regular expression over bytes, found anywhere unless it is anchored (`^`). There is no
    /// Unicode in it: `.` and `\w` stand for one byte.
    Regex(String),
    /// These bytes at the front.
    Prefix(Vec<u8>),
}

/// A rule of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadRule {
    /// The name that answers.
    pub name: String,
    /// What a payload that matches is worth.
    pub score: Score,
    /// What it looks for.
    pub pattern: Pattern,
}

/// The rule that a payload matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadMatch<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its score.
    pub score: Score,
}

/// The most memory for the program of one rule, in bytes.
const RULE_BYTES_MAX: usize = 1 << 20;

/// A list of rules, compiled. It never changes; workers share it.
pub struct PayloadRules {
    rules: Box<[PayloadRule]>,
    bytes_max: usize,
    set: Regex,
    scratch: Pool<Scratch, CreateScratch>,
}

/// What a search writes to. Each thread gets one of its own, so a search allocates only the first time.
struct Scratch {
    cache: Cache,
    matched: PatternSet,
}

type CreateScratch = Box<dyn Fn() -> Scratch + Send + Sync + UnwindSafe + RefUnwindSafe>;

impl fmt::Debug for PayloadRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayloadRules")
            .field("rules", &self.rules)
            .field("bytes_max", &self.bytes_max)
            .finish_non_exhaustive()
    }
}

impl PayloadRules {
    /// Compiles rules in the order in which they are tried; `bytes_max` is how many bytes of a payload
    /// they see.
    ///
    /// # Errors
    /// [`PayloadError`] if a pattern is no regular expression or too large, a literal is empty, a rule
    /// has no name, or there are more than [`PAYLOAD_RULES_MAX`] rules.
    pub fn new(rules: Vec<PayloadRule>, bytes_max: usize) -> Result<Self, PayloadError> {
        if rules.len() > PAYLOAD_RULES_MAX {
            return Err(PayloadError::TooMany { rules: rules.len() });
        }
        let patterns = rules
            .iter()
            .enumerate()
            .map(|(index, rule)| pattern(index, rule));
        let patterns = patterns.collect::<Result<Vec<_>, _>>()?;
        let set = compile(&patterns).ok_or_else(|| largest(&rules, &patterns))?;
        let regex = set.clone();
        let create: CreateScratch = Box::new(move || Scratch {
            cache: regex.create_cache(),
            matched: PatternSet::new(regex.pattern_len()),
        });
        Ok(Self {
            rules: rules.into(),
            bytes_max,
            set,
            scratch: Pool::new(create),
        })
    }

    /// How many rules there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How many bytes of a payload are looked at.
    #[must_use]
    pub const fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The first rule in the order of the list that the payload matches. What lies behind
    /// [`bytes_max`](Self::bytes_max) is not there: `$` matches at that point.
    #[must_use]
    pub fn first_match(&self, payload: &[u8]) -> Option<PayloadMatch<'_>> {
        if self.rules.is_empty() {
            return None;
        }
        let payload = payload.get(..self.bytes_max).unwrap_or(payload);
        let mut scratch = self.scratch.get();
        let Scratch { cache, matched } = &mut *scratch;
        matched.clear();
        self.set
            .which_overlapping_matches_with(cache, &Input::new(payload), matched);
        let rule = self.rules.get(matched.iter().next()?.as_usize())?;
        Some(PayloadMatch {
            name: &rule.name,
            score: rule.score,
        })
    }
}

/// Returns the regular expression of a rule.
fn pattern(index: usize, rule: &PayloadRule) -> Result<String, PayloadError> {
    let name = || rule.name.clone();
    if rule.name.is_empty() {
        return Err(PayloadError::Nameless { index });
    }
    let pattern = match &rule.pattern {
        Pattern::Prefix(bytes) if bytes.is_empty() => {
            return Err(PayloadError::EmptyPrefix {
                index,
                name: name(),
            });
        }
        Pattern::Prefix(bytes) => bytes.iter().fold(r"\A".to_owned(), |pattern, byte| {
            format!(r"{pattern}\x{byte:02x}")
        }),
        Pattern::Regex(pattern) => pattern.clone(),
    };
    if let Err(error) = syntax::parse_with(&pattern, &bytes_only()) {
        // A picture of the pattern comes first, in several lines.
        let text = error.to_string();
        let what = text.rsplit("error: ").next().unwrap_or(&text);
        let what = what.trim().replace('\n', " ");
        return Err(PayloadError::Syntax {
            index,
            name: name(),
            what,
        });
    }
    Ok(pattern)
}

/// Returns the syntax of rules: no Unicode, one byte at a time, matches at any offset.
fn bytes_only() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

/// Compiles a set, unless it would be too large.
fn compile(patterns: &[impl AsRef<str>]) -> Option<Regex> {
    let config = Regex::config()
        .match_kind(MatchKind::All)
        .utf8_empty(false)
        .nfa_size_limit(Some(RULE_BYTES_MAX.saturating_mul(patterns.len().max(1))));
    Regex::builder()
        .configure(config)
        .syntax(bytes_only())
        .build_many(patterns)
        .ok()
}

/// Names the first rule that is too large by itself, or the last of a list that is too large together.
fn largest(rules: &[PayloadRule], patterns: &[String]) -> PayloadError {
    let alone = patterns
        .iter()
        .position(|pattern| compile(&[pattern]).is_none());
    let index = alone.unwrap_or_else(|| rules.len().saturating_sub(1));
    let name = rules.get(index).map(|rule| rule.name.clone());
    PayloadError::TooLarge {
        index,
        name: name.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
