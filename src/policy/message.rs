//! What is asked with which `spoe-message`, and which variables answer.

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use super::{ArgumentName, QUESTIONS};
use haproxy_spop::Scope;

/// What a variable is set to.
///
/// Three kinds: about the address (asked if the message has one), about the payload (asked if the
/// message has one), and [`CombinedScore`](Self::CombinedScore) and [`Action`](Self::Action), which
/// are asked if it has either. [`Stale`](Self::Stale) is always asked. What is not asked sets nothing;
/// what is asked and has no value removes the variable, so that an earlier answer on the same
/// connection does not speak for a later question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// The score of the address, UINT32, 0..=100.
    Score,
    /// Whether some feed or list knows the address, boolean.
    Listed,
    /// What kind of badness the address is known for, string. None: removed.
    Category,
    /// The feed or list that counted most, string. None: removed.
    Feed,
    /// The entry that counted most, string, `feed:prefix`. None: removed.
    Reason,
    /// The number of the autonomous system, UINT32. None: removed.
    Asn,
    /// The country's two letters, string. None: removed.
    Country,
    /// Whether the data of some feed is older than it may be, boolean.
    Stale,
    /// The score with the feeds that are only tried out, UINT32, 0..=100.
    ShadowScore,
    /// The categories of all entries that count, string, the leading one first, with commas. None: removed.
    Categories,
    /// The feeds and lists of all entries that count, string, the leading one first, with commas. None:
    /// removed.
    Feeds,
    /// Whether an entry of this category counts, boolean: `category:NAME`.
    InCategory,
    /// Whether an entry of this feed or list counts, boolean: `feed:NAME`.
    InFeed,
    /// The first action whose threshold the combined score does not exceed, string. None: removed.
    Action,
    /// The payload rule that matches, string. None: removed.
    Payload,
    /// The score of the payload rule that matches, UINT32, 0..=100. None: removed.
    PayloadScore,
    /// The lower one of score and payload score, UINT32, 0..=100; if there is only one, that one.
    /// None: removed.
    CombinedScore,
    /// The kind of the live decision that decided, string. None: removed.
    Decision,
    /// The origin of the live decision that decided, string. None: removed.
    Origin,
    /// In how many seconds the live decision that decided ends, UINT32. None: removed.
    ExpiresIn,
    /// The points that reports gave the address, decayed, UINT32; 0 if nothing was reported.
    Points,
}

impl Attribute {
    /// Every attribute that takes no name, in the order in which documents list them.
    pub const ALL: [Self; 19] = [
        Self::Score,
        Self::Listed,
        Self::Category,
        Self::Categories,
        Self::Feed,
        Self::Feeds,
        Self::Reason,
        Self::Asn,
        Self::Country,
        Self::Stale,
        Self::ShadowScore,
        Self::Action,
        Self::Payload,
        Self::PayloadScore,
        Self::CombinedScore,
        Self::Decision,
        Self::Origin,
        Self::ExpiresIn,
        Self::Points,
    ];

    /// The name in a configuration; for [`InCategory`](Self::InCategory) and [`InFeed`](Self::InFeed) what
    /// stands before the colon.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Listed => "listed",
            Self::Category | Self::InCategory => "category",
            Self::Feed | Self::InFeed => "feed",
            Self::Categories => "categories",
            Self::Feeds => "feeds",
            Self::Reason => "reason",
            Self::Asn => "asn",
            Self::Country => "country",
            Self::Stale => "stale",
            Self::ShadowScore => "shadow_score",
            Self::Action => "action",
            Self::Payload => "payload",
            Self::PayloadScore => "payload_score",
            Self::CombinedScore => "combined_score",
            Self::Decision => "decision",
            Self::Origin => "origin",
            Self::ExpiresIn => "expires_in",
            Self::Points => "points",
        }
    }

    /// Whether it takes a look at the table.
    pub(super) const fn needs_verdict(self) -> bool {
        matches!(
            self,
            Self::Score
                | Self::Listed
                | Self::Category
                | Self::Categories
                | Self::InCategory
                | Self::Feed
                | Self::Feeds
                | Self::InFeed
                | Self::Reason
                | Self::ShadowScore
                | Self::Action
                | Self::CombinedScore
                | Self::Decision
                | Self::Origin
                | Self::ExpiresIn
                | Self::Points
        )
    }

    /// Whether it takes a look at the address at all.
    #[must_use]
    pub const fn needs_address(self) -> bool {
        self.needs_verdict() || matches!(self, Self::Asn | Self::Country)
    }

    /// Whether it takes a look at the payload.
    #[must_use]
    pub const fn needs_payload(self) -> bool {
        matches!(
            self,
            Self::Payload | Self::PayloadScore | Self::CombinedScore | Self::Action
        )
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no [`Attribute`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownValue;

impl fmt::Display for UnknownValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such value; there are")?;
        for (place, value) in Attribute::ALL.iter().enumerate() {
            write!(f, "{} {value}", if place == 0 { "" } else { "," })?;
        }
        f.write_str(", category:NAME, feed:NAME")
    }
}

