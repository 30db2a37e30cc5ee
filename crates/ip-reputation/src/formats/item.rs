//! The addresses of one entry: an address, a prefix or a range.
//!
//! Dotted quads are read here, by far the most of what there is; the rest is for the standard
//! library. Both refuse leading zeros, which are octal to some and decimal to others.

use core::net::{IpAddr, Ipv4Addr};

use crate::Prefix;

/// What is expected where something else stands.
pub(super) type Expected = &'static str;

const ITEM: Expected = "an address, a prefix or a range";
const NO_PORT: Expected = "an address without a port";
const NO_ZEROS: Expected = "an address without leading zeros, which may mean octal,";
const LENGTH: Expected = "a prefix length of this family";
const RANGE: Expected = "a range from the lower to the higher address of one family";

/// The addresses of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    /// An address or a prefix.
    One {
        prefix: Prefix,
        /// Whether host bits were set, and dropped.
        is_masked: bool,
    },
    /// From the first to the last address, which is not below it.
    Range(IpAddr, IpAddr),
}

impl Item {
    /// All of the text, which has no white space at its ends.
    #[inline]
    pub(super) fn parse(text: &[u8]) -> Result<Self, Expected> {
        match quad_prefix(text) {
            Some((item, [])) => Ok(item),
            _ => Self::parse_any(text),
        }
    }

    /// The start of a line, if it is an IPv4 address or prefix; and what follows.
    #[inline]
    pub(super) fn split_first(line: &[u8]) -> Option<(Self, &[u8])> {
        quad_prefix(line)
    }

    fn parse_any(text: &[u8]) -> Result<Self, Expected> {
        let at = |mark: u8| memchr::memchr(mark, text);
        if let Some((first, [_, last @ ..])) = at(b'-').and_then(|at| text.split_at_checked(at)) {
            let (first, last) = (address(first.trim_ascii())?, address(last.trim_ascii())?);
            return range(first, last);
        }
        let Some((network, [_, len @ ..])) = at(b'/').and_then(|at| text.split_at_checked(at))
        else {
            return Ok(Self::One {
                prefix: Prefix::host(address(text)?),
                is_masked: false,
            });
        };
        self::network(address(network)?, len)
    }
}

/// From one address to another.
pub(super) fn range(first: IpAddr, last: IpAddr) -> Result<Item, Expected> {
    let is_range = Prefix::cover(first, last).is_some();
    is_range.then_some(Item::Range(first, last)).ok_or(RANGE)
}

/// The network around an address; its length is decimal or the mask of an IPv4 network.
pub(super) fn network(address: IpAddr, len: &[u8]) -> Result<Item, Expected> {
    let len = length(len, address).ok_or(LENGTH)?;
    Ok(one(address, Prefix::new(address, len).ok_or(LENGTH)?))
}

fn one(address: IpAddr, prefix: Prefix) -> Item {
    Item::One {
        prefix,
        is_masked: prefix.network() != address.to_canonical(),
    }
}

/// Decimal, or the mask of an IPv4 network: 255.255.255.0.
fn length(text: &[u8], network: IpAddr) -> Option<u8> {
    if let Some((mask, [])) = quad(text) {
        let len = mask.leading_ones();
        let is_mask = network.is_ipv4() && mask == u32::MAX.unbounded_shl(32 - len);
        return is_mask.then(|| u8::try_from(len).ok()).flatten();
    }
    match text {
        [b'0'..=b'9'] | [b'1'..=b'9', b'0'..=b'9'] | [b'1', b'0'..=b'9', b'0'..=b'9'] => {
            str::from_utf8(text).ok()?.parse().ok()
        }
        _ => None,
    }
}

pub(super) fn address(text: &[u8]) -> Result<IpAddr, Expected> {
    let text_or_none = str::from_utf8(text).ok();
    // Which family it is shows at the first look; asking for either would try both.
    let parsed = text_or_none.and_then(|text| match memchr::memchr(b':', text.as_bytes()) {
        Some(_) => text.parse().ok().map(IpAddr::V6),
        None => text.parse().ok().map(IpAddr::V4),
    });
    parsed.ok_or_else(|| expected_instead_of(text))
}

/// Why something that is no address may look like one.
fn expected_instead_of(text: &[u8]) -> Expected {
    if text.starts_with(b"[") {
        return NO_PORT;
    }
    if let Some((_, [b':', port @ ..])) = quad(text)
        && !port.is_empty()
        && port.iter().all(u8::is_ascii_digit)
    {
        return NO_PORT;
    }
    let mut octets = text.split(|byte| *byte == b'.');
    let is_quad = octets.clone().count() == 4 && octets.clone().flatten().all(u8::is_ascii_digit);
    if is_quad && octets.any(|octet| octet.len() > 1 && octet.starts_with(b"0")) {
        return NO_ZEROS;
    }
    ITEM
}

