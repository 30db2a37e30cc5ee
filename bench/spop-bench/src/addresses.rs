//! The pool of addresses that are asked about.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// Ranges of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addresses(Vec<Range>);

/// Every address from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    V4(u32, u32),
    V6(u128, u128),
}

impl FromStr for Addresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix('@') else {
            return Ok(Self(vec![Range::parse(text)?]));
        };
        let lines = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        Self::parse_lines(&lines).map_err(|error| format!("{path}: {error}"))
    }
}

impl Addresses {
    /// One range a line; `#` begins a comment.
    fn parse_lines(text: &str) -> Result<Self, String> {
        let mut ranges = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                let range = Range::parse(line);
                ranges.push(range.map_err(|error| format!("line {}: {error}", number + 1))?);
            }
        }
        if ranges.is_empty() {
            return Err("no addresses".to_owned());
        }
        Ok(Self(ranges))
    }
}

impl Range {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "random" => return Ok(Self::V4(0, u32::MAX)),
            "random6" => return Ok(Self::V6(0, u128::MAX)),
            _ => {}
        }
        let address = |text: &str| {
            text.parse::<IpAddr>()
                .map_err(|_| format!("{text:?} is not an address"))
        };
        if let Some((first, bits)) = text.split_once('/') {
            let bits = bits
                .parse()
                .map_err(|_| format!("{bits:?} is no prefix length"))?;
            return Self::prefix(address(first)?, bits);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (address(first)?, address(last)?) {
            (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
                Ok(Self::V4(first.to_bits(), last.to_bits()))
            }
            (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
                Ok(Self::V6(first.to_bits(), last.to_bits()))
            }
            _ => Err(format!("{text:?} is not a range of addresses")),
        }
    }

    fn prefix(address: IpAddr, bits: u32) -> Result<Self, String> {
        let too_long = || format!("/{bits} is longer than the address");
        match address {
            IpAddr::V4(address) => {
                let host = 32_u32.checked_sub(bits).ok_or_else(too_long)?;
                let mask = u32::MAX.checked_shl(host).unwrap_or(0);
                let first = address.to_bits() & mask;
                Ok(Self::V4(first, first | !mask))
            }
            IpAddr::V6(address) => {
                let host = 128_u32.checked_sub(bits).ok_or_else(too_long)?;
                let mask = u128::MAX.checked_shl(host).unwrap_or(0);
                let first = address.to_bits() & mask;
                Ok(Self::V6(first, first | !mask))
            }
        }
    }
}

/// Draws addresses from a pool.
#[derive(Debug)]
pub(crate) struct Draw {
    ranges: Vec<Range>,
    rng: SmallRng,
}

impl Draw {
    pub(crate) fn new(addresses: &Addresses, seed: u64) -> Self {
        Self {
            ranges: addresses.0.clone(),
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    /// A random address of a random range.
    #[inline]
    pub(crate) fn next(&mut self) -> IpAddr {
        let index = match self.ranges.len() {
            1 => 0,
            len => self.rng.random_range(0..len),
        };
        match self.ranges.get(index) {
            Some(&Range::V4(first, last)) => {
                Ipv4Addr::from_bits(self.rng.random_range(first..=last)).into()
            }
            Some(&Range::V6(first, last)) => {
                Ipv6Addr::from_bits(self.rng.random_range(first..=last)).into()
            }
            None => Ipv4Addr::UNSPECIFIED.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(pool: &str) -> Vec<IpAddr> {
        let mut draw = Draw::new(&pool.parse().unwrap(), 7);
        (0..1000).map(|_| draw.next()).collect()
    }

    #[test]
    fn draws_stay_in_the_range_and_reach_its_ends() {
        for (pool, first, last) in [
            ("192.0.2.4-192.0.2.7", "192.0.2.4", "192.0.2.7"),
            ("192.0.2.6/30", "192.0.2.4", "192.0.2.7"),
            ("2001:db8::6/126", "2001:db8::4", "2001:db8::7"),
            ("198.51.100.1", "198.51.100.1", "198.51.100.1"),
        ] {
            let drawn = draws(pool);
            assert_eq!(drawn.iter().min().unwrap().to_string(), first, "{pool}");
            assert_eq!(drawn.iter().max().unwrap().to_string(), last, "{pool}");
        }
        assert!(draws("random").iter().all(IpAddr::is_ipv4));
        assert!(draws("random6").iter().all(IpAddr::is_ipv6));
        assert!(draws("0.0.0.0/0").iter().all(IpAddr::is_ipv4));
        assert!(draws("::/0").iter().all(IpAddr::is_ipv6));
    }

    #[test]
    fn a_file_mixes_families_and_names_the_line_that_is_wrong() {
        let pool = Addresses::parse_lines("# both\n192.0.2.1 # one\n\n2001:db8::/64\n").unwrap();
        let mut draw = Draw::new(&pool, 1);
        let drawn: Vec<_> = (0..100).map(|_| draw.next()).collect();
        assert!(drawn.iter().any(IpAddr::is_ipv4) && drawn.iter().any(IpAddr::is_ipv6));
        let error = Addresses::parse_lines("192.0.2.1\nhost\n").unwrap_err();
        assert!(error.starts_with("line 2:"), "{error}");
        assert!(Addresses::parse_lines("# nothing\n").is_err());
    }

    #[test]
    fn what_is_no_pool_is_refused() {
        for wrong in [
            "",
            "x",
            "1.2.3.4/33",
            "::/129",
            "2.0.0.0-1.0.0.0",
            "1.2.3.4-::1",
            "1.2.3.4/x",
        ] {
            assert!(wrong.parse::<Addresses>().is_err(), "{wrong}");
        }
    }
}