impl core::error::Error for UnknownValue {}

impl FromStr for Attribute {
    type Err = UnknownValue;

    fn from_str(text: &str) -> Result<Self, UnknownValue> {
        let found = Self::ALL.into_iter().find(|value| value.name() == text);
        found.ok_or(UnknownValue)
    }
}

/// A variable, and what it is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableRule {
    /// The name of the variable, without scope and prefix.
    pub variable: String,
    /// What it is set to.
    pub value: Attribute,
    /// The category or feed of [`Attribute::InCategory`] and [`Attribute::InFeed`]; else nothing.
    pub of: Option<Arc<str>>,
}

impl VariableRule {
    /// Reads an attribute, with a name behind a colon where it takes one.
    ///
    /// # Errors
    /// If there is no such attribute.
    pub fn parse(variable: impl Into<String>, value: &str) -> Result<Self, UnknownValue> {
        let (value, of) = match value.split_once(':') {
            Some(("category", name)) if !name.is_empty() => {
                (Attribute::InCategory, Some(name.into()))
            }
            Some(("feed", name)) if !name.is_empty() => (Attribute::InFeed, Some(name.into())),
            _ => (value.parse()?, None),
        };
        let variable = variable.into();
        Ok(Self {
            variable,
            value,
            of,
        })
    }

    /// Sets a variable to an attribute that takes no name.
    pub fn new(variable: impl Into<String>, value: Attribute) -> Self {
        Self {
            variable: variable.into(),
            value,
            of: None,
        }
    }
}

/// What one `spoe-message` asks, and what answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRules {
    /// The name on the `spoe-message` line.
    pub name: String,
    /// The argument that carries the address: the first one of this name that is an address. `None`:
    /// the first address, whatever its name.
    pub argument: Option<String>,
    /// The argument that carries the payload: the first BINARY or STRING one of this name. `None`:
    /// the first BINARY or STRING, whatever its name.
    pub payload_argument: Option<String>,
    /// The scope of the variables.
    pub scope: Scope,
    /// The variables, in the order in which they are set.
    pub answers: Vec<VariableRule>,
}

impl MessageRules {
    /// The messages that are answered if nothing is configured: [`QUESTIONS`]. With payload rules,
    /// `check-buffer` sets `payload` and `payload_score` as well.
    #[must_use]
    pub fn defaults(has_payload_rules: bool) -> Vec<Self> {
        let rules = QUESTIONS.iter().map(|question| {
            let mut answers = vec![VariableRule::new(question.variable, Attribute::Score)];
            if has_payload_rules && question.message == "check-buffer" {
                let payload = [Attribute::Payload, Attribute::PayloadScore];
                answers.extend(payload.map(|value| VariableRule::new(value.name(), value)));
            }
            Self {
                name: question.message.to_owned(),
                argument: match question.argument {
                    ArgumentName::Any => None,
                    ArgumentName::Named(name) => Some(name.to_owned()),
                },
                payload_argument: None,
                scope: question.scope,
                answers,
            }
        });
        rules.collect()
    }

    pub(super) fn needs(&self, what: impl Fn(Attribute) -> bool) -> bool {
        self.answers.iter().any(|answer| what(answer.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_found_by_its_name_and_nothing_else_is() {
        for value in Attribute::ALL {
            assert_eq!(value.to_string().parse(), Ok(value));
        }
        assert_eq!("Score".parse::<Attribute>(), Err(UnknownValue));
        let said = UnknownValue.to_string();
        assert!(said.contains("are score, listed,"), "{said}");
    }

    #[test]
    fn the_defaults_are_the_questions() {
        let defaults = MessageRules::defaults(false);
        assert_eq!(defaults.len(), QUESTIONS.len());
        for (rules, question) in defaults.iter().zip(QUESTIONS) {
            assert_eq!(rules.name, question.message);
            let [
                VariableRule {
                    variable, value, ..
                },
            ] = &rules.answers[..]
            else {
                panic!("{rules:?}")
            };
            assert_eq!(
                (&variable[..], *value),
                (question.variable, Attribute::Score)
            );
        }
        let with = MessageRules::defaults(true);
        let more: Vec<_> = with
            .iter()
            .filter(|rules| rules.answers.len() == 3)
            .collect();
        assert_eq!(more.len(), 1);
        assert_eq!(more[0].name, "check-buffer");
    }
}
