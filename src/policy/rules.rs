//! A policy: everything that decides an answer, in one immutable snapshot.
//!
//! In scope: its parts, and which combinations of them make no sense. Out of scope: where the parts
//! come from (the control plane reads them from a configuration and from feeds) and how a NOTIFY is
//! answered with them ([`PolicyHandler`](super::PolicyHandler)).

use core::fmt;
use core::net::IpAddr;
use std::sync::Arc;

use super::MessageRules;
use super::compiled::CompiledMessage;
use crate::live::{LiveTable, ReportSender, Target};
use haproxy_spop::{Scope, Variable};
use ip_reputation::formats::Attributes;
use ip_reputation::{PayloadRules, Prefix, Score, Table};

/// The longest full name of a variable, `scope.prefix.name`, in bytes: HAProxy silently drops longer ones.
pub const FULL_NAME_LEN_MAX: usize = 63;
/// The longest name of a scope as HAProxy writes it.
const SCOPE_LEN_MAX: usize = 4;

/// Returns the most bytes of a variable's name in a scope:
/// 63 - length of the scope (`proc` and `sess` 4, `txn`, `req` and `res` 3) - length of `var-prefix` - 2.
///
/// The agent does not know HAProxy's `var-prefix`, so the shortest one, of one byte, is assumed: a name
/// that passes may still be too long with a longer prefix.
#[must_use]
pub const fn variable_len_max(scope: Scope) -> usize {
    let shorter = match scope {
        Scope::Process | Scope::Session => 0,
        Scope::Transaction | Scope::Request | Scope::Response => 1,
    };
    FULL_NAME_LEN_MAX - SCOPE_LEN_MAX + shorter - "..".len() - PREFIX_LEN_MIN
}

/// The length of the shortest `var-prefix`.
const PREFIX_LEN_MIN: usize = 1;

/// Where scores come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A uniform random score for every question.
    Random,
    /// The merged judgement of lists and feeds.
    Table {
        /// The table.
        table: Arc<Table>,
        /// The score of an address that nothing covers: the one that the table was built with.
        unknown: Score,
    },
}

/// A name for all scores up to a threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRule {
    /// What the variable is set to.
    pub name: String,
    /// The highest score that it stands for.
    pub max_score: Score,
}

/// Live decisions as a policy uses them.
#[derive(Debug, Clone)]
pub struct LivePolicy {
    /// The decisions in force.
    pub table: LiveTable,
    /// The highest score of an address with a challenge.
    pub challenge_score: Score,
    /// Reports, if there is `[behavior]`.
    pub behavior: Option<BehaviorPolicy>,
}

/// Which message reports, and where reports go.
#[derive(Debug, Clone)]
pub struct BehaviorPolicy {
    pub(super) message: Arc<str>,
    pub(super) reports: ReportSender,
    /// What a report is answered with: `HAProxy` waits for an ACK with an action.
    pub(super) filler: Variable,
}

impl BehaviorPolicy {
    /// Reports of this `spoe-message`.
    #[must_use]
    pub fn new(message: &str, reports: ReportSender) -> Self {
        Self {
            message: message.into(),
            reports,
            filler: Variable::new(Scope::Response, "report"),
        }
    }
}

/// What a [`Policy`] is made of. The default is the agent without a configuration.
#[derive(Debug, Clone)]
pub struct PolicyConfig {
    /// The messages that are answered. Empty: [`MessageRules::defaults`]. Two of the same name are
    /// both answered, in this order.
    pub messages: Vec<MessageRules>,
    /// Where scores come from.
    pub source: Source,
    /// The database that knows autonomous systems.
    pub asn: Option<Arc<Attributes>>,
    /// The database that knows countries. It may be the same.
    pub country: Option<Arc<Attributes>>,
    /// Live decisions, if they are on.
    pub live: Option<LivePolicy>,
    /// Payload rules.
    pub payload: Option<Arc<PayloadRules>>,
    /// Thresholds of the action, in any order: the lowest one that a score does not exceed counts.
    pub actions: Vec<ActionRule>,
    /// From when on the data of some feed is older than it may be, in seconds since 1970. `None`:
    /// never.
    pub stale_from: Option<u32>,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            messages: Vec::new(),
            source: Source::Random,
            asn: None,
            country: None,
            live: None,
            payload: None,
            actions: Vec::new(),
            stale_from: None,
        }
    }
}

/// Everything that decides an answer. It never changes; [`PolicyCell`](super::PolicyCell) replaces it.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(super) messages: Arc<[CompiledMessage]>,
    pub(super) source: Source,
    pub(super) asn: Option<Arc<Attributes>>,
    pub(super) country: Option<Arc<Attributes>>,
    pub(super) live: Option<LivePolicy>,
    pub(super) payload: Option<Arc<PayloadRules>>,
    /// The lowest threshold first.
    pub(super) actions: Arc<[ActionRule]>,
    pub(super) stale_from: Option<u32>,
}

