//! A network as the tables of this module have it: 128 bits and a length.

use core::net::IpAddr;

use super::Target;
use ip_reputation::Prefix;

/// What stands for the length of autonomous systems and countries: addresses have none of these.
pub(super) const LEN_ASN: u8 = 129;
pub(super) const LEN_COUNTRY: u8 = 130;

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// Address and prefix length of a network; IPv4 is mapped, with a length from 96.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Network {
    high: u64,
    low: u64,
    len: u8,
}

impl Network {
    pub(super) fn of(prefix: Prefix) -> Self {
        match prefix {
            Prefix::V4 { network, len } => Self {
                high: 0,
                low: mapped(network),
                len: len + 96,
            },
            Prefix::V6 { network, len } => {
                let (high, low) = halves(network);
                Self { high, low, len }
            }
        }
    }

    pub(super) fn of_target(target: Target) -> Self {
        let (high, len) = match target {
            Target::Prefix(prefix) => return Self::of(prefix),
            Target::Asn(number) => (u64::from(number) << 32, LEN_ASN),
            Target::Country(letters) => (u64::from(u16::from_be_bytes(letters)) << 48, LEN_COUNTRY),
        };
        Self { high, low: 0, len }
    }

    /// The network of this length around an address.
    pub(super) const fn around(bits: (u64, u64), len: u8) -> Self {
        let (high, low) = bits;
        let (high, low) = if len >= 64 {
            (high, low & u64::MAX.unbounded_shl(128 - len as u32))
        } else {
            (high & u64::MAX.unbounded_shl(64 - len as u32), 0)
        };
        Self { high, low, len }
    }

    pub(super) const fn is_v4(self) -> bool {
        self.len >= 96 && self.len <= 128 && self.high == 0 && self.low >> 32 == 0xffff
    }

    pub(super) const fn family(self) -> Family {
        if self.is_v4() { Family::V4 } else { Family::V6 }
    }

    pub(super) const fn is_within(self, outer: Self) -> bool {
        let around = Self::around((self.high, self.low), outer.len);
        self.len >= outer.len
            && around.high == outer.high
            && around.low == outer.low
            && self.is_v4() == outer.is_v4()
    }

    pub(super) const fn bits(self) -> (u64, u64, u8) {
        (self.high, self.low, self.len)
    }

    pub(super) const fn from_bits(high: u64, low: u64, len: u8) -> Self {
        Self { high, low, len }
    }

    /// What points of an address are kept under: the address, or for IPv6 its /64.
    #[inline]
    pub(super) const fn of_points(bits: (u64, u64), family: Family) -> Self {
        match family {
            Family::V4 => Self::around(bits, 128),
            Family::V6 => Self::around(bits, 64),
        }
    }

    pub(super) fn prefix(self) -> Prefix {
        let bits = (u128::from(self.high) << 64) | u128::from(self.low);
        let address = IpAddr::V6(bits.into());
        Prefix::new(address, self.len).unwrap_or_else(|| Prefix::host(address))
    }

    pub(super) fn target(self) -> Target {
        match self.len {
            LEN_ASN => Target::Asn((self.high >> 32) as u32),
            LEN_COUNTRY => Target::Country(((self.high >> 48) as u16).to_be_bytes()),
            _ => self.prefix().into(),
        }
    }
}

const fn mapped(network: u32) -> u64 {
    0xffff_0000_0000 | network as u64
}

#[expect(clippy::cast_possible_truncation, reason = "these are the halves")]
const fn halves(network: u128) -> (u64, u64) {
    ((network >> 64) as u64, network as u64)
}

/// The bits of an address. A mapped IPv4 address is IPv4.
#[inline]
pub(super) const fn bits(address: IpAddr) -> ((u64, u64), Family) {
    match address {
        IpAddr::V4(v4) => ((0, mapped(v4.to_bits())), Family::V4),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => ((0, mapped(v4.to_bits())), Family::V4),
            None => (halves(v6.to_bits()), Family::V6),
        },
    }
}
