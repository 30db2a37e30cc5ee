//! Address prefixes: what a feed lists and a table is searched for.
//!
//! ```text
//!  ::ffff:203.0.113.0/120   is   203.0.113.0/24
//!  203.0.113.9/24           is   203.0.113.0/24   (host bits are dropped)
//! ```

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bits of an IPv6 address in front of a mapped IPv4 address.
const MAPPED_BITS: u8 = 96;

/// A network: an address whose host bits are zero, and how many bits of it count.
///
/// Prefixes are ordered by family, then by network, then by length: a prefix stands before those
/// that it contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Prefix {
    /// An IPv4 network.
    V4 {
        /// Its first address.
        network: u32,
        /// 0..=32.
        len: u8,
    },
    /// An IPv6 network. Never one of mapped IPv4 addresses.
    V6 {
        /// Its first address.
        network: u128,
        /// 0..=128.
        len: u8,
    },
}

impl Prefix {
    /// The network of this length around an address, if the family has such a length. A mapped IPv4
    /// address with a length of 96 or more is IPv4.
    #[must_use]
    pub fn new(address: IpAddr, len: u8) -> Option<Self> {
        match address {
            IpAddr::V4(address) => Self::v4(address.to_bits(), len),
            IpAddr::V6(address) => match (address.to_ipv4_mapped(), len.checked_sub(MAPPED_BITS)) {
                (Some(mapped), Some(len)) => Self::v4(mapped.to_bits(), len),
                _ => Self::v6(address.to_bits(), len),
            },
        }
    }

    /// The network of this length around an IPv4 address.
    #[must_use]
    pub const fn v4(address: u32, len: u8) -> Option<Self> {
        match 32_u32.checked_sub(len as u32) {
            None => None,
            Some(host) => {
                let network = address & u32::MAX.unbounded_shl(host);
                Some(Self::V4 { network, len })
            }
        }
    }

    /// The network of this length around an IPv6 address, taken as it is.
    const fn v6(address: u128, len: u8) -> Option<Self> {
        match 128_u32.checked_sub(len as u32) {
            None => None,
            Some(host) => {
                let network = address & u128::MAX.unbounded_shl(host);
                Some(Self::V6 { network, len })
            }
        }
    }

    /// The one address, as a prefix of full length.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4 {
                network: address.to_bits(),
                len: 32,
            },
            IpAddr::V6(address) => Self::V6 {
                network: address.to_bits(),
                len: 128,
            },
        }
    }

    /// How many bits count: 0..=32 for IPv4, 0..=128 for IPv6.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a prefix is never empty")]
    pub const fn len(self) -> u8 {
        match self {
            Self::V4 { len, .. } | Self::V6 { len, .. } => len,
        }
    }

    /// The first address.
    #[must_use]
    pub const fn network(self) -> IpAddr {
        match self {
            Self::V4 { network, .. } => IpAddr::V4(Ipv4Addr::from_bits(network)),
            Self::V6 { network, .. } => IpAddr::V6(Ipv6Addr::from_bits(network)),
        }
    }

    /// Whether an address lies inside. A mapped IPv4 address is IPv4.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match (self, address) {
            (Self::V4 { .. }, IpAddr::V4(_)) | (Self::V6 { .. }, IpAddr::V6(_)) => {
                Self::new(address, self.len()) == Some(self)
            }
            _ => false,
        }
    }

    /// Whether this is all that its family has.
    #[must_use]
    pub const fn is_everything(self) -> bool {
        self.len() == 0
    }
}

/// `203.0.113.0/24`; a single address stands alone.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.network();
        match (self, self.len()) {
            (Self::V4 { .. }, 32) | (Self::V6 { .. }, 128) => write!(f, "{address}"),
            (_, len) => write!(f, "{address}/{len}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(address: &str, len: u8) -> Prefix {
        Prefix::new(address.parse().unwrap(), len).unwrap()
    }

    #[test]
    fn host_bits_are_dropped_and_mapped_addresses_are_ipv4() {
        assert_eq!(prefix("203.0.113.9", 24).to_string(), "203.0.113.0/24");
        assert_eq!(prefix("::ffff:203.0.113.9", 120), prefix("203.0.113.0", 24));
        assert_eq!(prefix("::ffff:203.0.113.9", 96).to_string(), "0.0.0.0/0");
        assert_eq!(prefix("::ffff:0:0", 95).to_string(), "::fffe:0:0/95");
        assert_eq!(prefix("2001:db8::1", 32).to_string(), "2001:db8::/32");
        assert_eq!(prefix("2001:db8::1", 128).to_string(), "2001:db8::1");
        assert_eq!(Prefix::new([192, 0, 2, 1].into(), 33), None);
        assert_eq!(Prefix::new(Ipv6Addr::LOCALHOST.into(), 129), None);
    }

    #[test]
    fn contains_what_shares_its_bits() {
        let net = prefix("203.0.113.128", 25);
        for (address, inside) in [
            ("203.0.113.128", true),
            ("203.0.113.255", true),
            ("::ffff:203.0.113.200", true),
            ("203.0.113.127", false),
            ("203.0.114.128", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(net.contains(address.parse().unwrap()), inside, "{address}");
        }
        assert!(prefix("0.0.0.0", 0).contains([255; 4].into()));
        assert!(prefix("::", 0).contains("ffff::1".parse().unwrap()));
        assert!(!prefix("::", 0).contains([192, 0, 2, 1].into()));
    }
}
