//! `[reputation]`, `[allow]`, `[deny]`, `[[message]]` and `[[payload]]`: what is made of the feeds,
//! and what is answered.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::Problems;
use super::explain::nearest;
use super::feed_table::check_ca_file;
use super::typed::{Bytes, Name, Within};
use crate::policy::{ActionRule, Attribute, MessageRules, VariableRule, variable_len_max};
use haproxy_spop::Scope;
use ip_reputation::{PAYLOAD_BYTES_MAX, Pattern, PayloadRule, PayloadRules, Prefix, Score};

/// As much as one list may have.
const FETCH_MEMORY_MAX: u64 = 512 << 20;

/// Where scores come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The feeds and lists of the configuration.
    Feeds,
    /// Uniform random numbers.
    Random,
}

/// How feeds that cover the same address are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// As independent pieces of evidence: 1 − Π(1 − badness).
    NoisyOr,
    /// The worst one counts.
    Max,
}

/// `[reputation]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReputationOptions {
    /// Where scores come from. Default: the feeds, if there are any, else random.
    pub source: Option<Source>,
    /// The score of an address that nobody knows. Default 100.
    pub default_score: Score,
    /// How feeds are put together. Default noisy-or.
    pub aggregation: Aggregation,
    /// Whether feeds say nothing about private space. Default true.
    pub ignore_private: bool,
    /// From the lowest threshold up.
    pub actions: Vec<ActionRule>,
    /// A MMDB file that knows autonomous systems.
    pub asn_db: Option<PathBuf>,
    /// A MMDB file that knows countries.
    pub country_db: Option<PathBuf>,
    /// The folder in which the last good copies of URLs are kept. `None`: nowhere.
    pub cache_dir: Option<PathBuf>,
    /// The most bytes that all fetches hold together. Default 512 MiB.
    pub max_fetch_memory: u64,
}

/// `[allow]` or `[deny]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnList {
    /// Prefixes in the configuration itself.
    pub prefixes: Vec<Prefix>,
    /// Files with more.
    pub files: Vec<PathBuf>,
}

/// `[[message]]`: which spoe-message is answered, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageOption {
    /// The line of the file in which its name stands.
    pub line: usize,
    /// What is asked, and what answers it.
    pub rules: MessageRules,
}

