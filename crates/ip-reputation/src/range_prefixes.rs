//! Ranges of addresses as prefixes.
//!
//! ```text
//!  203.0.113.1 - 203.0.113.9   is   .1/32  .2/31  .4/30  .8/31
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Prefix;

/// The fewest prefixes that hold a range of addresses and nothing else, in order.
#[derive(Debug, Clone)]
pub struct RangePrefixes {
    is_v6: bool,
    /// What is not covered yet; `None` once all is.
    rest: Option<(u128, u128)>,
}

impl Prefix {
    /// The fewest prefixes that hold all addresses from the first to the last one: at most 62 for
    /// IPv4, 254 for IPv6. `None` if the addresses are of two families or the first comes after the
    /// last.
    ///
    /// ```
    /// use ip_reputation::Prefix;
    ///
    /// let cover = Prefix::cover([192, 0, 2, 0].into(), [192, 0, 2, 129].into()).unwrap();
    /// let cover: Vec<_> = cover.map(|prefix| prefix.to_string()).collect();
    /// assert_eq!(cover, ["192.0.2.0/25", "192.0.2.128/31"]);
    /// ```
    #[must_use]
    pub fn cover(first: IpAddr, last: IpAddr) -> Option<RangePrefixes> {
        let (first, last) = (first.to_canonical(), last.to_canonical());
        let rest = match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                (first.to_bits().into(), last.to_bits().into())
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => (first.to_bits(), last.to_bits()),
            _ => return None,
        };
        (rest.0 <= rest.1).then_some(RangePrefixes {
            is_v6: first.is_ipv6(),
            rest: Some(rest),
        })
    }
}

impl Iterator for RangePrefixes {
    type Item = Prefix;

    fn next(&mut self) -> Option<Prefix> {
        let (first, last) = self.rest?;
        let bits = if self.is_v6 { 128 } else { 32 };
        // The largest block that starts here is limited by where it may start, and by the end.
        let room = (last - first).checked_add(1).map_or(128, u128::ilog2);
        let host = first.trailing_zeros().min(room).min(bits);
        let block_end = first | 1_u128.unbounded_shl(host).wrapping_sub(1);
        self.rest = block_end
            .checked_add(1)
            .filter(|next| *next <= last)
            .map(|next| (next, last));
        let len = u8::try_from(bits - host).ok()?;
        Prefix::new(self.address(first)?, len)
    }
}

impl RangePrefixes {
    fn address(&self, bits: u128) -> Option<IpAddr> {
        if self.is_v6 {
            return Some(Ipv6Addr::from_bits(bits).into());
        }
        u32::try_from(bits)
            .ok()
            .map(|bits| Ipv4Addr::from_bits(bits).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cover(first: &str, last: &str) -> Option<String> {
        let cover = Prefix::cover(first.parse().unwrap(), last.parse().unwrap())?;
        let prefixes: Vec<_> = cover.map(|prefix| prefix.to_string()).collect();
        Some(prefixes.join(" "))
    }

    #[test]
    fn a_range_is_the_fewest_prefixes() {
        let all = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        for (first, last, expected) in [
            ("203.0.113.9", "203.0.113.9", Some("203.0.113.9")),
            ("203.0.113.0", "203.0.113.255", Some("203.0.113.0/24")),
            (
                "203.0.113.1",
                "203.0.113.9",
                Some("203.0.113.1 203.0.113.2/31 203.0.113.4/30 203.0.113.8/31"),
            ),
            ("0.0.0.0", "255.255.255.255", Some("0.0.0.0/0")),
            (
                "255.255.255.255",
                "255.255.255.255",
                Some("255.255.255.255"),
            ),
            ("::", all, Some("::/0")),
            ("8000::", all, Some("8000::/1")),
            ("2001:db8::", "2001:db8::ffff", Some("2001:db8::/112")),
            ("::ffff:192.0.2.0", "192.0.2.1", Some("192.0.2.0/31")),
            ("192.0.2.2", "192.0.2.1", None),
            ("192.0.2.2", "2001:db8::", None),
        ] {
            assert_eq!(cover(first, last).as_deref(), expected, "{first} - {last}");
        }
    }

    #[test]
    fn no_range_needs_more_than_its_bits_allow() {
        let count = |first: &str, last: &str| {
            let ends = (first.parse().unwrap(), last.parse().unwrap());
            Prefix::cover(ends.0, ends.1).unwrap().count()
        };
        assert_eq!(count("0.0.0.1", "255.255.255.254"), 62);
        assert_eq!(count("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"), 254);
    }
}
