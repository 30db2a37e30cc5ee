//! The value of a decision: a prefix, an autonomous system or a country.

use core::fmt;
use core::net::IpAddr;
use std::io::Write as _;

use ip_reputation::Prefix;

/// What a decision is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The addresses of a network.
    Prefix(Prefix),
    /// The addresses of an autonomous system, by `asn-db`.
    Asn(u32),
    /// The addresses of a country, by `country-db`: two capital letters.
    Country([u8; 2]),
}

impl Target {
    /// The network, if it is one.
    #[must_use]
    pub const fn prefix(self) -> Option<Prefix> {
        match self {
            Self::Prefix(prefix) => Some(prefix),
            Self::Asn(_) | Self::Country(_) => None,
        }
    }

    /// Appends the text to a buffer.
    pub fn write(self, to: &mut Vec<u8>) {
        match self {
            Self::Prefix(prefix) => prefix.write(to),
            Self::Asn(number) => {
                // Writing to a Vec cannot fail.
                let _ = write!(to, "AS{number}");
            }
            Self::Country(letters) => to.extend_from_slice(&letters),
        }
    }

    /// The number of an autonomous system, as `AS64496`.
    fn asn(text: &str) -> Option<Self> {
        let (prefix, digits) = text.split_at_checked(2)?;
        let is_number = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
        if !prefix.eq_ignore_ascii_case("AS") || !is_number {
            return None;
        }
        digits.parse().ok().map(Self::Asn)
    }

    /// A country, as `NL`.
    fn country(text: &str) -> Option<Self> {
        let letters: [u8; 2] = text.as_bytes().try_into().ok()?;
        let is_country = letters.iter().all(u8::is_ascii_alphabetic);
        is_country.then(|| Self::Country(letters.map(|it| it.to_ascii_uppercase())))
    }
}

impl From<Prefix> for Target {
    fn from(prefix: Prefix) -> Self {
        Self::Prefix(prefix)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) => prefix.fmt(f),
            Self::Asn(number) => write!(f, "AS{number}"),
            Self::Country([first, second]) => {
                write!(f, "{}{}", char::from(*first), char::from(*second))
            }
        }
    }
}

/// A text that is no value of a decision, or a prefix with host bits.
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
                 such as 203.0.113.9 or 2001:db8::/48, an AS number such as AS64496 \
                 or a country such as NL",
            ),
            Self::HostBits(network) => {
                write!(f, "host bits are set; the network is {network}")
            }
        }
    }
}

impl core::error::Error for ParseTargetError {}

/// Parses the value of a decision. An IPv6 address without a length gets the length `ipv6_len`.
///
/// # Errors
/// If it is none, or host bits are set.
pub fn parse_target(text: &str, ipv6_len: u8) -> Result<Target, ParseTargetError> {
    let place = Target::asn(text).or_else(|| Target::country(text));
    place.map_or_else(|| prefix(text, ipv6_len).map(Into::into), Ok)
}

fn prefix(text: &str, ipv6_len: u8) -> Result<Prefix, ParseTargetError> {
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
    fn targets_are_prefixes_without_host_bits_or_places() {
        for (text, prefix) in [
            ("203.0.113.9", "203.0.113.9"),
            ("203.0.113.0/24", "203.0.113.0/24"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
            ("2001:db8::1", "2001:db8::/64"),
            ("2001:db8::1/128", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("AS64496", "AS64496"),
            ("as4294967295", "AS4294967295"),
            ("nl", "NL"),
            ("AS", "AS"),
        ] {
            let target = parse_target(text, 64).unwrap();
            assert_eq!(target.to_string(), prefix);
            let mut bytes = Vec::new();
            target.write(&mut bytes);
            assert_eq!(bytes, prefix.as_bytes());
        }
        for text in [
            "",
            "x",
            "ASX",
            "AS4294967296",
            "N1",
            "NLD",
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
}