/// `[[payload]]`: bytes that tell something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadOption {
    /// The line of the file in which its name stands.
    pub line: usize,
    /// The rule.
    pub rule: PayloadRule,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct ReputationTable {
    source: Option<Source>,
    default_score: Option<Within<0, 100>>,
    aggregation: Option<Aggregation>,
    ignore_private: Option<bool>,
    actions: Vec<Spanned<ActionTable>>,
    asn_db: Option<PathBuf>,
    country_db: Option<PathBuf>,
    cache_dir: Option<PathBuf>,
    max_fetch_memory: Option<Bytes>,
    ca_file: Option<Spanned<PathBuf>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct ActionTable {
    name: Name,
    max_score: Within<0, 100>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct OwnTable {
    prefixes: Vec<Spanned<String>>,
    files: Vec<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct MessageTable {
    name: Spanned<Name>,
    ip_arg: Option<String>,
    payload: Option<String>,
    scope: Option<ScopeName>,
    #[serde(default)]
    vars: Vec<Spanned<VariableTable>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct VariableTable {
    name: Name,
    value: Spanned<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ScopeName {
    #[serde(alias = "proc")]
    Process,
    #[serde(alias = "sess")]
    Session,
    #[serde(alias = "txn")]
    Transaction,
    #[serde(alias = "req")]
    Request,
    #[serde(alias = "res")]
    Response,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct PayloadTable {
    name: Spanned<Name>,
    score: Within<0, 100>,
    regex: Option<Spanned<String>>,
    starts_with: Option<Spanned<String>>,
    starts_with_hex: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct PayloadLimits {
    pub(super) bytes_max: Option<Bytes>,
}

/// A number that has been seen to be 0 to 100.
fn score(number: Within<0, 100>) -> Score {
    let byte = u8::try_from(number.0).ok();
    byte.and_then(Score::new).unwrap_or(Score::BEST)
}

impl ReputationTable {
    /// The CAs of feeds that name none themselves.
    pub(super) fn ca_file(&self, folder: &Path, problems: &mut Problems<'_>) -> Option<PathBuf> {
        let given = self.ca_file.as_ref()?;
        Some(check_ca_file(given, folder, problems))
    }

    /// The database of autonomous systems.
    pub(super) fn asn_db(&self, folder: &Path) -> Option<PathBuf> {
        self.asn_db.as_ref().map(|path| folder.join(path))
    }

    pub(super) fn check(self, folder: &Path, problems: &mut Problems<'_>) -> ReputationOptions {
        let mut actions: Vec<ActionRule> = Vec::new();
        for action in self.actions {
            let span = action.span();
            let ActionTable { name, max_score } = action.into_inner();
            let max_score = score(max_score);
            if let Some(other) = actions.iter().find(|it| it.max_score == max_score) {
                let what = format!(
                    "action \"{}\" is for the same scores as \"{}\"",
                    name.0, other.name
                );
                problems.add(span, what);
            }
            actions.push(ActionRule {
                name: name.0,
                max_score,
            });
        }
        actions.sort_by_key(|action| action.max_score);
        let at = |path: Option<PathBuf>| path.map(|path| folder.join(path));
        ReputationOptions {
            source: self.source,
            default_score: self.default_score.map_or(Score::BEST, score),
            aggregation: self.aggregation.unwrap_or(Aggregation::NoisyOr),
            ignore_private: self.ignore_private.unwrap_or(true),
            actions,
            asn_db: at(self.asn_db),
            country_db: at(self.country_db),
            cache_dir: at(self.cache_dir),
            max_fetch_memory: self.max_fetch_memory.map_or(FETCH_MEMORY_MAX, |max| max.0),
        }
    }
}

impl OwnTable {
    pub(super) fn check(self, folder: &Path, problems: &mut Problems<'_>) -> OwnList {
        let mut prefixes = Vec::new();
        for text in self.prefixes {
            match prefix(text.get_ref()) {
                Ok(prefix) => prefixes.push(prefix),
                Err(expected) => {
                    problems.add(text.span(), format!("\"{}\": {expected}", text.get_ref()));
                }
            }
        }
        let files = self.files.into_iter().map(|path| folder.join(path));
        OwnList {
            prefixes,
            files: files.collect(),
        }
    }
}

/// `192.0.2.1`, `192.0.2.0/24` and the same of IPv6. What a person wrote by hand says what it means:
/// host bits are a slip, and to drop them would let a whole network in.
fn prefix(text: &str) -> Result<Prefix, String> {
    let expected = || "expected an address or a prefix such as 192.0.2.0/24".to_owned();
    let Some((address, len)) = text.split_once('/') else {
        let address = text.parse().map_err(|_| expected())?;
        return Ok(Prefix::host(address));
    };
    let address: IpAddr = address.parse().map_err(|_| expected())?;
    let len = len.parse().map_err(|_| expected())?;
    let prefix = Prefix::new(address, len).ok_or_else(expected)?;
    let is_network = prefix.network() == Prefix::host(address).network();
    if is_network {
        return Ok(prefix);
    }
    Err(format!(
        "expected the network, {prefix}, or the one address, {address}"
    ))
}

impl MessageTable {
    pub(super) fn check(self, problems: &mut Problems<'_>) -> MessageOption {
        let line = problems.line(self.name.span());
        let mut answers: Vec<VariableRule> = Vec::new();
        let scope = self.scope.map_or(Scope::Session, ScopeName::scope);
        let len_max = variable_len_max(scope);
        if self.vars.is_empty() {
            let what = format!(
                "message \"{}\" sets nothing; give it vars",
                self.name.get_ref().0
            );
            problems.add(self.name.span(), what);
        }
        for answer in self.vars {
            let span = answer.span();
            let VariableTable { name, value } = answer.into_inner();
            let variable = name.0;
            let is_letter = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c);
            if !variable.chars().all(is_letter) || variable.len() > len_max {
                let what = format!(
                    "variable \"{variable}\": expected letters, digits, _ and ., at most \
                     {len_max} of them"
                );
                problems.add(span.clone(), what);
            }
            if answers.iter().any(|other| other.variable == variable) {
                problems.add(span, format!("variable \"{variable}\" is set twice"));
            }
            match VariableRule::parse(variable, value.get_ref()) {
                Ok(rule) => answers.push(rule),
                Err(_) => problems.add(value.span(), unknown_value(value.get_ref())),
            }
        }
        let rules = MessageRules {
            name: self.name.into_inner().0,
            argument: self.ip_arg.filter(|name| !name.is_empty()),
            payload_argument: self.payload.filter(|name| !name.is_empty()),
            scope,
            answers,
        };
        MessageOption { line, rules }
    }
}

impl ScopeName {
    const fn scope(self) -> Scope {
        match self {
            Self::Process => Scope::Process,
            Self::Session => Scope::Session,
            Self::Transaction => Scope::Transaction,
            Self::Request => Scope::Request,
            Self::Response => Scope::Response,
        }
    }
}

fn unknown_value(name: &str) -> String {
    let names = Attribute::ALL.map(Attribute::name);
    match nearest(name, &names) {
        Some(near) => format!("unknown value \"{name}\"; did you mean \"{near}\"?"),
        None => format!(
            "unknown value \"{name}\"; known are {}, category:NAME, feed:NAME",
            names.join(", ")
        ),
    }
}

impl PayloadTable {
    pub(super) fn check(self, problems: &mut Problems<'_>) -> Option<PayloadOption> {
        let line = problems.line(self.name.span());
        let name = self.name.get_ref().0.clone();
        let mut span = self.name.span();
        let pattern = match (self.regex, self.starts_with, self.starts_with_hex) {
            (Some(pattern), None, None) => {
                span = pattern.span();
                Pattern::Regex(pattern.into_inner())
            }
            (None, Some(prefix), None) if !prefix.get_ref().is_empty() => {
                Pattern::Prefix(prefix.into_inner().into_bytes())
            }
            (None, None, Some(digits)) => {
                let Some(bytes) = hex(digits.get_ref()) else {
                    let what = "starts-with-hex: expected pairs of hexadecimal digits, such as \"16 03 01\"";
                    problems.add(digits.span(), what);
                    return None;
                };
                Pattern::Prefix(bytes)
            }
            _ => {
                let what = format!(
                    "payload \"{name}\": give it one of regex, starts-with and starts-with-hex, not empty"
                );
                problems.add(self.name.span(), what);
                return None;
            }
        };
        let rule = PayloadRule {
            name,
            score: score(self.score),
            pattern,
        };
        if let Err(error) = PayloadRules::new(vec![rule.clone()], PAYLOAD_BYTES_MAX) {
            problems.add(span, error.to_string());
        }
        Some(PayloadOption { line, rule })
    }
}

/// Bytes from pairs of digits, with or without blanks between them. At least one.
fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    });
    pairs
        .collect::<Option<Vec<_>>>()
        .filter(|bytes| !bytes.is_empty())
}
