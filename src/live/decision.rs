//! A live decision: what an operator or a program decided about a prefix, for a limited time.

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use super::Target;

/// The longest origin, in bytes.
pub const ORIGIN_LEN_MAX: usize = 32;
/// The longest reason, in bytes.
pub const REASON_LEN_MAX: usize = 256;

/// The origin of bans at `ban-at`.
pub const ORIGIN_BEHAVIOR: &str = "behavior";

/// What a decision does with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The score is 0.
    Ban,
    /// The score is at most `challenge-score`.
    Challenge,
    /// The score is 100.
    Allow,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Ban, Self::Challenge, Self::Allow];

    /// The name in every interface.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ban => "ban",
            Self::Challenge => "challenge",
            Self::Allow => "allow",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no [`Kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseKindError;

impl fmt::Display for ParseKindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected ban, challenge or allow")
    }
}

impl core::error::Error for ParseKindError {}

impl FromStr for Kind {
    type Err = ParseKindError;

    fn from_str(text: &str) -> Result<Self, ParseKindError> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or(ParseKindError)
    }
}

/// A decision. Its identity is (kind, target, origin): a later one replaces the earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What it does.
    pub kind: Kind,
    /// The addresses that it is about.
    pub target: Target,
    /// What made it: `ctl`, `api`, `fail2ban`, or another name.
    pub origin: Arc<str>,
    /// Why, for people; may be empty.
    pub reason: Arc<str>,
    /// The host on which it was made.
    pub node: Arc<str>,
    /// When it was made, in seconds since 1970.
    pub created: u32,
    /// When it ends, in seconds since 1970.
    pub until: u32,
}

/// Whether decisions of an origin never touch private space: they come from outside or are inferred.
#[must_use]
pub fn is_foreign(origin: &str) -> bool {
    matches!(origin, super::ORIGIN_CROWDSEC | ORIGIN_BEHAVIOR)
}

/// Returns the error in an origin, if there is one.
#[must_use]
pub fn origin_error(origin: &str) -> Option<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = (1..=ORIGIN_LEN_MAX).contains(&origin.len()) && origin.bytes().all(is_allowed);
    (!fits).then(|| {
        format!("invalid origin: expected 1 to {ORIGIN_LEN_MAX} letters, digits, '-', '_' or '.'")
    })
}

/// Returns the error in a reason, if there is one.
#[must_use]
pub fn reason_error(reason: &str) -> Option<String> {
    if reason.len() > REASON_LEN_MAX {
        return Some(format!(
            "reason too long: {} bytes; the limit is {REASON_LEN_MAX}",
            reason.len()
        ));
    }
    let is_broken = reason.contains(char::is_control);
    is_broken.then(|| "invalid reason: it has a control character".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_and_reasons_are_bounded() {
        assert_eq!(origin_error("fail2ban"), None);
        for origin in ["", "a b", "a\n", &"x".repeat(33)] {
            assert!(origin_error(origin).is_some(), "{origin:?}");
        }
        assert_eq!(reason_error("six bad logins"), None);
        assert!(reason_error("a\nb").is_some());
        assert!(reason_error(&"x".repeat(257)).is_some());
    }
}
