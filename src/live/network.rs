//! A network as the tables of this module have it: 128 bits and a length.

use core::net::IpAddr;

use ip_reputation::Prefix;

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
        self.len >= 96 && self.high == 0 && self.low >> 32 == 0xffff
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

    #[inline]
    pub(super) const fn hash(self, seed: u64) -> u64 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let one = self.low ^ seed ^ (self.len as u64).wrapping_mul(ODD);
        let other = self.high ^ seed.rotate_left(32) ^ ODD;
        let first = fold(one, ODD) ^ other;
        fold(first, seed | 1)
    }
}

const fn mapped(network: u32) -> u64 {
    0xffff_0000_0000 | network as u64
}

#[expect(clippy::cast_possible_truncation, reason = "these are the halves")]
const fn halves(network: u128) -> (u64, u64) {
    ((network >> 64) as u64, network as u64)
}

#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
const fn fold(one: u64, other: u64) -> u64 {
    let product = (one as u128) * (other as u128);
    (product as u64) ^ ((product >> 64) as u64)
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