impl Policy {
    /// A policy of these parts.
    ///
    /// # Errors
    /// If a message or an action makes no sense.
    pub fn new(terms: PolicyConfig) -> Result<Self, PolicyError> {
        let messages = if terms.messages.is_empty() {
            MessageRules::defaults(terms.payload.is_some())
        } else {
            terms.messages
        };
        messages.iter().try_for_each(check_message)?;
        let mut actions = terms.actions;
        check_actions(&mut actions)?;
        Ok(Self {
            messages: CompiledMessage::all(messages),
            source: terms.source,
            asn: terms.asn,
            country: terms.country,
            live: terms.live,
            payload: terms.payload,
            actions: actions.into(),
            stale_from: terms.stale_from,
        })
    }

    /// The same policy, stale at another time: a feed was asked and has nothing new.
    #[must_use]
    pub fn stale_from(self, stale_from: Option<u32>) -> Self {
        Self { stale_from, ..self }
    }

    /// Live decisions, if they are on.
    #[must_use]
    pub const fn live(&self) -> Option<&LivePolicy> {
        self.live.as_ref()
    }

    /// Where its scores come from.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// The number of the autonomous system of an address.
    #[must_use]
    pub fn asn(&self, address: IpAddr) -> Option<u32> {
        self.asn.as_ref()?.asn(address)
    }

    /// Whether there is a database of autonomous systems.
    #[must_use]
    pub const fn has_asn(&self) -> bool {
        self.asn.is_some()
    }

    /// Whether there is a database of countries.
    #[must_use]
    pub const fn has_country(&self) -> bool {
        self.country.is_some()
    }

    /// The country of an address, two letters.
    #[must_use]
    pub fn country(&self, address: IpAddr) -> Option<[u8; 2]> {
        self.country.as_ref()?.country(address)
    }

    /// What live decisions may be about that cover an address: itself, its AS and its country.
    pub fn targets(&self, address: IpAddr) -> impl Iterator<Item = Target> + use<> {
        let places = [
            self.asn(address).map(Target::Asn),
            self.country(address).map(Target::Country),
        ];
        let host = Target::Prefix(Prefix::host(address));
        core::iter::once(host).chain(places.into_iter().flatten())
    }

    /// The action for a score, if there is one.
    #[must_use]
    pub fn action(&self, score: Score) -> Option<&str> {
        self.action_at(score).map(|(_, name)| name)
    }

    /// The same, with its place among the actions.
    pub(super) fn action_at(&self, score: Score) -> Option<(usize, &str)> {
        let mut actions = self.actions.iter().enumerate();
        let found = actions.find(|(_, action)| score <= action.max_score);
        found.map(|(place, action)| (place, &action.name[..]))
    }
}

/// The agent without a configuration.
impl Default for Policy {
    fn default() -> Self {
        Self {
            messages: CompiledMessage::all(MessageRules::defaults(false)),
            source: Source::Random,
            asn: None,
            country: None,
            live: None,
            payload: None,
            actions: Arc::new([]),
            stale_from: None,
        }
    }
}

/// Why parts make no [`Policy`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyError {
    /// A message without a name.
    Nameless,
    /// A message that sets no variable.
    NoAnswer {
        /// Its name.
        message: String,
    },
    /// HAProxy would not take this name of a variable.
    Variable {
        /// The message that sets it.
        message: String,
        /// The name.
        variable: String,
        /// The most bytes that it may have.
        max: usize,
    },
    /// A message sets a variable twice.
    Twice {
        /// The message.
        message: String,
        /// The variable.
        variable: String,
        /// Its scope.
        scope: Scope,
    },
    /// An action without a name.
    NamelessAction,
    /// Two actions with one threshold.
    SameThreshold {
        /// One of them.
        first: String,
        /// The other.
        second: String,
        /// Their threshold.
        max_score: u8,
    },
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nameless => f.write_str("a message has no name; give that of the spoe-message"),
            Self::NoAnswer { message } => write!(
                f,
                "message {message} sets no variable; name at least one, or remove the message"
            ),
            Self::Variable {
                message,
                variable,
                max,
            } => write!(
                f,
                "message {message} sets {variable:?}, which is no name of a variable: it takes \
                 letters, digits, _ and ., and 1 to {max} of them"
            ),
            Self::Twice {
                message,
                variable,
                scope,
            } => write!(
                f,
                "message {message} sets {scope}.{variable} twice; use two names"
            ),
            Self::NamelessAction => f.write_str("an action has no name; give it one"),
            Self::SameThreshold {
                first,
                second,
                max_score,
            } => write!(
                f,
                "the actions {first} and {second} are both for scores of at most {max_score}; \
                 change one"
            ),
        }
    }
}