/// `203.0.113.9` or `203.0.113.0/24`, and what follows. Not for one that is followed by what could
/// be part of it.
#[inline]
fn quad_prefix(text: &[u8]) -> Option<(Item, &[u8])> {
    let (bits, rest) = quad(text)?;
    let (len, rest) = match rest {
        [b'/', tens @ b'1'..=b'3', ones @ b'0'..=b'9', rest @ ..] => {
            ((tens - b'0') * 10 + (ones - b'0'), rest)
        }
        [b'/', ones @ b'0'..=b'9', rest @ ..] => (ones - b'0', rest),
        [b'/', ..] => return None,
        _ => (32, rest),
    };
    match rest {
        [] | [b' ' | b'\t' | b'#' | b';' | b',', ..] => {}
        _ => return None,
    }
    let prefix = Prefix::v4(bits, len)?;
    let is_masked = prefix != Prefix::V4 { network: bits, len };
    Some((Item::One { prefix, is_masked }, rest))
}

/// Four octets, and what follows.
#[inline]
fn quad(text: &[u8]) -> Option<(u32, &[u8])> {
    let (a, rest) = octet(text)?;
    let (b, rest) = octet(rest.strip_prefix(b".")?)?;
    let (c, rest) = octet(rest.strip_prefix(b".")?)?;
    let (d, rest) = octet(rest.strip_prefix(b".")?)?;
    Some((Ipv4Addr::new(a, b, c, d).to_bits(), rest))
}

/// One to three digits without a leading zero, 0 to 255, and what follows.
#[inline]
fn octet(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: u8| Some(byte.wrapping_sub(b'0')).filter(|digit| *digit < 10);
    let (&first, mut rest) = text.split_first()?;
    let mut octet = u16::from(digit(first)?);
    while let [next, after @ ..] = rest {
        let Some(next) = digit(*next) else {
            break;
        };
        if octet == 0 || octet > 25 {
            return None;
        }
        octet = octet * 10 + u16::from(next);
        rest = after;
    }
    u8::try_from(octet).ok().map(|octet| (octet, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, Expected> {
        Item::parse(text.as_bytes()).map(|item| match item {
            Item::One { prefix, is_masked } => {
                format!("{prefix}{}", if is_masked { " masked" } else { "" })
            }
            Item::Range(first, last) => format!("{first} to {last}"),
        })
    }

    #[test]
    fn addresses_prefixes_and_ranges_are_read() {
        for (text, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            ("0.0.0.0", "0.0.0.0"),
            ("255.255.255.255", "255.255.255.255"),
            ("203.0.113.0/24", "203.0.113.0/24"),
            ("203.0.113.9/24", "203.0.113.0/24 masked"),
            ("203.0.113.9/32", "203.0.113.9"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("203.0.113.9/0", "0.0.0.0/0 masked"),
            ("203.0.113.0/255.255.255.0", "203.0.113.0/24"),
            ("203.0.113.7/255.255.255.255", "203.0.113.7"),
            ("192.0.2.0/0.0.0.0", "0.0.0.0/0 masked"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("2001:db8::1/32", "2001:db8::/32 masked"),
            ("::/0", "::/0"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
            ("::ffff:203.0.113.9/120", "203.0.113.0/24 masked"),
            ("203.0.113.1-203.0.113.9", "203.0.113.1 to 203.0.113.9"),
            ("203.0.113.1 - 203.0.113.1", "203.0.113.1 to 203.0.113.1"),
            ("2001:db8::-2001:db8::ff", "2001:db8:: to 2001:db8::ff"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_none_says_what_is_expected() {
        for (expected, texts) in [
            (
                ITEM,
                &[
                    "",
                    "example.com",
                    "203.0.113",
                    "203.0.113.256",
                    "203.0.113.1000",
                    "203.0.113.4294967297",
                    "203.0.113.9203.0.113.10",
                    "203.0.113.9.",
                    "203.0.113.+9",
                    ".203.0.113.9",
                    "2001:db8::1%eth0",
                    "2001:db8::12345",
                    "203.0.113.9\0",
                    "\u{662}.0.113.9",
                    "-",
                    "/24",
                    "203.0.113.1-",
                    "203.0.113.0/24-203.0.113.9",
                    "203.0.113.9:http",
                ][..],
            ),
            (
                NO_PORT,
                &["203.0.113.9:80", "[2001:db8::1]:80", "[2001:db8::1]"],
            ),
            (
                NO_ZEROS,
                &["203.0.113.09", "010.0.0.1", "203.000.113.9", "01.2.3.4/8"],
            ),
            (
                LENGTH,
                &[
                    "203.0.113.0/33",
                    "203.0.113.0/",
                    "203.0.113.0/024",
                    "203.0.113.0/+8",
                    "203.0.113.0/24/24",
                    "203.0.113.0/0.0.0.255",
                    "203.0.113.0/255.0.255.0",
                    "2001:db8::/129",
                    "2001:db8::/256",
                    "2001:db8::/255.0.0.0",
                    "203.0.113.0/4294967320",
                ],
            ),
            (
                RANGE,
                &["203.0.113.9-203.0.113.1", "203.0.113.9-2001:db8::"],
            ),
        ] {
            for text in texts {
                assert_eq!(read(text), Err(expected), "{text}");
            }
        }
    }
}
