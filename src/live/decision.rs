//! A live decision: what an operator or a program decided about a prefix, for a limited time.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;
use std::sync::Arc;

use ip_reputation::Prefix;

/// The longest origin, in bytes.
pub const ORIGIN_LEN_MAX: usize = 32;
/// The longest reason, in bytes.
pub const REASON_LEN_MAX: usize = 256;

/// The origin of decisions of `CrowdSec`.
pub const ORIGIN_CROWDSEC: &str = "crowdsec";
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

/// A decision. Its identity is (kind, prefix, origin): a later one replaces the earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What it does.
    pub kind: Kind,
    /// The addresses that it is about.
    pub prefix: Prefix,
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
    matches!(origin, ORIGIN_CROWDSEC | ORIGIN_BEHAVIOR)
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

/// A text that is no prefix, or one with host bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseTargetError {
    /// No address, or a length that its family does not have.
    Syntax,
    /// There are bits behind the length; the network that was probably meant.
    HostBits(Prefix),
}

impl fmt::Display for ParseTargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax => f.write_str(
                "invalid prefix: expected an IPv4 or IPv6 address, with a length or without, \
                 such as 203.0.113.9 or 2001:db8::/48",
            ),
            Self::HostBits(network) => {
                write!(f, "host bits are set; the network is {network}")
            }
        }
    }
}

impl core::error::Error for ParseTargetError {}

/// Parses the prefix of a decision. An IPv6 address without a length gets the length `ipv6_len`.
///
/// # Errors
/// If it is no prefix, or host bits are set.
pub fn parse_target(text: &str, ipv6_len: u8) -> Result<Prefix, ParseTargetError> {
    let (address, len) = match text.split_once('/') {
        None => (text, None),
        Some((address, len)) => (address, Some(len)),
    };
    let address: IpAddr = address.parse().map_err(|_| ParseTargetError::Syntax)?;
    let Some(len) = len else {
        let whole = Prefix::host(address);
        return match whole {
            Prefix::V4 { .. } => Ok(whole),
            Prefix::V6 { .. } => Prefix::new(address, ipv6_len).ok_or(ParseTargetError::Syntax),
        };
    };
    let is_number = !len.is_empty() && len.len() <= 3 && len.bytes().all(|it| it.is_ascii_digit());
    let len = len.parse::<u8>().ok().filter(|_| is_number);
    let prefix = len.and_then(|len| Prefix::new(address, len));
    let prefix = prefix.ok_or(ParseTargetError::Syntax)?;
    if prefix.network() == address.to_canonical() {
        Ok(prefix)
    } else {
        Err(ParseTargetError::HostBits(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_prefixes_without_host_bits() {
        for (text, prefix) in [
            ("203.0.113.9", "203.0.113.9"),
            ("203.0.113.0/24", "203.0.113.0/24"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
            ("2001:db8::1", "2001:db8::/64"),
            ("2001:db8::1/128", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(parse_target(text, 64).unwrap().to_string(), prefix);
        }
        for text in [
            "",
            "x",
            "203.0.113.9/33",
            "203.0.113.9/",
            "203.0.113.9/+8",
            "::1/129",
            "/8",
        ] {
            assert_eq!(
                parse_target(text, 64),
                Err(ParseTargetError::Syntax),
                "{text}"
            );
        }
        let error = parse_target("203.0.113.9/24", 64).unwrap_err();
        assert!(error.to_string().contains("203.0.113.0/24"), "{error}");
        let error = parse_target("2001:db8::1/64", 64).unwrap_err();
        assert!(error.to_string().contains("2001:db8::/64"), "{error}");
        assert_eq!(
            parse_target("2001:db8::1", 128).unwrap().to_string(),
            "2001:db8::1"
        );
    }

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