impl core::error::Error for PolicyError {}

fn check_message(rules: &MessageRules) -> Result<(), PolicyError> {
    let message = || rules.name.clone();
    if rules.name.is_empty() {
        return Err(PolicyError::Nameless);
    }
    if rules.answers.is_empty() {
        return Err(PolicyError::NoAnswer { message: message() });
    }
    for (place, answer) in rules.answers.iter().enumerate() {
        let variable = answer.variable.clone();
        let max = variable_len_max(rules.scope);
        if !is_variable(&variable, max) {
            return Err(PolicyError::Variable {
                message: message(),
                variable,
                max,
            });
        }
        let mut others = rules.answers.iter().skip(place + 1);
        if others.any(|other| other.variable == variable) {
            return Err(PolicyError::Twice {
                message: message(),
                variable,
                scope: rules.scope,
            });
        }
    }
    Ok(())
}

fn is_variable(name: &str, max: usize) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    (1..=max).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// Sorts the actions, and finds what is wrong with them.
fn check_actions(actions: &mut [ActionRule]) -> Result<(), PolicyError> {
    if actions.iter().any(|action| action.name.is_empty()) {
        return Err(PolicyError::NamelessAction);
    }
    actions.sort_by_key(|action| action.max_score);
    let same = actions.windows(2).find_map(|two| match two {
        [first, second] if first.max_score == second.max_score => Some((first, second)),
        _ => None,
    });
    match same {
        None => Ok(()),
        Some((first, second)) => Err(PolicyError::SameThreshold {
            first: first.name.clone(),
            second: second.name.clone(),
            max_score: first.max_score.value(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Attribute, VariableRule};
    use super::*;

    fn message(variables: &[&str]) -> MessageRules {
        let answers = variables
            .iter()
            .map(|&variable| VariableRule::new(variable, Attribute::Score));
        MessageRules {
            name: "m".to_owned(),
            argument: None,
            payload_argument: None,
            scope: Scope::Session,
            answers: answers.collect(),
        }
    }

    fn refusal(messages: Vec<MessageRules>) -> Option<String> {
        let terms = PolicyConfig {
            messages,
            ..PolicyConfig::default()
        };
        Policy::new(terms).err().map(|error| error.to_string())
    }

    #[test]
    fn a_full_name_of_more_than_63_bytes_is_refused() {
        let named = |scope, len: usize| {
            let answer = VariableRule::new("v".repeat(len), Attribute::Score);
            let message = MessageRules {
                name: "m".into(),
                argument: None,
                payload_argument: None,
                scope,
                answers: vec![answer],
            };
            Policy::new(PolicyConfig {
                messages: vec![message],
                ..PolicyConfig::default()
            })
        };
        for (scope, text) in [(Scope::Session, "sess"), (Scope::Transaction, "txn")] {
            let max = 63 - format!("{text}.p.").len();
            assert!(named(scope, max).is_ok());
            let error = named(scope, max + 1).unwrap_err().to_string();
            assert!(error.contains(&format!("1 to {max} of them")), "{error}");
        }
    }

    #[test]
    fn names_that_haproxy_would_not_take_are_refused() {
        assert_eq!(refusal(vec![message(&["ip_score", "a.b", "X9"])]), None);
        let (longest, long) = ("x".repeat(56), "x".repeat(57));
        assert_eq!(refusal(vec![message(&[&longest])]), None);
        for name in ["", "ip-score", "ip score", "größe", &long] {
            let said = refusal(vec![message(&[name])]).unwrap();
            assert!(said.contains("letters, digits"), "{said}");
        }
        assert!(refusal(vec![message(&["a", "b", "a"])]).is_some());
        assert!(refusal(vec![message(&[])]).is_some());
        let nameless = MessageRules {
            name: String::new(),
            ..message(&["a"])
        };
        assert!(refusal(vec![nameless]).is_some());
    }

    #[test]
    fn the_lowest_threshold_that_a_score_does_not_exceed_is_the_action() {
        let rule = |name: &str, max_score| ActionRule {
            name: name.to_owned(),
            max_score: Score::new(max_score).unwrap(),
        };
        let policy = |actions| {
            Policy::new(PolicyConfig {
                actions,
                ..PolicyConfig::default()
            })
        };
        let made = policy(vec![rule("challenge", 60), rule("deny", 20)]).unwrap();
        for (score, action) in [
            (0, Some("deny")),
            (20, Some("deny")),
            (21, Some("challenge")),
            (60, Some("challenge")),
            (61, None),
        ] {
            assert_eq!(made.action(Score::new(score).unwrap()), action, "{score}");
        }
        assert!(policy(vec![rule("a", 9), rule("b", 9)]).is_err());
        assert!(policy(vec![rule("", 9)]).is_err());
    }
}
