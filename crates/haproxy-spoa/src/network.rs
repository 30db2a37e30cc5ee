//! Networks as an operator writes them, to say who may connect. (`reputation` has prefixes too, for
//! tables of millions; this layer does not know of it.)

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use core::str::FromStr;

/// The bits of an IPv6 address in front of an IPv4 address that stands in it.
const MAPPED: u32 = 96;

/// An address and how many of its leading bits count: `192.0.2.0/24`, `2001:db8::/32`, or an address
/// alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    first: IpAddr,
    bits: u32,
}

impl Network {
    /// Whether an address is in it. `::ffff:a.b.c.d` is the IPv4 address, on either side.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.bits) == Some(self.first)
    }
}

/// An address with all but its first bits cleared; `None` if it does not have as many.
fn masked(address: IpAddr, bits: u32) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(bits)?).unwrap_or(0);
            Some(IpAddr::V4((address.to_bits() & mask).into()))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(bits)?);
            let first = address.to_bits() & mask.unwrap_or(0);
            Some(IpAddr::V6(Ipv6Addr::from_bits(first)))
        }
    }
}

/// A text that is no [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadNetwork {
    /// No address, or no number behind the slash.
    Form,
    /// More bits than the address has.
    Bits,
    /// Bits behind the prefix are set; the network that was probably meant.
    HostBits(Network),
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| BadNetwork::Form)?;
        let all = if written.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(all), |bits| bits.parse().map_err(|_| BadNetwork::Form))?;
        let first = masked(written, bits).ok_or(BadNetwork::Bits)?;
        let network = match (written.to_canonical(), bits.checked_sub(MAPPED)) {
            (IpAddr::V4(address), Some(bits)) if written.is_ipv6() => Self {
                first: masked(address.into(), bits).ok_or(BadNetwork::Bits)?,
                bits,
            },
            _ => Self { first, bits },
        };
        if first == written {
            Ok(network)
        } else {
            Err(BadNetwork::HostBits(network))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

impl fmt::Display for BadNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => {
                f.write_str("expected a network such as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.1")
            }
            Self::Bits => {
                f.write_str("an IPv4 address has 32 bits to count, an IPv6 address has 128")
            }
            Self::HostBits(meant) => write!(f, "bits behind the prefix are set; {meant} is meant?"),
        }
    }
}

impl core::error::Error for BadNetwork {}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        let network: Network = network.parse().unwrap();
        network.contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_has_its_addresses_and_no_others() {
        for (network, address, inside) in [
            ("192.0.2.0/24", "192.0.2.0", true),
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.6", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "192.0.2.1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("2001:db8::1", "2001:db8::1", true),
        ] {
            assert_eq!(contains(network, address), inside, "{address} in {network}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        assert!(contains("192.0.2.0/24", "::ffff:192.0.2.9"));
        assert!(contains("::ffff:192.0.2.0/120", "192.0.2.9"));
        assert!(!contains("::ffff:192.0.2.0/120", "192.0.3.9"));
    }

    #[test]
    fn what_is_no_network_says_why() {
        let parse = |text: &str| text.parse::<Network>();
        for text in ["", "x", "192.0.2.0/", "192.0.2.0/x", "192.0.2/24", "/24"] {
            assert_eq!(parse(text), Err(BadNetwork::Form), "{text:?}");
        }
        for text in ["192.0.2.0/33", "2001:db8::/129"] {
            assert_eq!(parse(text), Err(BadNetwork::Bits), "{text:?}");
        }
        let why = parse("192.0.2.1/24").unwrap_err().to_string();
        assert!(why.contains("192.0.2.0/24"), "{why}");
    }
}
